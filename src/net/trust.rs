//! Verifies server certificates where the operator names additional ones in `ca_file`.
//!
//! Guards: the usual verification runs first. A certificate that it refuses is accepted only if `ca_file` contains exactly
//! this certificate, it is valid today and it holds the host's name. A self-signed certificate so works like a CA.
//! Not here: the text of a refusal (`tls_error`).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use webpki::{EndEntityCert, KeyUsage};

use super::error::ClientError;

/// The TLS settings of a client that trusts `pem` in addition to the system's certificates.
pub(super) fn tls_trusting(pem: &[u8]) -> Result<ClientConfig, ClientError> {
    let named: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| ClientError::Roots(error.to_string()))?;
    if named.is_empty() {
        return Err(ClientError::Roots("it has no `BEGIN CERTIFICATE`".to_owned()));
    }
    let broken = |error: Error| ClientError::Build(error.to_string());
    let provider = CryptoProvider::get_default()
        .ok_or_else(|| ClientError::Build("this build has no TLS provider".to_owned()))?;
    let usual = Verifier::new_with_extra_roots(named.iter().cloned(), Arc::clone(provider))
        .map_err(|error| ClientError::Roots(error.to_string()))?;
    let verifier = CaFileVerifier { usual, named, algorithms: provider.signature_verification_algorithms };
    let mut tls = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

#[derive(Debug)]
struct CaFileVerifier {
    /// Trusts the system's certificates, and those of `ca_file` as CAs.
    usual: Verifier,
    /// The certificates of `ca_file`.
    named: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CaFileVerifier {
    /// Whether the only defect of the certificate is a missing issuer, or that it is a CA certificate.
    fn lacks_only_an_issuer(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
        // No trust anchors are given. webpki checks the dates before it reports these two reasons, and a test proves that.
        let verdict = certificate.verify_for_usage(
            self.algorithms.all,
            &[],
            &[],
            now,
            KeyUsage::server_auth(),
            None,
            None,
        );
        matches!(verdict, Err(webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity))
    }
}

impl ServerCertVerifier for CaFileVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let is_named = self.named.iter().any(|named| named.as_ref() == end_entity.as_ref());
        if usual.is_ok() || !is_named || !self.lacks_only_an_issuer(end_entity, now) {
            return usual;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
