//! Messages as the tests write them. Made by hand, not by the encoders under test.

use std::fmt;

/// One tagged message, of either direction.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(tag: u8, body: impl Into<Vec<u8>>) -> Self {
        Self { tag, body: body.into() }
    }

    /// As it travels.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.body.len() + 4).unwrap();
        [&[self.tag][..], &len.to_be_bytes(), &self.body].concat()
    }

    /// A field of an ErrorResponse or NoticeResponse.
    pub(crate) fn field(&self, name: u8) -> Option<String> {
        self.body
            .split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&name))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    }

    /// Whether `actual` is what a test that says `self` means: errors are compared by severity and code alone.
    pub(crate) fn is_met_by(&self, actual: &Self) -> bool {
        let fields = |frame: &Self| (frame.field(b'V'), frame.field(b'C'));
        if self.tag == b'E' && actual.tag == b'E' && self.field(b'V').is_some() {
            return fields(self) == fields(actual);
        }
        self == actual
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.body.get(..200).unwrap_or(&self.body);
        write!(f, "{}\"{}\"", char::from(self.tag), shown.escape_ascii())
    }
}

/// All of `frames` as they travel.
pub(crate) fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}

fn strings<'a>(strings: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    strings.into_iter().flat_map(|text| text.bytes().chain([0])).collect()
}

// From the client.

pub(crate) fn query(sql: &str) -> Frame {
    Frame::new(b'Q', strings([sql]))
}

pub(crate) fn parse(name: &str, sql: &str) -> Frame {
    parse_typed(name, sql, &[])
}

pub(crate) fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Frame {
    let mut body = strings([name, sql]);
    body.extend(u16::try_from(types.len()).unwrap().to_be_bytes());
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    Frame::new(b'P', body)
}

pub(crate) fn bind(portal: &str, statement: &str) -> Frame {
    bind_values(portal, statement, &[])
}

pub(crate) fn bind_values(portal: &str, statement: &str, values: &[&str]) -> Frame {
    let mut body = strings([portal, statement]);
    body.extend([0, 0]);
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    Frame::new(b'B', body)
}

pub(crate) fn describe_statement(name: &str) -> Frame {
    Frame::new(b'D', [b"S", &strings([name])[..]].concat())
}

pub(crate) fn describe_portal(name: &str) -> Frame {
    Frame::new(b'D', [b"P", &strings([name])[..]].concat())
}

pub(crate) fn close_statement(name: &str) -> Frame {
    Frame::new(b'C', [b"S", &strings([name])[..]].concat())
}

pub(crate) fn close_portal(name: &str) -> Frame {
    Frame::new(b'C', [b"P", &strings([name])[..]].concat())
}

pub(crate) fn execute(portal: &str) -> Frame {
    execute_rows(portal, 0)
}

pub(crate) fn execute_rows(portal: &str, max_rows: u32) -> Frame {
    Frame::new(b'E', [&strings([portal])[..], &max_rows.to_be_bytes()].concat())
}

pub(crate) fn sync() -> Frame {
    Frame::new(b'S', [])
}

pub(crate) fn flush() -> Frame {
    Frame::new(b'H', [])
}

pub(crate) fn terminate() -> Frame {
    Frame::new(b'X', [])
}

pub(crate) fn copy_fail(reason: &str) -> Frame {
    Frame::new(b'f', strings([reason]))
}

/// FunctionCall of `lo_open` without arguments.
pub(crate) fn function_call() -> Frame {
    Frame::new(b'F', [0, 0, 3, 184, 0, 0, 0, 0, 0, 0])
}

/// The four messages that run a named statement, and Sync.
pub(crate) fn run_named(name: &str) -> [Frame; 3] {
    [bind("", name), execute(""), sync()]
}

/// The messages that run `sql` as the unnamed statement.
pub(crate) fn run_unnamed(sql: &str) -> [Frame; 4] {
    [parse("", sql), bind("", ""), execute(""), sync()]
}

// Both ways.

pub(crate) fn copy_data(data: &str) -> Frame {
    Frame::new(b'd', data)
}

pub(crate) fn copy_done() -> Frame {
    Frame::new(b'c', [])
}

// From the server.

pub(crate) fn parse_complete() -> Frame {
    Frame::new(b'1', [])
}

pub(crate) fn bind_complete() -> Frame {
    Frame::new(b'2', [])
}

