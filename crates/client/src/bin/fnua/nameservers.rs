//! Whom to ask about names.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::failure::{Failure, Kind};

/// The port of DNS.
const PORT: u16 = 53;

/// Where Unix systems name their name servers (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The name servers that `chosen` (`HOST[:PORT]`) names, else the system's.
///
/// # Errors
/// When the host is unknown, or the system has none.
pub(crate) async fn addresses(chosen: Option<&str>) -> Result<Vec<SocketAddr>, Failure> {
    match chosen {
        Some(chosen) => named(chosen).await,
        None => system(Path::new(RESOLV_CONF)),
    }
}

async fn named(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    let unknown = |cause: &dyn std::fmt::Display| {
        Failure::new(
            Kind::Names,
            format!("the name server {text} can't be found: {cause}"),
        )
    };
    let (host, port) = split(text)
        .ok_or_else(|| Failure::usage(format!("`{text}` is no name server; write HOST[:PORT]")))?;
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|cause| unknown(&cause))?.collect();
    if found.is_empty() {
        return Err(unknown(&"it has no address"));
    }
    Ok(found)
}

/// `HOST`, `HOST:PORT`, an IPv6 address, or one in brackets with a port.
fn split(text: &str) -> Option<(&str, u16)> {
    if text.parse::<IpAddr>().is_ok() {
        return Some((text, PORT));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, PORT),
    };
    let host = host
        .strip_prefix('[')
        .map_or(Some(host), |h| h.strip_suffix(']'))?;
    (!host.is_empty()).then_some((host, port))
}

fn system(path: &Path) -> Result<Vec<SocketAddr>, Failure> {
    let none = |why: &dyn std::fmt::Display| {
        Failure::new(
            Kind::Names,
            format!(
                "the system names no name server ({}: {why}); use --nameserver",
                path.display()
            ),
        )
    };
    let text = std::fs::read_to_string(path).map_err(|cause| none(&cause))?;
    match in_resolv_conf(&text) {
        found if found.is_empty() => Err(none(&"no `nameserver` line")),
        found => Ok(found),
    }
}

fn in_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let address = line.trim_start().strip_prefix("nameserver")?;
        address
            .starts_with([' ', '\t'])
            .then_some(address.trim())?
            .parse()
            .ok()
    };
    let found = text.lines().filter_map(server);
    found
        .map(|address: IpAddr| SocketAddr::new(address, PORT))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        assert_eq!(split("127.0.0.1"), Some(("127.0.0.1", 53)));
        assert_eq!(split("127.0.0.1:5300"), Some(("127.0.0.1", 5300)));
        assert_eq!(split("::1"), Some(("::1", 53)));
        assert_eq!(split("[::1]:5300"), Some(("::1", 5300)));
        assert_eq!(split("ns.example:5300"), Some(("ns.example", 5300)));
        for wrong in ["", ":53", "host:port", "host:99999", "[::1:53"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_systems_servers() {
        let text = "# nameserver 1.1.1.1\nsearch example\nnameserver 127.0.0.53\n\
                    nameserver\t::1\nnameserver fe80::1%eth0\nnameservers 9.9.9.9\n";
        let expected: [SocketAddr; 2] = ["127.0.0.53:53", "[::1]:53"].map(|a| a.parse().expect(a));
        assert_eq!(in_resolv_conf(text), expected);
    }

    #[test]
    fn a_system_without_servers_says_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = system(&directory.path().join("resolv.conf")).expect_err("no file");
        assert_eq!(error.kind(), Kind::Names);
        assert!(error.to_string().contains("--nameserver"), "{error}");
    }
}
