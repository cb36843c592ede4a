use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;

use crate::config::{
    Config, Consistency, Host, ListenAddress, PoolMode, Problems, Sources, Split, UserSecret,
    Workers,
};

const BASE: &str = "
    [databases.app]
    primary = \"postgres://u:pw@host/db\"
";

fn load(text: &str) -> Result<Config, Problems> {
    Sources::new().file(text).load()
}

fn config(more: &str) -> Config {
    load(&format!("{BASE}{more}")).unwrap()
}

/// The problems of `BASE` and `more`, one per line.
fn problems(more: &str) -> String {
    load(&format!("{BASE}{more}")).unwrap_err().to_string()
}

#[test]
fn the_smallest_file_has_the_url_s_user_as_client() {
    let config = config("");
    assert_eq!(config.listen.address, [ListenAddress::Tcp("127.0.0.1:6432".parse().unwrap())]);
    let user = &config.users["u"];
    assert!(matches!(&user.secret, UserSecret::Password(password) if password.expose() == "pw"));
    let node = &config.databases["app"].primary;
    assert_eq!((node.host.clone(), node.dbname.as_str()), (Host::Tcp("host".to_owned()), "db"));
    let login = config.server_login(node, "u");
    assert_eq!((login.user, login.password.unwrap().expose()), ("u", "pw"));
}

#[test]
fn every_problem_is_told_at_once_with_its_key_and_line() {
    let text = r#"
[listen]
address = "nowhere"
workers = 0
[pool]
mode = "statement"
defualt_pool_size = 3
query_wait_timeout = 5
max_db_connections = -1
[routing]
consistency = "linear"
read_write_split = "yes"
[databases.app]
primary = "postgres://u:secret@host:99999/db"
replicas = ["postgres://u:secret@b/db", { url = "mysql://u:secret@c/db", wieght = 2 }, 7]
[users.bob]
[banana]
"#;
    let problems = load(text).unwrap_err();
    let expected = r#"
banana: unknown table; valid here: listen, http, pool, routing, timeouts, limits, logging, admin, tls, databases, users (line 17)
databases.app.primary: the URL's port is not a number from 1 to 65535 (line 14)
databases.app.replicas[1].url: expected a URL such as "postgres://user:password@host:5432/database" (line 15)
databases.app.replicas[1].wieght: unknown key; did you mean "weight"? (line 15)
databases.app.replicas[2]: expected a URL or { url = "...", weight = 1 }, found a number (line 15)
listen.address: "nowhere" is not an IP address with a port, such as "127.0.0.1:6432" or "[::1]:6432" (line 3)
listen.workers: expected "auto" or a number from 1 to 1024 (line 4)
pool.defualt_pool_size: unknown key; did you mean "default_pool_size"? (line 7)
pool.max_db_connections: must not be negative (line 9)
pool.mode: unknown value "statement"; valid values are "transaction", "session" (line 6)
pool.query_wait_timeout: expected a duration such as "5s", found a number (line 8)
routing.consistency: unknown value "linear"; valid values are "eventual", "session", "group", "table", "strong" (line 11)
routing.read_write_split: expected true or false, found a string (line 12)
users.bob.password: missing; give a password, a verifier (SCRAM-SHA-256$... or md5...) or trust = true (line 16)
"#;
    let expected: Vec<_> = expected.trim().lines().map(str::to_owned).collect();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected);
    assert!(!format!("{problems:?}").contains("secret"));
}

#[test]
fn every_slip_of_syntax_is_told_from_top_to_bottom() {
    let told =
        load("[pool]\nmode = 1\nmode = 2\n[users.a]\npassword = hush\n[users.b").unwrap_err();
    let lines: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 3, "{told}");
    for (line, number) in lines.iter().zip([3, 5, 6]) {
        assert!(line.ends_with(&format!("(line {number})")) && !line.contains("hush"), "{told}");
    }
}

