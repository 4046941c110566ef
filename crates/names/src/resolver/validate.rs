//! Answers with DNSSEC's word on them (RFC 4035, section 5).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::xfer::{DnsHandle, FirstAnswer};
use hickory_net::{DnsError, NetError};
use hickory_proto::dnssec::Proof;
use hickory_proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_proto::op::{DnsRequestOptions, Message, Query};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};

use super::answer::Security;
use super::error::ResolveErrorKind;
use super::trace::Step;
use super::upstream::{Upstream, zone_of};
use crate::wire;

/// An answer that is not bogus.
pub(super) struct Answer {
    /// The answer section.
    pub(super) records: Vec<Record>,
    /// The owner of the SOA, where the answer has one.
    pub(super) zone: Option<Name>,
    /// What DNSSEC says of it.
    pub(super) security: Security,
}

impl Upstream {
    /// The answer to a question, validated where a trust anchor covers the name.
    ///
    /// # Errors
    /// [`ResolveErrorKind::Bogus`] when signatures are missing or wrong.
    pub(super) async fn ask_validated(
        &self,
        name: &Name,
        kind: RecordType,
    ) -> Result<Answer, ResolveErrorKind> {
        let query = Query::query(name.clone(), kind);
        if let Some(why) = self.shared.trust.why_not(name) {
            let message = self.fetch(&query).await?;
            return Ok(Answer {
                zone: zone_of(&message),
                records: message.answers.clone(),
                security: Security::Insecure { why },
            });
        }
        let outcome = self.validate(&query).await;
        self.trace_outcome(&query, &outcome);
        outcome
    }

    async fn validate(&self, query: &Query) -> Result<Answer, ResolveErrorKind> {
        let keys = self.shared.trust.keys(query.name(), self).await?;
        let validator = DnssecDnsHandle::with_trust_anchor(self.clone(), Arc::clone(&keys));
        self.take_failure();
        let options = DnsRequestOptions::default();
        let answer = validator
            .lookup(query.clone(), options)
            .first_answer()
            .await;
        let judged = match answer {
            Ok(response) => judge(query, response.into_message()),
            Err(NetError::Dns(DnsError::Nsec {
                response, proof, ..
            })) => judge_denial(query, response.into_message(), proof),
            Err(error) => Err(bogus(query, error.to_string())),
        };
        if judged.is_err() {
            // It may have been changed on the way once, and is asked for again.
            let name = LowerName::new(query.name());
            self.shared.cache().forget_chain(&name);
        }
        // A key that could not be fetched proves nothing either way.
        match (judged, self.take_failure()) {
            (Err(_), Some(failure)) => Err(failure),
            (judged, _) => judged,
        }
    }

    fn trace_outcome(&self, query: &Query, outcome: &Result<Answer, ResolveErrorKind>) {
        let outcome = match outcome {
            Ok(answer) => answer.security.to_string(),
            Err(ResolveErrorKind::Bogus { why, .. }) => format!("bogus ({why})"),
            Err(_) => return,
        };
        self.trace(Step::Validated {
            name: query.name().to_ascii(),
            kind: query.query_type().to_string(),
            outcome,
        });
    }
}

/// A positive answer is worth what its weakest record is worth, a negative one what its SOA and
/// its proof are.
fn judge(query: &Query, message: Message) -> Result<Answer, ResolveErrorKind> {
    let positive = message.answers.iter().any(|record| answers(query, record));
    let decisive = if positive {
        &message.answers
    } else {
        &message.authorities
    };
    let mut content = decisive.iter().filter(|it| is_content(it)).peekable();
    let silent = content.peek().is_none();
    let mut weakest = Proof::Secure;
    for record in content {
        match record.proof {
            Proof::Secure => {}
            Proof::Insecure => weakest = Proof::Insecure,
            Proof::Bogus | Proof::Indeterminate => {
                return Err(bogus(query, flaw(record, decisive)));
            }
        }
    }
    if positive && is_unproven_wildcard(&message) {
        let why = "it is made from a wildcard, and that there is nothing closer is not proven";
        return Err(bogus(query, why.to_owned()));
    }
    if !positive && weakest == Proof::Insecure && !is_denied_by_its_zone(query, &message) {
        let why = "another zone, which is not signed, says that there is no such record";
        return Err(bogus(query, why.to_owned()));
    }
    Ok(accepted(message, silent || weakest == Proof::Insecure))
}

