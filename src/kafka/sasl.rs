//! SASL on a connection of almanac's own: PLAIN and SCRAM.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use almanac_core::protocol::reader::Malformed;
use almanac_core::protocol::sasl::{self, Challenge, Scram, ScramError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use super::access::AccessError;
use super::link::Link;

const NONCE_BYTES: usize = 24;
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const SASL_AUTHENTICATION_FAILED: i16 = 58;
/// The part of its lifetime that a session is used for: before it ends, another connection has to take over.
const USED_PERCENT: u32 = 80;

/// A user's name and password, and the mechanism that proves the password.
pub(super) struct Sasl {
    pub(super) mechanism: Mechanism,
    pub(super) username: String,
    pub(super) password: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    /// Of those that almanac has itself.
    pub(super) fn of_name(name: &str) -> Option<Mechanism> {
        let all = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];
        all.into_iter().find(|mechanism| mechanism.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Sasl {
    /// Authenticates the client. Returns when another connection should take over, if the session has an end.
    pub(super) fn authenticate(
        &self,
        link: &mut Link,
        client_id: &str,
        deadline: Instant,
    ) -> io::Result<Option<Instant>> {
        let began = Instant::now();
        let mut conversation = Conversation { link, client_id, deadline, lifetime_ms: 0 };
        conversation.choose(self.mechanism.name())?;
        match self.mechanism {
            Mechanism::Plain => drop(conversation.say(&sasl::plain(&self.username, &self.password))?),
            Mechanism::ScramSha256 => self.scram(MessageDigest::sha256(), &mut conversation)?,
            Mechanism::ScramSha512 => self.scram(MessageDigest::sha512(), &mut conversation)?,
        }
        let lifetime = u64::try_from(conversation.lifetime_ms).ok().filter(|milliseconds| *milliseconds > 0);
        // A lifetime that no clock can count is none.
        let used = lifetime.map(|milliseconds| Duration::from_millis(milliseconds / 100) * USED_PERCENT);
        Ok(used.and_then(|used| began.checked_add(used)))
    }

    fn scram(&self, digest: MessageDigest, conversation: &mut Conversation) -> io::Result<()> {
        let scram = Scram::new(&self.username, nonce()?);
        let challenge = scram.challenge(&conversation.say(scram.first().as_bytes())?).map_err(refused)?;
        let (proof, signature) = prove(digest, &self.password, &challenge)?;
        let last = conversation.say(challenge.last(&proof).as_bytes())?;
        let signed = sasl::scram_signature(&last).map_err(refused)?;
        let is_right = signed.len() == signature.len() && openssl::memcmp::eq(&signed, &signature);
        if is_right { Ok(()) } else { Err(refused(ScramError::WrongSignature)) }
    }
}

fn refused(error: ScramError) -> io::Error {
    AccessError::from(error).into()
}

/// The client's proof, and the signature that the broker must send (RFC 5802, section 3).
fn prove(
    digest: MessageDigest,
    password: &str,
    challenge: &Challenge,
) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let hmac = |key: &[u8], message: &[u8]| {
        let key = PKey::hmac(key)?;
        let mut signer = Signer::new(digest, &key)?;
        signer.update(message)?;
        signer.sign_to_vec()
    };
    let mut salted = vec![0; digest.size()];
    let iterations = challenge.iterations as usize;
    openssl::pkcs5::pbkdf2_hmac(password.as_bytes(), &challenge.salt, iterations, digest, &mut salted)?;
    let client_key = hmac(&salted, b"Client Key")?;
    let stored_key = openssl::hash::hash(digest, &client_key)?;
    let auth_message = challenge.auth_message.as_bytes();
    let client_signature = hmac(&stored_key, auth_message)?;
    let proof = client_key.iter().zip(client_signature).map(|(key, signature)| key ^ signature).collect();
    Ok((proof, hmac(&hmac(&salted, b"Server Key")?, auth_message)?))
}

fn nonce() -> Result<String, ErrorStack> {
    let mut bytes = [0; NONCE_BYTES];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// The requests and responses of one authentication.
struct Conversation<'a> {
    link: &'a mut Link,
    client_id: &'a str,
    deadline: Instant,
    /// As the broker said last.
    lifetime_ms: i64,
}

impl Conversation<'_> {
    fn choose(&mut self, mechanism: &str) -> io::Result<()> {
        let correlation = self.link.next_correlation();
        let request = sasl::handshake_request(correlation, self.client_id, mechanism);
        let response = self.link.exchange_until(&request, self.deadline)?;
        let reply = sasl::handshake(response, correlation).map_err(malformed)?;
        match reply.error {
            0 => Ok(()),
            UNSUPPORTED_SASL_MECHANISM => {
                let (wanted, supported) = (mechanism.to_owned(), reply.mechanisms.join(", "));
                Err(AccessError::Mechanism { wanted, supported }.into())
            }
            error => Err(io::Error::other(format!("the broker refused to authenticate: error {error}"))),
        }
    }

    /// Sends a message of the mechanism, and returns the broker's.
    fn say(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        let correlation = self.link.next_correlation();
        let request = sasl::authenticate_request(correlation, self.client_id, message);
        let response = self.link.exchange_until(&request, self.deadline)?;
        let reply = sasl::authenticated(response, correlation).map_err(malformed)?;
        match reply.error {
            0 => {
                self.lifetime_ms = reply.session_lifetime_ms;
                Ok(reply.message.to_vec())
            }
            SASL_AUTHENTICATION_FAILED => {
                let message = reply.error_message.unwrap_or_else(|| "the broker gave no reason".to_owned());
                Err(AccessError::Authentication { message }.into())
            }
            error => {
                Err(io::Error::other(format!("the broker can't authenticate the client: error {error}")))
            }
        }
    }
}

fn malformed(error: Malformed) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7677, and of RFC 5802 with its digest.
    #[test]
    fn proofs_are_those_of_the_standard() {
        for (digest, nonce, first, proof, signature) in [
            (
                MessageDigest::sha256(),
                "rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
            (
                MessageDigest::sha1(),
                "fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
        ] {
            let challenge = Scram::new("user", nonce.to_owned()).challenge(first.as_bytes()).unwrap();
            let (found, signed) = prove(digest, "pencil", &challenge).unwrap();
            assert_eq!(
                (STANDARD.encode(found).as_str(), STANDARD.encode(signed).as_str()),
                (proof, signature)
            );
        }
    }

    #[test]
    fn nonces_differ_and_need_no_escape() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','), "{one}");
    }
}
