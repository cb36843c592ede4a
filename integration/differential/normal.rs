//! What two servers need not agree on: process numbers, oids of new objects, names of temporary schemas, the line in
//! PostgreSQL's source of an error that pgLagoon may report in its stead.

use std::collections::{BTreeMap, HashMap};

use crate::differential::{client::Answer, frames::Frame};

/// The first oid that is not PostgreSQL's own.
const FIRST_ORDINARY: u32 = 16_384;

/// Makes the answers of a whole session comparable with those of another.
pub(super) fn normalise(answers: &mut [Answer], database: &str) {
    let mut oids = Oids::default();
    let mut believed = HashMap::new();
    let is_13 = answers.first().is_some_and(|answer| is_13(&answer.frames));
    for (index, answer) in answers.iter_mut().enumerate() {
        if index == 0 {
            log_in(&mut answer.frames);
        }
        if is_13 {
            report_late(&mut answer.frames, &mut believed);
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

fn is_13(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| frame.body.starts_with(b"server_version\x0013."))
}

/// Puts in front of each ReadyForQuery, in order, what was reported of each parameter at last, if the client does not
/// believe it already: as PostgreSQL does from 14 on. 13 reports whatever a parameter passes through.
fn report_late(frames: &mut Vec<Frame>, believed: &mut HashMap<Vec<u8>, Vec<u8>>) {
    let mut late = Vec::with_capacity(frames.len());
    let mut reports = BTreeMap::new();
    let mut settle = |reports: &mut BTreeMap<Vec<u8>, Frame>, late: &mut Vec<Frame>| {
        for (name, frame) in std::mem::take(reports) {
            if believed.insert(name, frame.body.clone()).as_ref() != Some(&frame.body) {
                late.push(frame);
            }
        }
    };
    for frame in frames.drain(..) {
        if frame.tag == b'S' {
            let name = frame.body.split(|byte| *byte == 0).next().unwrap();
            reports.insert(name.to_vec(), frame);
            continue;
        }
        if frame.tag == b'Z' {
            settle(&mut reports, &mut late);
        }
        late.push(frame);
    }
    settle(&mut reports, &mut late);
    *frames = late;
}

/// The order of parameters is nobody's business, nor are process number and secret. What PostgreSQL reports from 14 on
/// pgLagoon reports in front of 13 as well.
fn log_in(frames: &mut Vec<Frame>) {
    frames.retain(|frame| frame.tag != b'K');
    if is_13(frames) {
        let newer: [&[u8]; 2] = [b"default_transaction_read_only\0", b"in_hot_standby\0"];
        frames.retain(|frame| !newer.iter().any(|name| frame.body.starts_with(name)));
    }
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
