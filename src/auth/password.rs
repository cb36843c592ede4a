//! A password in clear, and the SCRAM keys that it has given so far.

use std::fmt;

use parking_lot::Mutex;

use super::scram::Keys;

/// Servers with a salt of their own whose keys are remembered; a primary and its replicas share one.
const REMEMBERED: usize = 8;

/// A password in clear. Shared by all who use it, so that its keys are derived once for each salt.
pub struct Password {
    text: Box<str>,
    derived: Mutex<Vec<Derived>>,
}

struct Derived {
    salt: Vec<u8>,
    iterations: u32,
    keys: Keys,
}

impl Password {
    /// Takes a password; derives nothing yet.
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), derived: Mutex::new(Vec::new()) }
    }

    /// The password, for an exchange and nothing else.
    pub(super) fn expose(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The keys for a server's salt and iteration count, derived the first time they are asked for.
    pub(super) fn keys(&self, salt: &[u8], iterations: u32) -> Keys {
        let fits = |known: &&Derived| known.salt == salt && known.iterations == iterations;
        let known = self.derived.lock().iter().find(fits).map(|known| known.keys.clone());
        known.unwrap_or_else(|| {
            // Outside the lock: a derivation takes a millisecond, and two at once do no harm.
            let keys = Keys::derive(self.expose(), salt, iterations);
            let mut derived = self.derived.lock();
            if derived.len() >= REMEMBERED {
                derived.remove(0);
            }
            derived.push(Derived { salt: salt.to_vec(), iterations, keys: keys.clone() });
            keys
        })
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_once_for_each_salt_and_the_oldest_are_forgotten() {
        let password = Password::new("secret");
        for _ in 0..2 {
            let keys = password.keys(b"salt", 2);
            assert!(keys.client.matches(&Keys::derive(b"secret", b"salt", 2).client));
            assert_eq!(password.derived.lock().len(), 1);
        }
        for iterations in 3..20 {
            let keys = password.keys(b"salt", iterations);
            assert!(keys.client.matches(&Keys::derive(b"secret", b"salt", iterations).client));
        }
        assert_eq!(password.derived.lock().len(), REMEMBERED);
    }
}
