//! How many subscriptions to our flows one may have.

use std::net::IpAddr;

use eson_protocol::{Code, Principal, Status};

use super::Request;
use crate::resource::{Lease, SubscriberSpec};

/// How many times what one may have, those may have together that nothing but their own word tells
/// apart: all anonymous ones, and the users that one FNAA asks for.
const TOGETHER: usize = 10;

impl Request<'_> {
    /// Whether `reader`, whose right counts, may have one more.
    ///
    /// # Errors
    /// 452 when not.
    pub(super) async fn check_quota(&self, reader: &Principal) -> Result<(), Status> {
        let asker = Asker {
            principal: &self.caller.principal,
            reader,
            network: self.network,
        };
        let subscribers = self.participant.subscribers.list().await?;
        let known = subscribers.iter().map(|known| &known.resource.spec);
        match asker.exceeds(self.participant.subscriptions_per_peer(), known) {
            None => Ok(()),
            Some(text) => Err(Status::new(Code::Quota, text)),
        }
    }
}

/// Who wants one more.
struct Asker<'a> {
    principal: &'a Principal,
    reader: &'a Principal,
    network: Option<IpAddr>,
}

impl Asker<'_> {
    /// What there is too much of. What an owner has ended counts no more: nobody else can take that
    /// away.
    fn exceeds<'a>(
        &self,
        quota: usize,
        known: impl Iterator<Item = &'a SubscriberSpec>,
    ) -> Option<String> {
        let (mut own, mut together) = (0, 0);
        for spec in known.filter(|spec| [Lease::Held, Lease::Lapsed].contains(&spec.lease)) {
            together += usize::from(spec.principal == *self.principal);
            own += usize::from(self.has(spec));
        }
        let Self {
            principal, reader, ..
        } = self;
        let most = quota.saturating_mul(TOGETHER);
        if own >= quota {
            let whose = match reader {
                Principal::Anonymous => "who is anonymous at your address".to_owned(),
                reader => reader.to_string(),
            };
            Some(format!(
                "{whose} has {quota} subscriptions here already; end one first"
            ))
        } else if together >= most {
            Some(format!(
                "there are {most} subscriptions here already that {principal} has asked for; try again later"
            ))
        } else {
            None
        }
    }

    /// Anonymous ones are told apart by where they come from.
    fn has(&self, spec: &SubscriberSpec) -> bool {
        spec.reader() == self.reader
            && (*self.reader != Principal::Anonymous || spec.network == self.network)
    }
}

#[cfg(test)]
mod tests {
    use eson_protocol::{DeliveryOptions, Mode, Name, OnGap, Positions, Start};

    use super::*;
    use crate::resource::{Activity, Quality};
    use crate::secrets::SubscriberKeys;

    fn spec(
        principal: &str,
        on_behalf_of: Option<&str>,
        network: u8,
        lease: Lease,
    ) -> SubscriberSpec {
        let flow = Name::parse("f.example").expect("a name");
        let principal: Principal = principal.parse().expect("a principal");
        let directory = tempfile::TempDir::new().expect("a directory");
        let keys = SubscriberKeys::open(directory.path()).expect("keys");
        SubscriberSpec {
            label: keys.label(&flow, &principal, "id"),
            flow,
            principal,
            on_behalf_of: on_behalf_of.map(|user| user.parse().expect("a principal")),
            network: Some([192, 0, 2, network].into()),
            start: Start::Earliest,
            cursor: Positions::new(),
            mode: Mode::Copy,
            on_gap: OnGap::Earliest,
            delivery: DeliveryOptions::default(),
            quality: Quality::default(),
            credential: 1,
            generation: 1,
            activity: Activity::Running,
            lease,
            expires: 0,
            acknowledged: Positions::new(),
        }
    }

    fn may(asks: &SubscriberSpec, quota: usize, known: &[SubscriberSpec]) -> bool {
        let asker = Asker {
            principal: &asks.principal,
            reader: asks.reader(),
            network: asks.network,
        };
        asker.exceeds(quota, known.iter()).is_none()
    }

    #[test]
    fn what_is_over_counts_no_more() {
        let of = |lease| spec("blue.example", None, 1, lease);
        let asks = of(Lease::Held);
        assert!(!may(&asks, 2, &[of(Lease::Held), of(Lease::Lapsed)]));
        let over = [of(Lease::Held), of(Lease::Revoked), of(Lease::Expired)];
        assert!(may(&asks, 2, &over));
    }

    #[test]
    fn a_stranger_uses_up_what_his_address_may_have() {
        let at = |network| spec("anonymous", None, network, Lease::Held);
        let known = [at(1), at(1)];
        assert!(!may(&at(1), 2, &known));
        assert!(may(&at(2), 2, &known));
        let all: Vec<_> = (0..20).map(at).collect();
        assert!(!may(&at(99), 2, &all), "all strangers together");
    }

    #[test]
    fn an_fnaa_can_t_make_users_up_without_end() {
        let of = |user: &str| spec("blue.example", Some(user), 1, Lease::Held);
        let users: Vec<String> = (0..21).map(|n| format!("u{n}@blue.example")).collect();
        let known: Vec<_> = users[..20].iter().map(|user| of(user)).collect();
        assert!(may(&of(&users[20]), 2, &known[..19]));
        assert!(!may(&of(&users[20]), 2, &known));
        assert!(!may(&of(&users[0]), 1, &known));
    }
}
