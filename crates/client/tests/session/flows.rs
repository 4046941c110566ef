//! READ FLOW and WRITE FLOW.

use eson_client::{ClientError, FlowReader};
use eson_protocol::{Code, Command, EventFormat, ReadOptions, Start, StorePosition};

use crate::{connected, name};

const ONE: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
const TWO: &str = r#"{"specversion":"1.0","id":"2","source":"/s","type":"t"}"#;

#[tokio::test]
async fn a_read_ends_by_itself() {
    let (mut client, script) = connected(
        r#"S: 220 fnaa.unix.ar FNAA
           C: READ FLOW time.flows.unix.ar from=earliest max=2
           S: 220 DATA
           S: {"specversion":"1.0","id":"1","source":"/s","type":"t"}
           S: {"specversion":"1.0","id":"2","source":"/s","type":"t"}
           S: 220 OK
           C: NOOP
           S: 220 OK"#,
    )
    .await;
    let options = ReadOptions {
        from: Some(Start::Earliest),
        max: Some(2),
        ..ReadOptions::default()
    };
    let flow = name("time.flows.unix.ar");
    let mut reader = client.read_flow(&flow, &options).await.expect("reads");
    assert_eq!(
        reader.next_line().await.expect("one").as_deref(),
        Some(ONE.as_bytes())
    );
    assert_eq!(
        reader.next_line().await.expect("two").as_deref(),
        Some(TWO.as_bytes())
    );
    assert_eq!(reader.next_line().await.expect("the end"), None);
    assert_eq!(reader.next_line().await.expect("still the end"), None);
    client.command(&Command::Noop).await.expect("goes on");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn a_followed_read_is_ended_by_an_empty_line() {
    let (client, script) = connected(
        r#"S: 220 fnaa.unix.ar FNAA
           C: READ FLOW time.flows.unix.ar follow=true
           S: 220 DATA
           S: {"specversion":"1.0","id":"1","source":"/s","type":"t"}
           C:
           S: {"specversion":"1.0","id":"2","source":"/s","type":"t"}
           S: 220 OK
           C: NOOP
           S: 220 OK"#,
    )
    .await;
    let options = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let flow = name("time.flows.unix.ar");
    let mut reader = FlowReader::open(client, &flow, &options)
        .await
        .expect("reads");
    assert_eq!(
        reader.next_line().await.expect("one").as_deref(),
        Some(ONE.as_bytes())
    );
    let mut client = reader.into_client().await.expect("ends");
    client.command(&Command::Noop).await.expect("goes on");
    drop(client);
    script.end().await;
}

/// Dropping a wait and waiting again loses nothing.
#[tokio::test(start_paused = true)]
async fn waiting_for_an_event_is_cancel_safe() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (stream, mut server) = tokio::io::duplex(4096);
    server
        .write_all(b"220 x FNAA\r\n220 DATA\r\n")
        .await
        .expect("room");
    let client = eson_client::Client::over(Box::new(stream), "x", true, &crate::options()).await;
    let mut client = client.expect("a greeting");
    let options = ReadOptions {
        follow: true,
        ..ReadOptions::default()
    };
    let flow = name("a.example");
    let mut reader = client.read_flow(&flow, &options).await.expect("reads");
    let mut command = [0; b"READ FLOW a.example follow=true\r\n".len()];
    server.read_exact(&mut command).await.expect("the command");
    for piece in ONE.as_bytes().chunks(7).chain([&b"\r\n"[..]]) {
        let wait = std::time::Duration::from_secs(3600);
        let early = tokio::time::timeout(wait, reader.next_line()).await;
        early.expect_err("the line is not there yet, and a followed read waits for ever");
        server.write_all(piece).await.expect("room");
    }
    let line = reader.next_line().await.expect("the line");
    assert_eq!(line.as_deref(), Some(ONE.as_bytes()));
}

