//! A small internet of real name servers: the root, the top-level domain `eu`, the participants
//! `a` and `b`, and a validating recursive resolver, each a process of its own.
//!
//! All listen on 127.0.0.1 and differ by port, so that neither root's rights nor more addresses
//! are needed: the recursive resolver forwards each zone to its server.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use eson_names::dynamic::TsigKey;
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::sync::OnceCell;

use crate::named::{self, Named};
use crate::question;

/// The key that may change `a.eu`.
const KEYFILE: &str =
    "key \"ddns-a\" { algorithm hmac-sha256; secret \"ZG5zc2VjLXRlc3Qtc2VjcmV0\"; };\n";

/// For how long others remember that a name of `a.eu` does not exist: longer than the tests.
const NEGATIVE_TTL: u32 = 3600;

/// What a participant's zone holds beside its name server.
const FLOW: &str = "time SRV 0 0 61000 fnaa\nfnaa A 127.0.0.1\n";

/// Aliases, for `b.eu`; one goes in a circle.
const ALIASES: &str = "circle CNAME circle.a.eu.\nalias CNAME time\n";

/// The other half of the circle, for `a.eu`.
const CIRCLE: &str = "circle CNAME circle.b.eu.\n";

/// A wildcard and something that is closer, for `a.eu`.
const WILD: &str = "*.wild SRV 0 0 61000 fnaa\nclose.wild SRV 0 0 61001 fnaa\n";

/// The five servers and what a resolver has to know of them.
pub(crate) struct Internet {
    /// The validating recursive resolver.
    pub(crate) resolver: SocketAddr,
    /// The primary of `a.eu`, signed.
    pub(crate) a: SocketAddr,
    /// The primary of `b.eu`, unsigned, and of `bogus.eu`, `stripped.eu` and `expired.eu`, each
    /// broken as it is called.
    pub(crate) b: SocketAddr,
    /// The root's DNSKEY record.
    pub(crate) root_key: String,
    /// The root's DS record.
    pub(crate) root_ds: String,
    _servers: Vec<Named>,
}

static INTERNET: OnceCell<Internet> = OnceCell::const_new();

/// The internet, started at its first use.
pub(crate) async fn internet() -> &'static Internet {
    INTERNET.get_or_init(Internet::start).await
}

/// The key of the primary of `a.eu`.
pub(crate) fn ddns_key() -> TsigKey {
    TsigKey::parse(KEYFILE).expect("a key")
}

impl Internet {
    async fn start() -> Self {
        for (program, package) in [
            ("named", "bind9"),
            ("dnssec-keygen", "bind9-utils"),
            ("dnssec-dsfromkey", "bind9-utils"),
            ("dnssec-signzone", "bind9-utils"),
        ] {
            named::require(program, package);
        }
        let lab = Lab::new();
        let zones = lab.zones();
        let [root, eu, a, b, resolver] = std::array::from_fn(|_| named::free_port("127.0.0.1"));
        let mut servers = vec![
            lab.server("root", root, &signed(&[("", ".")])),
            lab.server("eu", eu, &signed(&[("eu", "eu")])),
            lab.server("a", a, &updatable()),
            lab.server("b", b, &participant_b()),
        ];
        let forwards = [
            (".", root),
            ("eu", eu),
            ("a.eu", a),
            ("b.eu", b),
            ("bogus.eu", b),
            ("stripped.eu", b),
            ("expired.eu", b),
        ];
        let authorities = [(root, "."), (eu, "eu."), (a, "a.eu."), (b, "b.eu.")];
        for (server, (address, zone)) in servers.iter().zip(authorities) {
            server.wait(async || answers(address, zone).await).await;
        }
        // Only now: a resolver that finds nobody at first stays away for a while.
        let conf = recursive(&forwards, &zones.root_key);
        let last = lab.server("resolver", resolver, &conf);
        last.wait(async || answers(resolver, "eu.").await).await;
        servers.push(last);
        Self {
            resolver,
            a,
            b,
            root_key: zones.root_key,
            root_ds: zones.root_ds,
            _servers: servers,
        }
    }
}

