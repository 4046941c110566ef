//! BIND, one for all tests: each test has a zone of its own in it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use eson_names::dynamic::{DynamicUpdate, TsigKey};
use eson_names::{RegisterError, Registrar};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::OnceCell;

use crate::contract::{Fixture, name};
use crate::named::{self, Named};
use crate::question;

/// Zones that the key `updates` may change, one for each test that needs one.
const ZONES: [&str; 15] = [
    "registers-again-and-unregisters",
    "replaces",
    "lists-and-unlists",
    "shares-the-catalogue",
    "leaves-a-strangers-records",
    "takes-many-at-once",
    "takes-the-longest-names",
    "refuses-one-of-many",
    "lost-answers",
    "small-catalogue",
    "registers-namespaces",
    "checks-and-refuses",
    "proof-of-concept",
    "neighbours",
    "algorithms",
];

const TIMEOUT: Duration = Duration::from_secs(10);

/// How many records the sets of `small-catalogue.test` may have.
const SMALL: usize = 3;

/// A server that forwards no question and takes three keys.
static BIND: OnceCell<(SocketAddr, Named)> = OnceCell::const_new();

fn keyfile(key: &str, algorithm: &str, secret: &str) -> String {
    format!("key \"{key}\" {{\n\talgorithm {algorithm};\n\tsecret \"{secret}\";\n}};\n")
}

fn key(text: &str) -> TsigKey {
    TsigKey::parse(text).expect("a key")
}

fn updates_key() -> String {
    keyfile("updates", "hmac-sha256", "b3JhbmdlLXRlc3Qtc2VjcmV0")
}

async fn bind() -> SocketAddr {
    let started = BIND.get_or_init(async || {
        let address = named::free_port("127.0.0.1");
        let directory = named::directory();
        configure(&directory, address);
        let server = Named::start(&directory, Some(&directory));
        server.wait(async || loaded(address).await).await;
        (address, server)
    });
    started.await.0
}

/// Whether every zone answers.
async fn loaded(address: SocketAddr) -> bool {
    if tokio::net::TcpStream::connect(address).await.is_err() {
        return false;
    }
    for zone in ZONES.iter().chain(&["closed"]) {
        let answer = question::ask(address, &format!("{zone}.test."), RecordType::SOA).await;
        if !answer.metadata.authoritative {
            return false;
        }
        let keys = question::ask(address, &format!("{zone}.test."), RecordType::DNSKEY).await;
        if *zone != "closed" && keys.answers.is_empty() {
            return false;
        }
    }
    true
}

fn configure(directory: &Path, address: SocketAddr) {
    let (path, port) = (directory.display(), address.port());
    let mut conf = updates_key();
    for strength in ["384", "512"] {
        conf += &keyfile(strength, &format!("hmac-sha{strength}"), "c3Ryb25n");
    }
    write!(
        conf,
        "options {{ directory \"{path}\"; pid-file \"{path}/pid\"; lock-file none;
  session-keyfile \"{path}/session.key\"; managed-keys-directory \"{path}\";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; }};
controls {{ }};
"
    )
    .expect("written");
    let grants = "grant updates zonesub ANY; grant 384 zonesub ANY; grant 512 zonesub ANY;";
    for zone in ZONES {
        let most = if zone == "small-catalogue" {
            SMALL
        } else {
            100
        };
        write!(
            conf,
            "zone \"{zone}.test\" {{ type primary; file \"{path}/{zone}\"; dnssec-policy default;
  inline-signing no; key-directory \"{path}\"; max-records-per-type {most};
  update-policy {{ {grants} }}; }};
"
        )
        .expect("written");
        named::write(directory, zone, ZONE_FILE);
    }
    writeln!(
        conf,
        "zone \"closed.test\" {{ type primary; file \"{path}/closed\"; }};"
    )
    .expect("written");
    named::write(directory, "closed", ZONE_FILE);
    named::write(directory, "named.conf", &conf);
}

const ZONE_FILE: &str = "$TTL 60
@ SOA ns hostmaster 1 60 60 3600 5
@ NS ns
ns A 127.0.0.1
";

fn registrar(address: SocketAddr, keyfile: &str) -> DynamicUpdate {
    DynamicUpdate::new(address, key(keyfile), TIMEOUT)
}

pub(crate) async fn fixture(test: &str) -> (Fixture, ()) {
    let server = bind().await;
    let fixture = Fixture {
        registrar: Box::new(registrar(server, &updates_key())),
        server,
        namespace: name(&format!("{}.test", test.replace('_', "-"))),
        foreign: name("flows.green.example"),
    };
    (fixture, ())
}

#[tokio::test]
async fn every_algorithm_from_sha256_up_is_taken() {
    let (fixture, ()) = fixture("algorithms").await;
    for strength in ["384", "512"] {
        let keyfile = keyfile(strength, &format!("hmac-sha{strength}"), "c3Ryb25n");
        let registrar = registrar(fixture.server, &keyfile);
        let check = registrar.check(&fixture.namespace).await;
        assert_eq!(check.expect("accepted").zone, "algorithms.test");
    }
}

