//! Which addresses we connect to when somebody else names them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Names, SUBSCRIBE's answer and a broker's metadata all choose where we connect. This policy is
/// asked at every connect, after every resolution, so that a stranger can't point us at our own
/// loopback or private networks (server-side request forgery).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    trusted: Vec<IpNet>,
}

impl AddressPolicy {
    /// Public addresses, and those in `trusted`.
    #[must_use]
    pub fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted }
    }

    /// Every address: for what our own configuration names.
    #[must_use]
    pub fn unrestricted() -> Self {
        let all = |address| IpNet::new_assert(address, 0);
        Self::new(vec![
            all(Ipv4Addr::UNSPECIFIED.into()),
            all(Ipv6Addr::UNSPECIFIED.into()),
        ])
    }

    /// The networks that are trusted beyond the public ones.
    #[must_use]
    pub fn trusted(&self) -> &[IpNet] {
        &self.trusted
    }

    /// Whether we may connect to `address`.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
            || is_public(address)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// RFC 6890: what may be a destination on the Internet.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarking = a == 198 && (18..20).contains(&b);
    let protocol_assignments = (a, b, c) == (192, 0, 0);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || shared
        || benchmarking
        || protocol_assignments)
}

/// Global unicast, without what translates to or tunnels IPv4 addresses we would refuse.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded_v4(high, low)),
        [0x2002, high, low, ..] => is_public_v4(embedded_v4(high, low)),
        // Teredo and the other protocol assignments; documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn embedded_v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_public_addresses_without_trust() {
        let policy = AddressPolicy::default();
        for public in ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808", "100.128.0.1"] {
            assert!(policy.permits(address(public)), "{public}");
        }
        for refused in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!policy.permits(address(refused)), "{refused}");
        }
    }

    #[test]
    fn trust_opens_a_network_and_nothing_else() {
        let policy = AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("a network")]);
        assert!(policy.permits(address("127.3.2.1")));
        assert!(policy.permits(address("::ffff:127.0.0.1")));
        assert!(!policy.permits(address("10.0.0.1")));
        assert!(!policy.permits(address("::1")));
    }
}
