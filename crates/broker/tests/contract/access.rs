//! Credentials: granted, suspended, revoked.

use eson_broker::{BrokerError, Credential, Lease, QueueReader, Rates, Secret};
use eson_protocol::Start;

use super::{Fixture, created, end_of, expected, from, read, soon, values, write};

fn credential(queue: &str) -> Credential {
    Credential {
        mechanism: "SCRAM-SHA-256".to_owned(),
        username: format!("reader-of-{queue}"),
        password: Secret::new("a password".to_owned()),
    }
}

fn is_refused(error: &BrokerError) -> bool {
    matches!(
        error,
        BrokerError::Denied { .. } | BrokerError::Unauthenticated { .. }
    )
}

async fn granted(fixture: &dyn Fixture, queue: &str) -> (Credential, Box<dyn QueueReader>) {
    let credential = credential(queue);
    let admin = fixture.admin();
    for _ in 0..2 {
        let granted = admin.grant(queue, &credential, Lease::Granted).await;
        granted.expect("granted, also again");
    }
    let reader = fixture.open_reader_as(&credential, queue, from(Start::Earliest));
    let reader = soon(reader).await.expect("a reader");
    (credential, reader)
}

/// Opens a reader and reads; the error of the first that is refused.
async fn refusal(fixture: &dyn Fixture, credential: &Credential, queue: &str) -> BrokerError {
    match soon(fixture.open_reader_as(credential, queue, from(Start::Earliest))).await {
        Ok(mut reader) => end_of(&mut reader).await,
        Err(error) => error,
    }
}

/// A credential reads what it was made for and nothing else.
pub(crate) async fn a_credential_reads_its_queue_and_no_other(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    let (other, _) = created(fixture, 1).await;
    write(fixture, &name, 0, 0..3).await;
    write(fixture, &other, 0, 0..3).await;
    let (credential, mut reader) = granted(fixture, &name).await;
    assert_eq!(values(&read(&mut reader, 3).await), expected(0..3));
    let refused = refusal(fixture, &credential, &other).await;
    let hidden = matches!(refused, BrokerError::NotFound(_));
    assert!(is_refused(&refused) || hidden, "{refused:?}");
    let nowhere = fixture
        .admin()
        .grant(&fixture.queue(), &credential, Lease::Granted)
        .await;
    assert!(
        matches!(nowhere, Err(BrokerError::NotFound(_))),
        "{nowhere:?}"
    );
}

/// A lapsed lease ends reading and keeps the data; granted again, the credential reads on.
pub(crate) async fn a_suspended_credential_reads_nothing_until_granted_again(
    fixture: &dyn Fixture,
) {
    let (name, _) = created(fixture, 1).await;
    write(fixture, &name, 0, 0..3).await;
    let (credential, mut reader) = granted(fixture, &name).await;
    read(&mut reader, 3).await;
    let admin = fixture.admin();
    let suspended = admin.grant(&name, &credential, Lease::Suspended).await;
    suspended.expect("suspended");
    let end = end_of(&mut reader).await;
    assert!(is_refused(&end), "{end:?}");
    let refused = refusal(fixture, &credential, &name).await;
    assert!(is_refused(&refused), "{refused:?}");

    let (_, mut reader) = granted(fixture, &name).await;
    assert_eq!(values(&read(&mut reader, 3).await), expected(0..3));
}

/// A revoked credential reads nothing more, also where it was reading; again is no error.
pub(crate) async fn a_revoked_credential_ends_its_readers(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    write(fixture, &name, 0, 0..3).await;
    let (credential, mut reader) = granted(fixture, &name).await;
    read(&mut reader, 3).await;
    for _ in 0..2 {
        let revoked = fixture.admin().revoke(&name, &credential.username).await;
        revoked.expect("revoked, also again");
    }
    let end = end_of(&mut reader).await;
    assert!(is_refused(&end), "{end:?}");
    let refused = refusal(fixture, &credential, &name).await;
    assert!(is_refused(&refused), "{refused:?}");
}

/// Listing works whether somebody reads or not, and nobody is behind by more than there is.
pub(crate) async fn consumers_are_listed(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    write(fixture, &name, 0, 0..5).await;
    let (_, mut reader) = granted(fixture, &name).await;
    read(&mut reader, 5).await;
    let listed = soon(fixture.admin().list_consumers(&name)).await;
    for consumer in listed.expect("a list") {
        assert!(!consumer.name.is_empty());
        assert!(consumer.lag.is_none_or(|lag| lag <= 5));
    }
}

/// A limit on what a credential reads is set, changed and lifted; what is read is the same.
pub(crate) async fn a_reader_is_limited(fixture: &dyn Fixture) {
    let (name, _) = created(fixture, 1).await;
    write(fixture, &name, 0, 0..3).await;
    let (credential, mut reader) = granted(fixture, &name).await;
    let (admin, username) = (fixture.admin(), &credential.username);
    for bytes in [1 << 20, 1 << 20, 2 << 20, 0, 0] {
        let rates = Rates { events: 0, bytes };
        let limited = admin.limit_reader(&name, username, rates).await;
        limited.expect("limited");
    }
    assert_eq!(values(&read(&mut reader, 3).await), expected(0..3));
    admin.revoke(&name, username).await.expect("revoked");
    let lifted = admin.limit_reader(&name, username, Rates::default()).await;
    lifted.expect("nothing is left to lift");
}
