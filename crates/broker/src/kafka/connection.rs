//! One connection to one broker: requests are pipelined, answers come in the same order.

mod halves;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use eson_protocol::Server;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::halves::{Failure, Outgoing, Waiting, spawn};
use super::config::KafkaConfig;
use super::error::Subject;
use super::frames::Frames;
use super::sasl;
use super::transport::{self, TlsClient, Transport};
use crate::BrokerError;

/// A connection that has agreed on versions and is logged in.
///
/// Its two tasks end when it is dropped, and when either meets an error; then every request that
/// waits fails and [`Connection::is_closed`] says so.
pub(crate) struct Connection {
    server: String,
    user: String,
    client_id: StrBytes,
    request_timeout: Duration,
    versions: HashMap<i16, VersionRange>,
    transaction_version: i16,
    next_correlation: AtomicI32,
    /// Counts the requests of all connections to the cluster.
    requests: Arc<AtomicU64>,
    outgoing: mpsc::Sender<Outgoing>,
    failure: Arc<Failure>,
    tasks: [AbortHandle; 2],
}

/// An answer that has not arrived yet.
pub(crate) struct PendingResponse {
    server: String,
    header_version: i16,
    reply: oneshot::Receiver<Bytes>,
    failure: Arc<Failure>,
}

impl Connection {
    /// Connects to `server`, asks what it can do and logs in. What is sent is counted in `requests`.
    pub(crate) async fn open(
        config: &KafkaConfig,
        tls: Option<&TlsClient>,
        server: &Server,
        requests: Arc<AtomicU64>,
    ) -> Result<Self, BrokerError> {
        let transport = transport::open(config, tls, server).await?;
        let mut connection = Self::start(config, server, transport, requests);
        let abilities = connection.negotiate().await?;
        connection.transaction_version = transaction_version(&abilities);
        connection.versions = versions(&abilities);
        if let Some(login) = &config.sasl {
            sasl::log_in(&connection, login).await?;
        }
        Ok(connection)
    }

    pub(super) fn start(
        config: &KafkaConfig,
        server: &Server,
        transport: Transport,
        requests: Arc<AtomicU64>,
    ) -> Self {
        let failure = Arc::new(Failure::default());
        let (outgoing, tasks) = match transport {
            Transport::Plaintext(stream) => spawn(stream.into_split(), &failure),
            Transport::Tls(stream) => spawn(tokio::io::split(stream), &failure),
        };
        Self {
            server: server.to_string(),
            user: config
                .sasl
                .as_ref()
                .map_or_else(|| "anonymous".to_owned(), |login| login.username.clone()),
            client_id: StrBytes::from_string(config.client_id.clone()),
            request_timeout: config.request_timeout,
            versions: HashMap::new(),
            transaction_version: 0,
            next_correlation: AtomicI32::new(0),
            requests,
            outgoing,
            failure,
            tasks,
        }
    }

    /// KIP-35: what the broker speaks, and KIP-584: what the cluster has switched on.
    async fn negotiate(&self) -> Result<ApiVersionsResponse, BrokerError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("eson"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let response = self.call_version(&request, 3, self.request_timeout).await?;
        self.subject("").check(response.error_code, None)?;
        Ok(response)
    }

    /// The level of the cluster's feature `transaction.version`: from 2 on partitions join a
    /// transaction when they are written to, and each transaction has an epoch of its own
    /// (KIP-890).
    pub(crate) fn transaction_version(&self) -> i16 {
        self.transaction_version
    }

