//! A client keeps its server for as long as it has something there, and leaves nothing behind.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::Client;

use crate::{
    fixture::{client, eventually, on_each_version, one, rows, shared_cluster, unique},
    pooler::Pooler,
};

on_each_version!(
    a_pin_lasts_as_long_as_its_reason,
    a_pinned_client_leaves_nothing_behind,
    a_lock_that_was_not_got_pins_nobody,
    a_pin_is_told_everywhere,
    session_mode_is_told_as_a_pin,
    a_listen_that_the_hub_cannot_follow_is_told_as_a_pin,
    a_search_path_of_the_clients_own_frees_nobody,
    what_nothing_undoes_pins_wherever_it_is_done,
);

/// Two servers, taken by turns: who is not pinned never gets the same one twice in a row.
async fn pooler(major: u16) -> Pooler {
    let keys = [
        ("pool.default_pool_size", "2"),
        ("pool.server_order", "\"oldest\""),
        ("listen.workers", "1"),
    ];
    let pooler = Pooler::start(shared_cluster(major).await, &keys).await;
    // Both are there.
    let [one, other] = [client(&pooler.url()).await, client(&pooler.url()).await];
    for client in [&one, &other] {
        client.batch_execute("BEGIN; SELECT txid_current()").await.unwrap();
    }
    for client in [&one, &other] {
        client.batch_execute("COMMIT").await.unwrap();
    }
    pooler
}

/// Whether the client has the same server for two transactions.
async fn is_same_again(client: &Client) -> bool {
    let pid = "SELECT pg_backend_pid()";
    one(client, pid).await == one(client, pid).await
}

/// Checks that the client keeps its server.
async fn expect_pinned(client: &Client, what: &str) {
    assert!(is_same_again(client).await, "{what}");
}

/// The opposite. A server that is being cleaned is back soon.
async fn expect_free(client: &Client, what: &str) {
    eventually(what, async || (!is_same_again(client).await).then_some(())).await;
}

/// Texts, each with whether the client is pinned after it.
fn stories(lock: i32) -> Vec<Vec<(String, bool)>> {
    let story = |texts: &[(&str, bool)]| {
        let texts = texts.iter();
        texts.map(|(text, pins)| (text.replace("LOCK", &lock.to_string()), *pins)).collect()
    };
    vec![
        story(&[
            ("SELECT pg_advisory_lock(LOCK)", true),
            ("SELECT pg_try_advisory_lock(LOCK)", true),
            ("SELECT pg_advisory_unlock(LOCK)", true),
            ("SELECT pg_advisory_unlock(LOCK)", false),
        ]),
        story(&[
            ("BEGIN; SELECT pg_advisory_lock_shared(LOCK); ROLLBACK", true),
            ("SELECT pg_advisory_unlock_all()", false),
        ]),
        story(&[("CREATE TEMP TABLE a (b int)", true), ("DROP TABLE a", false)]),
        story(&[("CREATE TEMP TABLE a (b int)", true), ("DISCARD TEMP", false)]),
        story(&[("CREATE TEMP TABLE a (b int)", true), ("DISCARD ALL", false)]),
        story(&[("BEGIN; CREATE TEMP TABLE a (b int) ON COMMIT DROP; COMMIT", false)]),
        story(&[("BEGIN; CREATE TEMP TABLE a (b int); ROLLBACK", false)]),
        story(&[("CREATE TEMP SEQUENCE s", true), ("DROP SEQUENCE s", false)]),
        story(&[("CREATE TEMP VIEW v AS SELECT 1", true), ("DROP VIEW v", false)]),
        story(&[
            ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", true),
            ("DROP FUNCTION pg_temp.f()", false),
        ]),
        story(&[
            ("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT", true),
            ("CLOSE c", false),
        ]),
        story(&[("DECLARE c CURSOR WITH HOLD FOR SELECT 1", true), ("CLOSE ALL", false)]),
        story(&[("PREPARE p AS SELECT 1", false), ("DEALLOCATE p", false)]),
        story(&[
            ("PREPARE p AS SELECT 'now'::timestamptz", true),
            ("PREPARE q AS SELECT 1", true),
            ("DEALLOCATE q", true),
            ("EXECUTE p", true),
            ("DEALLOCATE p", false),
        ]),
        story(&[
            ("BEGIN; PREPARE p AS SELECT 'today'::date; ROLLBACK", true),
            ("DISCARD ALL", false),
        ]),
        story(&[
            ("PREPARE p (int) AS SELECT pg_advisory_lock($1)", false),
            ("EXECUTE p (LOCK)", true),
            ("SELECT pg_advisory_unlock(LOCK); DEALLOCATE p", false),
        ]),
        story(&[
            ("SELECT pg_advisory_lock(LOCK); CREATE TEMP TABLE a (b int)", true),
            ("SELECT pg_advisory_unlock(LOCK)", true),
            ("DROP TABLE a", false),
        ]),
    ]
}

