use proptest::strategy::Strategy as _;

use super::*;

fn form(sql: &str) -> String {
    let mut canonical = Canonical::default();
    canonical.write(sql.as_bytes()).unwrap();
    String::from_utf8(canonical.form().to_vec()).unwrap().trim_end().to_owned()
}

#[test]
fn literals_keep_their_kind_and_words_their_meaning() {
    assert_eq!(form("SELECT A, \"B\" FROM T"), "select a , \"B\" from t");
    assert_eq!(form("select 'a', E'b', 1, 1.5, $3"), "select 's' , E'e' , 1 , 1.5 , $1");
    assert_eq!(form("select U&'a', N'b', x'1', $$c$$"), "select U&'u' , N'n' , B'0' , 'd'");
    assert_eq!(form("a/*x*/-- y\n.b"), "a . b");
    assert_eq!(form("a - -1"), "a - - 1");
}

#[test]
fn lists_of_literals_are_shortened_to_two() {
    assert_eq!(form("a in (7)"), "a in ( 1 )");
    assert_eq!(form("a in (7, 8)"), "a in ( 1 , 1 )");
    assert_eq!(form("a in (7, 8, 9, 10)"), "a in ( 1 , 1 )");
    assert_eq!(form("(1, 'a', 2, 'b', 3)"), "( 1 , 's' , 1 , 's' , 1 )");
    assert_eq!(form("f(1, 2, a, 3)"), "f ( 1 , 1 , a , 1 )");
    assert_eq!(form("1, 2, 3 + 4, 5, 6"), "1 , 1 + 1 , 1");
}

#[test]
fn equal_rows_are_shortened_to_one() {
    assert_eq!(form("values (1, 'a'), (2, 'b'), (3, 'c')"), "values ( 1 , 's' )");
    assert_eq!(form("values (1, null), (2, null)"), "values ( 1 , null )");
    assert_eq!(form("values (1), ('a'), (2)"), "values ( 1 ) , ( 's' ) , ( 1 )");
    assert_eq!(form("values (f(1)), (f(1))"), "values ( f ( 1 ) ) , ( f ( 1 ) )");
    assert_eq!(form("(1) + (1)"), "( 1 ) + ( 1 )");
    assert_eq!(form("(1), 2, (1)"), "( 1 ) , 1 , ( 1 )");
}

#[test]
fn values_of_parameters_are_kept() {
    let mut canonical = Canonical::default();
    assert_eq!(canonical.write(b"select 1; set a = 'b'"), Ok(Masking::Verbatim));
    assert!(canonical.form().ends_with(b"set a = 'b' "));
    assert_eq!(canonical.write(b"update t set a = 'b'"), Ok(Masking::Full));
    assert!(canonical.form().ends_with(b"set a = 's' "));
    assert_eq!(canonical.write(b"select set_config('a', 'b', true)"), Ok(Masking::Verbatim));
    assert!(canonical.form().ends_with(b"( 'a' , 'b' , true ) "));
}

#[test]
fn a_form_that_is_too_long_is_cut() {
    let mut canonical = Canonical::default();
    let wide = "abc,".repeat(Canonical::LIMIT);
    assert_eq!(canonical.write(wide.as_bytes()), Ok(Masking::Overflow));
    assert!(canonical.form().len() < Canonical::LIMIT + 64);
    let word = "a".repeat(Canonical::LIMIT + 1);
    assert_eq!(canonical.write(word.as_bytes()), Ok(Masking::Overflow));
    let broken = format!("{wide} 'unterminated");
    assert_eq!(canonical.write(broken.as_bytes()), Err(Unlexable::Unterminated));
    canonical.shrink();
    assert!(canonical.form().is_empty());
}

/// The form without a look at the bytes: token by token, all literals kept.
fn tokens(sql: &[u8]) -> Result<Vec<u8>, Unlexable> {
    let mut form = Vec::new();
    for token in Lexer::new(sql) {
        let token = token?;
        let text = token.text.to_vec();
        form.extend(if token.kind == Kind::Word { text.to_ascii_lowercase() } else { text });
        form.push(b' ');
    }
    Ok(form)
}

#[test]
fn a_setting_is_seen_behind_comments() {
    let mut canonical = Canonical::default();
    for sql in ["/* a */ set b = 'c'", "-- a\nSET b = 'c'", "x /* a */;/* b */ -- c\n Set b = 'c'"]
    {
        assert_eq!(canonical.write(sql.as_bytes()), Ok(Masking::Verbatim), "{sql}");
        assert!(canonical.form().ends_with(b"set b = 'c' "), "{sql}");
    }
}

proptest::proptest! {
    /// The quick looks of `plain` find the tokens that the lexer finds.
    #[test]
    fn plain_tokens_are_the_tokens_of_the_lexer(
        parts in proptest::collection::vec(
            proptest::prop_oneof![
                "[a-zA-Z_0-9$.é]{1,4}",
                "[-+*/<>=@|&'\"(),;: \n]{1,3}",
                "[ \n/*-]{1,4}",
                proptest::sample::select(vec!["e'", "U&'", "u&\"", "$a$", "'x'", "1.5", "n'y'"])
                    .prop_map(str::to_owned),
            ],
            0..12,
        )
    ) {
        // Behind SET nothing is masked.
        let sql = format!("set {}", parts.concat());
        let mut canonical = Canonical::default();
        let written = canonical.write(sql.as_bytes()).map(|_| canonical.form().to_vec());
        // A group that repeats is the only thing that is dropped then.
        if !sql.contains('(') {
            proptest::prop_assert_eq!(written, tokens(sql.as_bytes()), "{}", sql);
        }
    }
}
