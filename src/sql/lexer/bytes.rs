//! Classes of bytes, as in `scan.l`: one load from a table tells whether a byte is of a class.

/// Space between tokens. A vertical tab is space only since PostgreSQL 16.
#[inline]
pub(super) const fn is_space(byte: u8) -> bool {
    is(byte, SPACE)
}

/// The end of a line, for comments and string continuations.
#[inline]
pub(super) const fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The start of an identifier.
#[inline]
pub(super) const fn is_word_start(byte: u8) -> bool {
    is(byte, WORD_START)
}

/// The rest of an identifier.
#[inline]
pub(super) const fn is_word(byte: u8) -> bool {
    is(byte, WORD)
}

/// A decimal digit.
#[inline]
pub(super) const fn is_digit(byte: u8) -> bool {
    is(byte, DIGIT)
}

/// Digits, grouped as PostgreSQL 16 allows.
#[inline]
pub(super) const fn is_digit_group(byte: u8) -> bool {
    is(byte, DIGIT_GROUP)
}

/// Punctuation that is a token whatever follows.
#[inline]
pub(super) const fn is_symbol(byte: u8) -> bool {
    is(byte, SYMBOL)
}

/// A character of operators.
#[inline]
pub(super) const fn is_operator(byte: u8) -> bool {
    is(byte, OPERATOR)
}

/// The byte in lower case if it may be part of an identifier, else NUL.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the table has an entry for each byte")]
pub(in crate::sql) const fn lower_in_word(byte: u8) -> u8 {
    LOWER_IN_WORD[byte as usize]
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "the table has an entry for each byte")]
const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

const SPACE: u8 = 1;
const WORD_START: u8 = 2;
const WORD: u8 = 4;
const DIGIT: u8 = 8;
const DIGIT_GROUP: u8 = 16;
const OPERATOR: u8 = 32;
const SYMBOL: u8 = 64;

/// The classes that each byte belongs to.
const CLASSES: &[u8; 256] = &table(Table::Classes);
const LOWER_IN_WORD: &[u8; 256] = &table(Table::LowerInWord);

#[derive(Clone, Copy)]
enum Table {
    Classes,
    LowerInWord,
}

#[expect(clippy::indexing_slicing, reason = "the table has an entry for each byte")]
const fn table(kind: Table) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = match kind {
            Table::Classes => classes(byte),
            Table::LowerInWord if classes(byte) & WORD != 0 => byte.to_ascii_lowercase(),
            Table::LowerInWord => 0,
        };
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

const fn classes(byte: u8) -> u8 {
    match byte {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0c => SPACE,
        b'a'..=b'z' | b'A'..=b'Z' | 0x80..=0xff => WORD_START | WORD,
        b'_' => WORD_START | WORD | DIGIT_GROUP,
        b'0'..=b'9' => WORD | DIGIT | DIGIT_GROUP,
        b'$' => WORD,
        b',' | b'(' | b')' | b'[' | b']' | b';' => SYMBOL,
        b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*'
        | b'/' | b'%' | b'<' | b'>' | b'=' => OPERATOR,
        _ => 0,
    }
}
