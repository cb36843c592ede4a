//! PostgreSQL's lexical rules over bytes, without allocation.
//!
//! It follows `src/backend/parser/scan.l` with `standard_conforming_strings = on` and an encoding in which the bytes of
//! ASCII stand for themselves; what is written otherwise the session does not trust it with. Where server
//! versions disagree (`1a`, `$1a`, a vertical tab) it refuses rather than guesses. Texts must
//! be free of NUL bytes and valid UTF-8, which [`mod@encoding`] tests.

mod bytes;
mod encoding;
mod plain;

use bytes::{is_digit, is_digit_group, is_newline, is_operator, is_space, is_word, is_word_start};

pub(super) use bytes::lower_in_word;
pub(super) use encoding::encoding;
pub(super) use plain::{Plain, plain};

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier or keyword without quotes.
    Word,
    /// `"..."`.
    QuotedWord,
    /// `U&"..."`.
    UnicodeWord,
    /// `'...'`.
    String,
    /// `E'...'`.
    EscapeString,
    /// `U&'...'`.
    UnicodeString,
    /// `N'...'`.
    NationalString,
    /// `B'...'` or `X'...'`.
    BitString,
    /// `$tag$...$tag$`.
    DollarString,
    /// Decimal digits only.
    Integer,
    /// Any other number.
    Number,
    /// `$1`.
    Parameter,
    /// A run of operator characters.
    Operator,
    /// One of `, ( ) [ ] . ; :` or `::`, `:=`, `..`.
    Punctuation,
}

/// A token: its kind and the bytes that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
    /// Offset of the first byte in the lexed text.
    pub(super) start: usize,
}

impl Token<'_> {
    /// Offset just past the last byte.
    pub(super) const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether this is the punctuation or operator `text`.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        matches!(self.kind, Kind::Punctuation | Kind::Operator) && self.text == text
    }
}

/// Why a text cannot be split into tokens as every supported server version would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unlexable {
    /// A string, quoted identifier or comment does not end.
    Unterminated,
    /// Letters follow a number or a parameter: versions disagree.
    Junk,
    /// A byte that starts no token.
    Stray,
    /// A NUL byte, or not UTF-8.
    Encoding,
}

/// Tests that the whole text splits into tokens.
pub(super) fn validate(sql: &[u8]) -> Result<(), Unlexable> {
    encoding(sql)?;
    Lexer::new(sql).try_for_each(|token| token.map(drop))
}

/// Runs of operator characters longer than this are refused. PostgreSQL refuses operators longer
/// than 63; looking at more than one operator at a time must not take quadratic time.
const MAX_OPERATOR: usize = 128;

