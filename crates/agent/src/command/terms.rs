//! What a subscriber is granted of what it asks for: the mode, and where it begins.

use eson_protocol::text::{format_positions, format_time};
use eson_protocol::{Code, DataLine, Mode, Positions, RemoteSubscribe, Start, Status};

use super::lines::attribute;
use crate::resource::{Flow, SubscriberSpec};

/// Where a subscriber may begin.
pub(super) struct Begin {
    pub(super) start: Start,
    pub(super) cursor: Positions,
}

/// The mode asked for, or the flow's first one for who does not say.
///
/// # Errors
/// 552 for one that the owner does not allow.
pub(super) fn mode(flow: &Flow, asked: Option<Mode>) -> Result<Mode, Status> {
    let allowed = &flow.spec.modes;
    let mode = asked.or(allowed.first().copied()).unwrap_or_default();
    if allowed.contains(&mode) {
        return Ok(mode);
    }
    let allowed: Vec<_> = allowed.iter().map(|mode| mode.as_str()).collect();
    let text = format!(
        "the owner of {} allows mode={} only, and not mode={}",
        flow.spec.name,
        allowed.join(" and mode="),
        mode.as_str()
    );
    Err(Status::denied(text))
}

/// Where a subscriber begins who asks at `now`: no further back than the owner allows.
///
/// # Errors
/// 552 for offsets where the owner sets a bound in time.
pub(super) fn begin(flow: &Flow, options: &RemoteSubscribe, now: u64) -> Result<Begin, Status> {
    let start = options.from.unwrap_or_default();
    let cursor = options.cursor.clone().unwrap_or_default();
    let Some(history) = flow.spec.history else {
        return Ok(Begin { start, cursor });
    };
    if !cursor.is_empty() {
        let text = format!(
            "the owner of {} sets how far back one may begin by history=: ask for a time, and not for offsets",
            flow.spec.name
        );
        return Err(Status::new(Code::Denied, text));
    }
    let bound = i64::try_from(now.saturating_sub(history)).unwrap_or(i64::MAX);
    let start = match start {
        Start::Earliest => Start::Timestamp(bound),
        Start::Latest => Start::Latest,
        Start::Timestamp(asked) => Start::Timestamp(asked.max(bound)),
    };
    Ok(Begin { start, cursor })
}

/// `from=` for each part of where a subscriber begins.
pub(super) fn from_lines(spec: &SubscriberSpec) -> Vec<DataLine> {
    let mut lines = Vec::new();
    if !spec.cursor.is_empty() {
        let cursor = format!("cursor:{}", format_positions(&spec.cursor));
        lines.push(attribute("from", cursor));
    }
    lines.push(attribute("from", start_word(spec.start)));
    lines
}

fn start_word(start: Start) -> String {
    match start {
        Start::Earliest => "earliest".to_owned(),
        Start::Latest => "latest".to_owned(),
        Start::Timestamp(at) => format_time(at).unwrap_or_else(|| at.to_string()),
    }
}
