//! Cases made up by chance: prepared statements whose table keeps changing, by this session and by others.
//!
//! Each value tells the name and the type of its column, so that a client knows whether it reads a row rightly: by what
//! it was told last of that statement's columns, by Describe of it or of a portal. That it may never fail at. Else pgLagoon
//! tells what PostgreSQL tells, but that it refuses a statement with 0A000: not where the client asks in the same breath
//! what the columns are, and also where it was never told. From then on the two have different pasts.

use std::collections::HashMap;

use rand::rngs::SmallRng;

use super::{
    client::Answer,
    frames::Frame,
    random,
    script::{Case, Step},
};

/// What their titles begin with.
const TITLE: &str = "columns by chance";

const START: &str =
    "CREATE TABLE moving (a int, b text)\nINSERT INTO moving VALUES (1, 'b text')\n";

/// What is done with a name (`@`) and another one (`%`).
const WORDS: [&str; 21] = [
    "\\parse @ ~\n\\sync",
    "\\parse @ ~\n\\describe s @\n\\sync",
    "\\close s @\n\\parse @ ~\n\\describe s @\n\\sync",
    "\\parse @ ~\n\\bind - @ 1\n\\describe p -\n\\execute -\n\\sync",
    "\\close s @\n\\parse @ ~\n\\bind - @ 1\n\\describe p -\n\\execute -\n\\sync",
    "\\close s @\n\\parse @ ~\n\\bind p @ 1\n\\describe p p\n\\execute p\n\\sync",
    "\\bind - @ 1\n\\execute -\n\\sync",
    "\\bind - @ 1\n\\execute -\n\\sync",
    "\\bind - @ 1 -> 1\n\\execute -\n\\sync",
    "\\bind - @ 1\n\\describe p -\n\\execute -\n\\sync",
    "\\describe s @\n\\sync",
    "\\close s @\n\\sync",
    "\\{\n\\bind - @ 1\n\\execute -\n\\sync\n\\bind - @ 1\n\\describe p -\n\\execute -\n\\sync\n\\bind - % 1\n\\execute -\n\\sync\n\\}",
    "\\{\n\\bind - @ 1\n\\bind - % x\n\\describe p -\n\\execute -\n\\sync\n\\bind - @ 1\n\\execute -\n\\sync\n\\}",
    "BEGIN\n\\bind p @ 1\n\\bind q % 1\n\\describe p p\n\\execute p 1\n\\describe p q\n\\execute q\n\\sync\nROLLBACK",
    "BEGIN\n^\n\\bind - @ 1\n\\execute -\n\\sync\nROLLBACK",
    "BEGIN\n^\n\\parse @ ~\n\\describe s @\n\\sync\nCOMMIT",
    "\\run SELECT * FROM moving\nSELECT 1",
    "DEALLOCATE ALL",
    "SELECT 1",
    "^",
];

/// What is parsed (`~`).
const TEXTS: [&str; 4] = [
    "SELECT * FROM moving WHERE $1 = 1",
    "SELECT * FROM moving WHERE 1 = $1",
    "SELECT b, a FROM moving WHERE $1 = 1",
    "UPDATE moving SET a = a WHERE $1 = 1 RETURNING *",
];

/// What the table goes through (`^`).
const CHANGES: [&str; 7] = [
    "ALTER TABLE moving ALTER a TYPE bigint USING 10000000001",
    "ALTER TABLE moving ALTER a TYPE int USING 1",
    "ALTER TABLE moving ALTER a TYPE text USING 'a text'",
    "ALTER TABLE moving ALTER b TYPE int USING 2",
    "ALTER TABLE moving ALTER b TYPE text USING 'b text'",
    "ALTER TABLE moving ADD IF NOT EXISTS c int DEFAULT 3",
    "ALTER TABLE moving DROP IF EXISTS c",
];

const NAMES: [&str; 3] = ["s", "t", "-"];

/// That many cases, the same every time. In every other one another session changes the table as well.
pub(super) fn cases(count: u64) -> Vec<Case> {
    random::chances(count, TITLE, START, step)
}

