//! A name server in this process, for a quick start and for private views: authoritative over
//! UDP and TCP, changed without going over the wire.

mod handler;
mod zone;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use eson_protocol::Name;
use hickory_proto::rr::rdata::NS;
use hickory_proto::rr::{LowerName, RData, Record as WireRecord};
use hickory_server::Server;
use tokio::net::{TcpListener, UdpSocket};

use self::handler::{Handler, Zones};
use self::zone::Zone;
use crate::change::Change;
use crate::publish::{FlowRecords, NamespaceRecords};
use crate::record::Record;
use crate::registrar::{RegisterError, Registrar, ZoneCheck};
use crate::wire::{self, BadName};

/// How long others remember that a name does not exist, in seconds: a flow that was asked for
/// before it was created is found soon.
const NEGATIVE_TTL: u32 = 5;

/// The time to live of the SOA and NS records, in seconds.
const ZONE_TTL: u32 = 60;

/// How long a silent TCP connection is kept.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);

/// How many answers wait for a client that reads slowly, at most.
const TCP_BACKLOG: usize = 32;

/// How often a port that is free for TCP but not for UDP is given back and another one taken.
const BIND_ATTEMPTS: usize = 16;

/// A zone to serve.
#[derive(Clone, Debug)]
pub struct EmbeddedZone {
    /// The zone's name.
    pub zone: Name,
    /// The name that the NS and SOA records give this server.
    pub server: Name,
    /// Records that stay as they are, such as [`HostRecords`](crate::HostRecords).
    pub records: Vec<Record>,
}

/// Why the embedded server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The address can't be used.
    #[error("the embedded name server can't listen on {address}: {cause}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system says.
        cause: io::Error,
    },
    /// A record lies in no zone.
    #[error("the record {0} lies in none of the embedded name server's zones")]
    OutsideZones(String),
    /// A name does not fit in DNS.
    #[error("the record name {name} does not fit in DNS: {why}")]
    BadName {
        /// The name in presentation form.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<BadName> for EmbeddedError {
    fn from(BadName { name, why }: BadName) -> Self {
        Self::BadName { name, why }
    }
}

/// A server. It ends when it is dropped; [`EmbeddedServer::shutdown`] also waits.
pub struct EmbeddedServer {
    server: Server<Handler>,
    /// Until it serves.
    sockets: Option<(UdpSocket, TcpListener)>,
    address: SocketAddr,
    zones: Zones,
}

impl EmbeddedServer {
    /// Serves `zones` on UDP and TCP at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`EmbeddedError`] when the address is taken or a record lies outside the zones.
    pub async fn start(
        address: SocketAddr,
        zones: Vec<EmbeddedZone>,
    ) -> Result<Self, EmbeddedError> {
        let mut server = Self::bind(address, zones).await?;
        server.serve();
        Ok(server)
    }

    /// Takes UDP and TCP at `address`, but answers nobody before [`EmbeddedServer::serve`]: who asks
    /// meanwhile waits, instead of being told that what is still to be registered does not exist.
    ///
    /// # Errors
    /// As [`EmbeddedServer::start`].
    pub async fn bind(
        address: SocketAddr,
        zones: Vec<EmbeddedZone>,
    ) -> Result<Self, EmbeddedError> {
        let zones = Arc::new(RwLock::new(load(zones)?));
        let (udp, tcp) = bind(address).await?;
        let server = Server::new(Handler {
            zones: Arc::clone(&zones),
        });
        let address = udp
            .local_addr()
            .map_err(|cause| EmbeddedError::Bind { address, cause })?;
        Ok(Self {
            server,
            sockets: Some((udp, tcp)),
            address,
            zones,
        })
    }

