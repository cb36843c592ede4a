//! How a server is given the startup values that a client has reset something to: it knows others as its defaults.

use super::{Parameters, Step};
use crate::server::settings::{IDENTITY, OURS, Settings, Value, set_config};
use crate::sql::settings::{Action, Change, Scope};

impl Parameters {
    /// Appends the query that gives a server the startup values that the last step on its way resets to: it knows
    /// others as its defaults. Nothing if there are none; all of them wait for the client's next server if one is denied by
    /// `may_set`.
    pub(crate) fn startup_sql(&self, may_set: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        let Some(Step::Changes(changes)) = self.pending.back() else { return };
        let [Change { scope, action }] = &**changes else { return };
        if *action == Action::ResetAll && !self.defaults.iter().all(|(name, _)| may_set(name)) {
            return;
        }
        let is_local: &[u8] = if *scope == Scope::Local { b"true" } else { b"false" };
        self.give_back(is_local, out, |name| match action {
            // That of the session's user takes the role with it.
            Action::Reset { name: reset } if **reset == *IDENTITY[0] => IDENTITY.contains(&name),
            Action::Reset { name: reset } => **reset == *name,
            Action::ResetAll => !IDENTITY.contains(&name),
            _ => false,
        });
    }

    /// The same for DISCARD ALL.
    pub(crate) fn all_startup_sql(&self, out: &mut Vec<u8>) {
        self.give_back(b"false", out, |_| true);
    }

    /// Appends statements without rows that set what the last step on its way leaves reset to the startup values. Returns
    /// whether there are any.
    pub(crate) fn append_startup(&self, may_set: impl Fn(&str) -> bool, out: &mut Vec<u8>) -> bool {
        let Some(Step::Changes(changes)) = self.pending.back() else { return false };
        let is_reset = |name: &str| {
            let last = changes.iter().rev().find_map(|change| change.resets(name));
            last == Some(true)
        };
        if self.defaults.iter().any(|(name, _)| is_reset(name) && !may_set(name)) {
            return false;
        }
        let mut values = Settings::default();
        for (name, value) in self.defaults.iter().filter(|(name, _)| is_reset(name)) {
            values.set(name, Some(value.clone()));
        }
        let before = out.len();
        if values.has_plain_sql() {
            values.assign_all(out);
        }
        out.len() > before
    }

    fn give_back(&self, is_local: &[u8], out: &mut Vec<u8>, is_wanted: impl Fn(&str) -> bool) {
        // Who runs statements comes last.
        let (first, last): (Vec<_>, Vec<_>) =
            self.defaults.iter().partition(|(name, _)| !IDENTITY.contains(name));
        for (name, value) in first.into_iter().chain(last.into_iter().rev()) {
            if let (true, Value::Config(value)) =
                (is_wanted(name) && !name.starts_with(OURS), value)
            {
                out.extend_from_slice(if out.is_empty() { b"SELECT " } else { b"," });
                set_config(out, name, value, is_local);
            }
        }
    }
}
