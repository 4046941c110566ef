//! Where READ FLOW begins.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eson_tests::{Ground, RawFnap};
use serde_json::{Value, json};

use crate::events::write_numbered;
use crate::stage::{new_flow, on_all_grounds, world};

on_all_grounds!(
    a_time_is_where_each_partition_begins,
    a_cursor_behind_the_end_is_at_the_end,
);

/// What stands behind the first event of its time is read, whatever time it says itself; and a cursor
/// says of its own partitions alone where they begin.
fn a_time_is_where_each_partition_begins(ground: Ground) {
    let orange = world(ground).orange();
    let flow = new_flow(orange, "timed");
    let mut session = orange.login();
    session.ok(&format!("CREATE FLOW {flow} partitions=2"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour_ago = i64::try_from(now.as_millis()).unwrap() - 3_600_000;
    let (early, late) = (hour_ago, hour_ago + 2_000);
    let events = [
        (0, "early", early),
        (0, "late", late),
        (0, "belated", early),
        (1, "other early", early),
        (1, "other late", late),
    ];
    let lines = events.map(|(partition, text, timestamp)| {
        let value = STANDARD.encode(text);
        json!({"partition": partition, "timestamp": timestamp, "value": value}).to_string()
    });
    let command = format!("WRITE FLOW {flow} format=record");
    let written = session.write_flow(&command, lines.iter().map(String::as_str));
    assert_eq!(written.status, "220 OK 5");

    let time = format!("from={}", late - 1_000);
    let found = values(&mut session, &flow, &time);
    assert_eq!(found, ["belated", "late", "other late"]);
    let found = values(&mut session, &flow, &format!("{time} from=cursor:0-0"));
    assert_eq!(found, ["belated", "early", "late", "other late"]);
}

fn a_cursor_behind_the_end_is_at_the_end(ground: Ground) {
    let orange = world(ground).orange();
    let flow = new_flow(orange, "short");
    let mut session = orange.login();
    session.ok(&format!("CREATE FLOW {flow} partitions=2"));
    write_numbered(&mut session, &flow, 0..20);
    for format in ["cloudevents", "protobuf"] {
        let read = format!("READ FLOW {flow} from=cursor:0-1000,1-1000 format={format}");
        assert_eq!(session.ok(&read).data, [""; 0]);
        // The other partition is not read yet when this one turns out to be read.
        let read = format!("READ FLOW {flow} from=cursor:0-1000 format={format}");
        let one = session.ok(&read).data.len();
        let read = format!("READ FLOW {flow} from=cursor:1-1000 format={format}");
        let other = session.ok(&read).data.len();
        assert_eq!(one + other, 20);
    }
}

/// What the flow has from there on, sorted.
fn values(session: &mut RawFnap, flow: &str, from: &str) -> Vec<String> {
    let answer = session.ok(&format!("READ FLOW {flow} {from} format=record"));
    let lines = answer.data.iter();
    let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let value = |event: Value| Some(STANDARD.decode(event["value"].as_str()?).unwrap());
    let values = events.filter_map(value);
    let mut texts: Vec<_> = values.map(|it| String::from_utf8(it).unwrap()).collect();
    texts.sort();
    texts
}
