//! The grammar of SCRAM's four messages, read strictly and without allocation.

use super::{
    Binding, MAX_MESSAGE, ScramError,
    keys::{decimal, decode_key},
};

/// What the client says of channel binding, the first field of its first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientBinding {
    /// `n`: it cannot.
    Unsupported,
    /// `y`: it can, and believes that the server cannot.
    Unused,
    /// `p=tls-server-end-point`: it does.
    EndPoint,
}

impl ClientBinding {
    /// The header that stands before the first message and inside the last one.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Unsupported => "n,,",
            Self::Unused => "y,,",
            Self::EndPoint => "p=tls-server-end-point,,",
        }
    }

    /// The bytes that the client must repeat in its last message: the header and what it binds to.
    pub(super) fn input(self, binding: &Binding) -> Vec<u8> {
        let mut input = self.header().as_bytes().to_vec();
        if let (Self::EndPoint, Binding::EndPoint(data)) = (self, binding) {
            input.extend_from_slice(data);
        }
        input
    }
}

/// `[gs2 header]n=user,r=nonce`
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    pub(super) binding: ClientBinding,
    /// The message without the header, which both sides sign.
    pub(super) bare: &'a str,
    pub(super) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let message = text(message)?;
        let (flag, rest) = message.split_once(',').ok_or(malformed("no header"))?;
        let binding = match flag {
            "n" => ClientBinding::Unsupported,
            "y" => ClientBinding::Unused,
            "p=tls-server-end-point" => ClientBinding::EndPoint,
            _ => return Err(malformed("unexpected channel-binding flag")),
        };
        let (identity, bare) = rest.split_once(',').ok_or(malformed("no header"))?;
        if identity.starts_with("a=") {
            return Err(ScramError::AuthorizationIdentity);
        }
        if !identity.is_empty() {
            return Err(malformed("unexpected attribute in the header"));
        }
        let mut attributes = Attributes(Some(bare));
        if bare.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        // The user is the one of the startup message, as in PostgreSQL; what stands here is ignored.
        attributes.named("n=")?;
        let nonce = attributes.nonce()?;
        attributes.skip_extensions()?;
        Ok(Self { binding, bare, nonce })
    }
}

/// `c=binding,r=nonce,p=proof`
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    /// Base64 of the header and the channel's data, still encoded.
    pub(super) binding: &'a str,
    pub(super) nonce: &'a str,
    pub(super) proof: [u8; 32],
    /// All that stands before the proof, which both sides sign.
    pub(super) without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(malformed("no proof"))?;
        let proof = decode_key(proof).ok_or(malformed("the proof is not 32 bytes in base64"))?;
        let mut attributes = Attributes(Some(without_proof));
        let binding = attributes.named("c=")?;
        let nonce = attributes.nonce()?;
        attributes.skip_extensions()?;
        Ok(Self { binding, nonce, proof, without_proof })
    }
}

/// `r=nonce,s=salt,i=iterations`
#[derive(Debug)]
pub(super) struct ServerFirst<'a> {
    /// The whole message, which both sides sign.
    pub(super) text: &'a str,
    pub(super) nonce: &'a str,
    /// Base64, still encoded.
    pub(super) salt: &'a str,
    pub(super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let text = text(message)?;
        if text.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let mut attributes = Attributes(Some(text));
        let nonce = attributes.nonce()?;
        let salt = attributes.named("s=")?;
        let iterations = decimal(attributes.named("i=")?);
        let iterations = iterations.ok_or(malformed("invalid iteration count"))?;
        attributes.skip_extensions()?;
        Ok(Self { text, nonce, salt, iterations })
    }
}

/// `v=signature`, or `e=reason`
pub(super) fn parse_server_final(message: &[u8]) -> Result<[u8; 32], ScramError> {
    let mut attributes = Attributes(Some(text(message)?));
    if attributes.0.is_some_and(|rest| rest.starts_with("e=")) {
        return Err(ScramError::Refused);
    }
    let signature = decode_key(attributes.named("v=")?);
    attributes.skip_extensions()?;
    signature.ok_or(malformed("the signature is not 32 bytes in base64"))
}

/// The attributes of a message that are still to be read; `None` after the last one.
struct Attributes<'a>(Option<&'a str>);

impl<'a> Attributes<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0?;
        let (attribute, rest) = match rest.split_once(',') {
            Some((attribute, rest)) => (attribute, Some(rest)),
            None => (rest, None),
        };
        self.0 = rest;
        Some(attribute)
    }

    fn named(&mut self, prefix: &str) -> Result<&'a str, ScramError> {
        let value = self.next().and_then(|attribute| attribute.strip_prefix(prefix));
        value.ok_or(malformed("an attribute is missing or out of order"))
    }

    fn nonce(&mut self) -> Result<&'a str, ScramError> {
        let nonce = self.named("r=")?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed("non-printable characters in nonce"));
        }
        Ok(nonce)
    }

    /// Optional extensions may follow and are ignored, as PostgreSQL does.
    fn skip_extensions(&mut self) -> Result<(), ScramError> {
        while let Some(attribute) = self.next() {
            if !matches!(attribute.as_bytes(), [b'a'..=b'z' | b'A'..=b'Z', b'=', ..]) {
                return Err(malformed("an attribute has no name"));
            }
        }
        Ok(())
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MAX_MESSAGE {
        return Err(malformed("too long"));
    }
    if message.contains(&0) {
        return Err(malformed("a NUL inside"));
    }
    std::str::from_utf8(message).map_err(|_| malformed("not UTF-8"))
}

pub(super) const fn malformed(rule: &'static str) -> ScramError {
    ScramError::Malformed(rule)
}