#[tokio::test]
async fn a_wrong_key_is_named_as_such() {
    let server = bind().await;
    for (keyfile, reason) in [
        (keyfile("updates", "hmac-sha256", "d3Jvbmc="), "BADSIG"),
        (keyfile("nobody", "hmac-sha256", "d3Jvbmc="), "BADKEY"),
    ] {
        let refused = registrar(server, &keyfile)
            .check(&name("replaces.test"))
            .await;
        let error = refused.expect_err("the key is wrong");
        assert!(
            matches!(&error, RegisterError::KeyRejected { .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with("key rejected") && text.contains(reason),
            "{text}"
        );
        assert!(!text.contains("d3Jvbmc") && !error.is_transient(), "{text}");
    }
}

#[tokio::test]
async fn a_zone_without_an_update_policy_refuses() {
    let server = bind().await;
    let refused = registrar(server, &updates_key())
        .check(&name("closed.test"))
        .await;
    let error = refused.expect_err("no right");
    let refused = matches!(&error, RegisterError::Refused { rcode, zone, .. }
        if rcode == "REFUSED" && zone == "closed.test");
    assert!(refused, "{error}");
    assert!(error.to_string().contains("update policy"), "{error}");
}

/// Records without an ownership string, such as the proof of concept's, are a stranger's.
#[tokio::test]
async fn records_that_name_no_owner_are_left_alone() {
    let (fixture, ()) = fixture("proof-of-concept").await;
    let flow = fixture.flow("time");
    nsupdate(
        fixture.server,
        "update add time.proof-of-concept.test. 60 SRV 0 0 61000 fnaa.unix.ar.",
    );
    shows(fixture.server, flow.flow.as_str(), RecordType::SRV, 1).await;
    let error = fixture.registrar.register(&flow).await.expect_err("taken");
    let taken = matches!(&error, RegisterError::Taken { name }
        if name == "time.proof-of-concept.test.");
    assert!(taken, "{error}");
    let left = question::set(fixture.server, flow.flow.as_str(), RecordType::SRV).await;
    let theirs = "time.proof-of-concept.test. 60 IN SRV 0 0 61000 fnaa.unix.ar.";
    assert_eq!(left, [theirs]);
}

/// What others keep at the same names stays.
#[tokio::test]
async fn neighbours_at_the_same_names_stay() {
    let (fixture, ()) = fixture("neighbours").await;
    let flow = fixture.flow("time");
    for (at, data) in [
        ("time", "A 127.0.0.9"),
        ("time", "PTR _web._tcp.time.test."),
    ] {
        let update = format!("update add {at}.neighbours.test. 60 {data}");
        nsupdate(fixture.server, &update);
    }
    fixture.registrar.register(&flow).await.expect("registered");
    let owner = flow.flow.as_str();
    shows(fixture.server, owner, RecordType::PTR, 2).await;
    let registrar = &fixture.registrar;
    registrar.unregister(&flow).await.expect("unregistered");
    shows(fixture.server, owner, RecordType::PTR, 1).await;
    let address = question::set(fixture.server, owner, RecordType::A).await;
    assert_eq!(address, ["time.neighbours.test. 60 IN A 127.0.0.9"]);
    let answer = question::ask(fixture.server, owner, RecordType::SRV).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.answers.is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_is_unreachable() {
    let nobody = named::free_port("127.0.0.1");
    let refused = registrar(nobody, &updates_key())
        .check(&name("replaces.test"))
        .await;
    let error = refused.expect_err("nobody listens");
    assert!(
        matches!(&error, RegisterError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.is_transient() && error.to_string().contains(&nobody.to_string()));
}

/// Anybody can answer a datagram that it is refused, or that the key is unknown.
#[tokio::test]
async fn a_refusal_that_nobody_has_signed_is_asked_for_again() {
    let server = bind().await;
    let slandered = slandered(server).await;
    let checked = registrar(slandered, &updates_key())
        .check(&name("replaces.test"))
        .await;
    checked.expect("the server itself takes it");
    let wrong = keyfile("nobody", "hmac-sha256", "d3Jvbmc=");
    let refused = registrar(slandered, &wrong)
        .check(&name("replaces.test"))
        .await;
    let error = refused.expect_err("no such key");
    assert!(error.to_string().contains("BADKEY"), "{error}");
}

/// Refuses every datagram in the server's name; connections go to the server.
async fn slandered(server: SocketAddr) -> SocketAddr {
    let address = named::free_port("127.0.0.1");
    let datagrams = UdpSocket::bind(address).await.expect("a socket");
    let connections = TcpListener::bind(address).await.expect("a listener");
    tokio::spawn(async move {
        let mut datagram = [0; 2048];
        loop {
            let (length, client) = datagrams
                .recv_from(&mut datagram)
                .await
                .expect("a question");
            let mut refusal = Message::from_vec(&datagram[..length])
                .expect("a message")
                .into_response();
            refusal.metadata.response_code = ResponseCode::Refused;
            refusal.take_signature();
            let refusal = refusal.to_vec().expect("octets");
            datagrams.send_to(&refusal, client).await.expect("sent");
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut client, _) = connections.accept().await.expect("a client");
            let mut behind = TcpStream::connect(server).await.expect("the server");
            let passed = tokio::io::copy_bidirectional(&mut client, &mut behind).await;
            passed.expect("until they end");
        }
    });
    address
}

/// A server that passes datagrams on and loses the answers; connections go to nobody.
async fn deaf(server: SocketAddr) -> SocketAddr {
    let relay = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = relay.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut datagram = vec![0; 65535];
        while let Ok((length, client)) = relay.recv_from(&mut datagram).await {
            let onward = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
            let passed = onward.send_to(&datagram[..length], server).await;
            passed.expect("passed on");
            let answer = onward.recv(&mut datagram).await.expect("an answer");
            let update = (datagram[2] >> 3) & 0xf == 5;
            if !update {
                let sent = relay.send_to(&datagram[..answer], client).await;
                sent.expect("answered");
            }
        }
    });
    address
}

/// The update was made, its answer is lost, and it is asked for again: that is no clash.
#[tokio::test]
async fn a_retry_after_a_lost_answer_is_no_clash() {
    let (fixture, ()) = fixture("lost-answers").await;
    let flow = fixture.flow("time");
    let soon = Duration::from_millis(500);
    let lossy = DynamicUpdate::new(deaf(fixture.server).await, key(&updates_key()), soon);
    let error = lossy.register(&flow).await.expect_err("the answer is lost");
    assert!(error.is_transient(), "{error}");
    shows(fixture.server, flow.flow.as_str(), RecordType::PTR, 1).await;
    fixture
        .registrar
        .register(&flow)
        .await
        .expect("ours already");
    let error = lossy
        .unregister(&flow)
        .await
        .expect_err("the answer is lost");
    assert!(error.is_transient(), "{error}");
    let again = fixture.registrar.unregister(&flow).await;
    again.expect("nothing is left to do");
    shows(fixture.server, flow.flow.as_str(), RecordType::PTR, 0).await;
}

/// Somebody who says "done" without knowing the key is not believed.
#[tokio::test]
async fn an_unsigned_success_is_not_believed() {
    let forger = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = forger.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut datagram = vec![0; 65535];
        while let Ok((length, client)) = forger.recv_from(&mut datagram).await {
            let request = Message::from_vec(&datagram[..length]).expect("a message");
            let mut answer = Message::response(request.id, request.op_code);
            answer.add_queries(request.queries.clone());
            let octets = answer.to_vec().expect("a message");
            forger.send_to(&octets, client).await.expect("sent");
        }
    });
    let refused = registrar(address, &updates_key())
        .check(&name("replaces.test"))
        .await;
    let error = refused.expect_err("it is not signed");
    assert!(matches!(&error, RegisterError::BadAnswer { .. }), "{error}");
}

