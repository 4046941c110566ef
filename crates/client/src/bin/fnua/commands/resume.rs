//! `fnua resume`

use clap::Subcommand;
use eson_protocol::{Command, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to resume.
#[derive(Debug, Subcommand)]
pub(crate) enum Resume {
    /// Resume every processor that reads a flow
    Flow {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
    },
    /// Resume the subscription that feeds a local flow
    Subscription {
        /// The local flow
        #[arg(value_parser = flow)]
        local: Name,
    },
    /// Resume a processor, and start again what has failed of it
    Processor {
        /// The processor's name
        processor: String,
    },
    /// Resume the copy for one subscriber of a flow; clears a revocation
    Subscriber {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
        /// The subscriber, as `get subscribers` lists it
        subscriber: String,
    },
}

impl Resume {
    pub(crate) fn request(self) -> Request {
        match self {
            Self::Flow { flow } => {
                Request::about(&flow.clone(), Shape::One("flow"), Command::ResumeFlow(flow))
            }
            Self::Subscription { local } => Request::about(
                &local.clone(),
                Shape::One("subscription"),
                Command::ResumeSubscription(local),
            ),
            Self::Processor { processor } => {
                Request::to_default(Shape::One("processor"), Command::ResumeProcessor(processor))
            }
            Self::Subscriber { flow, subscriber } => Request::about(
                &flow.clone(),
                Shape::One("subscriber"),
                Command::ResumeSubscriber(flow, subscriber),
            ),
        }
    }
}
