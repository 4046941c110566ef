//! How much of what anybody may have.

use std::time::Duration;

use super::reader::Node;

/// `subscriptions`: what holds for other participants' subscriptions to our flows, and for ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriptions {
    /// `lease`: how long a subscriber may go without renewing before its credential is turned
    /// off (60s). Ours are renewed three times as often as their publisher's lease asks.
    pub lease: Duration,
    /// `lapse-keep`: how long the data of a lapsed subscription is kept (7d).
    pub lapse_keep: Duration,
    /// `position-keep`: how long it is known then where the subscription was, so that one that is
    /// renewed goes on there (90d).
    pub position_keep: Duration,
    /// `copy-quota`: how many bytes a copy keeps for a subscriber that doesn't fetch them (1GiB).
    pub copy_quota: u64,
    /// `per-peer`: how many of our flows one participant may subscribe to at once (100).
    pub per_peer: usize,
    /// `hops`: through how many flows events may have come before we refuse them (16).
    pub hops: u32,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            lapse_keep: Duration::from_secs(7 * 86_400),
            position_keep: Duration::from_secs(90 * 86_400),
            copy_quota: 1 << 30,
            per_peer: 100,
            hops: 16,
        }
    }
}

/// `limits`: what one session, one address and all together may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `sessions`: how many sessions there may be in all (10000).
    pub sessions: usize,
    /// `sessions-per-address`: how many of one address (100).
    pub sessions_per_address: usize,
    /// `unauthenticated-time`: how long a session may take to authenticate (60s).
    pub unauthenticated_time: Duration,
    /// `idle-time`: how long a session may say nothing (30m).
    pub idle_time: Duration,
    /// `event`: the longest event line of WRITE FLOW and READ FLOW (2MiB).
    pub event: usize,
    /// `write`: the most bytes of one WRITE FLOW (64MiB).
    pub write: usize,
    /// `logins`: how many passwords are checked at once (2); each takes milliseconds of one core.
    pub logins: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            sessions_per_address: 100,
            unauthenticated_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(30 * 60),
            event: 2 << 20,
            write: 64 << 20,
            logins: 2,
        }
    }
}

pub(super) fn subscriptions(node: Node<'_>) -> Option<Subscriptions> {
    node.section(|section| {
        let default = Subscriptions::default();
        let duration = |key, default| {
            section
                .optional(key, |node| node.duration())
                .unwrap_or(default)
        };
        let copy_quota = section.optional("copy-quota", |node| node.size());
        let per_peer = section.optional("per-peer", |node| node.number(1..=1_000_000));
        let hops = section.optional("hops", |node| node.number(1..=255));
        Some(Subscriptions {
            lease: duration("lease", default.lease),
            lapse_keep: duration("lapse-keep", default.lapse_keep),
            position_keep: duration("position-keep", default.position_keep),
            copy_quota: copy_quota.unwrap_or(default.copy_quota),
            per_peer: per_peer.unwrap_or(default.per_peer),
            hops: hops.unwrap_or(default.hops),
        })
    })
}

pub(super) fn limits(node: Node<'_>) -> Option<Limits> {
    node.section(|section| {
        let default = Limits::default();
        let count = |key, default| {
            let number = section.optional(key, |node| node.number(1..=10_000_000));
            number.unwrap_or(default)
        };
        let duration = |key, default| {
            section
                .optional(key, |node| node.duration())
                .unwrap_or(default)
        };
        let size = |key, default| section.optional(key, memory_size).unwrap_or(default);
        let limits = Limits {
            sessions: count("sessions", default.sessions),
            sessions_per_address: count("sessions-per-address", default.sessions_per_address),
            unauthenticated_time: duration("unauthenticated-time", default.unauthenticated_time),
            idle_time: duration("idle-time", default.idle_time),
            event: size("event", default.event),
            write: size("write", default.write),
            logins: count("logins", default.logins),
        };
        if limits.event > limits.write {
            section.report("event", "may not be more than `write`");
        }
        Some(limits)
    })
}

/// A size of something that is held in memory: at most 1 GiB.
fn memory_size(node: Node<'_>) -> Option<usize> {
    match usize::try_from(node.size()?) {
        Ok(size) if size <= 1 << 30 => Some(size),
        _ => node.report("may be at most 1GiB"),
    }
}
