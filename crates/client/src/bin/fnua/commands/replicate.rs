//! `fnua replicate`

use clap::Args;
use eson_protocol::{Command, Name, ProcessorOptions, ProcessorType};

use super::delivery_options::{BeginArguments, DeliveryArguments};
use super::on_gap::OnGapArgument;
use super::registry_options::RegistryArguments;
use super::validate::ValidateArgument;
use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// Which flow to copy, and to which.
#[derive(Debug, Args)]
pub(crate) struct Replicate {
    /// The flow to read
    #[arg(value_parser = flow)]
    source: Name,
    /// The flow to write
    #[arg(value_parser = flow)]
    destination: Name,
    #[command(flatten)]
    begin: BeginArguments,
    #[command(flatten)]
    delivery: DeliveryArguments,
    #[command(flatten)]
    on_gap: OnGapArgument,
    #[command(flatten)]
    validate: ValidateArgument,
    /// Name of the processor [default: SOURCE-to-DESTINATION]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
}

impl Replicate {
    pub(crate) fn request(self) -> Request {
        let name = self
            .name
            .unwrap_or_else(|| format!("{}-to-{}", self.source, self.destination));
        let (start, cursor) = self.begin.options();
        let options = ProcessorOptions {
            kind: Some(ProcessorType::Bridge),
            sources: vec![self.source],
            destinations: vec![self.destination.clone()],
            start,
            cursor,
            delivery: self.delivery.options(),
            on_gap: self.on_gap.wanted(),
            validate: self.validate.wanted(),
            registry: self.registry.options(),
            ..ProcessorOptions::default()
        };
        Request::about(
            &self.destination,
            Shape::One("processor"),
            Command::CreateProcessor(name, options),
        )
    }
}

#[cfg(test)]
mod tests {
    use eson_protocol::Start;

    use super::*;

    #[test]
    fn a_bridge_between_two_flows() {
        let name = |text: &str| Name::parse(text).expect("a name");
        let replicate = Replicate {
            source: name("a.example"),
            destination: name("b.example"),
            begin: BeginArguments::at(Start::Latest),
            delivery: DeliveryArguments::default(),
            on_gap: OnGapArgument::default(),
            validate: ValidateArgument::default(),
            registry: RegistryArguments::default(),
            name: None,
        };
        let request = replicate.request();
        assert_eq!(request.about, Some(name("b.example")));
        let Command::CreateProcessor(processor, options) = request.command else {
            panic!("{:?}", request.command);
        };
        assert_eq!(processor, "a.example-to-b.example");
        assert_eq!(options.kind, Some(ProcessorType::Bridge));
        assert_eq!(options.sources, [name("a.example")]);
        assert_eq!(options.destinations, [name("b.example")]);
        assert_eq!(options.start, Some(Start::Latest));
    }
}
