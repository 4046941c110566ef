//! What `-d` prints: the resolution and the exchange, in the words of the draft's transcripts
//! (section 6.4).

use eson_client::Event;
use eson_names::Trace;

use crate::terminal::printable;

/// How [`Event`]s read a SASL response.
const MASKED: &str = "****";

/// Prints each step of a resolution.
pub(crate) fn print_trace(trace: &Trace) {
    for line in trace.to_string().lines() {
        eprintln!("{}", printable(line));
    }
}

/// Prints what was said.
pub(crate) fn print_event(event: Event<'_>) {
    for line in lines(event) {
        eprintln!("C: {}", printable(&line));
    }
}

fn lines(event: Event<'_>) -> Vec<String> {
    match event {
        Event::Connecting(address) => vec![format!("Connecting to {address}")],
        Event::Received(line) => vec![format!("Got a response: {line}")],
        Event::Sent { line, octets } => {
            let what = match line {
                MASKED => "Authentication string sent:",
                _ => "Sending command",
            };
            vec![
                format!("{what} {line}"),
                format!("Wrote ({octets} bytes written)"),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drafts_words() {
        let sent = |line, octets| lines(Event::Sent { line, octets });
        assert_eq!(
            sent("AUTHENTICATE PLAIN", 20),
            [
                "Sending command AUTHENTICATE PLAIN",
                "Wrote (20 bytes written)"
            ]
        );
        assert_eq!(
            sent(MASKED, 18),
            [
                "Authentication string sent: ****",
                "Wrote (18 bytes written)"
            ]
        );
        assert_eq!(
            lines(Event::Received("220 fnaa.unix.ar FNAA")),
            ["Got a response: 220 fnaa.unix.ar FNAA"]
        );
    }
}
