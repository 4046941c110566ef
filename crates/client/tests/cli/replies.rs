//! What an agent answers, printed, and as an exit code.

use crate::Home;
use crate::script::{LOGIN, Script};

const DESCRIBE: &str = "
    C: DESCRIBE FLOW time.flows.unix.ar
    S: 220 DATA
    S: flow=time.flows.unix.ar
    S: type=kafka
    S: topic=time.flows.unix.ar
    S: server=kf1.unix.ar:9092
    S: 220 OK
";

fn described(arguments: &[&str]) -> String {
    let script = Script::logged_in(DESCRIBE);
    let command = ["describe", "flow", "flow://time.flows.unix.ar"];
    let out = Home::at(script.port)
        .run(&[&command, arguments].concat())
        .success();
    script.end();
    out
}

#[test]
fn a_description_in_each_form() {
    assert_eq!(
        described(&[]),
        "flow    time.flows.unix.ar\n\
         type    kafka\n\
         topic   time.flows.unix.ar\n\
         server  kf1.unix.ar:9092\n"
    );
    assert_eq!(
        described(&["-o", "yaml"]),
        "flow: time.flows.unix.ar\n\
         server: kf1.unix.ar:9092\n\
         topic: time.flows.unix.ar\n\
         type: kafka\n"
    );
    let json: serde_json::Value = described(&["-o", "json"]).parse().expect("JSON");
    assert_eq!(json["server"], "kf1.unix.ar:9092");
}

#[test]
fn a_confirmation_and_its_absence() {
    let created = "C: CREATE FLOW time.flows.unix.ar\n S: 220 OK time.flows.unix.ar";
    for (arguments, expected) in [(&[][..], "OK time.flows.unix.ar\n"), (&["-q"], "")] {
        let script = Script::logged_in(created);
        let command = ["create", "flow", "time.flows.unix.ar"];
        let out = Home::at(script.port)
            .run(&[&command, arguments].concat())
            .success();
        script.end();
        assert_eq!(out, expected);
    }
}

#[test]
fn every_option_of_a_flow_is_sent() {
    let script = Script::logged_in(
        "C: CREATE FLOW a.unix.ar broker=main queue=orders_v1 partitions=4 retention=7d \
         access=public content-type=application/json schema=https://unix.ar/schema
         S: 220 OK a.unix.ar",
    );
    let home = Home::at(script.port);
    home.run(&[
        "create",
        "flow",
        "a.unix.ar",
        "--broker=main",
        "--queue=orders_v1",
        "--partitions=4",
        "--retention=7d",
        "--access=public",
        "--content-type=application/json",
        "--schema=https://unix.ar/schema",
    ])
    .success();
    script.end();
}

#[test]
fn a_subscription_by_prefix() {
    let script = Script::logged_in(
        "C: SUBSCRIBE time.flows.orange.example LOCAL unix.ar-time.flows.orange.example
         S: 220 DATA
         S: unix.ar-time.flows.orange.example SUBSCRIBED TO x1.time.flows.orange.example
         S: 220 OK",
    );
    let out = Home::at(script.port)
        .run(&["subscribe", "flow://time.flows.orange.example"])
        .success();
    script.end();
    assert_eq!(
        out,
        "unix.ar-time.flows.orange.example SUBSCRIBED TO x1.time.flows.orange.example\n"
    );
}

