//! SASL in Kafka's protocol: the two requests, and the messages of SCRAM (RFC 5802). No IO and no cryptography.

use super::reader::{Malformed, Reader};
use super::wire::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
/// Of both. Every Kafka since 2.2 has it, and says with it how long the session lasts.
const VERSION: i16 = 1;

/// As the Java client: fewer iterations make the password easy to guess from what was sent.
pub const ITERATIONS_MIN: u32 = 4096;
/// As librdkafka: more keep the client busy only.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// A broker's reply to the choice of a mechanism.
#[derive(Debug, Eq, PartialEq)]
pub struct Handshake {
    /// Kafka's number of an error; 0 where there is none.
    pub error: i16,
    /// The mechanisms that the broker has.
    pub mechanisms: Vec<String>,
}

/// A broker's reply to a message of the mechanism.
#[derive(Debug, Eq, PartialEq)]
pub struct Authenticated<'a> {
    /// Kafka's number of an error; 0 where there is none.
    pub error: i16,
    pub error_message: Option<String>,
    /// The broker's message of the mechanism.
    pub message: &'a [u8],
    /// How long the broker serves the connection; 0 if that has no end.
    pub session_lifetime_ms: i64,
}

/// Why a message of the broker is not one of SCRAM, or not for this client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScramError {
    #[error("a message of the broker does not follow the protocol")]
    Malformed,
    #[error("the broker's nonce does not continue the client's")]
    WrongNonce,
    #[error("the broker requests {0} iterations, where {ITERATIONS_MIN} to {ITERATIONS_MAX} are allowed")]
    Iterations(u64),
    #[error("the broker reports {0}")]
    Refused(String),
    #[error("the broker does not know the password: its signature is wrong")]
    WrongSignature,
}

impl From<Malformed> for ScramError {
    fn from(_: Malformed) -> Self {
        ScramError::Malformed
    }
}

/// A request for this mechanism, from its size on.
pub fn handshake_request(correlation: i32, client_id: &str, mechanism: &str) -> Vec<u8> {
    let mut request = Request::without_tags(SASL_HANDSHAKE, VERSION, correlation, client_id);
    request.bytes(&(mechanism.len() as i16).to_be_bytes());
    request.bytes(mechanism.as_bytes());
    request.done()
}

/// The response to a [`handshake_request`], after its size.
pub fn handshake(response: &[u8], correlation: i32) -> Result<Handshake, Malformed> {
    let mut reader = Reader::of_response_without_tags(response, correlation)?;
    let error = reader.int16()?;
    let mut mechanisms = Vec::new();
    for _ in 0..reader.int32()? {
        mechanisms.push(reader.short_text()?.ok_or(Malformed)?.to_owned());
    }
    Ok(Handshake { error, mechanisms })
}

/// A request with a message of the mechanism, from its size on.
pub fn authenticate_request(correlation: i32, client_id: &str, message: &[u8]) -> Vec<u8> {
    let mut request = Request::without_tags(SASL_AUTHENTICATE, VERSION, correlation, client_id);
    request.int32(message.len() as i32);
    request.bytes(message);
    request.done()
}

/// The response to an [`authenticate_request`], after its size.
pub fn authenticated(response: &[u8], correlation: i32) -> Result<Authenticated<'_>, Malformed> {
    let mut reader = Reader::of_response_without_tags(response, correlation)?;
    let error = reader.int16()?;
    let error_message = reader.short_text()?.map(str::to_owned);
    // Null, where there is none.
    let length = usize::try_from(reader.int32()?).unwrap_or(0);
    let message = reader.take(length)?;
    let session_lifetime_ms = reader.int64()?;
    Ok(Authenticated { error, error_message, message, session_lifetime_ms })
}

/// The message of the mechanism PLAIN (RFC 4616).
pub fn plain(username: &str, password: &str) -> Vec<u8> {
    [b"\0", username.as_bytes(), b"\0", password.as_bytes()].concat()
}

/// A client's side of a SCRAM conversation.
pub struct Scram {
    nonce: String,
    /// The first message, without what says that there is no channel binding.
    first_bare: String,
}

/// The broker's first message.
#[derive(Debug, Eq, PartialEq)]
pub struct Challenge {
    pub salt: Vec<u8>,
    pub iterations: u32,
    /// The client's last message, without its proof.
    pub last_without_proof: String,
    /// The text that both signatures sign.
    pub auth_message: String,
}

impl Scram {
    /// `nonce`: printable ASCII without a comma, never used before.
    pub fn new(username: &str, nonce: String) -> Scram {
        // The two characters that have a meaning in a message.
        let username = username.replace('=', "=3D").replace(',', "=2C");
        Scram { first_bare: format!("n={username},r={nonce}"), nonce }
    }

    /// The client's first message.
    pub fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Reads the broker's first message.
    pub fn challenge(&self, message: &[u8]) -> Result<Challenge, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let mut attributes = message.split(',');
        let mut attribute = |name| attribute(attributes.next(), name);
        let (nonce, salt, iterations) = (attribute('r')?, attribute('s')?, attribute('i')?);
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::WrongNonce);
        }
        let salt = STANDARD.decode(salt).map_err(|_| ScramError::Malformed)?;
        let iterations: u64 = iterations.parse().map_err(|_| ScramError::Malformed)?;
        let allowed = u32::try_from(iterations).ok();
        let allowed = allowed.filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(count));
        // `biws` is `n,,`: no channel binding.
        let last_without_proof = format!("c=biws,r={nonce}");
        Ok(Challenge {
            salt,
            iterations: allowed.ok_or(ScramError::Iterations(iterations))?,
            auth_message: format!("{},{message},{last_without_proof}", self.first_bare),
            last_without_proof,
        })
    }
}

