//! `fnua signal`

use clap::Args;
use eson_protocol::{Command, Name, ProcessorOptions, ProcessorType, Program, Server};

use super::delivery_options::{BeginArguments, DeliveryArguments};
use super::fitting::fitting;
use super::on_gap::OnGapArgument;
use super::validate::ValidateArgument;
use crate::arguments::{duration, flow};
use crate::failure::Failure;
use crate::output::Shape;
use crate::request::Request;

/// Which events to make of which.
#[derive(Debug, Args)]
pub(crate) struct Signal {
    /// The flows to read, at most 256; without --to, the last one is the flow to write
    #[arg(value_parser = flow, required = true, num_args = 1.., value_name = "FLOW")]
    flows: Vec<Name>,
    /// The flows to write
    #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
    to: Vec<Name>,
    /// A file with a program in jq's language (- is standard input), or grpcs://HOST:PORT (with TLS)
    /// or grpc://HOST:PORT
    #[arg(long, value_name = "FILE|URL")]
    program: String,
    #[command(flatten)]
    begin: BeginArguments,
    #[command(flatten)]
    delivery: DeliveryArguments,
    #[command(flatten)]
    on_gap: OnGapArgument,
    #[command(flatten)]
    validate: ValidateArgument,
    /// Show the program the events of the same key that came up to so long before: 10s, 5m, 1h
    #[arg(long, value_parser = duration, value_name = "LENGTH")]
    window: Option<u64>,
    /// Ask the program once for each window of that length and key, when it has ended
    #[arg(long, requires = "window")]
    tumbling: bool,
    /// Where the key of windows is in an event, as in .data.customer [default: .partitionkey]
    #[arg(long, requires = "window", value_name = "PATH")]
    by: Option<String>,
    /// Name of the processor [default: that of the first flow to write, with -signal behind its
    /// first label]
    #[arg(long)]
    name: Option<String>,
}

impl Signal {
    /// # Errors
    /// When there is nothing to write to, or the program can't be read or is too long.
    pub(crate) fn request(self) -> Result<Request, Failure> {
        let (sources, destinations) = ends(self.flows, self.to)?;
        let first = destinations[0].clone();
        let (start, cursor) = self.begin.options();
        let options = ProcessorOptions {
            kind: Some(ProcessorType::Signal),
            sources,
            destinations,
            start,
            cursor,
            delivery: self.delivery.options(),
            on_gap: self.on_gap.wanted(),
            validate: self.validate.wanted(),
            program: Some(program(&self.program)?),
            window: self.window,
            tumbling: self.tumbling.then_some(true),
            by: self.by,
            ..ProcessorOptions::default()
        };
        let name = self.name.unwrap_or_else(|| default_name(&first));
        let place = Some(self.program.as_str());
        let command = fitting(Command::CreateProcessor, name, options, place)?;
        Ok(Request::about(&first, Shape::One("processor"), command))
    }
}

/// What is read and what is written.
fn ends(mut flows: Vec<Name>, to: Vec<Name>) -> Result<(Vec<Name>, Vec<Name>), Failure> {
    if !to.is_empty() {
        return Ok((flows, to));
    }
    match flows.pop() {
        Some(last) if !flows.is_empty() => Ok((flows, vec![last])),
        _ => Err(Failure::usage(
            "a signal needs a flow to write: `fnua signal SOURCE... --to DESTINATION...`",
        )),
    }
}

/// Within the namespace of the flow, so that its dead letters are there too.
fn default_name(flow: &Name) -> String {
    match flow.as_str().split_once('.') {
        Some((label, namespace)) => format!("{label}-signal.{namespace}"),
        None => format!("{flow}-signal"),
    }
}

/// Reads a program: the address of a service, or the text of a file.
///
/// # Errors
/// When it can't be read.
pub(crate) fn program(place: &str) -> Result<Program, Failure> {
    let services: [(&str, fn(Server) -> Program); 2] =
        [("grpc://", Program::Grpc), ("grpcs://", Program::Grpcs)];
    for (scheme, service) in services {
        if let Some(server) = place.strip_prefix(scheme) {
            let server = server.trim_end_matches('/').parse();
            return server.map(service).map_err(Failure::usage);
        }
    }
    if place.contains("://") {
        return Err(Failure::usage(format!(
            "the program {place} is neither a file nor a service: grpc://HOST:PORT, or \
             grpcs://HOST:PORT over TLS"
        )));
    }
    let text = match place {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => std::fs::read_to_string(file),
    };
    let unreadable = |cause| Failure::usage(format!("the program {place} can't be read: {cause}"));
    let text = text.map_err(unreadable)?;
    Ok(Program::Jq(
        text.replace("\r\n", "\n").trim_end().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn what_is_no_program_is_told_so() {
        for (place, told) in [
            ("https://blue.example:443", "grpcs://HOST:PORT"),
            ("grpcs://blue.example", "host:port"),
            ("/none.jq", "can't be read"),
        ] {
            let error = program(place).expect_err(place).to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_last_flow_is_written_unless_others_are_said() {
        let flows = || vec![name("a.example"), name("b.example")];
        let (read, written) = ends(flows(), vec![]).expect("both");
        assert_eq!((read.len(), written), (1, vec![name("b.example")]));
        let (read, written) = ends(flows(), vec![name("c.example")]).expect("both");
        assert_eq!((read, written), (flows(), vec![name("c.example")]));
        ends(vec![name("a.example")], vec![]).expect_err("nothing to write");
    }

    #[test]
    fn a_program_is_a_service_or_a_file() {
        let server: Server = "program.example:1".parse().expect("a server");
        let grpc = program("grpc://program.example:1").expect("a service");
        assert_eq!(grpc, Program::Grpc(server.clone()));
        let grpcs = program("grpcs://program.example:1/").expect("a service");
        assert_eq!(grpcs, Program::Grpcs(server));
        program("grpc://nowhere").expect_err("no port");
        program("/nowhere.jq").expect_err("no file");
    }

    #[test]
    fn dead_letters_have_their_place_in_the_namespace() {
        let of = default_name(&name("large.flows.blue.example"));
        assert_eq!(of, "large-signal.flows.blue.example");
    }
}
