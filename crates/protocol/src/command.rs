//! Every FNAP command as a type, free of text: the text codec is one way to write them.

use serde::{Deserialize, Serialize};

use crate::{
    DeliveryOptions, Mode, Name, PayloadAttributes, Positions, Principal, QualityOptions,
    RegistryOptions, Server, Validate,
};

/// What a client asks (draft figure 5, `docs/fnap.md`). `Debug` and `Display` show it as a line,
/// without an initial response and without the id of a subscription.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Upgrade the connection to TLS.
    StartTls,
    /// Ask what this FNAA can do.
    Capabilities,
    /// Begin a SASL exchange (RFC 4422).
    Authenticate {
        /// The mechanism, upper case.
        mechanism: String,
        /// The decoded initial response, if it came with the command (`=` is an empty one).
        initial: Option<Vec<u8>>,
    },
    /// Ask for attribute lines in SUBSCRIBE's data from here on.
    EnableAttributes,
    /// Do nothing.
    Noop,
    /// List the commands.
    Help,
    /// End the session.
    Quit,
    /// Ask who the session is authenticated as.
    WhoAmI,
    /// Create a child namespace.
    CreateNamespace(Name, NamespaceOptions),
    /// Change a namespace.
    UpdateNamespace(Name, NamespaceOptions),
    /// Describe a namespace.
    DescribeNamespace(Name),
    /// Delete a namespace without flows.
    DeleteNamespace(Name),
    /// List the namespaces that the caller may see.
    GetNamespaces,
    /// Create a flow, its queue and its records.
    CreateFlow(Name, FlowOptions),
    /// Change a flow.
    UpdateFlow(Name, FlowOptions),
    /// Describe a flow.
    DescribeFlow(Name),
    /// Delete a flow, its queue (unless adopted) and its records.
    DeleteFlow(Name),
    /// List the flows that the caller may see, of one namespace or of all.
    GetFlows(Option<Name>),
    /// Give a right on a flow or a namespace.
    Grant(Right, Name, Principal),
    /// Take a right away.
    Revoke(Right, Name, Principal),
    /// List the grants on a flow or a namespace.
    GetGrants(Name),
    /// Subscribe a local flow to a remote one (user agent to its FNAA).
    SubscribeLocal {
        /// The flow to receive.
        remote: Name,
        /// The flow to write to.
        local: Name,
        /// How.
        options: SubscribeOptions,
    },
    /// Subscribe to a flow hosted here (FNAA to FNAA), or renew with the same `id`.
    SubscribeRemote(Name, RemoteSubscribe),
    /// End the subscription that feeds the local flow.
    Unsubscribe(Name),
    /// End the subscription that was made with this `id` (FNAA to the remote flow's FNAA). One
    /// that is gone is no error.
    UnsubscribeRemote(Name, String),
    /// Stop moving events, keep everything.
    PauseSubscription(Name),
    /// Go on after a pause or a stop.
    ResumeSubscription(Name),
    /// Release the processor and the credential, keep the position.
    StopSubscription(Name),
    /// Describe the subscription that feeds the local flow.
    DescribeSubscription(Name),
    /// List the caller's subscriptions.
    GetSubscriptions,
    /// List the subscribers of a flow, or of all flows that the caller administers.
    GetSubscribers(Option<Name>),
    /// Revoke a subscriber, named by the label of its copy.
    RemoveSubscriber(Name, String),
    /// Let a subscriber in that waits for approval.
    ApproveSubscriber(Name, String),
    /// Stop the copy leg of one subscriber.
    PauseSubscriber(Name, String),
    /// Resume the copy leg of one subscriber; clears a revocation.
    ResumeSubscriber(Name, String),
    /// Change what one subscriber gets.
    UpdateSubscriber(Name, String, QualityOptions),
    /// Describe one subscriber.
    DescribeSubscriber(Name, String),
    /// Pause every processor that reads the flow.
    PauseFlow(Name),
    /// Resume every processor that reads the flow.
    ResumeFlow(Name),
    /// Stop every processor that reads the flow.
    StopFlow(Name),
    /// Read events.
    ReadFlow(Name, ReadOptions),
    /// Write events.
    WriteFlow {
        /// The flow.
        flow: Name,
        /// The form of each line.
        format: EventFormat,
        /// A source position to store in the same transaction as the events.
        position: Option<StorePosition>,
    },
    /// The source positions that a processor's writes have stored with the flow.
    GetPositions(Name, String),
    /// Run a processor between flows.
    CreateProcessor(String, ProcessorOptions),
    /// Change a processor.
    UpdateProcessor(String, ProcessorOptions),
    /// Pause a processor.
    PauseProcessor(String),
    /// Go on after a pause or a stop, and start again what has failed.
    ResumeProcessor(String),
    /// Release a processor and its connections, keep its positions.
    StopProcessor(String),
    /// Delete a processor.
    DeleteProcessor(String),
    /// Describe a processor.
    DescribeProcessor(String),
    /// List the processors that the caller may see.
    GetProcessors,
    /// List what this participant runs on: `GET BROKERS`, `GET NAMESERVERS`, `GET AGENTS`.
    GetComponents(ComponentKind),
    /// Describe one of them.
    DescribeComponent(ComponentKind, String),
    /// Resolve a flow as this FNAA sees it, with the trace.
    Resolve(Name),
}

