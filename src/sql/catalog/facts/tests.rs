//! What follows from a database's objects for the statements that name them.

use std::sync::Arc;

use super::*;
use crate::sql::{Catalog, Class, Classifier, Effects, LiveCatalog, Verdict};

/// PostgreSQL's own functions that the trees below call.
const BUILT_IN: &[&str] =
    &["built_in|480|nextval", "built_in|870|lower", "built_in|2077|current_setting"];

/// A database with these objects: rows with their columns between bars, empty for NULL.
fn database(rows: &[&str], overrides: Overrides) -> LiveCatalog {
    let mut facts = Facts::new(overrides.clone(), Trees::default());
    for row in BUILT_IN.iter().chain(rows) {
        let columns: Vec<_> =
            row.split('|').map(|text| Some(text).filter(|text| !text.is_empty())).collect();
        facts.add(&columns).unwrap_or_else(|_| panic!("{row}"));
    }
    let snapshot = Arc::new(facts.settle().0);
    LiveCatalog::new(Catalog::of(snapshot, Arc::new(overrides)), 1)
}

/// A function in PL/pgSQL.
fn function(oid: u32, name: &str, body: &str) -> String {
    format!("function|{oid}|public|{name}|v|plpgsql||f||f|begin {body}; end")
}

fn verdict_of(sql: &str, database: &LiveCatalog) -> Verdict {
    Classifier::new(16).classify(sql.as_bytes(), database)
}

#[track_caller]
fn assert_class(sql: &str, database: &LiveCatalog, class: Class) {
    assert_eq!(verdict_of(sql, database).class, class, "{sql}");
}

#[track_caller]
fn assert_primary(sql: &str, database: &LiveCatalog, why: Why) {
    assert_class(sql, database, Class::Primary(why));
}

const TABLES: &[&str] = &[
    "relation|20001|public|t|r|p",
    "relation|20002|public|u|r|p",
    "relation|20003|public|raw|r|u",
    "relation|20004|public|away|f|p",
    "relation|20005|public|s|S|p",
    "relation|20006|app|t2|r|p",
];

fn with_tables(rows: &[String]) -> LiveCatalog {
    let all: Vec<&str> = TABLES.iter().copied().chain(rows.iter().map(String::as_str)).collect();
    database(&all, Overrides::default())
}

#[test]
fn relations_are_what_the_catalog_says() {
    let one = with_tables(&[]);
    for sql in [
        "select * from t",
        "select * from app.t2 join u on true",
        "copy t to stdout",
        "with x as (select 1) select * from x",
    ] {
        assert_class(sql, &one, Class::Read);
    }
    assert_primary("select * from raw", &one, Why::UnloggedTable);
    assert_primary("select * from away, t", &one, Why::ForeignTable);
    assert_primary("select * from s", &one, Why::Sequence);
    assert_primary("select * from nobody", &one, Why::UnknownRelation);
    assert_primary("select * from app.t", &one, Why::UnknownRelation);
    assert_primary("copy raw to stdout", &one, Why::UnloggedTable);
    assert_primary("select * from pg_class", &one, Why::SystemCatalog);
}

#[test]
fn before_the_catalog_is_known_no_table_is() {
    let one = LiveCatalog::new(Catalog::awaited(Arc::default()), 1);
    assert_primary("select * from t", &one, Why::CatalogNotLoaded);
    assert_primary("select f(1)", &one, Why::UnknownFunction);
    assert_class("select 1, lower('A')", &one, Class::Read);
    assert_class("/* pglagoon: replica */ select * from t", &one, Class::Read);
}

#[test]
fn functions_are_judged_by_their_bodies() {
    let one = with_tables(&[
        function(16500, "pure", "return a + 1"),
        function(16501, "writes", "insert into t values (1)"),
        function(16502, "calls", "return writes()"),
        function(16503, "reads", "select * into r from raw"),
        function(16504, "dynamic", "execute a"),
        "function|16505|public|compiled|v|c||f||f|".into(),
        "function|16506|public|labelled|i|c||f||f|".into(),
        "function|16507|public|gen_salt|v|c|pgcrypto|f||f|".into(),
        "function|16508|public|crosstab|s|c|tablefunc|f||f|".into(),
        "function|16509|public|snake|s|plpython3u||f||f|".into(),
        "function|16510|app|lower|v|c||f||f|".into(),
    ]);
    for sql in [
        "select pure(1)",
        "select public.pure(1) from t",
        "select labelled(a), gen_salt('bf') from t",
    ] {
        assert_class(sql, &one, Class::Read);
        assert!(!verdict_of(sql, &one).effects.contains(Effects::TRACES), "{sql}");
    }
    for sql in
        ["select writes()", "select * from calls()", "select compiled()", "select crosstab('x')"]
    {
        assert_primary(sql, &one, Why::VolatileFunction);
    }
    assert_primary("select reads()", &one, Why::UnloggedTable);
    assert_primary("select dynamic()", &one, Why::UnknownFunction);
    assert_primary("select snake()", &one, Why::UnknownFunction);
    assert_primary("select nothing()", &one, Why::UnknownFunction);
    // Shadowed, whatever the search path is.
    assert_primary("select lower('A')", &one, Why::VolatileFunction);
    assert_class("select pg_catalog.lower('A')", &one, Class::Read);
}

