//! `fnua collect`

use clap::Args;
use eson_protocol::{Command, Name, ProcessorOptions, ProcessorType};

use super::delivery_options::{BeginArguments, DeliveryArguments};
use super::fitting::fitting;
use super::on_gap::OnGapArgument;
use super::registry_options::RegistryArguments;
use super::validate::ValidateArgument;
use crate::arguments::flow;
use crate::failure::Failure;
use crate::output::Shape;
use crate::request::Request;

/// Which flows to collect, and into which.
#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// The flows to read, at most 256
    #[arg(value_parser = flow, required = true, num_args = 1.., value_name = "SOURCE")]
    sources: Vec<Name>,
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
    /// Leave the events as they are, without the header ce_sourceflow
    #[arg(long)]
    no_annotation: bool,
    /// Give each source an equal share of the destination, whatever the others have
    #[arg(long)]
    fair: bool,
    /// Name of the processor [default: DESTINATION-collector]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
}

impl Collect {
    /// # Errors
    /// When there are more flows than a command can name.
    pub(crate) fn request(self) -> Result<Request, Failure> {
        let name = self
            .name
            .unwrap_or_else(|| format!("{}-collector", self.destination));
        let (start, cursor) = self.begin.options();
        let options = ProcessorOptions {
            kind: Some(ProcessorType::Collector),
            sources: self.sources,
            destinations: vec![self.destination.clone()],
            start,
            cursor,
            delivery: self.delivery.options(),
            on_gap: self.on_gap.wanted(),
            validate: self.validate.wanted(),
            registry: self.registry.options(),
            annotate: self.no_annotation.then_some(false),
            fair: self.fair.then_some(true),
            ..ProcessorOptions::default()
        };
        let command = fitting(Command::CreateProcessor, name, options, None)?;
        Ok(Request::about(
            &self.destination,
            Shape::One("processor"),
            command,
        ))
    }
}
