//! Why a spec can't be carried out.

use std::time::Duration;

use eson_protocol::BrokerKind;

use super::{MAX_COMMIT_INTERVAL, MAX_ID, MAX_LEGS};
use crate::endpoint::EndpointError;
use crate::schema_ids::SchemaIdsError;
use crate::signal::SignalError;
use crate::validation::ContractSpecError;

/// Why a spec can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The request has no spec.
    #[error("the request has no spec")]
    Missing,
    /// An id that can't be used.
    #[error("`{0}` can't be an id: 1 to {MAX_ID} bytes without control characters are")]
    Id(String),
    /// A type that this program does not run.
    #[error(
        "this program runs bridges, collectors, distributors and signals, and not processors of \
         type {0}"
    )]
    Type(String),
    /// Not one source.
    #[error("a processor of this type has one source, and not {0}")]
    Sources(usize),
    /// A collector or signal whose sources are not read by one leg each.
    #[error("a collector or signal has one leg for each of its {sources} sources, and not {legs}")]
    CollectorLegs {
        /// The number of sources.
        sources: usize,
        /// The number of legs.
        legs: usize,
    },
    /// A source that two legs of a collector or signal read.
    #[error("two legs read source {0}")]
    ReadTwice(u32),
    /// A leg that reads a source that is not there.
    #[error("leg `{leg}` reads source {source_index}, and there are only {sources}")]
    NoSource {
        /// The leg.
        leg: String,
        /// What it says that it reads.
        source_index: u32,
        /// How many there are.
        sources: usize,
    },
    /// Each event twice.
    #[error("legs `{0}` and `{1}` would read the same queue")]
    SourceTwice(String, String),
    /// A collector of two destinations.
    #[error("the legs `{0}` and `{1}` of a collector have to write the same queue")]
    Destinations(String, String),
    /// Only collectors have sources to tell apart.
    #[error("only a collector can annotate its events or be fair to its sources")]
    NoCollector,
    /// No destination.
    #[error("a processor needs at least one leg")]
    NoLegs,
    /// A bridge with several destinations.
    #[error("a bridge has one leg, and not {0}; a distributor may have more")]
    BridgeLegs(usize),
    /// Too many destinations.
    #[error("{0} legs are more than the {MAX_LEGS} that one instance may have")]
    TooManyLegs(usize),
    /// Two legs with one id.
    #[error("two legs have the id `{0}`")]
    LegTwice(String),
    /// The source can't be used.
    #[error("the source: {0}")]
    Source(EndpointError),
    /// A leg without destination.
    #[error("leg `{0}` has no destination")]
    NoDestination(String),
    /// Ids of schemas can't be translated as asked.
    #[error("leg `{leg}`: {cause}")]
    SchemaIds {
        /// The leg.
        leg: String,
        /// What is wrong.
        cause: SchemaIdsError,
    },
    /// Events can't be judged as asked.
    #[error("leg `{leg}`: {cause}")]
    Contract {
        /// The leg.
        leg: String,
        /// What is wrong.
        cause: ContractSpecError,
    },
    /// A signal's programs read and write what they like.
    #[error("leg `{0}` is a signal's, and those translate no ids of schemas and judge no events")]
    SignalContent(String),
    /// A commit interval that transactions would not survive.
    #[error(
        "leg `{leg}` would commit every {interval:?}, and may wait {MAX_COMMIT_INTERVAL:?} at most"
    )]
    CommitInterval {
        /// The leg.
        leg: String,
        /// What was asked for.
        interval: Duration,
    },
    /// A destination can't be used.
    #[error("the destination of leg `{leg}`: {cause}")]
    Destination {
        /// The leg.
        leg: String,
        /// What is wrong.
        cause: EndpointError,
    },
    /// A kind of broker that this processor was built or started without.
    #[error("this processor does not reach {0} brokers")]
    Unreached(BrokerKind),
    /// A loop of one queue.
    #[error("leg `{0}` would write the queue that it reads")]
    SameQueue(String),
    /// Each event twice.
    #[error("legs `{0}` and `{1}` would write the same queue")]
    DestinationTwice(String, String),
    /// The queue of dead letters can't be used.
    #[error("the queue of dead letters: {0}")]
    DeadLetters(EndpointError),
    /// Dead letters among events.
    #[error("dead letters would go to `{0}`, which this processor reads or writes")]
    DeadLettersAmongEvents(String),
    /// Two queues of dead letters.
    #[error("a signal names the queue of its dead letters in `signal`")]
    SignalDeadLetters,
    /// What a signal is to do is wrong.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// All legs of a signal write all of its destinations.
    #[error("leg `{0}` of a signal has a destination of its own; name it in `signal`")]
    OwnDestination(String),
}