#[test]
fn views_policies_and_partitions_pass_on_what_they_reach() {
    let one = with_tables(&[
        function(16501, "writes", "insert into t values (1)"),
        "relation|20010|public|plain|v|p".into(),
        "tree|read|20010|{Q :commandType 1 :relid 20001 :funcid 870 :x".into(),
        "relation|20011|public|nested|v|p".into(),
        "tree|read|20011|{Q :commandType 1 :relid 20012 :x".into(),
        "relation|20012|public|sly|v|p".into(),
        "tree|read|20012|{Q :commandType 1 :funcid 16501 :x".into(),
        "relation|20013|public|counts|v|p".into(),
        "tree|read|20013|{Q :commandType 1 :funcid 480 :x".into(),
        "relation|20018|public|locks|v|p".into(),
        "tree|read|20018|{Q :commandType 1 :hasForUpdate true :x".into(),
        "relation|20014|public|monitor|v|p".into(),
        "tree|read|20014|{Q :commandType 1 :relid 12000 :x".into(),
        "relation|20015|public|parent|p|p".into(),
        "relation|20016|public|child|r|u".into(),
        "link|inherits|20015|20016".into(),
        "relation|20017|public|guarded|r|p".into(),
        "tree|read|20017|{O :opno 96 :funcid 16501 :x".into(),
    ]);
    assert_class("select * from plain", &one, Class::Read);
    assert_primary("select * from sly", &one, Why::VolatileFunction);
    assert_primary("select * from nested", &one, Why::VolatileFunction);
    assert_primary("select * from counts", &one, Why::Sequence);
    assert_primary("select * from locks", &one, Why::VolatileFunction);
    assert_primary("select * from monitor", &one, Why::SystemCatalog);
    assert_primary("select * from parent", &one, Why::UnloggedTable);
    assert_primary("select * from guarded", &one, Why::VolatileFunction);
}

#[test]
fn trees_of_rules_are_read_again_where_they_have_changed() {
    let read = |trees: Trees, unread: &[u32], texts: &[&str]| {
        let mut facts = Facts::new(Overrides::default(), trees);
        let version = if texts.iter().any(|text| text.contains("|702|")) { 702 } else { 701 };
        let rules = [
            format!("rule|30001|{version}|read|20010"),
            "rule|30002|700|write|20001".to_owned(),
            "rule|30003|700|refresh|20011".to_owned(),
        ];
        let all = TABLES.iter().copied().chain(["relation|20010|public|shows|v|p"]);
        for row in all.chain(rules.iter().map(String::as_str)) {
            facts.add(&row.split('|').map(Some).collect::<Vec<_>>()).unwrap();
        }
        assert_eq!(facts.unread(), unread);
        for row in texts {
            facts.add(&row.split('|').map(Some).collect::<Vec<_>>()).unwrap();
        }
        let (snapshot, trees) = facts.settle();
        (LiveCatalog::new(Catalog::of(Arc::new(snapshot), Arc::default()), 1), trees)
    };
    let harmless = "text|30001|701|{Q :commandType 1 :relid 20001 :x";
    let first = [harmless, "text|30002|700|{Q :x", "text|30003|700|{Q :funcid 1575 :x"];
    let (one, trees) = read(Trees::default(), &[30001, 30002, 30003], &first);
    assert_class("select * from shows", &one, Class::Read);
    assert!(one.uses_currval());
    // Nothing has changed.
    let (one, trees) = read(trees, &[], &[]);
    assert_class("select * from shows", &one, Class::Read);
    assert!(one.uses_currval());
    let (one, _) = read(trees, &[], &[]);
    assert_class("select * from shows", &one, Class::Read);
    // What does not come is not trusted.
    let (one, trees) = read(Trees::default(), &[30001, 30002, 30003], &first[1..]);
    assert_primary("select * from shows", &one, Why::UnknownRelation);
    let (one, trees) = read(trees, &[30001], &[harmless]);
    assert_class("select * from shows", &one, Class::Read);
    // Another tree of the same rule.
    let (one, _) = read(trees, &[30001], &["text|30001|702|{Q :commandType 1 :relid 20003 :x"]);
    assert_primary("select * from shows", &one, Why::UnloggedTable);
}

