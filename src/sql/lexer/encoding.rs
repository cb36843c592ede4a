//! What the lexer takes for granted of a text.

use super::Unlexable;

/// Tests what [`Lexer`](super::Lexer) takes for granted: valid UTF-8 without NUL.
#[inline]
pub(in crate::sql) fn encoding(sql: &[u8]) -> Result<(), Unlexable> {
    if is_plain(sql) { Ok(()) } else { check(sql).map(drop) }
}

/// Whether all bytes are ASCII and none is NUL, eight at a time.
fn is_plain(sql: &[u8]) -> bool {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The subtraction sets the high bit of a NUL. It borrows from the next byte only past a NUL.
    let is_plain_word = |bytes: [u8; 8]| {
        let word = u64::from_ne_bytes(bytes);
        (word.wrapping_sub(LOW_BITS) | word) & HIGH_BITS == 0
    };
    let (words, rest) = sql.as_chunks::<8>();
    words.iter().all(|word| is_plain_word(*word))
        && match sql.last_chunk::<8>() {
            Some(last) => is_plain_word(*last),
            None => rest.iter().all(|byte| matches!(byte, 1..=0x7f)),
        }
}

/// The text itself, if it is valid UTF-8 without NUL.
pub(super) fn check(sql: &[u8]) -> Result<&str, Unlexable> {
    let text = std::str::from_utf8(sql).map_err(|_| Unlexable::Encoding)?;
    if sql.contains(&0) { Err(Unlexable::Encoding) } else { Ok(text) }
}
