//! Cases as text: what a client sends, line by line.
//!
//! ```text
//! == a title                       begins a case
//! @user postgres                   who logs in, if not the ordinary user
//! @startup options=-c jit=off      a parameter of the startup packet
//! @as-written                      no variants are derived from it
//! SELECT 1; SELECT 2               a Query; an indented line goes on with the one above
//! \run SELECT 1                    Parse, Bind, Describe, Execute, Sync
//! \parse s (23,25) SELECT $1, $2   Parse, types optional; - is the name that is empty
//! \bind p s 1 'a b' NULL 0x2a -> 1 Bind; 0x is binary; result formats behind ->
//! \describe s name                 Describe of a statement, or (p) of a portal
//! \execute p 5                     Execute, with the most rows that it may return
//! \close p name                    Close
//! \function 177 0x01 0x02 -> 1     FunctionCall
//! \data text\n                     CopyData
//! \done, \fail why, \sync, \flush, \terminate
//! \{ ... \}                        what stands between is sent in one go
//! \await A                         waits for one message of this type
//! \other SQL                       another connection, straight to the server, runs this
//! ```
//!
//! Whatever calls for an answer (Query, Sync, Flush, FunctionCall, the end of a COPY) sends what has been gathered,
//! and the answer is read before the next line.

use crate::differential::frames::{
    Frame, close_portal, close_statement, copy_data, copy_done, copy_fail, describe_portal,
    describe_statement, execute_rows, flush, parse_typed, query, run_unnamed, sync, terminate,
};

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) title: String,
    pub(super) user: String,
    pub(super) startup: Vec<(String, String)>,
    pub(super) steps: Vec<Step>,
    variants: bool,
}

/// What a client does at a time.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sends these and reads what they call for.
    Send(Vec<Frame>),
    /// Reads until a message of this type has come.
    Await(u8),
    /// Has another connection run this.
    Other(String),
}

/// In what way the statements of a case are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// As the case says.
    AsWritten,
    /// Each by the extended protocol, unnamed.
    Extended,
    /// Each prepared under a name and described, and executed in another transaction.
    Named,
    /// Each with its own Sync, all in one go.
    Pipelined,
    /// All in one go with a single Sync behind them.
    OneSync,
    /// All between BEGIN and COMMIT.
    InTransaction,
    /// All between BEGIN and ROLLBACK, and again outside.
    RolledBack,
}

impl Variant {
    pub(super) const ALL: [Self; 7] = [
        Self::AsWritten,
        Self::Extended,
        Self::Named,
        Self::Pipelined,
        Self::OneSync,
        Self::InTransaction,
        Self::RolledBack,
    ];
}

impl Case {
    /// The variants that make sense of it: all, if it consists of nothing but Queries.
    pub(super) fn variants(&self) -> &'static [Variant] {
        if self.variants && self.texts().is_some() { &Variant::ALL } else { &Variant::ALL[..1] }
    }

    /// Whether it may leave something in its database.
    pub(super) fn creates(&self) -> bool {
        let creates = |text: String| {
            let text = text.to_ascii_uppercase();
            ["CREATE", "INTO", "PREPARE TRANSACTION"].iter().any(|word| text.contains(word))
        };
        self.steps.iter().any(|step| creates(step.to_string()))
    }

    /// The texts of its Queries, if there is nothing else in it.
    fn texts(&self) -> Option<Vec<String>> {
        let text = |step: &Step| match step {
            Step::Send(frames) => match &frames[..] {
                [Frame { tag: b'Q', body }] => {
                    Some(String::from_utf8(body[..body.len() - 1].to_vec()).unwrap())
                }
                _ => None,
            },
            Step::Await(_) | Step::Other(_) => None,
        };
        self.steps.iter().map(text).collect()
    }

    /// What a client does in this variant.
    pub(super) fn steps_of(&self, variant: Variant) -> Vec<Step> {
        let (Some(texts), false) = (self.texts(), variant == Variant::AsWritten) else {
            return self.steps.clone();
        };
        let send = |text: &str| Step::Send(vec![query(text)]);
        let around = |end: &str| {
            let between = texts.iter().map(|text| send(text));
            [vec![send("BEGIN")], between.collect(), vec![send(end)]].concat()
        };
        let runs = || texts.iter().map(|text| run(text));
        match variant {
            Variant::AsWritten => self.steps.clone(),
            Variant::Extended => runs().map(Step::Send).collect(),
            Variant::Named => texts.iter().enumerate().flat_map(named).collect(),
            Variant::Pipelined => vec![Step::Send(runs().flatten().collect())],
            Variant::OneSync => {
                let frames = runs().flatten().filter(|frame| frame.tag != b'S');
                vec![Step::Send(frames.chain([sync()]).collect())]
            }
            Variant::InTransaction => around("COMMIT"),
            Variant::RolledBack => [around("ROLLBACK"), self.steps.clone()].concat(),
        }
    }
}

