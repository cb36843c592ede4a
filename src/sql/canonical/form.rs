//! The buffer of a canonical form.

use crate::sql::lexer::lower_in_word;

/// Bytes written from the front of a buffer that is kept between texts and never shrinks by
/// itself.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// What is behind `len` is room.
    bytes: Vec<u8>,
    len: usize,
}

impl Form {
    pub(super) fn written(&self) -> &[u8] {
        self.since(0)
    }

    /// What was written behind the first `start` bytes.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &[u8] {
        self.bytes.get(start..self.len).unwrap_or_default()
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Forgets all but the first `len` bytes.
    #[inline]
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets all bytes, and the room for more than `room` of them.
    pub(super) fn shrink(&mut self, room: usize) {
        self.len = 0;
        self.bytes.truncate(room);
        self.bytes.shrink_to_fit();
    }

    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        loop {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
                return;
            }
            self.grow();
        }
    }

    #[inline]
    pub(super) fn extend(&mut self, text: &[u8]) {
        loop {
            let room = self.bytes.get_mut(self.len..).unwrap_or_default();
            if let Some(place) = room.get_mut(..text.len()) {
                place.copy_from_slice(text);
                self.len += text.len();
                return;
            }
            self.grow();
        }
    }

    /// Writes the word that `text` begins with, in lower case, and returns its length.
    #[inline]
    pub(super) fn push_word(&mut self, text: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        // Eight bytes a turn, without a test for the end after each.
        let turns = text.as_chunks::<8>().0.iter().zip(room.as_chunks_mut::<8>().0);
        for (turn, (from, to)) in turns.enumerate() {
            // Finding the end and copying are one loop; what ends the word is written over.
            let end = from.iter().zip(to).position(|(byte, place)| {
                *place = lower_in_word(*byte);
                *place == 0
            });
            if let Some(end) = end {
                let length = turn * 8 + end;
                self.len += length;
                return length;
            }
        }
        self.push_last_word(text)
    }

    /// As [`Self::push_word`], where the text or the room ends before the word does.
    #[cold]
    fn push_last_word(&mut self, text: &[u8]) -> usize {
        let word = text.iter().map(|byte| lower_in_word(*byte)).take_while(|byte| *byte != 0);
        let start = self.len;
        word.for_each(|byte| self.push(byte));
        self.len - start
    }

    #[cold]
    fn grow(&mut self) {
        self.bytes.resize((self.bytes.len() * 2).max(1024), 0);
    }
}
