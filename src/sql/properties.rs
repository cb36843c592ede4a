//! What holds for every text.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn verdict_of(sql: &str) -> Verdict {
    Classifier::new(16).classify(sql.as_bytes(), &LiveCatalog::default())
}

/// Fragments that together make many texts that are nearly or truly SQL.
fn fragment() -> impl Strategy<Value = String> {
    let words = select(vec![
        "select",
        "from",
        "where",
        "t",
        "a",
        "(",
        ")",
        ",",
        ";",
        "*",
        "with x as",
        "union",
        "values",
        "table",
        "insert into t",
        "update t set",
        "delete from",
        "for update",
        "into",
        "set",
        "local",
        "set_config",
        "nextval",
        "now",
        "f",
        "pg_temp.x",
        "temp",
        "create",
        "explain",
        "copy",
        "to stdout",
        "begin",
        "commit",
        "order by",
        "'",
        "\"",
        "$$",
        "$a$",
        "/*",
        "*/",
        "--",
        "\n",
        "E'",
        "U&'",
        "::int",
        "[1]",
        "1",
        "1.5",
        "$1",
        "'s'",
        "-",
        "+",
        "@>",
        "###",
        ".",
        "as",
        "join",
        "on true",
        "case when",
        "then",
        "end",
        "not",
        "\\",
        "é",
        "pg_class",
        "limit",
        "deallocate",
        "reset",
        "all",
        "=",
        "true",
        "/* pglagoon: replica */",
    ]);
    prop_oneof![
        9 => words.prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -&(-~]{0,12}".prop_map(|text| format!("'{text}'")),
        Just("'delete from t; select nextval(''s'')'".to_owned()),
        Just("'pg_temp'".to_owned()),
    ]
}

/// Literals, and what looks like some.
fn any_literal() -> impl Strategy<Value = String> {
    let oddities = vec![
        "''",
        "''''",
        "'a''b'",
        "'a' 'b'",
        "'a'\n'b'",
        "'\\'",
        "E'\\''",
        "e'x'",
        "'é'",
        "B'1'",
        "N'n'",
        "U&'u'",
        "$$d$$",
        "1.5",
        ".5",
        "1.",
        "1e5",
        "0x1f",
        "1_000",
        "$1",
        "-1",
        "- 1",
        "1a",
        "a1",
        "(1)",
        "1;",
        "1 /* pglagoon: primary */",
        "'",
        "now()",
        "f(1)",
    ];
    prop_oneof![
        4 => "[0-9]{1,20}",
        2 => literal(),
        2 => select(oddities).prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        let catalog = LiveCatalog::default();
        Classifier::new(16).classify(&bytes, &catalog);
        settings::changes(&bytes);
        prepared::deallocate(&bytes);
        hint::leading(&bytes);
    }

    #[test]
    fn a_warm_cache_gives_the_same_answer(texts in vec(vec(fragment(), 0..12), 1..12)) {
        let catalog = LiveCatalog::default();
        let mut warm = Classifier::new(4);
        for _ in 0..2 {
            for text in &texts {
                let sql = text.join(" ");
                prop_assert_eq!(
                    warm.classify(sql.as_bytes(), &catalog),
                    verdict_of(&sql),
                    "{}", sql
                );
            }
        }
    }

    #[test]
    fn literals_do_not_matter(
        parts in vec(fragment().prop_filter("no hint", |part| !part.contains("pglagoon")), 1..10),
        pair in (literal(), literal()),
        at in 0_usize..10,
    ) {
        let (left, right) = pair;
        let text = |literal: &str| {
            let mut parts = parts.clone();
            parts.insert(at.min(parts.len()), literal.to_owned());
            parts.join(" ")
        };
        let (left, right) = (text(&left), text(&right));
        let (one, other) = (verdict_of(&left), verdict_of(&right));
        if one.fingerprint == other.fingerprint && one.fingerprint != 0 {
            prop_assert_eq!(one, other, "{} | {}", left, right);
        }
    }

    #[test]
    fn texts_that_differ_in_literals_are_judged_as_if_met_first(
        parts in vec(fragment(), 0..4),
        literals in vec(vec(any_literal(), 0..4), 2..5),
        glue in select(vec!["", " ", ",", "\n", "--", "-", ".", "'"]),
    ) {
        let catalog = LiveCatalog::default();
        let mut warm = Classifier::new(16);
        for literals in &literals {
            let parts = parts.iter().chain(literals).map(String::as_str).collect::<Vec<_>>();
            let sql = format!("select a from t where a = {};", parts.join(glue));
            for _ in 0..3 {
                prop_assert_eq!(
                    warm.classify(sql.as_bytes(), &catalog),
                    verdict_of(&sql),
                    "{}", sql
                );
            }
        }
    }

    #[test]
    fn a_write_keyword_outside_literals_is_never_read(
        before in vec(fragment(), 0..6),
        keyword in select(vec![
            "insert", "UPDATE", "delete", "Merge", "truncate", "into", "call",
            "nextval(", "for share", "pg_notify (",
        ]),
        after in vec(fragment(), 0..6),
    ) {
        let sql = format!("select {} {keyword} {}", before.join(" "), after.join(" "));
        let mut canonical = Canonical::default();
        // Only where all literals are masked does the form show no keyword of a literal.
        let is_masked = canonical.write(sql.as_bytes()) == Ok(Masking::Full);
        let form = format!(" {}", String::from_utf8_lossy(canonical.form()));
        let keyword = keyword.to_lowercase().replace(" (", "(").replace('(', " (");
        let is_outside = is_masked && form.contains(&format!(" {keyword} "));
        if is_outside && !sql.contains('"') {
            prop_assert_ne!(verdict_of(&sql).class, Class::Read, "{}", sql);
        }
    }

    #[test]
    fn settings_without_opaque_can_be_read(parts in vec(fragment(), 0..10)) {
        let sql = format!("set {}", parts.join(" "));
        let Verdict { effects, .. } = verdict_of(&sql);
        if effects.contains(Effects::SETS) && !effects.intersects(Effects::OPAQUE | Effects::MULTI) {
            prop_assert!(settings::changes(sql.as_bytes()).is_some(), "{}", sql);
        }
    }
}
