//! The embedded name server, one for each test: it starts in no time.

use std::net::{Ipv4Addr, SocketAddr};

use eson_names::embedded::{EmbeddedError, EmbeddedServer, EmbeddedZone};
use eson_names::{HostRecords, NamespaceRecords, Registrar};
use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use tokio::net::UdpSocket;

use crate::contract::{Fixture, name};
use crate::question;

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn zones() -> Vec<EmbeddedZone> {
    let host = HostRecords {
        agent: (name("fnaa.orange.example"), 61000).into(),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ttl: 60,
    };
    let zone = |zone: &str, records| EmbeddedZone {
        zone: name(zone),
        server: name("fnaa.orange.example"),
        records,
    };
    vec![
        zone("orange.example", host.records()),
        zone("flows.orange.example", Vec::new()),
    ]
}

pub(crate) async fn fixture(_test: &str) -> (Fixture, EmbeddedServer) {
    let server = EmbeddedServer::start(ANY_PORT.into(), zones()).await;
    let server = server.expect("a server");
    let fixture = Fixture {
        registrar: Box::new(server.registrar()),
        server: server.address(),
        namespace: name("flows.orange.example"),
        foreign: name("flows.green.example"),
    };
    (fixture, server)
}

/// Who asks too early gets the answer that is right in the end.
#[tokio::test]
async fn nobody_is_answered_before_it_serves() {
    let mut server = EmbeddedServer::bind(ANY_PORT.into(), zones())
        .await
        .expect("a server");
    let early = UdpSocket::bind(ANY_PORT).await.expect("a socket");
    let question = question::question("_fnaa._tcp.flows.orange.example.", RecordType::SRV);
    let octets = question.to_vec().expect("a message");
    early
        .send_to(&octets, server.address())
        .await
        .expect("sent");
    // While another one answers, this one could as well.
    let (_, other) = fixture("").await;
    question::ask(other.address(), "orange.example.", RecordType::SOA).await;
    let records = NamespaceRecords {
        namespace: name("flows.orange.example"),
        agent: (name("fnaa.orange.example"), 61000).into(),
        agent_tls: false,
        owner: "fnaa.orange.example".to_owned(),
        ttl: 60,
    };
    let registrar = server.registrar();
    let registered = registrar.register_namespace(&records).await;
    registered.expect("registered");
    server.serve();
    let mut answer = [0; 1500];
    let length = early.recv(&mut answer).await.expect("an answer");
    let answer = Message::from_vec(&answer[..length]).expect("a message");
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!(answer.answers.len(), 1);
}

#[tokio::test]
async fn it_serves_its_hosts_and_says_what_is_not_there() {
    let (fixture, server) = fixture("").await;
    let address = server.address();
    let host = question::set(address, "FNAA.orange.example.", RecordType::A).await;
    assert_eq!(host, ["fnaa.orange.example. 60 IN A 127.0.0.1"]);
    let srv = question::ask(address, "fnaa.orange.example.", RecordType::SRV).await;
    assert_eq!(srv.answers.len(), 1);
    assert_eq!(srv.additionals.len(), 1, "the target's address comes along");
    assert!(srv.metadata.authoritative && !srv.metadata.recursion_available);
    for (name, kind, code) in [
        (
            "fnaa.orange.example.",
            RecordType::AAAA,
            ResponseCode::NoError,
        ),
        (
            "nobody.orange.example.",
            RecordType::A,
            ResponseCode::NXDomain,
        ),
    ] {
        let nothing = question::ask(address, name, kind).await;
        assert_eq!(nothing.metadata.response_code, code);
        assert_eq!(nothing.authorities.len(), 1, "the SOA says for how long");
        assert!(nothing.authorities[0].ttl <= 5);
    }
    let elsewhere = question::ask(address, "www.green.example.", RecordType::A).await;
    assert_eq!(elsewhere.metadata.response_code, ResponseCode::Refused);
    let transfer = question::ask(address, "orange.example.", RecordType::AXFR).await;
    assert_eq!(transfer.metadata.response_code, ResponseCode::Refused);
    assert_eq!(fixture.server, address);
}

#[tokio::test]
async fn the_registrar_finds_the_closest_zone() {
    let (fixture, _server) = fixture("").await;
    let below = fixture.namespace.prefixed("sub").expect("a name");
    let check = fixture.registrar.check(&below).await.expect("a zone");
    assert_eq!(check.zone, "flows.orange.example");
    assert_eq!(check.negative_ttl, 5);
}

#[tokio::test]
async fn shutdown_frees_the_port_and_a_taken_port_is_an_error() {
    let (_, server) = fixture("").await;
    let address: SocketAddr = server.address();
    let taken = EmbeddedServer::start(address, zones()).await;
    assert!(matches!(taken, Err(EmbeddedError::Bind { address: at, .. }) if at == address));
    server.shutdown().await.expect("it ends");
    let again = EmbeddedServer::start(address, zones()).await;
    again
        .expect("the port is free")
        .shutdown()
        .await
        .expect("it ends");
}

#[tokio::test]
async fn a_record_outside_the_zones_is_refused() {
    let mut zones = zones();
    zones.remove(0);
    let host = HostRecords {
        agent: (name("fnaa.green.example"), 1).into(),
        addresses: Vec::new(),
        ttl: 60,
    };
    zones[0].records = host.records();
    let refused = EmbeddedServer::start(ANY_PORT.into(), zones).await;
    assert!(matches!(refused, Err(EmbeddedError::OutsideZones(name)) if name.contains("green")));
}

/// Updates over the wire and EDNS versions to come are refused as RFC 6895 and RFC 6891 ask.
#[tokio::test]
async fn what_it_does_not_do_it_says() {
    let (_, server) = fixture("").await;
    let address = server.address();
    let mut update = question::question("orange.example.", RecordType::SOA);
    update.metadata.op_code = OpCode::Update;
    let answer = question::exchange(address, &update).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
    let mut future = question::question("orange.example.", RecordType::SOA);
    let mut edns = Edns::new();
    edns.set_version(1);
    future.set_edns(edns);
    let answer = question::exchange(address, &future).await;
    let code = u16::from(answer.metadata.response_code);
    assert_eq!(code, u16::from(ResponseCode::BADVERS));
    let other_class = {
        let mut question = question::question("orange.example.", RecordType::SOA);
        question.queries[0].set_query_class(DNSClass::CH);
        question
    };
    let answer = question::exchange(address, &other_class).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}
