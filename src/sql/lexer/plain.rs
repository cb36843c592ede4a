//! The tokens that need no more than a look at their first two bytes: most of most texts.

use super::bytes::{is_digit, is_operator, is_space, is_symbol, is_word, is_word_start};

/// What a text begins with, where that is quickly told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Plain {
    /// One byte of space.
    Space,
    /// A word: all bytes that `lower_in_word` maps.
    Word,
    /// An integer of this many digits.
    Integer(usize),
    /// One byte of punctuation, or an operator of one byte.
    Symbol,
    /// Whatever [`super::Lexer`] finds.
    Other,
}

/// What `rest` begins with, if [`super::Lexer`] is at the start of a token or of space there.
#[inline]
pub(in crate::sql) fn plain(rest: &[u8]) -> Plain {
    let [first, behind @ ..] = rest else { return Plain::Other };
    let (first, next) = (*first, behind.first().copied().unwrap_or(0));
    if is_word_start(first) {
        // One letter may introduce a string or a quoted word.
        return if matches!(next, b'\'' | b'&') { Plain::Other } else { Plain::Word };
    }
    if is_space(first) {
        Plain::Space
    } else if is_symbol(first) {
        Plain::Symbol
    } else if is_digit(first) {
        integer(rest)
    } else if is_operator(first) && !is_operator(next) || first == b'.' && is_word_start(next) {
        Plain::Symbol
    } else {
        Plain::Other
    }
}

/// Digits, unless what follows could make them another number, or junk.
#[inline]
fn integer(rest: &[u8]) -> Plain {
    let digits = rest.iter().position(|byte| !is_digit(*byte)).unwrap_or(rest.len());
    match rest.get(digits) {
        Some(byte) if is_word(*byte) || *byte == b'.' => Plain::Other,
        _ => Plain::Integer(digits),
    }
}
