//! The rules of classification, one by one.

use super::*;
use crate::sql::query::MAX_CHAIN as CHAIN;

fn verdict_of(sql: &str) -> Verdict {
    Classifier::new(64).classify(sql.as_bytes(), &LiveCatalog::default())
}

fn class(sql: &str) -> Class {
    verdict_of(sql).class
}

#[test]
fn plain_queries_are_reads() {
    for sql in [
        "select 1",
        "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
        "select * from t limit 1",
        "table t limit 1",
        "TABLE t",
        "values (1)",
        "with x as (select 1) select * from x",
        "with x(a) as (select 1) select * from x union all select a from x",
        "select now(), random(), count(*) filter (where a > 1) over (partition by b) from t",
        "select a::numeric(10,2), cast(b as varchar(5)) from s.t where c in (1,2,3)",
        "select x.a from t as x(a) join lateral unnest(array[1,2]) as y(b) on true",
        "select extract(year from ts), substring(a from 1 for 2), trim(both 'x' from b) from t",
        "select * from generate_series(1, 10) g(i) where i between 1 and 5 or i is null",
        "select 'delete from t', $$ insert $$, E'\\'update' from t",
        "select a -> 'b' ->> 'c', a @> '{}' from t where b ilike '%x%' fetch first 1 row only",
        "(select 1) union (select 2) order by 1",
        "explain select 1",
        "explain (analyze, verbose off, format json) select 1",
        "explain analyze verbose select * from t",
        "copy t to stdout",
        "copy s.t (a, b) to stdout with (format csv)",
        "COPY (select 1) TO STDOUT",
        "select 1; select 2;",
        "select date '2020-01-01', interval '1 day', timestamp with time zone 'now'",
        "select pg_catalog.lower('A')",
        "select current_date, current_timestamp(3), current_user, session_user",
        "select row(1, 2), coalesce(a, b), nullif(a, b), greatest(1, 2), case when a then b end from t",
        "select * from t tablesample bernoulli (10)",
        "select $1::int, a[1], (b).c from t where d = any($2) and exists (select 1)",
        "select a at time zone 'utc' from t group by grouping sets ((a), (b)), rollup (c)",
        "select substring(a from 1), substring(a, 1), substr(a, 1), overlay(a placing b from 1), \
         trim(a from b), trim(b), extract(day from c), d is not distinct from e from t join \
         (u cross join v) on true natural left join w, x",
        "select array(select a from t), a like all (array['x']) from only t union table s.t",
        "select json_object('a' value b, 'c': d absent on null returning jsonb) from t",
        "select json_value(a, '$.b' passing c as d returning int default 0 on empty) from t",
        "select * from json_table('[1]', '$[*]' columns (a int path '$')) as j",
        "select sum(a) over (order by b range between '1 day'::interval preceding and current row \
         exclude ties) from t",
        "with recursive a as (select 1 as b) search depth first by b set c cycle b set d using e \
         select (f).*, concat(variadic array[1]) from a join t using (b) as j where c isnull",
        "select * from rows from (generate_series(1, 2), unnest(array[1])) with ordinality",
        "select * from json_to_record('{}') as (a int, b text)",
        "select xmlelement(name a, xmlattributes(b as c), xmlforest(d, e as f)) from t",
    ] {
        assert_eq!(class(sql), Class::Read, "{sql}");
    }
}

