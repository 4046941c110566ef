//! `fnua top`

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use eson_client::Client;
use eson_protocol::{Command, DataLine, Reply};
use tokio::time::{MissedTickBehavior, interval};

use crate::arguments::{Global, seconds};
use crate::entry::{Entry, attributes_behind};
use crate::failure::Failure;
use crate::output::{self, Shape};
use crate::terminal::written;

/// Clears the screen and goes to its upper left corner (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What there is no room for: where events come from and go to, who reads them, and what a publisher
/// says.
const HIDDEN: [&str; 8] = [
    "from",
    "to",
    "remote",
    "copy",
    "flow",
    "principal",
    "expires",
    "notice",
];

/// How often to show the processors, the subscriptions, and the copies for one's subscribers.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// End after so many looks [default: until Ctrl-C]
    #[arg(short = 'n', long, value_name = "LOOKS")]
    looks: Option<u64>,
}

impl Top {
    /// Shows the processors, the subscriptions and the copies for subscribers again and again: in place
    /// on a terminal, elsewhere one behind the other.
    pub(crate) async fn run(self, client: &mut Client, global: &Global) -> Result<(), Failure> {
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        let mut ticks = interval(self.interval);
        // Who had to wait for an answer does not ask twice at once thereafter.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left = self.looks;
        while left != Some(0) {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut interrupted => return Ok(()),
            }
            let processors = client.command(&Command::GetProcessors).await?;
            let subscriptions = client.command(&Command::GetSubscriptions).await?;
            let subscribers = client.command(&Command::GetSubscribers(None)).await?;
            let all = together(processors, subscriptions, subscribers);
            written(show(global, all))?;
            left = left.map(|looks| looks - 1);
        }
        Ok(())
    }
}

fn show(global: &Global, reply: Reply) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        out.write_all(CLEAR.as_bytes())?;
    }
    let shape = Shape::List("processor");
    output::print(&mut out, global.output, global.quiet, shape, &reply)?;
    out.flush()
}

/// One list of all, with what is shown of them.
fn together(processors: Reply, subscriptions: Reply, subscribers: Reply) -> Reply {
    let (mut lines, status) = match processors {
        Reply::Data(lines, status) => (lines, status),
        other => return other,
    };
    lines = lines
        .into_iter()
        .flat_map(|line| shown(line, Some))
        .collect();
    for (reply, seen) in [
        (subscriptions, subscription as Seen),
        (subscribers, subscriber),
    ] {
        if let Reply::Data(more, _) = reply {
            lines.extend(more.into_iter().flat_map(|line| shown(line, seen)));
        }
    }
    Reply::Data(lines, status)
}

/// How what a line says is to be seen; none where it is not.
type Seen = fn(Entry) -> Option<Entry>;

/// What a line says, as it is to be `seen`, without what there is no room for.
fn shown(line: DataLine, seen: Seen) -> Vec<DataLine> {
    let entry = match &line {
        DataLine::Text(text) => attributes_behind("processor", text),
        DataLine::Attribute(..) => None,
    };
    let Some(entry) = entry else {
        return vec![line];
    };
    let has_room = |(key, _): &(String, Vec<String>)| !HIDDEN.contains(&key.as_str());
    let pairs = seen(entry).into_iter().flatten().filter(has_room);
    let lines = pairs.flat_map(|(key, values)| {
        let line = move |value| DataLine::Attribute(key.clone(), value);
        values.into_iter().map(line)
    });
    lines.collect()
}

fn subscription(entry: Entry) -> Option<Entry> {
    Some(as_processor("subscription", entry))
}

/// A subscriber, as long as there is a copy that is filled or something is wrong.
fn subscriber(entry: Entry) -> Option<Entry> {
    let matters = |(key, _): &(String, Vec<String>)| ["processor-state", "error"].contains(&&**key);
    let matters = entry.iter().any(matters);
    matters.then(|| as_processor("subscriber", entry))
}

/// It as a processor is told: its state is that of its leg, where there is one.
fn as_processor(kind: &str, mut entry: Entry) -> Entry {
    let has_leg = entry.iter().any(|(key, _)| key == "processor-state");
    entry.retain(|(key, _)| !has_leg || key != "state");
    for (key, _) in &mut entry {
        if key == "processor-state" {
            *key = "state".to_owned();
        }
    }
    let kind = ("type".to_owned(), vec![kind.to_owned()]);
    entry.insert(1, kind);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pairs: &[(&str, &str)]) -> Vec<DataLine> {
        let line = |(key, value): &(&str, &str)| DataLine::attribute(*key, value);
        pairs.iter().map(line).collect()
    }

    #[test]
    fn flows_are_left_out_and_texts_stay_whole() {
        let line = r#"p type=bridge from=a.example to=b.example lag=0 error="from=x to=y is gone""#;
        let expected = [
            ("processor", "p"),
            ("type", "bridge"),
            ("lag", "0"),
            ("error", "from=x to=y is gone"),
        ];
        let told = DataLine::Text(line.to_owned());
        assert_eq!(shown(told, Some), lines(&expected));
    }

    #[test]
    fn subscriptions_stand_among_processors() {
        let told = |line: &str| DataLine::Text(line.to_owned());
        let line = r#"l.example remote=r.example state=active notice="5 were gone" processor-state=failed lag=3 error="it is gone""#;
        let expected = [
            ("processor", "l.example"),
            ("type", "subscription"),
            ("state", "failed"),
            ("lag", "3"),
            ("error", "it is gone"),
        ];
        assert_eq!(shown(told(line), subscription), lines(&expected));
        let stopped = "l.example remote=r.example state=stopped";
        let expected = [
            ("processor", "l.example"),
            ("type", "subscription"),
            ("state", "stopped"),
        ];
        assert_eq!(shown(told(stopped), subscription), lines(&expected));
    }

    #[test]
    fn of_subscribers_those_are_told_whose_copies_are_filled() {
        let told = |line: &str| DataLine::Text(line.to_owned());
        let line = "s.f.example flow=f.example principal=guest state=active expires=9s processor-state=running lag=0";
        let expected = [
            ("processor", "s.f.example"),
            ("type", "subscriber"),
            ("state", "running"),
            ("lag", "0"),
        ];
        assert_eq!(shown(told(line), subscriber), lines(&expected));
        let gone = "s.f.example flow=f.example principal=guest state=revoked";
        assert_eq!(shown(told(gone), subscriber), []);
    }
}