#[test]
fn operators_types_columns_and_aggregates_are_calls_too() {
    let one = with_tables(&[
        function(16501, "writes", "insert into t values (1)"),
        function(16502, "pure", "return a"),
        "function|16503|public|sneaky|v|sql||t||f|insert into t values (1) returning 1".into(),
        "operator|16600|###|16501".into(),
        "operator|16601|@@@@|16502".into(),
        "type|16700|public|checked|23|".into(),
        "tree|domain|16700|{F :funcid 16501 :x".into(),
        "type|16701|public|mood|0|".into(),
        "cast|cty|16501|e".into(),
        "function|16504|public|agg|i|internal||f||f|".into(),
        "aggregate|16504|16501 65".into(),
    ]);
    assert_primary("select 1 ### 2", &one, Why::VolatileFunction);
    assert_class("select 1 @@@@ 2", &one, Class::Read);
    assert_primary("select 1 &&&& 2", &one, Why::UnknownFunction);
    assert_primary("select 5::checked", &one, Why::VolatileFunction);
    assert_primary("select checked(5)", &one, Why::VolatileFunction);
    assert_class("select 'x'::mood, mood('x') from t", &one, Class::Read);
    assert_primary("select 1::cty", &one, Why::VolatileFunction);
    assert_primary("select t.sneaky from t", &one, Why::VolatileFunction);
    assert_primary("select agg(a) from t", &one, Why::VolatileFunction);
}

#[test]
fn functions_are_called_like_fields_too() {
    let one = with_tables(&[
        function(16501, "writes", "insert into u values (1)"),
        function(16502, "pure", "return a"),
        function(16503, "sets", "perform set_config('a.b', 'c', false)"),
        function(16504, "wraps", "return (a).writes"),
        function(16505, "picks", "return (a).b.pure + (a).version"),
        "function|16506|public|takes|v|sql||f||f|select k.writes".into(),
        "function|16507|public|locks|v|sql||f||f|select k.pg_advisory_xact_lock".into(),
        "function|16508|public|shows|v|sql||f||f|select t.version, t.v from t".into(),
    ]);
    for sql in ["select (1).pure, (t.a).v, (t).b.c from t", "select (1).picks", "select $1.shows"] {
        assert_class(sql, &one, Class::Read);
    }
    for sql in [
        "select (1).writes",
        "select a[1] . \"writes\" from t",
        "select $1.b.writes",
        "select (1).wraps",
        "select (1).takes",
    ] {
        assert_primary(sql, &one, Why::VolatileFunction);
        assert_eq!(verdict_of(sql, &one).tables, Key::of("u").table(), "{sql}");
    }
    assert_primary("select (1).locks", &one, Why::Locking);
    assert!(verdict_of("select (1).sets", &one).effects.contains(Effects::TRACES));
    // A column that happens to have the name of a function of something else.
    assert_class("select t.writes from t", &one, Class::Read);
    let awaited = LiveCatalog::new(Catalog::awaited(Arc::default()), 1);
    assert_primary("select (1).anything", &awaited, Why::CatalogNotLoaded);
    assert_class("select (1).lower", &awaited, Class::Read);
    let names = |name: &str| vec![name.to_owned()];
    let told = Overrides::new(&names("writes"), &names("pure"), &[]);
    let rows = [function(16501, "writes", "insert into u values (1)")];
    let one = database(&[rows[0].as_str()], told);
    assert_class("select (1).writes", &one, Class::Read);
    assert_primary("select (1).pure", &one, Why::Configured);
}

