//! Classes of bytes, as in `scan.l`.

/// Space between tokens. A vertical tab is space only since PostgreSQL 16.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// The end of a line, for comments and string continuations.
pub(super) const fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The start of an identifier.
pub(super) const fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// The rest of an identifier.
pub(super) const fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// Digits, grouped as PostgreSQL 16 allows.
pub(super) const fn is_digit_group(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// A character of operators.
pub(super) const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}
