//! Events and windows as values of jq's language.

use bytes::Bytes;
use eson_protocol::event::{self, RECORD_TYPE};
use eson_protocol::{EventFormat, Name};
use jaq_json::{Map, Rc, Val, read};
use serde_json::value::RawValue;

use crate::signal::proto::{Event, Window};
use crate::signal::record;

/// The attribute with the name of the flow that an event was read from.
const SOURCE_FLOW: &str = "sourceflow";

pub(super) fn window_value(window: &Window) -> Result<Val, String> {
    window.events.iter().map(event_value).collect()
}

/// An event as READ FLOW shows it, with where it came from. The content of a record that is no
/// CloudEvent is shown as JSON or text where it is that.
pub(super) fn event_value(event: &Event) -> Result<Val, String> {
    let Some(content) = &event.record else {
        return Err("there is an event without record".to_owned());
    };
    let flow = Name::parse(&event.flow).map_err(|error| error.to_string())?;
    let stored = record::to_stored(content.clone(), event.offset);
    let line = event::encode(EventFormat::CloudEvents, &flow, event.partition, &stored);
    let value = read::parse_single(line.as_bytes()).map_err(|error| error.to_string())?;
    let Val::Obj(members) = value else {
        return Err("an event is no object".to_owned());
    };
    let mut members = Rc::try_unwrap(members).unwrap_or_else(|shared| (*shared).clone());
    if members.get(&text("type")) == Some(&text(RECORD_TYPE)) {
        unwrap_content(&mut members, stored.value.as_ref());
    }
    members.insert(text(SOURCE_FLOW), text(&event.flow));
    Ok(Val::obj(members))
}

fn unwrap_content(members: &mut Map, value: Option<&Bytes>) {
    let base64 = text("data_base64");
    let Some(content) = value.and_then(|value| std::str::from_utf8(value).ok()) else {
        return;
    };
    if !members.contains_key(&base64) {
        return;
    }
    let is_json = serde_json::from_str::<&RawValue>(content).is_ok();
    let json = is_json.then(|| read::parse_single(content.as_bytes()).ok());
    let (kind, data) = match json.flatten() {
        Some(json) => ("application/json", json),
        None => ("text/plain", text(content)),
    };
    members.shift_remove(&base64);
    members.insert(text("datacontenttype"), text(kind));
    members.insert(text("data"), data);
}

pub(super) fn member<'a>(value: &'a Val, name: &str) -> Option<&'a Val> {
    match value {
        Val::Obj(members) => members.get(&text(name)),
        _ => None,
    }
}

pub(super) fn text(text: &str) -> Val {
    Val::utf8_str(text.to_owned())
}
