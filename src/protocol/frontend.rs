//! What clients send: borrowed views of the messages that the machine looks at, and encoders for what we send
//! to a server ourselves.

use super::frame::{self, write, write_cstr};
use super::reader::Reader;
use super::{FrameError, FrontendTag};

/// The text of a Query message.
///
/// # Errors
///
/// [`FrameError::Format`] if the body is not one zero-terminated string.
pub fn query_text(body: &[u8]) -> Result<&[u8], FrameError> {
    let mut reader = Reader(body);
    let text = reader.cstr()?;
    reader.end()?;
    Ok(text)
}

/// A Parse message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty for the unnamed statement.
    pub name: &'a [u8],
    /// The statement's text.
    pub query: &'a [u8],
    /// The count of parameter types and their OIDs, as they stand in the message.
    pub types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// Reads a Parse message's body.
    ///
    /// # Errors
    ///
    /// [`FrameError::Format`] if the body is not a Parse message.
    pub fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(body);
        let name = reader.cstr()?;
        let query = reader.cstr()?;
        let types = reader.0;
        let count = reader.u16()?;
        reader.bytes(usize::from(count) * 4)?;
        reader.end()?;
        Ok(Self { name, query, types })
    }
}

/// A Bind message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty for the unnamed portal.
    pub portal: &'a [u8],
    /// The statement's name; empty for the unnamed statement.
    pub statement: &'a [u8],
    /// Formats and values, as they stand in the message.
    pub rest: &'a [u8],
}

impl<'a> Bind<'a> {
    /// Reads a Bind message's names; values are not looked at.
    ///
    /// # Errors
    ///
    /// [`FrameError::Format`] if the body does not begin with two strings.
    pub fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(body);
        let portal = reader.cstr()?;
        let statement = reader.cstr()?;
        Ok(Self { portal, statement, rest: reader.0 })
    }
}

/// The values in [`Bind::rest`], in whatever format; `None` for NULL.
///
/// # Errors
///
/// [`FrameError::Format`] if it is not the rest of a Bind message.
pub fn bind_values(rest: &[u8]) -> Result<Vec<Option<&[u8]>>, FrameError> {
    let mut reader = Reader(rest);
    for _ in 0..reader.u16()? {
        reader.u16()?;
    }
    let count = reader.u16()?;
    let value = |_| match usize::try_from(reader.i32()?) {
        Ok(len) => reader.bytes(len).map(Some),
        // A negative length is NULL.
        Err(_) => Ok(None),
    };
    (0..count).map(value).collect()
}

/// What follows the names of a Bind message, as far as a statement without parameters needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindRest {
    /// How many parameter values there are.
    pub parameters: u16,
    /// The format codes of the result's columns.
    pub formats: Vec<u16>,
}

impl BindRest {
    /// Reads [`Bind::rest`].
    ///
    /// # Errors
    ///
    /// [`FrameError::Format`] if it is not the rest of a Bind message.
    pub fn read(rest: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(rest);
        for _ in 0..reader.u16()? {
            reader.u16()?;
        }
        let parameters = reader.u16()?;
        for _ in 0..parameters {
            // A negative length is NULL.
            let len = usize::try_from(reader.i32()?).unwrap_or(0);
            reader.bytes(len)?;
        }
        let count = reader.u16()?;
        let formats = (0..count).map(|_| reader.u16()).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { parameters, formats })
    }
}

/// An Execute message: the portal's name, and how many rows are wanted (0 for all).
///
/// # Errors
///
/// [`FrameError::Format`] if the body is not an Execute message.
pub fn read_execute(body: &[u8]) -> Result<(&[u8], usize), FrameError> {
    let mut reader = Reader(body);
    let portal = reader.cstr()?;
    let max_rows = reader.i32()?;
    reader.end()?;
    // PostgreSQL takes a negative number for "all", too.
    Ok((portal, usize::try_from(max_rows).unwrap_or(0)))
}

/// What a Describe or Close message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A portal (`P`).
    Portal,
    /// A prepared statement (`S`).
    Statement,
}

/// The body of a Describe or Close message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Statement or portal.
    pub object: Object,
    /// Its name; empty for the unnamed one.
    pub name: &'a [u8],
}

impl<'a> Named<'a> {
    /// Reads a Describe or Close message's body.
    ///
    /// # Errors
    ///
    /// [`FrameError::Format`] if the body is neither.
    pub fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(body);
        let object = match reader.u8()? {
            b'P' => Object::Portal,
            b'S' => Object::Statement,
            _ => return Err(FrameError::Format),
        };
        let name = reader.cstr()?;
        reader.end()?;
        Ok(Self { object, name })
    }
}

/// A Query message.
pub fn query(out: &mut Vec<u8>, text: &[u8]) {
    write(out, FrontendTag::QUERY.0, |body| write_cstr(body, text));
}

/// A Parse message; `types` as [`Parse::types`].
pub fn parse(out: &mut Vec<u8>, name: &[u8], query: &[u8], types: &[u8]) {
    write(out, FrontendTag::PARSE.0, |body| {
        write_cstr(body, name);
        write_cstr(body, query);
        body.extend_from_slice(types);
    });
}

/// A Bind message; `rest` as [`Bind::rest`].
pub fn bind(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], rest: &[u8]) {
    write(out, FrontendTag::BIND.0, |body| {
        write_cstr(body, portal);
        write_cstr(body, statement);
        body.extend_from_slice(rest);
    });
}

/// A Describe message.
pub fn describe(out: &mut Vec<u8>, object: Object, name: &[u8]) {
    named(out, FrontendTag::DESCRIBE, object, name);
}

