//! Operators can see where statements run, and why.

use tokio_postgres::Client;

use crate::{
    fixture::{client, eventually, on_each_version, rows, shared_cluster, unique},
    pooler::Pooler,
};

on_each_version!(
    show_route_tells_what_would_happen,
    show_routes_counts_statements,
    show_clients_counts_what_is_prepared,
    show_servers_counts_what_is_prepared,
    slow_statements_are_logged,
);

/// A pooler whose user may use the admin database.
async fn pooler(major: u16, keys: &[(&str, &str)]) -> Pooler {
    let all = [&[("admin.admin_users", "[\"app\"]")], keys].concat();
    Pooler::start(shared_cluster(major).await, &all).await
}

/// What SHOW ROUTE says of a statement about one item: value and reason.
async fn told(operator: &Client, statement: &str, item: &str) -> Option<(String, String)> {
    let rows = rows(operator, &format!("SHOW ROUTE FOR app: {statement}")).await;
    let row = rows.iter().find(|row| row.get("item").unwrap().starts_with(item))?;
    Some((row.get("value")?.to_owned(), row.get("reason")?.to_owned()))
}

async fn show_route_tells_what_would_happen(major: u16) {
    let pooler = pooler(major, &[]).await;
    let (client, operator) = (client(&pooler.url()).await, pooler.operator().await);
    let (table, function) = (unique("told"), unique("writes"));
    let sql = format!(
        "CREATE UNLOGGED TABLE {table} (n int); CREATE FUNCTION {function}() RETURNS bigint \
         LANGUAGE sql AS $$ SELECT txid_current() $$"
    );
    client.batch_execute(&sql).await.unwrap();
    eventually("the catalog to know the table", async || {
        let relation = told(&operator, &format!("TABLE {table}"), "relation").await;
        (relation?.1 == "unlogged_table").then_some(())
    })
    .await;
    eventually("replicas to be eligible", async || {
        let (value, reason) = told(&operator, "SELECT lower('A')", "route").await?;
        ((&*value, &*reason) == ("an eligible replica", "read")).then_some(())
    })
    .await;
    statements_are_explained(&operator, (&table, &function)).await;
    wrong_questions_are_refused(&operator).await;
    client.batch_execute(&format!("DROP TABLE {table}; DROP FUNCTION {function}")).await.unwrap();
}

async fn statements_are_explained(operator: &Client, (table, function): (&str, &str)) {
    let told = async |statement: &str, item: &str| told(operator, statement, item).await.unwrap();
    let read = "SELECT lower('A')";
    assert_eq!(told(read, "class").await.0, "read");
    assert_eq!(told(read, "function lower").await.0, "any node");
    assert_eq!(told(read, "consistency").await.0, "session");
    assert_eq!(told(read, "primary").await.0, "up");
    assert_eq!(told(read, "replica").await.0, "eligible");
    for (statement, item, value, reason) in [
        (format!("TABLE {table}"), "route", "primary", "unlogged_table"),
        (format!("SELECT {function}()"), "function", "primary", "volatile_function"),
        (format!("INSERT INTO {table} VALUES (1)"), "effects", "writes", ""),
        ("BEGIN READ ONLY".to_owned(), "route", "an eligible replica", "read_only_transaction"),
        ("/* pglagoon: primary */ SELECT 1".to_owned(), "route", "primary", "hint"),
        ("SELECT 1; DELETE FROM pg_class".to_owned(), "class", "primary", "write"),
        ("SET pglagoon.explain = on".to_owned(), "route", "pgLagoon itself", "trivial"),
    ] {
        let (told_value, told_reason) = told(&statement, item).await;
        assert_eq!((&*told_value, &*told_reason), (value, reason), "{statement}");
    }
    let strong = "/* pglagoon: consistency=strong */ SELECT 1";
    assert_eq!(told(strong, "replica").await.0, "catching up");
    assert_eq!(told(strong, "route").await.1, "strong_read");
}

async fn wrong_questions_are_refused(operator: &Client) {
    // The only database need not be named, and both protocols will do.
    let row = operator.query("SHOW ROUTE SELECT 1", &[]).await.unwrap();
    assert_eq!(row[0].get::<_, &str>("item"), "route");
    for (wrong, message) in [
        ("SHOW ROUTE FOR nowhere SELECT 1", "database \"nowhere\" is not configured"),
        ("SHOW ROUTE FOR app USER nobody: SELECT 1", "user \"nobody\" is not configured"),
        ("SHOW ROUTE", "SHOW ROUTE needs a statement"),
    ] {
        let error = operator.batch_execute(wrong).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), message);
    }
}

