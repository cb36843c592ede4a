//! What one change does to what is believed of the parameters.

use std::sync::Arc;

use super::date_style::joined;
use super::{Clarity, Commits, Parameters, SYNCHRONOUS_COMMIT, Step, Touched};
use crate::server::settings::{DATE_STYLE, IDENTITY, Settings, Value};
use crate::sql::settings::{Action, Change, Scope, canonical};

impl Parameters {
    pub(super) fn make(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        if let Action::Set { name, .. } | Action::Config { name, .. } = &change.action
            && name == SYNCHRONOUS_COMMIT
        {
            self.commits = Commits::Perhaps;
        }
        let scope = change.scope;
        match change.action {
            Action::Set { name, value } if value.eq_ignore_ascii_case("default") => {
                self.reset(&name, scope);
            }
            Action::Set { name, value } => {
                self.change(&name, Some(&Value::Sql(value.into_boxed_str())), scope);
            }
            Action::Config { name, value } => {
                self.change(&name, Some(&Value::Config(value.into_boxed_str())), scope);
            }
            Action::Reset { name } => self.reset(&name, scope),
            // RESET ALL leaves the role and the session's user (GUC_NO_RESET_ALL in guc_tables.c).
            Action::ResetAll => {
                self.touched = Touched::Yes;
                for settings in [&mut self.lasting, &mut self.current] {
                    let mut reset = (*self.defaults).clone();
                    for name in ["role", "session_authorization"] {
                        reset.set(name, settings.get(name).cloned());
                    }
                    *settings = Arc::new(reset);
                }
                self.revoke_defaults();
            }
            Action::Transaction => {}
            // Only the server knows what it has now, until the transaction ends, or has been asked then.
            Action::Bound { .. } | Action::Hidden | Action::Unseen { .. } => {
                self.commits = Commits::Perhaps;
                if self.clarity == Clarity::Clear {
                    self.clarity = Clarity::Blurred;
                }
            }
        }
    }

    /// Whether statements between these changes, and behind what is on its way, may run as somebody else than on a fresh
    /// server: that is who has logged in, or the role that its own settings say.
    pub(crate) fn may_be_somebody_else(&self, changes: &[Change]) -> bool {
        let is_pending = |step: &Step| match step {
            Step::Changes(changes) => may_change_identity(changes),
            Step::Script(script) => script.changes().any(may_change_identity),
            Step::Savepoint(_) | Step::Several => true,
        };
        IDENTITY.iter().any(|name| self.current.get(name).is_some())
            || self.clarity != Clarity::Clear
            || may_change_identity(changes)
            || self.pending.iter().any(is_pending)
    }

    /// What the server says of a parameter outside a transaction.
    pub(crate) fn learn(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(|value| Value::Config(canonical(name, value, None).into()));
        self.change(name, value.as_ref(), Scope::Session);
        self.keep();
    }

    fn reset(&mut self, name: &str, scope: Scope) {
        let value = self.defaults.get(name).cloned();
        if value.is_some() {
            self.revoked.push(name.into());
            // Nothing of what there was stays.
            self.change(name, None, scope);
        }
        self.change(name, value.as_ref(), scope);
        if name == "session_authorization" {
            // The role goes back, too (`set_config_with_handle` in `src/backend/utils/misc/guc.c`).
            self.reset("role", scope);
        }
    }

    pub(super) fn change(&mut self, name: &str, value: Option<&Value>, scope: Scope) {
        self.touched = Touched::Yes;
        if let (DATE_STYLE, Some(new)) = (name, value) {
            let current = joined(self.current.get(name), new);
            let lasting = joined(self.lasting.get(name), new);
            assign(&mut self.current, name, Some(&current));
            if scope == Scope::Session {
                assign(&mut self.lasting, name, Some(&lasting));
            }
            return self.share();
        }
        assign(&mut self.current, name, value);
        if scope == Scope::Session {
            assign(&mut self.lasting, name, value);
        }
        self.share();
    }

    /// Goes back to the sets that others share when the values are the same again.
    fn share(&mut self) {
        for settings in [&mut self.lasting, &mut self.current] {
            let known =
                [&self.committed, &self.defaults].into_iter().find(|known| ***known == **settings);
            if let Some(known) = known {
                *settings = Arc::clone(known);
            }
        }
        if *self.current == *self.lasting {
            self.current = Arc::clone(&self.lasting);
        }
    }
}

/// Whether one of them may be about who runs statements.
fn may_change_identity(changes: &[Change]) -> bool {
    changes.iter().any(|change| match change.name() {
        Some(name) => IDENTITY.contains(&name),
        None => matches!(change.action, Action::Bound { .. } | Action::Hidden),
    })
}

fn assign(settings: &mut Arc<Settings>, name: &str, value: Option<&Value>) {
    // SET SESSION AUTHORIZATION also ends SET ROLE, even if it changes nothing itself.
    let ends_role = name == "session_authorization" && settings.get("role").is_some();
    if ends_role || settings.get(name) != value {
        let settings = Arc::make_mut(settings);
        settings.set(name, value.cloned());
        if ends_role {
            settings.set("role", None);
        }
    }
}

/// Reported parameters that a session can set, of those that PostgreSQL marks GUC_REPORT.
pub(crate) fn is_settable(name: &str) -> bool {
    [
        "application_name",
        "client_encoding",
        "DateStyle",
        "IntervalStyle",
        "search_path",
        "standard_conforming_strings",
        "TimeZone",
    ]
    .contains(&name)
}
