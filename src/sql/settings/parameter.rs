//! What is known of a parameter, whatever its value.

use super::{Action, Change, Operand, Scope, ValueKind};

/// What is known of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What kind of value it has, if that has several spellings.
    pub kind: Option<ValueKind>,
    /// Who may set it.
    pub setter: Setter,
}

/// Who may set a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setter {
    /// Any role.
    Anybody,
    /// Superusers and who has been granted it, or who is allowed what its value names.
    Privileged,
}

/// Its value is checked against the privileges of who sets it (`check_temp_tablespaces` in
/// `src/backend/commands/tablespace.c`).
const TABLESPACES: &str = "temp_tablespaces";

/// Those that superusers may set in a session and `pg_settings` shows to nobody else (`GUC_SUPERUSER_ONLY` in
/// `src/backend/utils/misc/guc_tables.c`).
const HIDDEN: [&str; 3] =
    ["dynamic_library_path", "extension_control_path", "session_preload_libraries"];

impl Parameter {
    /// A parameter by its row in `pg_settings`: its name, its type, its unit, and its context
    /// (<https://www.postgresql.org/docs/current/view-pg-settings.html>).
    pub fn of(name: &str, (vartype, unit): (&str, &str), context: &str) -> Self {
        let is_free = context == "user" && name != TABLESPACES;
        let setter = if is_free { Setter::Anybody } else { Setter::Privileged };
        Self { kind: ValueKind::of(vartype, unit), setter }
    }
}

impl Setter {
    /// Who may set the parameter `name`, of which the catalog tells nothing: it is made up, unless it is hidden.
    pub fn of_unknown(name: &str) -> Self {
        if HIDDEN.contains(&name) { Self::Privileged } else { Self::Anybody }
    }
}

impl Change {
    /// The one parameter that this is about; `None` if it is about several, or if that is not known.
    pub fn name(&self) -> Option<&str> {
        match &self.action {
            Action::Reset { name } | Action::Bound { name: Operand::Text(name), .. } => Some(name),
            Action::Bound { .. } | Action::ResetAll | Action::Transaction | Action::Hidden => None,
            Action::Set { name, .. } | Action::Config { name, .. } | Action::Unseen { name } => {
                Some(name)
            }
        }
    }

    /// The parameter to which this gives a value for the rest of the session, if there is one.
    pub fn lasting(&self) -> Option<&str> {
        match (self.scope, &self.action) {
            (Scope::Local, _) | (_, Action::Reset { .. }) => None,
            (Scope::Session, _) => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::settings::changes;

    #[test]
    fn who_may_set_what() {
        let setter = |name, context| Parameter::of(name, ("bool", ""), context).setter;
        assert_eq!(setter("jit", "user"), Setter::Anybody);
        assert_eq!(setter("deadlock_timeout", "superuser"), Setter::Privileged);
        assert_eq!(setter("temp_tablespaces", "user"), Setter::Privileged);
        assert_eq!(Setter::of_unknown("my.own"), Setter::Anybody);
        assert_eq!(Setter::of_unknown("dynamic_library_path"), Setter::Privileged);
    }

    #[test]
    fn what_a_change_is_about() {
        let about = |sql: &str| {
            let changes = changes(sql.as_bytes()).unwrap();
            let owned = |name: Option<&str>| name.map(str::to_owned);
            (owned(changes[0].name()), owned(changes[0].lasting()))
        };
        let (jit, role) = (Some("jit".to_owned()), Some("role".to_owned()));
        assert_eq!(about("set jit = off"), (jit.clone(), jit.clone()));
        assert_eq!(about("set local role x"), (role.clone(), None));
        assert_eq!(about("reset jit"), (jit.clone(), None));
        assert_eq!(about("select set_config('role', 'x', false)"), (role.clone(), role));
        assert_eq!(about("reset all"), (None, None));
        assert_eq!(about("set transaction read only"), (None, None));
    }
}
