//! Where a socket is: of a processor, or of an FNAA or broker that it reaches.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use eson_protocol::Server;

/// `unix:PATH` or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketAddress {
    /// A Unix socket of this machine.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(Server),
}

/// A text that names no socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither unix:PATH nor HOST:PORT")]
pub struct BadAddress(pub String);

impl FromStr for SocketAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        match text.strip_prefix("unix:") {
            Some("") => Err(bad()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(server) => server.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["unix:/run/fnaad.sock", "kf1.unix.ar:9092", "[::1]:9092"] {
            let address: SocketAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_names_no_socket() {
        for text in ["", "unix:", "kf1.unix.ar", ":9092", "kf1:99999"] {
            assert_eq!(
                text.parse::<SocketAddress>(),
                Err(BadAddress(text.to_owned()))
            );
        }
    }
}