#[test]
fn nothing_at_all_is_told_how_to_begin() {
    let told = load("").unwrap_err().to_string();
    assert!(told.starts_with("databases: none is configured; write [databases.<name>]"), "{told}");
    assert!(!told.contains('\n'), "{told}");
}

#[test]
fn a_contradiction_is_told_with_the_line_of_its_key() {
    let told = problems("[pool]\nmin_pool_size = 30\n[tls.client]\nmode = \"allow\"");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].ends_with("default_pool_size, 20 (line 5)"), "{told}");
    assert!(lines[1].ends_with("needs it (line 6)"), "{told}");
}

#[test]
fn what_else_is_found_is_told_with_the_rest_and_with_its_line() {
    let sources = Sources::new().file(format!("{BASE}[pool]\nmode = 1"));
    let told = sources.load_and(|config, problems| {
        assert_eq!(config.databases.len(), 1);
        problems.report("databases.app.primary", "is on fire");
    });
    let told = told.unwrap_err().to_string();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[0], "databases.app.primary: is on fire (line 3)");
    assert!(lines[1].starts_with("pool.mode: expected a string"), "{told}");
}

#[test]
fn one_mistake_is_told_once() {
    for text in [
        "[databases.app]\nprimary = \"postgres://u:pw@h:0\"",
        "[databases]\napp = 1",
        "[databases.app]\nprimary = \"postgres://h\"\n[users.bob]\n[admin]\nadmin_users = [\"bob\"]",
        "[databases.app]\nprimary = \"postgres://h\"\n[users.bob]\npasword = \"\"\ntrust = true\n[admin]\nadmin_users = [\"bob\"]",
    ] {
        let told = load(text).unwrap_err().to_string();
        assert!(!told.contains('\n'), "{told}");
    }
}

