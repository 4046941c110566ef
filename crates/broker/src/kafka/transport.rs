//! Opening the byte stream to one broker: TCP, and TLS where the cluster speaks it.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use eson_client::DialError;
use eson_protocol::Server;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{KafkaConfig, KafkaTls};
use crate::BrokerError;

/// The stream under a connection.
pub(crate) enum Transport {
    Plaintext(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The client's side of TLS, read once.
#[derive(Clone)]
pub(crate) struct TlsClient {
    connector: TlsConnector,
    server_name: Option<String>,
}

impl TlsClient {
    pub(crate) fn new(tls: &KafkaTls, servers: &str) -> Result<Self, BrokerError> {
        let config = client_config(tls).map_err(|cause| BrokerError::Protocol {
            server: servers.to_owned(),
            cause: format!("TLS can't be set up: {cause}"),
        })?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name: tls.server_name.clone(),
        })
    }

    async fn handshake(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}

/// Connects to `server`.
pub(crate) async fn open(
    config: &KafkaConfig,
    tls: Option<&TlsClient>,
    server: &Server,
) -> Result<Transport, BrokerError> {
    let unreachable = |cause: String| BrokerError::Unreachable {
        server: server.to_string(),
        cause,
    };
    let dialled = config.dialer.connect(&server.host, server.port).await;
    let stream = dialled.map_err(|error| match error {
        DialError::Forbidden { .. } => BrokerError::Denied {
            subject: server.to_string(),
            cause: error.to_string(),
        },
        other => unreachable(other.to_string()),
    })?;
    let Some(tls) = tls else {
        return Ok(Transport::Plaintext(stream));
    };
    let handshake = timeout(config.request_timeout, tls.handshake(&server.host, stream)).await;
    let stream = handshake
        .unwrap_or_else(|late| Err(late.into()))
        .map_err(|cause| unreachable(format!("TLS: {cause}")))?;
    Ok(Transport::Tls(Box::new(stream)))
}

fn client_config(tls: &KafkaTls) -> io::Result<ClientConfig> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let Some(file) = &tls.ca_file else {
        let verifier = Verifier::new(provider).map_err(io::Error::other)?;
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth());
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in authorities(file)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn authorities(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let explain =
        |cause: &dyn std::fmt::Display| io::Error::other(format!("{}: {cause}", file.display()));
    let reader = BufReader::new(File::open(file).map_err(|cause| explain(&cause))?);
    let found: Vec<_> = CertificateDer::pem_reader_iter(reader)
        .collect::<Result<_, _>>()
        .map_err(|cause| explain(&cause))?;
    if found.is_empty() {
        return Err(explain(&"no certificate in it"));
    }
    Ok(found)
}
