//! `fnua distribute`

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

/// Which flow to distribute, and to which.
#[derive(Debug, Args)]
pub(crate) struct Distribute {
    /// The flow to read
    #[arg(value_parser = flow)]
    source: Name,
    /// The flows to write, at most 256
    #[arg(value_parser = flow, required = true, num_args = 1.., value_name = "DESTINATION")]
    destinations: Vec<Name>,
    #[command(flatten)]
    begin: BeginArguments,
    #[command(flatten)]
    delivery: DeliveryArguments,
    #[command(flatten)]
    on_gap: OnGapArgument,
    #[command(flatten)]
    validate: ValidateArgument,
    /// Name of the processor [default: SOURCE-distributor]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
}

impl Distribute {
    /// # Errors
    /// When there are more flows than a command can name.
    pub(crate) fn request(self) -> Result<Request, Failure> {
        let name = self
            .name
            .unwrap_or_else(|| format!("{}-distributor", self.source));
        let (start, cursor) = self.begin.options();
        let options = ProcessorOptions {
            kind: Some(ProcessorType::Distributor),
            sources: vec![self.source.clone()],
            destinations: self.destinations,
            start,
            cursor,
            delivery: self.delivery.options(),
            on_gap: self.on_gap.wanted(),
            validate: self.validate.wanted(),
            registry: self.registry.options(),
            ..ProcessorOptions::default()
        };
        let command = fitting(Command::CreateProcessor, name, options, None)?;
        Ok(Request::about(
            &self.source,
            Shape::One("processor"),
            command,
        ))
    }
}
