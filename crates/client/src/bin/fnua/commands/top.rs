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

/// What there is no room for: where events come from and go to, and what a publisher says.
const HIDDEN: [&str; 5] = ["from", "to", "remote", "copy", "notice"];

/// How often to show the processors and subscriptions.
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
    /// Shows the processors and subscriptions again and again: in place on a terminal, elsewhere one
    /// behind the other.
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
            written(show(global, together(processors, subscriptions)))?;
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

/// One list of both, with what is shown of them.
fn together(processors: Reply, subscriptions: Reply) -> Reply {
    match (processors, subscriptions) {
        (Reply::Data(processors, status), Reply::Data(subscriptions, _)) => {
            let processors = processors.into_iter().flat_map(|line| shown(line, |it| it));
            let subscriptions = subscriptions.into_iter();
            let subscriptions = subscriptions.flat_map(|line| shown(line, as_processor));
            Reply::Data(processors.chain(subscriptions).collect(), status)
        }
        (other, _) => other,
    }
}

/// What a line says, `as` it is to be seen, without what there is no room for.
fn shown(line: DataLine, seen: fn(Entry) -> Entry) -> Vec<DataLine> {
    let entry = match &line {
        DataLine::Text(text) => attributes_behind("processor", text),
        DataLine::Attribute(..) => None,
    };
    let Some(entry) = entry else {
        return vec![line];
    };
    let has_room = |(key, _): &(String, Vec<String>)| !HIDDEN.contains(&key.as_str());
    let pairs = seen(entry).into_iter().filter(has_room);
    let lines = pairs.flat_map(|(key, values)| {
        let line = move |value| DataLine::Attribute(key.clone(), value);
        values.into_iter().map(line)
    });
    lines.collect()
}

/// A subscription as a processor is told: its state is that of its bridge, where there is one.
fn as_processor(mut entry: Entry) -> Entry {
    let has_bridge = entry.iter().any(|(key, _)| key == "processor-state");
    entry.retain(|(key, _)| !has_bridge || key != "state");
    for (key, _) in &mut entry {
        if key == "processor-state" {
            *key = "state".to_owned();
        }
    }
    let kind = ("type".to_owned(), vec!["subscription".to_owned()]);
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
        assert_eq!(shown(told, |it| it), lines(&expected));
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
        assert_eq!(shown(told(line), as_processor), lines(&expected));
        let stopped = "l.example remote=r.example state=stopped";
        let expected = [
            ("processor", "l.example"),
            ("type", "subscription"),
            ("state", "stopped"),
        ];
        assert_eq!(shown(told(stopped), as_processor), lines(&expected));
    }
}
