//! What servers send: borrowed views of the messages that the machine looks at, and encoders for what we answer
//! to a client ourselves.

use super::frame::{self, write, write_cstr};
use super::reader::Reader;
use super::{BackendTag, FrameError, TransactionStatus, Version};

/// A ReadyForQuery message's status.
///
/// # Errors
///
/// [`FrameError::Format`] for a status that PostgreSQL does not have.
pub fn read_ready_for_query(body: &[u8]) -> Result<TransactionStatus, FrameError> {
    match *body {
        [status] => TransactionStatus::from_byte(status).ok_or(FrameError::Format),
        _ => Err(FrameError::Format),
    }
}

/// A ParameterStatus message's name and value.
///
/// # Errors
///
/// [`FrameError::Format`] if the body is not two strings.
pub fn read_parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let mut reader = Reader(body);
    let name = reader.cstr()?;
    let value = reader.cstr()?;
    reader.end()?;
    Ok((name, value))
}

/// A BackendKeyData message: the process id and the secret (4 bytes in protocol 3.0, up to 256 in 3.2).
///
/// # Errors
///
/// [`FrameError::Format`] if there is no process id.
pub fn read_backend_key_data(body: &[u8]) -> Result<(i32, &[u8]), FrameError> {
    let mut reader = Reader(body);
    let process_id = reader.i32()?;
    Ok((process_id, reader.0))
}

/// A CommandComplete message's tag, such as `INSERT 0 1`.
///
/// # Errors
///
/// [`FrameError::Format`] if the body is not one string.
pub fn read_command_complete(body: &[u8]) -> Result<&[u8], FrameError> {
    Reader(body).cstr()
}

/// A server's NegotiateProtocolVersion: the newest minor version it speaks.
///
/// # Errors
///
/// [`FrameError::Format`] if the body is too short.
pub fn read_negotiate_protocol_version(body: &[u8]) -> Result<Version, FrameError> {
    let mut reader = Reader(body);
    // PostgreSQL sends the whole version word (3 << 16 | minor), see NegotiateProtocolVersion in the manual.
    let code = u32::try_from(reader.i32()?).map_err(|_| FrameError::Format)?;
    Ok(if code <= 0xffff {
        Version { major: 3, minor: Version::from_code(code).minor }
    } else {
        Version::from_code(code)
    })
}

/// What a server's Authentication message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Nothing more (0).
    Ok,
    /// The password in clear text (3).
    CleartextPassword,
    /// The password's MD5 form with this salt (5).
    Md5Password {
        /// The salt.
        salt: [u8; 4],
    },
    /// One of these SASL mechanisms, each a zero-terminated name (10).
    Sasl {
        /// The list as it stands in the message.
        mechanisms: &'a [u8],
    },
    /// The next SASL message (11).
    SaslContinue(&'a [u8]),
    /// The last SASL message (12).
    SaslFinal(&'a [u8]),
    /// A method that we do not have: Kerberos, GSSAPI, SSPI.
    Other(i32),
}

impl<'a> Authentication<'a> {
    /// Reads an Authentication message's body.
    ///
    /// # Errors
    ///
    /// [`FrameError::Format`] if the body is too short.
    pub fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(body);
        Ok(match reader.i32()? {
            0 => Self::Ok,
            3 => Self::CleartextPassword,
            5 => Self::Md5Password {
                salt: reader.bytes(4)?.try_into().map_err(|_| FrameError::Format)?,
            },
            10 => Self::Sasl { mechanisms: reader.0 },
            11 => Self::SaslContinue(reader.0),
            12 => Self::SaslFinal(reader.0),
            other => Self::Other(other),
        })
    }
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    authentication(out, 0, &[]);
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut Vec<u8>) {
    authentication(out, 3, &[]);
}

/// AuthenticationMD5Password.
pub fn authentication_md5(out: &mut Vec<u8>, salt: [u8; 4]) {
    authentication(out, 5, &salt);
}

/// AuthenticationSASL with these mechanisms.
pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    write(out, BackendTag::AUTHENTICATION.0, |body| {
        body.extend_from_slice(&10_i32.to_be_bytes());
        for mechanism in mechanisms {
            write_cstr(body, mechanism.as_bytes());
        }
        body.push(0);
    });
}

/// AuthenticationSASLContinue.
pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    authentication(out, 11, data);
}

/// AuthenticationSASLFinal.
pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    authentication(out, 12, data);
}

fn authentication(out: &mut Vec<u8>, kind: i32, data: &[u8]) {
    write(out, BackendTag::AUTHENTICATION.0, |body| {
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(data);
    });
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, process_id: i32, secret: &[u8]) {
    write(out, BackendTag::BACKEND_KEY_DATA.0, |body| {
        body.extend_from_slice(&process_id.to_be_bytes());
        body.extend_from_slice(secret);
    });
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    write(out, BackendTag::PARAMETER_STATUS.0, |body| {
        write_cstr(body, name);
        write_cstr(body, value);
    });
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    write(out, BackendTag::READY_FOR_QUERY.0, |body| body.push(status.byte()));
}

/// CommandComplete.
pub fn command_complete(out: &mut Vec<u8>, tag: &[u8]) {
    write(out, BackendTag::COMMAND_COMPLETE.0, |body| write_cstr(body, tag));
}

/// A message without a body: ParseComplete, BindComplete, CloseComplete, NoData, EmptyQueryResponse, ...
pub fn bare(out: &mut Vec<u8>, tag: BackendTag) {
    write(out, tag.0, |_| {});
}

