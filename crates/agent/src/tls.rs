//! Our own certificate.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Certificate;

/// The certificate or its key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read or is no PEM.
    #[error("{} can't be read: {cause}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the reader said.
        cause: rustls::pki_types::pem::Error,
    },
    /// Certificate and key don't fit together, or are of a kind that is not supported.
    #[error("the certificate {} and its key: {cause}", file.display())]
    Unusable {
        /// The certificate's file.
        file: PathBuf,
        /// What the library said.
        cause: rustls::Error,
    },
}

/// TLS 1.2 and 1.3 with our certificate.
///
/// # Errors
/// [`CertificateError`].
pub(crate) fn server_config(certificate: &Certificate) -> Result<ServerConfig, CertificateError> {
    let file = &certificate.certificate;
    let unreadable = |file: &PathBuf| {
        let file = file.clone();
        move |cause| CertificateError::File { file, cause }
    };
    let chain = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(unreadable(file))?;
    let key = PrivateKeyDer::from_pem_file(&certificate.key);
    let key = key.map_err(unreadable(&certificate.key))?;
    let unusable = |cause| CertificateError::Unusable {
        file: file.clone(),
        cause,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)
}
