//! What can go wrong at a broker.

/// An operation on a broker failed.
///
/// Every variant names the queue or server it is about; none carries a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Nobody answered in time. Try again with back-off.
    #[error("broker {server} does not answer: {cause}")]
    Unreachable {
        /// Which server or servers.
        server: String,
        /// What the network said.
        cause: String,
    },
    /// The broker refused our own credentials, or took them back. Look at the configuration, or
    /// ask the owner.
    #[error("broker {server} refused the login of `{user}`: {cause}")]
    Unauthenticated {
        /// Which server.
        server: String,
        /// As whom.
        user: String,
        /// What the broker said.
        cause: String,
    },
    /// We are known but may not do this. A revoked reader sees this or `Unauthenticated`.
    #[error("not allowed on `{subject}`: {cause}")]
    Denied {
        /// The queue, or `cluster`.
        subject: String,
        /// What the broker said.
        cause: String,
    },
    /// There is no such queue.
    #[error("there is no queue `{0}`")]
    NotFound(String),
    /// A queue of that name exists and is not ours.
    #[error("a queue `{0}` exists already; adopt it with queue={0} or choose another name")]
    Exists(String),
    /// The queue exists, but is another one than it was: it was deleted and created again.
    #[error("queue `{queue}` is not the one it was (was {expected}, is {found})")]
    Replaced {
        /// The queue.
        queue: String,
        /// The identity stored.
        expected: String,
        /// The identity found.
        found: String,
    },
    /// The broker cannot hold a queue of that name.
    #[error("the broker can't hold a queue named `{queue}`: {cause}")]
    BadName {
        /// The name.
        queue: String,
        /// Why.
        cause: String,
    },
    /// A wish that the broker can't fulfil (fewer partitions, a negative retention …).
    #[error("queue `{queue}`: {cause}")]
    Invalid {
        /// The queue.
        queue: String,
        /// Why.
        cause: String,
    },
    /// The records asked for are gone, or not yet there: retention, truncation or re-creation.
    #[error(
        "queue `{queue}` partition {partition}: offset {wanted} is outside {earliest}..{latest}"
    )]
    OutOfRange {
        /// The queue.
        queue: String,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        wanted: u64,
        /// The oldest offset kept.
        earliest: u64,
        /// The offset behind the newest record.
        latest: u64,
    },
    /// The queue has lost its newest records, among them some that were read: its leader failed, and
    /// one that did not have them took over. What was written since then takes their offsets.
    #[error(
        "queue `{queue}` partition {partition} was cut off at offset {end}: what was read from there \
         up to {read} is no longer in it, and reading goes on there"
    )]
    Truncated {
        /// The queue.
        queue: String,
        /// The partition.
        partition: u32,
        /// Up to which offset it was read.
        read: u64,
        /// The first offset that was cut off.
        end: u64,
    },
    /// Somebody's transaction has been open for so long that it looks forgotten, and hides every
    /// record behind its first. Its writer has to end it; or the broker's owner aborts it, for
    /// Kafka with `kafka-transactions.sh abort`.
    #[error(
        "queue `{queue}` partition {partition}: a transaction of {} open since {seconds} s hides \
         what is behind offset {offset}; its writer has to end it, or the broker's owner abort it",
        producer.map_or_else(|| "an unknown producer".to_owned(), |id| format!("producer {id}"))
    )]
    Hanging {
        /// The queue.
        queue: String,
        /// The partition.
        partition: u32,
        /// The first offset that can't be read.
        offset: u64,
        /// The producer's id, where the broker tells us.
        producer: Option<i64>,
        /// For how long its writer has not written, or we have waited, whichever is longer.
        seconds: u64,
    },
    /// One event is larger than the broker takes.
    #[error("queue `{queue}`: an event of {size} bytes is larger than the broker takes")]
    TooLarge {
        /// The queue.
        queue: String,
        /// Its size.
        size: usize,
    },
    /// One event is not what the broker lets into the queue: without key where it is compacted, or
    /// too old.
    #[error("queue `{queue}` does not take an event: {cause}")]
    Refused {
        /// The queue.
        queue: String,
        /// What the broker said.
        cause: String,
    },
    /// Another writer of the same processor has taken over.
    #[error("queue `{0}`: another writer has taken over")]
    Fenced(String),
    /// What the broker sent breaks its own protocol, or its storage is damaged.
    #[error("broker {server}: {cause}")]
    Protocol {
        /// Which server.
        server: String,
        /// What was wrong.
        cause: String,
    },
    /// The broker can't do this at all.
    #[error("a {kind} broker can't {what}")]
    Unsupported {
        /// The broker's kind.
        kind: String,
        /// What was asked.
        what: String,
    },
    /// The broker's storage failed: disk full, for one.
    #[error("the storage of queue `{queue}` failed: {cause}")]
    Storage {
        /// The queue.
        queue: String,
        /// What the system said.
        cause: String,
    },
}

impl BrokerError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Storage { .. } | Self::Protocol { .. }
        )
    }

    /// Whether it is about one event, and others may be taken.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Refused { .. })
    }
}
