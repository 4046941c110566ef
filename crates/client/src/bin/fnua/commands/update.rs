//! `fnua update`

use clap::{Args, Subcommand};
use eson_protocol::{Command, FlowChanges, Name, NamespaceOptions, ProcessorOptions};

use super::delivery_options::DeliveryArguments;
use super::fitting::fitting;
use super::flow_options::FlowArguments;
use super::on_gap::OnGapArgument;
use super::quality_options::QualityArguments;
use super::registry_options::RegistryArguments;
use super::signal;
use super::validate::ValidateArgument;
use crate::arguments::flow;
use crate::failure::Failure;
use crate::output::Shape;
use crate::request::Request;

/// What to change.
#[derive(Debug, Subcommand)]
pub(crate) enum Update {
    /// Change a namespace
    Namespace {
        /// The namespace
        #[arg(value_parser = flow)]
        namespace: Name,
        /// Broker for its flows, by its name at the agent
        #[arg(long)]
        broker: Option<String>,
    },
    /// Change a flow
    Flow {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
        #[command(flatten)]
        options: Box<FlowArguments>,
    },
    /// Change which flows a processor reads or writes, a signal's program, or the delivery
    Processor {
        /// The processor's name
        processor: String,
        /// The flows that a collector or signal shall read from now on
        #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
        from: Vec<Name>,
        /// The flows that a distributor or signal shall write from now on
        #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
        to: Vec<Name>,
        #[command(flatten)]
        flow_changes: FlowChangesArguments,
        #[command(flatten)]
        on_gap: OnGapArgument,
        /// Whether a collector writes on each event where it came from
        #[arg(long, value_name = "TRUE|FALSE")]
        annotate: Option<bool>,
        /// Whether a collector gives its sources equal shares of the destination
        #[arg(long, value_name = "TRUE|FALSE")]
        fair: Option<bool>,
        /// The program of a signal from now on: a file in jq's language, or grpcs://HOST:PORT
        /// or grpc://HOST:PORT
        #[arg(long, value_name = "FILE|URL")]
        program: Option<String>,
        #[command(flatten)]
        delivery: DeliveryArguments,
        #[command(flatten)]
        validate: ValidateArgument,
        #[command(flatten)]
        registry: Box<RegistryArguments>,
    },
    /// Change what one subscriber of a flow may have
    Subscriber {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
        /// The subscriber, as `get subscribers` lists it
        subscriber: String,
        #[command(flatten)]
        quality: QualityArguments,
    },
}

/// Single flows of a processor that come or go.
#[derive(Debug, Args)]
pub(crate) struct FlowChangesArguments {
    /// Flows that a collector or signal shall read, too
    #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
    add_from: Vec<Name>,
    /// Flows that a collector or signal shall not read any more
    #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
    remove_from: Vec<Name>,
    /// Flows that a distributor or signal shall write, too
    #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
    add_to: Vec<Name>,
    /// Flows that a distributor or signal shall not write any more
    #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
    remove_to: Vec<Name>,
}

impl FlowChangesArguments {
    fn changes(self) -> Box<FlowChanges> {
        Box::new(FlowChanges {
            added_sources: self.add_from,
            removed_sources: self.remove_from,
            added_destinations: self.add_to,
            removed_destinations: self.remove_to,
        })
    }
}

impl Update {
    /// # Errors
    /// When a program can't be read, or a processor's program or flows are too long for a command.
    pub(crate) fn request(self) -> Result<Request, Failure> {
        Ok(match self {
            Self::Namespace { namespace, broker } => Request::about(
                &namespace.clone(),
                Shape::One("namespace"),
                Command::UpdateNamespace(namespace, NamespaceOptions { broker }),
            ),
            Self::Flow { flow, options } => Request::about(
                &flow.clone(),
                Shape::One("flow"),
                Command::UpdateFlow(flow, options.options()),
            ),
            Self::Processor {
                processor,
                from,
                to,
                flow_changes,
                on_gap,
                annotate,
                fair,
                program,
                delivery,
                validate,
                registry,
            } => {
                let place = program.as_deref();
                let options = ProcessorOptions {
                    sources: from,
                    destinations: to,
                    flow_changes: flow_changes.changes(),
                    on_gap: on_gap.wanted(),
                    annotate,
                    fair,
                    program: place.map(signal::program).transpose()?,
                    delivery: delivery.options(),
                    validate: validate.wanted(),
                    registry: registry.options(),
                    ..ProcessorOptions::default()
                };
                let command = fitting(Command::UpdateProcessor, processor, options, place)?;
                Request::to_default(Shape::One("processor"), command)
            }
            Self::Subscriber {
                flow,
                subscriber,
                quality,
            } => Request::about(
                &flow.clone(),
                Shape::One("subscriber"),
                Command::UpdateSubscriber(flow, subscriber, quality.options()),
            ),
        })
    }
}
