//! `fnua write`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use eson_client::{Client, ClientError};
use eson_protocol::{EventFormat, Name, Status};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::read::FormatArgument;
use crate::arguments::flow;
use crate::cloud_event::Template;
use crate::failure::Failure;
use crate::progress::Progress;

/// The most events of one WRITE FLOW.
const BATCH_EVENTS: usize = 1000;
/// The most octets of one WRITE FLOW, unless a single event is larger.
const BATCH_OCTETS: usize = 512 * 1024;
/// The longest line that is read; the agent's own limit is lower.
const LINE_OCTETS: u64 = 16 * 1024 * 1024;
/// How many lines are read ahead.
const READ_AHEAD: usize = 1000;

/// What to write, and to which flow.
#[derive(Debug, Args)]
pub(crate) struct Write {
    /// The flow
    #[arg(value_parser = flow)]
    pub(crate) flow: Name,
    /// File with an event a line [default: standard input]
    file: Option<PathBuf>,
    /// Make each line the data of a new CloudEvent of this type
    #[arg(long = "type", value_name = "TYPE", requires = "source")]
    kind: Option<String>,
    /// Source of the new CloudEvents
    #[arg(long, requires = "kind")]
    source: Option<String>,
    /// Partition key of the new CloudEvents: events with the same key stay in order
    #[arg(long, requires = "kind")]
    key: Option<String>,
    /// Form of lines that are events already
    #[arg(long, value_enum, default_value_t, conflicts_with = "kind")]
    format: FormatArgument,
}

impl Write {
    /// Begins to read the lines.
    pub(crate) fn input(&self) -> Result<Input, Failure> {
        lines_of(self.file.as_deref())
    }

    /// Writes every line and returns how many the broker has acknowledged.
    pub(crate) async fn run(
        self,
        client: &mut Client,
        mut input: Input,
        progress: &Progress,
    ) -> Result<u64, Failure> {
        let template = self.template();
        let format = match template {
            Some(_) => Template::FORMAT,
            None => EventFormat::from(self.format),
        };
        let mut written = 0;
        while let Some(batch) = next_batch(&mut input, template.as_ref()).await? {
            let acknowledged = client
                .write_flow(&self.flow, format, None, &batch.events)
                .await
                .map_err(|error| batch.explain(error, written))?;
            written += acknowledged;
            progress.say(format!("{written} events written"));
        }
        Ok(written)
    }

    fn template(&self) -> Option<Template> {
        Some(Template {
            kind: self.kind.clone()?,
            source: self.source.clone()?,
            key: self.key.clone(),
        })
    }
}

/// A line that is no blank one, with its number in the input.
type Line = (u64, String);

/// Lines that are being read.
pub(crate) type Input = Receiver<io::Result<Line>>;

/// What one WRITE FLOW carries.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<String>,
    /// The line in the input of each event.
    numbers: Vec<u64>,
    octets: usize,
}

impl Batch {
    fn push(&mut self, number: u64, event: String) {
        self.numbers.push(number);
        self.octets += event.len();
        self.events.push(event);
    }

    fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS || self.octets >= BATCH_OCTETS
    }

    /// Says where in the input it went wrong, after `written` events of earlier batches.
    fn explain(&self, error: ClientError, written: u64) -> Failure {
        let failure = match error {
            ClientError::Refused(status) => match self.renumbered(&status.text) {
                Some(text) => ClientError::Refused(Status { text, ..status }).into(),
                None => self.around(ClientError::Refused(status)),
            },
            other => self.around(other),
        };
        match written {
            0 => failure,
            _ => failure.while_doing(format!("{written} events are written, then")),
        }
    }

    /// `line 3: …` in the agent's words counts within the batch.
    fn renumbered(&self, text: &str) -> Option<String> {
        let (number, rest) = text.strip_prefix("line ")?.split_once(':')?;
        let within: usize = number.parse().ok()?;
        let line = self.numbers.get(within.checked_sub(1)?)?;
        Some(format!("line {line}:{rest}"))
    }

    fn around(&self, error: ClientError) -> Failure {
        let failure = Failure::from(error);
        match (self.numbers.first(), self.numbers.last()) {
            (Some(first), Some(last)) => {
                failure.while_doing(format!("input lines {first} to {last}"))
            }
            _ => failure,
        }
    }
}

