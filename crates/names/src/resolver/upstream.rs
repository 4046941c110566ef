//! Asking name servers: the cache first, then whoever is responsible, then, for a name that may
//! be new, the zone's own server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::future::BoxFuture;
use futures::stream::{self, Stream};
use hickory_net::NetError;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::xfer::DnsHandle;
use hickory_proto::op::{DnsRequest, DnsResponse, Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use super::cache::Cache;
use super::config::ResolverConfig;
use super::error::ResolveErrorKind;
use super::trace::{Step, Trace};
use super::trust::Trust;
use crate::exchange::{self, MAX_UDP_LENGTH};
use crate::wire;

/// How many questions one resolution may take: what a flow needs is about ten, and as many again
/// for DNSSEC. More is somebody's maze.
const MAX_QUESTIONS: u32 = 120;

/// How often one resolution may ask zones' own servers.
const MAX_DIRECT: u32 = 8;

/// How many servers of one zone are asked, and how many hosts are looked up for that.
const MAX_ZONE_SERVERS: usize = 3;

/// What all resolutions of a resolver share.
pub(super) struct Shared {
    pub(super) config: ResolverConfig,
    pub(super) trust: Trust,
    cache: Mutex<Cache>,
}

/// One resolution's way to the name servers, with the record that it keeps.
#[derive(Clone)]
pub(super) struct Upstream {
    pub(super) shared: Arc<Shared>,
    journal: Arc<Mutex<Journal>>,
}

#[derive(Default)]
struct Journal {
    trace: Trace,
    failure: Option<ResolveErrorKind>,
    questions: u32,
    direct: u32,
}

impl Shared {
    pub(super) fn new(config: ResolverConfig) -> Self {
        Self {
            trust: Trust::new(&config),
            cache: Mutex::new(Cache::new(config.cache_size)),
            config,
        }
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is asked about a name: the closest stub zone's servers, or the recursive resolvers.
    /// What a parent zone says about a stub zone (its DS) is the resolvers' to answer.
    pub(super) fn servers(&self, name: &Name, kind: RecordType) -> &[SocketAddr] {
        let stubs = self.trust.stub_zones().filter(|(zone, _)| {
            let above = kind == RecordType::DS && *zone == name;
            zone.zone_of(name) && (!above || self.config.nameservers.is_empty())
        });
        let closest = stubs.max_by_key(|(zone, _)| zone.num_labels());
        closest.map_or(&self.config.nameservers, |(_, servers)| servers)
    }
}

impl Upstream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            journal: Arc::default(),
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trace(&self, step: Step) {
        self.journal().trace.push(step);
    }

    pub(super) fn note(&self, text: impl Into<String>) {
        self.trace(Step::Note(text.into()));
    }

    pub(super) fn take_trace(&self) -> Trace {
        std::mem::take(&mut self.journal().trace)
    }

    /// What went wrong on the wire since this was last asked; validation only says that there is
    /// no proof.
    pub(super) fn take_failure(&self) -> Option<ResolveErrorKind> {
        self.journal().failure.take()
    }

    /// The answer to a question, as it came.
    pub(super) async fn fetch(&self, query: &Query) -> Result<Arc<Message>, ResolveErrorKind> {
        self.count(query)?;
        let question = (LowerName::new(query.name()), query.query_type());
        let cached = self.shared.cache().find(&question, Instant::now());
        if let Some(answer) = cached {
            self.trace(Step::Cached {
                name: query.name().to_ascii(),
                kind: query.query_type().into(),
            });
            self.trace_answer(&answer, Instant::now());
            return Ok(answer);
        }
        let servers = self.shared.servers(query.name(), query.query_type());
        let mut answer = self.ask_any(servers, query, true).await?;
        if self.may_be_new(query, &answer)
            && let Some(newer) = self.ask_zone(query, &answer).await
        {
            answer = newer;
        }
        // Hosts are asked for by themselves; what comes unasked is not to be validated nor kept.
        answer.additionals.clear();
        let answer = Arc::new(answer);
        self.shared.cache().keep(question, &answer, Instant::now());
        Ok(answer)
    }

    fn count(&self, query: &Query) -> Result<(), ResolveErrorKind> {
        let mut journal = self.journal();
        journal.questions += 1;
        if journal.questions > MAX_QUESTIONS {
            return Err(ResolveErrorKind::Chain {
                name: wire::without_dot(query.name()),
                why: format!("take more than {MAX_QUESTIONS} questions"),
            });
        }
        Ok(())
    }

    /// The first usable answer of the servers, each asked as often as is configured.
    async fn ask_any(
        &self,
        servers: &[SocketAddr],
        query: &Query,
        recursive: bool,
    ) -> Result<Message, ResolveErrorKind> {
        let name = || wire::without_dot(query.name());
        let mut failure = ResolveErrorKind::NoServer { name: name() };
        let attempts = self.shared.config.attempts.max(1);
        for server in servers
            .iter()
            .cycle()
            .take(servers.len() * attempts as usize)
        {
            match self.ask(*server, query, recursive).await {
                Ok(answer) if is_usable(&answer) => return Ok(answer),
                Ok(answer) => {
                    failure = ResolveErrorKind::Failed {
                        name: name(),
                        rcode: wire::mnemonic(answer.metadata.response_code),
                    }
                }
                Err(error) if !matches!(failure, ResolveErrorKind::Failed { .. }) => {
                    let why = format!("{server}: {error}");
                    failure = ResolveErrorKind::Unreachable { name: name(), why }
                }
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// One question to one server: a datagram, and a connection when the answer does not fit.
    async fn ask(&self, server: SocketAddr, query: &Query, recursive: bool) -> io::Result<Message> {
        let begun = Instant::now();
        let answer = self.exchange(server, query, recursive).await;
        match &answer {
            Ok(answer) => self.trace_answer(answer, begun),
            Err(error) => self.trace(Step::Failed {
                server,
                why: error.to_string(),
            }),
        }
        answer
    }

    async fn exchange(
        &self,
        server: SocketAddr,
        query: &Query,
        recursive: bool,
    ) -> io::Result<Message> {
        let request = self.request(query, recursive)?;
        let limit = self.shared.config.timeout;
        self.trace_query(server, query, false);
        let answer = decode(&exchange::over_udp(server, &request, limit).await?)?;
        if !answer.metadata.truncation {
            return Ok(answer);
        }
        self.trace_query(server, query, true);
        decode(&exchange::over_tcp(server, &request, limit).await?)
    }

    /// With `checking disabled` a validating resolver hands over what it finds bogus, so that
    /// this one can say what is wrong with it.
    fn request(&self, query: &Query, recursive: bool) -> io::Result<Vec<u8>> {
        let validated = self.shared.trust.covers(query.name());
        let mut message = Message::query();
        message.metadata.recursion_desired = recursive;
        message.metadata.checking_disabled = validated;
        message.add_query(query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP_LENGTH);
        edns.set_dnssec_ok(validated);
        message.set_edns(edns);
        message.to_vec().map_err(invalid)
    }

    /// Whether the resolver may only remember that there was no such name.
    fn may_be_new(&self, query: &Query, answer: &Message) -> bool {
        use RecordType::{A, AAAA, PTR, SRV, TXT};
        matches!(query.query_type(), A | AAAA | PTR | SRV | TXT)
            && answer.metadata.response_code == ResponseCode::NXDomain
            && !answer.metadata.authoritative
            && self.journal().direct < MAX_DIRECT
    }

    /// What the zone's own server says; none when it can't be asked or knows no such name either,
    /// and then it isn't asked again in this resolution.
    async fn ask_zone(&self, query: &Query, negative: &Message) -> Option<Message> {
        let zone = zone_of(negative)?;
        self.journal().direct += 1;
        self.note(format!(
            "Asking the name servers of {zone} themselves: the name may be new"
        ));
        let servers = self.zone_servers(&zone).await;
        let answer = self.ask_any(&servers, query, false).await.ok();
        let known = |answer: &Message| {
            answer.metadata.authoritative && answer.metadata.response_code == ResponseCode::NoError
        };
        let answer = answer.filter(known);
        if answer.is_none() {
            self.journal().direct = MAX_DIRECT;
        }
        answer
    }

    /// The addresses of a zone's servers, as far as the address policy permits them.
    fn zone_servers<'a>(&'a self, zone: &'a Name) -> BoxFuture<'a, Vec<SocketAddr>> {
        Box::pin(async move {
            let mut servers = Vec::new();
            for host in self.targets(zone, RecordType::NS, ns_target).await {
                for kind in [RecordType::A, RecordType::AAAA] {
                    servers.extend(self.targets(&host, kind, address).await);
                }
            }
            let policy = &self.shared.config.address_policy;
            servers.retain(|address| policy.permits(*address));
            servers.truncate(MAX_ZONE_SERVERS);
            let port = self.shared.config.authoritative_port;
            let socket = |address| SocketAddr::new(address, port);
            servers.into_iter().map(socket).collect()
        })
    }

    async fn targets<T>(
        &self,
        name: &Name,
        kind: RecordType,
        pick: fn(&RData) -> Option<T>,
    ) -> Vec<T> {
        match self.fetch(&Query::query(name.clone(), kind)).await {
            Ok(answer) => {
                let picked = answer
                    .answers
                    .iter()
                    .filter_map(|record| pick(&record.data));
                picked.take(MAX_ZONE_SERVERS).collect()
            }
            Err(_) => Vec::new(),
        }
    }

    fn trace_query(&self, server: SocketAddr, query: &Query, tcp: bool) {
        self.trace(Step::Query {
            name: query.name().to_ascii(),
            kind: query.query_type().into(),
            server,
            tcp,
        });
    }

    fn trace_answer(&self, answer: &Message, begun: Instant) {
        let took = begun.elapsed();
        let shown = |record: &&Record| record.record_type() != RecordType::RRSIG;
        let records: Vec<String> = answer
            .answers
            .iter()
            .filter(shown)
            .map(wire::line)
            .collect();
        self.trace(if records.is_empty() {
            let rcode = wire::mnemonic(answer.metadata.response_code);
            Step::Empty { rcode, took }
        } else {
            Step::Answer { records, took }
        });
    }
}

impl DnsHandle for Upstream {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let upstream = self.clone();
        Box::pin(stream::once(async move {
            let query = request.queries.first().ok_or("no question")?;
            match upstream.fetch(query).await {
                Ok(answer) => Ok(DnsResponse::from_message((*answer).clone())?),
                Err(failure) => {
                    let why = failure.to_string();
                    upstream.journal().failure.get_or_insert(failure);
                    Err(NetError::from(why))
                }
            }
        }))
    }
}

/// The zone that a negative answer comes from: the owner of its SOA.
pub(super) fn zone_of(answer: &Message) -> Option<Name> {
    let mut records = answer.answers.iter().chain(&answer.authorities);
    let soa = records.find(|record| record.record_type() == RecordType::SOA);
    soa.map(|soa| soa.name.clone())
}

fn is_usable(answer: &Message) -> bool {
    let code = answer.metadata.response_code;
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn ns_target(data: &RData) -> Option<Name> {
    match data {
        RData::NS(ns) => Some(ns.0.clone()),
        _ => None,
    }
}

pub(super) fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn decode(octets: &[u8]) -> io::Result<Message> {
    Message::from_vec(octets).map_err(invalid)
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
