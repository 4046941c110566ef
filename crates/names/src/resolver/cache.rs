//! Answers kept for as long as their records allow, and no more of them than there is room for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{LowerName, Name, RData, RecordType};

/// No answer is kept for longer than this (RFC 8767 asks for a cap).
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// No negative answer is kept for longer than this (RFC 2308, section 5).
const LONGEST_NEGATIVE: Duration = Duration::from_secs(60 * 60);

/// What was asked.
pub(super) type Question = (LowerName, RecordType);

/// Answers by question.
pub(super) struct Cache {
    capacity: usize,
    entries: HashMap<Question, Entry>,
}

struct Entry {
    answer: Arc<Message>,
    until: Instant,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
        }
    }

    /// The answer, while it may be used.
    pub(super) fn find(&mut self, question: &Question, now: Instant) -> Option<Arc<Message>> {
        let entry = self.entries.get(question)?;
        if entry.until <= now {
            self.entries.remove(question);
            return None;
        }
        Some(Arc::clone(&entry.answer))
    }

    /// Keeps an answer for the shortest of its records' times to live.
    pub(super) fn keep(&mut self, question: Question, answer: &Arc<Message>, now: Instant) {
        let lifetime = lifetime(answer);
        if lifetime.is_zero() || self.capacity == 0 {
            return;
        }
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&question) {
            self.make_room(now);
        }
        let entry = Entry {
            answer: Arc::clone(answer),
            until: now + lifetime,
        };
        self.entries.insert(question, entry);
    }

    /// Drops what has expired, and where that is less than a quarter, what would expire next: so
    /// the work is done once in many insertions.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.until > now);
        let goal = self.capacity - self.capacity.div_ceil(4);
        if self.entries.len() > goal {
            let mut ends: Vec<Instant> = self.entries.values().map(|entry| entry.until).collect();
            ends.sort_unstable();
            let last = ends[self.entries.len() - goal - 1];
            self.entries.retain(|_, entry| entry.until > last);
        }
    }

    /// Drops every answer about `name`, about names below it, and about the hosts that those
    /// answers point to.
    pub(super) fn forget(&mut self, name: &LowerName) {
        let mut hosts = Vec::new();
        self.entries.retain(|(owner, _), entry| {
            let about = name.zone_of(owner);
            if about {
                hosts.extend(entry.answer.answers.iter().filter_map(host));
            }
            !about
        });
        self.entries
            .retain(|(owner, _), _| !hosts.iter().any(|host| host == owner));
    }

    /// Drops every answer about `name` and about names above it: all that DNSSEC judges it by.
    pub(super) fn forget_chain(&mut self, name: &LowerName) {
        self.entries.retain(|(owner, _), _| !owner.zone_of(name));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }
}

fn host(record: &hickory_proto::rr::Record) -> Option<LowerName> {
    let target: &Name = match &record.data {
        RData::SRV(srv) => &srv.target,
        RData::CNAME(name) => name,
        _ => return None,
    };
    Some(LowerName::new(target))
}

/// How long an answer may be used: as long as its shortest-lived record, a negative one as its
/// SOA says (RFC 2308, section 5), a failure not at all.
fn lifetime(answer: &Message) -> Duration {
    let code = answer.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Duration::ZERO;
    }
    let positive = answer.answers.iter().map(|record| record.ttl).min();
    let negative = answer
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
            _ => None,
        });
    let seconds = |ttl: u32| Duration::from_secs(ttl.into());
    match (positive, negative) {
        (Some(ttl), _) => seconds(ttl).min(LONGEST),
        (None, Some(ttl)) => seconds(ttl).min(LONGEST_NEGATIVE),
        (None, None) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, SOA, SRV};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    fn question(text: &str) -> Question {
        (LowerName::new(&name(text)), RecordType::A)
    }

    fn answer(ttl: u32, data: RData) -> Arc<Message> {
        let mut message = Message::query().into_response();
        message.add_answer(Record::from_rdata(name("a.example."), ttl, data));
        Arc::new(message)
    }

    fn address(ttl: u32) -> Arc<Message> {
        answer(ttl, RData::A(A::new(127, 0, 0, 1)))
    }

    #[test]
    fn an_answer_lives_as_long_as_its_records_say() {
        let mut cache = Cache::new(10);
        let now = Instant::now();
        cache.keep(question("A.example."), &address(30), now);
        let found = |cache: &mut Cache, after| {
            let now = now + Duration::from_secs(after);
            cache.find(&question("a.example."), now).is_some()
        };
        assert!(found(&mut cache, 29));
        assert!(!found(&mut cache, 30));
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn no_name_is_kept_as_the_soa_says_and_a_failure_not_at_all() {
        let now = Instant::now();
        let mut nothing = Message::query().into_response();
        nothing.metadata.response_code = ResponseCode::NXDomain;
        let soa = SOA::new(name("ns."), name("h."), 1, 1, 1, 1, 5);
        nothing.add_authority(Record::from_rdata(name("example."), 60, RData::SOA(soa)));
        assert_eq!(lifetime(&nothing), Duration::from_secs(5));
        nothing.metadata.response_code = ResponseCode::ServFail;
        assert_eq!(lifetime(&nothing), Duration::ZERO);
        let mut cache = Cache::new(10);
        cache.keep(question("a.example."), &Arc::new(nothing), now);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_drops_the_oldest() {
        let mut cache = Cache::new(8);
        let now = Instant::now();
        for number in 1..=100 {
            let name = format!("h{number}.example.");
            cache.keep(question(&name), &address(number), now);
            assert!(cache.len() <= 8);
            assert!(cache.find(&question(&name), now).is_some());
        }
        let mut same = Cache::new(8);
        for number in 0..100 {
            let name = format!("h{number}.example.");
            same.keep(question(&name), &address(60), now);
            assert!(same.len() <= 8);
        }
    }

    #[test]
    fn forgetting_a_chain_forgets_what_lies_above() {
        let mut cache = Cache::new(8);
        let now = Instant::now();
        let names = ["f.example.", "example.", ".", "g.example.", "x.f.example."];
        for name in names {
            cache.keep(question(name), &address(60), now);
        }
        cache.forget_chain(&LowerName::new(&name("f.example.")));
        let kept = names.map(|name| cache.find(&question(name), now).is_some());
        assert_eq!(kept, [false, false, false, true, true]);
    }

    #[test]
    fn forgetting_a_flow_forgets_its_hosts() {
        let mut cache = Cache::new(8);
        let now = Instant::now();
        let srv = SRV::new(0, 0, 1, name("fnaa.other.example."));
        cache.keep(
            question("_flow._tcp.f.example."),
            &answer(60, RData::SRV(srv)),
            now,
        );
        for host in ["fnaa.other.example.", "xf.example.", "other.example."] {
            cache.keep(question(host), &address(60), now);
        }
        cache.forget(&LowerName::new(&name("f.example.")));
        assert!(
            cache
                .find(&question("_flow._tcp.f.example."), now)
                .is_none()
        );
        assert!(cache.find(&question("fnaa.other.example."), now).is_none());
        assert!(cache.find(&question("xf.example."), now).is_some());
        assert!(cache.find(&question("other.example."), now).is_some());
    }
}
