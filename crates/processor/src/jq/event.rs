//! Asking a program in jq's language about an event or window, and what it makes of that.

use bytes::Bytes;
use eson_protocol::{EventFormat, event};
use jaq_json::Val;

use super::program::{Program, Variables};
use super::value::{event_value, member, text, window_value};
use crate::signal::proto::output::Content;
use crate::signal::proto::{Event, Input, Output, Record, Window};
use crate::signal::record;

/// Where `to` of the prelude leaves the destination, and what goes there.
const ROUTE: [&str; 2] = ["\0to", "\0event"];

/// What a program makes of an input.
///
/// # Errors
/// What the program raised, or what is wrong with an output.
pub(super) fn process(program: &Program, input: &Input) -> Result<Vec<Output>, String> {
    let subject = Subject::of(input)?;
    let outputs = program.run(subject.value.clone(), subject.variables.clone())?;
    let outputs = outputs.into_iter().enumerate();
    outputs
        .map(|(number, value)| subject.output(number, value))
        .collect()
}

/// An input as the program sees it, and what its outputs take over from it.
pub(super) struct Subject<'a> {
    pub(super) value: Val,
    variables: Variables,
    /// None where a window has ended.
    pub(super) event: Option<&'a Event>,
    pub(super) window: Option<&'a Window>,
}

impl<'a> Subject<'a> {
    fn of(input: &'a Input) -> Result<Self, String> {
        let window = input.window.as_ref();
        let values = window.map(window_value).transpose()?;
        let variables = variables(window, values.clone());
        let value = match (&input.event, values) {
            (Some(event), _) => event_value(event)?,
            (None, Some(values)) => values,
            (None, None) => return Err("there is neither event nor window".to_owned()),
        };
        Ok(Self {
            value,
            variables,
            event: input.event.as_ref(),
            window,
        })
    }

    fn output(&self, number: usize, value: Val) -> Result<Output, String> {
        let (flow, value) = routed(value)?;
        let content = if self.event.is_some() && value == self.value {
            Content::Unchanged(true)
        } else {
            Content::Record(self.record(number, value)?)
        };
        Ok(Output {
            flow,
            content: Some(content),
        })
    }

    fn record(&self, number: usize, value: Val) -> Result<Record, String> {
        let event = self.completed(number, value);
        let line = Bytes::from(event.to_string());
        let written = event::decode(EventFormat::CloudEvents, &line)
            .map_err(|error| format!("output {number}: {error}"))?;
        let mut record = record::from_stored(written.record);
        record.timestamp = None;
        if let Some(input) = self.event.and_then(|event| event.record.as_ref()) {
            take_over(
                &mut record,
                input,
                member(&self.value, "partitionkey").is_none(),
            );
        }
        Ok(record)
    }
}

/// What a changed event keeps of the one that it was: headers that are no attributes, and a key
/// that is no text and so could not be seen.
fn take_over(record: &mut Record, input: &Record, key_is_unseen: bool) {
    if record.key.is_none() && key_is_unseen {
        record.key.clone_from(&input.key);
    }
    let others = input.headers.iter();
    let others = others.filter(|it| !it.name.starts_with("ce_") && it.name != "content-type");
    record.headers.extend(others.cloned());
}

fn variables(window: Option<&Window>, values: Option<Val>) -> Variables {
    let time = |time: Option<i64>| time.map_or(Val::Null, |time| Val::from(time as isize));
    [
        values.unwrap_or_default(),
        window.map_or(Val::Null, |window| text(&window.key)),
        time(window.map(|window| window.from)),
        time(window.map(|window| window.until)),
    ]
}

/// Where an output goes, and what it is.
fn routed(value: Val) -> Result<(String, Val), String> {
    let [to, event] = ROUTE;
    let Some(flow) = member(&value, to) else {
        return Ok((String::new(), value));
    };
    let Val::TStr(flow) = flow else {
        return Err(format!("to({flow}): the name of a flow is a text"));
    };
    let flow = String::from_utf8_lossy(flow).into_owned();
    let event = member(&value, event).cloned().unwrap_or_default();
    Ok((flow, event))
}

#[cfg(test)]
mod tests {
    use eson_protocol::{Header, Name};

    use super::*;

    fn header(name: &str, value: &str) -> Header {
        Header {
            name: name.to_owned(),
            value: Some(Bytes::from(value.to_owned())),
        }
    }

