//! Failed logins make the next ones slower, for the account and for the address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How fast delays grow and fade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowdownPolicy {
    /// How many failures in a row cost nothing: people mistype.
    pub free: u32,
    /// The delay of the first failure that costs; each further one doubles it.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
    /// After so long without a failure, one is forgotten, and after so long again another.
    pub fade: Duration,
    /// How many accounts, and how many addresses, are remembered. Beyond that the one whose last
    /// failure is oldest is forgotten.
    pub remembered: usize,
}

impl Default for SlowdownPolicy {
    fn default() -> Self {
        Self {
            free: 2,
            first: Duration::from_millis(250),
            // Clients wait for half a minute.
            longest: Duration::from_secs(10),
            fade: Duration::from_secs(60),
            remembered: 10_000,
        }
    }
}

/// Remembers failures. Memory is bounded; time is the caller's.
#[derive(Debug)]
pub struct Slowdown {
    policy: SlowdownPolicy,
    accounts: Failures<String>,
    addresses: Failures<IpAddr>,
}

impl Slowdown {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(policy: SlowdownPolicy) -> Self {
        Self {
            policy,
            accounts: Failures::default(),
            addresses: Failures::default(),
        }
    }

    /// How long to wait before a login is checked. `account` is not always known before.
    ///
    /// An account's failures count only against addresses that have failures of their own: a
    /// stranger who guesses from elsewhere can't lock its owner out.
    #[must_use]
    pub fn delay(&self, account: Option<&str>, address: IpAddr, now: Instant) -> Duration {
        let address = network(address);
        let of_address = self.addresses.count(&address, self.policy, now);
        let of_account = match account {
            Some(account) if of_address > 0 => self.accounts.count(account, self.policy, now),
            _ => 0,
        };
        self.policy.delay(of_address.max(of_account))
    }

    /// A login has failed.
    pub fn failed(&mut self, account: Option<&str>, address: IpAddr, now: Instant) {
        if let Some(account) = account {
            self.accounts.add(account.to_owned(), self.policy, now);
        }
        self.addresses.add(network(address), self.policy, now);
    }

    /// A login has succeeded: the account's failures are forgiven, those of the address fade (it
    /// may have guessed at others).
    pub fn succeeded(&mut self, account: &str) {
        self.accounts.entries.remove(account);
    }
}

impl SlowdownPolicy {
    fn delay(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(doublings) => {
                let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
                self.first.saturating_mul(factor).min(self.longest)
            }
        }
    }

    /// More failures than these make no login slower.
    fn most(&self) -> u32 {
        self.free + 32
    }
}

/// An IPv6 address stands for its /64, which one customer has as a whole.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    count: u32,
    last: Instant,
}

impl Failed {
    fn faded(self, policy: SlowdownPolicy, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last);
        let forgotten = quiet.as_millis() / policy.fade.as_millis().max(1);
        self.count
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

#[derive(Debug)]
struct Failures<K> {
    entries: HashMap<K, Failed>,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash + Clone> Failures<K> {
    fn count<Q>(&self, key: &Q, policy: SlowdownPolicy, now: Instant) -> u32
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries
            .get(key)
            .map_or(0, |failed| failed.faded(policy, now))
    }

    fn add(&mut self, key: K, policy: SlowdownPolicy, now: Instant) {
        if !self.entries.contains_key(&key) && self.entries.len() >= policy.remembered {
            self.make_room(policy, now);
        }
        let count = self.count(&key, policy, now) + 1;
        let count = count.min(policy.most());
        self.entries.insert(key, Failed { count, last: now });
    }

    /// Drops what has faded, or else the older half: so that a flood costs a constant time each.
    fn make_room(&mut self, policy: SlowdownPolicy, now: Instant) {
        self.entries
            .retain(|_, failed| failed.faded(policy, now) > 0);
        if self.entries.len() < policy.remembered {
            return;
        }
        let mut times: Vec<_> = self.entries.values().map(|failed| failed.last).collect();
        let half = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(half);
        let median = *median;
        let keep = self.entries.len() / 2;
        let mut kept = 0;
        self.entries.retain(|_, failed| {
            let keeps = failed.last >= median && kept < keep;
            kept += usize::from(keeps);
            keeps
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn there(host: u8) -> IpAddr {
        [192, 0, 2, host].into()
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut slowdown = Slowdown::new(SlowdownPolicy::default());
        let now = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..12 {
            delays.push(slowdown.delay(Some("test"), HERE, now).as_millis());
            slowdown.failed(Some("test"), HERE, now);
        }
        let expected = [
            0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000,
        ];
        assert_eq!(delays, expected);
    }

    #[test]
    fn an_address_is_slowed_on_every_account() {
        let mut slowdown = Slowdown::new(SlowdownPolicy::default());
        let now = Instant::now();
        for account in ["a", "b", "c"] {
            slowdown.failed(Some(account), HERE, now);
        }
        assert!(slowdown.delay(Some("d"), HERE, now) > Duration::ZERO);
        assert_eq!(slowdown.delay(Some("a"), there(1), now), Duration::ZERO);
    }

    #[test]
    fn many_addresses_on_one_account_are_slowed_but_not_its_owner() {
        let mut slowdown = Slowdown::new(SlowdownPolicy::default());
        let now = Instant::now();
        for host in 0..20 {
            slowdown.failed(Some("test"), there(host), now);
        }
        assert_eq!(
            slowdown.delay(Some("test"), there(3), now),
            Duration::from_secs(10)
        );
        assert_eq!(slowdown.delay(Some("test"), HERE, now), Duration::ZERO);
    }

    #[test]
    fn failures_fade_and_success_forgives_the_account() {
        let mut slowdown = Slowdown::new(SlowdownPolicy::default());
        let now = Instant::now();
        for _ in 0..4 {
            slowdown.failed(Some("test"), HERE, now);
        }
        let delay = |slowdown: &Slowdown, seconds| {
            let now = now + Duration::from_secs(seconds);
            slowdown.delay(Some("test"), HERE, now).as_millis()
        };
        assert_eq!(delay(&slowdown, 59), 500);
        assert_eq!(delay(&slowdown, 60), 250);
        assert_eq!(delay(&slowdown, 120), 0);
        slowdown.succeeded("test");
        assert_eq!(slowdown.accounts.entries.len(), 0);
    }

    #[test]
    fn remembers_so_many_and_no_more() {
        let policy = SlowdownPolicy {
            remembered: 100,
            ..SlowdownPolicy::default()
        };
        let mut slowdown = Slowdown::new(policy);
        let start = Instant::now();
        for i in 0..1000_u32 {
            let now = start + Duration::from_micros(i.into());
            let address = std::net::Ipv4Addr::from(i).into();
            slowdown.failed(Some(&format!("u{i}")), address, now);
            assert!(slowdown.accounts.entries.len() <= 100);
            assert!(slowdown.addresses.entries.len() <= 100);
            assert!(slowdown.accounts.entries.contains_key(&format!("u{i}")));
        }
    }

    #[test]
    fn one_customer_s_addresses_count_together() {
        let mut slowdown = Slowdown::new(SlowdownPolicy::default());
        let now = Instant::now();
        for host in 1..=4 {
            let address: IpAddr = format!("2001:db8::{host}").parse().unwrap();
            slowdown.failed(None, address, now);
        }
        let same = "2001:db8::ffff:1".parse().unwrap();
        let other = "2001:db8:0:1::1".parse().unwrap();
        assert!(slowdown.delay(None, same, now) > Duration::ZERO);
        assert_eq!(slowdown.delay(None, other, now), Duration::ZERO);
    }
}
