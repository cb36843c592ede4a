use super::encoding::check;
use super::*;

/// The kinds and texts of all tokens.
fn lex(sql: &str) -> Result<Vec<(Kind, &str)>, Unlexable> {
    Lexer::new(sql.as_bytes())
        .map(|token| token.map(|token| (token.kind, std::str::from_utf8(token.text).unwrap())))
        .collect()
}

fn texts(sql: &str) -> Vec<&str> {
    lex(sql).unwrap().into_iter().map(|(_, text)| text).collect()
}

#[test]
fn strings_end_where_postgresql_ends_them() {
    for (sql, kind) in [
        ("'it''s'", Kind::String),
        ("'back\\'", Kind::String),
        ("E'quote \\' and \\\\'", Kind::EscapeString),
        ("e'a''b'", Kind::EscapeString),
        ("U&'d\\0061t'", Kind::UnicodeString),
        ("n'x'", Kind::NationalString),
        ("B'01'", Kind::BitString),
        ("x'1F'", Kind::BitString),
        ("$$a'b$$", Kind::DollarString),
        ("$a1$ $$ $b$ $a$ $a1$", Kind::DollarString),
        ("$é$x$é$", Kind::DollarString),
        ("'a' \n 'b'", Kind::String),
        ("'a' -- c\n-- 'd'\n\t'b'", Kind::String),
        ("E'a'\n'b\\''", Kind::EscapeString),
        ("\"a\"\"b\"", Kind::QuotedWord),
        ("U&\"a\"", Kind::UnicodeWord),
    ] {
        assert_eq!(lex(sql), Ok(vec![(kind, sql)]), "{sql}");
    }
    assert_eq!(texts("'a' 'b'"), ["'a'", "'b'"]);
    assert_eq!(texts("'a' /* \n */ 'b'"), ["'a'", "'b'"]);
    assert_eq!(texts("'a'-- x"), ["'a'"]);
    assert_eq!(texts("'a'-'b'"), ["'a'", "-", "'b'"]);
}

#[test]
fn words_parameters_and_numbers() {
    assert_eq!(texts("a$b $1$a$x$a$"), ["a$b", "$1", "$a$x$a$"]);
    assert_eq!(texts("été_1 _x"), ["été_1", "_x"]);
    assert_eq!(texts("e 'x' u & 'y'"), ["e", "'x'", "u", "&", "'y'"]);
    for number in ["1", "1_000", "0x1F", "0b10", "0o17", ".5", "1.", "1.5", "1e5", "1.5E-3"] {
        assert_eq!(texts(number), [number]);
    }
    assert_eq!(lex("12"), Ok(vec![(Kind::Integer, "12")]));
    assert_eq!(lex("1_2"), Ok(vec![(Kind::Number, "1_2")]));
    assert_eq!(texts("1..10"), ["1", "..", "10"]);
    assert_eq!(texts("a[1:2]"), ["a", "[", "1", ":", "2", "]"]);
    assert_eq!(texts("a::b:=c.d"), ["a", "::", "b", ":=", "c", ".", "d"]);
}

#[test]
fn operators_are_cut_as_in_the_manual() {
    assert_eq!(texts("1*-2"), ["1", "*", "-", "2"]);
    assert_eq!(texts("a@-b"), ["a", "@-", "b"]);
    assert_eq!(texts("a<>-1"), ["a", "<>", "-", "1"]);
    assert_eq!(texts("a+--b"), ["a", "+"]);
    assert_eq!(texts("a*/* c */b"), ["a", "*", "b"]);
    assert_eq!(texts("a->>'b'"), ["a", "->>", "'b'"]);
    assert_eq!(texts("+-"), ["+", "-"]);
    assert_eq!(texts("@>-"), ["@>-"]);
}

#[test]
fn comments_nest_and_end_at_either_newline() {
    assert_eq!(texts("a /* b /* c */ d */ e"), ["a", "e"]);
    assert_eq!(texts("a /**/ b /***/ c"), ["a", "b", "c"]);
    assert_eq!(texts("a -- b\rc -- d"), ["a", "c"]);
}

#[test]
fn what_versions_disagree_on_is_refused() {
    for (sql, error) in [
        ("'a", Unlexable::Unterminated),
        ("E'a\\", Unlexable::Unterminated),
        ("\"a", Unlexable::Unterminated),
        ("/* /* */", Unlexable::Unterminated),
        ("/*/", Unlexable::Unterminated),
        ("$a$ $b$", Unlexable::Unterminated),
        ("'a'\n'b", Unlexable::Unterminated),
        ("1a", Unlexable::Junk),
        ("1e", Unlexable::Junk),
        ("0x", Unlexable::Junk),
        ("$1a", Unlexable::Junk),
        ("$a", Unlexable::Stray),
        ("{", Unlexable::Stray),
        ("a\u{b}b", Unlexable::Stray),
    ] {
        assert_eq!(lex(sql), Err(error), "{sql}");
    }
    assert_eq!(check(b"a\0b"), Err(Unlexable::Encoding));
    assert_eq!(check(b"a\xffb"), Err(Unlexable::Encoding));
    assert_eq!(check("é".as_bytes()), Ok("é"));
}

#[test]
fn the_first_error_is_the_last_item() {
    let mut lexer = Lexer::new(b"a { b");
    assert!(lexer.next().is_some_and(|token| token.is_ok()));
    assert_eq!(lexer.next(), Some(Err(Unlexable::Stray)));
    assert_eq!(lexer.next(), None);
}