/// What `GET` and `DESCRIBE` can name of a participant's own parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentKind {
    /// Events brokers.
    Broker,
    /// Name servers.
    Nameserver,
    /// FNAAs.
    Agent,
}

/// Options of CREATE and UPDATE NAMESPACE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceOptions {
    /// The broker for new flows, by its name in the configuration.
    pub broker: Option<String>,
}

/// Options of CREATE and UPDATE FLOW. What is absent keeps its default or its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowOptions {
    /// The broker, by its name in the configuration.
    pub broker: Option<String>,
    /// An existing queue to adopt instead of creating one.
    pub queue: Option<String>,
    /// The number of partitions.
    pub partitions: Option<u32>,
    /// How long events are kept, in milliseconds.
    pub retention: Option<u64>,
    /// Who may subscribe without a grant.
    pub access: Option<Access>,
    /// What the events' content is. An empty text takes an attribute away.
    pub payload: PayloadAttributes,
    /// How subscribers may be served, at least one way.
    pub modes: Option<Vec<Mode>>,
    /// How far back a subscriber may begin, in milliseconds; [`u64::MAX`] is as far as events are
    /// kept.
    pub history: Option<u64>,
    /// What each subscriber gets that has nothing else.
    pub quality: Box<QualityOptions>,
}

/// Who may read a flow without a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody, also ANONYMOUS.
    Public,
    /// Only who has a grant.
    #[default]
    Private,
    /// Whoever asks and is approved by the owner.
    Approval,
}

/// A right on a flow or a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Read and subscribe.
    Read,
    /// Write, and be the LOCAL side of a subscription.
    Write,
    /// Everything, grants and deletion included.
    Admin,
}

/// Where reading begins when there is no stored position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The oldest record that is kept.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
    /// The first record at or after a time, in milliseconds since the Unix epoch.
    Timestamp(i64),
}

/// What becomes of a processor when events that it has yet to read are gone at the source:
/// retention has passed it by, or somebody deleted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnGap {
    /// It goes on with the oldest that is left. Waiting would only lose more.
    #[default]
    Earliest,
    /// It stops, until somebody says otherwise.
    Stop,
}

/// Options of a user's SUBSCRIBE … LOCAL ….
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Where to begin.
    pub from: Option<Start>,
    /// Offsets of the remote flow to begin at. Goes before `from`.
    pub cursor: Option<Positions>,
    /// By which queue events are delivered.
    pub mode: Option<Mode>,
    /// How often events shall arrive, and how soon.
    pub delivery: DeliveryOptions,
    /// What becomes of a gap in what is received.
    pub on_gap: Option<OnGap>,
    /// Whether what is received is judged by what the local flow says of its events.
    pub validate: Option<Validate>,
    /// Between which Schema Registries the ids in events are translated.
    pub registry: Box<RegistryOptions>,
}

