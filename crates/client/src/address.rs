//! Where an FNAA listens.

use std::fmt;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

/// The name that a TLS peer's certificate must be valid for.
///
/// It need not be the host that is connected to: where the SRV record isn't DNSSEC-secure, the
/// certificate must name the namespace instead (RFC 9525, RFC 7673 for the secure case).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsName(ServerName<'static>);

/// A text that no certificate can be valid for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a DNS name nor an address, so no certificate can be valid for it")]
pub struct BadTlsName(pub String);

impl TlsName {
    /// Reads a DNS name or an address; a last dot is dropped.
    ///
    /// # Errors
    /// [`BadTlsName`].
    pub fn parse(text: &str) -> Result<Self, BadTlsName> {
        ServerName::try_from(text.trim_end_matches('.').to_owned())
            .map(Self)
            .map_err(|_| BadTlsName(text.to_owned()))
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        self.0.clone()
    }
}

impl fmt::Display for TlsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str())
    }
}

/// Where an FNAA listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// A DNS name or an address (IPv6 without brackets).
        host: String,
        /// The port.
        port: u16,
        /// The name in the peer's certificate; none is plaintext.
        tls: Option<TlsName>,
    },
    /// A Unix socket of this machine.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_people_write_it() {
        let tcp = |host: &str| Address::Tcp {
            host: host.to_owned(),
            port: 61000,
            tls: None,
        };
        assert_eq!(tcp("fnaa.unix.ar").to_string(), "fnaa.unix.ar:61000");
        assert_eq!(tcp("::1").to_string(), "[::1]:61000");
        assert_eq!(
            Address::Unix("/run/fnaad".into()).to_string(),
            "unix:/run/fnaad"
        );
    }

    #[test]
    fn certificates_name_hosts_and_addresses() {
        for good in ["fnaa.unix.ar", "fnaa.unix.ar.", "127.0.0.1", "::1"] {
            TlsName::parse(good).expect(good);
        }
        for bad in ["", "a b", "fnaa..ar"] {
            assert_eq!(TlsName::parse(bad), Err(BadTlsName(bad.to_owned())));
        }
    }
}