async fn a_pin_lasts_as_long_as_its_reason(major: u16) {
    let pooler = pooler(major).await;
    let client = client(&pooler.url()).await;
    for story in stories(rand::random()) {
        for (text, pins) in &story {
            client.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
            let what = format!("{text} of {story:?}");
            if *pins {
                expect_pinned(&client, &what).await;
            } else {
                expect_free(&client, &what).await;
            }
        }
    }
    // The same by the extended protocol, and with a statement that fails.
    let lock: i64 = rand::random();
    client.query("SELECT pg_advisory_lock($1)", &[&lock]).await.unwrap();
    expect_pinned(&client, "a lock").await;
    client.query("SELECT pg_advisory_unlock($1)", &[&lock]).await.unwrap();
    expect_free(&client, "nothing").await;
    client.batch_execute("CREATE TEMP TABLE a (b nonsense)").await.unwrap_err();
    expect_free(&client, "nothing").await;
    pooler.check();
}

async fn a_lock_that_was_not_got_pins_nobody(major: u16) {
    let pooler = pooler(major).await;
    let direct = client(&shared_cluster(major).await.primary().url()).await;
    let ours = client(&pooler.url()).await;
    let lock: i32 = rand::random();
    direct.batch_execute(&format!("SELECT pg_advisory_lock({lock})")).await.unwrap();
    let attempt = format!("SELECT pg_try_advisory_lock({lock})");
    assert_eq!(one(&ours, &attempt).await, "f");
    expect_free(&ours, "nothing").await;
    direct.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(one(&ours, &attempt).await, "t");
    expect_pinned(&ours, "a lock").await;
    pooler.check();
}

async fn a_pinned_client_leaves_nothing_behind(major: u16) {
    let pooler = pooler(major).await;
    let left = "SELECT (SELECT count(*) FROM pg_locks \
            WHERE locktype = 'advisory' AND pid = pg_backend_pid()) \
        + (SELECT count(*) FROM pg_depend \
            WHERE refclassid = 'pg_namespace'::regclass AND refobjid = pg_my_temp_schema()) \
        + (SELECT count(*) FROM pg_cursors WHERE is_holdable) \
        + (SELECT count(*) FROM pg_listening_channels()) \
        + (SELECT count(*) FROM pg_settings WHERE name = 'work_mem' AND setting = '7777')";
    for story in stories(rand::random()) {
        let guest = client(&pooler.url()).await;
        guest.batch_execute("SET work_mem = '7777kB'").await.unwrap();
        guest.batch_execute(&format!("LISTEN {}", unique("ch"))).await.unwrap();
        guest.batch_execute(&story[0].0).await.unwrap();
        drop(guest);
        let others = [client(&pooler.url()).await, client(&pooler.url()).await];
        // Both servers at the same time.
        for other in &others {
            other.batch_execute("BEGIN").await.unwrap();
            assert_eq!(one(other, left).await, "0", "{story:?}");
        }
    }
    let watcher = client(&pooler.url()).await;
    eventually("the last to leave", async || (one(&watcher, left).await == "0").then_some(()))
        .await;
    pooler.check();
}