#[test]
fn defaults_of_arguments_are_part_of_a_function() {
    let one = with_tables(&[
        "built_in|2882|pg_try_advisory_lock".into(),
        function(16501, "counts", "return k"),
        "tree|default|16501|({FUNCEXPR :funcid 480 :args <>})".into(),
        function(16502, "pure", "return k"),
        "tree|default|16502|({CONST :consttype 23} {FUNCEXPR :funcid 870 :args <>})".into(),
        function(16503, "locks", "return k"),
        "tree|default|16503|({FUNCEXPR :funcid 2882 :args <>})".into(),
        "relation|20010|public|shows|v|p".into(),
        "tree|read|20010|{Q :commandType 1 :funcid 16503 :x".into(),
    ]);
    assert_class("select pure(1)", &one, Class::Read);
    assert_primary("select counts(1)", &one, Why::Sequence);
    for sql in ["select locks(1)", "select * from shows"] {
        assert_primary(sql, &one, Why::Locking);
        assert!(verdict_of(sql, &one).effects.contains(Effects::TRACES), "{sql}");
    }
}

#[test]
fn what_reads_an_unlogged_table_may_write_all_the_same() {
    let one = with_tables(&[
        function(16501, "logs", "execute a"),
        function(16502, "mixes", "execute a; select b into c from raw"),
        function(16503, "counts", "select count(*) into r from raw"),
        "relation|20010|public|shows|v|p".into(),
        "tree|read|20010|{Q :relid 20003 :funcid 16501 :x".into(),
    ]);
    let writes = |sql: &str| {
        assert_primary(sql, &one, Why::UnloggedTable);
        verdict_of(sql, &one).effects.contains(Effects::WRITES)
    };
    for sql in ["select * from raw", "select counts() from t", "copy raw to stdout"] {
        assert!(!writes(sql), "{sql}");
    }
    for sql in [
        "select logs(a) from raw",
        "select nobody(a) from raw",
        "select * from raw, nowhere",
        "select mixes(a) from t",
        "select * from shows",
    ] {
        assert!(writes(sql), "{sql}");
    }
}

#[test]
fn an_implicit_cast_that_writes_keeps_everything_on_the_primary() {
    let one = with_tables(&[
        function(16501, "writes", "insert into t values (1)"),
        "cast|cty|16501|i".into(),
    ]);
    assert_primary("select * from u", &one, Why::VolatileFunction);
    assert!(one.load().snapshot().unwrap().keeps_everything().is_some());
    let harmless = with_tables(&[function(16501, "pure", "return 1"), "cast|cty|16501|i".into()]);
    assert_class("select * from u", &harmless, Class::Read);
}

#[test]
fn the_configuration_beats_the_catalog() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let overrides = Overrides::new(
        &names(&["public.snake"]),
        &names(&["now", "pure"]),
        &names(&["u", "later"]),
    );
    let rows = [
        "relation|20001|public|t|r|p",
        "relation|20002|public|u|r|p",
        "function|16502|public|pure|i|c||f||f|",
        "function|16509|public|snake|v|plpython3u||f||f|",
        "relation|20010|public|shows|v|p",
        "tree|read|20010|{Q :relid 20002 :x",
        "relation|20011|public|bites|v|p",
        "tree|read|20011|{Q :funcid 16509 :x",
    ];
    let one = database(&rows, overrides.clone());
    assert_primary("select now()", &one, Why::Configured);
    assert_primary("select pure(1)", &one, Why::Configured);
    assert_primary("select * from u", &one, Why::Configured);
    assert_primary("select * from shows", &one, Why::Configured);
    assert_class("select snake(1) from t, bites", &one, Class::Read);
    let awaited = LiveCatalog::new(Catalog::awaited(Arc::new(overrides)), 1);
    assert_primary("select now()", &awaited, Why::Configured);
    assert_class("select public.snake(1)", &awaited, Class::Read);
}

#[test]
fn tables_are_followed_through_views_triggers_cascades_and_bodies() {
    let one = with_tables(&[
        "relation|20010|public|shows|v|p".into(),
        "tree|read|20010|{Q :commandType 1 :relid 20001 :x".into(),
        "relation|20020|public|orders|r|p".into(),
        "relation|20021|public|lines|r|p".into(),
        "relation|20022|public|audit|r|p".into(),
        "link|cascade|20020|20021".into(),
        function(16501, "note", "insert into audit values (1); return new"),
        "link|trigger|20021|16501".into(),
        function(16502, "total", "select sum(a) into r from t"),
    ]);
    let tables = |sql: &str| verdict_of(sql, &one).tables;
    let all = |names: &[&str]| {
        names.iter().fold(Tables::NONE, |tables, name| tables.union(Key::of(name).table()))
    };
    assert_eq!(tables("select * from t"), all(&["t"]));
    assert_eq!(tables("select * from shows"), all(&["t"]));
    assert_eq!(tables("select total(1) from u"), all(&["t", "u"]));
    assert_eq!(tables("select 1"), Tables::NONE);
    assert_eq!(tables("insert into u values (1)"), all(&["u"]));
    assert_eq!(
        tables("insert into u select * from t on conflict (a) do update set b = 1"),
        all(&["u"])
    );
    assert_eq!(tables("update shows set a = 1"), all(&["t"]));
    assert_eq!(tables("delete from orders where a = 1"), all(&["orders", "lines", "audit"]));
    assert_eq!(tables("copy u (a) from stdin"), all(&["u"]));
    assert_eq!(
        tables("with x as (delete from u returning *) insert into t select * from x"),
        Tables::ALL
    );
    assert_eq!(tables("select nextval('s')"), Tables::NONE);
    for sql in [
        "select nobody()",
        "insert into nowhere values (1)",
        "create table x (a int)",
        "do $$ $$",
        "insert into t values (nobody())",
    ] {
        assert_eq!(tables(sql), Tables::ALL, "{sql}");
    }
    assert_eq!(tables("begin"), Tables::NONE);
}

