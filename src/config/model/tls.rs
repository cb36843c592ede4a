//! TLS on both sides.

use std::path::PathBuf;

use crate::config::codec::{File, Keyword};
use crate::config::section::{keywords, section};

section! {
    /// `[tls.client]`: TLS between clients and pgLagoon.
    ClientTls {
        /// "disable", "allow" or "prefer" (both: TLS for clients that ask for it) or "require".
        mode: ClientTlsMode, Keyword, ClientTlsMode::Disable, Reload;
        /// File with the certificate chain that clients see, in PEM.
        cert_file: Option<PathBuf>, File, None, Reload;
        /// File with the certificate's private key, in PEM.
        key_file: Option<PathBuf>, File, None, Reload;
    }
}

section! {
    /// `[tls.server]`: TLS between pgLagoon and PostgreSQL.
    ServerTls {
        /// "disable", "allow", "prefer", "require", "verify-ca" or "verify-full", as libpq's sslmode. A URL's
        /// ?sslmode= beats it for that node.
        mode: ServerTlsMode, Keyword, ServerTlsMode::Prefer, Reload;
        /// File with the authorities to trust, in PEM; "" means the system's for verify-ca and verify-full. With a file
        /// require, too, checks the certificate, as verify-ca does. A URL's ?sslrootcert= beats it for that node.
        ca_file: Option<PathBuf>, File, None, Reload;
    }
}

keywords! {
    /// Whether clients use TLS.
    ClientTlsMode {
        /// Never.
        Disable = "disable",
        /// If the client asks.
        Allow = "allow",
        /// If the client asks.
        Prefer = "prefer",
        /// Clients without TLS are refused, except on Unix sockets.
        Require = "require",
    }
}

keywords! {
    /// Whether, and how strictly, servers use TLS: libpq's `sslmode`.
    ServerTlsMode {
        /// Never.
        Disable = "disable",
        /// Only if the server refuses us without.
        Allow = "allow",
        /// If the server can.
        Prefer = "prefer",
        /// Always; the certificate is checked, as with `verify-ca`, only where a file of authorities is given.
        Require = "require",
        /// Always; the certificate must be signed by a trusted authority.
        VerifyCa = "verify-ca",
        /// Always; the certificate must also be for the host's name.
        VerifyFull = "verify-full",
    }
}