/// A server that bounds a set's size refuses the listing; the flow itself is registered.
#[tokio::test]
async fn a_full_catalogue_leaves_flows_unlisted() {
    let (fixture, ()) = fixture("small-catalogue").await;
    let flows: Vec<_> = (0..SMALL + 2)
        .map(|number| fixture.flow(&format!("f{number}")))
        .collect();
    for flow in flows.iter().chain(&flows) {
        fixture.registrar.register(flow).await.expect("registered");
    }
    for flow in &flows {
        shows(fixture.server, flow.flow.as_str(), RecordType::SRV, 1).await;
    }
    shows(
        fixture.server,
        "_flow._tcp.small-catalogue.test.",
        RecordType::PTR,
        SMALL,
    )
    .await;
}

/// Waits until the set has so many members.
async fn shows(server: SocketAddr, name: &str, kind: RecordType, members: usize) {
    let deadline = std::time::Instant::now() + TIMEOUT;
    while question::set(server, name, kind).await.len() != members {
        assert!(
            std::time::Instant::now() < deadline,
            "{name} {kind}: never {members}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Changes a zone as another tool does.
fn nsupdate(server: SocketAddr, command: &str) {
    named::require("nsupdate", "bind9-dnsutils");
    let script = format!(
        "server {} {}\n{command}\nsend\n",
        server.ip(),
        server.port()
    );
    let directory = tempfile::tempdir().expect("a directory");
    named::write(directory.path(), "key", &updates_key());
    named::write(directory.path(), "script", &script);
    let done = named::command("nsupdate")
        .arg("-k")
        .arg(directory.path().join("key"))
        .arg(directory.path().join("script"))
        .output()
        .expect("nsupdate runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