/// Whether a record is what was asked for, or an alias to it.
fn answers(query: &Query, record: &Record) -> bool {
    let kind = record.record_type();
    record.name == *query.name() && (kind == query.query_type() || kind == RecordType::CNAME)
}

/// Whether a denial without proof comes from a zone that needs none. The validator takes every
/// denial whose records are all of unsigned zones, whichever those are; what lies above a name of
/// a signed zone is never insecure.
fn is_denied_by_its_zone(query: &Query, message: &Message) -> bool {
    let mut authorities = message.authorities.iter();
    authorities.any(|it| it.proof == Proof::Insecure && it.name.zone_of(query.name()))
}

/// Whether a secure record was made from a wildcard beside nothing but records of unsigned zones,
/// for which the validator does not ask for the proof that no closer name exists.
fn is_unproven_wildcard(message: &Message) -> bool {
    let is_secure = |name: &Name| {
        let mut sets = message.answers.iter().filter(|it| is_content(it));
        sets.any(|it| it.name == *name && it.proof == Proof::Secure)
    };
    let expanded = |record: &&Record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => {
            signature.input().num_labels < record.name.num_labels() && is_secure(&record.name)
        }
        _ => false,
    };
    let proven = |record: &Record| record.proof == Proof::Secure;
    message.answers.iter().any(|it| expanded(&it)) && !message.authorities.iter().any(proven)
}

/// A denial whose proof the validator does not accept as secure.
fn judge_denial(query: &Query, message: Message, proof: Proof) -> Result<Answer, ResolveErrorKind> {
    match proof {
        Proof::Insecure => Ok(accepted(message, true)),
        _ => {
            let section = &message.authorities;
            let broken = section.iter().find(|record| record.proof == Proof::Bogus);
            let unproven = "it says that there is no such record and does not prove it";
            let why = broken.map_or(unproven.to_owned(), |record| flaw(record, section));
            Err(bogus(query, why))
        }
    }
}

fn accepted(message: Message, insecure: bool) -> Answer {
    let zone = zone_of(&message);
    let security = if insecure {
        let zone = zone.as_ref().map(wire::without_dot);
        let whose = zone.map_or("its zone".to_owned(), |zone| format!("the zone {zone}"));
        Security::Insecure {
            why: format!("{whose} is not signed, as its parent zone proves"),
        }
    } else {
        Security::Secure
    };
    Answer {
        zone,
        records: message.answers,
        security,
    }
}

fn is_content(record: &Record) -> bool {
    record.record_type() != RecordType::RRSIG
}

fn bogus(query: &Query, why: String) -> ResolveErrorKind {
    ResolveErrorKind::Bogus {
        name: wire::without_dot(query.name()),
        why,
    }
}

/// What is wrong with a bogus record, as far as its signatures show.
fn flaw(record: &Record, section: &[Record]) -> String {
    let kind = record.record_type();
    let covering = section.iter().filter(|other| other.name == record.name);
    let signatures: Vec<&RRSIG> = covering
        .filter_map(|other| match &other.data {
            RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
            _ => None,
        })
        .filter(|signature| signature.input().type_covered == kind)
        .collect();
    let what = format!("the {kind} of {}", wire::without_dot(&record.name));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs()) as u32;
    let late = |signature: &&RRSIG| signature.input().sig_expiration.get() < now;
    let early = |signature: &&RRSIG| signature.input().sig_inception.get() > now;
    if signatures.is_empty() {
        format!("{what} carries no signature, although its zone is signed")
    } else if signatures.iter().all(late) {
        format!("the signature of {what} has expired")
    } else if signatures.iter().all(early) {
        format!("the signature of {what} is not valid yet; compare the clocks")
    } else {
        format!("no key that leads to a trust anchor has signed {what} as it came")
    }
}
