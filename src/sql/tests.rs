//! The rules of classification, one by one.

use super::*;

fn verdict_of(sql: &str) -> Verdict {
    Classifier::new(64).classify(sql.as_bytes(), &Catalog::builtin())
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
    ] {
        assert_eq!(class(sql), Class::Read, "{sql}");
    }
}
