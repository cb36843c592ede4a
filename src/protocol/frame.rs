//! Frame headers: a tag byte and a length that counts itself.

use thiserror::Error;

/// The bytes of a header: tag and length.
pub const HEADER_LEN: usize = 5;

/// The longest message that PostgreSQL accepts or sends (`PQ_LARGE_MESSAGE_LIMIT`, `src/include/libpq/libpq.h`).
const MAX_LEN: u32 = 0x3fff_ffff;

/// The longest body of a message that PostgreSQL takes to be small (`PQ_SMALL_MESSAGE_LIMIT`).
pub const SMALL_LIMIT: usize = 10_000;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The tag, to be wrapped in the direction's type.
    pub tag: u8,
    /// The whole frame's size in bytes, header included.
    pub size: usize,
}

/// Bytes that cannot be a frame. The connection cannot be used any further.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The length is below 4 or above what PostgreSQL allows.
    #[error("invalid message length {len} in a message of type {:?}", char::from(*tag))]
    Length {
        /// The frame's tag.
        tag: u8,
        /// The length as it was sent.
        len: u32,
    },
    /// A message's body does not have the format that its type asks for.
    #[error("invalid message format")]
    Format,
}

/// The header at the start of `bytes`; `None` if there are not enough bytes yet.
///
/// # Errors
///
/// [`FrameError::Length`] for a length that no PostgreSQL sends: the peer is out of step or hostile.
#[inline]
pub fn header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([a, b, c, d]);
    if !(4..=MAX_LEN).contains(&len) {
        return Err(FrameError::Length { tag, len });
    }
    Ok(Some(Header { tag, size: len as usize + 1 }))
}

/// Appends a frame to `out`: the tag, a length that is filled in afterwards, and what `body` writes.
#[inline]
pub fn write(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    write_untagged(out, body);
}

/// Appends a startup packet to `out`: a frame without a tag.
#[inline]
pub fn write_untagged(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// Appends a zero-terminated string; a zero byte within it would end it early, so it is left out.
#[inline]
pub fn write_cstr(out: &mut Vec<u8>, text: &[u8]) {
    if text.contains(&0) {
        out.extend(text.iter().filter(|&&byte| byte != 0));
    } else {
        out.extend_from_slice(text);
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_needs_five_bytes() {
        assert_eq!(header(b"Q\0\0\0"), Ok(None));
        assert_eq!(header(b"Q\0\0\0\x08abc\0"), Ok(Some(Header { tag: b'Q', size: 9 })));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert!(header(b"Q\0\0\0\x03").is_err());
        assert!(header(b"Q\xff\xff\xff\xff").is_err());
        assert!(header(b"Q\x40\0\0\0").is_err());
    }

    #[test]
    fn write_fills_in_the_length() {
        let mut out = Vec::new();
        write(&mut out, b'Q', |body| write_cstr(body, b"select\0 1"));
        assert_eq!(out, b"Q\0\0\0\x0dselect 1\0");
    }
}
