//! What is safe and useful to print.

use std::borrow::Cow;
use std::io;

use crate::failure::{Failure, Kind};

/// `text` without control characters, so that what a stranger's server sends can't steer the
/// terminal. Tabs stay.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steering = |c: char| c.is_control() && c != '\t';
    if !text.contains(steering) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if steering(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// The same for a text of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Tells a full disk from a reader that has seen enough (`fnua read … | head`).
///
/// # Errors
/// Whatever kept the output from being written.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|cause| match cause.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Kind::OutputClosed, "the output was closed"),
        _ => Failure::usage(format!("the output can't be written: {cause}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_can_not_steer_the_terminal() {
        assert_eq!(printable("a\tb é"), "a\tb é");
        assert_eq!(printable("\u{1b}[2Jx\u{9b}y"), "\\u{1b}[2Jx\\u{9b}y");
    }
}