#[test]
fn only_what_may_leave_something_in_the_session_leaves_traces() {
    let one = with_tables(&[
        function(16501, "note", "insert into u values (1)"),
        function(16502, "sets", "perform set_config('a.b', 'c', false)"),
        "relation|20020|public|orders|r|p".into(),
        "link|trigger|20020|16501".into(),
        "relation|20021|public|lines|r|p".into(),
        "link|trigger|20021|16502".into(),
    ]);
    let leaves = |sql: &str| verdict_of(sql, &one).effects.contains(Effects::TRACES);
    for sql in [
        "select note()",
        "with recursive x(n) as (select 1 union all select n + 1 from x) select * from x as y(m)",
        "copy (delete from t returning 1) to stdout",
        "explain (analyze) insert into t (a) values (1) on conflict (a) do nothing",
        "insert into orders values (1)",
        "select * from lines",
        "insert into t (a, b) values (1, lower('A'))",
    ] {
        assert!(!leaves(sql), "{sql}");
    }
    for sql in [
        "select sets()",
        "insert into lines values (1)",
        "insert into t values (sets())",
        "select nobody()",
        "call sets()",
        "create table x as select sets()",
        "declare c cursor for select sets()",
        "select sets() from nowhere",
        "create index on t (sets())",
    ] {
        assert!(leaves(sql), "{sql}");
    }
}

#[test]
fn what_leaves_something_for_good_is_found_wherever_it_is_named() {
    let one = with_tables(&[
        "built_in|1599|setseed".into(),
        function(16501, "sows", "perform setseed(0.5)"),
        function(16502, "calls", "perform sows()"),
        function(16503, "builds", "execute 'select setseed(' || a || ')'"),
        "function|16504|public|dblink_connect|v|c|dblink|f||f|".into(),
        "function|16505|public|connects|v|sql||f||t|{FUNCEXPR :funcid 16504 :args <>}".into(),
        "function|16506|public|strange|v|plpython3u||f||f|".into(),
        "relation|20020|public|orders|r|p".into(),
        "link|trigger|20020|16502".into(),
        "relation|20021|public|shown|v|p".into(),
        "tree|read|20021|{FUNCEXPR :funcid 1599 :args <>}".into(),
        "relation|20022|public|filled|r|p".into(),
        "tree|write|20022|{FUNCEXPR :funcid 1599 :args <>}".into(),
    ]);
    let effects = |sql: &str| verdict_of(sql, &one).effects;
    for sql in [
        "select sows()",
        "select calls()",
        "call calls()",
        "select builds()",
        "select connects()",
        "insert into orders values (1)",
        "select * from shown",
        "insert into filled values (default)",
        "do $$ begin perform setseed(0.5); end $$",
    ] {
        assert!(effects(sql).contains(Effects::KEEPS), "{sql}");
    }
    for sql in
        ["select strange()", "select * from orders", "select * from filled", "do 'begin end'"]
    {
        assert!(!effects(sql).contains(Effects::KEEPS), "{sql}");
    }
    assert!(effects("select strange()").contains(Effects::TRACES));
}

#[test]
fn a_row_of_another_form_is_refused() {
    let mut facts = Facts::new(Overrides::default(), Trees::default());
    for row in [
        &[][..],
        &[Some("other")],
        &[Some("relation"), Some("x")],
        &[Some("built_in"), None, Some("a")],
    ] {
        assert_eq!(facts.add(row), Err(BadRow));
    }
}