/// Options of an FNAA's SUBSCRIBE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteSubscribe {
    /// Idempotency token within principal and flow; the same one renews.
    pub id: Option<String>,
    /// The user on whose behalf the FNAA asks.
    pub on_behalf_of: Option<Principal>,
    /// Where to begin.
    pub from: Option<Start>,
    /// Offsets of the remote flow to begin at. Goes before `from`.
    pub cursor: Option<Positions>,
    /// By which queue events are delivered.
    pub mode: Option<Mode>,
    /// What becomes of events that are gone before they were copied.
    pub on_gap: Option<OnGap>,
    /// How often events shall arrive in the copy, and how soon.
    pub delivery: DeliveryOptions,
    /// Up to where the subscriber has the copy's events, by partition of the copy.
    pub position: Option<Positions>,
    /// Whether the credential is to be handed over again (`credential=again`).
    pub credential_again: bool,
}

/// The form of an event line of READ FLOW and WRITE FLOW.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventFormat {
    /// A CloudEvent in JSON.
    #[default]
    CloudEvents,
    /// A CloudEvent in Protobuf, in base64.
    Protobuf,
    /// Everything a broker stores, in JSON.
    Record,
}

/// Options of READ FLOW.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Where to begin.
    pub from: Option<Start>,
    /// Cursor to begin at: the next offset of each partition. Goes before `from`.
    pub cursor: Option<Positions>,
    /// End after so many events.
    pub max: Option<u64>,
    /// Stay and send what comes.
    pub follow: bool,
    /// The form of each line.
    pub format: EventFormat,
}

/// A source position that WRITE FLOW stores with the events, for processors: which processor has
/// written what comes from which partition of its source, from `first` up to before `next`. Without
/// events and with `next` below `first` it goes back: the source's log was cut off at `next`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePosition {
    /// The processor's name.
    pub processor: String,
    /// The partition of the source.
    pub partition: u32,
    /// The source offset of the first event.
    pub first: u64,
    /// The source offset behind the last event.
    pub next: u64,
    /// The partition of the flow that the events go to.
    pub to: u32,
    /// Under which leader of the source what lies just before `next` was written, where the source
    /// tells: not negative.
    pub epoch: Option<i32>,
}

/// The four types of flow processors (draft figure 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessorType {
    /// 1:1.
    Bridge,
    /// N:1.
    Collector,
    /// 1:N.
    Distributor,
    /// N:N.
    Signal,
}

/// Options of CREATE and UPDATE PROCESSOR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessorOptions {
    /// The type; needed to create.
    pub kind: Option<ProcessorType>,
    /// The flows to read.
    pub sources: Vec<Name>,
    /// The flows to write.
    pub destinations: Vec<Name>,
    /// Single flows that come or go; to update.
    pub flow_changes: Box<FlowChanges>,
    /// Where to begin.
    pub start: Option<Start>,
    /// What becomes of a gap in a source.
    pub on_gap: Option<OnGap>,
    /// Offsets of the one source to begin at. Goes before `start`.
    pub cursor: Option<Positions>,
    /// Whether a collector writes on each event where it came from.
    pub annotate: Option<bool>,
    /// Whether a collector gives its sources equal shares of the destination.
    pub fair: Option<bool>,
    /// How often events shall arrive, and how soon.
    pub delivery: DeliveryOptions,
    /// What a signal asks about each event.
    pub program: Option<Program>,
    /// The length of a signal's window, in milliseconds.
    pub window: Option<u64>,
    /// Whether the windows of a signal follow each other, instead of one beginning with each event.
    pub tumbling: Option<bool>,
    /// Where the key of a signal's windows is in an event, as in `.data.customer`.
    pub by: Option<String>,
    /// Whether what is written is judged.
    pub validate: Option<Validate>,
    /// Between which Schema Registries the ids in events are translated.
    pub registry: Box<RegistryOptions>,
}

/// Flows that a processor reads or writes besides the others from now on, or no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowChanges {
    /// To be read, too.
    pub added_sources: Vec<Name>,
    /// Not to be read any more.
    pub removed_sources: Vec<Name>,
    /// To be written, too.
    pub added_destinations: Vec<Name>,
    /// Not to be written any more.
    pub removed_destinations: Vec<Name>,
}

/// What a signal asks about each event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// A program in jq's language.
    Jq(String),
    /// A gRPC service, `eson.signal.v1.ProgramService`.
    Grpc(Server),
    /// The same over TLS: the server proves to have that name.
    Grpcs(Server),
}
