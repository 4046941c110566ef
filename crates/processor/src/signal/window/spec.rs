//! What a signal's windows are to be.

use std::collections::BTreeSet;

use super::Key;
use crate::proto;
use crate::signal::SignalError;

/// The longest window: a week.
const LONGEST: i64 = 7 * 24 * 60 * 60 * 1_000;

/// The longest name of a state.
const MAX_STATE: usize = 128;

/// What a signal's windows are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// How long they are, in milliseconds.
    pub(crate) length: i64,
    /// Whether they follow each other, or each event has its own.
    pub(crate) tumbling: bool,
    /// What tells windows of one time apart.
    pub(crate) key: Key,
    /// Names what is kept.
    pub(crate) state: String,
    /// All legs that share them.
    pub(crate) legs: BTreeSet<String>,
}

impl WindowSpec {
    /// Checks what was asked for.
    ///
    /// # Errors
    /// [`SignalError::Window`].
    pub(crate) fn check(
        window: proto::Window,
        legs: BTreeSet<String>,
    ) -> Result<Self, SignalError> {
        let wrong = |text: String| Err(SignalError::Window(text));
        let length = match i64::try_from(window.length_ms) {
            Ok(length @ 1..=LONGEST) => length,
            _ => {
                return wrong(format!(
                    "it lasts 1 ms to {LONGEST} ms, and not {}",
                    window.length_ms
                ));
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let state = window.state;
        if state.is_empty() || state.len() > MAX_STATE || !state.chars().all(plain) {
            return wrong(format!("`{state}` can't name what is kept"));
        }
        let Some(key) = Key::parse(&window.by) else {
            return wrong(format!("`{}` is no path as .data.customer is", window.by));
        };
        Ok(Self {
            length,
            tumbling: window.tumbling,
            key,
            state,
            legs,
        })
    }
}