#[test]
fn queries_as_frameworks_write_them_are_reads() {
    for sql in [
        "SELECT \"app_user\".\"id\", COUNT(\"o\".\"id\") AS \"n\" FROM \"app_user\" LEFT OUTER JOIN \
         \"o\" ON (\"app_user\".\"id\" = \"o\".\"user_id\") WHERE (\"app_user\".\"name\"::text LIKE %s \
         AND NOT (\"o\".\"a\" IN (1, 2))) GROUP BY \"app_user\".\"id\" ORDER BY \"n\" DESC LIMIT 21"
            .replace("%s", "'a%'")
            .as_str(),
        "SELECT \"users\".* FROM \"users\" WHERE \"users\".\"id\" = $1 LIMIT $2 /*app:x*/",
        "SELECT 1 AS one FROM \"users\" WHERE \"users\".\"email\" = $1 LIMIT $2",
        "SELECT \"public\".\"User\".\"id\" FROM \"public\".\"User\" WHERE (\"public\".\"User\".\"id\" = $1 \
         AND 1=1) OFFSET $2",
        "SELECT \"t1\".\"id\", \"a\".\"__prisma_data__\" FROM \"public\".\"User\" AS \"t1\" LEFT JOIN LATERAL \
         (SELECT COALESCE(JSONB_AGG(\"__prisma_data__\"), '[]') AS \"__prisma_data__\" FROM (SELECT \
         \"t3\".\"__prisma_data__\" FROM (SELECT JSONB_BUILD_OBJECT('id', \"t2\".\"id\") AS \
         \"__prisma_data__\" FROM \"public\".\"Post\" AS \"t2\") AS \"t3\") AS \"t4\") AS \"a\" ON TRUE",
        "select u1_0.id, u1_0.name from users u1_0 where u1_0.id=? fetch first ? rows only"
            .replace('?', "$1")
            .as_str(),
        "SELECT anon_1.id FROM (SELECT t.id AS id, row_number() OVER (PARTITION BY t.a ORDER BY t.b \
         DESC NULLS LAST) AS rn FROM t) AS anon_1 WHERE anon_1.rn = %(rn)s"
            .replace("%(rn)s", "1")
            .as_str(),
        "select date_trunc('day', created_at) as d, sum(amount)::float8, string_agg(distinct x, ',' \
         order by x) from payments where created_at >= now() - interval '7 days' group by 1 having \
         sum(amount) > 0",
        "select p.*, ts_rank(p.tsv, q) from posts p, plainto_tsquery('english', $1) q where p.tsv @@ q",
        "select exists(select 1 from t where a = any($1::int[])) as \"exists\"",
        "select a.x, b.y from a full join b using (id) cross join c natural left join d",
        "select percentile_cont(0.5) within group (order by x) from t",
        "select t.*, (t.data #>> '{a,b}')::int from t where t.data ? 'k' and t.data @> $1::jsonb",
    ] {
        assert_eq!(class(sql), Class::Read, "{sql}");
    }
}

/// The statements of the corpus with the classes that are expected of them.
fn corpus() -> impl Iterator<Item = (&'static str, &'static str)> {
    let files = [include_str!("testdata/standby.txt"), include_str!("testdata/corpus.txt")];
    let lines = files.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (expected, sql) = line.split_once(" || ").expect("two columns");
        (expected.split_once(' ').map_or(expected, |(class, _)| class), sql)
    })
}

