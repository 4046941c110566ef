//! The four mistakes of the draft's proof of concept, none of which may come back.

use eson_tests::Ground;
use eson_tests::fnap::Answer;

use crate::stage::{new_flow, world};

/// It answered commands without authentication.
#[test]
fn nothing_is_done_before_authentication() {
    let orange = world(Ground::Embedded).orange();
    let flow = new_flow(orange, "unauthenticated");
    let mut session = orange.connect();
    session.line();
    for command in [
        format!("CREATE FLOW {flow}"),
        format!("DESCRIBE FLOW {flow}"),
        format!("SUBSCRIBE {flow}"),
        format!("WRITE FLOW {flow}"),
        format!("READ FLOW {flow}"),
        "GET FLOWS".to_owned(),
        "WHOAMI".to_owned(),
    ] {
        session.refused(&command, "530 [AUTH]");
    }
    orange
        .login()
        .refused(&format!("DESCRIBE FLOW {flow}"), "550 [NOTFOUND]");
}

/// It shared one client's login with all.
#[test]
fn a_login_is_one_sessions_own() {
    let orange = world(Ground::Embedded).orange();
    let mut before = orange.connect();
    before.line();
    let mut user = orange.login();
    let mut after = orange.connect();
    after.line();
    let mut anonymous = orange.anonymous();
    assert!(
        user.ok("WHOAMI")
            .data
            .iter()
            .any(|line| line.contains("test@"))
    );
    for stranger in [&mut before, &mut after] {
        stranger.refused("WHOAMI", "530 [AUTH]");
    }
    let who: Answer = anonymous.ok("WHOAMI");
    assert!(
        !who.data.iter().any(|line| line.contains("test@")),
        "{who:?}"
    );
}

/// It took a namespace for its own by substring.
#[test]
fn a_namespace_is_matched_by_whole_labels_at_the_end() {
    let orange = world(Ground::Embedded).orange();
    let mut session = orange.login();
    for stranger in [
        "time.flows.orange.example.evil.example",
        "time.xflows.orange.example",
        "flows.orange.example.com",
        "time.flows.orange.exampl",
    ] {
        session.refused(&format!("CREATE FLOW {stranger}"), "551 [NOTLOCAL]");
    }
    session.refused("CREATE FLOW flows.orange.example", "553 [NAME]");
}

/// It let a client end the server.
#[test]
fn no_client_ends_the_server() {
    let orange = world(Ground::Embedded).orange();
    let mut user = orange.login();
    let id = orange.id();
    for ending in ["QUIT", "EXIT", "SHUTDOWN", "CLOSE", "STOP", "quit"] {
        let mut session = orange.login();
        session.send(ending);
        session.line();
    }
    for abrupt in [
        &b""[..],
        b"\r\n",
        b"AUTHENTICATE PLAIN\r\n",
        b"\0\0\0\0\r\n",
        b"*\r\n",
    ] {
        let mut session = orange.connect();
        session.send_bytes(abrupt);
        drop(session);
    }
    assert!(user.ok("NOOP").is_ok());
    assert!(orange.login().ok("NOOP").is_ok());
    assert_eq!(id, orange.id());
}