    /// Whether it has ended: another one has to be opened.
    pub(crate) fn is_closed(&self) -> bool {
        self.failure.is_set()
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// What error messages about `queue` are made from.
    pub(crate) fn subject<'a>(&'a self, queue: &'a str) -> Subject<'a> {
        Subject {
            server: &self.server,
            user: &self.user,
            queue,
        }
    }

    /// The newest version of an API that both sides speak, at most `newest`.
    pub(crate) fn version<R: Request>(&self, newest: i16) -> Result<i16, BrokerError> {
        let ours = R::VERSIONS.intersect(&R::Response::VERSIONS);
        let common = self
            .versions
            .get(&R::KEY)
            .map(|theirs| theirs.intersect(&ours));
        match common {
            Some(common) if common.min <= common.max.min(newest) => Ok(common.max.min(newest)),
            _ => Err(BrokerError::Unsupported {
                kind: "kafka".to_owned(),
                what: format!(
                    "speak a common version of {:?}; Kafka 2.8 or newer is needed",
                    ApiKey::try_from(R::KEY)
                ),
            }),
        }
    }

    /// Sends a request in the newest version and waits for its answer.
    pub(crate) async fn call<R: Request>(&self, request: &R) -> Result<R::Response, BrokerError> {
        let version = self.version::<R>(i16::MAX)?;
        self.call_version(request, version, self.request_timeout)
            .await
    }

    /// Sends a request in one version and waits at most `wait` for its answer.
    pub(crate) async fn call_version<R: Request>(
        &self,
        request: &R,
        version: i16,
        wait: Duration,
    ) -> Result<R::Response, BrokerError> {
        let mut body = BytesMut::new();
        request
            .encode(&mut body, version)
            .map_err(|cause| self.broken(format!("request can't be encoded: {cause}")))?;
        self.call_encoded::<R>(version, body.freeze().into(), wait)
            .await
    }

    /// The same for a request whose body is encoded already. Where as many requests as may be are on
    /// their way, it waits for its turn.
    pub(crate) async fn call_encoded<R: Request>(
        &self,
        version: i16,
        frames: Frames,
        wait: Duration,
    ) -> Result<R::Response, BrokerError> {
        let (outgoing, pending) = self.prepare::<R>(version, frames)?;
        let sent = self.outgoing.send(outgoing).await;
        sent.map_err(|_| self.failed())?;
        pending.receive_within::<R>(version, self, wait).await
    }

    /// Sends a request whose body is encoded already, without waiting: for those who never have more
    /// than a few requests on their way on a connection of their own. The answer is waited for apart,
    /// so that more can be sent meanwhile.
    pub(crate) fn try_send<R: Request>(
        &self,
        version: i16,
        frames: Frames,
    ) -> Result<PendingResponse, BrokerError> {
        let (outgoing, pending) = self.prepare::<R>(version, frames)?;
        let sent = self.outgoing.try_send(outgoing);
        sent.map_err(|_| self.failed())?;
        Ok(pending)
    }

    fn prepare<R: Request>(
        &self,
        version: i16,
        mut frames: Frames,
    ) -> Result<(Outgoing, PendingResponse), BrokerError> {
        let correlation = self.next_correlation.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let header = self.header::<R>(version, correlation, frames.len())?;
        frames.push_front(header);
        let (reply, receiver) = oneshot::channel();
        let waiting = Waiting { correlation, reply };
        let pending = PendingResponse {
            server: self.server.clone(),
            header_version: R::Response::header_version(version),
            reply: receiver,
            failure: self.failure.clone(),
        };
        Ok((Outgoing { frames, waiting }, pending))
    }

    fn header<R: Request>(
        &self,
        version: i16,
        correlation: i32,
        body: usize,
    ) -> Result<Bytes, BrokerError> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(Some(self.client_id.clone()));
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_i32(0);
        header
            .encode(&mut bytes, R::header_version(version))
            .map_err(|cause| self.broken(format!("request header: {cause}")))?;
        let size = i32::try_from(bytes.len() - 4 + body)
            .map_err(|_| self.broken("a request of more than 2 GiB".to_owned()))?;
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        Ok(bytes.freeze())
    }

    /// Ends it, because of `cause`.
    pub(crate) fn close(&self, cause: String) {
        self.failure.set(cause);
        self.tasks.iter().for_each(AbortHandle::abort);
    }

    fn failed(&self) -> BrokerError {
        self.failure.error(&self.server)
    }

    pub(crate) fn broken(&self, cause: String) -> BrokerError {
        BrokerError::Protocol {
            server: self.server.clone(),
            cause,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl PendingResponse {
    /// Waits for the answer. When none comes in time the connection is closed: no later answer
    /// could come on it either.
    pub(crate) async fn receive_within<R: Request>(
        self,
        version: i16,
        connection: &Connection,
        wait: Duration,
    ) -> Result<R::Response, BrokerError> {
        let Ok(response) = timeout(wait, self.receive::<R>(version)).await else {
            connection.close(format!("no answer within {wait:?}"));
            return Err(connection.failed());
        };
        response
    }

    async fn receive<R: Request>(self, version: i16) -> Result<R::Response, BrokerError> {
        let Ok(mut bytes) = self.reply.await else {
            return Err(self.failure.error(&self.server));
        };
        ResponseHeader::decode(&mut bytes, self.header_version)
            .and_then(|_| R::Response::decode(&mut bytes, version))
            .map_err(|cause| BrokerError::Protocol {
                server: self.server,
                cause: format!("an answer that can't be decoded: {cause}"),
            })
    }
}

/// The ranges of versions that the broker speaks, by the API's key.
fn versions(abilities: &ApiVersionsResponse) -> HashMap<i16, VersionRange> {
    let range = |min, max| VersionRange { min, max };
    let keys = abilities.api_keys.iter();
    keys.map(|api| (api.api_key, range(api.min_version, api.max_version)))
        .collect()
}

fn transaction_version(abilities: &ApiVersionsResponse) -> i16 {
    let mut features = abilities.finalized_features.iter();
    let found = features.find(|feature| &*feature.name == "transaction.version");
    found.map_or(0, |feature| feature.max_version_level)
}
