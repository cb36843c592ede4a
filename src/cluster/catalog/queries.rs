//! What PostgreSQL is asked about its catalog. Every role may read these tables; versions 13 to 18 have them.
//!
//! All is asked in one round trip and one snapshot. The first column of each row says what the rest of it is about:
//! see `sql::Facts`. Objects that came with PostgreSQL have oids below 16384, and are known without asking.

use std::fmt::Write as _;

/// Sent when the connection is new. Names in trees and bodies are compared as they are stored, whatever the path.
pub(super) const PREPARE: &str = "SET search_path = pg_catalog; SET statement_timeout = '60s'; \
    SET default_transaction_read_only = on; SET jit = off; SHOW server_version_num";

/// Rows that PostgreSQL has put into, changed in and taken out of its catalogs: it grows whenever one changes. It is
/// counted when the session that did so reports it, some seconds later at worst. Behind it what sessions begin with (ALTER
/// ROLE and ALTER DATABASE ... SET), as it is; and whether some begin with commits that are not flushed when they are
/// acknowledged, with what says how soon they are.
pub(super) const CHANGES: &str = "SELECT sum(pg_stat_get_tuples_inserted(c) + pg_stat_get_tuples_updated(c) \
    + pg_stat_get_tuples_deleted(c)), (SELECT md5(string_agg(concat_ws(' ', setdatabase, setrole, setconfig), ' ' \
    ORDER BY setdatabase, setrole)) FROM pg_db_role_setting WHERE setdatabase = 0 OR setdatabase = \
    (SELECT oid FROM pg_database WHERE datname = current_database())), \
    CASE WHEN current_setting('synchronous_commit') = 'off' OR EXISTS (SELECT FROM pg_db_role_setting, \
    unnest(setconfig) AS s WHERE s ~* '^synchronous_commit=(of|off|f|fa|fal|fals|false|n|no|0)$') THEN 'lazy' END, \
    (SELECT setting FROM pg_settings WHERE name = 'wal_writer_delay') FROM unnest('{1247,1255,1259,2600,2602,2603,2605,2606,2608,2611,2615,2617,2618,\
    2620,3256}'::oid[]) c";

/// Whether a function may have the commit of its transaction acknowledged before it is flushed.
pub(super) const LAZY_FUNCTIONS: &str = "SELECT CASE WHEN EXISTS (SELECT FROM pg_proc WHERE oid >= 16384 \
    AND strpos(lower(concat(prosrc, proconfig::text)), 'synchronous_commit') > 0) THEN 'lazy' END";

/// Objects of this class that use a function or an operator that is not PostgreSQL's own: only their trees are looked
/// at. Finding out from all trees takes a hundred times as long.
macro_rules! using_own {
    ($class:literal) => {
        concat!(
            "SELECT objid FROM pg_depend WHERE classid = ",
            $class,
            " AND refclassid IN (1255, 2617) AND refobjid >= 16384"
        )
    };
}

const FUNCTIONS: [&str; 2] = [
    "SELECT 'function', p.oid, n.nspname, p.proname, p.provolatile, l.lanname, e.extname, \
     coalesce(p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1 AND t.typtype IN ('c', 'd', 'p'), false), \
     p.prorettype || ' ' || p.proargtypes::text, ",
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
     LEFT JOIN pg_type t ON t.oid = CASE WHEN p.pronargs = 1 AND p.provariadic <> 0 THEN p.provariadic \
     ELSE p.proargtypes[0] END \
     LEFT JOIN pg_depend d ON d.classid = 1255 AND d.objid = p.oid AND d.deptype = 'e' \
     LEFT JOIN pg_extension e ON e.oid = d.refobjid WHERE p.oid >= 16384; ",
];

/// The body, whether it is a tree first. What is longer than this is not read, and so not known.
const BODY: &str = "CASE WHEN l.lanname IN ('sql', 'plpgsql') AND octet_length(p.prosrc) < 262144 THEN p.prosrc END";

/// Whether a tree calls `currval` or `lastval`.
macro_rules! asks_currval {
    ($tree:literal) => {
        concat!(
            "strpos(",
            $tree,
            "::text, ':funcid 1575 ') + strpos(",
            $tree,
            "::text, ':funcid 2559 ') > 0"
        )
    };
}

/// One row if anything in the database may ask a session for its `currval` or `lastval`; rules tell it themselves.
const CURRVAL: [&str; 2] = [
    "SELECT 'currval' WHERE EXISTS (SELECT FROM pg_proc WHERE oid >= 16384 \
     AND (strpos(lower(prosrc), 'currval') + strpos(lower(prosrc), 'lastval') > 0",
    concat!(
        " OR ",
        asks_currval!("proargdefaults"),
        ")) OR EXISTS (SELECT FROM pg_attrdef WHERE ",
        asks_currval!("adbin"),
        ") OR EXISTS (SELECT FROM pg_constraint WHERE oid >= 16384 AND ",
        asks_currval!("conbin"),
        ") OR EXISTS (SELECT FROM pg_trigger WHERE ",
        asks_currval!("tgqual"),
        ") OR EXISTS (SELECT FROM pg_policy WHERE ",
        asks_currval!("polqual"),
        " OR ",
        asks_currval!("polwithcheck"),
        "); ",
    ),
];

