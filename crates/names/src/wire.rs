//! Between this crate's plain records and the DNS library's.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record as WireRecord};

use crate::record::{Record, RecordData};

/// A name that does not fit in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadName {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// An absolute name from its presentation form.
pub(crate) fn name(text: &str) -> Result<Name, BadName> {
    let mut name = Name::from_ascii(text).map_err(|error| BadName {
        name: text.to_owned(),
        why: error.to_string(),
    })?;
    name.set_fqdn(true);
    Ok(name)
}

pub(crate) fn record(record: &Record) -> Result<WireRecord, BadName> {
    let owner = name(&record.owner)?;
    Ok(WireRecord::from_rdata(
        owner,
        record.ttl,
        data(&record.data)?,
    ))
}

pub(crate) fn data(data: &RecordData) -> Result<RData, BadName> {
    Ok(match data {
        RecordData::A(address) => RData::A(A(*address)),
        RecordData::Aaaa(address) => RData::AAAA(AAAA(*address)),
        RecordData::Ns(target) => RData::NS(NS(name(target)?)),
        RecordData::Ptr(target) => RData::PTR(PTR(name(target)?)),
        RecordData::Srv {
            priority,
            weight,
            port,
            target,
        } => RData::SRV(SRV::new(*priority, *weight, *port, name(target)?)),
        RecordData::Txt(strings) => RData::TXT(TXT::new(strings.clone())),
    })
}

/// The strings of a TXT record; what is no UTF-8 is replaced.
pub(crate) fn strings(data: &RData) -> Vec<String> {
    match data {
        RData::TXT(txt) => {
            let strings = txt.txt_data.iter();
            strings
                .map(|octets| String::from_utf8_lossy(octets).into_owned())
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A name in presentation form without the last dot; the root is `.`.
pub(crate) fn without_dot(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(relative) if !relative.is_empty() => relative.to_owned(),
        _ => text,
    }
}

/// A record in zone-file syntax with its fields separated by tabs.
pub(crate) fn line(record: &WireRecord) -> String {
    let content = match &record.data {
        data @ RData::TXT(_) => RecordData::Txt(strings(data)).to_string(),
        data => data.to_string(),
    };
    let (name, ttl, kind) = (&record.name, record.ttl, record.record_type());
    format!("{}\t{ttl}\tIN\t{kind}\t{content}", name.to_ascii())
}

/// A response code's mnemonic, as in IANA's registry in upper case.
pub(crate) fn mnemonic(code: ResponseCode) -> String {
    format!("{code:?}").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dot_inside_a_label_stays_inside() {
        let instance = name(r"arrivals\.airport._flow._tcp.orange.example.").expect("a name");
        assert_eq!(instance.num_labels(), 5);
        assert_eq!(
            instance.to_ascii(),
            r"arrivals\.airport._flow._tcp.orange.example."
        );
    }

    #[test]
    fn mnemonics_are_the_registrys() {
        assert_eq!(mnemonic(ResponseCode::NXDomain), "NXDOMAIN");
        assert_eq!(mnemonic(ResponseCode::NotAuth), "NOTAUTH");
        assert_eq!(mnemonic(ResponseCode::ServFail), "SERVFAIL");
    }

    proptest! {
        /// Over the wire and back nothing changes.
        #[test]
        fn records_survive_the_wire(
            label in r"[a-z]{1,9}(\\\.[a-z]{1,9}){0,3}",
            strings in prop::collection::vec("[ -~]{0,255}", 1..4),
            port: u16,
        ) {
            let owner = format!("{label}._flow._tcp.orange.example.");
            let srv = RecordData::Srv { priority: 30, weight: 30, port, target: owner.clone() };
            for data in [RecordData::Txt(strings.clone()), RecordData::Ptr(owner.clone()), srv] {
                let sent = Record { owner: owner.clone(), ttl: 60, data };
                let mut message = Message::query().into_response();
                message.add_answer(record(&sent).expect("a record"));
                let octets = message.to_vec().expect("a message");
                let came = Message::from_vec(&octets).expect("a message").answers.remove(0);
                let expected = sent.to_string().replacen(' ', "\t", 4);
                prop_assert_eq!(line(&came), expected);
            }
        }
    }
}
