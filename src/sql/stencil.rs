//! Texts that are one that was lexed lately with other literals.
//!
//! A stencil is a text with holes in the place of its plain literals: integers, and strings of printable ASCII
//! without escapes. A text that has a stencil's pieces around plain literals of the same kinds splits into the same
//! tokens, so it has the same canonical form and the same verdict. To compare pieces costs a tenth of lexing.
//!
//! Why the tokens are the same: the lexer goes from left to right. Up to a hole it sees the same bytes. Within, it
//! sees another run of digits, or of bytes that cannot end a string; it asks for the class of a digit at most, never
//! for its value. The run ends where the same bytes follow, and the literal ended there before.

use super::lexer::{Kind, Lexer};
use super::verdict::Verdict;

/// Longer texts are not remembered.
const MAX_TEXT: usize = 1024;
/// Texts with more plain literals are not remembered.
const MAX_HOLES: usize = 8;
/// The first bytes of a text tell where its stencil is looked for; there must be no hole among them.
const HEAD: usize = 16;
/// Stencils that begin alike.
const WAYS: usize = 8;
/// Sets of stencils; a power of two.
const SETS: usize = 16;
/// Fingerprints of which one sight is remembered, by four bytes of each; a power of two.
const SIGHTS: usize = 256;
/// How many texts are let go by after one that had no stencil, or took another's place.
const REST: u32 = 16;

/// The stencils of the texts that were met lately.
pub(super) struct Stencils {
    sets: Vec<[Stencil; WAYS]>,
    seen_once: Vec<u32>,
    rest: u32,
}

/// A text with holes, and the verdict on whatever fits.
#[derive(Default)]
struct Stencil {
    /// The pieces, one behind the other. Empty: there is none.
    pieces: Vec<u8>,
    /// The length of the piece before each hole.
    holes: Vec<(usize, Hole)>,
    verdict: Option<Verdict>,
    edition: u64,
    usage: Use,
}

/// Whether a stencil was of use since the last search for a victim passed by.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Use {
    #[default]
    None,
    Some,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hole {
    Integer,
    String,
}

impl Hole {
    /// The length of the plain literal that `text` begins with; 0 if it begins with none of this kind.
    #[inline]
    fn literal(self, text: &[u8]) -> usize {
        match self {
            Self::Integer => run(text, |byte| byte.is_ascii_digit()),
            Self::String => {
                let Some(inner) = text.strip_prefix(b"'") else { return 0 };
                let len = run(inner, is_plain);
                if inner.get(len) == Some(&b'\'') { len + 2 } else { 0 }
            }
        }
    }
}

/// What a string may hold that means nothing to any lexer, whatever the server's settings.
#[inline]
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\')
}

#[inline]
fn run(text: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !wanted(*byte)).unwrap_or(text.len())
}

impl Stencil {
    /// Makes this the stencil of `sql`, if it can have one. The text must be free of lexical errors.
    fn cut(&mut self, sql: &[u8]) -> Option<()> {
        self.pieces.clear();
        self.holes.clear();
        let mut from = 0;
        for token in Lexer::new(sql) {
            let token = token.ok()?;
            let hole = match token.kind {
                Kind::Integer => Hole::Integer,
                Kind::String => Hole::String,
                _ => continue,
            };
            if hole.literal(token.text) != token.text.len() {
                continue;
            }
            if token.start < HEAD || self.holes.len() == MAX_HOLES {
                return None;
            }
            self.holes.push((token.start - from, hole));
            self.pieces.extend_from_slice(sql.get(from..token.start)?);
            from = token.end();
        }
        self.pieces.extend_from_slice(sql.get(from..)?);
        Some(())
    }

    #[inline]
    fn fits(&self, sql: &[u8]) -> bool {
        let (mut rest, mut pieces) = (sql, self.pieces.as_slice());
        for (len, hole) in &self.holes {
            let Some((piece, later)) = pieces.split_at_checked(*len) else { return false };
            let Some(behind) = rest.strip_prefix(piece) else { return false };
            let literal = hole.literal(behind);
            if literal == 0 {
                return false;
            }
            rest = behind.get(literal..).unwrap_or_default();
            pieces = later;
        }
        rest == pieces
    }
}

impl Stencils {
    pub(super) fn new() -> Self {
        let sets = (0..SETS).map(|_| std::array::from_fn(|_| Stencil::default())).collect();
        Self { sets, seen_once: vec![0; SIGHTS], rest: 0 }
    }

    /// The verdict on `sql`, if a stencil of this edition of the catalog fits.
    #[inline]
    pub(super) fn find(&mut self, sql: &[u8], edition: u64) -> Option<Verdict> {
        let set = self.sets.get_mut(index(sql)?)?;
        let stencil = set.iter_mut().find(|stencil| {
            stencil.edition == edition && stencil.verdict.is_some() && stencil.fits(sql)
        })?;
        stencil.usage = Use::Some;
        stencil.verdict
    }

