//! Keys and certificates of the tests' own authorities, as PEM and PKCS#12 files.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::stack::Stack;
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

const DAY: i64 = 24 * 60 * 60;

/// A key, its certificate, and those of who signed it.
pub struct Identity {
    pub key: PKey<Private>,
    pub chain: Vec<X509>,
}

/// What a certificate is like.
pub struct Subject<'a> {
    pub common_name: &'a str,
    pub hosts: &'a [&'a str],
    pub is_authority: bool,
    /// The days for which it is valid, from today.
    pub valid: (i64, i64),
}

impl Default for Subject<'_> {
    fn default() -> Self {
        Subject {
            common_name: "kafka",
            hosts: &["127.0.0.1", "localhost"],
            is_authority: false,
            valid: (-1, 2),
        }
    }
}

impl Identity {
    /// One that signs itself, and others.
    pub fn authority(common_name: &str) -> Identity {
        let subject = Subject { common_name, hosts: &[], is_authority: true, ..Subject::default() };
        Identity::new(&subject, None)
    }

    pub fn signed_by(issuer: &Identity, subject: &Subject) -> Identity {
        Identity::new(subject, Some(issuer))
    }

    fn new(subject: &Subject, issuer: Option<&Identity>) -> Identity {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", subject.common_name).unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let mut serial = BigNum::new().unwrap();
        serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
        builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(issuer.map_or(&name, |issuer| issuer.chain[0].subject_name())).unwrap();
        let now = jiff::Timestamp::now().as_second();
        let (from, to) = subject.valid;
        builder.set_not_before(&Asn1Time::from_unix(now + from * DAY).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(now + to * DAY).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        if subject.is_authority {
            builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        }
        if !subject.hosts.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for host in subject.hosts {
                if host.parse::<IpAddr>().is_ok() {
                    names.ip(host)
                } else {
                    names.dns(host)
                };
            }
            let names = names.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(names).unwrap();
        }
        builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).unwrap();
        let above = issuer.map(|issuer| issuer.chain.clone()).unwrap_or_default();
        Identity { key, chain: std::iter::once(builder.build()).chain(above).collect() }
    }

    /// The certificates, the own one first.
    pub fn certificates(&self) -> String {
        self.chain.iter().map(|one| String::from_utf8(one.to_pem().unwrap()).unwrap()).collect()
    }

    pub fn private_key(&self) -> String {
        String::from_utf8(self.key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    pub fn encrypted_key(&self, password: &str) -> String {
        let cipher = Cipher::aes_256_cbc();
        let pem = self.key.private_key_to_pem_pkcs8_passphrase(cipher, password.as_bytes()).unwrap();
        String::from_utf8(pem).unwrap()
    }

    pub fn keystore(&self, password: &str) -> Vec<u8> {
        let mut above = Stack::new().unwrap();
        self.chain[1..].iter().for_each(|one| above.push(one.clone()).unwrap());
        let mut store = Pkcs12::builder();
        store.name("kafka").pkey(&self.key).cert(&self.chain[0]).ca(above);
        store.build2(password).unwrap().to_der().unwrap()
    }

    /// Writes the key and the certificates in one file, as Kafka reads them.
    pub fn write(&self, path: PathBuf) -> PathBuf {
        write(path, self.private_key() + &self.certificates())
    }
}

pub fn write(path: PathBuf, content: impl AsRef<[u8]>) -> PathBuf {
    fs::write(&path, content).unwrap();
    path
}

/// The server properties that give a listener this file of a key and certificates.
pub fn pem_keystore(prefix: &str, path: &Path) -> [String; 2] {
    [format!("{prefix}ssl.keystore.type=PEM"), format!("{prefix}ssl.keystore.location={}", path.display())]
}

/// The server properties that have a listener trust the certificates of this file.
pub fn pem_truststore(prefix: &str, path: &Path) -> [String; 2] {
    [
        format!("{prefix}ssl.truststore.type=PEM"),
        format!("{prefix}ssl.truststore.location={}", path.display()),
    ]
}