/// Takes what has been read by now: at least one line, at most a batch. So slow input goes out
/// at once, and fast input in batches. None at the end.
async fn next_batch(
    lines: &mut Input,
    template: Option<&Template>,
) -> Result<Option<Batch>, Failure> {
    let mut batch = Batch::default();
    let mut next = lines.recv().await;
    while let Some(line) = next {
        let (number, line) =
            line.map_err(|cause| Failure::usage(format!("the input can't be read: {cause}")))?;
        let event = match template {
            Some(template) => template.wrap(&line)?,
            None => line,
        };
        batch.push(number, event);
        if batch.is_full() {
            break;
        }
        next = lines.try_recv().ok();
    }
    Ok((!batch.events.is_empty()).then_some(batch))
}

/// Reads lines on a thread of its own, a bounded number ahead.
fn lines_of(file: Option<&Path>) -> Result<Input, Failure> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    match file {
        None => std::thread::spawn(move || send_lines(io::stdin().lock(), &sender)),
        Some(path) => {
            let file = File::open(path).map_err(|cause| {
                Failure::usage(format!("{} can't be read: {cause}", path.display()))
            })?;
            std::thread::spawn(move || send_lines(BufReader::new(file), &sender))
        }
    };
    Ok(receiver)
}

/// Ends when the input does, at its first error, or when nobody wants more lines.
fn send_lines(mut input: impl BufRead, sender: &Sender<io::Result<Line>>) {
    for number in 1.. {
        let line = match read_line(&mut input) {
            Ok(None) => return,
            Ok(Some(line)) if line.trim().is_empty() => continue,
            Ok(Some(line)) => Ok((number, line)),
            Err(cause) => Err(io::Error::new(
                cause.kind(),
                format!("line {number}: {cause}"),
            )),
        };
        let failed = line.is_err();
        if sender.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

/// One line without its end; none at the end of the input.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if input.take(LINE_OCTETS).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LINE_OCTETS && !line.ends_with('\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("longer than {LINE_OCTETS} octets"),
        ));
    }
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn batches(input: &'static str, template: Option<&Template>) -> Vec<Batch> {
        let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
        // Everything is read before the first batch is asked for.
        let reading = std::thread::spawn(move || send_lines(input.as_bytes(), &sender));
        reading.join().expect("the reader ends");
        let mut batches = Vec::new();
        while let Some(batch) = next_batch(&mut receiver, template).await.expect("lines") {
            batches.push(batch);
        }
        batches
    }

    #[tokio::test]
    async fn blank_lines_are_left_out_but_counted() {
        let batches = batches("a\r\n\n  \nb", None).await;
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].events, ["a", "b"]);
        assert_eq!(batches[0].numbers, [1, 4]);
    }

    #[tokio::test]
    async fn a_batch_is_bounded_by_octets() {
        let mut batch = Batch::default();
        batch.push(1, "x".repeat(BATCH_OCTETS - 1));
        assert!(!batch.is_full());
        batch.push(2, "x".to_owned());
        assert!(batch.is_full());
    }

    #[test]
    fn a_bad_line_is_named_by_its_place_in_the_input() {
        let mut batch = Batch::default();
        batch.push(1001, "{}".to_owned());
        batch.push(1005, "{}".to_owned());
        let refused = |text: &str| ClientError::Refused(Status::backend(text));
        let told = |text: &str, written| batch.explain(refused(text), written).to_string();
        assert_eq!(told("line 2: no id", 0), "451 [BACKEND] line 1005: no id");
        assert_eq!(
            told("line 2: no id", 1000),
            "1000 events are written, then: 451 [BACKEND] line 1005: no id"
        );
        for text in [
            "line 3: no such line",
            "line 0: none",
            "the broker has gone",
        ] {
            let expected = format!("input lines 1001 to 1005: 451 [BACKEND] {text}");
            assert_eq!(told(text, 0), expected);
        }
    }

    #[tokio::test]
    async fn lines_become_data() {
        let template = Template {
            kind: "arrival".to_owned(),
            source: "/airport".to_owned(),
            key: None,
        };
        let batches = batches("one\n", Some(&template)).await;
        assert!(
            batches[0].events[0].contains(r#""data":"one""#),
            "{batches:?}"
        );
    }

    #[tokio::test]
    async fn input_that_is_no_text_is_refused_with_its_line() {
        let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
        let reading = std::thread::spawn(move || send_lines(&b"a\n\xff\nb\n"[..], &sender));
        reading.join().expect("the reader ends");
        let error = next_batch(&mut receiver, None).await.expect_err("no UTF-8");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut endless = BufReader::new(io::repeat(b'x'));
        let error = read_line(&mut endless).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
