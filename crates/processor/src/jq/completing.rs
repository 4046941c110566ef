//! What makes an event of a value that a program gives.

use eson_protocol::text::format_time;
use eson_protocol::{FlowUri, Name};
use jaq_json::{Map, Rc, Val};

use super::event::Subject;
use super::value::{member, text};
use crate::signal::proto::Event;

/// The `type` of a CloudEvent that a program gives only the content of.
const SIGNAL_TYPE: &str = "eson.signal";

impl Subject<'_> {
    /// A CloudEvent with all that it needs; a value that is none becomes the content of one.
    pub(super) fn completed(&self, number: usize, value: Val) -> Val {
        let mut members = match value {
            Val::Obj(members) if members.contains_key(&text("specversion")) => {
                Rc::try_unwrap(members).unwrap_or_else(|shared| (*shared).clone())
            }
            data => self.around(data),
        };
        for (name, value) in [
            ("id", self.id(number)),
            ("source", self.source()),
            ("type", SIGNAL_TYPE.to_owned()),
        ] {
            members.entry(text(name)).or_insert_with(|| text(&value));
        }
        Val::obj(members)
    }

    /// The members around a content.
    fn around(&self, data: Val) -> Map {
        let mut members = Map::default();
        members.insert(text("specversion"), text("1.0"));
        let time = self.time().and_then(format_time);
        let known = [
            ("time", time.map(|time| text(&time))),
            ("partitionkey", self.key()),
            ("datacontenttype", Some(text("application/json"))),
            ("data", Some(data)),
        ];
        for (name, value) in known {
            members.extend(value.map(|value| (text(name), value)));
        }
        members
    }

    /// The same whenever the input comes again.
    fn id(&self, number: usize) -> String {
        match (self.event, self.window) {
            (Some(event), _) => {
                let Event {
                    partition, offset, ..
                } = event;
                format!("{}/{partition}-{offset}/{number}", event.flow)
            }
            (None, Some(window)) => format!("{}/{}/{number}", window.from, window.key),
            (None, None) => number.to_string(),
        }
    }

    fn source(&self) -> String {
        let of_window = self.window.and_then(|window| window.events.first());
        let flow = self.event.or(of_window).map(|event| event.flow.as_str());
        let name = flow.and_then(|flow| Name::parse(flow).ok());
        name.map_or_else(
            || "eson:signal".to_owned(),
            |name| FlowUri::from(name).to_string(),
        )
    }

    fn time(&self) -> Option<i64> {
        match (self.event, self.window) {
            (Some(event), _) => event.record.as_ref()?.timestamp,
            (None, window) => window.map(|window| window.until),
        }
    }

    fn key(&self) -> Option<Val> {
        match (self.event, self.window) {
            (Some(_), _) => member(&self.value, "partitionkey").cloned(),
            (None, window) => window
                .filter(|window| !window.key.is_empty())
                .map(|window| text(&window.key)),
        }
    }
}