/// NegotiateProtocolVersion: the newest version we speak, and the options we do not know.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, newest: Version, unknown: &[&[u8]]) {
    write(out, BackendTag::NEGOTIATE_PROTOCOL_VERSION.0, |body| {
        body.extend_from_slice(&newest.code().to_be_bytes());
        let count = u32::try_from(unknown.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&count.to_be_bytes());
        for option in unknown {
            write_cstr(body, option);
        }
    });
}

/// A column of a [`row_description`], in text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: &'static str,
    /// Its type.
    pub kind: ColumnType,
}

/// The types that our own result sets use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `text`.
    Text,
    /// `int8`.
    Int8,
    /// `float8`.
    Float8,
}

impl ColumnType {
    /// The OID in `pg_type.dat`.
    const fn oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Int8 => 20,
            Self::Float8 => 701,
        }
    }

    /// The size in `pg_type.dat`; -1 for variable length.
    const fn size(self) -> i16 {
        match self {
            Self::Text => -1,
            Self::Int8 | Self::Float8 => 8,
        }
    }
}

/// RowDescription for text-format columns.
pub fn row_description(out: &mut Vec<u8>, columns: &[Column]) {
    row_description_in(out, columns, |_| 0);
}

/// RowDescription; `format` gives each column's format code (0 for text, 1 for binary).
pub fn row_description_in(out: &mut Vec<u8>, columns: &[Column], format: impl Fn(usize) -> u16) {
    write(out, BackendTag::ROW_DESCRIPTION.0, |body| {
        let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
        body.extend_from_slice(&count.to_be_bytes());
        for (index, column) in columns.iter().enumerate() {
            write_cstr(body, column.name.as_bytes());
            body.extend_from_slice(&[0; 6]);
            body.extend_from_slice(&column.kind.oid().to_be_bytes());
            body.extend_from_slice(&column.kind.size().to_be_bytes());
            body.extend_from_slice(&(-1_i32).to_be_bytes());
            body.extend_from_slice(&format(index).to_be_bytes());
        }
    });
}

/// DataRow of text values; `None` is NULL.
pub fn data_row<'a>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = Option<&'a [u8]>>) {
    write(out, BackendTag::DATA_ROW.0, |body| {
        let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
        body.extend_from_slice(&count.to_be_bytes());
        for value in values {
            match value {
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(bytes) => {
                    let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                    body.extend_from_slice(&len.to_be_bytes());
                    body.extend_from_slice(bytes);
                }
            }
        }
    });
}

/// The fields of a DataRow; `None` is NULL.
///
/// # Errors
///
/// [`FrameError::Format`] if the body is not a DataRow.
pub fn read_data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, FrameError> {
    let mut reader = Reader(body);
    let count = reader.u16()?;
    let mut fields = Vec::with_capacity(usize::from(count).min(64));
    for _ in 0..count {
        let len = reader.i32()?;
        fields.push(match usize::try_from(len) {
            Ok(len) => Some(reader.bytes(len)?),
            Err(_) => None,
        });
    }
    reader.end()?;
    Ok(fields)
}

/// Where the rows (DataRow) end that begin at `position`, as far as they are whole.
#[inline]
pub fn end_of_rows(bytes: &[u8], mut position: usize) -> usize {
    while let Some(rest) = bytes.get(position..)
        && let Ok(Some(header)) = frame::header(rest)
        && BackendTag(header.tag) == BackendTag::DATA_ROW
        && header.size <= rest.len()
    {
        position += header.size;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frontend::body;

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        authentication_ok(&mut out);
        parameter_status(&mut out, b"a", b"b");
        ready_for_query(&mut out, TransactionStatus::Failed);
        bare(&mut out, BackendTag::PARSE_COMPLETE);
        assert_eq!(out, b"R\0\0\0\x08\0\0\0\0S\0\0\0\x08a\0b\0Z\0\0\0\x05E1\0\0\0\x04");
    }

    #[test]
    fn rows_end_where_something_else_begins_or_they_are_incomplete() {
        let mut out = Vec::new();
        data_row(&mut out, [Some(&b"x"[..])].into_iter());
        data_row(&mut out, [].into_iter());
        let end = out.len();
        assert_eq!(end_of_rows(&out, 0), end);
        data_row(&mut out, [Some(&b"yz"[..])].into_iter());
        for cut in end..out.len() {
            assert_eq!(end_of_rows(&out[..cut], 0), end, "{cut}");
        }
        out.truncate(end);
        command_complete(&mut out, b"SELECT 2");
        assert_eq!(end_of_rows(&out, 0), end);
        assert_eq!(end_of_rows(&out, end), end);
    }

    #[test]
    fn data_row_round_trips() {
        let mut out = Vec::new();
        data_row(&mut out, [Some(&b"x"[..]), None].into_iter());
        assert_eq!(read_data_row(body(&out)).unwrap(), vec![Some(&b"x"[..]), None]);
        assert!(read_data_row(b"\0\x01\0\0\0\x09x").is_err());
    }

    #[test]
    fn authentication_requests_are_read() {
        assert_eq!(Authentication::read(&[0, 0, 0, 0]), Ok(Authentication::Ok));
        assert_eq!(
            Authentication::read(&[0, 0, 0, 5, 1, 2, 3, 4]),
            Ok(Authentication::Md5Password { salt: [1, 2, 3, 4] })
        );
        assert!(Authentication::read(&[0, 0, 0, 5, 1]).is_err());
        assert_eq!(Authentication::read(&[0, 0, 0, 7]), Ok(Authentication::Other(7)));
    }

    #[test]
    fn negotiation_names_the_newest_version() {
        let mut out = Vec::new();
        negotiate_protocol_version(&mut out, Version::V3_2, &[b"_pq_.x"]);
        assert_eq!(read_negotiate_protocol_version(body(&out)), Ok(Version::V3_2));
    }
}
