//! Why a broker and this client do not accept each other.

use std::io;

use almanac_core::protocol::sasl::ScramError;

/// A failure of a connection between TCP and the first request, with a cause that somebody can change: a
/// property, a certificate, a password, the broker. It comes as the cause of an [`io::Error`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AccessError {
    /// OpenSSL's reason for not accepting the broker's certificate, with its number (`X509_V_ERR_…`).
    #[error("certificate verify failed: {reason}")]
    Certificate { reason: String, number: i32 },
    /// The certificate is valid, but for other names.
    #[error("certificate verify failed: it is for {names}, not for {host}")]
    HostName { host: String, names: String },
    /// The broker refused the client's certificate, or its lack of one.
    #[error("the broker refused the TLS connection: {0}")]
    ClientCertificate(&'static str),
    /// The broker and the client have no version, cipher or signature of TLS in common.
    #[error("the broker refused the TLS connection: {0}")]
    NothingInCommon(&'static str),
    /// Other bytes than those of TLS came.
    #[error("the broker does not speak TLS")]
    NoTls,
    /// Bytes of TLS came on a connection without it.
    #[error("the broker speaks only TLS")]
    OnlyTls,
    /// As a listener without TLS does, but also a broker that stops.
    #[error("the broker closed the connection in the TLS handshake")]
    ClosedInHandshake,
    /// Anything else that the TLS library can't do with this broker, in its words.
    #[error("TLS handshake failed: {reason}")]
    Handshake { reason: String },
    #[error("the broker does not have SASL mechanism {wanted}, only {supported}")]
    Mechanism { wanted: String, supported: String },
    /// The broker's own words.
    #[error("SASL authentication failed: {message}")]
    Authentication { message: String },
    #[error("SASL authentication failed: {0}")]
    Scram(#[from] ScramError),
}

impl AccessError {
    /// The cause of an error of a connection, if it is one of these.
    pub(super) fn of(error: &io::Error) -> Option<&AccessError> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether it will be the same again until somebody changes something.
    pub(super) fn is_lasting(&self) -> bool {
        !matches!(self, AccessError::ClosedInHandshake)
    }
}

impl From<AccessError> for io::Error {
    fn from(error: AccessError) -> Self {
        io::Error::new(io::ErrorKind::PermissionDenied, error)
    }
}
