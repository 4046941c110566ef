//! Logins from both ends: rsasl's client against our server, and hostile bytes.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by panicking"
)]

use std::io::Cursor;
use std::sync::Arc;

use eson_identity::{
    Account, Authenticator, ConnectionSecurity, FailureReason, Identity, Mechanism, Proof,
    ScramVerifier, StartError, StaticAccounts, Step,
};
use eson_protocol::{Principal, Secret};
use proptest::prelude::*;
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::SASLClient;

const PROTECTED: ConnectionSecurity = ConnectionSecurity::Protected;

fn principal(text: &str) -> Identity {
    Identity::Principal(Principal::parse(text).unwrap())
}

fn authenticator() -> Authenticator {
    let users = StaticAccounts::default();
    let verifier = ScramVerifier::derive("test", b"0123456789abcdef", 4096).unwrap();
    let account = Account {
        identity: principal("test@orange.example"),
        proof: Proof::Verifier(verifier),
    };
    users.insert("test".to_owned(), account);
    let subscribers = StaticAccounts::default();
    let account = Account {
        identity: Identity::Subscriber {
            username: "sub-1".to_owned(),
        },
        proof: Proof::Password(Secret::new("derived".to_owned())),
    };
    subscribers.insert("sub-1".to_owned(), account);
    let domain = "orange.example".parse().unwrap();
    Authenticator::new(
        domain,
        vec![Arc::new(users), Arc::new(subscribers)],
        [7; 32],
    )
}

fn plain(message: &[u8]) -> Step {
    let login = authenticator().start("plain", PROTECTED).unwrap();
    login.step(message)
}

fn identity(step: Step) -> Identity {
    match step {
        Step::Done { identity, .. } => identity,
        other => panic!("{other:?}"),
    }
}

fn failure(step: Step) -> (Option<String>, FailureReason) {
    match step {
        Step::Failed { username, reason } => (username, reason),
        other => panic!("{other:?}"),
    }
}

