//! What a fake node tells whoever reads its catalog: which tables there are.

use super::frames::{Frame, complete, idle};
use super::monitor::{next, values};
use super::wire::Wire;

/// The tables of a fake node.
const TABLES: [&str; 4] = ["t", "u", "v", "just_made"];

/// Answers for as long as it is asked.
pub(super) async fn answer(mut wire: Wire) -> Option<()> {
    loop {
        let Some(frame) = next(&mut wire).await else { return Some(()) };
        let answers = match frame.tag {
            b'Q' if contains(&frame.body, "server_version_num") => row(&["180000"]),
            b'Q' if contains(&frame.body, "pg_stat_get") => row(&["1"]),
            b'Q' => (16384..).zip(&TABLES).flat_map(relation).collect(),
            b'X' => return Some(()),
            other => panic!("whoever reads the catalog sends {:?}", char::from(other)),
        };
        let answers = [answers, vec![idle()]].concat();
        wire.try_send(&super::frames::bytes(&answers)).await.ok()?;
    }
}

fn contains(body: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(body).contains(word)
}

fn relation((oid, name): (u32, &&str)) -> Vec<Frame> {
    row(&["relation", &oid.to_string(), "public", name, "r", "p"])
}

/// A result of one row.
fn row(columns: &[&str]) -> Vec<Frame> {
    let mut description = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for _ in columns {
        // A name, no table, text of any length.
        description.extend(b"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    }
    let columns: Vec<_> = columns.iter().copied().map(Some).collect();
    vec![Frame::new(b'T', description), values(&columns), complete("SELECT 1")]
}