fn step(seed: u64, dice: &mut SmallRng) -> String {
    let mut pick = |from: &[&'static str]| random::pick(dice, from);
    let change = pick(&CHANGES);
    let word = match pick(&WORDS) {
        "^" if seed % 2 == 1 && pick(&["ours", "theirs"]) == "theirs" => "\\other ^",
        word => word,
    };
    let word = word.replace('^', change).replace('~', pick(&TEXTS));
    word.replace('@', pick(&NAMES)).replace('%', pick(&NAMES))
}

/// Whether a case is one of these.
pub(super) fn is_one(case: &Case) -> bool {
    case.title.starts_with(TITLE)
}

/// What is wrong with these answers, if PostgreSQL's are those. The first is that to the log-in.
pub(super) fn judge(steps: &[Step], expected: &[Answer], answers: &[Answer]) -> Option<String> {
    let mut client = Reader::default();
    let mut is_same = expected.len() == answers.len();
    for (index, (step, answer)) in steps.iter().zip(&answers[1..]).enumerate() {
        let Step::Send(sent) = step else { continue };
        let theirs = expected.get(index + 1).filter(|_| is_same);
        let is_excused = client.may_differ(sent);
        if let Err(wrong) = client.read(sent, &answer.frames) {
            return Some(format!("{step}: {wrong}; {answer:?}"));
        }
        if let Some(theirs) = theirs
            && theirs != answer
        {
            if !(is_excused && refusals(theirs) != refusals(answer)) {
                return Some(format!("{step}\n  PostgreSQL {theirs:?}\n  pgLagoon   {answer:?}"));
            }
            is_same = false;
        }
    }
    None
}

/// How often an answer says that a plan's columns are others.
fn refusals(answer: &Answer) -> usize {
    let errors = answer.frames.iter().filter(|frame| frame.tag == b'E');
    errors.filter(|error| error.field(b'C').as_deref() == Some("0A000")).count()
}

/// Names and types of columns.
type Columns = Vec<(String, u32)>;

/// What a client knows.
#[derive(Default)]
struct Reader {
    /// Of its statements; nothing of those that it was never told of.
    statements: HashMap<Vec<u8>, Option<Columns>>,
    portals: HashMap<Vec<u8>, Portal>,
}

#[derive(Clone, Default)]
struct Portal {
    statement: Vec<u8>,
    /// 1 if its values are binary.
    format: u8,
    columns: Option<Columns>,
}

/// The zero-terminated strings that a body begins with.
fn names(body: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    body.split(|byte| *byte == 0).map(<[u8]>::to_vec)
}

impl Reader {
    /// Whether pgLagoon may refuse what PostgreSQL does not, or the other way round: the client is told the columns, or
    /// never was.
    fn may_differ(&self, sent: &[Frame]) -> bool {
        sent.iter().any(|frame| match frame.tag {
            b'D' => true,
            b'B' => {
                let statement = names(&frame.body).nth(1).unwrap_or_default();
                self.statements.get(&statement).is_none_or(Option::is_none)
            }
            _ => false,
        })
    }

    /// Reads what has come as the answer to what was sent.
    fn read(&mut self, sent: &[Frame], answers: &[Frame]) -> Result<(), String> {
        let mut answers = answers.iter().peekable();
        let mut is_skipping = false;
        for frame in sent {
            if is_skipping && frame.tag != b'S' {
                continue;
            }
            is_skipping = false;
            for answer in answers.by_ref() {
                match (frame.tag, answer.tag) {
                    (b'Q' | b'S', b'Z') => {
                        if answer.body[0] == b'I' {
                            self.portals.clear();
                        }
                        break;
                    }
                    (b'Q', b'C') if answer.body.starts_with(b"DEALLOCATE ALL") => {
                        self.statements.clear();
                    }
                    (b'Q', _) | (b'D', b't') => {}
                    (_, b'E') => {
                        is_skipping = true;
                        break;
                    }
                    (b'E', b'D') => self.check(frame, answer)?,
                    _ => {
                        self.note(frame, answer);
                        break;
                    }
                }
            }
            if frame.tag == b'Q' {
                self.statements.remove(&b""[..]);
            }
        }
        match answers.next() {
            None => Ok(()),
            Some(more) => Err(format!("{more:?} answers nothing")),
        }
    }

    fn note(&mut self, sent: &Frame, answer: &Frame) {
        let name = || names(&sent.body[1..]).next().unwrap_or_default();
        match sent.tag {
            b'P' => {
                self.statements.insert(names(&sent.body).next().unwrap_or_default(), None);
            }
            b'C' if sent.body[0] == b'S' => drop(self.statements.remove(&name())),
            b'B' => {
                let mut both = names(&sent.body);
                let (portal, statement) =
                    (both.next().unwrap_or_default(), both.next().unwrap_or_default());
                let columns = self.statements.get(&statement).cloned().flatten();
                let format = u8::from(sent.body.ends_with(&[0, 1, 0, 1]));
                self.portals.insert(portal, Portal { statement, format, columns });
            }
            b'D' if sent.body[0] == b'S' => {
                self.statements.insert(name(), Some(columns(answer)));
            }
            b'D' => {
                if let Some(portal) = self.portals.get_mut(&name()) {
                    portal.columns = Some(columns(answer));
                    self.statements.insert(portal.statement.clone(), portal.columns.clone());
                }
            }
            _ => {}
        }
    }

    /// Whether a row is what the client takes it for.
    fn check(&self, execute: &Frame, row: &Frame) -> Result<(), String> {
        let portal = names(&execute.body).next().unwrap_or_default();
        let Some(portal) = self.portals.get(&portal) else { return Ok(()) };
        let Some(known) = &portal.columns else { return Ok(()) };
        let found = values(row);
        let is_it = |(value, (name, kind)): (&Vec<u8>, &(String, u32))| {
            *value == encoded(name, *kind, portal.format)
        };
        if found.len() == known.len() && found.iter().zip(known).all(is_it) {
            Ok(())
        } else {
            Err(format!("a client that was told of {known:?} has read {found:?}"))
        }
    }
}

/// What a column of this name and type holds.
fn encoded(name: &str, kind: u32, format: u8) -> Vec<u8> {
    let number = name.bytes().next().map_or(0, |letter| i32::from(letter - b'a') + 1);
    let long = 10_000_000_000 + i64::from(number);
    match (kind, format) {
        (23, 0) => number.to_string().into_bytes(),
        (23, _) => number.to_be_bytes().to_vec(),
        (20, 0) => long.to_string().into_bytes(),
        (20, _) => long.to_be_bytes().to_vec(),
        _ => format!("{name} text").into_bytes(),
    }
}

/// Names and types in a RowDescription.
fn columns(description: &Frame) -> Columns {
    let mut found = Vec::new();
    let mut rest = description.body.get(2..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let kind = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
        found.push((String::from_utf8_lossy(&rest[..end]).into_owned(), kind));
        rest = &rest[end + 19..];
    }
    found
}

fn values(row: &Frame) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = &row.body[2..];
    while let Some((len, behind)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(i32::from_be_bytes(*len)).unwrap_or(0);
        found.push(behind[..len].to_vec());
        rest = &behind[len..];
    }
    found
}
