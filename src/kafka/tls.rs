//! TLS on a connection of almanac's own, as librdkafka's properties describe it.
//!
//! Both use OpenSSL, and `rd_kafka_ssl_set_certs` of librdkafka is the pattern for what each property means.

use std::ffi::c_int;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslStream,
    SslVerifyMode,
};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{GeneralNameRef, X509, X509Ref, X509StoreContextRef};

use super::access::AccessError;
use super::error::{KafkaError, plain_error};
use super::wait::{wait_for_any, wait_for_room};
use crate::lock::locked;

/// The places of the certificates that systems trust, in librdkafka's order.
const CA_LOCATIONS: &[&str] = &[
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.trust.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/cacert.pem",
    "/etc/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs",
    "/usr/local/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cacert.pem",
    "/usr/local/etc/ssl/certs/cert.pem",
    "/usr/local/etc/ssl/certs/cacert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/openssl/certs/ca-certificates.crt",
];

// OpenSSL's numbers, from sslerr.h and x509_vfy.h.
const CERTIFICATE_VERIFY_FAILED: c_int = 134;
const BAD_RECORD_MAC: c_int = 281;
const UNEXPECTED_EOF: c_int = 294;
/// A record of no version of TLS, a request or an answer of HTTP, and a length that no record has.
const NOT_TLS: [c_int; 4] = [267, 156, 155, 198];
/// The reason for an alert is its number more than this.
const ALERTS_FROM: c_int = 1000;
const HOSTNAME_MISMATCH: c_int = 62;
const IP_ADDRESS_MISMATCH: c_int = 64;

// Alerts that say what has to be changed (RFC 8446, section 6.2). Others also come of damage on the way, or of a broker
// that stops.
const CERTIFICATE_ALERTS: &[(c_int, &str)] = &[
    (42, "it does not accept the client's certificate"),
    (43, "it does not support the client's certificate"),
    (44, "the client's certificate is revoked"),
    (45, "the client's certificate has expired"),
    (46, "it does not accept the client's certificate"),
    (48, "it does not know who signed the client's certificate"),
    (49, "it does not allow access with the client's certificate"),
    (116, "it requires a client certificate"),
];
const ALGORITHM_ALERTS: &[(c_int, &str)] = &[
    (40, "no cipher or signature in common"),
    (70, "no version of TLS in common"),
    (71, "it requires stronger ciphers"),
    (112, "it does not have this host name"),
];
/// How a connection ends that the other side closes.
const CLOSED: [ErrorKind; 3] = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];

pub(super) struct Tls {
    context: SslContext,
    verify: SslVerifyMode,
    /// Whether the certificate must be for the name that the client connects to.
    checks_host: bool,
}

/// A connection after its handshake.
pub(super) struct TlsStream(SslStream<TcpStream>);

impl Tls {
    /// `property` has the value of a property that is set.
    pub(super) fn new(property: &impl Fn(&str) -> Option<String>) -> Result<Tls, KafkaError> {
        let setup = |error| property_error("security.protocol", &error);
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).map_err(setup)?;
        context.set_options(SslOptions::NO_SSLV3);
        // Else each record takes two calls of the system.
        context.set_read_ahead(true);
        set_algorithms(&mut context, property)?;
        set_trusted(&mut context, property)?;
        set_certificate(&mut context, property)?;
        let verifies = property("enable.ssl.certificate.verification").as_deref() != Some("false");
        let verify = if verifies { SslVerifyMode::PEER } else { SslVerifyMode::NONE };
        let checks_host = property("ssl.endpoint.identification.algorithm").as_deref() != Some("none");
        Ok(Tls { context: context.build(), verify, checks_host })
    }

    /// Makes the handshake with a broker that the client calls `host`, on a connection that does not block.
    pub(super) fn connect(&self, host: &str, stream: TcpStream, deadline: Instant) -> io::Result<TlsStream> {
        let mut ssl = Ssl::new(&self.context)?;
        let address: Option<IpAddr> = host.parse().ok();
        if address.is_none() {
            ssl.set_hostname(host)?;
        }
        match address {
            _ if !self.checks_host => {}
            Some(address) => ssl.param_mut().set_ip(address)?,
            None => ssl.param_mut().set_host(host)?,
        }
        let seen = Arc::new(Mutex::new(None));
        let (noted, name) = (Arc::clone(&seen), host.to_owned());
        ssl.set_verify_callback(self.verify, move |is_valid, context| {
            if !is_valid {
                locked(&noted).get_or_insert_with(|| refusal(context, &name));
            }
            is_valid
        });
        let mut stream = SslStream::new(ssl, stream)?;
        while let Err(error) = stream.connect() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "no response in the TLS handshake"));
            }
            match error.code() {
                ErrorCode::WANT_READ => wait_for_any([stream.get_ref()], left)?,
                ErrorCode::WANT_WRITE => wait_for_room(stream.get_ref(), left)?,
                _ => return Err(handshake_error(error, stream.ssl(), locked(&seen).take())),
            }
        }
        Ok(TlsStream(stream))
    }
}