impl Challenge {
    /// The client's last message.
    pub fn last(&self, proof: &[u8]) -> String {
        format!("{},p={}", self.last_without_proof, STANDARD.encode(proof))
    }
}

/// The broker's signature, from its last message.
pub fn scram_signature(message: &[u8]) -> Result<Vec<u8>, ScramError> {
    let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
    let first = message.split(',').next();
    if let Ok(error) = attribute(first, 'e') {
        return Err(ScramError::Refused(error.to_owned()));
    }
    STANDARD.decode(attribute(first, 'v')?).map_err(|_| ScramError::Malformed)
}

/// The value of an attribute that must have this name.
fn attribute(text: Option<&str>, name: char) -> Result<&str, ScramError> {
    let value = text.and_then(|text| text.strip_prefix(name)?.strip_prefix('='));
    value.ok_or(ScramError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn a_conversation() {
        let scram = Scram::new("user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let challenge = scram.challenge(first.as_bytes()).unwrap();
        assert_eq!((challenge.salt.len(), challenge.iterations), (16, 4096));
        assert_eq!(
            challenge.last(b"proof"),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=cHJvb2Y="
        );
        assert_eq!(
            challenge.auth_message,
            format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{first},{}", challenge.last_without_proof)
        );
        assert_eq!(scram_signature(b"v=cHJvb2Y=,x=y"), Ok(b"proof".to_vec()));
        let refused = Err(ScramError::Refused("unknown-user".to_owned()));
        assert_eq!(scram_signature(b"e=unknown-user"), refused);
    }

    #[test]
    fn names_keep_their_commas() {
        assert_eq!(Scram::new("a=b,c", "N".to_owned()).first(), "n,,n=a=3Db=2Cc,r=N");
    }

    #[test]
    fn other_messages_of_a_broker_are_refused() {
        let scram = Scram::new("user", "nonce".to_owned());
        use ScramError::{Iterations, Malformed, WrongNonce};
        for (message, error) in [
            ("r=nonce2,s=c2FsdA==,i=4095", Iterations(4095)),
            ("r=nonce2,s=c2FsdA==,i=1000001", Iterations(1_000_001)),
            ("r=nonce2,s=c2FsdA==,i=4294971392", Iterations(4_294_971_392)),
            ("r=nonce2,s=c2FsdA==,i=-1", Malformed),
            ("r=nonce2,s=c2FsdA==,i=", Malformed),
            ("r=nonce2,s=c2FsdA==", Malformed),
            ("r=nonce2,s=!,i=4096", Malformed),
            ("r=nonce,s=c2FsdA==,i=4096", WrongNonce),
            ("r=another,s=c2FsdA==,i=4096", WrongNonce),
            ("m=extension,r=nonce2,s=c2FsdA==,i=4096", Malformed),
            ("s=c2FsdA==,r=nonce2,i=4096", Malformed),
            ("", Malformed),
        ] {
            assert_eq!(scram.challenge(message.as_bytes()), Err(error), "{message}");
        }
        assert_eq!(scram.challenge(b"r=nonce\xff"), Err(Malformed));
        assert!(scram.challenge(b"r=nonce2,s=c2FsdA==,i=4096,x=extension").is_ok());
        for message in ["", "v", "v=!", "w=cHJvb2Y="] {
            assert_eq!(scram_signature(message.as_bytes()), Err(Malformed), "{message}");
        }
    }

    #[test]
    fn responses_are_read_whole() {
        let response = [&7_i32.to_be_bytes()[..], &33_i16.to_be_bytes(), &2_i32.to_be_bytes()].concat();
        let names = [&5_i16.to_be_bytes()[..], b"PLAIN", &1_i16.to_be_bytes(), b"X"].concat();
        let whole = [response, names].concat();
        let mechanisms = vec!["PLAIN".to_owned(), "X".to_owned()];
        assert_eq!(handshake(&whole, 7), Ok(Handshake { error: 33, mechanisms }));
        for end in 0..whole.len() {
            assert_eq!(handshake(&whole[..end], 7), Err(Malformed));
        }
        assert_eq!(handshake(&whole, 8), Err(Malformed));

        let response =
            [&7_i32.to_be_bytes()[..], &58_i16.to_be_bytes(), &2_i16.to_be_bytes(), b"no"].concat();
        let whole = [&response[..], &1_i32.to_be_bytes(), b"!", &5000_i64.to_be_bytes()].concat();
        let error_message = Some("no".to_owned());
        let expected = Authenticated { error: 58, error_message, message: b"!", session_lifetime_ms: 5000 };
        assert_eq!(authenticated(&whole, 7), Ok(expected));
        for end in 0..whole.len() {
            assert_eq!(authenticated(&whole[..end], 7), Err(Malformed));
        }
    }
}
