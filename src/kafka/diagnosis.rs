//! Reads the words about a failed connection: the cause, and the property that sets it right.
//!
//! librdkafka says more in its log than by its error codes. almanac's own connections have words of their own.

/// A cause that somebody can do something about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    OnlyTls,
    NoTls,
    NoSasl,
    Mechanism,
    Credentials,
    ClientCertificate,
    BrokerHostName,
    BrokerExpired,
    BrokerCertificate,
    /// A broker is advertised by a name that does not resolve here.
    Advertised,
    HostName,
    Closed,
    Disk,
}

/// Of an address that the user did not name.
pub(super) const ADVERTISED: &str = "a broker advertises this host name, which does not resolve";

/// Kafka's KAFKA_STORAGE_ERROR.
pub(super) const STORAGE_ERROR: &str = "the broker can't use its disk, which is full or damaged";

/// The first row wins whose words are all there.
const SIGNS: &[(&[&str], Cause)] = &[
    (&["speaks only TLS"], Cause::OnlyTls),
    (&["connecting to a PLAINTEXT broker listener"], Cause::NoTls),
    (&["closed the connection in the TLS handshake"], Cause::NoTls),
    (&["without TLS"], Cause::NoTls),
    (&["does not speak TLS"], Cause::NoTls),
    (&["Request not valid in current SASL state"], Cause::NoSasl),
    // ILLEGAL_SASL_STATE.
    (&["refused to authenticate: error 34"], Cause::NoSasl),
    (&["does not use SASL"], Cause::NoSasl),
    (&["Unsupported SASL mechanism"], Cause::Mechanism),
    (&["SASL mechanism"], Cause::Mechanism),
    (&["SASL authentication"], Cause::Credentials),
    (&["alert", "certificate"], Cause::ClientCertificate),
    (&["alert unknown ca"], Cause::ClientCertificate),
    (&["client certificate"], Cause::ClientCertificate),
    (&["client's certificate"], Cause::ClientCertificate),
    (&["certificate verify failed", "it is for"], Cause::BrokerHostName),
    (&["certificate verify failed", "mismatch"], Cause::BrokerHostName),
    (&["certificate verify failed", "expired"], Cause::BrokerExpired),
    (&["certificate verify failed"], Cause::BrokerCertificate),
    (&["unknown ca"], Cause::BrokerCertificate),
    (&[ADVERTISED], Cause::Advertised),
    (&["Failed to resolve"], Cause::HostName),
    (&["failed to lookup address"], Cause::HostName),
    (&["closed the connection"], Cause::Closed),
    (&["closed by peer"], Cause::Closed),
    (&[STORAGE_ERROR], Cause::Disk),
    (&["Disk error when trying to access log file"], Cause::Disk),
];

impl Cause {
    /// From the words of librdkafka, or of a connection of almanac's own.
    pub(super) fn of(words: &str) -> Option<Cause> {
        let is_shown = |(signs, _): &&(&[&str], Cause)| signs.iter().all(|sign| words.contains(sign));
        let found = SIGNS.iter().find(is_shown).map(|(_, cause)| *cause)?;
        match found {
            Cause::HostName if is_of_learned_broker(words) => Some(Cause::Advertised),
            found => Some(found),
        }
    }

    /// Whether it stays until somebody changes a property, a password, a certificate or the broker. A broker that ends
    /// closes connections as well.
    pub(super) fn is_lasting(self) -> bool {
        !matches!(self, Cause::NoTls | Cause::Advertised | Cause::HostName | Cause::Closed | Cause::Disk)
    }

    /// Plain words in place of librdkafka's, where those are hard to read.
    pub(super) fn words(self) -> Option<&'static str> {
        match self {
            Cause::NoTls => Some("it closed the TLS handshake, as a listener without TLS does"),
            Cause::NoSasl => Some("the listener does not use SASL"),
            Cause::ClientCertificate => Some("it requires a client certificate that it trusts"),
            Cause::Advertised => Some(ADVERTISED),
            Cause::Closed => Some("it closed the connection"),
            Cause::Disk => Some(STORAGE_ERROR),
            _ => None,
        }
    }

    /// The instruction that sets it right.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Cause::OnlyTls => "set -X security.protocol=SSL, or SASL_SSL with a password",
            Cause::NoTls => {
                "connect to the port for TLS, or set -X security.protocol=PLAINTEXT or SASL_PLAINTEXT"
            }
            Cause::NoSasl => "set -X security.protocol=SSL or PLAINTEXT",
            Cause::Mechanism => "set -X sasl.mechanism to one that the broker supports",
            Cause::Credentials => "check -X sasl.username and sasl.password",
            Cause::ClientCertificate => {
                "set -X ssl.certificate.location and ssl.key.location to a certificate that the broker trusts"
            }
            Cause::BrokerHostName => {
                "use a name of the certificate in --brokers, or set -X ssl.endpoint.identification.algorithm=none"
            }
            Cause::BrokerExpired => "renew the broker's certificate",
            Cause::BrokerCertificate => {
                "set -X ssl.ca.location to the CA of the broker's certificate, and use a name of that in --brokers"
            }
            Cause::Advertised => {
                "set advertised.listeners of the broker to a name that resolves here, or add the name to /etc/hosts"
            }
            Cause::Disk => "free space on the disks of the broker's log.dirs, and start the broker again",
            Cause::HostName => "check the host name in --brokers",
            Cause::Closed => "set -X security.protocol to that of the listener, such as SSL or SASL_SSL",
        }
    }
}

