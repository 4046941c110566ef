//! The client's side of TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::TlsName;

/// Whose certificates are believed: the operating system's authorities, and those in a file.
///
/// The authorities are read when the first TLS connection is made, once for all clones.
#[derive(Clone, Debug, Default)]
pub struct TlsRoots {
    extra: Option<PathBuf>,
    /// What the server is offered to speak (ALPN, RFC 7301); nothing where it is empty.
    protocol: &'static [u8],
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

/// Why the certificate authorities can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsRootsError {
    /// The file can't be read or is no PEM.
    #[error("the certificates in {} can't be read: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        cause: String,
    },
    /// The file has no certificate.
    #[error("{} has no certificate in it", .0.display())]
    Empty(PathBuf),
    /// rustls does not take them.
    #[error(
        "no certificate authorities to check servers against: {0}; install the system's \
         certificates or name a file with your own"
    )]
    Verifier(#[from] rustls::Error),
}

impl TlsRoots {
    /// The operating system's certificate authorities.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The operating system's certificate authorities, and those in a PEM file.
    #[must_use]
    pub fn with_file(path: PathBuf) -> Self {
        Self {
            extra: Some(path),
            ..Self::default()
        }
    }

    /// The same, for servers that speak `protocol`, which is told them by its name in ALPN
    /// (RFC 7301), such as `h2`.
    #[must_use]
    pub fn for_protocol(self, protocol: &'static [u8]) -> Self {
        Self {
            extra: self.extra,
            protocol,
            config: Arc::default(),
        }
    }

    /// Shakes hands over `stream` with a server that must prove to be `name`.
    ///
    /// # Errors
    /// What the handshake met; authorities that can't be read are `InvalidInput`.
    pub async fn handshake(
        &self,
        name: &TlsName,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = self
            .config()
            .map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?;
        TlsConnector::from(config)
            .connect(name.server_name(), stream)
            .await
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsRootsError> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let mut config = client_config(self.extra.as_deref())?;
        if !self.protocol.is_empty() {
            config.alpn_protocols.push(self.protocol.to_vec());
        }
        let config = Arc::new(config);
        Ok(self.config.get_or_init(|| config).clone())
    }
}

fn client_config(extra: Option<&Path>) -> Result<ClientConfig, TlsRootsError> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let extra = extra.map(certificates).transpose()?.unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(extra, provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsRootsError> {
    let unreadable = |cause: rustls::pki_types::pem::Error| TlsRootsError::File {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(TlsRootsError::Empty(path.to_owned()));
    }
    Ok(found)
}
