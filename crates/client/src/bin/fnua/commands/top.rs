//! `fnua top`

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use eson_client::Client;
use eson_protocol::{Command, DataLine, Reply};
use tokio::time::{MissedTickBehavior, interval};

use crate::arguments::{Global, seconds};
use crate::failure::Failure;
use crate::output::{self, Shape};
use crate::terminal::written;

/// Clears the screen and goes to its upper left corner (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What there is no room for: where events come from and go to.
const HIDDEN: [&str; 2] = ["from", "to"];

/// How often to show the processors.
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
    /// Shows the processors again and again: in place on a terminal, elsewhere one behind the other.
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
            let reply = client.command(&Command::GetProcessors).await?;
            written(show(global, reply))?;
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
    let shown = match reply {
        Reply::Data(lines, status) => {
            Reply::Data(lines.into_iter().map(shortened).collect(), status)
        }
        other => other,
    };
    let shape = Shape::List("processor");
    output::print(&mut out, global.output, global.quiet, shape, &shown)?;
    out.flush()
}

/// A line without what there is no room for.
fn shortened(line: DataLine) -> DataLine {
    match line {
        DataLine::Text(text) => {
            let is_hidden = |word: &&str| {
                let key = word.split_once('=').map(|(key, _)| key);
                key.is_some_and(|key| HIDDEN.contains(&key))
            };
            let (unquoted, quoted) = match text.find('"') {
                Some(at) => text.split_at(at),
                None => (text.as_str(), ""),
            };
            let words = unquoted.split(' ').filter(|word| !is_hidden(word));
            DataLine::Text(words.collect::<Vec<_>>().join(" ") + quoted)
        }
        attribute => attribute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_left_out_and_texts_stay_whole() {
        let line = r#"p type=bridge from=a.example to=b.example lag=0 error="from=x to=y is gone""#;
        let shown = shortened(DataLine::Text(line.to_owned()));
        let expected = r#"p type=bridge lag=0 error="from=x to=y is gone""#;
        assert_eq!(shown, DataLine::Text(expected.to_owned()));
    }
}
