//! Commands about processors, which have to fit into one line: for `collect`, `distribute`, `signal`
//! and `update`.

use eson_protocol::text::{MAX_COMMAND_LENGTH, UnwritableError, format_command};
use eson_protocol::{Command, ProcessorOptions, Program};

use crate::failure::Failure;

/// CREATE or UPDATE PROCESSOR; `place` is where its program is from, if it has one.
///
/// # Errors
/// When it is too long for a line of FNAP, with what to make shorter.
pub(super) fn fitting(
    command: fn(String, ProcessorOptions) -> Command,
    name: String,
    options: ProcessorOptions,
    place: Option<&str>,
) -> Result<Command, Failure> {
    let whole = command(name.clone(), options.clone());
    let octets = length(&whole);
    if octets <= MAX_COMMAND_LENGTH {
        return Ok(whole);
    }
    let changes = &options.flow_changes;
    let named = [
        &options.sources,
        &options.destinations,
        &changes.added_sources,
        &changes.removed_sources,
        &changes.added_destinations,
        &changes.removed_destinations,
    ];
    let flows: usize = named.iter().map(|flows| flows.len()).sum();
    let (program, options) = apart(options);
    let others = length(&command(name, options));
    match (program, place) {
        (Some(Program::Jq(code)), Some(place)) if others < MAX_COMMAND_LENGTH => {
            let room = code.len() * (MAX_COMMAND_LENGTH - others) / (octets - others);
            Err(too_long(place, code.len(), room))
        }
        _ if flows > 0 => Err(too_many(flows, octets)),
        _ => Ok(whole),
    }
}

/// The length of the line with its end. What can't be written for another reason has none: whoever
/// sends it says why.
fn length(command: &Command) -> usize {
    match format_command(command) {
        Ok(line) => line.len() + "\r\n".len(),
        Err(UnwritableError::TooLong(octets)) => octets,
        Err(_) => 0,
    }
}

fn apart(mut options: ProcessorOptions) -> (Option<Program>, ProcessorOptions) {
    (options.program.take(), options)
}

/// The room is about right: each line of a program takes some octets beside its own.
fn too_long(place: &str, octets: usize, room: usize) -> Failure {
    let place = match place {
        "-" => "on standard input",
        file => file,
    };
    Failure::usage(format!(
        "the program {place} has {octets} octets; a command of FNAP has at most \
         {MAX_COMMAND_LENGTH}, which leaves about {room} to it: shorten it, comments and \
         indentation too, or serve it over gRPC (--program grpcs://HOST:PORT)"
    ))
}

fn too_many(flows: usize, octets: usize) -> Failure {
    Failure::usage(format!(
        "the command has {octets} octets with {flows} flows; FNAP takes at most \
         {MAX_COMMAND_LENGTH}: name some, and the others to `fnua update processor` \
         (--add-from, --add-to)"
    ))
}

#[cfg(test)]
mod tests {
    use eson_protocol::Name;

    use super::*;

    fn flows(count: usize) -> Vec<Name> {
        let name = |number| Name::parse(&format!("f{number}.flows.unix.ar")).expect("a name");
        (0..count).map(name).collect()
    }

    fn signal(lines: usize, sources: usize) -> ProcessorOptions {
        ProcessorOptions {
            program: Some(Program::Jq(vec!["| .data.n += 1"; lines].join("\n"))),
            sources: flows(sources),
            ..ProcessorOptions::default()
        }
    }

    fn complaint(options: ProcessorOptions) -> String {
        let made = fitting(
            Command::UpdateProcessor,
            "p".to_owned(),
            options,
            Some("rich.jq"),
        );
        made.expect_err("too long").to_string()
    }

    #[test]
    fn what_fits_is_the_command() {
        let made = fitting(
            Command::UpdateProcessor,
            "p".to_owned(),
            signal(3, 2),
            Some("rich.jq"),
        );
        let wanted = Command::UpdateProcessor("p".to_owned(), signal(3, 2));
        assert_eq!(made.expect("it fits"), wanted);
    }

    #[test]
    fn a_program_is_told_how_much_room_there_is() {
        let text = complaint(signal(1_000, 2));
        let room = text.split("about ").nth(1).expect("a number");
        let room = room.split(' ').next().expect("a number");
        let lines = room.parse::<usize>().expect("a number") / "| .data.n += 1\n".len();
        assert!(
            text.starts_with("the program rich.jq has 14999 octets"),
            "{text}"
        );
        let place = Some("rich.jq");
        for (lines, fits) in [(lines, true), (lines + 2, false)] {
            let options = signal(lines, 2);
            let made = fitting(Command::UpdateProcessor, "p".to_owned(), options, place);
            assert_eq!(made.is_ok(), fits, "{lines} lines of {text}");
        }
    }

    #[test]
    fn flows_that_fill_the_line_are_told_instead_of_the_program() {
        let text = complaint(signal(1, 1_000));
        assert!(text.contains("with 1000 flows"), "{text}");
    }

    #[test]
    fn standard_input_is_called_so() {
        let text = too_long("-", 9_000, 8_000).to_string();
        assert!(text.starts_with("the program on standard input"), "{text}");
    }
}
