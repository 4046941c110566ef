//! Connecting to a host that somebody else may have named: look up, apply the address policy,
//! connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eson_protocol::AddressPolicy;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Turns host names into addresses.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The addresses of `host`, best first.
    ///
    /// # Errors
    /// When the name has none or nobody answers.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0))
            .await?
            .map(|found| found.ip())
            .collect())
    }
}

#[async_trait]
impl Lookup for eson_names::Resolver {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.lookup_host(host).await.map_err(io::Error::other)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The host name has no address.
    #[error("the address of {host} can't be found: {cause}")]
    Lookup {
        /// The host.
        host: String,
        /// What the resolver said.
        cause: io::Error,
    },
    /// Every address is one that this peer may not send us to.
    #[error(
        "{host} is at {address}, which is not a public address; add its network to the \
         trusted-networks of that peer or registry if it is meant"
    )]
    Forbidden {
        /// The host.
        host: String,
        /// The refused address.
        address: IpAddr,
    },
    /// No permitted address accepts a connection.
    #[error("{host} port {port} does not accept a connection: {cause}")]
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the last attempt met.
        cause: io::Error,
    },
}

/// Opens TCP connections under one policy.
#[derive(Clone)]
pub struct Dialer {
    lookup: Arc<dyn Lookup>,
    policy: AddressPolicy,
    timeout: Duration,
}

impl Dialer {
    /// A dialer that looks names up with `lookup` and connects where `policy` permits.
    #[must_use]
    pub fn new(lookup: Arc<dyn Lookup>, policy: AddressPolicy) -> Self {
        Self {
            lookup,
            policy,
            timeout: Duration::from_secs(5),
        }
    }

    /// The same lookup under another policy.
    #[must_use]
    pub fn with_policy(&self, policy: AddressPolicy) -> Self {
        Self {
            policy,
            ..self.clone()
        }
    }

    /// How long one connection attempt may take.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Connects to the first permitted address of `host` that accepts.
    ///
    /// # Errors
    /// [`DialError`]; a refused address is reported before anything is sent there.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let permitted = self.permitted(host).await?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in permitted {
            match self.attempt(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(DialError::Connect {
            host: host.to_owned(),
            port,
            cause: last,
        })
    }

    async fn permitted(&self, host: &str) -> Result<Vec<IpAddr>, DialError> {
        let found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.look_up(host).await?,
        };
        let refused = found
            .iter()
            .find(|address| !self.policy.permits(**address))
            .copied();
        let permitted: Vec<_> = found
            .into_iter()
            .filter(|address| self.policy.permits(*address))
            .collect();
        match refused {
            Some(address) if permitted.is_empty() => Err(DialError::Forbidden {
                host: host.to_owned(),
                address,
            }),
            _ => Ok(permitted),
        }
    }

    async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, DialError> {
        let lookup = timeout(self.timeout, self.lookup.lookup(host)).await;
        lookup
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(|cause| DialError::Lookup {
                host: host.to_owned(),
                cause,
            })
    }

    async fn attempt(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = timeout(self.timeout, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
