//! The socket that a processor is reached at.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eson_protocol::Server;
use futures::stream::{Stream, poll_fn};
use tokio::net::{TcpListener, UnixListener};
use tonic::transport::server::Router;

use crate::{Processors, Service, SocketAddress};

/// The socket that a processor is reached at.
///
/// A Unix socket belongs to this user alone (mode 0600) and is removed when dropped. A TCP port
/// asks nobody who he is, and whoever reaches it can make the processor connect anywhere: it is
/// for loopback, or for a network where only the FNAA is.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener),
}

/// Removes the socket's file when dropped, unless another one has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Somebody listens there already.
    #[error("another processor listens at {0}; stop it or choose another address")]
    InUse(SocketAddress),
    /// What is there is no socket, and is left alone.
    #[error("{} is there already and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("can't listen at {address}: {cause}")]
    Refused {
        /// Where.
        address: SocketAddress,
        /// What the system said.
        cause: io::Error,
    },
}

impl Listener {
    /// Listens at `address`. A Unix socket that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(address: &SocketAddress) -> Result<Self, ListenError> {
        let refused = |cause: io::Error| match cause.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
            _ => ListenError::Refused {
                address: address.clone(),
                cause,
            },
        };
        let socket = match address {
            SocketAddress::Tcp(Server { host, port }) => {
                Socket::Tcp(TcpListener::bind((&**host, *port)).await.map_err(refused)?)
            }
            SocketAddress::Unix(path) => {
                clear(path, address)?;
                let (listener, file) = bind_private(path).map_err(refused)?;
                Socket::Unix(listener, file)
            }
        };
        Ok(Self { socket })
    }

    /// The TCP port, where it is one: useful after asking for port 0.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn port(&self) -> io::Result<Option<u16>> {
        match &self.socket {
            Socket::Unix(..) => Ok(None),
            Socket::Tcp(listener) => Ok(Some(listener.local_addr()?.port())),
        }
    }

    /// Serves until `end`, then finishes the calls that are under way. Watchers, who would
    /// never finish, are cut off when the returned future is dropped.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn serve(
        self,
        processors: Arc<Processors>,
        end: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error> {
        let router: Router =
            tonic::transport::Server::builder().add_service(Service::new(processors).into_server());
        match self.socket {
            Socket::Tcp(listener) => {
                router
                    .serve_with_incoming_shutdown(tcp_connections(listener), end)
                    .await
            }
            Socket::Unix(listener, _file) => {
                router
                    .serve_with_incoming_shutdown(unix_connections(listener), end)
                    .await
            }
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |found: Metadata| found.ino() == self.inode;
        if !std::fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "can't remove the socket");
        }
    }
}

/// Removes a socket that nobody listens at.
fn clear(path: &Path, address: &SocketAddress) -> Result<(), ListenError> {
    let refused = |cause| ListenError::Refused {
        address: address.clone(),
        cause,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match BlockingUnixStream::connect(path) {
        Ok(_) => Err(ListenError::InUse(address.clone())),
        Err(_) => std::fs::remove_file(path).map_err(refused),
    }
}

/// Binds under another name and moves the socket into place once its mode is set, so that nobody
/// else can connect in between.
fn bind_private(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    // Short, because the system takes no more than a hundred bytes.
    let temporary = path.with_file_name(format!(".{}", std::process::id()));
    let listener = UnixListener::bind(&temporary)?;
    let place = || {
        std::fs::set_permissions(&temporary, Permissions::from_mode(0o600))?;
        std::fs::rename(&temporary, path)?;
        std::fs::symlink_metadata(path)
    };
    let placed = place().inspect_err(|_| drop(std::fs::remove_file(&temporary)));
    let file = SocketFile {
        path: path.to_owned(),
        inode: placed?.ino(),
    };
    Ok((listener, file))
}

fn tcp_connections(listener: TcpListener) -> impl Stream<Item = io::Result<tokio::net::TcpStream>> {
    poll_fn(move |context| {
        let accepted = listener.poll_accept(context);
        accepted.map(|connection| Some(connection.map(|(stream, _)| stream)))
    })
}

fn unix_connections(
    listener: UnixListener,
) -> impl Stream<Item = io::Result<tokio::net::UnixStream>> {
    poll_fn(move |context| {
        let accepted = listener.poll_accept(context);
        accepted.map(|connection| Some(connection.map(|(stream, _)| stream)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &Path) -> SocketAddress {
        SocketAddress::Unix(path.to_owned())
    }

    #[tokio::test]
    async fn a_socket_is_private_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("processor.sock");
        let listener = Listener::bind(&unix(&path)).await.expect("listening");
        let mode = path.metadata().expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let error = Listener::bind(&unix(&path)).await.expect_err("taken");
        assert!(matches!(error, ListenError::InUse(_)), "{error}");

        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let stale = directory.path().join("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&stale).expect("listening"));
        assert!(stale.exists());
        Listener::bind(&unix(&stale)).await.expect("listening");

        let file = directory.path().join("file");
        std::fs::write(&file, "precious").expect("written");
        let error = Listener::bind(&unix(&file)).await.expect_err("a file");
        assert!(matches!(error, ListenError::NoSocket(_)), "{error}");
        assert_eq!(std::fs::read(&file).expect("still there"), b"precious");
    }

    #[tokio::test]
    async fn a_port_is_told() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(&address).await.expect("listening");
        assert!(
            listener
                .port()
                .expect("a port")
                .is_some_and(|port| port > 0)
        );
    }
}