impl TlsStream {
    pub(super) fn socket(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.ssl_read(buffer) {
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
            read => read.map_err(|error| stream_error(error, self.0.ssl())),
        }
    }
}

impl Write for TlsStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.ssl_write(buffer).map_err(|error| stream_error(error, self.0.ssl()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn set_algorithms(
    context: &mut SslContextBuilder,
    property: &impl Fn(&str) -> Option<String>,
) -> Result<(), KafkaError> {
    type Set = fn(&mut SslContextBuilder, &str) -> Result<(), ErrorStack>;
    let setters: [(&str, Set); 3] = [
        ("ssl.cipher.suites", |context, list| context.set_cipher_list(list)),
        ("ssl.curves.list", |context, list| context.set_groups_list(list)),
        ("ssl.sigalgs.list", |context, list| context.set_sigalgs_list(list)),
    ];
    for (key, set) in setters {
        if let Some(list) = property(key) {
            set(context, &list).map_err(|error| property_error(key, &error))?;
        }
    }
    Ok(())
}

/// Sets whose certificates are trusted.
fn set_trusted(
    context: &mut SslContextBuilder,
    property: &impl Fn(&str) -> Option<String>,
) -> Result<(), KafkaError> {
    let (location, pem) = (property("ssl.ca.location"), property("ssl.ca.pem"));
    let named = location.as_deref().filter(|location| *location != "probe");
    if let Some(location) = named {
        load_trusted(context, "ssl.ca.location", location)?;
    }
    if let Some(pem) = &pem {
        let certificates = certificates("ssl.ca.pem", pem.as_bytes())?;
        for certificate in certificates {
            let added = context.cert_store_mut().add_cert(certificate);
            added.map_err(|error| property_error("ssl.ca.pem", &error))?;
        }
    }
    if named.is_none() && pem.is_none() {
        let probes = location.is_some();
        let found = probes && CA_LOCATIONS.iter().any(|location| load_if_there(context, location));
        if !found && let Err(error) = context.set_default_verify_paths() {
            tracing::debug!(%error, "no certificates of the system");
        }
    }
    if let Some(location) = property("ssl.crl.location") {
        load_trusted(context, "ssl.crl.location", &location)?;
        let set = context.cert_store_mut().set_flags(X509VerifyFlags::CRL_CHECK);
        set.map_err(|error| property_error("ssl.crl.location", &error))?;
    }
    Ok(())
}

fn load_trusted(context: &mut SslContextBuilder, key: &str, location: &str) -> Result<(), KafkaError> {
    let path = Path::new(location);
    // OpenSSL's own words for a file that is not there do not name it.
    let metadata = fs::metadata(path).map_err(|error| file_error(key, location, &error))?;
    let (file, directory) = if metadata.is_dir() { (None, Some(path)) } else { (Some(path), None) };
    let loaded = context.load_verify_locations(file, directory);
    loaded.map_err(|error| content_error(key, location, &error))
}

fn load_if_there(context: &mut SslContextBuilder, location: &str) -> bool {
    let path = Path::new(location);
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    path.exists() && !is_empty() && load_trusted(context, "ssl.ca.location", location).is_ok()
}

/// Sets the certificate and the key of the client.
fn set_certificate(
    context: &mut SslContextBuilder,
    property: &impl Fn(&str) -> Option<String>,
) -> Result<(), KafkaError> {
    let password = property("ssl.key.password");
    let file = |key: &str| {
        let location = property(key)?;
        Some(
            fs::read(&location)
                .map_err(|error| file_error(key, &location, &error))
                .map(|bytes| (location, bytes)),
        )
    };
    for key in ["ssl.certificate.location", "ssl.certificate.pem"] {
        let chain = match key {
            "ssl.certificate.pem" => property(key).map(String::into_bytes),
            _ => file(key).transpose()?.map(|(_, bytes)| bytes),
        };
        if let Some(chain) = chain {
            use_chain(context, certificates(key, &chain)?).map_err(|error| property_error(key, &error))?;
        }
    }
    for key in ["ssl.key.location", "ssl.key.pem"] {
        let pem = match key {
            "ssl.key.pem" => property(key).map(String::into_bytes),
            _ => file(key).transpose()?.map(|(_, bytes)| bytes),
        };
        if let Some(pem) = pem {
            let private = private_key(key, &pem, password.as_deref())?;
            use_key(context, &private).map_err(|error| property_error(key, &error))?;
        }
    }
    const KEYSTORE: &str = "ssl.keystore.location";
    if let Some((location, bytes)) = file(KEYSTORE).transpose()? {
        let store = Pkcs12::from_der(&bytes).map_err(|error| content_error(KEYSTORE, &location, &error))?;
        let parsed = store.parse2(property("ssl.keystore.password").as_deref().unwrap_or_default());
        let parsed = parsed.map_err(|error| property_error("ssl.keystore.password", &error))?;
        let (Some(certificate), Some(private)) = (parsed.cert, parsed.pkey) else {
            let reason = format!("{location} has no certificate with its key");
            return Err(KafkaError::Property { key: KEYSTORE.to_owned(), reason });
        };
        let chain = std::iter::once(certificate).chain(parsed.ca.into_iter().flatten()).collect();
        use_chain(context, chain)
            .and_then(|()| use_key(context, &private))
            .map_err(|error| property_error(KEYSTORE, &error))?;
    }
    Ok(())
}

/// The first certificate is the client's, the others link it to one that is trusted.
fn use_chain(context: &mut SslContextBuilder, chain: Vec<X509>) -> Result<(), ErrorStack> {
    let mut chain = chain.into_iter();
    if let Some(own) = chain.next() {
        context.set_certificate(&own)?;
    }
    chain.try_for_each(|issuer| context.add_extra_chain_cert(issuer))
}

fn use_key(context: &mut SslContextBuilder, private: &PKey<Private>) -> Result<(), ErrorStack> {
    context.set_private_key(private)?;
    context.check_private_key()
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<X509>, KafkaError> {
    let found = X509::stack_from_pem(pem).map_err(|error| property_error(key, &error))?;
    if found.is_empty() {
        let reason = "there is no certificate in PEM format".to_owned();
        return Err(KafkaError::Property { key: key.to_owned(), reason });
    }
    Ok(found)
}

fn private_key(key: &str, pem: &[u8], password: Option<&str>) -> Result<PKey<Private>, KafkaError> {
    let mut is_asked = false;
    // Without a callback of its own, OpenSSL would ask on the terminal.
    let private = PKey::private_key_from_pem_callback(pem, |buffer| {
        is_asked = true;
        let password = password.unwrap_or_default().as_bytes();
        let room = buffer.get_mut(..password.len()).ok_or_else(ErrorStack::get)?;
        room.copy_from_slice(password);
        Ok(password.len())
    });
    private.map_err(|error| match (is_asked, password) {
        (true, None) => KafkaError::Property {
            key: "ssl.key.password".to_owned(),
            reason: format!("the key of {key} is encrypted, and there is no password"),
        },
        (true, Some(_)) => property_error("ssl.key.password", &error),
        (false, _) => property_error(key, &error),
    })
}

fn property_error(key: &str, error: &ErrorStack) -> KafkaError {
    KafkaError::Property { key: key.to_owned(), reason: reason_of(error) }
}

fn content_error(key: &str, location: &str, error: &ErrorStack) -> KafkaError {
    KafkaError::Property { key: key.to_owned(), reason: format!("{location}: {}", reason_of(error)) }
}

fn file_error(key: &str, location: &str, error: &io::Error) -> KafkaError {
    let reason = format!("{location}: {}", plain_error(error));
    KafkaError::Property { key: key.to_owned(), reason }
}

/// OpenSSL's words for what it noted last, without places in its source.
fn reason_of(error: &ErrorStack) -> String {
    let reason = error.errors().last().and_then(|error| error.reason());
    reason.unwrap_or("OpenSSL gives no reason").to_owned()
}

/// Why a handshake failed. `seen` is what was wrong with the certificate, if anything.
fn handshake_error(error: Error, ssl: &SslRef, seen: Option<AccessError>) -> io::Error {
    let reasons = reasons(&error);
    let has = |reason: c_int| reasons.contains(&reason);
    if let Some(refusal) = seen.filter(|_| has(CERTIFICATE_VERIFY_FAILED)) {
        return refusal.into();
    }
    if NOT_TLS.into_iter().any(has) {
        return AccessError::NoTls.into();
    }
    match stream_error(error, ssl) {
        error if CLOSED.contains(&error.kind()) => AccessError::ClosedInHandshake.into(),
        error => error,
    }
}

/// Why a connection failed after its handshake. With TLS 1.3, the broker checks the client's certificate only then.
fn stream_error(error: Error, ssl: &SslRef) -> io::Error {
    if [ErrorCode::WANT_READ, ErrorCode::WANT_WRITE].contains(&error.code()) {
        return ErrorKind::WouldBlock.into();
    }
    let error = match error.into_io_error() {
        Ok(error) => return error,
        Err(error) => error,
    };
    let reason = reasons(&error).last().copied();
    let Some((reason, stack)) = reason.filter(|reason| *reason != UNEXPECTED_EOF).zip(error.ssl_error())
    else {
        return io::Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection");
    };
    let alert = reason - ALERTS_FROM;
    let about =
        |alerts: &[(c_int, &'static str)]| Some(alerts.iter().find(|(number, _)| *number == alert)?.1);
    if let Some(about) = about(CERTIFICATE_ALERTS) {
        let has_none = ssl.certificate().is_none();
        let about = if has_none { "it requires a client certificate" } else { about };
        return AccessError::ClientCertificate(about).into();
    }
    if let Some(about) = about(ALGORITHM_ALERTS) {
        return AccessError::NothingInCommon(about).into();
    }
    match reason >= ALERTS_FROM || reason == BAD_RECORD_MAC {
        true => io::Error::new(ErrorKind::ConnectionAborted, format!("TLS: {}", reason_of(stack))),
        false => AccessError::Handshake { reason: reason_of(stack) }.into(),
    }
}

/// OpenSSL's numbers for what went wrong, the last one last.
fn reasons(error: &Error) -> Vec<c_int> {
    let errors = error.ssl_error().map_or(&[][..], ErrorStack::errors);
    errors.iter().map(openssl::error::Error::reason_code).collect()
}

/// Notes why a certificate is not accepted.
fn refusal(context: &X509StoreContextRef, host: &str) -> AccessError {
    let error = context.error();
    let (reason, number) = (error.error_string().to_owned(), error.as_raw());
    match context.current_cert() {
        Some(certificate) if [HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH].contains(&number) => {
            AccessError::HostName { host: host.to_owned(), names: names(certificate) }
        }
        _ => AccessError::Certificate { reason, number },
    }
}

/// The names that a certificate is for.
fn names(certificate: &X509Ref) -> String {
    let alternatives = certificate.subject_alt_names();
    let mut names: Vec<String> =
        alternatives.into_iter().flatten().filter_map(|name| name_of(&name)).collect();
    if names.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        names = common.filter_map(|entry| entry.data().to_string().ok()).collect();
    }
    if names.is_empty() { "no host".to_owned() } else { names.join(", ") }
}

fn name_of(name: &GeneralNameRef) -> Option<String> {
    let address = |bytes: &[u8]| {
        let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
    };
    name.dnsname().map(str::to_owned).or_else(|| Some(address(name.ipaddress()?)?.to_string()))
}
