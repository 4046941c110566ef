//! `fnua read`

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::{Args, ValueEnum};
use eson_client::{Client, FlowReader};
use eson_protocol::{EventFormat, Name, ReadOptions, Start};
use futures::FutureExt;

use crate::arguments::{flow, start};
use crate::failure::Failure;
use crate::terminal::{printable, written};

/// What to read.
#[derive(Debug, Args)]
pub(crate) struct Read {
    /// The flow
    #[arg(value_parser = flow)]
    pub(crate) flow: Name,
    /// Where to begin: earliest, latest, a time, or milliseconds since the Unix epoch
    #[arg(long, value_parser = start)]
    from: Option<Start>,
    /// End after so many events
    #[arg(long)]
    max: Option<u64>,
    /// Stay and print what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// CloudEvents, or everything that the broker stores
    #[arg(long, value_enum, default_value_t)]
    format: FormatArgument,
}

/// The form of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArgument {
    /// CloudEvents in JSON
    #[default]
    Cloudevents,
    /// CloudEvents in Protobuf, in base64
    Protobuf,
    /// Key, headers and value in JSON, as the broker stores them
    Record,
}

impl From<FormatArgument> for EventFormat {
    fn from(format: FormatArgument) -> Self {
        match format {
            FormatArgument::Cloudevents => Self::CloudEvents,
            FormatArgument::Protobuf => Self::Protobuf,
            FormatArgument::Record => Self::Record,
        }
    }
}

impl Read {
    /// Prints events until there are no more, `max` are printed, or Ctrl-C.
    pub(crate) async fn run(self, client: &mut Client) -> Result<(), Failure> {
        let options = ReadOptions {
            from: self.from,
            cursor: None,
            max: self.max,
            follow: self.follow,
            format: self.format.into(),
        };
        let reader = client.read_flow(&self.flow, &options).await?;
        let mut printer = Printer::new();
        if self.follow {
            follow(reader, &mut printer).await
        } else {
            print_all(reader, &mut printer).await
        }
    }
}

async fn print_all(
    mut reader: FlowReader<&mut Client>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    while let Some(line) = reader.next_line().await? {
        printer.print(&line)?;
    }
    printer.flush()
}

async fn follow(mut reader: FlowReader<&mut Client>, printer: &mut Printer) -> Result<(), Failure> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        // What has arrived is printed at once; only before waiting is the output flushed.
        let line = match reader.next_line().now_or_never() {
            Some(line) => line?,
            None => {
                printer.flush()?;
                tokio::select! {
                    line = reader.next_line() => line?,
                    _ = &mut interrupted => return stop(reader).await,
                }
            }
        };
        match line {
            Some(line) => printer.print(&line)?,
            None => return printer.flush(),
        }
    }
}

/// Ends the read in order; a second Ctrl-C does not wait for that.
async fn stop(reader: FlowReader<&mut Client>) -> Result<(), Failure> {
    tokio::select! {
        stopped = reader.stop() => Ok(stopped?),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Standard output, buffered; made harmless where it is a terminal.
struct Printer {
    out: BufWriter<io::Stdout>,
    terminal: bool,
}

impl Printer {
    fn new() -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            terminal: io::stdout().is_terminal(),
        }
    }

    fn print(&mut self, line: &[u8]) -> Result<(), Failure> {
        if self.terminal {
            let text = String::from_utf8_lossy(line);
            return written(writeln!(self.out, "{}", printable(&text)));
        }
        written(self.out.write_all(line))?;
        written(self.out.write_all(b"\n"))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        written(self.out.flush())
    }
}