pub(crate) fn close_complete() -> Frame {
    Frame::new(b'3', [])
}

pub(crate) fn no_data() -> Frame {
    Frame::new(b'n', [])
}

pub(crate) fn parameter_description() -> Frame {
    Frame::new(b't', [0, 0])
}

/// RowDescription of one column of type text.
pub(crate) fn columns() -> Frame {
    let mut body = vec![0, 1];
    body.extend(b"column\0");
    body.extend([0; 6]);
    body.extend(25_u32.to_be_bytes());
    body.extend([0xff; 6]);
    body.extend([0; 2]);
    Frame::new(b'T', body)
}

/// DataRow of one value.
pub(crate) fn row(value: &str) -> Frame {
    values(&[value])
}

/// DataRow of several values.
pub(crate) fn values(values: &[&str]) -> Frame {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value.as_bytes());
    }
    Frame::new(b'D', body)
}

pub(crate) fn complete(tag: &str) -> Frame {
    Frame::new(b'C', strings([tag]))
}

pub(crate) fn empty_query() -> Frame {
    Frame::new(b'I', [])
}

pub(crate) fn suspended() -> Frame {
    Frame::new(b's', [])
}

pub(crate) fn idle() -> Frame {
    Frame::new(b'Z', *b"I")
}

pub(crate) fn in_transaction() -> Frame {
    Frame::new(b'Z', *b"T")
}

pub(crate) fn failed() -> Frame {
    Frame::new(b'Z', *b"E")
}

pub(crate) fn error(code: &str) -> Frame {
    report("ERROR", code, "")
}

pub(crate) fn fatal(code: &str) -> Frame {
    report("FATAL", code, "")
}

/// An ErrorResponse that names the routine that raised it.
pub(crate) fn report(severity: &str, code: &str, routine: &str) -> Frame {
    let mut fields = vec![format!("S{severity}"), format!("V{severity}"), format!("C{code}")];
    fields.push("Mthe test says so".to_owned());
    if !routine.is_empty() {
        fields.push(format!("R{routine}"));
    }
    let mut body = strings(fields.iter().map(String::as_str));
    body.push(0);
    Frame::new(b'E', body)
}

pub(crate) fn notice(message: &str) -> Frame {
    let message = format!("M{message}");
    let mut body = strings(["SNOTICE", "VNOTICE", "C00000", &message]);
    body.push(0);
    Frame::new(b'N', body)
}

pub(crate) fn notification(channel: &str) -> Frame {
    Frame::new(b'A', [&7_i32.to_be_bytes()[..], &strings([channel, "payload"])].concat())
}

pub(crate) fn parameter(name: &str, value: &str) -> Frame {
    Frame::new(b'S', strings([name, value]))
}

/// CopyInResponse of one text column.
pub(crate) fn copy_in() -> Frame {
    Frame::new(b'G', [0, 0, 1, 0, 0])
}

/// CopyOutResponse of one text column.
pub(crate) fn copy_out() -> Frame {
    Frame::new(b'H', [0, 0, 1, 0, 0])
}

pub(crate) fn function_result() -> Frame {
    Frame::new(b'V', [0, 0, 0, 1, b'x'])
}

/// The answer to a query with one row.
pub(crate) fn one_row(value: &str) -> [Frame; 4] {
    [columns(), row(value), complete("SELECT 1"), idle()]
}

// Before log-in, without a tag.

/// A StartupMessage.
pub(crate) fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let pairs = parameters.iter().flat_map(|(name, value)| [*name, *value]);
    let mut body = version.to_be_bytes().to_vec();
    body.extend(strings(pairs));
    body.push(0);
    untagged(&body)
}

pub(crate) fn ssl_request() -> Vec<u8> {
    untagged(&80_877_103_u32.to_be_bytes())
}

pub(crate) fn gssenc_request() -> Vec<u8> {
    untagged(&80_877_104_u32.to_be_bytes())
}

pub(crate) fn cancel_request(process_id: i32, secret: &[u8]) -> Vec<u8> {
    let code = 80_877_102_u32.to_be_bytes();
    untagged(&[&code[..], &process_id.to_be_bytes(), secret].concat())
}

fn untagged(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).unwrap();
    [&len.to_be_bytes(), body].concat()
}

pub(crate) const V3_0: u32 = 0x0003_0000;
pub(crate) const V3_2: u32 = 0x0003_0002;