#[test]
fn each_command_is_one_of_fnap() {
    for (arguments, line) in [
        ("create namespace n.unix.ar", "CREATE NAMESPACE n.unix.ar"),
        (
            "update flow a.unix.ar --access private",
            "UPDATE FLOW a.unix.ar access=private",
        ),
        ("delete flow a.unix.ar", "DELETE FLOW a.unix.ar"),
        ("delete namespace n.unix.ar", "DELETE NAMESPACE n.unix.ar"),
        ("get flows", "GET FLOWS"),
        ("get fl n.unix.ar", "GET FLOWS n.unix.ar"),
        ("get namespaces", "GET NAMESPACES"),
        ("get brokers", "GET BROKERS"),
        ("get nameservers", "GET NAMESERVERS"),
        ("get agents", "GET AGENTS"),
        ("get processors", "GET PROCESSORS"),
        ("get subscriptions", "GET SUBSCRIPTIONS"),
        ("get subscribers a.unix.ar", "GET SUBSCRIBERS a.unix.ar"),
        ("get subscribers", "GET SUBSCRIBERS"),
        ("get grants a.unix.ar", "GET GRANTS a.unix.ar"),
        (
            "describe namespace n.unix.ar",
            "DESCRIBE NAMESPACE n.unix.ar",
        ),
        ("describe nameserver main", "DESCRIBE NAMESERVER main"),
        ("describe broker main", "DESCRIBE BROKER main"),
        ("describe agent fnaa.unix.ar", "DESCRIBE AGENT fnaa.unix.ar"),
        ("describe processor p", "DESCRIBE PROCESSOR p"),
        (
            "describe subscriber a.unix.ar sub-x",
            "DESCRIBE SUBSCRIBER a.unix.ar sub-x",
        ),
        (
            "update subscriber a.unix.ar sub-x --bytes-rate 64KiB --max-lag none --overlag drop",
            "UPDATE SUBSCRIBER a.unix.ar sub-x bytes-rate=64KiB max-lag=none overlag=drop",
        ),
        (
            "update flow a.unix.ar --modes copy,direct --history 7d --events-rate default",
            "UPDATE FLOW a.unix.ar modes=copy,direct history=7d events-rate=default",
        ),
        (
            "subscribe a.unix.ar b.unix.ar --mode direct --from cursor:0-42 --delivery at-least-once",
            "SUBSCRIBE a.unix.ar LOCAL b.unix.ar from=cursor:0-42 mode=direct delivery=at-least-once",
        ),
        (
            "update processor p --delivery exactly-once --commit-interval 1s",
            "UPDATE PROCESSOR p delivery=exactly-once commit-interval=1s",
        ),
        (
            "describe subscription a.unix.ar",
            "DESCRIBE SUBSCRIPTION a.unix.ar",
        ),
        (
            "replicate a.unix.ar b.unix.ar --from latest",
            "CREATE PROCESSOR a.unix.ar-to-b.unix.ar type=bridge from=a.unix.ar to=b.unix.ar \
             start=latest",
        ),
        (
            "collect a.unix.ar b.unix.ar c.unix.ar",
            "CREATE PROCESSOR c.unix.ar-collector type=collector from=a.unix.ar,b.unix.ar \
             to=c.unix.ar",
        ),
        (
            "collect a.unix.ar c.unix.ar --name p --no-annotation --fair",
            "CREATE PROCESSOR p type=collector from=a.unix.ar to=c.unix.ar annotate=false fair=true",
        ),
        (
            "distribute a.unix.ar b.unix.ar c.unix.ar --from earliest --on-gap stop",
            "CREATE PROCESSOR a.unix.ar-distributor type=distributor from=a.unix.ar \
             to=b.unix.ar,c.unix.ar start=earliest on-gap=stop",
        ),
        (
            "signal a.unix.ar b.unix.ar --program grpc://c.unix.ar:1 --from cursor:0-42 --on-gap stop",
            "CREATE PROCESSOR b-signal.unix.ar type=signal from=a.unix.ar to=b.unix.ar \
             start=cursor:0-42 on-gap=stop grpc=c.unix.ar:1",
        ),
        (
            "signal a.unix.ar b.unix.ar --program grpcs://c.unix.ar:1 --from latest \
             --delivery at-least-once --commit-interval 1s",
            "CREATE PROCESSOR b-signal.unix.ar type=signal from=a.unix.ar to=b.unix.ar \
             start=latest delivery=at-least-once commit-interval=1s grpcs=c.unix.ar:1",
        ),
        (
            "update processor p --from a.unix.ar,b.unix.ar --annotate false",
            "UPDATE PROCESSOR p from=a.unix.ar,b.unix.ar annotate=false",
        ),
        (
            "update processor p --to a.unix.ar --to b.unix.ar --on-gap earliest",
            "UPDATE PROCESSOR p to=a.unix.ar,b.unix.ar on-gap=earliest",
        ),
        ("stop processor p", "STOP PROCESSOR p"),
        ("unsubscribe a.unix.ar", "UNSUBSCRIBE a.unix.ar"),
        (
            "grant read a.unix.ar *@blue.example",
            "GRANT read ON a.unix.ar TO *@blue.example",
        ),
        (
            "revoke read a.unix.ar anonymous",
            "REVOKE read ON a.unix.ar FROM anonymous",
        ),
        (
            "remove subscriber a.unix.ar c-1",
            "REMOVE SUBSCRIBER a.unix.ar c-1",
        ),
        (
            "pause subscription a.unix.ar",
            "PAUSE SUBSCRIPTION a.unix.ar",
        ),
        (
            "pause subscriber a.unix.ar c-1",
            "PAUSE SUBSCRIBER a.unix.ar c-1",
        ),
        ("pause processor p", "PAUSE PROCESSOR p"),
        ("resume flow a.unix.ar", "RESUME FLOW a.unix.ar"),
        ("resume processor p", "RESUME PROCESSOR p"),
        ("stop flow a.unix.ar", "STOP FLOW a.unix.ar"),
        ("stop subscription a.unix.ar", "STOP SUBSCRIPTION a.unix.ar"),
        ("resolve a.unix.ar --at-agent", "RESOLVE a.unix.ar"),
        ("whoami", "WHOAMI"),
        ("capabilities", "CAPABILITIES"),
    ] {
        let script = Script::logged_in(&format!("C: {line}\n S: 220 OK"));
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let out = Home::at(script.port).run(&arguments).success();
        script.end();
        assert_eq!(out, "OK\n", "{arguments:?}");
    }
}

