//! Which method a client is asked for.

use super::{scram::Binding, verifier::SecretForm};
use crate::config::AuthMethod;

/// What the client came over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A Unix socket or a loopback address: nobody listens in.
    Local,
    /// TCP without TLS.
    Open,
    /// TLS, and what of it can be bound to.
    Tls(Binding),
}

/// What a client is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: it is let in.
    Nothing,
    /// The password in clear.
    Cleartext,
    /// An MD5 answer.
    Md5,
    /// A SCRAM exchange, against a mock verifier where there is none.
    Scram,
}

/// A password in clear was demanded of a client whose connection others can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposedCleartext;

/// Decides what to ask. `form` is `None` for a user that does not exist.
///
/// What is stored bounds what can be asked: an MD5 hash answers MD5 alone, a SCRAM verifier never does. An
/// unknown user is asked what a user with a password is, so that the question tells nothing.
///
/// # Errors
///
/// [`ExposedCleartext`]: a password in clear never crosses an open line.
pub const fn choose(
    method: AuthMethod,
    form: Option<SecretForm>,
    transport: &Transport,
) -> Result<Ask, ExposedCleartext> {
    match (method, form) {
        (_, Some(SecretForm::Trust)) => Ok(Ask::Nothing),
        (AuthMethod::Password, _) => match transport {
            Transport::Local | Transport::Tls(_) => Ok(Ask::Cleartext),
            Transport::Open => Err(ExposedCleartext),
        },
        (AuthMethod::Md5, Some(SecretForm::Password) | None)
        | (AuthMethod::Md5 | AuthMethod::ScramSha256, Some(SecretForm::Md5)) => Ok(Ask::Md5),
        (AuthMethod::Md5, Some(SecretForm::Scram)) | (AuthMethod::ScramSha256, _) => Ok(Ask::Scram),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_methods() {
        use AuthMethod::{Md5, Password, ScramSha256};
        let forms = [
            Some(SecretForm::Trust),
            None,
            Some(SecretForm::Password),
            Some(SecretForm::Md5),
            Some(SecretForm::Scram),
        ];
        let table = [
            (
                Password,
                [Ask::Nothing, Ask::Cleartext, Ask::Cleartext, Ask::Cleartext, Ask::Cleartext],
            ),
            (Md5, [Ask::Nothing, Ask::Md5, Ask::Md5, Ask::Md5, Ask::Scram]),
            (ScramSha256, [Ask::Nothing, Ask::Scram, Ask::Scram, Ask::Md5, Ask::Scram]),
        ];
        for (method, asks) in table {
            for (form, ask) in forms.into_iter().zip(asks) {
                assert_eq!(choose(method, form, &Transport::Local), Ok(ask), "{method:?} {form:?}");
            }
        }
    }

    #[test]
    fn cleartext_never_crosses_an_open_line() {
        let ask = |transport| choose(AuthMethod::Password, None, &transport);
        assert_eq!(ask(Transport::Open), Err(ExposedCleartext));
        assert_eq!(ask(Transport::Tls(Binding::Unavailable)), Ok(Ask::Cleartext));
    }
}
