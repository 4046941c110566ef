//! Participants that meet over TLS: FNAP, and the events of embedded queues, which pass over it too.

use std::net::SocketAddr;
use std::path::Path;

use eson_tests::participant::{Identity, Names, Queues};
use eson_tests::ports::free_port;
use eson_tests::{Certificates, Participant, RawFnap, data_dir};

use crate::events::{await_numbered, write_numbered};

/// One that speaks TLS on the port that DNS tells. Tests, which don't, log in on a second one.
fn start_with_tls(identity: &Identity, certificates: &Certificates) -> Participant {
    let text = Participant::configuration(identity, Queues::Local, Names::Embedded, &[]);
    let tls = format!(
        "listen:\n  - address: 127.0.0.1:{}\n    tls: {{ certificate: {}, key: {} }}\n",
        free_port(),
        certificates.chain.display(),
        certificates.key.display()
    );
    Participant::start_with(
        identity,
        &text.replace("listen:\n  - address", &format!("{tls}  - address")),
    )
}

/// One that knows the other's authority, or doesn't.
fn start_beside(identity: &Identity, other: &Identity, authority: Option<&Path>) -> Participant {
    let text = Participant::configuration(identity, Queues::Local, Names::Embedded, &[other]);
    let trust = authority.map(|path| format!("    tls-ca: {}\n", path.display()));
    let peer = format!(
        "peers:\n  - domain: {}\n    trusted-networks: [127.0.0.0/8]\n{}",
        other.domain,
        trust.unwrap_or_default()
    );
    Participant::start_with(identity, &text.replace("peers:\n", &peer))
}

#[test]
fn events_pass_between_those_who_trust_the_authority() {
    let [orange, blue, green] =
        ["orange.example", "blue.example", "green.example"].map(Identity::new);
    let certificates =
        Certificates::make(&data_dir("certificates"), &[&orange.domain, &orange.fnaa()]);
    let flow = orange.flow("sealed");
    let orange_server = start_with_tls(&orange, &certificates);
    let mut owner = orange_server.login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));

    let blue_server = start_beside(&blue, &orange, Some(&certificates.authority));
    let mut session = blue_server.login();
    let local = blue.flow("sealed");
    session.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    write_numbered(&mut owner, &flow, 0..100);
    await_numbered(&mut session, &local, 0..100);

    let green_server = start_beside(&green, &orange, None);
    let local = green.flow("sealed");
    let refused = green_server
        .login()
        .ask(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    assert_eq!("451 [BACKEND]", refused.code(), "{refused:?}");
    assert!(refused.status.contains("certificate"), "{refused:?}");
    assert_eq!(1, owner.ok(&format!("GET SUBSCRIBERS {flow}")).data.len());
}

/// Whoever listens on the way would read the copy with it.
#[test]
fn a_copys_password_is_not_handed_over_in_the_open() {
    let orange = Identity::new("orange.example");
    let text = Participant::configuration(&orange, Queues::Local, Names::Embedded, &[]);
    let open = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listen = format!("    plaintext-auth: true\n  - address: {open}\n");
    let server = Participant::start_with(
        &orange,
        &text.replace("    plaintext-auth: true\n", &listen),
    );
    let flow = orange.flow("guarded");
    let mut owner = server.login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));

    let mut stranger = RawFnap::connect(open);
    stranger.line();
    stranger.send("AUTHENTICATE ANONYMOUS");
    stranger.expect("220 OK");
    stranger.send("");
    stranger.expect("220 Authenticated");
    stranger.ok("ENABLE attributes");
    let refused = stranger.ask(&format!("SUBSCRIBE {flow} id=first"));
    assert_eq!("534 [PRIVACY]", refused.code(), "{refused:?}");
    assert!(owner.ok(&format!("GET SUBSCRIBERS {flow}")).data.is_empty());
}