#[test]
fn top_shows_processors_as_often_as_wanted() {
    let exchange = "
        C: GET PROCESSORS
        S: 220 DATA
        S: p type=bridge from=a.unix.ar to=b.unix.ar state=running lag=7 rate=1.5
        S: q type=collector state=failed error=\"the queue is gone\"
        S: 220 OK
        C: GET SUBSCRIPTIONS
        S: 220 DATA
        S: c.unix.ar remote=d.unix.br state=active copy=e.d.unix.br processor-state=retrying lag=3 rate=0.0 error=\"nobody answers\"
        S: 220 OK
        C: GET SUBSCRIBERS
        S: 220 DATA
        S: s.f.unix.ar flow=f.unix.ar principal=guest state=active expires=9s processor-state=running lag=2 rate=4.0
        S: t.f.unix.ar flow=f.unix.ar principal=guest state=revoked
        S: 220 OK
    ";
    let script = Script::logged_in(&exchange.repeat(2));
    let arguments = ["top", "-n", "2", "--interval", "0.01"];
    let out = Home::at(script.port).run(&arguments).success();
    script.end();
    let expected = "\
PROCESSOR    TYPE          STATE     LAG  RATE  ERROR
p            bridge        running   7    1.5   -
q            collector     failed    -    -     the queue is gone
c.unix.ar    subscription  retrying  3    0.0   nobody answers
s.f.unix.ar  subscriber    running   2    4.0   -
";
    assert_eq!(out, expected.repeat(2));
}

#[test]
fn the_exchange_is_printed_without_secrets() {
    let script = Script::logged_in("C: WHOAMI\n S: 220 OK");
    let port = script.port;
    let out = Home::at(port).run(&["-d", "whoami"]);
    script.end();
    assert_eq!((out.code, out.out.as_str()), (0, "OK\n"));
    assert_eq!(
        out.error,
        format!(
            "C: Connecting to 127.0.0.1:{port}
C: Got a response: 220 fnaa.unix.ar FNAA
C: Sending command AUTHENTICATE PLAIN
C: Wrote (20 bytes written)
C: Got a response: 220 OK
C: Authentication string sent: ****
C: Wrote (18 bytes written)
C: Got a response: 220 Authenticated
C: Sending command WHOAMI
C: Wrote (8 bytes written)
C: Got a response: 220 OK
C: Sending command QUIT
C: Wrote (6 bytes written)
C: Got a response: 220 Bye
"
        )
    );
}

#[test]
fn a_refusal_decides_the_exit_code() {
    for (status, code) in [
        ("550 [NOTFOUND] there is no flow a.unix.ar", 1),
        ("530 [AUTH] authenticate first", 5),
        ("451 [BACKEND] the broker main does not answer", 6),
    ] {
        let script = Script::logged_in(&format!("C: DELETE FLOW a.unix.ar\n S: {status}"));
        let error = Home::at(script.port)
            .run(&["delete", "flow", "a.unix.ar"])
            .failure(code);
        script.end();
        assert!(error.starts_with(&format!("fnua: {status}\n")), "{error}");
    }
}

#[test]
fn a_wrong_password_is_5() {
    let login = LOGIN.replace(
        "220 Authenticated",
        "535 [CREDENTIALS] wrong user or password",
    );
    let script = Script::play(&login);
    let error = Home::at(script.port).run(&["whoami"]).failure(5);
    script.end();
    assert_eq!(
        error,
        "fnua: 535 [CREDENTIALS] wrong user or password\n\
         fnua: check the agent's username and password in the configuration\n"
    );
}

#[test]
fn a_server_that_does_not_answer_is_4() {
    // The script waits for the client, and the client for an answer that does not come.
    let script = Script::play(&format!("{LOGIN} C: WHOAMI"));
    let error = Home::at(script.port)
        .run(&["--timeout", "1", "whoami"])
        .failure(4);
    script.end();
    assert!(
        error.contains("did not answer WHOAMI within 1 s"),
        "{error}"
    );
}

#[test]
fn what_a_server_sends_can_not_steer_the_terminal() {
    let script = Script::logged_in("C: WHOAMI\n S: 550 \u{1b}[2Jgone");
    let error = Home::at(script.port).run(&["whoami"]).failure(1);
    script.end();
    assert_eq!(error, "fnua: 550 \\u{1b}[2Jgone\n");
}
