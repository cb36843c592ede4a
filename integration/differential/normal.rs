//! What two servers need not agree on: process numbers, oids of new objects, names of temporary schemas, the line in
//! PostgreSQL's source of an error that pgLagoon may report in its stead.

use std::collections::HashMap;

use crate::differential::{client::Answer, frames::Frame};

/// The first oid that is not PostgreSQL's own.
const FIRST_ORDINARY: u32 = 16_384;

/// Makes the answers of a whole session comparable with those of another.
pub(super) fn normalise(answers: &mut [Answer], database: &str) {
    let mut oids = Oids::default();
    for (index, answer) in answers.iter_mut().enumerate() {
        if index == 0 {
            log_in(&mut answer.frames);
        }
        for frame in &mut answer.frames {
            match frame.tag {
                b'A' => frame.body[..4].fill(0),
                b'T' => oids.columns(&mut frame.body),
                b't' => oids.list(&mut frame.body[2..]),
                b'E' if contains(&frame.body, b"RRevalidateCachedQuery\0") => {
                    let fields = frame.body.split(|byte| *byte == 0);
                    let fields: Vec<_> = fields.filter(|field| !field.starts_with(b"L")).collect();
                    frame.body = fields.join(&0);
                }
                b'E' | b'N' | b'D' | b'd' => names(&mut frame.body, database),
                _ => {}
            }
        }
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

/// The order of parameters is nobody's business, nor are process number and secret.
fn log_in(frames: &mut Vec<Frame>) {
    frames.retain(|frame| frame.tag != b'K');
    let is_parameter = |frame: &Frame| frame.tag == b'S';
    let Some(start) = frames.iter().position(is_parameter) else { return };
    let len = frames[start..].iter().take_while(|frame| is_parameter(frame)).count();
    frames[start..start + len].sort_by(|one, other| one.body.cmp(&other.body));
}

/// Oids of what a case has created, numbered as they are seen.
#[derive(Default)]
struct Oids(HashMap<u32, u32>);

impl Oids {
    fn one(&mut self, bytes: &mut [u8]) {
        let oid = u32::from_be_bytes(bytes.try_into().unwrap());
        if oid >= FIRST_ORDINARY {
            let next = FIRST_ORDINARY + u32::try_from(self.0.len()).unwrap();
            bytes.copy_from_slice(&self.0.entry(oid).or_insert(next).to_be_bytes());
        }
    }

    fn list(&mut self, list: &mut [u8]) {
        list.chunks_mut(4).for_each(|oid| self.one(oid));
    }

    /// The table and the type of each column of a RowDescription.
    fn columns(&mut self, body: &mut [u8]) {
        let mut rest = &mut body[2..];
        while let Some(name) = rest.iter().position(|byte| *byte == 0) {
            let column = &mut rest[name + 1..];
            self.one(&mut column[..4]);
            self.one(&mut column[6..10]);
            rest = &mut column[18..];
        }
    }
}

/// The number of a temporary schema, and the last character of the database's name.
fn names(body: &mut Vec<u8>, database: &str) {
    const TEMPORARY: &[u8] = b"pg_temp_";
    let find = |body: &[u8], text: &[u8], from: usize| {
        let found = body.get(from..)?.windows(text.len()).position(|window| window == text)?;
        Some(from + found + text.len())
    };
    let mut from = 0;
    while let Some(behind) = find(body, TEMPORARY, from) {
        let digits = body[behind..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        body.splice(behind..behind + digits, *b"N");
        from = behind;
    }
    from = 0;
    while let Some(behind) = find(body, database.as_bytes(), from) {
        body[behind - 1] = b'N';
        from = behind;
    }
}