/// Texts that pin a client, with the reason that SHOW CLIENTS and the log name and the one by which metrics count.
const REASONS: [(&[&str], &str, &str); 8] = [
    (&["CREATE TEMP TABLE a (b int)"], "temporary_table", "pinned_temp"),
    (&["SELECT pg_advisory_lock(hashtext('told'))"], "advisory_lock", "pinned_session_lock"),
    (&["DECLARE c CURSOR WITH HOLD FOR SELECT 1"], "cursor_with_hold", "pinned_hold_cursor"),
    (&["PREPARE p AS SELECT 'now'::timestamptz"], "sql_prepare", "pinned_prepared"),
    (&["LOAD '$libdir/plpgsql'"], "load", "pinned_load"),
    (&["SELECT setseed(0.5)"], "session_state", "pinned_session_state"),
    (
        &["SELECT set_config(name, '3MB', false) FROM (VALUES ('work_mem')) AS x (name)"],
        "parameters",
        "pinned_setting",
    ),
    (&["SELECT lastval()"], "sequence", "pinned_sequence"),
];

/// What pins the client of the database `app`, as SHOW CLIENTS tells it; `None` if there is no client.
async fn shown(operator: &Client) -> Option<String> {
    let rows = rows(operator, "SHOW CLIENTS").await;
    let row = rows.iter().find(|row| row.get("database") == Some("app"))?;
    row.get("pinned").map(str::to_owned)
}