#[test]
fn statements_have_the_classes_that_are_expected() {
    let mut wrong = Vec::new();
    for (expected, sql) in corpus() {
        let found = match class(sql) {
            Class::Empty => "empty",
            Class::Read if expected == "catalog" => "catalog",
            Class::Read => "read",
            Class::Primary(_) => "primary",
            Class::Begin(_) => "begin",
            Class::End => "end",
            Class::Savepoint => "savepoint",
        };
        if found != expected {
            wrong.push(format!("{found} instead of {expected}: {sql}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(corpus().count() > 800);
}

#[test]
fn a_query_is_no_read_inside_another_unless_it_is_one_alone() {
    let is_query = |sql: &str| {
        ["select", "with", "values", "table", "("].iter().any(|word| sql.starts_with(word))
    };
    let mut wrong = Vec::new();
    for (expected, sql) in corpus().filter(|(_, sql)| is_query(sql) && !sql.contains(';')) {
        for around in [
            format!("explain {sql}"),
            format!("explain (analyze, buffers) {sql}"),
            format!("copy ({sql}) to stdout"),
            format!("({sql})"),
            format!("select 1; {sql}"),
            format!("with x as ({sql}) select * from x"),
            format!("with x as (select 1), y as materialized ({sql}) table y"),
            format!("select * from ({sql}) x"),
            format!("select * from t, lateral ({sql}) x"),
            format!("select 1 where exists ({sql})"),
            format!("select array({sql})"),
            format!("select 1 union all ({sql})"),
            format!("select 1 from t order by ({sql})"),
            format!("select * from t where id in ({sql}) limit 1"),
            format!("values (({sql}))"),
        ] {
            if expected == "primary" && class(&around) == Class::Read {
                wrong.push(around);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The class of each text, with the one reason that is expected.
fn assert_reasons(cases: &[(&str, Why)]) {
    for (sql, why) in cases {
        assert_eq!(class(sql), Class::Primary(*why), "{sql}");
    }
}

#[test]
fn writes_hide_nowhere() {
    assert_reasons(&[
        ("with x as (with y as (delete from t returning 1) select 1) select * from x", Why::Write),
        ("select * from (select * from t for update) x", Why::Locking),
        ("select (select a from t for no key update of t skip locked)", Why::Locking),
        ("select 1 union (select a from t for share)", Why::Locking),
        ("with x as materialized (select * from t for key share) select 1", Why::Locking),
        ("select into t from x", Why::Ddl),
        ("select a into unlogged b from c", Why::Ddl),
        ("values (1) union select 1 into t", Why::Ddl),
        ("explain (analyze) with x as (insert into t values (1)) select 1", Why::Write),
        ("explain (analyze, unknown) select 1", Why::Unparsed),
        ("explain explain select 1", Why::Unparsed),
        ("copy (select 1) to '/tmp/x'", Why::Write),
        ("copy t to program 'x'", Why::Write),
        ("copy t from stdin", Why::Write),
        ("copy (select nextval('s')) to stdout", Why::Sequence),
        ("copy (with x as (delete from t returning a) select * from x) to stdout", Why::Write),
        ("copy pg_class to stdout", Why::SystemCatalog),
        ("select \"nextval\"('s')", Why::Sequence),
        ("select NextVal /* here */ ('s')", Why::Sequence),
        ("select pg_catalog . nextval('s')", Why::Sequence),
        ("select last_value from s", Why::Sequence),
        ("select (42::bigint).pg_advisory_lock", Why::Locking),
        ("select ( t.id ) /* here */ . \"pg_try_advisory_xact_lock\" from t", Why::Locking),
        ("select ('s'::text).NextVal", Why::Sequence),
        ("select $1.setseed, a[1].b", Why::SessionState),
        ("select (a).b.c[1].d.pg_terminate_backend from t", Why::VolatileFunction),
        ("select array[1][1].pg_notify", Why::VolatileFunction),
        ("select * from users_id_seq", Why::Sequence),
        ("select myschema.lower('x')", Why::UnknownFunction),
        ("select f(a) from t", Why::UnknownFunction),
        ("select 1 end from pg_class", Why::Unparsed),
        ("select interval from pg_class", Why::Unparsed),
        ("select a collate from pg_class", Why::Unparsed),
        ("select * from t tablesample int4range(1, 2)", Why::UnknownFunction),
        ("select a or from pg_class where b", Why::Unparsed),
        ("select a from t end select * from pg_class", Why::Unparsed),
        ("select * from f(1)", Why::UnknownFunction),
        ("select * from f(1) as f(a)", Why::UnknownFunction),
        ("with f(a) as (select 1) select f(1) from f", Why::UnknownFunction),
        ("select 1 operator(public.+) 2", Why::UnknownFunction),
        ("select a <=> b from t", Why::UnknownFunction),
        ("select U&\"nextv\\0061l\"('s')", Why::Unparsed),
        ("select * from only pg_class", Why::SystemCatalog),
        ("select * from only (pg_class)", Why::SystemCatalog),
        ("select * from (table pg_class) x", Why::SystemCatalog),
        ("select 1 union table only pg_catalog.pg_class", Why::SystemCatalog),
        ("select columns(1) from json_to_record('{}') as (a int)", Why::UnknownFunction),
        ("select \"\"(1) from json_to_record('{}') as (a int)", Why::UnknownFunction),
        ("select \"array\"(a) from t", Why::UnknownFunction),
        ("select * from rows from (f(1), generate_series(1, 2)) as x", Why::UnknownFunction),
        ("select json_array(select 1 from pg_class join b on error.x)", Why::Unparsed),
        (
            "select * from xmltable('a' passing (select b from pg_class) columns c int)",
            Why::SystemCatalog,
        ),
        ("select * from information_schema.tables", Why::SystemCatalog),
        ("select * from pg_catalog.pg_class, t", Why::SystemCatalog),
        ("select f(pg_sleep(1), pg_notify('a', 'b'))", Why::VolatileFunction),
        ("select 1; delete from t", Why::Write),
        ("begin; select 1; commit", Why::SessionState),
        ("selct 1", Why::Unparsed),
        ("select 'unterminated", Why::Unparsed),
        ("select 1 limit 1, 2", Why::Unparsed),
    ]);
}

#[test]
fn names_of_common_table_expressions_are_scoped() {
    assert_eq!(class("with pg_x as (select 1) select * from pg_x"), Class::Read);
    assert_eq!(class("with a as (select 1), pg_b as (select * from a) table pg_b"), Class::Read);
    assert_reasons(&[
        ("with pg_class as (select * from pg_class) select * from pg_class", Why::SystemCatalog),
        ("with a as (select * from pg_b), pg_b as (select 1) select 1", Why::SystemCatalog),
        ("select * from (with pg_x as (select 1) select 1) y, pg_x", Why::SystemCatalog),
        ("with pg_x as (select 1) select * from public.pg_x", Why::SystemCatalog),
    ]);
    let recursive = "with recursive pg_r(n) as (select 1 union all select n + 1 from pg_r where n < 5) \
                     select * from pg_r";
    assert_eq!(class(recursive), Class::Read);
}

#[test]
fn transaction_control_is_told_apart() {
    let begin = |access, isolation| Class::Begin(Begin { access, isolation });
    for (sql, expected) in [
        ("BEGIN", begin(Access::Unspecified, Isolation::Default)),
        ("begin work;", begin(Access::Unspecified, Isolation::Default)),
        ("begin read only, not deferrable", begin(Access::ReadOnly, Isolation::Default)),
        ("begin read only read write", begin(Access::ReadWrite, Isolation::Default)),
        (
            "start transaction isolation level read committed, read only",
            begin(Access::ReadOnly, Isolation::ReadCommitted),
        ),
        (
            "begin transaction isolation level repeatable read",
            begin(Access::Unspecified, Isolation::RepeatableRead),
        ),
        ("begin deferrable read only", begin(Access::ReadOnly, Isolation::Serializable)),
        ("begin nonsense", Class::Primary(Why::Unparsed)),
        ("commit and chain", Class::End),
        ("ROLLBACK WORK AND NO CHAIN", Class::End),
        ("end transaction", Class::End),
        ("abort", Class::End),
        ("rollback transaction to savepoint a", Class::Savepoint),
        ("release savepoint a", Class::Savepoint),
        ("commit prepared 'x'", Class::Primary(Why::Utility)),
        ("prepare transaction as select 1", Class::Primary(Why::SessionState)),
        ("", Class::Empty),
        (" ; /* nothing */ ;; -- at all", Class::Empty),
    ] {
        assert_eq!(class(sql), expected, "{sql}");
    }
}

#[test]
fn effects_are_found_in_every_kind_of_statement() {
    type E = Effects;
    for (sql, expected) in [
        ("select 1", E::empty()),
        ("show work_mem", E::empty()),
        ("begin", E::TRANSACTION),
        ("begin; insert into t values (1)", E::TRANSACTION | E::MULTI | E::WRITES),
        ("set a.b = 1", E::SETS),
        ("set a.b = 1; reset all", E::SETS | E::MULTI),
        ("set seed to 0.5", E::SETS | E::OPAQUE | E::KEEPS),
        ("set search_path to pg_temp", E::SETS | E::TEMP),
        ("set search_path to 'a', 'PG_TEMP'", E::SETS | E::TEMP),
        ("select set_config('a.b', 'c', false)", E::SETS),
        ("select set_config($1, $2, true), set_config('a', $3, true)", E::SETS),
        ("select set_config($1, $2, false)", E::SETS),
        ("select set_config(a, b, false) from t", E::SETS | E::OPAQUE | E::WRITES),
        ("select set_config('a', b, false) from t", E::SETS | E::WRITES),
        ("insert into t select \"set_config\"('a', 'b', false)", E::SETS | E::WRITES),
        ("select set_config('Seed', '0.5', false)", E::SETS | E::OPAQUE | E::WRITES | E::KEEPS),
        ("create temp table a (b int)", E::TEMP | E::DDL | E::WRITES),
        ("CREATE LOCAL TEMPORARY TABLE a (b int)", E::TEMP | E::DDL | E::WRITES),
        ("create or replace temp view a as select 1", E::TEMP | E::DDL | E::WRITES),
        ("create table pg_temp.a (b int)", E::TEMP | E::DDL | E::WRITES),
        ("create table \"pg_temp\".a (b int)", E::TEMP | E::DDL | E::WRITES),
        ("select temp from t", E::empty()),
        ("select 1 into temporary x", E::TEMP | E::DDL | E::WRITES),
        ("update t set a = pg_advisory_lock(1)", E::SESSION_LOCK | E::WRITES),
        ("SELECT (1).Pg_Advisory_Lock", E::SESSION_LOCK | E::WRITES),
        ("select (a).b.\"setseed\" from t", E::OPAQUE | E::KEEPS | E::WRITES),
        ("update t set a = $1.currval", E::SEQUENCE_STATE | E::WRITES),
        ("select (a).b, c.setseed from t", E::empty()),
        ("select pg_advisory_xact_lock(1)", E::ACTS | E::WRITES),
        ("SELECT (1).\"pg_cancel_backend\", PG_SLEEP(1)", E::ACTS | E::WRITES),
        ("declare c cursor with hold for select 1", E::HOLD_CURSOR | E::WRITES),
        ("declare c cursor without hold for select 1", E::WRITES),
        ("listen a", E::LISTENS),
        ("unlisten *", E::UNLISTENS),
        ("load 'x'", E::LOADS),
        ("discard all", E::DISCARDS),
        ("discard temporary", E::DISCARDS_PART),
        ("close all", E::RELEASES),
        ("deallocate a", E::DEALLOCATES),
        ("prepare a as select 1", E::PREPARES),
        ("explain analyze execute a", E::EXECUTES | E::WRITES),
        ("create table a as execute b", E::EXECUTES | E::DDL | E::WRITES),
        ("grant execute on function f to a", E::DDL | E::WRITES),
        ("insert into t values (currval('s'))", E::SEQUENCE_STATE | E::WRITES),
        ("do $$ $$", E::OPAQUE | E::DDL | E::WRITES),
        ("update pg_settings set setting = '1' where name = 'work_mem'", E::OPAQUE | E::WRITES),
        ("select setting from pg_catalog.pg_settings", E::empty()),
        ("fetch 5 from c", E::FETCHES | E::WRITES),
        ("call f()", E::OPAQUE | E::DDL | E::WRITES),
        ("select * from pg_class", E::empty()),
        ("insert into t values (1) returning a", E::WRITES),
        ("merge into t using s on true when matched then delete", E::WRITES),
    ] {
        assert_eq!(verdict_of(sql).effects, expected, "{sql}");
    }
}

#[test]
fn a_hint_overrules_only_what_is_unknown() {
    for (sql, expected) in [
        ("/* pglagoon: primary */ select 1", Class::Primary(Why::Hint)),
        ("/* pglagoon: replica */ select f(1)", Class::Read),
        ("/* pglagoon: replica */ select * from pg_stat_activity", Class::Read),
        ("/* pglagoon: replica */ select nextval('s')", Class::Primary(Why::Sequence)),
        ("/* pglagoon: replica */ select f(1) for update", Class::Primary(Why::Locking)),
        ("/* pglagoon: replica */ insert into t values (1)", Class::Primary(Why::Write)),
        ("/* pglagoon: whatever */ select 1", Class::Primary(Why::Hint)),
    ] {
        assert_eq!(class(sql), expected, "{sql}");
    }
    // The form is shared with texts without a hint; the verdict must not be.
    let mut classifier = Classifier::new(64);
    let mut ask = |sql: &str| classifier.classify(sql.as_bytes(), &LiveCatalog::default()).class;
    assert_eq!(ask("/* pglagoon: primary */ select 1"), Class::Primary(Why::Hint));
    assert_eq!(ask("select 1"), Class::Read);
    assert_eq!(ask("/* pglagoon: primary */ select 2"), Class::Primary(Why::Hint));
}

#[test]
fn fingerprints_ignore_literals_and_nothing_else() {
    let print = |sql: &str| verdict_of(sql).fingerprint;
    let same = [
        ("select a from t where b = 1", "SELECT a  FROM t -- x\n WHERE b = 42"),
        ("select 'x'", "select 'y''z'"),
        ("select a in (1, 2)", "select a in (3, 4, 5, 6)"),
        ("insert into t values (1, 'a')", "insert into t values (2, 'b'), (3, 'c')"),
        ("select a in ($1, $2)", "select a in ($4, $5, $6)"),
    ];
    for (left, right) in same {
        assert_eq!(print(left), print(right), "{left} | {right}");
    }
    let different = [
        ("select a", "select \"A\""),
        ("select a", "select b"),
        ("select 1", "select '1'"),
        ("select 1", "select 1; select 1"),
        ("select a + 1", "select a - 1"),
        ("select f(1), g(1)", "select f(1)"),
        ("set a = 'b'", "set a = 'c'"),
        ("select set_config('a', 'b', true)", "select set_config('a', 'c', true)"),
    ];
    for (left, right) in different {
        assert_ne!(print(left), print(right), "{left} | {right}");
    }
    assert_eq!(print(""), 0);
    assert_eq!(print("select 'unterminated"), 0);
}

#[test]
fn hostile_texts_neither_crash_nor_pass() {
    let deep = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("select {}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let texts = [
        deep("(", "1", ")", 100_000),
        deep("(", "1", ")", 10_000),
        deep("((select ", "1", "))", 3_000),
        deep("case when ", "1", " then 1 end", 2_000),
        deep("array[", "1", "]", 5_000),
        deep("not ", "1", "", 10_000),
        deep("- ", "1", "", 20_000),
        deep("f(", "1", ")", 10_000),
        deep("1 + ", "1", "", 15_000),
        deep("1 or ", "1", "", 12_000),
        deep("1::", "int", "", 12_000),
        deep("select 1 union ", "1", "", 4_000),
        deep("a.", "b", "", 20_000),
        deep("x[1]", "[1]", "[1]", 10_000),
        format!("select * from {}t{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("select 1{}", " collate x".repeat(6_000)),
        format!("with {} select 1", "x as (select 1), ".repeat(3_000)),
        format!("select 1 {} 2", "+".repeat(60_000)),
        format!("select 1 {} 2", "+ ".repeat(30_000)),
        format!("select {}", "@-".repeat(30_000)),
        format!("select * from select {}", "join select ".repeat(4_000)),
        "explain ".repeat(8_000),
        ";".repeat(100_000),
        "/*".repeat(50_000),
        "'".repeat(60_001),
        "$a$".repeat(20_001),
        format!("select '{}'", "x".repeat(5 * 1024 * 1024)),
    ];
    let handle = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || texts.map(|sql| (verdict_of(&sql).class, sql)))
        .expect("a thread");
    for (class, sql) in handle.join().expect("no overflow") {
        let start = sql.get(..40).unwrap_or(&sql);
        assert!(matches!(class, Class::Primary(_) | Class::Empty), "{start}: {class:?}");
    }
}

#[test]
fn long_texts_keep_their_effects() {
    let rows = "(1, 'abc', currval('s')), (2, f(x)),".repeat(4_000);
    let insert = format!("insert into t values {rows} (3)");
    let found = verdict_of(&insert);
    assert_eq!(found.class, Class::Primary(Why::Write));
    assert_eq!(found.effects, Effects::WRITES | Effects::SEQUENCE_STATE);
    let wide = format!("select {} 1 from t", "abc, def.ghi, ".repeat(8_000));
    assert_eq!(class(&wide), Class::Primary(Why::TooLong));
    // Literals do not count: the form of a long list is short.
    let list = format!("select * from t where a in ({} 1)", "12345678, ".repeat(20_000));
    assert_eq!(class(&list), Class::Read);
}

#[test]
fn the_longest_chains_that_are_parsed_fit_on_a_small_stack() {
    let chain = |link: &str, end: &str| format!("select {}{end}", link.repeat(CHAIN));
    let texts = [
        chain("1 + ", "1"),
        chain("a or ", "b"),
        chain("1 union select ", "1"),
        chain("a || b and ", "c"),
        format!("select 1{}", "::int".repeat(CHAIN)),
        format!("select a{}", "[1]".repeat(CHAIN)),
        format!("select a{}", " collate \"C\"".repeat(CHAIN)),
        format!("select * from t {}", "join t on true ".repeat(200)),
        format!("select * from t {} {}", "join t ".repeat(200), "on true ".repeat(200)),
        format!("select * from t {} {}", "join t ".repeat(8), "on true ".repeat(8)),
    ];
    let handle = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || texts.map(|sql| verdict_of(&sql).class));
    let classes = handle.expect("a thread").join().expect("no overflow");
    assert!(classes.iter().filter(|class| **class == Class::Read).count() >= 7, "{classes:?}");
}
