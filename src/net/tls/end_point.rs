//! The channel binding `tls-server-end-point` (RFC 5929, section 4.1): the hash of the server's certificate, by
//! the hash function of the certificate's own signature.

use std::sync::Arc;

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// A hash function that a certificate's signature may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The hash of the certificate `der`.
///
/// `None` for signatures without a single hash function, such as Ed25519: RFC 5929 leaves them undefined,
/// and PostgreSQL does not bind to them either.
pub fn end_point(der: &[u8]) -> Option<Arc<[u8]>> {
    Some(match signature_hash(der)? {
        Hash::Sha224 => Arc::from(Sha224::digest(der).as_slice()),
        Hash::Sha256 => Arc::from(Sha256::digest(der).as_slice()),
        Hash::Sha384 => Arc::from(Sha384::digest(der).as_slice()),
        Hash::Sha512 => Arc::from(Sha512::digest(der).as_slice()),
    })
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]` within the parameters of RSASSA-PSS (RFC 4055, section 3.1).
const PSS_HASH: u8 = 0xa0;

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, .. }, .. }`
fn signature_hash(der: &[u8]) -> Option<Hash> {
    let mut certificate = Der(Der(der).take(SEQUENCE)?);
    certificate.take(SEQUENCE)?;
    let mut algorithm = Der(certificate.take(SEQUENCE)?);
    match algorithm.take(OBJECT_IDENTIFIER)? {
        // 1.2.840.113549.1.1: PKCS #1. RFC 5929 has SHA-256 in the place of MD5 (4) and SHA-1 (5).
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last] => match last {
            4 | 5 | 11 => Some(Hash::Sha256),
            10 => pss_hash(algorithm),
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            14 => Some(Hash::Sha224),
            _ => None,
        },
        // 1.2.840.10045.4.1: ECDSA with SHA-1.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(Hash::Sha256),
        // 1.2.840.10045.4.3: ECDSA with SHA-2.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last] => match last {
            1 => Some(Hash::Sha224),
            2 => Some(Hash::Sha256),
            3 => Some(Hash::Sha384),
            4 => Some(Hash::Sha512),
            _ => None,
        },
        _ => None,
    }
}

/// The hash in the parameters of RSASSA-PSS; SHA-1, hence SHA-256, when it is left out.
fn pss_hash(mut algorithm: Der<'_>) -> Option<Hash> {
    let mut parameters = Der(algorithm.take(SEQUENCE)?);
    let Some(hash) = parameters.take(PSS_HASH) else { return Some(Hash::Sha256) };
    match Der(Der(hash).take(SEQUENCE)?).take(OBJECT_IDENTIFIER)? {
        // 1.3.14.3.2.26: SHA-1.
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(Hash::Sha256),
        // 2.16.840.1.101.3.4.2: SHA-2.
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
            1 => Some(Hash::Sha256),
            2 => Some(Hash::Sha384),
            3 => Some(Hash::Sha512),
            4 => Some(Hash::Sha224),
            _ => None,
        },
        _ => None,
    }
}

/// What is left of a DER structure.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, if it is of this type.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Long form: so many bytes of length follow.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// A certificate of which only the signature algorithm is real.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| {
            let mut element = vec![tag, u8::try_from(content.len()).unwrap()];
            element.extend_from_slice(content);
            element
        };
        let inner = [element(SEQUENCE, b"tbs"), element(SEQUENCE, algorithm)].concat();
        element(SEQUENCE, &inner)
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let rsa =
            |last: u8| certificate(&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last, 5, 0]);
        for (last, hash) in [(4, Hash::Sha256), (5, Hash::Sha256), (12, Hash::Sha384)] {
            assert_eq!(signature_hash(&rsa(last)), Some(hash));
        }
        assert_eq!(signature_hash(&rsa(2)), None);
        assert_eq!(signature_hash(&certificate(&[6, 3, 0x2b, 0x65, 0x70])), None, "Ed25519");
    }

    #[test]
    fn pss_names_its_hash_in_the_parameters() {
        let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
        let sha512 = [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
        let named = [&oid[..], &[0x30, 15, 0xa0, 13, 0x30, 11], &sha512].concat();
        assert_eq!(signature_hash(&certificate(&named)), Some(Hash::Sha512));
        let default = [&oid[..], &[0x30, 0]].concat();
        assert_eq!(signature_hash(&certificate(&default)), Some(Hash::Sha256));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(der in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = end_point(&der);
            let _ = end_point(&certificate(&der));
        }
    }
}
