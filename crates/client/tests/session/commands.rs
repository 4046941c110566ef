//! Commands and replies.

use eson_client::{Client, ClientError, Credentials};
use eson_protocol::{
    Code, Command, DataLine, FlowOptions, RemoteSubscribe, Reply, SubscribeOptions,
};

use tokio::io::AsyncWriteExt;

use crate::{Observed, Script, connect, connected, name, options};

fn text(line: &str) -> DataLine {
    DataLine::Text(line.to_owned())
}

fn data(reply: Reply) -> Vec<DataLine> {
    match reply {
        Reply::Data(lines, _) => lines,
        Reply::Status(status) => panic!("no data but {status}"),
    }
}

const USER_TO_FNAA: &str = "
    S: 220 fnaa.unix.ar FNAA
    C: AUTHENTICATE PLAIN
    S: 220 OK
    C: AHRlc3QAdGVzdA==
    S: 220 Authenticated
    C: CREATE FLOW time.flows.unix.ar
    S: 220 OK time.flows.unix.ar
    C: DESCRIBE FLOW time.flows.unix.ar
    S: 220 DATA
    S: flow=time.flows.unix.ar
    S: type=kafka
    S: topic=time.flows.unix.ar
    S: server=kf1.unix.ar:9092
    S: 220 OK
    C: SUBSCRIBE time.flows.unix.ar LOCAL emiliano.ar-time.flows.unix.ar
    S: 220 DATA
    S: emiliano.ar-time.flows.unix.ar SUBSCRIBED TO ksdj898.time.flows.unix.ar
    S: 220 OK
    C: QUIT
    S: 220 Bye";

#[tokio::test]
async fn the_drafts_use_cases() {
    let (mut client, script) = connected(USER_TO_FNAA).await;
    assert_eq!(client.server_name(), Some("fnaa.unix.ar"));
    let credentials = Credentials::Plain {
        user: "test".into(),
        password: "test".into(),
    };
    client.authenticate(&credentials).await.expect("in");

    let flow = name("time.flows.unix.ar");
    let create = Command::CreateFlow(flow.clone(), FlowOptions::default());
    let reply = client.command(&create).await.expect("created");
    assert_eq!(reply.status().text, "OK time.flows.unix.ar");

    let describe = Command::DescribeFlow(flow.clone());
    let lines = data(client.command(&describe).await.expect("described"));
    let server = DataLine::Attribute("server".to_owned(), "kf1.unix.ar:9092".to_owned());
    assert_eq!((lines.len(), lines.last()), (4, Some(&server)));

    let subscribe = Command::SubscribeLocal {
        remote: flow,
        local: name("emiliano.ar-time.flows.unix.ar"),
        options: SubscribeOptions::default(),
    };
    let lines = data(client.command(&subscribe).await.expect("subscribed"));
    let expected = "emiliano.ar-time.flows.unix.ar SUBSCRIBED TO ksdj898.time.flows.unix.ar";
    assert_eq!(lines, [text(expected)]);

    client.quit().await;
    script.end().await;
}

#[tokio::test]
async fn an_fnaa_to_another() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: SUBSCRIBE time.flows.unix.ar
         S: 220 DATA
         S: ksdj898.time.flows.unix.ar
         S: 220 OK
         C: QUIT
         S: 220 Bye",
    )
    .await;
    let subscribe =
        Command::SubscribeRemote(name("time.flows.unix.ar"), RemoteSubscribe::default());
    let lines = data(client.command(&subscribe).await.expect("subscribed"));
    assert_eq!(lines, [text("ksdj898.time.flows.unix.ar")]);
    client.quit().await;
    script.end().await;
}

#[tokio::test]
async fn a_refusal_is_an_error_and_the_session_goes_on() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: DESCRIBE FLOW a.example
         S: 550 [NOTFOUND] there is no flow a.example
         C: NOOP
         S: 220 OK",
    )
    .await;
    let describe = Command::DescribeFlow(name("a.example"));
    let error = client.command(&describe).await.expect_err("not there");
    assert!(error.is(Code::NotFound), "{error}");
    assert!(!error.is_transient());
    client.command(&Command::Noop).await.expect("goes on");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn data_that_looks_like_a_status() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: HELP
         S: 220 DATA
         S: =220 OK is no end
         S: ==x
         S: 220 OK",
    )
    .await;
    let lines = data(client.command(&Command::Help).await.expect("help"));
    assert_eq!(lines, [text("220 OK is no end"), text("=x")]);
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn pipelined_commands_are_sent_before_the_first_reply() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: NOOP
         C: DESCRIBE FLOW a.example
         C: WHOAMI
         S: 220 OK
         S: 550 [NOTFOUND] there is no flow a.example
         S: 220 DATA
         S: principal=anonymous
         S: 220 OK",
    )
    .await;
    let describe = Command::DescribeFlow(name("a.example"));
    let commands = [Command::Noop, describe, Command::WhoAmI];
    let replies = client.commands(&commands).await.expect("replies");
    assert!(replies[0].is_ok());
    let refused = replies[1].as_ref().expect_err("not there");
    assert_eq!(refused.code, 550);
    assert!(matches!(&replies[2], Ok(Reply::Data(lines, _)) if lines.len() == 1));
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn what_is_more_than_a_command_is_refused_before_it_is_sent() {
    let (mut client, script) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: NOOP
         S: 220 OK",
    )
    .await;
    let error = client
        .command(&Command::Quit)
        .await
        .expect_err("no command");
    assert!(matches!(error, ClientError::Unsendable(_)), "{error}");
    let two_lines = Command::DescribeProcessor("a\r\nQUIT".to_owned());
    let error = client.command(&two_lines).await.expect_err("two lines");
    assert!(matches!(error, ClientError::Unsendable(_)), "{error}");
    client
        .command(&Command::Noop)
        .await
        .expect("nothing was sent");
    drop(client);
    script.end().await;
}