fn run(text: &str) -> Vec<Frame> {
    let [parse, bind, execute, sync] = run_unnamed(text);
    vec![parse, bind, describe_portal(""), execute, sync]
}

fn named((number, text): (usize, &String)) -> [Step; 2] {
    let name = format!("s{number}");
    let prepare = vec![parse_typed(&name, text, &[]), describe_statement(&name), sync()];
    let execute = vec![bind(&format!("- {name}")), execute_rows("", 0), sync()];
    [Step::Send(prepare), Step::Send(execute)]
}

/// The cases of one file.
pub(super) fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut reader = Reader::default();
    for line in joined(text) {
        if let Some(title) = line.strip_prefix("== ") {
            finish(&mut cases, &mut reader);
            cases.push(Case {
                title: title.to_owned(),
                user: "differ".to_owned(),
                startup: Vec::new(),
                steps: Vec::new(),
                variants: true,
            });
            continue;
        }
        let case = cases.last_mut().unwrap();
        if let Some(user) = line.strip_prefix("@user ") {
            user.clone_into(&mut case.user);
        } else if let Some(parameter) = line.strip_prefix("@startup ") {
            let (name, value) = parameter.split_once('=').unwrap();
            case.startup.push((name.to_owned(), value.to_owned()));
        } else if line == "@as-written" {
            case.variants = false;
        } else {
            reader.line(&line);
        }
    }
    finish(&mut cases, &mut reader);
    cases
}

fn finish(cases: &mut [Case], reader: &mut Reader) {
    if let Some(case) = cases.last_mut() {
        reader.send();
        case.steps = std::mem::take(&mut reader.steps);
        assert!(!case.steps.is_empty(), "nothing in {:?}", case.title);
    }
}

/// Lines with those that go on with them; comments and empty lines left out.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') => {
                last.push('\n');
                last.push_str(line.trim_start());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// Gathers messages until they are to be sent.
#[derive(Debug, Default)]
struct Reader {
    steps: Vec<Step>,
    gathered: Vec<Frame>,
    is_group: bool,
}

impl Reader {
    fn send(&mut self) {
        if !self.gathered.is_empty() {
            self.steps.push(Step::Send(std::mem::take(&mut self.gathered)));
        }
    }

