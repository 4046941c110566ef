//! `fnua update`

use clap::Subcommand;
use eson_protocol::{Command, Name, NamespaceOptions, ProcessorOptions};

use super::delivery_options::DeliveryArguments;
use super::flow_options::FlowArguments;
use super::on_gap::OnGapArgument;
use super::quality_options::QualityArguments;
use crate::arguments::flow;
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
    /// Change which flows a collector reads or a distributor writes, or the delivery
    Processor {
        /// The processor's name
        processor: String,
        /// The flows that a collector shall read from now on
        #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
        from: Vec<Name>,
        /// The flows that a distributor shall write from now on
        #[arg(long, value_parser = flow, num_args = 1.., value_delimiter = ',', value_name = "FLOW")]
        to: Vec<Name>,
        #[command(flatten)]
        on_gap: OnGapArgument,
        /// Whether a collector writes on each event where it came from
        #[arg(long, value_name = "TRUE|FALSE")]
        annotate: Option<bool>,
        /// Whether a collector gives its sources equal shares of the destination
        #[arg(long, value_name = "TRUE|FALSE")]
        fair: Option<bool>,
        #[command(flatten)]
        delivery: DeliveryArguments,
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

impl Update {
    pub(crate) fn request(self) -> Request {
        match self {
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
                on_gap,
                annotate,
                fair,
                delivery,
            } => {
                let options = ProcessorOptions {
                    sources: from,
                    destinations: to,
                    on_gap: on_gap.wanted(),
                    annotate,
                    fair,
                    delivery: delivery.options(),
                    ..ProcessorOptions::default()
                };
                Request::to_default(
                    Shape::One("processor"),
                    Command::UpdateProcessor(processor, options),
                )
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
        }
    }
}