#[tokio::test]
async fn a_server_that_is_full_says_so() {
    let (client, script) = connect("S: 421 too many connections; try again later").await;
    let error = client.err().expect("no session");
    assert!(error.is(Code::Closing) && error.is_transient(), "{error}");
    script.end().await;
}

#[tokio::test]
async fn another_protocol_is_recognised() {
    let (client, script) = connect("S: SSH-2.0-OpenSSH_9.2").await;
    let error = client.err().expect("no session");
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    script.end().await;
}

#[tokio::test]
async fn a_closed_connection_is_an_error() {
    let (stream, server) = tokio::io::duplex(64);
    drop(server);
    let client = Client::over(Box::new(stream), "nobody", true, &crate::options()).await;
    let error = client.err().expect("no session");
    assert!(matches!(error, ClientError::Closed { .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_its_late_reply_is_not_mistaken() {
    let (mut client, _server) = connected(
        "S: 220 fnaa.unix.ar FNAA
         C: NOOP
         C: never",
    )
    .await;
    let error = client.command(&Command::Noop).await.expect_err("silence");
    assert!(
        matches!(&error, ClientError::Timeout { what, .. } if what == "NOOP"),
        "{error}"
    );
    let error = client
        .command(&Command::WhoAmI)
        .await
        .expect_err("out of step");
    assert!(matches!(error, ClientError::Interrupted { .. }), "{error}");
}

#[tokio::test]
async fn passwords_of_brokers_are_not_shown() {
    let observed = Observed::default();
    let (stream, script) = Script::play(
        "S: 220 fnaa.unix.ar FNAA
         C: SUBSCRIBE time.flows.unix.ar credential=again
         S: 220 DATA
         S: ksdj898.time.flows.unix.ar
         S: username=ksdj898
         S: password=ff00ff00
         S: 220 OK",
    );
    let client = Client::over(Box::new(stream), "the script", true, &observed.options()).await;
    let mut client = client.expect("a greeting");
    let options = RemoteSubscribe {
        credential_again: true,
        ..RemoteSubscribe::default()
    };
    let subscribe = Command::SubscribeRemote(name("time.flows.unix.ar"), options);
    let lines = data(client.command(&subscribe).await.expect("subscribed"));
    assert!(lines.contains(&DataLine::Attribute("password".into(), "ff00ff00".into())));
    assert_eq!(
        observed.lines(),
        [
            "S: 220 fnaa.unix.ar FNAA",
            "C 47: SUBSCRIBE time.flows.unix.ar credential=again",
            "S: 220 DATA",
            "S: ksdj898.time.flows.unix.ar",
            "S: username=ksdj898",
            "S: password=****",
            "S: 220 OK",
        ]
    );
    drop(client);
    script.end().await;
}

/// Lines without content take room, too.
#[tokio::test]
async fn a_reply_without_end_is_broken_off() {
    let (stream, mut server) = tokio::io::duplex(64 * 1024);
    let endless = tokio::spawn(async move {
        let begin = b"220 fnaa.unix.ar FNAA\r\n220 DATA\r\n";
        server.write_all(begin).await.expect("a client");
        let lines = b"\r\n".repeat(1024);
        let mut sent = 0;
        while sent < 8 * 1024 * 1024 && server.write_all(&lines).await.is_ok() {
            sent += lines.len();
        }
    });
    let client = Client::over(Box::new(stream), "the script", true, &options()).await;
    let mut client = client.expect("a greeting");
    let error = client
        .command(&Command::WhoAmI)
        .await
        .expect_err("too long");
    assert!(error.to_string().contains("64 MiB"), "{error}");
    drop(client);
    endless.await.expect("no panic");
}
