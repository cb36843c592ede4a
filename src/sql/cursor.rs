//! A one-token look-ahead reader of lexed text, for the grammar that is too small for a parser.

use std::borrow::Cow;

use super::lexer::{Kind, Lexer, Token};

/// The length at which PostgreSQL cuts an identifier (`NAMEDATALEN - 1`).
const MAX_NAME: usize = 63;

/// Reads tokens one by one. A lexical error looks like the end, so lex the text before.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    next: Option<Token<'a>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(sql: &'a [u8]) -> Self {
        let mut lexer = Lexer::new(sql);
        let next = lexer.next().and_then(Result::ok);
        Self { lexer, next }
    }

    /// The next token, left in place.
    pub(super) const fn peek(&self) -> Option<Token<'a>> {
        self.next
    }

    /// Whether nothing is left.
    pub(super) const fn at_end(&self) -> bool {
        self.next.is_none()
    }

    /// Consumes the next token.
    pub(super) fn take(&mut self) -> Option<Token<'a>> {
        let token = self.next;
        self.next = self.lexer.next().and_then(Result::ok);
        token
    }

    /// Whether the next token is this keyword, in any case.
    pub(super) fn sees(&self, keyword: &str) -> bool {
        self.next.is_some_and(|token| is_keyword(&token, keyword))
    }

    /// Consumes the next token if it is this keyword.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        self.take_if(|token| is_keyword(token, keyword)).is_some()
    }

    /// Consumes these keywords if all of them come next, else nothing.
    pub(super) fn keywords(&mut self, keywords: &[&str]) -> bool {
        let before = self.clone();
        let all = keywords.iter().all(|keyword| self.keyword(keyword));
        if !all {
            *self = before;
        }
        all
    }

    /// Consumes the next token if it is this punctuation or operator.
    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        self.take_if(|token| token.is(symbol.as_bytes())).is_some()
    }

    /// Consumes the next token if it is of this kind.
    pub(super) fn kind(&mut self, kind: Kind) -> Option<Token<'a>> {
        self.take_if(|token| token.kind == kind)
    }

    /// Consumes an identifier and returns it as PostgreSQL would store it.
    pub(super) fn name(&mut self) -> Option<Cow<'a, str>> {
        let token = self.take_if(|token| matches!(token.kind, Kind::Word | Kind::QuotedWord))?;
        name_of(&token)
    }

    /// Consumes a parenthesised group and returns where its closing parenthesis stands.
    pub(super) fn group(&mut self) -> Option<usize> {
        let mut depth = 0_usize;
        loop {
            let token = self.take()?;
            if token.is(b"(") {
                depth += 1;
            } else if token.is(b")") {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(token.start);
                }
            }
        }
    }

    fn take_if(&mut self, wanted: impl FnOnce(&Token<'a>) -> bool) -> Option<Token<'a>> {
        let token = self.next.filter(wanted)?;
        self.take();
        Some(token)
    }
}

/// Whether `token` is the unquoted word `keyword`, in any case.
pub(super) const fn is_keyword(token: &Token<'_>, keyword: &str) -> bool {
    matches!(token.kind, Kind::Word) && token.text.eq_ignore_ascii_case(keyword.as_bytes())
}

/// The identifier that a word stands for: folded unless quoted, cut as PostgreSQL cuts it.
pub(super) fn name_of<'a>(token: &Token<'a>) -> Option<Cow<'a, str>> {
    let text = std::str::from_utf8(token.text).ok()?;
    let name = match token.kind {
        Kind::Word if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Cow::Owned(text.to_ascii_lowercase())
        }
        Kind::Word => Cow::Borrowed(text),
        Kind::QuotedWord => {
            let inner = text.strip_prefix('"')?.strip_suffix('"')?;
            if inner.contains('"') {
                Cow::Owned(inner.replace("\"\"", "\""))
            } else {
                Cow::Borrowed(inner)
            }
        }
        _ => return None,
    };
    Some(cut(name))
}

fn cut(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.len() <= MAX_NAME {
        return name;
    }
    let end = (0..=MAX_NAME).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
    Cow::Owned(name.get(..end).unwrap_or_default().to_owned())
}

/// The content of a plain string literal; `None` for every other kind of literal.
pub(super) fn string_of(token: &Token<'_>) -> Option<String> {
    let text = std::str::from_utf8(token.text).ok()?;
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let plain = inner.replace("''", "");
    // A quote that is left over belongs to a continuation.
    if token.kind != Kind::String || plain.contains('\'') {
        return None;
    }
    Some(inner.replace("''", "'"))
}