#[test]
fn what_is_not_toml_is_told_by_line_without_quoting_it() {
    let problems = load("[users.alice]\npassword = \"hunter2\nx = 1\n").unwrap_err().to_string();
    assert!(problems.contains("(line 2)"), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn settings_of_users_beat_those_of_databases_beat_the_pool_s() {
    let config = config(
        r#"
        pool_size = 7
        min_pool_size = 3
        routing.max_lag = "9s"
        [routing]
        read_write_split = false
        [users.alice]
        password = "x"
        pool_size = 5
        pool_mode = "session"
        max_connections = 0
        [pool]
        max_db_connections = 50
        max_user_connections = 60
        [limits]
        max_user_client_connections = 70
        "#,
    );
    let (database, alice) = (&config.databases["app"], &config.users["alice"]);
    let size = config.pool_size(database, alice);
    assert_eq!((size.mode, size.size, size.min), (PoolMode::Session, 5, 3));
    assert_eq!(config.max_db_connections(database), Some(50));
    assert_eq!(config.max_user_connections(alice), None);
    assert_eq!(config.max_db_client_connections(database), None);
    assert_eq!(config.max_user_client_connections(alice), Some(70));
    assert_eq!(database.routing.max_lag, Duration::from_secs(9));
    assert_eq!(database.routing.read_write_split, Split::Off);
    assert_eq!(config.routing.max_lag, Duration::from_secs(1));
}

#[test]
fn replicas_have_weights_and_zones() {
    let config = config(
        "replicas = [\"postgres://u@b\", { url = \"postgres://u@c\", weight = 2, zone = \"z\" }]",
    );
    let replicas = &config.databases["app"].replicas;
    assert_eq!((replicas[0].weight, replicas[0].dbname.as_str()), (1, "app"));
    assert_eq!((replicas[1].weight, replicas[1].zone.as_deref()), (2, Some("z")));
}

#[test]
fn listening_takes_lists_and_unix_sockets() {
    let address = |text: &str| config(&format!("[listen]\naddress = {text}")).listen.address;
    let unix = |port| ListenAddress::Unix { directory: "/run/lagoon".into(), port };
    assert_eq!(
        address(r#"["[::1]:1", "/run/lagoon", "/run/lagoon:7"]"#),
        [ListenAddress::Tcp("[::1]:1".parse().unwrap()), unix(6432), unix(7)]
    );
    assert_eq!(unix(7).socket_path().unwrap().to_str(), Some("/run/lagoon/.s.PGSQL.7"));
    assert!(problems("[listen]\naddress = []").starts_with("listen.address: at least one"));
}

#[test]
fn an_open_address_needs_passwords_or_consent() {
    let open = "[listen]\naddress = \"0.0.0.0:6432\"\n[users.bob]\ntrust = true";
    assert!(problems(open).starts_with("users.bob: has no password, and 0.0.0.0:6432"));
    let sources = Sources::new().file(format!("{BASE}{open}"));
    assert_eq!(sources.insecure().load().unwrap().users["bob"].secret, UserSecret::Trust);
    let clear = "[listen]\naddress = \"0.0.0.0:6432\"\nauth_method = \"password\"";
    assert!(problems(clear).starts_with("listen.auth_method: \"password\" sends clear text"));
}

#[test]
fn secrets_are_passwords_verifiers_or_trust() {
    let scram = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy";
    let md5 = "md50123456789abcdef0123456789abcdef";
    let more = format!(
        "[users.a]\npassword = {scram:?}\n[listen]\nauth_method = \"md5\"\n[users.b]\npassword = {md5:?}"
    );
    let config = config(&more);
    for (name, text) in [("a", scram), ("b", md5)] {
        let secret = &config.users[name].secret;
        assert!(matches!(secret, UserSecret::Verifier(secret) if secret.expose() == text));
        assert!(config.users[name].server_password().is_none());
    }
    assert!(problems(&format!("[users.b]\npassword = {md5:?}")).contains("an md5 hash cannot"));
    let broken = "[users.b]\npassword = \"SCRAM-SHA-256$x\"";
    assert!(problems(broken).starts_with("users.b.password: is no valid SCRAM verifier"));
    assert!(problems("[users.b]\npassword = \"\"").contains("is empty"));
    assert!(problems("[users.b]\npassword = \"x\"\ntrust = true").contains("not both"));
}

#[test]
fn contradictions_are_told() {
    for (more, told) in [
        ("[tls.client]\nmode = \"require\"", "tls.client.cert_file: missing; tls.client.mode"),
        ("[admin]\nadmin_users = [\"x\"]", "admin.admin_users: \"x\" is not one of the users"),
        ("[pool]\nmin_pool_size = 21", "pool.min_pool_size: 21 is more than default_pool_size, 20"),
        ("pool_size = 1\nmin_pool_size = 2", "databases.app.min_pool_size: 2 is more than"),
        ("[routing]\nmax_lag = \"5ms\"", "routing.poll_interval: must be shorter than max_lag"),
        ("replicas = [\"postgres://u@host\"]", "databases.app.replicas[0]: host:5432 is already"),
        ("replicas = [\"postgres://b\"]", "databases.app: the primary's URL and that of b:5432"),
        ("[databases.pgbouncer]\nprimary = \"postgres://u:pw@h\"", "databases.pgbouncer: the name"),
        (
            "[databases.\"*\"]\nprimary = \"postgres://u:pw@h\"",
            "databases.\"*\": there is no wildcard",
        ),
        ("[databases.b]\nprimary = \"postgres://u:p@h\"", "databases.b.primary: another primary's"),
        ("[databases.b]\nprimary = \"postgres://h\"", "databases.b.primary: no [users.<name>]"),
        ("monitor_password = \"x\"", "databases.app.monitor_password: needs monitor_user"),
    ] {
        let problems = problems(more);
        assert!(problems.lines().any(|line| line.starts_with(told)), "{more}: {problems}");
    }
    let anonymous = "[databases.a]\nprimary = \"postgres://a\"\nreplicas = [\"postgres://b\"]\n[users.x]\npassword = \"x\"";
    let told = load(anonymous).unwrap_err().to_string();
    assert!(told.starts_with("databases.a.monitor_user: missing; the URL of a:5432"), "{told}");
}

#[test]
fn clients_are_themselves_where_urls_name_nobody() {
    let text = "
        [databases.a]
        primary = \"postgres://a\"
        replicas = [\"postgres://b\"]
        monitor_user = \"watch\"
        monitor_password = \"w\"
        [users.x]
        password = \"pw\"
        [users.y]
        trust = true
        server_password = \"other\"
    ";
    let config = load(text).unwrap();
    let database = &config.databases["a"];
    let password = |user| config.server_login(&database.primary, user).password.unwrap().expose();
    assert_eq!((password("x"), password("y")), ("pw", "other"));
    assert_eq!(database.monitor_login(&database.replicas[0]).unwrap().user, "watch");
}

#[test]
fn variables_beat_the_file_and_flags_beat_variables() {
    let variables = [
        ("PGLAGOON_POOL__DEFAULT_POOL_SIZE", "40"),
        ("PGLAGOON_ROUTING__READ_WRITE_SPLIT", "false"),
        ("PGLAGOON_LISTEN__ADDRESS", "127.0.0.1:1,127.0.0.1:2"),
        ("PGLAGOON_LISTEN__WORKERS", "3"),
        ("PGLAGOON_DATABASES__APP__REPLICAS", "postgres://u@b, postgres://u@c"),
        ("PGLAGOON_USERS__ALICE__PASSWORD", "12345"),
        ("PGLAGOON_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let text = BASE.replace("app", "App");
    let sources = Sources::new().file(format!("{text}[pool]\ndefault_pool_size = 5"));
    let sources = sources.environment(owned);
    let config = sources.clone().load().unwrap();
    assert_eq!(config.pool.default_pool_size, 40);
    assert_eq!(config.routing.read_write_split, Split::Off);
    assert_eq!(config.listen.address.len(), 2);
    assert_eq!(config.listen.workers, Workers::Count(NonZeroUsize::new(3).unwrap()));
    assert_eq!(config.databases["App"].replicas[1].name, "c:5432");
    assert!(
        matches!(&config.users["alice"].secret, UserSecret::Password(p) if p.expose() == "12345")
    );
    let flagged = sources.listen(&["127.0.0.1:9".to_owned()]).load().unwrap();
    assert_eq!(flagged.listen.address.len(), 1);
}

#[test]
fn a_wrong_variable_is_told_by_name() {
    for (name, value, told) in [
        (
            "PGLAGOON_POOL__MODE",
            "x",
            "pool.mode: unknown value \"x\"; valid values are \"transaction\", \"session\" (environment variable PGLAGOON_POOL__MODE)",
        ),
        (
            "PGLAGOON_POOL__MOED",
            "x",
            "pool.moed: unknown key; did you mean \"mode\"? (environment variable PGLAGOON_POOL__MOED)",
        ),
        (
            "PGLAGOON_POOL____MODE",
            "x",
            "pool..mode: a part of the name between two underscores is empty (environment variable PGLAGOON_POOL____MODE)",
        ),
        (
            "PGLAGOON_POOL__MODE__X",
            "x",
            "pool.mode.x: one of the parts before the last is not a table (environment variable PGLAGOON_POOL__MODE__X)",
        ),
    ] {
        let sources = Sources::new().file(format!("{BASE}[pool]\nmode = \"session\""));
        let sources = sources.environment([(name.to_owned(), value.to_owned())]);
        assert_eq!(sources.load().unwrap_err().to_string(), told);
    }
}

#[test]
fn the_command_line_alone_is_enough() {
    let sources =
        Sources::new().nodes("postgres://u:pw@a:1/shop", &["postgres://u:pw@b:2/shop".to_owned()]);
    let config = sources.load().unwrap();
    let database = &config.databases["shop"];
    assert_eq!(
        (database.primary.name.as_str(), database.replicas[0].name.as_str()),
        ("a:1", "b:2")
    );
    assert_eq!(config.admin.admin_users, ["u"]);
    assert_eq!(config.routing.consistency, Consistency::Session);

    let trusted = Sources::new().nodes("postgres://u@a", &[]);
    assert_eq!(trusted.load().unwrap().users["u"].secret, UserSecret::Trust);
    assert!(trusted.load().unwrap().databases.contains_key("u"));
    let open = trusted.listen(&["0.0.0.0:6432".to_owned()]);
    assert!(open.load().unwrap_err().to_string().starts_with("users.u: has no password"));
    assert!(open.insecure().load().is_ok());

    let wrong = Sources::new().nodes("a:1", &[]).load().unwrap_err().to_string();
    assert!(wrong.contains("(command line, --primary)"), "{wrong}");
}

#[test]
fn the_user_of_the_command_line_is_an_operator_only_if_nothing_else_is_said() {
    let flags = || Sources::new().nodes("postgres://u:pw@a/shop", &[]);
    let admins = |sources: Sources| sources.load().unwrap().admin.admin_users;
    let variable = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    assert_eq!(admins(flags().file("[admin]\nstats_users = [\"u\"]\n[users]")), ["u"]);
    assert!(admins(flags().file("[admin]\nadmin_users = []")).is_empty());
    let named = variable("PGLAGOON_ADMIN__ADMIN_USERS", "v");
    let users = "[users.u]\npassword = \"x\"\n[users.v]\npassword = \"x\"";
    assert_eq!(admins(flags().file(users).environment(named)), ["v"]);
    assert!(admins(flags().file(users)).is_empty());
    // The URL's user need not be one of them.
    let other = variable("PGLAGOON_USERS__W__PASSWORD", "x");
    assert!(admins(flags().environment(other)).is_empty());
    let told = flags().file("admin = 1").load().unwrap_err().to_string();
    assert!(told.starts_with("admin: expected a table") && !told.contains('\n'), "{told}");
}

#[test]
fn rows_show_everything_but_secrets() {
    let config = config(
        "pool_size = 3\nrouting.max_lag = \"2s\"\n[pool]\nserver_lifetime = 0\n[users.x]\npassword = \"hush\"\nserver_password = \"hush\"",
    );
    let rows = config.rows();
    let value = |key: &str| {
        let row = rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("{key}"));
        (row.value.as_str(), row.default.as_str())
    };
    assert_eq!(value("pool.server_lifetime"), ("0", "1h"));
    assert_eq!(value("pool.default_pool_size"), ("20", "20"));
    assert_eq!(value("listen.address"), ("127.0.0.1:6432", "127.0.0.1:6432"));
    assert_eq!(value("databases.app.primary"), ("postgres://u:***@host:5432/db", ""));
    assert_eq!(value("databases.app.pool_size"), ("3", ""));
    assert_eq!(value("databases.app.routing.max_lag"), ("2s", "1s"));
    assert_eq!(value("users.x.password"), ("***", ""));
    let all = format!("{rows:?}{config:?}");
    assert!(!all.contains("hush") && !all.contains("pw@"), "{all}");
}

proptest! {
    #[test]
    fn any_text_is_answered(text: String) {
        let _ = load(&text);
    }

    #[test]
    fn any_toml_is_answered(
        table in prop::sample::select(vec!["listen", "pool", "databases.app", "users.u", "tls.client", "banana"]),
        key in prop::sample::select(vec!["mode", "address", "primary", "replicas", "password", "routing", "trust", "x"]),
        value in prop::sample::select(vec!["1", "-1", "\"x\"", "true", "[]", "[1, [2]]", "{}", "{ url = 1 }", "1.5", "1979-05-27", "99999999999999999999"]),
    ) {
        let _ = load(&format!("[{table}]\n{key} = {value}\n"));
        let _ = load(&format!("{table} = {value}\n"));
    }

    #[test]
    fn any_variable_is_answered(name in "[A-Z_]{0,20}", value: String) {
        let _ = Sources::new().file(BASE).environment([(format!("PGLAGOON_{name}"), value)]).load();
    }
}
