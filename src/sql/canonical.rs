//! The canonical form of a text: what remains when literals, comments and case are taken away.
//!
//! It is SQL again: tokens separated by single spaces, unquoted words in lower case, literals
//! replaced by a placeholder of their kind, lists of literals and of rows shortened. Everything
//! that the class of a text depends on is decided on this form, so texts with the same form
//! have the same class, and the parser sees exactly the tokens that PostgreSQL would see.

mod form;

use form::Form;

use super::lexer::{Kind, Lexer, Plain, Token, Unlexable, plain};

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
    form: Form,
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

impl Position {
    /// A comma: a list of literals may go on.
    #[inline]
    const fn pass_comma(&mut self) {
        self.comma_after_literal = self.literal.is_some();
    }

    /// Any other token that is no literal.
    #[inline]
    const fn pass_other(&mut self) {
        self.end_literals();
        if self.row.is_none() {
            self.last_row = None;
        }
    }

    #[inline]
    const fn end_literals(&mut self) {
        self.literal = None;
        self.comma_after_literal = false;
    }
}

impl Canonical {
    /// Forms longer than this many bytes are not worth caching or parsing.
    pub(super) const LIMIT: usize = 64 * 1024;

    /// The form written last.
    pub(super) fn form(&self) -> &[u8] {
        self.form.written()
    }

    /// Gives back the memory that an overlong form took.
    pub(super) fn shrink(&mut self) {
        self.form.shrink(Self::LIMIT);
    }

    /// Writes the canonical form of `sql`, which must be valid UTF-8.
    ///
    /// # Errors
    /// Fails where the text cannot be lexed; the whole text is always lexed.
    pub(super) fn write(&mut self, sql: &[u8]) -> Result<Masking, Unlexable> {
        self.form.truncate(0);
        let mut masking = Masking::Full;
        let mut position = Position::default();
        let mut starts_statement = true;
        let mut rest = sql;
        while self.form.len() <= Self::LIMIT {
            let kind = plain(rest);
            let length = match kind {
                Plain::Space => 1,
                Plain::Word => {
                    let start = self.form.len();
                    let length = self.form.push_word(rest);
                    let word = self.form.since(start);
                    let is_read = matches!(word, b"do" | b"set");
                    if word == b"set_config" || (starts_statement && is_read) {
                        masking = Masking::Verbatim;
                    }
                    self.form.push(b' ');
                    position.pass_other();
                    length
                }
                Plain::Integer(length) if masking == Masking::Full => {
                    self.push_literal(Kind::Integer, b"1", &mut position);
                    length
                }
                Plain::Symbol => {
                    self.push_symbol(rest, &mut position);
                    1
                }
                Plain::Integer(_) | Plain::Other => {
                    let next = Lexer::new(rest).next().transpose()?;
                    let Some(token) = next else { return Ok(masking) };
                    // Behind comments the token may be a plain one.
                    if token.start > 0 {
                        rest = rest.get(token.start..).unwrap_or_default();
                        continue;
                    }
                    self.push(&token, masking, &mut position);
                    token.end()
                }
            };
            if kind != Plain::Space {
                starts_statement = rest.first() == Some(&b';');
            }
            rest = rest.get(length..).unwrap_or_default();
            rest = rest.strip_prefix(b" ").unwrap_or(rest);
            if rest.is_empty() && self.form.len() <= Self::LIMIT {
                return Ok(masking);
            }
        }
        Lexer::new(rest).try_for_each(|token| token.map(drop))?;
        Ok(Masking::Overflow)
    }

    /// Writes the symbol of one byte that `rest` begins with.
    #[inline]
    fn push_symbol(&mut self, rest: &[u8], position: &mut Position) {
        let Some(symbol) = rest.first() else { return };
        let start = self.form.len();
        self.form.push(*symbol);
        self.form.push(b' ');
        match symbol {
            b',' => position.pass_comma(),
            b'(' => {
                position.end_literals();
                position.row = Some(start);
            }
            b')' => {
                position.end_literals();
                self.close_row(position);
            }
            _ => position.pass_other(),
        }
    }

    fn push(&mut self, token: &Token<'_>, masking: Masking, position: &mut Position) {
        if let Some(masked) = placeholder(token.kind)
            && masking == Masking::Full
        {
            self.push_literal(token.kind, masked, position);
            return;
        }
        if let [byte] = token.text {
            // Of symbols, or a word that is no part of the literal behind it.
            self.push_symbol(&[byte.to_ascii_lowercase()], position);
            return;
        }
        self.form.extend(token.text);
        self.form.push(b' ');
        position.pass_other();
    }

    /// Writes a masked literal, unless it is the third or a later one of a list of its kind.
    fn push_literal(&mut self, kind: Kind, masked: &[u8], position: &mut Position) {
        let continues = position.comma_after_literal && position.literal == Some(kind);
        position.run = if continues { position.run + 1 } else { 1 };
        if position.run > 2 {
            // Takes back the comma as well.
            self.form.truncate(self.form.len().saturating_sub(2));
        } else {
            self.form.extend(masked);
            self.form.push(b' ');
        }
        position.literal = Some(kind);
        position.comma_after_literal = false;
        if position.row.is_none() {
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
            && self.form.written().get(from..to) == Some(self.form.since(row))
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
