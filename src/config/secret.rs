//! A value that is never printed.

use std::fmt;

/// A password or verifier. Neither `Debug` nor any `Display` shows its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `content`.
    pub fn new(content: impl Into<String>) -> Self {
        Self(content.into())
    }

    /// The content, for a password exchange and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// What stands in the place of a secret wherever one would be shown.
pub(super) const MASK: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_a_mask() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
