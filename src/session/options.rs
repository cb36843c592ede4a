//! The `options` parameter of a startup packet: command-line switches for the server process.
//!
//! Only those that set a parameter mean something to a session that has many servers. The splitting is that of
//! `pg_split_opts` in `src/backend/utils/init/postinit.c`, the switches those of `process_postgres_switches` in
//! `src/backend/tcop/postgres.c`.

/// Splits at white space that no backslash precedes; a backslash makes the next character an ordinary one.
fn split(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = options.chars();
    let mut is_word = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                word.extend(characters.next());
                is_word = true;
            }
            space if space.is_ascii_whitespace() => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => {
                word.push(other);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

/// The parameters that `options` sets, in order.
///
/// # Errors
///
/// The first word that is not `-c name=value` or `--name=value`.
pub(super) fn parse(options: &str) -> Result<Vec<(String, String)>, String> {
    let mut parameters = Vec::new();
    let mut words = split(options).into_iter();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next().ok_or_else(|| word.clone())?
        } else if let Some(rest) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            rest.to_owned()
        } else {
            return Err(word);
        };
        let (name, value) = assignment.split_once('=').ok_or(word)?;
        // `ParseLongOption` in guc.c
        parameters.push((name.replace('-', "_").to_ascii_lowercase(), value.to_owned()));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(options: &str) -> Vec<(String, String)> {
        parse(options).unwrap()
    }

    #[test]
    fn both_forms_set_parameters() {
        assert_eq!(
            pairs("-c search_path=a,b  --statement-timeout=5s -cgeqo=off"),
            [
                ("search_path".into(), "a,b".into()),
                ("statement_timeout".into(), "5s".into()),
                ("geqo".into(), "off".into())
            ]
        );
    }

    #[test]
    fn a_backslash_keeps_a_space() {
        assert_eq!(
            pairs(r"-c application_name=my\ app"),
            [("application_name".into(), "my app".into())]
        );
        assert_eq!(pairs(r"-c a=\\"), [("a".into(), "\\".into())]);
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        assert_eq!(parse("-B 100"), Err("-B".into()));
        assert_eq!(parse("-c"), Err("-c".into()));
        assert_eq!(parse("-c a"), Err("-c".into()));
        assert!(pairs("   ").is_empty());
    }
}