async fn show_routes_counts_statements(major: u16) {
    let pooler = pooler(major, &[("routing.read_write_split", "false")]).await;
    let (client, operator) = (client(&pooler.url()).await, pooler.operator().await);
    for n in 0..20 {
        client.batch_execute(&format!("SELECT 'simple', {n}")).await.unwrap();
    }
    let statement = client.prepare("SELECT 'prepared', 1").await.unwrap();
    for _ in 0..10 {
        client.query(&statement, &[]).await.unwrap();
    }
    let rows = rows(&operator, "SHOW ROUTES").await;
    let found = |text: &str| {
        let row = rows.iter().find(|row| row.get("statement") == Some(text));
        let row = row.unwrap_or_else(|| panic!("{rows:?}"));
        (row.get("reason").unwrap().to_owned(), row.get("batches").unwrap().to_owned())
    };
    // All are one statement, the one that prepares it as well: its literals are left out.
    assert_eq!(found("select 's' , 1"), ("split_off".to_owned(), "31".to_owned()));
}

async fn show_clients_counts_what_is_prepared(major: u16) {
    let pooler = pooler(major, &[]).await;
    let (client, operator) = (client(&pooler.url()).await, pooler.operator().await);
    let prepared = async || {
        let rows = rows(&operator, "SHOW CLIENTS").await;
        let row = rows.iter().find(|row| row.get("database") == Some("app")).unwrap();
        let number = |name| row.get(name).unwrap().parse::<usize>().unwrap();
        (number("prepared_statements"), number("prepared_bytes"))
    };
    assert_eq!(prepared().await, (0, 0));
    let one = client.prepare("SELECT 1").await.unwrap();
    let (count, bytes) = prepared().await;
    assert_eq!(count, 1);
    client.batch_execute("PREPARE another AS SELECT 2").await.unwrap();
    let (count, more) = prepared().await;
    assert_eq!(count, 2);
    assert_eq!(more - bytes, "another".len() + "PREPARE another AS SELECT 2".len());
    drop(one);
    client.batch_execute("DEALLOCATE ALL").await.unwrap();
    assert_eq!(prepared().await, (0, 0));
}

async fn show_servers_counts_what_is_prepared(major: u16) {
    let pooler = pooler(major, &[("databases.app.replicas", "[]")]).await;
    let (client, operator) = (client(&pooler.url()).await, pooler.operator().await);
    let shown = async || {
        let rows = rows(&operator, "SHOW SERVERS").await;
        let columns = ["state", "prepared_statements", "prepared_bytes"];
        let rows = rows.iter().map(|row| columns.map(|name| row.get(name).unwrap()).join(" "));
        rows.collect::<Vec<_>>()
    };
    assert_eq!(shown().await, ["idle 0 0"]);
    // While a client has it, too. A text's bytes, and two for that it has no types.
    for (text, told) in [
        ("BEGIN", "active 0 0"),
        ("SELECT 1", "active 1 10"),
        ("SELECT 22", "active 2 21"),
        ("PREPARE another AS SELECT 2", "active 3 21"),
        ("COMMIT", "idle 3 21"),
        // Servers keep what others may use.
        ("BEGIN; DEALLOCATE another; COMMIT", "idle 2 21"),
    ] {
        if text.starts_with("SELECT") {
            client.prepare(text).await.unwrap();
        } else {
            client.batch_execute(text).await.unwrap();
        }
        assert_eq!(shown().await, [told], "{text}");
    }
}

async fn slow_statements_are_logged(major: u16) {
    let pooler = pooler(major, &[("logging.slow_statement", "\"50ms\"")]).await;
    let client = client(&pooler.url()).await;
    client.batch_execute("SELECT 1").await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute("SELECT pg_sleep(0.05), 'secret'").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let line = eventually("the log", async || {
        let log = pooler.log();
        log.lines().find(|line| line.contains("slow statement")).map(str::to_owned)
    })
    .await;
    for part in
        ["reason=\"transaction\"", "in_transaction=true", "database=\"app\"", "fingerprint="]
    {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("secret") && !pooler.log().contains("SELECT 1"), "{line}");
}
