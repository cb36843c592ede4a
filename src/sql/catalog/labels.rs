//! Functions of which nothing but their label is known.

use super::body::Body;
use crate::sql::scan::{self, Leaves};
use crate::sql::tables::Tables;
use crate::sql::verdict::Why;

/// A function in C: its label is all there is. Labels of extensions are written by people who know what they mean,
/// with the exceptions below.
pub(super) fn compiled(volatility: &str, (extension, name): (&str, &str)) -> Body {
    let is_in = |list: &[(&str, &str)]| list.contains(&(extension, name));
    if scan::leaves(name) == Leaves::ForGood {
        let why = Some(Why::VolatileFunction);
        return Body { why, leaves: Leaves::ForGood, ..Body::opaque() };
    }
    match volatility {
        _ if is_in(RUNNING_TEXT) => Body { why: Some(Why::VolatileFunction), ..Body::opaque() },
        "v" if !is_in(INDEPENDENT) => Body { why: Some(Why::VolatileFunction), ..Body::opaque() },
        "s" => Body { why: None, leaves: Leaves::Nothing, ..Body::opaque() },
        _ => Body { refs: Vec::new(), why: None, tables: Tables::NONE, leaves: Leaves::Nothing },
    }
}

/// Volatile functions of PostgreSQL's own extensions that only have to do with chance or time, as `random` does.
const INDEPENDENT: &[(&str, &str)] = &[
    ("pgcrypto", "gen_random_bytes"),
    ("pgcrypto", "gen_random_uuid"),
    ("pgcrypto", "gen_salt"),
    ("pgcrypto", "pgp_pub_encrypt"),
    ("pgcrypto", "pgp_pub_encrypt_bytea"),
    ("pgcrypto", "pgp_sym_encrypt"),
    ("pgcrypto", "pgp_sym_encrypt_bytea"),
    ("tablefunc", "normal_rand"),
    ("uuid-ossp", "uuid_generate_v1"),
    ("uuid-ossp", "uuid_generate_v1mc"),
    ("uuid-ossp", "uuid_generate_v4"),
];

/// Stable functions that run SQL that they are given as text.
const RUNNING_TEXT: &[(&str, &str)] = &[
    ("tablefunc", "connectby"),
    ("tablefunc", "crosstab"),
    ("tablefunc", "crosstab2"),
    ("tablefunc", "crosstab3"),
    ("tablefunc", "crosstab4"),
    ("tablefunc", "crosstab_hash"),
    ("xml2", "xpath_table"),
];
