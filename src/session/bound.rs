//! Statements that set parameters to values that come by Bind: `select set_config('role', $1, true)`.

use crate::protocol::frontend::{self, Bind};
use crate::server::statements::Statement;
use crate::sql::Effects;
use crate::sql::settings::{self, Change, Operand};

/// Types of parameters whose text and binary form is the text itself: not given, `text`, `unknown`, `varchar`.
const TEXTUAL: [[u8; 4]; 4] =
    [0_u32.to_be_bytes(), 25_u32.to_be_bytes(), 705_u32.to_be_bytes(), 1043_u32.to_be_bytes()];

/// What `statement` changes when it is run with the values of `bind`; `None` if they do not matter, or if that is not
/// known.
pub(super) fn changes(statement: &Statement, bind: &Bind<'_>) -> Option<Vec<Change>> {
    let is_concerned = statement.verdict.effects.contains(Effects::SETS);
    if !is_concerned || !statement.query.contains(&b'$') {
        return None;
    }
    bind_all(settings::lone_changes(&statement.query)?, &statement.types, bind.rest)
}

/// These changes with the values of a Bind, if those that are needed are known. `types` are those of Parse, `rest` is
/// what follows the names in the Bind.
pub(super) fn bind_all(changes: Vec<Change>, types: &[u8], rest: &[u8]) -> Option<Vec<Change>> {
    let values = frontend::bind_values(rest).ok()?;
    let types = types.get(2..).unwrap_or_default().as_chunks().0;
    let value = |number: u16| {
        let index = usize::from(number).checked_sub(1)?;
        let declared = types.get(index).copied().unwrap_or_default();
        TEXTUAL.contains(&declared).then_some(())?;
        Some(match values.get(index)? {
            None => Operand::Null,
            Some(value) => Operand::Text(std::str::from_utf8(value).ok()?.to_owned()),
        })
    };
    changes.into_iter().map(|change| change.bind(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::ours::NO_TYPES;
    use crate::sql::settings::{Action, Scope};

    fn bound(sql: &str, (types, values): (&[u8], &[Option<&str>])) -> Option<Vec<Change>> {
        let mut rest = vec![0, 1, 0, 1];
        rest.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            let len = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            rest.extend(len.to_be_bytes());
            rest.extend(value.unwrap_or_default().bytes());
        }
        rest.extend([0, 0]);
        bind_all(settings::lone_changes(sql.as_bytes()).unwrap(), types, &rest)
    }

    #[test]
    fn text_is_text_in_both_formats() {
        let sql = "select set_config('role', $1, true), set_config($2, $3, false)";
        let config = |scope, name: &str, value: &str| Change {
            scope,
            action: Action::Config { name: name.into(), value: value.into() },
        };
        let values = [Some("alice"), Some("App.x"), Some("it's")];
        let expected =
            vec![config(Scope::Local, "role", "alice"), config(Scope::Session, "app.x", "it's")];
        let all_text = [0, 3, 0, 0, 0, 25, 0, 0, 4, 19, 0, 0, 2, 193];
        for types in [NO_TYPES, &all_text] {
            assert_eq!(bound(sql, (types, &values)), Some(expected.clone()));
        }
        // bpchar is not, and a value may be missing.
        let unseen =
            Change { scope: Scope::Session, action: Action::Unseen { name: "app.x".into() } };
        let expected = Some(vec![config(Scope::Local, "role", "alice"), unseen]);
        assert_eq!(bound(sql, (&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 18], &values)), expected);
        assert_eq!(bound(sql, (NO_TYPES, &values[..2])), expected);
        assert_eq!(bound(sql, (&[0, 2, 0, 0, 0, 0, 0, 0, 4, 18], &values)), None);
        let null = bound("select set_config('A', $1, true)", (NO_TYPES, &[None]));
        let reset = Change { scope: Scope::Local, action: Action::Reset { name: "a".into() } };
        assert_eq!(null, Some(vec![reset]));
    }
}
