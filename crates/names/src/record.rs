//! DNS records as plain values, printed in zone-file syntax (RFC 1035, section 5.1).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use eson_protocol::Name;

/// One resource record of class IN.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// The owner, absolute and in presentation form: a dot inside a label is `\.`.
    pub owner: String,
    /// How long a cache may keep it, in seconds.
    pub ttl: u32,
    /// Type and content.
    pub data: RecordData,
}

/// The content of the record types that FNS publishes. Names are absolute and in presentation
/// form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name server of a zone.
    Ns(String),
    /// A pointer to another name.
    Ptr(String),
    /// Where a service is (RFC 2782).
    Srv {
        /// Lower is asked first.
        priority: u16,
        /// The share among equals in priority.
        weight: u16,
        /// The TCP port.
        port: u16,
        /// The host; `.` says that the service is not offered.
        target: String,
    },
    /// Strings of at most 255 octets each.
    Txt(Vec<String>),
}

impl RecordData {
    /// The type's mnemonic.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::A(_) => "A",
            Self::Aaaa(_) => "AAAA",
            Self::Ns(_) => "NS",
            Self::Ptr(_) => "PTR",
            Self::Srv { .. } => "SRV",
            Self::Txt(_) => "TXT",
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.data.type_name();
        write!(f, "{} {} IN {kind} {}", self.owner, self.ttl, self.data)
    }
}

impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Ns(name) | Self::Ptr(name) => f.write_str(name),
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "{priority} {weight} {port} {target}"),
            Self::Txt(strings) => write_strings(strings, f),
        }
    }
}

fn write_strings(strings: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, text) in strings.iter().enumerate() {
        let blank = if index == 0 { "" } else { " " };
        write!(f, "{blank}\"{}\"", escape(text))?;
    }
    Ok(())
}

/// A character string's presentation form: quotes and backslashes escaped, what is not printable
/// ASCII as `\DDD`.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, octet| {
        match octet {
            b'"' | b'\\' => escaped.extend(['\\', char::from(octet)]),
            0x20..0x7f => escaped.push(char::from(octet)),
            _ => escaped.push_str(&format!("\\{octet:03}")),
        }
        escaped
    })
}

/// The absolute presentation form of a name.
pub(crate) fn absolute(name: &Name) -> String {
    format!("{name}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_print_in_zone_file_syntax() {
        let record = |data| Record {
            owner: "time.flows.unix.ar.".to_owned(),
            ttl: 60,
            data,
        };
        let srv = RecordData::Srv {
            priority: 0,
            weight: 0,
            port: 61000,
            target: "fnaa.unix.ar.".to_owned(),
        };
        assert_eq!(
            record(srv).to_string(),
            "time.flows.unix.ar. 60 IN SRV 0 0 61000 fnaa.unix.ar."
        );
        let txt = RecordData::Txt(vec!["tls".to_owned(), "a=\"\\\u{e9}".to_owned()]);
        assert_eq!(
            record(txt).to_string(),
            "time.flows.unix.ar. 60 IN TXT \"tls\" \"a=\\\"\\\\\\195\\169\""
        );
        let address = RecordData::A(Ipv4Addr::LOCALHOST);
        assert_eq!(
            record(address).to_string(),
            "time.flows.unix.ar. 60 IN A 127.0.0.1"
        );
    }
}