/// A Close message.
pub fn close(out: &mut Vec<u8>, object: Object, name: &[u8]) {
    named(out, FrontendTag::CLOSE, object, name);
}

fn named(out: &mut Vec<u8>, tag: FrontendTag, object: Object, name: &[u8]) {
    write(out, tag.0, |body| {
        body.push(match object {
            Object::Portal => b'P',
            Object::Statement => b'S',
        });
        write_cstr(body, name);
    });
}

/// An Execute message; `max_rows` 0 for all.
pub fn execute(out: &mut Vec<u8>, portal: &[u8], max_rows: u32) {
    write(out, FrontendTag::EXECUTE.0, |body| {
        write_cstr(body, portal);
        body.extend_from_slice(&max_rows.to_be_bytes());
    });
}

/// A Sync message.
pub fn sync(out: &mut Vec<u8>) {
    write(out, FrontendTag::SYNC.0, |_| {});
}

/// A Flush message.
pub fn flush(out: &mut Vec<u8>) {
    write(out, FrontendTag::FLUSH.0, |_| {});
}

/// A Terminate message.
pub fn terminate(out: &mut Vec<u8>) {
    write(out, FrontendTag::TERMINATE.0, |_| {});
}

/// A CopyFail message.
pub fn copy_fail(out: &mut Vec<u8>, reason: &[u8]) {
    write(out, FrontendTag::COPY_FAIL.0, |body| write_cstr(body, reason));
}

/// A PasswordMessage: the password or its MD5 form.
pub fn password(out: &mut Vec<u8>, password: &[u8]) {
    write(out, FrontendTag::PASSWORD.0, |body| write_cstr(body, password));
}

/// A SASLInitialResponse.
pub fn sasl_initial_response(out: &mut Vec<u8>, mechanism: &[u8], data: &[u8]) {
    write(out, FrontendTag::PASSWORD.0, |body| {
        write_cstr(body, mechanism);
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(data);
    });
}

/// A SASLResponse.
pub fn sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    write(out, FrontendTag::PASSWORD.0, |body| body.extend_from_slice(data));
}

/// A client's SASLInitialResponse: the mechanism's name and the client-first message.
///
/// # Errors
///
/// [`FrameError::Format`] if the body is not a SASLInitialResponse or carries no data.
pub fn read_sasl_initial(body: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let mut reader = Reader(body);
    let mechanism = reader.cstr()?;
    let len = usize::try_from(reader.i32()?).map_err(|_| FrameError::Format)?;
    let data = reader.bytes(len)?;
    reader.end()?;
    Ok((mechanism, data))
}

/// A client's PasswordMessage: the password without its terminating zero.
///
/// # Errors
///
/// [`FrameError::Format`] if the body is not one zero-terminated string.
pub fn read_password(body: &[u8]) -> Result<&[u8], FrameError> {
    query_text(body)
}

/// The whole frames that `bytes` begin with: their tags and bodies.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (FrontendTag, &[u8])> {
    std::iter::from_fn(move || {
        let header = frame::header(bytes).ok()??;
        let (frame, rest) = bytes.split_at_checked(header.size)?;
        bytes = rest;
        Some((FrontendTag(header.tag), body(frame)))
    })
}

/// A frame's body: what follows the header.
#[inline]
pub fn body(frame: &[u8]) -> &[u8] {
    frame.get(frame::HEADER_LEN..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_round_trips() {
        let mut out = Vec::new();
        parse(&mut out, b"s1", b"select $1", &[0, 1, 0, 0, 0, 23]);
        let parsed = Parse::read(body(&out)).unwrap();
        assert_eq!(parsed, Parse { name: b"s1", query: b"select $1", types: &[0, 1, 0, 0, 0, 23] });
        assert_eq!(&out[..5], b"P\0\0\0\x17");
    }

    #[test]
    fn bind_describe_close_round_trip() {
        let mut out = Vec::new();
        bind(&mut out, b"p", b"s", &[0, 0, 0, 0, 0, 0]);
        let bound = Bind::read(body(&out)).unwrap();
        assert_eq!((bound.portal, bound.statement), (&b"p"[..], &b"s"[..]));
        out.clear();
        describe(&mut out, Object::Statement, b"s");
        assert_eq!(
            Named::read(body(&out)).unwrap(),
            Named { object: Object::Statement, name: b"s" }
        );
        out.clear();
        close(&mut out, Object::Portal, b"");
        assert_eq!(out, b"C\0\0\0\x06P\0");
    }

    #[test]
    fn the_rest_of_a_bind_and_an_execute_are_read() {
        let rest = [&[0, 1, 0, 1][..], &[0, 1, 0, 0, 0, 1, b'x'], &[0, 2, 0, 1, 0, 0]].concat();
        let read = BindRest::read(&rest).unwrap();
        assert_eq!(read, BindRest { parameters: 1, formats: vec![1, 0] });
        assert!(BindRest::read(&rest[..rest.len() - 1]).is_err());
        let mut out = Vec::new();
        execute(&mut out, b"p", 7);
        assert_eq!(read_execute(body(&out)), Ok((&b"p"[..], 7)));
    }

    #[test]
    fn truncated_bodies_are_errors() {
        assert!(Parse::read(b"s\0select 1").is_err());
        assert!(Parse::read(b"s\0select 1\0\0\x01").is_err());
        assert!(Bind::read(b"p").is_err());
        assert!(Named::read(b"X\0").is_err());
        assert!(query_text(b"select 1").is_err());
        assert!(query_text(b"select 1\0x").is_err());
        assert!(read_sasl_initial(b"SCRAM-SHA-256\0\xff\xff\xff\xff").is_err());
    }
}