/// The instruction that sets right what these words show.
pub fn hint_for(words: &str) -> Option<&'static str> {
    Cause::of(words).map(Cause::hint)
}

/// The same of the words about a partition's leader, which another broker named.
pub fn hint_for_leader(words: &str) -> Option<&'static str> {
    match Cause::of(words)? {
        Cause::HostName => Some(Cause::Advertised.hint()),
        cause => Some(cause.hint()),
    }
}

/// Whether librdkafka's words are about a broker that others named: `HOST:PORT/ID` or `GroupCoordinator`. It calls those
/// that the user named `HOST:PORT/bootstrap`.
fn is_of_learned_broker(words: &str) -> bool {
    let name =
        words.split_once("Failed to resolve").map_or("", |(name, _)| name.trim_end_matches([' ', ':']));
    !name.is_empty() && !name.ends_with("/bootstrap")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_either_client_show_the_cause() {
        for (words, cause) in [
            ("the broker speaks only TLS", Some(Cause::OnlyTls)),
            ("the broker does not speak TLS", Some(Cause::NoTls)),
            (
                "ssl://127.0.0.1:7001/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener? (after 3ms in state SSL_HANDSHAKE)",
                Some(Cause::NoTls),
            ),
            (
                "sasl_ssl://127.0.0.1:7002/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state: broker's supported mechanisms:  (after 2ms in state AUTH_HANDSHAKE)",
                Some(Cause::NoSasl),
            ),
            (
                "sasl_ssl://127.0.0.1:7004/bootstrap: SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: PLAIN (after 301ms in state AUTH_HANDSHAKE)",
                Some(Cause::Mechanism),
            ),
            ("the broker does not have SASL mechanism PLAIN, only SCRAM-SHA-256", Some(Cause::Mechanism)),
            (
                "sasl_ssl://127.0.0.1:7004/bootstrap: SASL authentication error: Authentication failed: Invalid username or password (after 301ms in state AUTH_REQ)",
                Some(Cause::Credentials),
            ),
            ("SASL authentication failed: Invalid username or password", Some(Cause::Credentials)),
            (
                "ssl://127.0.0.1:7003/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42 (after 2ms in state APIVERSION_QUERY)",
                Some(Cause::ClientCertificate),
            ),
            (
                "the broker refused the TLS connection: it does not accept the client's certificate",
                Some(Cause::ClientCertificate),
            ),
            (
                "certificate verify failed: it is for elsewhere, not for 127.0.0.1",
                Some(Cause::BrokerHostName),
            ),
            (
                "ssl://localhost:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified",
                Some(Cause::BrokerCertificate),
            ),
            ("certificate verify failed: certificate has expired", Some(Cause::BrokerExpired)),
            (
                "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known",
                Some(Cause::HostName),
            ),
            (
                "nohost:9092/1: Failed to resolve 'nohost:9092': Name or service not known (after 3ms in state CONNECT)",
                Some(Cause::Advertised),
            ),
            (
                "GroupCoordinator: nohost:9092: Failed to resolve 'nohost:9092': Name or service not known",
                Some(Cause::Advertised),
            ),
            ("Failed to resolve 'nohost:9092': Name or service not known", Some(Cause::HostName)),
            (
                "127.0.0.1:7004/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 1ms in state APIVERSION_QUERY)",
                Some(Cause::Closed),
            ),
            ("the broker closed the connection", Some(Cause::Closed)),
            ("Connect to 127.0.0.1:9092 failed: Connection refused", None),
            ("SSL handshake failed: error:0A000119:SSL routines::decryption failed or bad record mac", None),
            ("", None),
        ] {
            assert_eq!(Cause::of(words), cause, "{words}");
        }
    }

    #[test]
    fn plain_words_show_the_same_cause() {
        for (_, cause) in SIGNS {
            if let Some(words) = cause.words() {
                assert_eq!(Cause::of(words), Some(*cause), "{words}");
            }
        }
    }
}