    /// Answers from now on, also who has asked since it was bound. Does nothing the second time.
    pub fn serve(&mut self) {
        if let Some((udp, tcp)) = self.sockets.take() {
            self.server.register_socket(udp);
            self.server.register_listener(tcp, TCP_TIMEOUT, TCP_BACKLOG);
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The registrar that changes its zones. It goes on working when the server has ended, but
    /// nobody sees it then.
    #[must_use]
    pub fn registrar(&self) -> EmbeddedRegistrar {
        EmbeddedRegistrar {
            zones: Arc::clone(&self.zones),
        }
    }

    /// Ends the server and waits until its sockets are closed.
    ///
    /// # Errors
    /// When one of its tasks has failed.
    pub async fn shutdown(mut self) -> io::Result<()> {
        let ended = self.server.shutdown_gracefully().await;
        ended.map_err(|error| io::Error::other(error.to_string()))
    }
}

impl fmt::Debug for EmbeddedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn load(zones: Vec<EmbeddedZone>) -> Result<Vec<Zone>, EmbeddedError> {
    let mut records = Vec::new();
    let mut loaded = Vec::with_capacity(zones.len());
    for EmbeddedZone {
        zone,
        server,
        records: own,
    } in zones
    {
        let origin = wire::name(&format!("{zone}."))?;
        let server = wire::name(&format!("{server}."))?;
        let mut zone = Zone::new(origin.clone(), server.clone(), ZONE_TTL, NEGATIVE_TTL);
        zone.insert(WireRecord::from_rdata(
            origin,
            ZONE_TTL,
            RData::NS(NS(server)),
        ));
        loaded.push(zone);
        records.extend(own);
    }
    for record in &records {
        let record = wire::record(record)?;
        let outside = || EmbeddedError::OutsideZones(record.name.to_ascii());
        let zone = closest_mut(&mut loaded, &LowerName::new(&record.name));
        zone.ok_or_else(outside)?.insert(record);
    }
    Ok(loaded)
}

fn closest_mut<'a>(zones: &'a mut [Zone], name: &LowerName) -> Option<&'a mut Zone> {
    let holding = zones.iter_mut().filter(|zone| zone.origin().zone_of(name));
    holding.max_by_key(|zone| zone.origin().num_labels())
}

/// One port for both: the kernel picks it for TCP, and UDP takes the same.
async fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener), EmbeddedError> {
    let mut attempts = if address.port() == 0 {
        BIND_ATTEMPTS
    } else {
        1
    };
    loop {
        match bind_both(address).await {
            Ok(bound) => return Ok(bound),
            Err(cause) if attempts == 1 => return Err(EmbeddedError::Bind { address, cause }),
            Err(_) => attempts -= 1,
        }
    }
}

async fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(address).await?;
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok((udp, tcp))
}

/// Changes the zones of an [`EmbeddedServer`] in process.
#[derive(Clone)]
pub struct EmbeddedRegistrar {
    zones: Zones,
}

impl EmbeddedRegistrar {
    fn with_zone<T>(
        &self,
        namespace: &Name,
        change: impl FnOnce(&mut Zone) -> Result<T, RegisterError>,
    ) -> Result<T, RegisterError> {
        let name = LowerName::new(&wire::name(&format!("{namespace}."))?);
        let mut zones = self.zones.write().unwrap_or_else(PoisonError::into_inner);
        match closest_mut(&mut zones, &name) {
            Some(zone) => change(zone),
            None => Err(RegisterError::NoZone(namespace.clone())),
        }
    }

    fn apply(&self, namespace: &Name, change: &Change) -> Result<(), RegisterError> {
        self.with_zone(namespace, |zone| zone.apply(change))
    }
}

impl fmt::Debug for EmbeddedRegistrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedRegistrar").finish_non_exhaustive()
    }
}

#[async_trait]
impl Registrar for EmbeddedRegistrar {
    async fn register(&self, records: &FlowRecords) -> Result<(), RegisterError> {
        self.apply(&records.namespace, &Change::register(records)?)
    }

    async fn unregister(&self, records: &FlowRecords) -> Result<(), RegisterError> {
        self.apply(&records.namespace, &Change::unregister(records)?)
    }

    async fn register_namespace(&self, records: &NamespaceRecords) -> Result<(), RegisterError> {
        self.apply(&records.namespace, &Change::register_namespace(records)?)
    }

    async fn unregister_namespace(&self, records: &NamespaceRecords) -> Result<(), RegisterError> {
        self.apply(&records.namespace, &Change::unregister_namespace(records)?)
    }

    async fn check(&self, namespace: &Name) -> Result<ZoneCheck, RegisterError> {
        self.with_zone(namespace, |zone| {
            Ok(ZoneCheck {
                zone: wire::without_dot(&zone.origin().clone().into()),
                negative_ttl: zone.negative_ttl(),
            })
        })
    }
}