/// A counter, as `/metrics` tells it.
async fn metric(address: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    let values = all.lines().filter(|line| line.starts_with(name));
    values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// A pooler that tells everything, its address for `/metrics`, and how a superuser comes in.
async fn talkative(major: u16, more: &[(&str, &str)]) -> (Pooler, String, String) {
    let cluster = shared_cluster(major).await;
    let superuser = cluster.primary().superuser_url();
    let password = superuser.split([':', '@']).nth(2).unwrap();
    let keys = [
        ("admin.admin_users", "[\"app\"]"),
        ("databases.app.replicas", "[]"),
        ("http.address", "\"127.0.0.1:0\""),
        ("logging.level", "\"debug\""),
        ("users.postgres.password", &format!("{password:?}")),
    ];
    let pooler = Pooler::start(cluster, &[&keys, more].concat()).await;
    let metrics = eventually("metrics", async || {
        let log = pooler.log();
        let (_, address) = log.split_once("serving metrics and health address=")?;
        Some(address.lines().next()?.trim().to_owned())
    })
    .await;
    let url = format!("postgres://postgres:{password}@{}/app", pooler.address());
    (pooler, metrics, url)
}

/// Runs `texts`, and expects the client to be pinned for this reason from then on, wherever that is told.
async fn expect_told(
    (pooler, metrics, url): &(Pooler, String, String),
    operator: &Client,
    (texts, pin, route): (&[&str], &str, &str),
) {
    let routed = format!("pglagoon_routed_total{{database=\"app\",reason=\"{route}\"}}");
    let before = (metric(metrics, &routed).await, metric(metrics, "pglagoon_pins_total").await);
    let client = client(url).await;
    for text in texts {
        // `lastval` may have no value: it was asked for.
        let _ = client.batch_execute(text).await;
    }
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(shown(operator).await.as_deref(), Some(pin), "{texts:?}");
    // On the server that it keeps.
    client.batch_execute("SELECT 2").await.unwrap();
    let now = metric(metrics, &routed).await;
    assert!(now > before.0, "{texts:?}: {routed} {now}");
    assert!(metric(metrics, "pglagoon_pins_total").await > before.1, "{texts:?}");
    let log = pooler.log();
    let reason = format!("reason=\"{pin}\"");
    let told = |line: &str| line.contains("a client is pinned") && line.contains(&reason);
    assert!(log.lines().any(told), "{log}");
    drop(client);
    eventually("the client to leave", async || shown(operator).await.is_none().then_some(())).await;
}

async fn a_pin_is_told_everywhere(major: u16) {
    let talkative = talkative(major, &[]).await;
    let operator = talkative.0.operator().await;
    for reason in REASONS {
        expect_told(&talkative, &operator, reason).await;
    }
    talkative.0.check();
}

async fn session_mode_is_told_as_a_pin(major: u16) {
    let talkative = talkative(major, &[("pool.mode", "\"session\"")]).await;
    let operator = talkative.0.operator().await;
    let reason = (&["SELECT 1"][..], "session_mode", "pinned_session_mode");
    expect_told(&talkative, &operator, reason).await;
    talkative.0.check();
}

async fn a_listen_that_the_hub_cannot_follow_is_told_as_a_pin(major: u16) {
    let superuser = shared_cluster(major).await.primary().client().await.unwrap();
    let role = unique("listener");
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'");
    superuser.batch_execute(&create).await.unwrap();
    let login = [
        ("databases.app.monitor_user", &*format!("{role:?}")),
        ("databases.app.monitor_password", "\"secret\""),
    ];
    let talkative = talkative(major, &login).await;
    let is_read = async || talkative.0.log().contains("catalog read").then_some(());
    eventually("the catalog to be read", is_read).await;
    // From now on the role gets no connection but those that it has.
    let limit = format!("ALTER ROLE {role} CONNECTION LIMIT");
    superuser.batch_execute(&format!("{limit} 0")).await.unwrap();
    let operator = talkative.0.operator().await;
    let listen: &[&str] = &["LISTEN told"];
    expect_told(&talkative, &operator, (listen, "listen", "pinned_listen")).await;
    let client = client(&talkative.2).await;
    listen_and_unlisten(&client, &operator).await;
    // Where the hub can listen nobody is pinned.
    superuser.batch_execute(&format!("{limit} -1")).await.unwrap();
    client.batch_execute("LISTEN told").await.unwrap();
    assert_eq!(shown(&operator).await.as_deref(), Some(""));
    talkative.0.check();
    drop((client, operator, talkative));
    superuser.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

/// Such a pin goes with the last channel, and not before.
async fn listen_and_unlisten(client: &Client, operator: &Client) {
    // The server has been asked when it answers something else.
    let channels = "SELECT count(*) FROM pg_listening_channels()";
    for (text, left) in [("LISTEN told; LISTEN more", "2"), ("UNLISTEN told", "1")] {
        client.batch_execute(text).await.unwrap();
        assert_eq!(one(client, channels).await, left);
        client.batch_execute("SELECT 1").await.unwrap();
        assert_eq!(shown(operator).await.as_deref(), Some("listen"), "{text}");
    }
    client.batch_execute("UNLISTEN *").await.unwrap();
    let is_free = async || (shown(operator).await.as_deref() == Some("")).then_some(());
    eventually("the pin to go", is_free).await;
}

async fn a_search_path_of_the_clients_own_frees_nobody(major: u16) {
    let pooler = pooler(major).await;
    let client = client(&pooler.url()).await;
    let (schema, lock) = (unique("evil"), rand::random::<i32>());
    // Whatever it calls so, it is not what we ask about.
    client
        .batch_execute(&format!(
            "CREATE SCHEMA {schema};
             SET search_path = {schema}, pg_catalog;
             CREATE VIEW {schema}.pg_locks AS SELECT 'none' AS locktype, 0 AS pid;
             CREATE FUNCTION {schema}.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 0';
             CREATE FUNCTION {schema}.never(int, int) RETURNS bool LANGUAGE sql AS 'SELECT false';
             CREATE OPERATOR {schema}.= (FUNCTION = {schema}.never, LEFTARG = int, RIGHTARG = int)"
        ))
        .await
        .unwrap();
    client.batch_execute(&format!("SELECT pg_advisory_lock({lock})")).await.unwrap();
    client.batch_execute(&format!("SELECT pg_advisory_unlock({lock} + 1)")).await.unwrap();
    let pid = "SELECT pg_catalog.pg_backend_pid()";
    assert_eq!(one(&client, pid).await, one(&client, pid).await, "a lock");
    client.batch_execute(&format!("SELECT pg_advisory_unlock({lock})")).await.unwrap();
    eventually("it to be free", async || {
        (one(&client, pid).await != one(&client, pid).await).then_some(())
    })
    .await;
    client
        .batch_execute(&format!("RESET search_path; DROP SCHEMA {schema} CASCADE"))
        .await
        .unwrap();
    pooler.check();
}

async fn what_nothing_undoes_pins_wherever_it_is_done(major: u16) {
    let direct = client(&shared_cluster(major).await.primary().url()).await;
    let schema = unique("sown");
    direct
        .batch_execute(&format!(
            "CREATE SCHEMA {schema};
             CREATE FUNCTION {schema}.sow() RETURNS int LANGUAGE plpgsql
                 AS 'BEGIN PERFORM setseed(0.5); RETURN 1; END';
             CREATE FUNCTION {schema}.twice() RETURNS int LANGUAGE sql AS 'SELECT {schema}.sow()';
             CREATE FUNCTION {schema}.takes(k int, x text DEFAULT setseed(0.5)::text) RETURNS int
                 LANGUAGE plpgsql AS 'BEGIN RETURN k; END';
             CREATE FUNCTION {schema}_by(int) RETURNS int LANGUAGE sql AS 'SELECT {schema}.sow()';
             CREATE PROCEDURE {schema}.run() LANGUAGE plpgsql
                 AS 'BEGIN EXECUTE ''SELECT setseed('' || 0.5 || '')''; END';
             CREATE FUNCTION {schema}.fire() RETURNS trigger LANGUAGE plpgsql
                 AS 'BEGIN PERFORM {schema}.twice(); RETURN NEW; END';
             CREATE VIEW {schema}.shown AS SELECT setseed(0.5)::text AS a;
             CREATE TABLE {schema}.t (a int);
             CREATE TRIGGER t AFTER INSERT ON {schema}.t FOR EACH ROW
                 EXECUTE FUNCTION {schema}.fire()"
        ))
        .await
        .unwrap();
    direct.batch_execute("SELECT setseed(0.5)").await.unwrap();
    let sown = one(&direct, "SELECT random()").await;
    let (pooler, _, url) = talkative(major, &[]).await;
    let operator = pooler.operator().await;
    for text in [
        "SELECT setseed(0.5)",
        "SELECT (0.5::float8).setseed",
        "SELECT (1).sown_by",
        "SELECT sown.takes(1)",
        "SELECT set_config('seed', '0.5', false)",
        "SELECT sown.twice()",
        "SELECT * FROM sown.shown",
        "INSERT INTO sown.t VALUES (1)",
        "BEGIN; DECLARE c CURSOR FOR SELECT sown.sow(); FETCH c; COMMIT",
        "CALL sown.run()",
        "DO 'BEGIN PERFORM setseed(0.5); END'",
    ] {
        let text = text.replace("sown", &schema);
        expect_no_seed((&url, &operator), &text, &sown).await;
    }
    let drop = format!("DROP FUNCTION {schema}_by; DROP SCHEMA {schema} CASCADE");
    direct.batch_execute(&drop).await.unwrap();
    pooler.check();
}

/// Runs `text`, which sows random numbers: from then on the first is `sown`, for its client and for nobody else.
async fn expect_no_seed((url, operator): (&str, &Client), text: &str, sown: &str) {
    let random = "SELECT random()";
    let guest = client(url).await;
    // As soon as the catalog is known.
    eventually(text, async || {
        guest.batch_execute(text).await.unwrap();
        let reason = shown(operator).await;
        matches!(reason.as_deref(), Some("session_state" | "parameters")).then_some(())
    })
    .await;
    guest.batch_execute(text).await.unwrap();
    assert_eq!(one(&guest, random).await, sown, "{text}");
    guest.batch_execute(text).await.unwrap();
    drop(guest);
    let others = [client(url).await, client(url).await];
    for other in &others {
        other.batch_execute("BEGIN").await.unwrap();
        assert_ne!(one(other, random).await, sown, "{text}");
    }
    drop(others);
    eventually("all to leave", async || shown(operator).await.is_none().then_some(())).await;
}
