//! AUTHENTICATE.

use eson_client::{Client, ClientError, Credentials};
use eson_protocol::{Code, Command};

use crate::{Observed, Script, connected};

fn plain() -> Credentials {
    Credentials::Plain {
        user: "test".into(),
        password: "test".into(),
    }
}

fn best() -> Credentials {
    Credentials::Best {
        user: "test".into(),
        password: "test".into(),
    }
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let observed = Observed::default();
    let (stream, script) = Script::play(
        "S: 220 fnaa.unix.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 220 Authenticated",
    );
    let client = Client::over(Box::new(stream), "the script", true, &observed.options()).await;
    let mut client = client.expect("a greeting");
    client.authenticate(&plain()).await.expect("in");
    assert_eq!(
        observed.lines(),
        [
            "S: 220 fnaa.unix.ar FNAA",
            "C 20: AUTHENTICATE PLAIN",
            "S: 220 OK",
            "C 18: ****",
            "S: 220 Authenticated",
        ]
    );
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn a_wrong_password_may_be_tried_again() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 535 [CREDENTIALS] the user or the password is wrong
         C: AUTHENTICATE ANONYMOUS
         S: 220 OK
         C: YWxpY2U=
         S: 220 Authenticated",
    )
    .await;
    let error = client.authenticate(&plain()).await.expect_err("wrong");
    assert!(error.is(Code::Credentials), "{error}");
    let anonymous = Credentials::Anonymous {
        trace: "alice".into(),
    };
    client.authenticate(&anonymous).await.expect("in");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn no_password_in_plaintext() {
    let (stream, script) = Script::play("S: 220 fnaa.unix.ar FNAA");
    let client = Client::over(Box::new(stream), "far away", false, &crate::options()).await;
    let mut client = client.expect("a greeting");
    for credentials in [plain(), best()] {
        let error = client
            .authenticate(&credentials)
            .await
            .expect_err("not safe");
        assert!(matches!(error, ClientError::Plaintext { .. }), "{error}");
    }
    drop(client);
    // The script's end checks that nothing was sent.
    script.end().await;
}

#[tokio::test]
async fn plaintext_where_it_is_allowed() {
    let (stream, script) = Script::play(
        "S: 220 fnaa.unix.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 220 Authenticated",
    );
    let mut options = crate::options();
    options.allow_plaintext = true;
    let client = Client::over(Box::new(stream), "far away", false, &options).await;
    let mut client = client.expect("a greeting");
    client.authenticate(&plain()).await.expect("in");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn the_best_mechanism_is_chosen() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: CAPABILITIES
         S: 220 DATA
         S: version=1
         S: auth=PLAIN SCRAM-SHA-256 ANONYMOUS
         S: 220 OK
         C: AUTHENTICATE SCRAM-SHA-256
         S: 534 [PRIVACY] use TLS
         C: CAPABILITIES
         S: 220 DATA
         S: auth=ANONYMOUS
         S: auth=plain
         S: 220 OK
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 220 Authenticated",
    )
    .await;
    let error = client.authenticate(&best()).await.expect_err("no TLS");
    assert!(error.is(Code::Privacy), "{error}");
    client.authenticate(&best()).await.expect("in");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn no_mechanism_fits() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: CAPABILITIES
         S: 220 DATA
         S: auth=ANONYMOUS
         S: 220 OK",
    )
    .await;
    let error = client
        .authenticate(&best())
        .await
        .expect_err("nothing fits");
    assert!(error.to_string().contains("ANONYMOUS"), "{error}");
    drop(client);
    script.end().await;
}

/// A server that lets everybody in has not proven that it knows the user.
#[tokio::test]
async fn an_impostor_that_says_authenticated() {
    let (stream, mut server) = tokio::io::duplex(4096);
    let impostor = tokio::spawn(async move {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let mut server = BufReader::new(&mut server);
        let mut line = String::new();
        for answer in ["220 x FNAA\r\n", "220 OK\r\n", "220 Authenticated\r\n"] {
            server.write_all(answer.as_bytes()).await.expect("sent");
            server.read_line(&mut line).await.expect("a line");
        }
    });
    let client = Client::over(Box::new(stream), "the impostor", true, &crate::options()).await;
    let mut client = client.expect("a greeting");
    let credentials = Credentials::ScramSha256 {
        user: "test".into(),
        password: "test".into(),
    };
    let error = client
        .authenticate(&credentials)
        .await
        .expect_err("no proof");
    assert!(matches!(error, ClientError::Sasl { .. }), "{error}");
    drop(client);
    impostor.await.expect("the impostor plays to its end");
}

/// A challenge that makes no sense is answered with `*`, and the session goes on.
#[tokio::test]
async fn a_senseless_challenge_is_cancelled() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: AUTHENTICATE PLAIN
         S: 220 OK
         C: AHRlc3QAdGVzdA==
         S: 334 bW9yZQ==
         C: *
         S: 501 [ARGUMENT] cancelled
         C: NOOP
         S: 220 OK",
    )
    .await;
    let error = client
        .authenticate(&plain())
        .await
        .expect_err("no such step");
    assert!(matches!(error, ClientError::Sasl { .. }), "{error}");
    client.command(&Command::Noop).await.expect("goes on");
    drop(client);
    script.end().await;
}
