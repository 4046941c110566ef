//! DNSSEC on a small internet of real name servers: secure, insecure and bogus told apart.

#[path = "../named/mod.rs"]
mod named;
#[path = "../question/mod.rs"]
mod question;

mod forger;
mod internet;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use eson_names::dynamic::DynamicUpdate;
use eson_names::{
    FlowRecords, Registrar, Resolution, ResolveError, ResolveErrorKind, Resolver, ResolverConfig,
    Security, StubZone, TrustAnchor,
};
use eson_protocol::{AddressPolicy, Name};
use hickory_proto::rr::RecordType;

use crate::forger::{Lie, forger};
use crate::internet::{Internet, ddns_key, internet};

const TIMEOUT: Duration = Duration::from_secs(20);

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn config(internet: &Internet, anchors: &str) -> ResolverConfig {
    ResolverConfig {
        nameservers: vec![internet.resolver],
        trust_anchors: TrustAnchor::parse_all(anchors).expect("anchors"),
        timeout: TIMEOUT,
        address_policy: AddressPolicy::new(vec!["127.0.0.0/8".parse().expect("a network")]),
        authoritative_port: internet.a.port(),
        ..ResolverConfig::default()
    }
}

fn validating(internet: &Internet) -> Resolver {
    Resolver::new(config(internet, &internet.root_key))
}

async fn resolve(resolver: &Resolver, flow: &str) -> Result<Resolution, ResolveError> {
    resolver.resolve(&name(flow)).await
}

fn flow(label: &str) -> FlowRecords {
    FlowRecords {
        flow: name(&format!("{label}.a.eu")),
        namespace: name("a.eu"),
        agent: (name("fnaa.a.eu"), 61000).into(),
        agent_tls: true,
        queue: None,
        owner: "a-1".to_owned(),
        listed: true,
        ttl: 60,
    }
}

async fn register(internet: &Internet, records: &FlowRecords) {
    let registrar = DynamicUpdate::new(internet.a, ddns_key(), TIMEOUT);
    registrar.register(records).await.expect("registered");
    published(internet.a, records).await;
}

