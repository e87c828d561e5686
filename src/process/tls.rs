//! TLS of a client over a connection of `streams.rs`, for `SSL_GET`: bytes in, bytes out, no socket of its own.
//!
//! Read first: `daemon/streams.rs`. TLS 1.2 and 1.3. A certificate is verified only with `verify`; keepalived never verifies one, because a
//! health check asks whether the server answers. A connection takes memory for the part of a record that has arrived, at most 18 KiB, and
//! for the state of the handshake.

use crate::config::model::lvs::Pem;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

/// What all connections share: algorithms, certificates, and sessions that are taken up again.
#[derive(Clone)]
pub struct Common(Arc<ClientConfig>);

impl Common {
    /// Reads the certificates: of a system's bundle some milliseconds, once for a configuration with `verify`. The error is for people.
    pub fn new(pem: &Pem, verify: bool) -> Result<Common, &'static str> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|_| "no common version")?;
        let builder = match verify {
            true => builder.with_root_certificates(anchors(&pem.ca)?),
            false => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        };
        let mut config = match (pem.certificate.is_empty(), pem.key.0.is_empty()) {
            (false, false) => {
                let chain = CertificateDer::pem_slice_iter(pem.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
                let chain = chain.map_err(|_| "the certificate of SSL cannot be read")?;
                let key = PrivateKeyDer::from_pem_slice(pem.key.0.as_bytes());
                let key = key.map_err(|_| "the key of SSL cannot be read")?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|_| "the certificate and the key of SSL do not fit")?
            }
            _ => builder.with_no_client_auth(),
        };
        if verify {
            // A session that is taken up again shows no certificate.
            config.resumption = Resumption::disabled();
        }
        Ok(Common(Arc::new(config)))
    }
}

fn anchors(ca: &str) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_slice_iter(ca.as_bytes());
    roots.add_parsable_certificates(all.filter_map(Result::ok));
    if roots.is_empty() { Err("there are no certificates to verify with (ca of SSL)") } else { Ok(roots) }
}

// An error for people; that of a certificate in the words that say what to do.
fn words(error: &Error) -> String {
    let Error::InvalidCertificate(certificate) = error else { return error.to_string() };
    match certificate {
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            match days {
                0 => "certificate expired today".to_owned(),
                1 => "certificate expired 1 day ago".to_owned(),
                days => format!("certificate expired {days} days ago"),
            }
        }
        CertificateError::Expired => "certificate expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate is for another name".to_owned()
        }
        CertificateError::UnknownIssuer => "certificate is signed by nobody who is known (ca of SSL)".to_owned(),
        // One that is signed by itself is mostly made as an authority's.
        CertificateError::Other(why) => format!("certificate is none of a server (signed by itself?): {}", why.0),
        other => format!("certificate: {other}"),
    }
}

/// TLS of one connection: the session, and whether the handshake has ended.
pub struct Tls {
    session: ClientConnection,
    connected: bool,
}

/// What came of bytes that were received.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// The handshake is over, by these bytes.
    pub connected: bool,
    /// The decrypted bytes that the peer sent.
    pub plain: Vec<u8>,
    /// The peer will say no more.
    pub end: bool,
}

impl Tls {
    /// `name`: the server that is asked for (SNI); without one, or with one that cannot stand in a handshake, none is.
    pub fn new(common: &Common, name: Option<&str>, addr: IpAddr) -> Result<Tls, String> {
        let name =
            name.and_then(|n| ServerName::try_from(n.to_owned()).ok()).unwrap_or(ServerName::IpAddress(addr.into()));
        let session = ClientConnection::new(common.0.clone(), name).map_err(|e| e.to_string())?;
        Ok(Tls { session, connected: false })
    }

    /// The handshake is over.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What is to be sent now; empty: nothing.
    pub fn outgoing(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.session.wants_write() {
            // Into memory.
            if self.session.write_tls(&mut out).is_err() {
                break;
            }
        }
        out
    }

    /// Says `plain`; [`Tls::outgoing`] has the records.
    pub fn say(&mut self, plain: &[u8]) -> Result<(), String> {
        self.session.writer().write_all(plain).map_err(|e| e.to_string())
    }

    /// That it ends; [`Tls::outgoing`] has the record.
    pub fn end(&mut self) {
        self.session.send_close_notify();
    }

    /// Received bytes. An error: it is over, and what [`Tls::outgoing`] has is the last word.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Fed, String> {
        let mut fed = Fed::default();
        while !bytes.is_empty() {
            if self.session.read_tls(&mut bytes).map_err(|e| e.to_string())? == 0 {
                break;
            }
            self.session.process_new_packets().map_err(|e| words(&e))?;
            let mut buf = [0; 4096];
            loop {
                match self.session.reader().read(&mut buf) {
                    Ok(0) => {
                        fed.end = true;
                        break;
                    }
                    Ok(n) => fed.plain.extend_from_slice(buf.get(..n).unwrap_or_default()),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e.to_string()),
                }
            }
        }
        if !self.connected && !self.session.is_handshaking() {
            (self.connected, fed.connected) = (true, true);
        }
        Ok(fed)
    }
}

// Whatever certificate, whatever it is signed with.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
