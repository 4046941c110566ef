//! The other side of a signal's program in jq's language: a process of its own, with little memory
//! and no way to files, network or environment, that its parent ends when it takes too long. What
//! such a program can do to itself (loop, recurse, fill the memory) it does to itself alone.
//!
//! Standard input has frames of 32 bits of length, most significant octet first, and as many octets:
//! first the program's text, then one `ProcessRequest` after the other. Each is answered by one
//! frame on standard output: a [`Compiled`], then a `ProcessResponse`.

mod completing;
mod event;
mod limits;
mod position;
mod program;
mod value;

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use prost::Message;

use self::program::Program;
use crate::signal::proto::{Input, Outcome, ProcessRequest, ProcessResponse};

/// The argument with which `flow-processor` is one of these processes.
pub const WORKER: &str = "jq-worker";

/// The largest frame, in bytes.
pub(crate) const MAX_FRAME: usize = 256 << 20;

/// The stack of the thread that runs the program: programs recurse.
const STACK: usize = 64 << 20;

/// What became of a program's text.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Compiled {
    /// Why it is no program, with line and column.
    #[prost(string, optional, tag = "1")]
    pub(crate) error: Option<String>,
}

/// Runs such a process until its standard input ends.
///
/// # Errors
/// What reading, writing, or limiting the process met.
pub fn work() -> io::Result<()> {
    limits::set()?;
    let worker = thread::Builder::new().stack_size(STACK);
    let worker = worker.spawn(|| serve(&mut io::stdin().lock(), &mut io::stdout().lock()))?;
    let broke = |_| Err(io::Error::other("the program broke its process"));
    worker.join().unwrap_or_else(broke)
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let Some(text) = read_frame(input)? else {
        return Ok(());
    };
    let compiled = Program::compile(&String::from_utf8_lossy(&text));
    let error = compiled.as_ref().err().cloned();
    write_frame(output, &Compiled { error })?;
    let Ok(program) = compiled else {
        return Ok(());
    };
    while let Some(frame) = read_frame(input)? {
        let request = ProcessRequest::decode(&frame[..]).map_err(io::Error::other)?;
        let outcomes = request.inputs.into_iter();
        let outcomes = outcomes.map(|input| outcome(&program, &input)).collect();
        write_frame(output, &ProcessResponse { outcomes })?;
    }
    Ok(())
}

fn outcome(program: &Program, input: &Input) -> Outcome {
    let ran = catch_unwind(AssertUnwindSafe(|| event::process(program, input)));
    let failure = match ran {
        Ok(Ok(outputs)) => {
            return Outcome {
                outputs,
                failure: None,
            };
        }
        Ok(Err(failure)) => failure,
        Err(_) => "the jq engine met a bug of its own".to_owned(),
    };
    Outcome {
        outputs: Vec::new(),
        failure: Some(failure),
    }
}

/// None at the end of the input.
fn read_frame(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    input.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn write_frame(output: &mut impl Write, message: &impl Message) -> io::Result<()> {
    output.write_all(&frame(&message.encode_to_vec())?)?;
    output.flush()
}

/// The octets with their length in front.
pub(crate) fn frame(octets: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidData);
    let length = u32::try_from(octets.len()).map_err(too_long)?;
    let mut frame = Vec::with_capacity(4 + octets.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(octets);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::proto::output::Content;
    use crate::signal::proto::{Event, Record};

    fn request(values: &[&str]) -> ProcessRequest {
        let input = |value: &&str| Input {
            event: Some(Event {
                flow: "a.example".to_owned(),
                record: Some(Record {
                    value: Some(value.as_bytes().to_vec().into()),
                    ..Record::default()
                }),
                ..Event::default()
            }),
            window: None,
        };
        ProcessRequest {
            inputs: values.iter().map(input).collect(),
        }
    }

    fn session(program: &str, requests: &[ProcessRequest]) -> Vec<Vec<u8>> {
        let mut input = frame(program.as_bytes()).expect("short");
        for request in requests {
            input.extend(frame(&request.encode_to_vec()).expect("short"));
        }
        let mut output = Vec::new();
        serve(&mut &input[..], &mut output).expect("served");
        let mut output = &output[..];
        std::iter::from_fn(|| read_frame(&mut output).expect("frames")).collect()
    }

    #[test]
    fn each_input_has_its_outcome() {
        let answers = session("select(.data > 1)", &[request(&["1", "2", "[]"])]);
        assert_eq!(Compiled::decode(&answers[0][..]), Ok(Compiled::default()));
        let response = ProcessResponse::decode(&answers[1][..]).expect("a response");
        let outputs: Vec<_> = response
            .outcomes
            .iter()
            .map(|it| it.outputs.len())
            .collect();
        assert_eq!(outputs, [0, 1, 1]);
        let content = response.outcomes[1].outputs[0].content.clone();
        assert_eq!(content, Some(Content::Unchanged(true)));
    }

    #[test]
    fn what_is_no_program_is_answered_and_ends_it() {
        let answers = session("select(.data >", &[request(&["1"])]);
        assert_eq!(answers.len(), 1);
        let compiled = Compiled::decode(&answers[0][..]).expect("an answer");
        assert!(
            compiled
                .error
                .is_some_and(|error| error.starts_with("line 1, column "))
        );
    }
}