    /// Remembers `sql`, which no stencil fitted, at the second sight of its fingerprint. `verdict` must depend on
    /// nothing but the text's canonical form, in which every literal is masked.
    pub(super) fn learn(&mut self, sql: &[u8], verdict: Verdict, edition: u64) {
        if sql.len() > MAX_TEXT || verdict.fingerprint == 0 || !self.is_second_sight(verdict) {
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        let Some(set) = index(sql).and_then(|index| self.sets.get_mut(index)) else { return };
        let is_free = |stencil: &Stencil| stencil.verdict.is_none() || stencil.edition != edition;
        let free = set.iter().position(is_free);
        let place = free.or_else(|| {
            set.iter_mut().position(|stencil| std::mem::take(&mut stencil.usage) == Use::None)
        });
        let Some(stencil) = place.and_then(|place| set.get_mut(place)) else { return };
        stencil.verdict = stencil.cut(sql).map(|()| verdict);
        stencil.edition = edition;
        if free.is_none() || stencil.verdict.is_none() {
            self.rest = REST;
        }
        debug_assert!(stencil.verdict.is_none() || stencil.fits(sql), "a text fits its stencil");
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash do")]
    fn is_second_sight(&mut self, verdict: Verdict) -> bool {
        let Some(seen) = self.seen_once.get_mut(verdict.fingerprint as usize & (SIGHTS - 1)) else {
            return false;
        };
        let tag = (verdict.fingerprint >> 32) as u32;
        std::mem::replace(seen, tag) == tag
    }
}

/// Where the stencil of `sql` is looked for; `None` if it is too short to have one.
#[inline]
fn index(sql: &[u8]) -> Option<usize> {
    let (head, _) = sql.split_first_chunk::<HEAD>()?;
    let (&[low, high], _) = head.as_chunks::<8>() else { return None };
    let head = u64::from_le_bytes(low) ^ u64::from_le_bytes(high).rotate_left(23);
    let mixed = head.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (u64::BITS - SETS.ilog2())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tables::Tables;
    use crate::sql::verdict::{Class, Effects};

    const TEXT: &[u8] = b"select abalance from accounts where aid = 17 and name = 'x';";

    fn stencil(sql: &[u8]) -> Option<Stencil> {
        let mut stencil = Stencil::default();
        stencil.cut(sql).map(|()| stencil)
    }

    #[test]
    fn plain_literals_may_differ_and_nothing_else() {
        let stencil = stencil(TEXT).unwrap();
        for fitting in [
            "select abalance from accounts where aid = 0 and name = '';",
            "select abalance from accounts where aid = 99999999999999999999 and name = 'a, b; --';",
        ] {
            assert!(stencil.fits(fitting.as_bytes()), "{fitting}");
        }
        for other in [
            "select abalance from accounts where aid = 17 and name = 'x'",
            "select abalance from accounts where aid = 17 and name = 'x';;",
            "select abalance from accounts where aid = -1 and name = 'x';",
            "select abalance from accounts where aid = 1.5 and name = 'x';",
            "select abalance from accounts where aid = 1a and name = 'x';",
            "select abalance from accounts where aid = 17 and name = 'it''s';",
            "select abalance from accounts where aid = 17 and name = '\\';",
            "select abalance from accounts where aid = 17 and name = 'é';",
            "select abalance from accounts where aid = 17 and name = E'x';",
            "select abalance from accounts where aid = 17 and name = 'x",
            "select abalance from accounts where aid = ",
            "",
        ] {
            assert!(!stencil.fits(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn what_is_no_plain_literal_stays_part_of_a_piece() {
        let stencil = stencil(b"select 'it''s', E'a', 1.5, $1 from accounts").unwrap();
        assert!(stencil.holes.is_empty());
        assert!(stencil.fits(b"select 'it''s', E'a', 1.5, $1 from accounts"));
        assert!(!stencil.fits(b"select 'it''s', E'a', 1.5, $2 from accounts"));
    }

    #[test]
    fn a_literal_in_the_head_or_one_too_many_leaves_no_stencil() {
        assert!(stencil(b"select 1, name from accounts").is_none());
        let list = |count: usize| {
            format!(
                "select name from accounts where aid in ({})",
                ["1"; 20].get(..count).unwrap().join(",")
            )
        };
        assert!(stencil(list(MAX_HOLES).as_bytes()).is_some());
        assert!(stencil(list(MAX_HOLES + 1).as_bytes()).is_none());
    }

    fn verdict(fingerprint: u64) -> Verdict {
        Verdict { class: Class::Read, effects: Effects::empty(), fingerprint, tables: Tables::NONE }
    }

    #[test]
    fn a_text_is_remembered_at_its_second_sight_for_one_edition() {
        let mut stencils = Stencils::new();
        stencils.learn(TEXT, verdict(7 << 32), 1);
        assert_eq!(stencils.find(TEXT, 1), None);
        stencils.learn(TEXT, verdict(7 << 32), 1);
        assert_eq!(stencils.find(TEXT, 1), Some(verdict(7 << 32)));
        assert_eq!(stencils.find(TEXT, 2), None);
    }

    #[test]
    fn a_stencil_in_use_outlives_many_that_are_not() {
        let mut stencils = Stencils::new();
        (0..2).for_each(|_| stencils.learn(TEXT, verdict(7 << 32), 1));
        for n in 0..1000 {
            assert_eq!(stencils.find(TEXT, 1), Some(verdict(7 << 32)), "{n}");
            let other = format!("select abalance from other{n}");
            (0..2).for_each(|_| stencils.learn(other.as_bytes(), verdict((n + 8) << 32), 1));
        }
    }
}
