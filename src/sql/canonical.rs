//! The canonical form of a text: what remains when literals, comments and case are taken away.
//!
//! It is SQL again: tokens separated by single spaces, unquoted words in lower case, literals
//! replaced by a placeholder of their kind, lists of literals and of rows shortened. Everything
//! that the class of a text depends on is decided on this form, so texts with the same form
//! have the same class, and the parser sees exactly the tokens that PostgreSQL would see.

use super::cursor::is_keyword;
use super::lexer::{Kind, Lexer, Token, Unlexable};

/// Whether the form may stand for other texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masking {
    /// All literals are masked.
    Full,
    /// Literals are kept because the statement may set a parameter: do not cache by form.
    Verbatim,
    /// The form did not fit; the buffer holds its beginning.
    Overflow,
}

/// Writes canonical forms into a buffer that is kept between texts.
#[derive(Debug, Default)]
pub(super) struct Canonical {
    form: Vec<u8>,
}

/// Where the writer stands between two tokens of one text.
#[derive(Default)]
struct Position {
    /// Start of the innermost open group, while it holds no other group.
    row: Option<usize>,
    /// The form's bytes of the last such group that was closed, while only a comma followed.
    last_row: Option<(usize, usize)>,
    /// How many literals of the kind `literal` stand in an unbroken list.
    run: usize,
    literal: Option<Kind>,
    comma_after_literal: bool,
}

impl Canonical {
    /// Forms longer than this many bytes are not worth caching or parsing.
    pub(super) const LIMIT: usize = 64 * 1024;

    /// The form written last.
    pub(super) fn form(&self) -> &[u8] {
        &self.form
    }

    /// Gives back the memory that an overlong form took.
    pub(super) fn shrink(&mut self) {
        self.form.clear();
        self.form.shrink_to(Self::LIMIT);
    }

    /// Writes the canonical form of `sql`, which must be valid UTF-8.
    ///
    /// # Errors
    /// Fails where the text cannot be lexed; the whole text is always lexed.
    pub(super) fn write(&mut self, sql: &[u8]) -> Result<Masking, Unlexable> {
        self.form.clear();
        let mut masking = Masking::Full;
        let mut position = Position::default();
        let mut starts_statement = true;
        for token in Lexer::new(sql) {
            let token = token?;
            if masking == Masking::Overflow {
                continue;
            }
            if is_keyword(&token, "set_config") || (starts_statement && is_keyword(&token, "set")) {
                masking = Masking::Verbatim;
            }
            starts_statement = token.is(b";");
            self.push(&token, masking, &mut position);
            if self.form.len() > Self::LIMIT {
                masking = Masking::Overflow;
            }
        }
        Ok(masking)
    }

    fn push(&mut self, token: &Token<'_>, masking: Masking, position: &mut Position) {
        let start = self.form.len();
        match placeholder(token.kind) {
            Some(masked) if masking == Masking::Full => {
                self.push_literal(token.kind, masked, position);
                return;
            }
            _ if token.kind == Kind::Word => {
                self.form.extend(token.text.iter().map(u8::to_ascii_lowercase));
            }
            _ => self.form.extend_from_slice(token.text),
        }
        self.form.push(b' ');
        self.track(token, start, position);
    }

    /// Writes a masked literal, unless it is the third or a later one of a list of its kind.
    fn push_literal(&mut self, kind: Kind, masked: &[u8], position: &mut Position) {
        let continues = position.comma_after_literal && position.literal == Some(kind);
        position.run = if continues { position.run + 1 } else { 1 };
        if position.run > 2 {
            // Takes back the comma as well.
            self.form.truncate(self.form.len().saturating_sub(2));
        } else {
            self.form.extend_from_slice(masked);
            self.form.push(b' ');
        }
        position.literal = Some(kind);
        position.comma_after_literal = false;
        if position.row.is_none() {
            position.last_row = None;
        }
    }

    /// Notes a token that is no masked literal, and drops a row that repeats the one before.
    fn track(&mut self, token: &Token<'_>, start: usize, position: &mut Position) {
        if token.is(b",") {
            position.comma_after_literal = position.literal.is_some();
            return;
        }
        position.literal = None;
        position.comma_after_literal = false;
        if token.is(b"(") {
            position.row = Some(start);
        } else if token.is(b")") {
            self.close_row(position);
        } else if position.row.is_none() {
            position.last_row = None;
        }
    }

    fn close_row(&mut self, position: &mut Position) {
        let before = position.last_row.take();
        let Some(row) = position.row.take() else { return };
        position.last_row = Some((row, self.form.len()));
        // Two bytes are room for the comma alone.
        if let Some((from, to)) = before
            && row == to + 2
            && self.form.get(from..to) == self.form.get(row..)
        {
            self.form.truncate(to);
            position.last_row = before;
        }
    }
}

/// What stands for a literal of this kind; `None` if the token is no literal.
///
/// Kinds that a parser or server could treat differently keep different placeholders.
const fn placeholder(kind: Kind) -> Option<&'static [u8]> {
    Some(match kind {
        Kind::String => b"'s'",
        Kind::EscapeString => b"E'e'",
        Kind::UnicodeString => b"U&'u'",
        Kind::NationalString => b"N'n'",
        Kind::BitString => b"B'0'",
        Kind::DollarString => b"'d'",
        Kind::Integer => b"1",
        Kind::Number => b"1.5",
        Kind::Parameter => b"$1",
        Kind::Word | Kind::QuotedWord | Kind::UnicodeWord | Kind::Operator | Kind::Punctuation => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests;
