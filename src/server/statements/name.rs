//! What statements are called on servers.

/// A statement's name on one server. Numbers are never used twice on a connection, so a Parse can never
/// collide with a statement whose Close has not been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerName(pub(super) u32);

impl ServerName {
    /// A name that no statement ever has.
    pub const NOBODY: Self = Self(0);

    /// The name's longest form in bytes.
    const MAX_LEN: usize = 14;

    /// Writes the name, without allocating.
    pub fn text(self) -> ServerNameText {
        let mut text = ServerNameText { bytes: [0; Self::MAX_LEN], len: 0 };
        let mut digits = [0; 10];
        let mut rest = self.0;
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(10 - count..).unwrap_or_default();
        for byte in b"pgl_".iter().chain(digits) {
            if let Some(place) = text.bytes.get_mut(text.len) {
                *place = *byte;
                text.len += 1;
            }
        }
        text
    }
}

/// A [`ServerName`] as text.
#[derive(Clone, Copy, Debug)]
pub struct ServerNameText {
    bytes: [u8; ServerName::MAX_LEN],
    len: usize,
}

impl ServerNameText {
    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
