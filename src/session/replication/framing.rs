//! Where a stream of messages is: between two, or within one.

use crate::protocol::frame::{self, FrameError, HEADER_LEN};

/// A stream of messages of which nothing is kept.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// The beginning of a header.
    header: [u8; HEADER_LEN],
    /// How much of it has come.
    begun: usize,
    /// Bytes of the message that are still to come.
    missing: usize,
}

impl Framing {
    /// Follows the stream by `bytes`. `begins` is told the tag of each message that begins in them.
    ///
    /// # Errors
    ///
    /// They are no messages.
    pub(super) fn pass(
        &mut self,
        mut bytes: &[u8],
        mut begins: impl FnMut(u8),
    ) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            let body = self.missing.min(bytes.len());
            self.missing -= body;
            bytes = bytes.get(body..).unwrap_or_default();
            while let Some((&byte, rest)) = bytes.split_first()
                && self.missing == 0
            {
                if let Some(place) = self.header.get_mut(self.begun) {
                    *place = byte;
                }
                self.begun += 1;
                bytes = rest;
                if self.begun == HEADER_LEN {
                    self.begun = 0;
                    if let Some(header) = frame::header(&self.header)? {
                        self.missing = header.size - HEADER_LEN;
                        begins(header.tag);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the last message is whole.
    pub(super) const fn is_between(&self) -> bool {
        self.begun == 0 && self.missing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_boundaries_are_found_whatever_the_pieces() {
        let stream = b"Z\0\0\0\x05Ic\0\0\0\x04d\0\0\0\x08data";
        for size in 1..=stream.len() {
            let (mut framing, mut tags, mut between) = (Framing::default(), Vec::new(), Vec::new());
            let mut at = 0;
            for piece in stream.chunks(size) {
                framing.pass(piece, |tag| tags.push(tag)).unwrap();
                at += piece.len();
                if framing.is_between() {
                    between.push(at);
                }
            }
            assert_eq!(tags, b"Zcd", "{size}");
            let whole = [6, 11, stream.len()];
            assert!(between.iter().all(|at| whole.contains(at)), "{size}: {between:?}");
            assert_eq!(between.last(), Some(&stream.len()));
        }
        assert!(Framing::default().pass(b"d\0\0\0\x03", |_| {}).is_err());
    }
}
