//! Finding a flow's queue by DNS alone, as a producer or consumer does that knows nothing of
//! FNAP: the steps of the draft, each asked with `dig`.

use crate::bind::Bind;

/// What DNS says about a flow's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundQueue {
    /// The bootstrap servers, each an address and a port.
    pub servers: Vec<String>,
    /// The strings of the queue's TXT record.
    pub attributes: Vec<String>,
}

impl FoundQueue {
    /// The value of `key=value` among the attributes.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find_map(|text| text.strip_prefix(key)?.strip_prefix('='))
    }
}

/// PTR at the flow, SRV and TXT at `_queue.` and what that points to, addresses of the targets.
///
/// # Errors
/// The step at which there was nothing.
pub fn find_queue(bind: &Bind, flow: &str) -> Result<FoundQueue, String> {
    let service = one(bind, flow, "PTR")?;
    one(bind, &service, "SRV")?;
    let queue = format!("_queue.{service}");
    let mut servers = Vec::new();
    for server in some(bind, &queue, "SRV")? {
        servers.push(server_address(bind, &server)?);
    }
    let attributes = txt_strings(&one(bind, &queue, "TXT")?);
    Ok(FoundQueue {
        servers,
        attributes,
    })
}

/// `30 30 9092 kafka.example.` as an address and a port.
fn server_address(bind: &Bind, srv: &str) -> Result<String, String> {
    let fields: Vec<&str> = srv.split(' ').collect();
    let [_, _, port, target] = fields[..] else {
        return Err(format!("no SRV: {srv}"));
    };
    let address = match target.trim_end_matches('.').parse::<std::net::Ipv4Addr>() {
        Ok(address) => address.to_string(),
        Err(_) => one(bind, target, "A")?,
    };
    Ok(format!("{address}:{port}"))
}

fn one(bind: &Bind, name: &str, kind: &str) -> Result<String, String> {
    let mut found = some(bind, name, kind)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        count => Err(format!("{count} records {kind} at {name}: {found:?}")),
    }
}

fn some(bind: &Bind, name: &str, kind: &str) -> Result<Vec<String>, String> {
    let found = bind.query(name, kind);
    if found.is_empty() {
        return Err(format!("no {kind} at {name}"));
    }
    Ok(found)
}

/// `"a=b" "c"` as its strings.
fn txt_strings(text: &str) -> Vec<String> {
    let inside = text.trim_matches('"');
    inside.split("\" \"").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = "\
time PTR _flow._tcp.time
_flow._tcp.time SRV 30 30 61000 fnaa
_queue._flow._tcp.time SRV 30 30 9092 kafka
_queue._flow._tcp.time TXT \"txtvers=1\" \"broker-type=kafka\" \"queue=orders_v1\"
kafka A 127.0.0.7
lost PTR _flow._tcp.lost
";

    #[test]
    fn a_queue_is_found_by_its_flow() {
        let bind = Bind::start("discovery", &[("flows.example", RECORDS)]);
        let found = find_queue(&bind, "time.flows.example").unwrap();
        assert_eq!(["127.0.0.7:9092"], *found.servers);
        assert_eq!(Some("orders_v1"), found.attribute("queue"));
        assert_eq!(Some("kafka"), found.attribute("broker-type"));
        let lost = find_queue(&bind, "lost.flows.example").unwrap_err();
        assert_eq!("no SRV at _flow._tcp.lost.flows.example.", lost);
    }
}