const REST: &str = concat!(
    "SELECT 'built_in', oid, proname FROM pg_proc WHERE oid < 16384; \
     SELECT 'parameter', name, \
     CASE WHEN enumvals @> '{on,off}' AND strpos(name, '.') = 0 THEN 'switch' ELSE vartype END, unit, context \
     FROM pg_settings WHERE context IN ('superuser', 'user'); \
     SELECT 'aggregate', aggfnoid::oid, concat_ws(' ', aggtransfn::oid, aggfinalfn::oid, aggcombinefn::oid, \
     aggserialfn::oid, aggdeserialfn::oid, aggmtransfn::oid, aggminvtransfn::oid, aggmfinalfn::oid) \
     FROM pg_aggregate WHERE aggfnoid >= 16384; \
     SELECT 'operator', oid, oprname, oprcode::oid FROM pg_operator WHERE oid >= 16384; \
     SELECT 'type', t.oid, n.nspname, t.typname, t.typbasetype, \
     concat_ws(' ', r.rngcanonical::oid, r.rngsubdiff::oid) FROM pg_type t \
     JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_range r ON r.rngtypid = t.oid \
     WHERE t.oid >= 16384 AND t.typtype IN ('b', 'd', 'e', 'm', 'r') AND t.typcategory <> 'A'; \
     SELECT 'cast', t.typname, c.castfunc, \
     CASE WHEN c.castcontext = 'i' AND l.lanname NOT IN ('c', 'internal') THEN 'i' ELSE 'e' END \
     FROM pg_cast c JOIN pg_type t ON t.oid = c.casttarget JOIN pg_proc p ON p.oid = c.castfunc \
     JOIN pg_language l ON l.oid = p.prolang WHERE c.oid >= 16384; \
     SELECT 'support', p.oid FROM (SELECT amproc AS oid FROM pg_amproc WHERE oid >= 16384 \
     UNION SELECT o.oprcode FROM pg_amop a JOIN pg_operator o ON o.oid = a.amopopr WHERE a.oid >= 16384) s \
     JOIN pg_proc p ON p.oid = s.oid JOIN pg_language l ON l.oid = p.prolang \
     WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal'); \
     SELECT 'relation', c.oid, n.nspname, c.relname, c.relkind, c.relpersistence FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384 AND c.relpersistence <> 't' \
     AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S'); \
     SELECT 'link', 'inherits', i.inhparent, i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
     WHERE c.relkind IN ('r', 'p', 'f'); \
     SELECT DISTINCT 'link', 'cascade', confrelid, conrelid FROM pg_constraint WHERE contype = 'f' \
     AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')); \
     SELECT DISTINCT 'link', 'trigger', tgrelid, tgfoid::oid FROM pg_trigger WHERE NOT tgisinternal; \
     SELECT 'rule', r.oid, r.xmin, CASE WHEN c.relkind = 'm' THEN 'refresh' WHEN r.ev_type = '1' THEN 'read' \
     ELSE 'write' END, r.ev_class FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.oid >= 16384; \
     SELECT 'tree', 'read', polrelid, polqual FROM pg_policy; \
     SELECT 'tree', 'write', polrelid, polwithcheck FROM pg_policy; \
     SELECT 'tree', 'default', oid, proargdefaults FROM pg_proc WHERE oid >= 16384 AND proargdefaults IS NOT NULL; \
     SELECT 'tree', 'domain', contypid, conbin FROM pg_constraint WHERE contypid <> 0 AND oid >= 16384; \
     SELECT 'tree', 'write', conrelid, conbin FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0 AND oid IN (",
    using_own!("2606"),
    // Of a generated column, up to version 14, it is the column that depends.
    "); SELECT 'tree', 'write', adrelid, adbin FROM pg_attrdef WHERE oid IN (",
    using_own!("2604"),
    ") OR adrelid IN (",
    using_own!("1259"),
    ")"
);

/// What asks a server of this version (`server_version_num`) for all that there is to know but for the [`texts`] of
/// rules, in a transaction that is left open: each row is one for `sql::Facts`.
pub(super) fn everything(version: u32) -> String {
    let [functions, from] = FUNCTIONS;
    // SQL-standard bodies came with version 14.
    let [currval, others] = CURRVAL;
    let (body, more) = if version < 140_000 {
        (format!("false, {BODY}"), "")
    } else {
        let body = format!("p.prosqlbody IS NOT NULL, coalesce(p.prosqlbody::text, {BODY})");
        (body, concat!(" OR ", asks_currval!("prosqlbody")))
    };
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {functions}{body}{from}{currval}{more}{others}{REST}"
    )
}

/// What asks for the texts of these rules, which are long: a kilobyte for each table of a view. Ends the transaction.
pub(super) fn texts(rules: &[u32]) -> String {
    let mut list =
        String::from("SELECT 'text', oid, xmin, ev_action FROM pg_rewrite WHERE oid = ANY ('{");
    for (index, rule) in rules.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(list, "{comma}{rule}");
    }
    list.push_str("}'); COMMIT");
    list
}