/// Whether the server has the zone, signed to its last name where it is to be signed: what a
/// resolver once finds bogus, it does not look at again for long.
async fn answers(server: SocketAddr, zone: &str) -> bool {
    if tokio::net::TcpStream::connect(server).await.is_err() {
        return false;
    }
    let soa = question::ask(server, zone, RecordType::SOA).await;
    let present = soa.metadata.response_code == ResponseCode::NoError && !soa.answers.is_empty();
    present && (zone != "a.eu." || is_signed(server).await)
}

async fn is_signed(server: SocketAddr) -> bool {
    use RecordType::{DNSKEY, NS, NSEC, SOA, SRV};
    for (name, kinds) in [
        ("a.eu.", &[SOA, NS, DNSKEY, NSEC][..]),
        ("time.a.eu.", &[SRV, NSEC]),
        ("*.wild.a.eu.", &[SRV, NSEC]),
        ("close.wild.a.eu.", &[SRV, NSEC]),
    ] {
        let signatures = question::ask(server, name, RecordType::RRSIG).await.answers;
        let covered: Vec<RecordType> = signatures.iter().filter_map(covers).collect();
        if !kinds.iter().all(|kind| covered.contains(kind)) {
            return false;
        }
    }
    true
}

fn covers(record: &Record) -> Option<RecordType> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature.input().type_covered),
        _ => None,
    }
}

/// What the parents say of the root's key.
struct Zones {
    root_key: String,
    root_ds: String,
}

/// The directory that all servers share.
struct Lab {
    directory: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let directory = named::directory();
        Self { directory }
    }

    /// Makes the keys from the root down and the zone files from the leaves up.
    fn zones(&self) -> Zones {
        let [root, eu, a, bogus, stripped, expired] =
            [".", "eu", "a.eu", "bogus.eu", "stripped.eu", "expired.eu"].map(|zone| self.key(zone));
        let another = self.key("bogus.eu");
        self.write(
            "a.eu",
            &zone_file("a.eu", NEGATIVE_TTL, &format!("{FLOW}{CIRCLE}{WILD}")),
        );
        self.write("b.eu", &zone_file("b.eu", 5, &format!("{FLOW}{ALIASES}")));
        self.write("stripped.eu", &zone_file("stripped.eu", 5, FLOW));
        self.sign("bogus.eu", &zone_file("bogus.eu", 5, FLOW), &bogus, &[]);
        let past = ["-s", "20200101000000", "-e", "20200201000000"];
        self.sign(
            "expired.eu",
            &zone_file("expired.eu", 5, FLOW),
            &expired,
            &past,
        );
        let mut below = String::new();
        for participant in ["a", "b", "bogus", "stripped", "expired"] {
            below += &delegation(participant);
        }
        for key in [&a, &another, &stripped, &expired] {
            below += &self.ds(key);
        }
        self.sign("eu", &zone_file("eu", 5, &below), &eu, &[]);
        let below = delegation("eu") + &self.ds(&eu);
        self.sign(".", &zone_file("", 5, &below), &root, &[]);
        let root_key = fs::read_to_string(self.path(&format!("{root}.key"))).expect("a key");
        Zones {
            root_key,
            root_ds: self.ds(&root),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self, zone: &str, content: &str) {
        named::write(&self.directory, &file_name(zone), content);
    }

    /// Makes a key and gives its file's name without the ending.
    fn key(&self, zone: &str) -> String {
        let name = self.run("dnssec-keygen", &["-q", "-k", "default", zone]);
        name.trim().to_owned()
    }

    fn ds(&self, key: &str) -> String {
        self.run("dnssec-dsfromkey", &["-2", &format!("{key}.key")])
    }

    fn sign(&self, zone: &str, content: &str, key: &str, validity: &[&str]) {
        self.write(
            zone,
            &(content.to_owned() + &format!("$INCLUDE {key}.key\n")),
        );
        let file = file_name(zone);
        let fixed = ["-P", "-z", "-o", zone, "-f", &file];
        let arguments = [&fixed, validity, &[&file, key]].concat();
        self.run("dnssec-signzone", &arguments);
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let done = named::command(program)
            .args(arguments)
            .current_dir(&self.directory)
            .output()
            .expect("it runs");
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{program} {arguments:?}: {errors}");
        String::from_utf8(done.stdout).expect("text")
    }

    /// Starts a server in a directory of its own; the last one removes everything.
    fn server(&self, name: &str, address: SocketAddr, zones: &str) -> Named {
        let own = self.path(&format!("server-{name}"));
        fs::create_dir(&own).expect("a directory");
        named::write(
            &own,
            "named.conf",
            &options(&self.directory, &own, address, zones),
        );
        let last = (name == "resolver").then_some(self.directory.as_path());
        Named::start(&own, last)
    }
}