/// The tokens of a text, comments and space left out. Ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(sql: &'a [u8]) -> Self {
        Self { sql, at: 0 }
    }

    /// The byte `ahead` of the current one; NUL past the end.
    fn peek(&self, ahead: usize) -> u8 {
        self.sql.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        self.sql.get(self.at..).unwrap_or_default()
    }

    fn skip_bytes(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| !wanted(byte)).unwrap_or(rest.len());
    }

    /// Skips space and comments before a token.
    fn skip_blank(&mut self) -> Result<(), Unlexable> {
        loop {
            self.skip_bytes(is_space);
            match self.peek(0) {
                b'-' if self.peek(1) == b'-' => self.skip_bytes(|byte| !is_newline(byte)),
                b'/' if self.peek(1) == b'*' => self.skip_block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), Unlexable> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (0, _) => return Err(Unlexable::Unterminated),
                _ => {
                    self.at += 1;
                    self.skip_bytes(|byte| byte != b'/' && byte != b'*');
                }
            }
        }
    }

    #[inline]
    fn advance(&mut self) -> Result<Option<Token<'a>>, Unlexable> {
        self.skip_blank()?;
        let start = self.at;
        if start >= self.sql.len() {
            return Ok(None);
        }
        let kind = self.token()?;
        let text = self.sql.get(start..self.at).ok_or(Unlexable::Unterminated)?;
        Ok(Some(Token { kind, text, start }))
    }

    #[inline]
    fn token(&mut self) -> Result<Kind, Unlexable> {
        match self.peek(0) {
            byte if is_word_start(byte) => self.word(),
            b'\'' => self.string(0, Escapes::None, Kind::String),
            b'"' => self.quoted_word(0, Kind::QuotedWord),
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if is_digit(self.peek(1)) => self.number(),
            byte if is_operator(byte) => self.operator(),
            b'.' if self.peek(1) == b'.' => Ok(self.punctuation(2)),
            b':' if matches!(self.peek(1), b':' | b'=') => Ok(self.punctuation(2)),
            b',' | b'(' | b')' | b'[' | b']' | b';' | b'.' | b':' => Ok(self.punctuation(1)),
            _ => Err(Unlexable::Stray),
        }
    }

    const fn punctuation(&mut self, length: usize) -> Kind {
        self.at += length;
        Kind::Punctuation
    }

    /// A word, or a string or quoted word that a letter introduces.
    fn word(&mut self) -> Result<Kind, Unlexable> {
        let start = self.at;
        self.skip_bytes(is_word);
        if self.at == start + 1 && matches!(self.peek(0), b'\'' | b'&') {
            self.at = start;
            return self.prefixed();
        }
        Ok(Kind::Word)
    }

    /// A word of one letter that may introduce a string or a quoted word.
    fn prefixed(&mut self) -> Result<Kind, Unlexable> {
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (b'e' | b'E', b'\'', _) => self.string(1, Escapes::Backslash, Kind::EscapeString),
            (b'n' | b'N', b'\'', _) => self.string(1, Escapes::None, Kind::NationalString),
            (b'b' | b'B' | b'x' | b'X', b'\'', _) => self.string(1, Escapes::None, Kind::BitString),
            (b'u' | b'U', b'&', b'\'') => self.string(2, Escapes::None, Kind::UnicodeString),
            (b'u' | b'U', b'&', b'"') => self.quoted_word(2, Kind::UnicodeWord),
            _ => {
                self.at += 1;
                Ok(Kind::Word)
            }
        }
    }

    fn quoted_word(&mut self, prefix: usize, kind: Kind) -> Result<Kind, Unlexable> {
        self.at += prefix;
        self.quoted(b'"', Escapes::None)?;
        Ok(kind)
    }

    /// A quoted run that starts at its opening `quote`; a doubled quote stands for itself.
    fn quoted(&mut self, quote: u8, escapes: Escapes) -> Result<(), Unlexable> {
        self.at += 1;
        loop {
            self.skip_bytes(|byte| byte != quote && byte != b'\\');
            match self.peek(0) {
                0 => return Err(Unlexable::Unterminated),
                b'\\' if escapes == Escapes::Backslash => {
                    // An escape at the very end leaves `at` past the end, which reads as NUL.
                    self.at += 2;
                }
                b'\\' => self.at += 1,
                _ if self.peek(1) == quote => self.at += 2,
                _ => {
                    self.at += 1;
                    return Ok(());
                }
            }
        }
    }

    /// A string with its continuations: segments that only space with a newline separates.
    fn string(&mut self, prefix: usize, escapes: Escapes, kind: Kind) -> Result<Kind, Unlexable> {
        self.at += prefix;
        self.quoted(b'\'', escapes)?;
        while let Some(next) = self.continuation() {
            self.at = next;
            self.quoted(b'\'', escapes)?;
        }
        Ok(kind)
    }

    /// Where the string that just ended continues, if it does.
    fn continuation(&self) -> Option<usize> {
        if !is_space(self.peek(0)) && self.peek(0) != b'-' {
            return None;
        }
        let mut ahead = self.clone();
        let mut newline = false;
        loop {
            match ahead.peek(0) {
                byte if is_space(byte) => {
                    newline |= is_newline(byte);
                    ahead.at += 1;
                }
                b'-' if ahead.peek(1) == b'-' => ahead.skip_bytes(|byte| !is_newline(byte)),
                b'\'' if newline => return Some(ahead.at),
                _ => return None,
            }
        }
    }

    /// A parameter or a dollar-quoted string.
    fn dollar(&mut self) -> Result<Kind, Unlexable> {
        let start = self.at;
        self.at += 1;
        if is_digit(self.peek(0)) {
            self.skip_bytes(is_digit);
            return if is_word_start(self.peek(0)) {
                Err(Unlexable::Junk)
            } else {
                Ok(Kind::Parameter)
            };
        }
        if is_word_start(self.peek(0)) {
            self.skip_bytes(|byte| byte != b'$' && is_word(byte));
        }
        if self.peek(0) != b'$' {
            return Err(Unlexable::Stray);
        }
        self.at += 1;
        let delimiter = self.sql.get(start..self.at).unwrap_or_default();
        // A tag holds no `$`, so each comparison ends before the next candidate: linear time.
        loop {
            self.skip_bytes(|byte| byte != b'$');
            if self.peek(0) == 0 {
                return Err(Unlexable::Unterminated);
            }
            if self.rest().starts_with(delimiter) {
                self.at += delimiter.len();
                return Ok(Kind::DollarString);
            }
            self.at += 1;
        }
    }

    fn number(&mut self) -> Result<Kind, Unlexable> {
        let mut kind = Kind::Integer;
        let radix = self.peek(1).to_ascii_lowercase();
        if self.peek(0) == b'0' && matches!(radix, b'x' | b'o' | b'b') {
            kind = Kind::Number;
            self.at += 2;
            let start = self.at;
            self.skip_bytes(|byte| byte == b'_' || byte.is_ascii_hexdigit());
            if self.at == start {
                return Err(Unlexable::Junk);
            }
        } else {
            kind = self.decimal(kind)?;
        }
        if is_word_start(self.peek(0)) { Err(Unlexable::Junk) } else { Ok(kind) }
    }

    /// A decimal number with fraction and exponent.
    fn decimal(&mut self, mut kind: Kind) -> Result<Kind, Unlexable> {
        let start = self.at;
        self.skip_bytes(is_digit_group);
        if self.sql.get(start..self.at).unwrap_or_default().contains(&b'_') {
            kind = Kind::Number;
        }
        // `1..10` is an integer and a range.
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            kind = Kind::Number;
            self.at += 1;
            self.skip_bytes(is_digit_group);
        }
        if matches!(self.peek(0), b'e' | b'E') {
            kind = Kind::Number;
            self.at += if matches!(self.peek(1), b'+' | b'-') { 2 } else { 1 };
            if !is_digit(self.peek(0)) {
                return Err(Unlexable::Junk);
            }
            self.skip_bytes(is_digit_group);
        }
        Ok(kind)
    }

    /// The longest operator: it ends before a comment, and may end in `+` or `-` only if it
    /// holds one of the characters that SQL's own operators never use.
    fn operator(&mut self) -> Result<Kind, Unlexable> {
        let rest = self.rest();
        let near = rest.get(..=MAX_OPERATOR).unwrap_or(rest);
        let mut length = near.iter().position(|&byte| !is_operator(byte)).unwrap_or(near.len());
        let run = near.get(..length).unwrap_or_default();
        if let Some(comment) = run.windows(2).position(|pair| pair == b"--" || pair == b"/*") {
            length = comment;
        }
        if length > MAX_OPERATOR {
            return Err(Unlexable::Stray);
        }
        let run = near.get(..length).unwrap_or_default();
        if !run.iter().any(|byte| b"~!@#^&|`?%".contains(byte)) {
            let trailing = run.iter().rev().take_while(|byte| matches!(byte, b'+' | b'-')).count();
            length -= trailing.min(length.saturating_sub(1));
        }
        self.at += length.max(1);
        Ok(Kind::Operator)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Unlexable>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let token = self.advance();
        if token.is_err() {
            self.at = self.sql.len();
        }
        token.transpose()
    }
}

/// Whether a backslash escapes the next byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    Backslash,
}

#[cfg(test)]
mod tests;