#[tokio::test]
async fn a_reader_that_is_dropped_leaves_the_session_interrupted() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: READ FLOW a.example
         S: 220 DATA",
    )
    .await;
    let flow = name("a.example");
    let reading = client.read_flow(&flow, &ReadOptions::default()).await;
    assert!(reading.is_ok());
    let error = client
        .command(&Command::Noop)
        .await
        .expect_err("out of step");
    assert!(matches!(error, ClientError::Interrupted { .. }), "{error}");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn a_read_may_be_refused_at_once_or_in_the_middle() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: READ FLOW a.example
         S: 552 [DENIED] you may not read a.example
         C: READ FLOW b.example
         S: 220 DATA
         S: 451 [BACKEND] the broker has gone
         C: NOOP
         S: 220 OK",
    )
    .await;
    let options = ReadOptions::default();
    let error = client
        .read_flow(&name("a.example"), &options)
        .await
        .err()
        .expect("refused");
    assert!(error.is(Code::Denied), "{error}");
    let flow = name("b.example");
    let mut reader = client.read_flow(&flow, &options).await.expect("reads");
    let error = reader.next_line().await.expect_err("gone");
    assert!(error.is(Code::Backend) && error.is_transient(), "{error}");
    client.command(&Command::Noop).await.expect("goes on");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn events_are_written_and_counted() {
    let (mut client, script) = connected(
        r#"S: 220 fnaa.unix.ar FNAA
           C: WRITE FLOW time.flows.unix.ar
           S: 354 send events, one a line; end with a dot
           C: {"specversion":"1.0","id":"1","source":"/s","type":"t"}
           C: {"specversion":"1.0","id":"2","source":"/s","type":"t"}
           C: .
           S: 220 OK 2"#,
    )
    .await;
    let flow = name("time.flows.unix.ar");
    let format = EventFormat::CloudEvents;
    let written = client.write_flow(&flow, format, None, &[ONE, TWO]).await;
    assert_eq!(written.expect("written"), 2);
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn a_position_goes_with_the_events() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: WRITE FLOW a.example format=record processor=p source=3 first=10 next=11 to=0
         S: 354 send events
         C: {}
         C: .
         S: 220 OK 1",
    )
    .await;
    let position = StorePosition {
        processor: "p".into(),
        partition: 3,
        first: 10,
        next: 11,
        to: 0,
        epoch: None,
    };
    let flow = name("a.example");
    let written = client
        .write_flow(&flow, EventFormat::Record, Some(&position), &["{}"])
        .await;
    assert_eq!(written.expect("written"), 1);
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn bad_events_and_refused_flows() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: WRITE FLOW a.example
         S: 552 [DENIED] you may not write a.example
         C: WRITE FLOW b.example
         S: 354 send events
         C: {}
         C: .
         S: 501 [ARGUMENT] line 1: an event needs an id
         C: NOOP
         S: 220 OK",
    )
    .await;
    let format = EventFormat::CloudEvents;
    let error = client
        .write_flow(&name("a.example"), format, None, &["{}"])
        .await;
    assert!(error.expect_err("refused").is(Code::Denied));
    let error = client
        .write_flow(&name("b.example"), format, None, &["{}"])
        .await;
    assert!(error.expect_err("refused").is(Code::Argument));
    let error = client
        .write_flow(&name("b.example"), format, None, &["{}", "."])
        .await;
    assert!(matches!(
        error.expect_err("no JSON"),
        ClientError::Unsendable(_)
    ));
    client.command(&Command::Noop).await.expect("goes on");
    drop(client);
    script.end().await;
}

/// The server closes while events are still being sent: what it said is the error.
#[tokio::test]
async fn a_server_that_has_had_enough_says_why() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (stream, mut server) = tokio::io::duplex(256);
    let server = tokio::spawn(async move {
        server
            .write_all(b"220 x FNAA\r\n354 go on\r\n")
            .await
            .expect("room");
        let mut some = [0; 64];
        server.read_exact(&mut some).await.expect("the command");
        let farewell = b"421 the batch is larger than limits.write\r\n";
        server.write_all(farewell).await.expect("room");
    });
    let client = eson_client::Client::over(Box::new(stream), "x", true, &crate::options()).await;
    let mut client = client.expect("a greeting");
    let events = vec![ONE; 10_000];
    let flow = name("a.example");
    let written = client.write_flow(&flow, EventFormat::CloudEvents, None, &events);
    let error = written.await.expect_err("too much");
    assert!(error.is(Code::Closing), "{error}");
    server.await.expect("the server plays to its end");
}
