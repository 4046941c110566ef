//! Answers to questions over the wire.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use hickory_proto::op::{Edns, Header, HeaderCounts, LowerQuery, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, RData, Record as WireRecord, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tracing::debug;

use super::zone::{Found, Zone};
use crate::exchange::MAX_UDP_LENGTH;

/// All zones of a server.
pub(super) type Zones = Arc<RwLock<Vec<Zone>>>;

/// Answers from zones; everything else is refused.
pub(super) struct Handler {
    pub(super) zones: Zones,
}

/// The sections of an answer.
#[derive(Default)]
struct Answer {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<WireRecord>,
    soa: Vec<WireRecord>,
    additionals: Vec<WireRecord>,
}

impl Answer {
    fn only(code: ResponseCode) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }
}

impl Handler {
    fn answer(&self, request: &Request) -> Answer {
        if request.metadata.op_code != OpCode::Query {
            return Answer::only(ResponseCode::NotImp);
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Answer::only(ResponseCode::BADVERS);
        }
        match request.request_info() {
            Ok(info) => self.look_up(info.query),
            Err(_) => Answer::only(ResponseCode::FormErr),
        }
    }

    fn look_up(&self, query: &LowerQuery) -> Answer {
        let transfer = matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR);
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        let zone = closest(&zones, query.name());
        match zone.filter(|_| !transfer && query.query_class() == DNSClass::IN) {
            Some(zone) => authoritative(&zones, zone, query),
            None => Answer::only(ResponseCode::Refused),
        }
    }
}

/// The zone with the longest name that holds `name`.
fn closest<'a>(zones: &'a [Zone], name: &LowerName) -> Option<&'a Zone> {
    let holding = zones.iter().filter(|zone| zone.origin().zone_of(name));
    holding.max_by_key(|zone| zone.origin().num_labels())
}

fn authoritative(zones: &[Zone], zone: &Zone, query: &LowerQuery) -> Answer {
    let mut answer = Answer {
        authoritative: true,
        ..Answer::default()
    };
    match zone.lookup(query.name(), query.query_type()) {
        Found::Records(records) => {
            answer.additionals = addresses(zones, &records);
            answer.answers = records;
        }
        Found::NoData => answer.soa.extend(zone.negative_soa()),
        Found::NoName => {
            answer.code = ResponseCode::NXDomain;
            answer.soa.extend(zone.negative_soa());
        }
    }
    answer
}

/// The addresses of SRV targets in our zones, which the client would ask for next (RFC 2782).
fn addresses(zones: &[Zone], records: &[WireRecord]) -> Vec<WireRecord> {
    let targets = records.iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(LowerName::new(&srv.target)),
        _ => None,
    });
    let sets = targets.flat_map(|target| {
        let zone = closest(zones, &target);
        [RecordType::A, RecordType::AAAA]
            .map(|kind| zone.map_or(Vec::new(), |zone| zone.set(&target, kind).to_vec()))
    });
    sets.flatten().collect()
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let answer = self.answer(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = answer.code;
        metadata.authoritative = answer.authoritative;
        metadata.recursion_available = false;
        let edns = request.edns.as_ref().map(response_edns);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let none: [WireRecord; 0] = [];
        let response = builder.build(
            metadata,
            &answer.answers,
            &none,
            &answer.soa,
            &answer.additionals,
        );
        match response_handle.send_response(response).await {
            Ok(sent) => sent,
            Err(error) => {
                debug!(client = %request.src(), %error, "an answer could not be sent");
                ResponseInfo::from(Header {
                    metadata,
                    counts: HeaderCounts::default(),
                })
            }
        }
    }
}

/// The payload is bounded by what the client takes and by what passes unfragmented.
fn response_edns(request: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(request.max_payload().min(MAX_UDP_LENGTH));
    edns
}
