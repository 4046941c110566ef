//! Listening for FNAP: TCP, TLS from the first byte, and a Unix socket for our own processors.

use std::fs::Permissions;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eson_identity::ConnectionSecurity;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, Peer};
use super::{Admission, Logins};
use crate::agent::Ending;
use crate::config::{Certificate, Listener};
use crate::participant::Participant;

/// After an error of the system (too many open files, for one) there is nothing to do but to let
/// some connections end.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// After how long without traffic a client is asked whether it is still there, and how often again.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can't be listened on.
    #[error("listen.address {address}: {cause}; is another server there?")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The socket for processors can't be made.
    #[error("the socket {}: {cause}", path.display())]
    Unix {
        /// The path.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The certificate or its key can't be used.
    #[error("listen.tls: {0}")]
    Tls(#[from] crate::tls::CertificateError),
}

/// Bound sockets, not yet served.
pub(crate) struct Listeners {
    tcp: Vec<(TcpListener, Option<TlsAcceptor>, ConnectionSecurity)>,
    unix: UnixListener,
}

/// What every connection is given.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) participant: Arc<Participant>,
    pub(crate) logins: Logins,
    pub(crate) admission: Admission,
    pub(crate) ending: Ending,
    /// Tells that users may have changed.
    pub(crate) reloads: watch::Receiver<()>,
}

impl Listeners {
    /// Binds everything, so that what is wrong is known before anything is served.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(crate) async fn bind(listeners: &[Listener], socket: &Path) -> Result<Self, ListenError> {
        let mut tcp = Vec::new();
        for listener in listeners {
            let address = listener.address;
            let bound = TcpListener::bind(address).await;
            let bound = bound.map_err(|cause| ListenError::Tcp { address, cause })?;
            let acceptor = listener.tls.as_ref().map(acceptor).transpose()?;
            tcp.push((bound, acceptor, security(listener)));
        }
        let unix = bind_unix(socket);
        let path = socket.to_owned();
        Ok(Self {
            tcp,
            unix: unix.map_err(|cause| ListenError::Unix { path, cause })?,
        })
    }

    /// Serves until the FNAA is asked to end; the connections end by themselves then, or are cut off.
    pub(crate) fn serve(self, service: &Service, tasks: &TaskTracker) {
        for (listener, acceptor, security) in self.tcp {
            let accept = accept_tcp(listener, acceptor, security, service.clone(), tasks.clone());
            tasks.spawn(
                service
                    .ending
                    .asked
                    .clone()
                    .run_until_cancelled_owned(accept),
            );
        }
        let accept = accept_unix(self.unix, service.clone(), tasks.clone());
        tasks.spawn(
            service
                .ending
                .asked
                .clone()
                .run_until_cancelled_owned(accept),
        );
    }
}

fn security(listener: &Listener) -> ConnectionSecurity {
    match (&listener.tls, listener.plaintext_auth) {
        (Some(_), _) => ConnectionSecurity::Protected,
        (None, true) => ConnectionSecurity::PlaintextAllowed,
        (None, false) => ConnectionSecurity::Plaintext,
    }
}

fn acceptor(certificate: &Certificate) -> Result<TlsAcceptor, ListenError> {
    Ok(TlsAcceptor::from(Arc::new(crate::tls::server_config(
        certificate,
    )?)))
}

/// Only our own processors, which run as the same user, may connect. One fnaad at a time has the
/// state directory, so that a socket that is there was left behind.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept_tcp(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    security: ConnectionSecurity,
    service: Service,
    tasks: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let service = service.clone();
                tasks.spawn(welcome(
                    stream,
                    address.ip(),
                    acceptor.clone(),
                    security,
                    service,
                ));
            }
            Err(error) => {
                tracing::error!(%error, "a connection can't be accepted");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn accept_unix(listener: UnixListener, service: Service, tasks: TaskTracker) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let peer = Peer {
                    address: None,
                    security: ConnectionSecurity::Protected,
                };
                tasks.spawn(Connection::run(stream, peer, service.clone()));
            }
            Err(error) => {
                tracing::error!(%error, "a processor's connection can't be accepted");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// Admits a connection, shakes hands where TLS is spoken, and runs the session.
async fn welcome(
    stream: TcpStream,
    address: IpAddr,
    acceptor: Option<TlsAcceptor>,
    security: ConnectionSecurity,
    service: Service,
) {
    let limits = service.participant.limits();
    let _place = match service.admission.admit(address, &limits) {
        Ok(place) => place,
        Err(status) => return turn_away(stream, &status.to_string()).await,
    };
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%address, %error, "the connection is gone already");
        return;
    }
    let peer = Peer {
        address: Some(address),
        security,
    };
    let Some(acceptor) = acceptor else {
        return Connection::run(stream, peer, service).await;
    };
    let handshake = tokio::time::timeout(limits.unauthenticated_time, acceptor.accept(stream));
    let ending = service.ending.asked.clone();
    match ending.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => Connection::run(stream, peer, service).await,
        Some(Ok(Err(error))) => tracing::debug!(%address, %error, "no TLS handshake"),
        Some(Err(_)) => tracing::debug!(%address, "the TLS handshake took too long"),
        None => tracing::debug!(%address, "the TLS handshake is too late"),
    }
}

/// Answers go out at once. A client that has vanished is noticed also where nothing is sent to it, as
/// while a quiet flow is followed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Says why, as far as the connection takes it at once.
async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str) {
    let line = format!("{status}\r\n");
    let farewell = async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await
    };
    match tokio::time::timeout(AFTER_ERROR, farewell).await {
        Ok(Ok(())) => {}
        _ => tracing::debug!("a connection that was turned away did not wait for the reason"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_has_vanished_is_asked_for() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        prepare(&stream).expect("settings that are there");
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("known"));
        assert_eq!(socket.tcp_keepalive_time().expect("known"), KEEPALIVE);
    }
}