fn file_name(zone: &str) -> String {
    format!("zone-{}", zone.trim_matches('.'))
}

fn zone_file(zone: &str, negative_ttl: u32, more: &str) -> String {
    let origin = format!("{zone}.");
    format!(
        "$ORIGIN {origin}\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 {negative_ttl}\n@ NS ns\n\
         ns A 127.0.0.1\n{more}"
    )
}

fn delegation(child: &str) -> String {
    format!("{child} NS ns.{child}\nns.{child} A 127.0.0.1\n")
}

/// Zones that are served as they were signed.
fn signed(zones: &[(&str, &str)]) -> String {
    zones.iter().fold(String::new(), |mut conf, (file, zone)| {
        let file = file_name(file);
        writeln!(
            conf,
            "zone \"{zone}\" {{ type primary; file \"{file}\"; }};"
        )
        .expect("written");
        conf
    })
}

fn updatable() -> String {
    let file = file_name("a.eu");
    format!(
        "{KEYFILE}zone \"a.eu\" {{ type primary; file \"{file}\"; dnssec-policy default; \
         inline-signing no; update-policy {{ grant ddns-a zonesub ANY; }}; }};\n"
    )
}

fn participant_b() -> String {
    let zones = ["b.eu", "bogus.eu", "stripped.eu", "expired.eu"];
    signed(&zones.map(|zone| (zone, zone)))
}

/// A resolver that forwards each zone to its server and trusts the root's key.
fn recursive(forwards: &[(&str, SocketAddr)], root_key: &str) -> String {
    let record = root_key.lines().find(|line| !line.starts_with(';'));
    let fields: Vec<&str> = record.expect("a record").split_whitespace().collect();
    let at = fields
        .iter()
        .position(|field| *field == "DNSKEY")
        .expect("a type");
    let [flags, protocol, algorithm, key @ ..] = &fields[at + 1..] else {
        panic!("no DNSKEY: {root_key}");
    };
    let key = key.concat();
    let mut conf =
        format!("trust-anchors {{ . static-key {flags} {protocol} {algorithm} \"{key}\"; }};\n");
    for (zone, server) in forwards {
        let (address, port) = (server.ip(), server.port());
        writeln!(
            conf,
            "zone \"{zone}\" {{ type forward; forward only; forwarders {{ {address} port {port}; }}; }};"
        )
        .expect("written");
    }
    conf
}

fn options(lab: &Path, own: &Path, address: SocketAddr, zones: &str) -> String {
    let (lab, own, port) = (lab.display(), own.display(), address.port());
    let recursion = if zones.contains("trust-anchors") {
        "recursion yes; dnssec-validation yes; empty-zones-enable no; max-cache-size 8m;"
    } else {
        "recursion no; dnssec-validation no;"
    };
    format!(
        "options {{ directory \"{lab}\"; pid-file \"{own}/pid\"; lock-file none;
  session-keyfile \"{own}/session.key\"; managed-keys-directory \"{own}\";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; {recursion} }};
controls {{ }};
{zones}"
    )
}
