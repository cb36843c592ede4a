//! `postgres://user:password@host:port/database?sslmode=require`.
//!
//! libpq's URL syntax for one host, strictly: what is not understood is an error, because a slip in a URL must not
//! become another server. No error repeats a part of the URL that may hold a password.

use std::path::PathBuf;

use super::codec::{Codec, Keyword};
use super::model::{Host, NodeUrl, ServerTlsMode};
use super::secret::Secret;
use super::value::Value;

/// Why a text is no node's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is another or missing.
    #[error("expected a URL such as \"postgres://user:password@host:5432/database\"")]
    Scheme,
    /// A `%` without two hexadecimal digits, or what they make is not UTF-8 or holds a zero byte.
    #[error("the {0} has a bad %-escape (a literal % is written %25)")]
    Escape(&'static str),
    /// No host between `@` and `/`, and no `?host=`.
    #[error(
        "the URL names no host; for a Unix socket write \"postgres:///database?host=/directory\""
    )]
    NoHost,
    /// Something that is no host, such as an unclosed `[` or a list.
    #[error("the URL's host is not a name, an IP address (IPv6 in brackets) or a directory")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535")]
    Port,
    /// `:password@` without a user.
    #[error("the URL has a password but no user")]
    PasswordWithoutUser,
    /// A parameter that is not known.
    #[error("unknown URL parameter {0:?}; known: {known}", known = PARAMETERS.join(", "))]
    Parameter(String),
    /// A parameter or part that is given twice.
    #[error("the URL gives the {0} twice")]
    Twice(String),
    /// An unknown `sslmode`.
    #[error("sslmode: {0}")]
    SslMode(String),
    /// A `?` in what must be a password.
    #[error(
        "the URL has a \"?\" before an \"@\"; in a password it is written %3F, and an @ after the ? is %40"
    )]
    QuestionMark,
    /// A `#` outside of an escape.
    #[error("the URL has a \"#\"; in a password it is written %23")]
    Fragment,
}

/// The parts of a URL, decoded; each is `None` until it is met.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    dbname: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

/// Reads a node's URL. `dbname` is the database's name where the URL has none.
///
/// # Errors
///
/// Anything that is not understood exactly.
pub fn parse_node_url(url: &str, dbname: &str) -> Result<NodeUrl, UrlError> {
    Parts::split(url)?.into_node(dbname)
}

impl Parts {
    fn split(url: &str) -> Result<Self, UrlError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or(UrlError::Scheme)?;
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            return Err(UrlError::QuestionMark);
        }
        let mut parts = Self::default();
        // A password may hold an unescaped slash or @, so the last @ is where it ends.
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        parts.login(login)?;
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        parts.authority(authority)?;
        parts.set("dbname", path, "database")?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let label = PARAMETERS.iter().find(|known| **known == name);
            let label = label.ok_or_else(|| UrlError::Parameter(shorten(name)))?;
            parts.set(label, value, label)?;
        }
        Ok(parts)
    }

    fn login(&mut self, login: &str) -> Result<(), UrlError> {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        self.set("user", user, "user")?;
        self.set("password", password, "password")
    }

    fn authority(&mut self, authority: &str) -> Result<(), UrlError> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(UrlError::Host)?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(UrlError::Host);
                }
                let port = if port.is_empty() {
                    ""
                } else {
                    port.strip_prefix(':').ok_or(UrlError::Host)?
                };
                (host, port)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        self.set("host", host, "host")?;
        self.set("port", port, "port")
    }

    /// Decodes `value` into the part `name`; an empty one says nothing.
    fn set(&mut self, name: &str, value: &str, label: &'static str) -> Result<(), UrlError> {
        if value.is_empty() {
            return Ok(());
        }
        let part = match name {
            "host" => &mut self.host,
            "port" => &mut self.port,
            "user" => &mut self.user,
            "password" => &mut self.password,
            "dbname" => &mut self.dbname,
            "sslmode" => &mut self.sslmode,
            "sslrootcert" => &mut self.sslrootcert,
            other => return Err(UrlError::Parameter(shorten(other))),
        };
        match part.replace(decode(value).ok_or(UrlError::Escape(label))?) {
            Some(_) => Err(UrlError::Twice(label.to_owned())),
            None => Ok(()),
        }
    }

    fn into_node(self, dbname: &str) -> Result<NodeUrl, UrlError> {
        let host = match self.host.ok_or(UrlError::NoHost)? {
            directory if directory.starts_with('/') => Host::Unix(PathBuf::from(directory)),
            name if name.contains(|c: char| c == ',' || c == '/' || c.is_whitespace()) => {
                return Err(UrlError::Host);
            }
            name => Host::Tcp(name),
        };
        let port = match self.port {
            None => 5432,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Port)?,
        };
        if self.user.is_none() && self.password.is_some() {
            return Err(UrlError::PasswordWithoutUser);
        }
        let sslmode = self.sslmode.map(|mode| {
            <Keyword as Codec<ServerTlsMode>>::read(&Value::Text(mode)).map_err(UrlError::SslMode)
        });
        Ok(NodeUrl {
            name: format!("{host}:{port}"),
            host,
            port,
            user: self.user,
            password: self.password.map(Secret::new),
            dbname: self.dbname.unwrap_or_else(|| dbname.to_owned()),
            sslmode: sslmode.transpose()?,
            ca_file: self.sslrootcert.map(PathBuf::from),
            weight: 1,
            zone: None,
        })
    }
}

/// Undoes %-escapes; `None` if one is broken or the result cannot be part of a startup packet.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The start of a parameter's name; a broken URL may have a password where a name should be.
fn shorten(name: &str) -> String {
    name.chars().take(24).collect()
}

impl NodeUrl {
    /// The URL without its password.
    pub fn redacted(&self) -> String {
        let login = match (&self.user, &self.password) {
            (None, _) => String::new(),
            (Some(user), None) => format!("{user}@"),
            (Some(user), Some(_)) => format!("{user}:{}@", super::secret::MASK),
        };
        match &self.host {
            Host::Tcp(_) => format!("postgres://{login}{}/{}", self.name, self.dbname),
            Host::Unix(directory) => format!(
                "postgres://{login}/{}?host={}&port={}",
                self.dbname,
                directory.display(),
                self.port
            ),
        }
    }
}

const PARAMETERS: [&str; 7] =
    ["host", "port", "user", "password", "dbname", "sslmode", "sslrootcert"];

#[cfg(test)]
mod tests;
