//! The work of classifying a text is bounded by a multiple of its length, whatever the text.
//!
//! Allocations are counted, not time: they are most of what the parser does, and a parser that tries one way after
//! another at each level of nesting allocates at each. The rest of the classifier goes over the bytes a fixed number
//! of times, and allocates nothing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::alloc::System;

use pglagoon::sql::{Classifier, LiveCatalog};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What one repetition of a pattern is made of: its front, its middle and its back.
const PATTERNS: &[[&str; 3]] = &[
    ["select ", "(", ")"],
    ["select ", "((select ", "))"],
    ["select * from ", "(select * from ", ") x"],
    ["select ", "case when a then ", " end"],
    ["select ", "array[", "]"],
    ["select ", "f(", ")"],
    ["select ", "row((", "))"],
    ["select ", "not ", ""],
    ["select ", "- ", ""],
    ["select ", "a + ", ""],
    ["select ", "a || 'b' and ", ""],
    ["select ", "a or ", ""],
    ["select a in (", "b, ", ""],
    ["select a in (", "1, a, ", ""],
    ["select ", "a.", ""],
    ["select a", "::int", ""],
    ["select a", "[1]", ""],
    ["select ", "x -> 'a' ->> 'b', ", ""],
    ["select ", "interval '1' day, ", ""],
    ["select ", "date '2020-01-01', ", ""],
    ["select ", "cast(a as numeric(1, 2)), ", ""],
    ["select ", "a b, ", ""],
    ["select ", "(a, b), ", ""],
    ["select * from t where ", "exists (select 1 from t where ", "true)"],
    ["select * from t ", "join t on true ", ""],
    ["select * from t ", "left join (", ") on true"],
    ["select * from ", "(t join ", "t on true)"],
    ["select * from ", "lateral (", ")"],
    ["select 1 ", "union all select 1 ", ""],
    ["", "(select 1 union ", "select 2)"],
    ["with ", "x as (select 1), ", ""],
    ["", "with x as (", "select 1) select 1"],
    ["values ", "(a), ", ""],
    ["select 1 order by ", "a desc nulls last, ", ""],
    ["select 1 group by ", "grouping sets (", ")"],
    ["select sum(a) over (order by a ", "rows between 1 preceding and ", ""],
    ["", "explain ", ""],
    ["", "select 1;", ""],
    ["", "select a from t where b = 1; ", ""],
    ["", ";", ""],
    ["select ", "/*", "*/"],
    ["select ", "/**/", ""],
    ["select ", "'a' --\n", ""],
    ["select ", "'a'\n", ""],
    ["select ", "$a$", ""],
    ["select ", "+", ""],
    ["select ", "@-", ""],
    ["select ", "\"a\".", ""],
    ["select ", "json_object('a': ", ")"],
    ["select ", "xmlelement(name a, ", ")"],
    ["with a as (select 1) ", "search breadth first by a, ", ""],
    ["with a as (select 1) cycle a set b to ", "1 ", ""],
    ["select * from ", "rows from (", ")"],
    ["select * from ", "only (", ")"],
    ["table ", "table ", ""],
    ["set a = ", "b, ", ""],
    ["", "set a = b;", ""],
    ["copy (", "(", ")"],
    ["begin ", "read only, ", ""],
    ["select ", "a between ", ""],
    ["select ", "a is not distinct from ", ""],
    ["select ", "a collate \"C\" ", ""],
    ["select ", "a at time zone ", ""],
    ["select ", "substring(a from ", ")"],
    ["select ", "extract(year from ", ")"],
    ["select ", "trim(both from ", ")"],
    ["select ", "a like all (", ")"],
    ["select * from t ", "a ", ""],
    ["insert into t values ", "(1, 'a'), (b), ", ""],
];

/// What a text of each length may cost.
const LENGTHS: &[usize] = &[1_000, 16_000, 60_000, 200_000];

#[test]
fn the_work_of_classification_is_linear() {
    // As small as the stack of a worker.
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let patterns = || PATTERNS.iter().for_each(check);
    thread.spawn(patterns).unwrap().join().unwrap();
}

fn check(pattern: &[&str; 3]) {
    let catalog = LiveCatalog::default();
    let [front, middle, back] = pattern;
    for length in LENGTHS {
        let times = length / (middle.len() + back.len());
        let sql = format!("{front}{}a{}", middle.repeat(times), back.repeat(times));
        let mut classifier = Classifier::new(64);
        let region = Region::new(ALLOCATOR);
        classifier.classify(sql.as_bytes(), &catalog);
        let work = region.change().allocations;
        // The parser gives up at a depth of 50; up to there it may try more than one way.
        assert!(work < 7_000 + 3 * sql.len(), "{work} allocations for {length} bytes of {middle}");
        // What is longer than a form may be is not parsed.
        let is_parsed = sql.len() < 70_000;
        assert!(
            is_parsed || work < sql.len() / 8,
            "{work} allocations for {length} bytes of {middle}"
        );
    }
}