fn challenge(step: Step) -> (eson_identity::Authentication, String) {
    match step {
        Step::Challenge(login, data) => (login, String::from_utf8(data).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// A whole SCRAM login by rsasl's client; the client checks the server's proof too.
fn scram(user: &str, password: &str) -> Step {
    let config = SASLConfig::with_credentials(None, user.into(), password.into()).unwrap();
    let mechanism = Mechname::parse(b"SCRAM-SHA-256").unwrap();
    let mut client = SASLClient::new(config)
        .start_suggested(&[mechanism])
        .unwrap();
    let mut login = authenticator().start("SCRAM-SHA-256", PROTECTED).unwrap();
    let mut from_server: Option<Vec<u8>> = None;
    loop {
        let mut response = Cursor::new(Vec::new());
        client.step(from_server.as_deref(), &mut response).unwrap();
        match login.step(response.get_ref()) {
            Step::Challenge(next, data) => (login, from_server) = (next, Some(data)),
            Step::Done {
                identity,
                final_data,
                standing,
            } => {
                let proof = final_data.as_deref();
                let state = client.step(proof, &mut Cursor::new(Vec::new())).unwrap();
                assert!(state.is_finished());
                return Step::Done {
                    identity,
                    final_data,
                    standing,
                };
            }
            failed @ Step::Failed { .. } => return failed,
        }
    }
}

#[test]
fn takes_the_drafts_plain_login() {
    assert_eq!(
        identity(plain(b"\0test\0test")),
        principal("test@orange.example")
    );
    let full = plain(b"test@orange.example\0test@Orange.example\0test");
    assert_eq!(identity(full), principal("test@orange.example"));
}

#[test]
fn refuses_plain_logins_and_says_why_in_the_log() {
    let test = Some("test".to_owned());
    let refused = failure(plain(b"\0test\0Test"));
    assert_eq!(refused, (test.clone(), FailureReason::WrongPassword));
    let refused = failure(plain(b"\0nobody\0test"));
    assert_eq!(
        refused,
        (Some("nobody".to_owned()), FailureReason::UnknownUser)
    );
    let refused = failure(plain(b"alice\0test\0test"));
    assert_eq!(refused, (test, FailureReason::AuthorizationIdentity));
    let elsewhere = failure(plain(b"\0test@blue.example\0test"));
    assert_eq!(elsewhere.1, FailureReason::UnknownUser);
    for junk in [
        "",
        "\0",
        "\0\0",
        "\0test",
        "\0test\0",
        "\0\0test",
        "\0a\0b\0c",
    ] {
        assert_eq!(
            failure(plain(junk.as_bytes())).1,
            FailureReason::Malformed,
            "{junk:?}"
        );
    }
    let derived = plain(b"\0sub-1\0derived");
    assert!(matches!(identity(derived), Identity::Subscriber { .. }));
}

#[test]
fn takes_scram_from_an_independent_client() {
    assert_eq!(
        identity(scram("test", "test")),
        principal("test@orange.example")
    );
    assert_eq!(
        identity(scram("test@orange.example", "test")),
        principal("test@orange.example")
    );
    assert!(matches!(
        identity(scram("sub-1", "derived")),
        Identity::Subscriber { .. }
    ));
    for (user, password, reason) in [
        ("test", "Test", FailureReason::WrongPassword),
        ("sub-1", "test", FailureReason::WrongPassword),
        ("nobody", "test", FailureReason::UnknownUser),
    ] {
        assert_eq!(
            failure(scram(user, password)),
            (Some(user.to_owned()), reason)
        );
    }
}

#[test]
fn a_user_that_does_not_exist_looks_like_one() {
    let first = |user: &str| {
        let login = authenticator().start("SCRAM-SHA-256", PROTECTED).unwrap();
        let (_, data) = challenge(login.step(format!("n,,n={user},r=abc").as_bytes()));
        data.split_once(",s=").unwrap().1.to_owned()
    };
    let rounds = |challenge: &str| challenge.rsplit_once(",i=").unwrap().1.to_owned();
    assert_eq!(first("nobody"), first("nobody"));
    assert_ne!(first("nobody"), first("nemo"));
    assert_eq!(first("nobody").len(), first("test").len());
    assert_eq!(rounds(&first("nobody")), rounds(&first("test")));
}

#[test]
fn an_account_that_is_replaced_meanwhile_is_not_logged_in() {
    let users = Arc::new(StaticAccounts::default());
    let account = |password: &str| {
        let verifier = ScramVerifier::derive(password, b"0123456789abcdef", 4096).unwrap();
        Account {
            identity: principal("test@orange.example"),
            proof: Proof::Verifier(verifier),
        }
    };
    users.insert("test".to_owned(), account("old"));
    let domain = "orange.example".parse().unwrap();
    let authenticator = Authenticator::new(domain, vec![Arc::clone(&users) as _], [7; 32]);
    let plain = |message: &[u8]| {
        let login = authenticator.start("PLAIN", PROTECTED).unwrap();
        login.step(message)
    };
    assert_eq!(
        identity(plain(b"\0test\0old")),
        principal("test@orange.example")
    );
    users.replace([("test".to_owned(), account("new"))]);
    assert_eq!(
        failure(plain(b"\0test\0old")).1,
        FailureReason::WrongPassword
    );
    assert_eq!(
        identity(plain(b"\0test\0new")),
        principal("test@orange.example")
    );
    users.remove("test");
    assert_eq!(failure(plain(b"\0test\0new")).1, FailureReason::UnknownUser);
}

#[test]
fn the_first_source_that_knows_a_user_decides() {
    let source = |password: &str| {
        let accounts = StaticAccounts::default();
        let account = Account {
            identity: principal(&format!("{password}@orange.example")),
            proof: Proof::Password(Secret::new(password.to_owned())),
        };
        accounts.insert("test".to_owned(), account);
        Arc::new(accounts) as Arc<dyn eson_identity::IdentitySource>
    };
    let domain = "orange.example".parse().unwrap();
    let sources = vec![source("first"), source("second")];
    let authenticator = Authenticator::new(domain, sources, [7; 32]);
    let login = |message: &[u8]| {
        let login = authenticator.start("PLAIN", PROTECTED).unwrap();
        login.step(message)
    };
    assert_eq!(
        identity(login(b"\0test\0first")),
        principal("first@orange.example")
    );
    assert_eq!(
        failure(login(b"\0test\0second")).1,
        FailureReason::WrongPassword
    );
}

#[test]
fn only_what_takes_time_is_costly() {
    let start = |mechanism: &str| authenticator().start(mechanism, PROTECTED).unwrap();
    assert!(!start("ANONYMOUS").is_costly());
    assert!(start("PLAIN").is_costly());
    assert!(start("SCRAM-SHA-256").is_costly());
    let (login, _) = challenge(start("SCRAM-SHA-256").step(b"n,,n=test,r=abc"));
    assert!(!login.is_costly());
}

#[test]
fn nothing_that_is_printed_tells_a_secret() {
    let account = Account {
        identity: principal("test@orange.example"),
        proof: Proof::Password(Secret::new("pencil".to_owned())),
    };
    let login = authenticator().start("PLAIN", PROTECTED).unwrap();
    let printed = format!("{account:?} {:?} {login:?}", authenticator());
    assert!(!printed.contains("pencil"), "{printed}");
    assert!(!printed.contains("7, 7"), "{printed}");
}

#[test]
fn anonymous_is_nobody_in_particular() {
    for trace in [&b""[..], b"alice@blue.example"] {
        let login = authenticator().start("ANONYMOUS", ConnectionSecurity::Plaintext);
        assert_eq!(identity(login.unwrap().step(trace)), principal("anonymous"));
    }
}

#[test]
fn credentials_need_a_protected_connection() {
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
        let refused = authenticator().start(mechanism.as_str(), ConnectionSecurity::Plaintext);
        assert_eq!(refused.unwrap_err(), StartError::NeedsPrivacy(mechanism));
        let allowed = ConnectionSecurity::PlaintextAllowed;
        assert!(authenticator().start(mechanism.as_str(), allowed).is_ok());
    }
    let offered: Vec<_> = Authenticator::mechanisms(ConnectionSecurity::Plaintext).collect();
    assert_eq!(offered, [Mechanism::Anonymous]);
    let unknown = authenticator()
        .start("SCRAM-SHA-512", PROTECTED)
        .unwrap_err();
    assert_eq!(
        unknown,
        StartError::UnknownMechanism("SCRAM-SHA-512".to_owned())
    );
}

#[test]
fn short_attributes_end_the_login_and_not_the_server() {
    for junk in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n",
        "n,,n=",
        "n,,n=u,",
        "n,,n=u,r",
        "n,a,n=u,r=x",
        "p,,n=u,r=x",
    ] {
        let login = authenticator().start("SCRAM-SHA-256", PROTECTED).unwrap();
        assert_eq!(
            failure(login.step(junk.as_bytes())).1,
            FailureReason::Malformed,
            "{junk}"
        );
    }
    for junk in [
        "",
        "c",
        "c=biws",
        "c=biws,r",
        "c=biws,r=x",
        "c=biws,r=x,p",
        "c=biws,r=x,p=,",
    ] {
        let login = authenticator().start("SCRAM-SHA-256", PROTECTED).unwrap();
        let (login, _) = challenge(login.step(b"n,,n=test,r=abc"));
        assert_eq!(
            failure(login.step(junk.as_bytes())).1,
            FailureReason::Malformed,
            "{junk}"
        );
    }
}

fn attribute() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]=[ -~]{0,8}",
        "[ -~]{0,3}",
        Just(String::new()),
        Just("c=biws".to_owned())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_log_anybody_in(first in prop::collection::vec(attribute(), 0..6),
                               second in prop::collection::vec(attribute(), 0..6)) {
        let login = authenticator_without_work().start("SCRAM-SHA-256", PROTECTED).unwrap();
        let first = format!("n,,{}", first.join(","));
        if let Step::Challenge(login, _) = login.step(first.as_bytes()) {
            let failed = matches!(login.step(second.join(",").as_bytes()), Step::Failed { .. });
            prop_assert!(failed);
        }
    }
}

fn authenticator_without_work() -> Authenticator {
    Authenticator::new("orange.example".parse().unwrap(), Vec::new(), [7; 32])
}
