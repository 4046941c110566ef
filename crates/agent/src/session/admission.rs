//! How many connections there may be, in all and of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use eson_protocol::Status;

use crate::config::Limits;

/// Counts connections.
#[derive(Clone, Default)]
pub(crate) struct Admission {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    of_address: HashMap<IpAddr, usize>,
}

/// One connection that was let in; dropped, its place is free again.
pub(crate) struct Place {
    admission: Admission,
    address: IpAddr,
}

impl Admission {
    /// Lets a connection in.
    ///
    /// # Errors
    /// 421 when there are too many already.
    pub(crate) fn admit(&self, address: IpAddr, limits: &Limits) -> Result<Place, Status> {
        let address = network(address);
        let mut counts = self.lock();
        if counts.all >= limits.sessions {
            return Err(Status::closing("too many sessions here; try again later"));
        }
        let of_address = counts.of_address.entry(address).or_default();
        if *of_address >= limits.sessions_per_address {
            return Err(Status::closing(
                "too many sessions from your address; end one first",
            ));
        }
        *of_address += 1;
        counts.all += 1;
        Ok(Place {
            admission: self.clone(),
            address,
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.all -= 1;
        if let Some(of_address) = counts.of_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.of_address.remove(&self.address);
            }
        }
    }
}

/// Whoever has one IPv6 address has the other 2⁶⁴ of its network too.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            sessions: 3,
            sessions_per_address: 2,
            ..Limits::default()
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let admission = Admission::default();
        let (one, other) = (address("127.0.0.1"), address("127.0.0.2"));
        let first = admission.admit(one, &limits()).ok();
        let second = admission.admit(one, &limits()).ok();
        assert!(first.is_some() && second.is_some());
        assert!(admission.admit(one, &limits()).is_err());
        let third = admission.admit(other, &limits()).ok();
        assert!(third.is_some());
        assert!(admission.admit(other, &limits()).is_err(), "three in all");
        drop(first);
        assert_eq!(admission.count(), 2);
        assert!(admission.admit(one, &limits()).is_ok());
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let admission = Admission::default();
        let _first = admission.admit(address("2001:db9::1"), &limits());
        let _second = admission.admit(address("2001:db9::2"), &limits());
        assert!(admission.admit(address("2001:db9::3"), &limits()).is_err());
        assert!(
            admission
                .admit(address("2001:db9:0:1::3"), &limits())
                .is_ok()
        );
    }
}
