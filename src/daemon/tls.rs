//! The client side of TLS over a connection of `streams.rs`, for `SSL_GET`: bytes in, bytes out, no socket of its own.
//!
//! Read first: `streams.rs`. As in keepalived, certificates are not verified: the check tests that the server answers, whatever its name.
//! TLS 1.2 and 1.3. Kept for one connection: the received part of a record, at most 18 KiB, and the handshake's state.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

/// What all connections share: algorithms, and sessions for resumption.
#[derive(Clone)]
pub(super) struct Common(Arc<ClientConfig>);

impl Common {
    pub(super) fn new() -> Result<Common, String> {
        let provider = Arc::new(ring::default_provider());
        let any = Arc::new(AnyCertificate(provider.clone()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(any)
            .with_no_client_auth();
        Ok(Common(Arc::new(config)))
    }
}

/// One connection.
pub(super) struct Tls {
    session: ClientConnection,
    connected: bool,
}

/// The result of received bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fed {
    /// These bytes completed the handshake.
    pub(super) connected: bool,
    /// The decrypted bytes.
    pub(super) plain: Vec<u8>,
    /// The peer has closed its side.
    pub(super) end: bool,
}

impl Tls {
    /// `name`: the server name of the handshake (SNI); none where it is absent or not valid in a handshake.
    pub(super) fn new(common: &Common, name: Option<&str>, addr: IpAddr) -> Result<Tls, String> {
        let name =
            name.and_then(|n| ServerName::try_from(n.to_owned()).ok()).unwrap_or(ServerName::IpAddress(addr.into()));
        let session = ClientConnection::new(common.0.clone(), name).map_err(|e| e.to_string())?;
        Ok(Tls { session, connected: false })
    }

    /// Whether the handshake is complete.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// The bytes to be sent now; empty: none.
    pub(super) fn outgoing(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.session.wants_write() {
            // Into memory: never fails.
            if self.session.write_tls(&mut out).is_err() {
                break;
            }
        }
        out
    }

    /// Encrypts `plain`; [`Tls::outgoing`] returns the records.
    pub(super) fn say(&mut self, plain: &[u8]) -> Result<(), String> {
        self.session.writer().write_all(plain).map_err(|e| e.to_string())
    }

    /// Takes received bytes. An error: the session has failed, and [`Tls::outgoing`] returns the final alert.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Fed, String> {
        let mut fed = Fed::default();
        while !bytes.is_empty() {
            if self.session.read_tls(&mut bytes).map_err(|e| e.to_string())? == 0 {
                break;
            }
            self.session.process_new_packets().map_err(|e| e.to_string())?;
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

// Accepts any certificate with any signature.
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
