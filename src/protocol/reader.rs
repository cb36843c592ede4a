//! A cursor over a message's body that never panics and never reads past the end.

use super::FrameError;

#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], FrameError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(FrameError::Format)?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FrameError> {
        let (&first, tail) = self.0.split_first().ok_or(FrameError::Format)?;
        self.0 = tail;
        Ok(first)
    }

    pub(super) fn u16(&mut self) -> Result<u16, FrameError> {
        let (head, tail) = self.0.split_first_chunk::<2>().ok_or(FrameError::Format)?;
        self.0 = tail;
        Ok(u16::from_be_bytes(*head))
    }

    pub(super) fn i32(&mut self) -> Result<i32, FrameError> {
        let (head, tail) = self.0.split_first_chunk::<4>().ok_or(FrameError::Format)?;
        self.0 = tail;
        Ok(i32::from_be_bytes(*head))
    }

    /// A zero-terminated string, without its zero.
    #[inline]
    pub(super) fn cstr(&mut self) -> Result<&'a [u8], FrameError> {
        let end = memchr::memchr(0, self.0).ok_or(FrameError::Format)?;
        let (text, tail) = self.0.split_at_checked(end).ok_or(FrameError::Format)?;
        self.0 = tail.get(1..).unwrap_or_default();
        Ok(text)
    }

    pub(super) fn end(self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { Err(FrameError::Format) }
    }
}