/// Waits until the zone's own server shows the flow.
async fn published(server: SocketAddr, records: &FlowRecords) {
    let deadline = Instant::now() + TIMEOUT;
    let owner = records.flow.as_str();
    while question::set(server, owner, RecordType::PTR)
        .await
        .is_empty()
    {
        assert!(Instant::now() < deadline, "{owner} is never published");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_registered_flow_of_a_signed_zone_is_secure() {
    let internet = internet().await;
    register(internet, &flow("signed")).await;
    let found = resolve(&validating(internet), "signed.a.eu")
        .await
        .expect("found");
    assert_eq!(found.security, Security::Secure, "{}", found.trace);
    assert_eq!(found.zone, name("a.eu"));
    assert!(found.agent_tls);
    let trace = found.trace.to_string();
    assert!(
        trace.contains("DNSSEC for signed.a.eu. PTR: secure"),
        "{trace}"
    );
    assert!(
        trace.contains("Executing query eu. IN 43 "),
        "the chain is in the trace: {trace}"
    );
}

#[tokio::test]
async fn an_unsigned_zone_below_a_signed_one_is_insecure() {
    let internet = internet().await;
    let found = resolve(&validating(internet), "time.b.eu")
        .await
        .expect("found");
    let insecure = matches!(&found.security, Security::Insecure { why } if why.contains("b.eu"));
    assert!(insecure, "{:?}\n{}", found.security, found.trace);
    assert_eq!(found.agent_security, found.security);
    assert_eq!(found.zone, name("b.eu"));
}

#[tokio::test]
async fn broken_zones_are_refused_with_the_reason() {
    let internet = internet().await;
    let resolver = validating(internet);
    for (zone, reason) in [
        ("bogus.eu", "no key that leads to a trust anchor"),
        ("stripped.eu", "no signature"),
        ("expired.eu", "has expired"),
    ] {
        let refused = resolve(&resolver, &format!("time.{zone}")).await;
        let error = refused.expect_err(zone);
        let bogus =
            matches!(&error.kind, ResolveErrorKind::Bogus { why, .. } if why.contains(reason));
        assert!(bogus, "{zone}: {error}\n{}", error.trace);
        assert!(!error.is_transient());
        assert!(
            error.trace.to_string().contains(": bogus ("),
            "{}",
            error.trace
        );
    }
}

/// Whose host has its address in a zone that is not signed, still is who the signed one says.
#[tokio::test]
async fn what_names_an_fnaa_is_secure_without_its_address() {
    let internet = internet().await;
    let records = FlowRecords {
        agent: (name("fnaa.b.eu"), 61000).into(),
        ..flow("hosted")
    };
    register(internet, &records).await;
    let found = resolve(&validating(internet), "hosted.a.eu").await;
    let found = found.expect("found");
    assert!(!found.security.is_secure(), "{:?}", found.security);
    assert_eq!(found.agent_security, Security::Secure, "{}", found.trace);
}

/// Who is on the way can't take `tls` or anything else from a signed zone by the word of another one.
#[tokio::test]
async fn a_denial_by_an_unsigned_zone_that_does_not_hold_the_name_is_bogus() {
    let internet = internet().await;
    register(internet, &flow("denied")).await;
    for (name, kind) in [
        ("_flow._tcp.denied.a.eu.", RecordType::TXT),
        ("_flow._tcp.denied.a.eu.", RecordType::SRV),
        ("denied.a.eu.", RecordType::PTR),
    ] {
        let lie = Lie::denial(internet, name, kind).await;
        refuses(internet, lie, "denied.a.eu", "another zone").await;
    }
}

/// A wildcard holds only where nothing is closer, and that is to be proven.
#[tokio::test]
async fn a_wildcard_beside_records_of_an_unsigned_zone_is_bogus() {
    let internet = internet().await;
    let found = resolve(&validating(internet), "close.wild.a.eu")
        .await
        .expect("found");
    assert_eq!(
        (found.agents[0].port, found.security),
        (61001, Security::Secure)
    );
    let lie = Lie::wildcard(internet, "close.wild.a.eu.", "far.wild.a.eu.").await;
    refuses(internet, lie, "close.wild.a.eu", "wildcard").await;
}

/// What was forged once is not remembered.
#[tokio::test]
async fn after_a_bogus_answer_the_true_one_is_asked_for() {
    let internet = internet().await;
    let lie = Lie::denial(internet, "time.a.eu.", RecordType::SRV).await;
    let resolver = Resolver::new(ResolverConfig {
        nameservers: vec![forger(internet, lie, 1).await],
        ..config(internet, &internet.root_key)
    });
    resolve(&resolver, "time.a.eu").await.expect_err("bogus");
    let found = resolve(&resolver, "time.a.eu").await.expect("found");
    assert_eq!(found.security, Security::Secure);
}

async fn refuses(internet: &Internet, lie: Lie, flow: &str, reason: &str) {
    let what = format!("{} {}", lie.name, lie.kind);
    let resolver = Resolver::new(ResolverConfig {
        nameservers: vec![forger(internet, lie, u32::MAX).await],
        ..config(internet, &internet.root_key)
    });
    let error = resolve(&resolver, flow).await.expect_err(&what);
    let bogus = matches!(&error.kind, ResolveErrorKind::Bogus { why, .. } if why.contains(reason));
    assert!(bogus, "{what}: {error}\n{}", error.trace);
}

/// Without an anchor of ours the recursive resolver still keeps bogus answers to itself.
#[tokio::test]
async fn without_an_anchor_nothing_is_secure() {
    let internet = internet().await;
    let resolver = Resolver::new(config(internet, ""));
    let found = resolve(&resolver, "time.b.eu").await.expect("found");
    let insecure =
        matches!(&found.security, Security::Insecure { why } if why.contains("no trust anchor"));
    assert!(insecure, "{:?}", found.security);
    let error = resolve(&resolver, "time.bogus.eu")
        .await
        .expect_err("bogus");
    let failed =
        matches!(&error.kind, ResolveErrorKind::Failed { rcode, .. } if rcode == "SERVFAIL");
    assert!(failed, "{error}");
}

#[tokio::test]
async fn a_digest_is_an_anchor_too_and_a_wrong_one_is_none() {
    let internet = internet().await;
    let resolver = Resolver::new(config(internet, &internet.root_ds));
    let found = resolve(&resolver, "time.a.eu").await.expect("found");
    assert!(found.security.is_secure(), "{:?}", found.security);
    let digest = internet.root_ds.trim_end();
    let wrong = format!("{}0000", &digest[..digest.len() - 4]);
    let error = resolve(&Resolver::new(config(internet, &wrong)), "time.a.eu").await;
    let error = error.expect_err("no such key").to_string();
    assert!(
        error.contains("digest of the configured trust anchor"),
        "{error}"
    );
}

/// Whose servers are away, whoever else is found all the same.
#[tokio::test]
async fn an_anchor_that_can_t_be_fetched_concerns_its_own_zone_only() {
    let internet = internet().await;
    let digest = internet.root_ds.trim_start_matches('.');
    let anchors = format!("{}\npartner.example.{digest}", internet.root_key);
    let partner = StubZone {
        zone: name("partner.example"),
        servers: vec![named::free_port("127.0.0.1")],
    };
    let resolver = Resolver::new(ResolverConfig {
        stub_zones: vec![partner],
        ..config(internet, &anchors)
    });
    let found = resolve(&resolver, "time.a.eu").await.expect("found");
    assert_eq!(found.security, Security::Secure);
    let error = resolve(&resolver, "time.partner.example").await;
    assert!(error.expect_err("nobody answers").is_transient());
}

/// A zone that has an anchor of its own and is asked directly.
#[tokio::test]
async fn a_stub_zone_is_validated_from_its_own_anchor_only() {
    let internet = internet().await;
    let keys = question::set(internet.a, "a.eu.", RecordType::DNSKEY).await;
    let stub = |anchors: &str| ResolverConfig {
        nameservers: Vec::new(),
        stub_zones: vec![StubZone {
            zone: name("a.eu"),
            servers: vec![internet.a],
        }],
        ..config(internet, anchors)
    };
    let found = resolve(&Resolver::new(stub(&keys[0])), "time.a.eu").await;
    let found = found.expect("found");
    assert!(
        found.security.is_secure(),
        "{:?}\n{}",
        found.security,
        found.trace
    );
    let found = resolve(&Resolver::new(stub(&internet.root_key)), "time.a.eu").await;
    let found = found.expect("found");
    let insecure = matches!(&found.security, Security::Insecure { why } if why.contains("a.eu"));
    assert!(insecure, "{:?}", found.security);
}

/// That there is no such name is proven as well.
#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let internet = internet().await;
    for flow in ["missing.a.eu", "missing.b.eu", "missing.eu"] {
        let error = resolve(&validating(internet), flow).await.expect_err(flow);
        let missing = matches!(error.kind, ResolveErrorKind::NotFound { what: "flow", .. });
        assert!(missing, "{error}\n{}", error.trace);
    }
}

/// The recursive resolver remembers for an hour that the name does not exist; the zone's own
/// server knows better.
#[tokio::test]
async fn a_name_that_is_new_is_asked_of_its_zones_own_server() {
    let internet = internet().await;
    let resolver = validating(internet);
    question::ask(internet.resolver, "new.a.eu.", RecordType::PTR).await;
    resolve(&resolver, "new.a.eu").await.expect_err("not yet");
    register(internet, &flow("new")).await;
    let still = question::ask(internet.resolver, "new.a.eu.", RecordType::PTR).await;
    assert!(still.answers.is_empty(), "the resolver remembers");
    resolver.forget(&name("new.a.eu"));
    let found = resolve(&resolver, "new.a.eu").await.expect("found");
    assert!(
        found.security.is_secure(),
        "{:?}\n{}",
        found.security,
        found.trace
    );
    let trace = found.trace.to_string();
    assert!(trace.contains("Asking the name servers of a.eu"), "{trace}");
    let mut untrusting = config(internet, &internet.root_key);
    untrusting.address_policy = AddressPolicy::default();
    let refused = resolve(&Resolver::new(untrusting), "new.a.eu").await;
    let error = refused.expect_err("loopback is not permitted");
    assert!(
        matches!(error.kind, ResolveErrorKind::NotFound { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn aliases_are_followed_and_circles_refused() {
    let internet = internet().await;
    let stub = |zone, server| StubZone {
        zone: name(zone),
        servers: vec![server],
    };
    let direct = Resolver::new(ResolverConfig {
        stub_zones: vec![stub("a.eu", internet.a), stub("b.eu", internet.b)],
        ..config(internet, "")
    });
    for resolver in [&direct, &validating(internet)] {
        let found = resolve(resolver, "alias.b.eu").await.expect("found");
        assert_eq!(found.agents[0].host, name("fnaa.b.eu"));
    }
    let error = resolve(&direct, "circle.b.eu").await.expect_err("a circle");
    assert!(
        matches!(&error.kind, ResolveErrorKind::Chain { .. }),
        "{error}\n{}",
        error.trace
    );
}
