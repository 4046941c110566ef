//! Bytes to and from an FNAA.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::exchange::{Event, Exchange};
use crate::{Address, ClientError, Dialer, TlsName, TlsRoots};

/// How much is read at once.
const READ_SIZE: usize = 16 * 1024;

/// After how long without traffic a peer is asked whether it is still there, and how often
/// again: a followed read waits without a time-out, and must notice a peer that has vanished.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How to connect.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Looks up and connects, under an address policy.
    pub dialer: Dialer,
    /// Whose certificates are believed.
    pub roots: TlsRoots,
    /// How long each answer may take. Followed reads wait without end.
    pub timeout: Duration,
    /// Whether a password may go over a connection that is neither TLS nor within this machine.
    pub allow_plaintext: bool,
    /// Who is told what is said.
    pub exchange: Option<Arc<dyn Exchange>>,
}

impl ConnectOptions {
    /// System certificates, 30 s for each answer, no password in plaintext, nobody listens.
    #[must_use]
    pub fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            roots: TlsRoots::system(),
            timeout: Duration::from_secs(30),
            allow_plaintext: false,
            exchange: None,
        }
    }
}

/// What bytes can go over in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// Bytes to and from an FNAA.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    server: String,
    confidential: bool,
    timeout: Duration,
    exchange: Option<Arc<dyn Exchange>>,
}

impl Connection {
    /// Connects, with TLS where the address says so.
    pub(crate) async fn open(
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Self, ClientError> {
        let server = address.to_string();
        if let Some(exchange) = &options.exchange {
            exchange.event(Event::Connecting(&server));
        }
        let (stream, confidential) = open_stream(address, &server, options).await?;
        Ok(Self::over(stream, server, confidential, options))
    }

    /// Takes a stream that is there.
    pub(crate) fn over(
        stream: Box<dyn Stream>,
        server: String,
        confidential: bool,
        options: &ConnectOptions,
    ) -> Self {
        Self {
            stream,
            server,
            confidential,
            timeout: options.timeout,
            exchange: options.exchange.clone(),
        }
    }

    /// Who is at the other end, for messages.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Whether nobody on the way can read along: TLS, or within this machine.
    pub(crate) fn is_confidential(&self) -> bool {
        self.confidential
    }

    /// Whether anybody listens.
    pub(crate) fn is_observed(&self) -> bool {
        self.exchange.is_some()
    }

    /// Tells who listens.
    pub(crate) fn observe(&self, event: Event<'_>) {
        if let Some(exchange) = &self.exchange {
            exchange.event(event);
        }
    }

    /// Sends everything, within the time-out.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let sent = timeout(self.timeout, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match sent.await {
            Ok(sent) => sent.map_err(|cause| self.closed(cause)),
            Err(_) => Err(self.late("what was sent")),
        }
    }

    /// The next bytes, within the time-out. Cancel-safe.
    pub(crate) async fn receive(&mut self, what: &str) -> Result<BytesMut, ClientError> {
        match timeout(self.timeout, self.receive_patiently()).await {
            Ok(received) => received,
            Err(_) => Err(self.late(what)),
        }
    }

    /// The next bytes, however long they take. Cancel-safe.
    pub(crate) async fn receive_patiently(&mut self) -> Result<BytesMut, ClientError> {
        let mut buffer = BytesMut::with_capacity(READ_SIZE);
        match self.stream.read_buf(&mut buffer).await {
            Ok(0) => Err(ClientError::Closed {
                server: self.server.clone(),
                cause: None,
            }),
            Ok(_) => Ok(buffer),
            Err(cause) => Err(self.closed(cause)),
        }
    }

    /// Ends the connection in order; that the other end is gone already is no error.
    pub(crate) async fn close(mut self) {
        let closed = timeout(self.timeout, self.stream.shutdown()).await;
        if let Ok(Err(cause)) = closed {
            tracing::debug!(server = self.server, %cause, "closing");
        }
    }

    fn closed(&self, cause: io::Error) -> ClientError {
        // A peer that ends TLS without saying so has closed the connection, too.
        let orderly = cause.kind() == io::ErrorKind::UnexpectedEof;
        ClientError::Closed {
            server: self.server.clone(),
            cause: (!orderly).then_some(cause),
        }
    }

    fn late(&self, what: &str) -> ClientError {
        ClientError::Timeout {
            server: self.server.clone(),
            what: what.to_owned(),
            after: self.timeout,
        }
    }
}

async fn open_stream(
    address: &Address,
    server: &str,
    options: &ConnectOptions,
) -> Result<(Box<dyn Stream>, bool), ClientError> {
    match address {
        Address::Unix(path) => Ok((open_socket(path, options).await?, true)),
        Address::Tcp { host, port, tls } => {
            let stream = options.dialer.connect(host, *port).await?;
            keep_alive(&stream);
            match tls {
                None => {
                    let local = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
                    Ok((Box::new(stream), local))
                }
                Some(name) => Ok((protect(stream, server, name, options).await?, true)),
            }
        }
    }
}

async fn protect(
    stream: TcpStream,
    server: &str,
    name: &TlsName,
    options: &ConnectOptions,
) -> Result<Box<dyn Stream>, ClientError> {
    match timeout(options.timeout, options.roots.handshake(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(cause)) => Err(ClientError::Tls {
            server: server.to_owned(),
            name: name.to_string(),
            cause,
        }),
        Err(_) => Err(ClientError::Timeout {
            server: server.to_owned(),
            what: "the TLS handshake".to_owned(),
            after: options.timeout,
        }),
    }
}

#[cfg(unix)]
async fn open_socket(
    path: &std::path::Path,
    options: &ConnectOptions,
) -> Result<Box<dyn Stream>, ClientError> {
    let opened = timeout(options.timeout, tokio::net::UnixStream::connect(path)).await;
    match opened.unwrap_or_else(|late| Err(late.into())) {
        Ok(stream) => Ok(Box::new(stream)),
        Err(cause) => Err(ClientError::Socket {
            path: path.display().to_string(),
            cause,
        }),
    }
}

#[cfg(not(unix))]
async fn open_socket(
    path: &std::path::Path,
    _: &ConnectOptions,
) -> Result<Box<dyn Stream>, ClientError> {
    Err(ClientError::Socket {
        path: path.display().to_string(),
        cause: io::ErrorKind::Unsupported.into(),
    })
}

/// What can't be set is done without: only a vanished peer is then noticed later.
fn keep_alive(stream: &TcpStream) {
    let settings = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    if let Err(cause) = SockRef::from(stream).set_tcp_keepalive(&settings) {
        tracing::debug!(%cause, "no TCP keep-alive");
    }
}