    fn line(&mut self, line: &str) {
        let Some(command) = line.strip_prefix('\\') else {
            return self.gather([query(if line == "-" { "" } else { line })]);
        };
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let name = |word: &str| word.replace('-', "");
        match word {
            "{" => self.is_group = true,
            "}" => {
                self.is_group = false;
                self.send();
            }
            "await" => self.steps.push(Step::Await(rest.as_bytes()[0])),
            "other" => self.steps.push(Step::Other(rest.to_owned())),
            "run" => self.gather(run(rest)),
            "parse" => {
                let (types, text) = types(more);
                self.gather([parse_typed(&name(first), text, &types)]);
            }
            "bind" => self.gather([bind(rest)]),
            "describe" if first == "s" => self.gather([describe_statement(&name(more))]),
            "describe" => self.gather([describe_portal(&name(more))]),
            "close" if first == "s" => self.gather([close_statement(&name(more))]),
            "close" => self.gather([close_portal(&name(more))]),
            "execute" => {
                self.gather([execute_rows(&name(first), more.parse().unwrap_or(0))]);
            }
            "function" => {
                let (values, formats) = values(more);
                let mut body = first.parse::<u32>().unwrap().to_be_bytes().to_vec();
                body.extend(encode(&values));
                body.extend(formats.first().copied().unwrap_or(0).to_be_bytes());
                self.gather([Frame::new(b'F', body)]);
            }
            "data" => {
                let text = rest.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
                self.gather([copy_data(&text)]);
            }
            "done" => self.gather([copy_done()]),
            "fail" => self.gather([copy_fail(rest)]),
            "sync" => self.gather([sync()]),
            "flush" => self.gather([flush()]),
            "terminate" => self.gather([terminate()]),
            other => panic!("what is {other:?}?"),
        }
    }

    fn gather(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.gathered.extend(frames);
        let asks = |frame: &Frame| b"QSHFcfX".contains(&frame.tag);
        if !self.is_group && self.gathered.last().is_some_and(asks) {
            self.send();
        }
    }
}

/// The types in parentheses, and what stands behind them.
fn types(text: &str) -> (Vec<u32>, &str) {
    let list = text.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let read = |list: &str| list.split(',').map(|oid| oid.parse().ok()).collect::<Option<_>>();
    match list.and_then(|(list, rest)| Some((read(list)?, rest.trim_start()))) {
        Some(found) => found,
        None => (Vec::new(), text),
    }
}

/// Bind with what stands behind its word.
fn bind(text: &str) -> Frame {
    let mut words = text.splitn(3, ' ');
    let mut body = Vec::new();
    for _ in 0..2 {
        body.extend(words.next().unwrap_or("-").replace('-', "").bytes());
        body.push(0);
    }
    let (values, formats) = values(words.next().unwrap_or(""));
    body.extend(encode(&values));
    body.extend(u16::try_from(formats.len()).unwrap().to_be_bytes());
    body.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
    Frame::new(b'B', body)
}

/// A value and its format; `None` is NULL.
type Value = Option<(u16, Vec<u8>)>;

/// Values and, behind `->`, formats.
fn values(text: &str) -> (Vec<Value>, Vec<u16>) {
    let (values, formats) = text.split_once("->").unwrap_or((text, ""));
    let formats = formats.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let mut found = Vec::new();
    let mut rest = values.trim_start();
    while !rest.is_empty() {
        if let Some((value, behind)) =
            rest.strip_prefix('\'').and_then(|rest| rest.split_once('\''))
        {
            found.push(Some((0, value.as_bytes().to_vec())));
            rest = behind.trim_start();
            continue;
        }
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        found.push(match word.strip_prefix("0x") {
            _ if word == "NULL" => None,
            Some(digits) => Some((1, hex(digits))),
            None => Some((0, word.as_bytes().to_vec())),
        });
        rest = behind.trim_start();
    }
    (found, formats)
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |index| u8::from_str_radix(&digits[index..index + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Formats, count and values, as Bind and FunctionCall have them.
fn encode(values: &[Value]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend(value.as_ref().map_or(0, |(format, _)| *format).to_be_bytes());
    }
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        match value {
            None => body.extend((-1_i32).to_be_bytes()),
            Some((_, bytes)) => {
                body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend(bytes);
            }
        }
    }
    body
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(frames) => {
                let texts: Vec<String> = frames.iter().map(|frame| format!("{frame:?}")).collect();
                f.write_str(&texts.join(" "))
            }
            Self::Await(tag) => write!(f, "(wait for {})", char::from(*tag)),
            Self::Other(text) => write!(f, "(another runs {text})"),
        }
    }
}
