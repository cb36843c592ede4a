use proptest::prelude::*;

use super::*;

fn parse(url: &str) -> Result<NodeUrl, UrlError> {
    parse_node_url(url, "app")
}

#[test]
fn a_full_url_is_taken_apart() {
    let node = parse("postgresql://al%40ice:p%3A%2Fw@db.example:6000/my%20db?sslmode=verify-full&sslrootcert=/ca.pem")
        .unwrap();
    assert_eq!(node.name, "db.example:6000");
    assert_eq!(node.host, Host::Tcp("db.example".to_owned()));
    assert_eq!(node.port, 6000);
    assert_eq!(node.user.as_deref(), Some("al@ice"));
    assert_eq!(node.password.as_ref().map(Secret::expose), Some("p:/w"));
    assert_eq!(node.dbname, "my db");
    assert_eq!(node.sslmode, Some(ServerTlsMode::VerifyFull));
    assert_eq!(node.ca_file, Some(PathBuf::from("/ca.pem")));
    assert_eq!(node.redacted(), "postgres://al@ice:***@db.example:6000/my db");
}

#[test]
fn what_is_missing_has_the_usual_default() {
    let node = parse("postgres://localhost").unwrap();
    assert_eq!((node.port, node.dbname.as_str(), node.user), (5432, "app", None));
    assert_eq!((node.weight, node.sslmode), (1, None));
}

#[test]
fn ipv6_hosts_stand_in_brackets() {
    let node = parse("postgres://u@[::1]:6000/db").unwrap();
    assert_eq!((node.name.as_str(), node.host), ("[::1]:6000", Host::Tcp("::1".to_owned())));
    for bad in ["postgres://[::1/db", "postgres://[::1]x/db", "postgres://[nonsense]/db"] {
        assert_eq!(parse(bad), Err(UrlError::Host), "{bad}");
    }
    assert_eq!(parse("postgres://::1/db"), Err(UrlError::NoHost));
}

#[test]
fn unix_sockets_are_directories() {
    for url in
        ["postgres:///db?host=/run/postgresql&port=5433", "postgres://%2Frun%2Fpostgresql:5433/db"]
    {
        let node = parse(url).unwrap();
        assert_eq!(node.host, Host::Unix(PathBuf::from("/run/postgresql")), "{url}");
        assert_eq!((node.port, node.name.as_str()), (5433, "/run/postgresql:5433"));
        assert_eq!(node.redacted(), "postgres:///db?host=/run/postgresql&port=5433");
    }
}

#[test]
fn a_password_with_an_unescaped_slash_or_at_sign_is_still_a_password() {
    let node = parse("postgres://u:a/b@c@host/db").unwrap();
    assert_eq!(node.password.as_ref().map(Secret::expose), Some("a/b@c"));
    assert_eq!(node.name, "host:5432");
}

#[test]
fn every_slip_is_told() {
    use UrlError as E;
    for (url, error) in [
        ("", E::Scheme),
        ("mysql://host/db", E::Scheme),
        ("host=localhost", E::Scheme),
        ("postgres://", E::NoHost),
        ("postgres:///db", E::NoHost),
        ("postgres://a,b/db", E::Host),
        ("postgres://host:0/db", E::Port),
        ("postgres://host:65536/db", E::Port),
        ("postgres://host:x/db", E::Port),
        ("postgres://:pw@host/db", E::PasswordWithoutUser),
        ("postgres://u:%zz@host/db", E::Escape("password")),
        ("postgres://u:%+1@host/db", E::Escape("password")),
        ("postgres://u:%@host/db", E::Escape("password")),
        ("postgres://u:%ff@host/db", E::Escape("password")),
        ("postgres://u:%00@host/db", E::Escape("password")),
        ("postgres://u:p#q@host/db", E::Fragment),
        ("postgres://u:5432?q@host/db", E::QuestionMark),
        ("postgres://host/db?sslmod=require", E::Parameter("sslmod".to_owned())),
        ("postgres://host/db?host=/tmp", E::Twice("host".to_owned())),
        ("postgres://host:1/db?port=2", E::Twice("port".to_owned())),
    ] {
        assert_eq!(parse(url), Err(error), "{url}");
    }
    let error = parse("postgres://host/db?sslmode=on").unwrap_err().to_string();
    assert!(
        error.starts_with("sslmode: unknown value \"on\"; valid values are \"disable\""),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_text_is_answered(text: String) {
        let _ = parse(&text);
        let _ = parse(&format!("postgres://{text}"));
    }

    #[test]
    fn no_error_repeats_the_password(password in "[a-zA-Z]{25,40}", tail in "[/:@?%\\[\\]&=a-z]{0,12}") {
        if let Err(error) = parse(&format!("postgres://u:{password}@{tail}")) {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(&password), "{}", shown);
        }
    }

    #[test]
    fn escaped_parts_come_back(user in "\\PC{1,12}", password in "\\PC{1,12}") {
        let escape = |text: &str| {
            let digits: Vec<_> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            digits.concat()
        };
        let node = parse(&format!("postgres://{}:{}@host", escape(&user), escape(&password))).unwrap();
        prop_assert_eq!(node.user, Some(user));
        prop_assert_eq!(node.password.as_ref().map(Secret::expose), Some(password.as_str()));
    }
}