    fn stored(value: &'static str, headers: &[(&str, &str)]) -> eson_protocol::Record {
        let headers = headers.iter();
        eson_protocol::Record {
            offset: 7,
            timestamp: 1_700_000_000_000,
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(value.as_bytes())),
            headers: headers.map(|(name, value)| header(name, value)).collect(),
        }
    }

    const ATTRIBUTES: [(&str, &str); 5] = [
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "//x"),
        ("ce_type", "order"),
        ("trace", "t1"),
    ];

    fn event(flow: &str, record: eson_protocol::Record) -> Event {
        Event {
            flow: flow.to_owned(),
            partition: 3,
            offset: record.offset,
            record: Some(record::from_stored(record)),
        }
    }

    fn run(code: &str, input: &Input) -> Result<Vec<Output>, String> {
        let program = Program::compile(code).expect(code);
        process(&program, input)
    }

    fn on_event(code: &str, record: eson_protocol::Record) -> Vec<Output> {
        let input = Input {
            event: Some(event("orders.example", record)),
            window: None,
        };
        run(code, &input).unwrap_or_else(|error| panic!("{code}: {error}"))
    }

    fn written(output: &Output) -> eson_protocol::Record {
        match &output.content {
            Some(Content::Record(record)) => record::to_stored(record.clone(), 0),
            other => panic!("a record, and not {other:?}"),
        }
    }

    fn shown(output: &Output) -> serde_json::Value {
        let flow = Name::parse("out.example").expect("a name");
        let line = event::encode(EventFormat::CloudEvents, &flow, 0, &written(output));
        serde_json::from_str(&line).expect("JSON")
    }

    #[test]
    fn what_is_not_changed_stays_as_it_is_also_where_it_is_no_cloud_event() {
        for record in [
            stored(r#"{"n": 1.50}"#, &ATTRIBUTES),
            stored("no JSON", &[]),
            stored(r#"{"n":1}"#, &[]),
        ] {
            let outputs = on_event("select(.data != 5)", record);
            assert_eq!(outputs.len(), 1);
            assert_eq!(outputs[0].content, Some(Content::Unchanged(true)));
            assert_eq!(outputs[0].flow, "");
        }
    }

    #[test]
    fn plain_records_show_their_content() {
        let json = on_event(".data.n, .sourceflow", stored(r#"{"n":1}"#, &[]));
        assert_eq!(shown(&json[0])["data"], 1);
        assert_eq!(shown(&json[1])["data"], "orders.example");
        let plain = on_event(".data", stored("no JSON", &[]));
        assert_eq!(shown(&plain[0])["data"], "no JSON");
    }

    #[test]
    fn a_changed_event_keeps_what_was_not_changed() {
        let record = stored(r#"{"n":1}"#, &ATTRIBUTES);
        let outputs = on_event(".data.n += 1 | .subject = \"s\"", record);
        let shown = shown(&outputs[0]);
        assert_eq!(
            (&shown["id"], &shown["subject"]),
            (&"1".into(), &"s".into())
        );
        assert_eq!(shown["data"]["n"], 2);
        let written = written(&outputs[0]);
        assert_eq!(written.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(written.headers.last(), Some(&header("trace", "t1")));
    }

    #[test]
    fn a_key_that_is_no_text_is_kept() {
        let mut record = stored(r#"{"n":1}"#, &ATTRIBUTES);
        record.key = Some(Bytes::from_static(b"\xff\0"));
        let outputs = on_event(".data.n = 2", record.clone());
        assert_eq!(written(&outputs[0]).key, record.key);
    }

    #[test]
    fn a_value_becomes_the_content_of_an_event_with_an_id_of_its_own() {
        let outputs = on_event(
            "1, {a: 2}, {specversion: \"1.0\", type: \"t\"}",
            stored("0", &[]),
        );
        let shown: Vec<_> = outputs.iter().map(shown).collect();
        assert_eq!(shown[0]["data"], 1);
        assert_eq!(shown[0]["id"], "orders.example/3-7/0");
        assert_eq!(shown[0]["type"], "eson.signal");
        assert_eq!(shown[0]["partitionkey"], "k");
        assert_eq!(shown[0]["time"], "2023-11-14T22:13:20Z");
        assert_eq!(shown[1]["data"]["a"], 2);
        assert_eq!(shown[2]["id"], "orders.example/3-7/2");
        assert_eq!(shown[2]["type"], "t");
    }

    #[test]
    fn outputs_go_where_they_are_sent() {
        let outputs = on_event(
            "to(\"a\", \"b.example\"), (1 | to(\"c\"))",
            stored("0", &[]),
        );
        let flows: Vec<_> = outputs.iter().map(|output| output.flow.as_str()).collect();
        assert_eq!(flows, ["a", "b.example", "c"]);
        assert_eq!(outputs[0].content, Some(Content::Unchanged(true)));
        let input = Input {
            event: Some(event("orders.example", stored("0", &[]))),
            window: None,
        };
        let error = run("to(1)", &input).expect_err("no name");
        assert!(error.contains("name of a flow"), "{error}");
    }

    #[test]
    fn an_output_that_can_be_no_event_is_an_error() {
        let input = Input {
            event: Some(event("orders.example", stored("0", &[]))),
            window: None,
        };
        for code in [
            "{specversion: \"2.0\"}",
            "{specversion: \"1.0\", UPPER: 1}",
            "\"a\" | tobytes",
        ] {
            let error = run(code, &input).expect_err(code);
            assert!(error.starts_with("output 0: "), "{code}: {error}");
        }
    }

    #[test]
    fn windows_are_variables_and_inputs() {
        let events = vec![
            event("orders.example", stored(r#"{"n":1}"#, &ATTRIBUTES)),
            event("payments.example", stored(r#"{"n":2}"#, &ATTRIBUTES)),
        ];
        let window = Window {
            key: "k".to_owned(),
            from: 1_000,
            until: 2_000,
            events: events.clone(),
        };
        let sliding = Input {
            event: Some(events[1].clone()),
            window: Some(window.clone()),
        };
        let code = "[from(\"orders\").data.n] + [$window | length]";
        let outputs = run(code, &sliding).expect("runs");
        assert_eq!(shown(&outputs[0])["data"], serde_json::json!([1, 2]));
        let ended = Input {
            event: None,
            window: Some(window),
        };
        let code = "{count: length, $key, $from, $until}";
        let shown = shown(&run(code, &ended).expect("runs")[0]);
        let expected = serde_json::json!({"count": 2, "key": "k", "from": 1000, "until": 2000});
        assert_eq!(shown["data"], expected);
        assert_eq!(shown["id"], "1000/k/0");
        assert_eq!(shown["partitionkey"], "k");
    }
}
