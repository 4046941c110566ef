//! `fnua pause`

use clap::Subcommand;
use eson_protocol::{Command, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to pause.
#[derive(Debug, Subcommand)]
pub(crate) enum Pause {
    /// Pause every processor that reads a flow
    Flow {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
    },
    /// Pause the subscription that feeds a local flow
    Subscription {
        /// The local flow
        #[arg(value_parser = flow)]
        local: Name,
    },
    /// Pause a processor
    Processor {
        /// The processor's name
        processor: String,
    },
    /// Pause the copy for one subscriber of a flow
    Subscriber {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
        /// The subscriber, as `get subscribers` lists it
        subscriber: String,
    },
}

impl Pause {
    pub(crate) fn request(self) -> Request {
        match self {
            Self::Flow { flow } => {
                Request::about(&flow.clone(), Shape::One("flow"), Command::PauseFlow(flow))
            }
            Self::Subscription { local } => Request::about(
                &local.clone(),
                Shape::One("subscription"),
                Command::PauseSubscription(local),
            ),
            Self::Processor { processor } => {
                Request::to_default(Shape::One("processor"), Command::PauseProcessor(processor))
            }
            Self::Subscriber { flow, subscriber } => Request::about(
                &flow.clone(),
                Shape::One("subscriber"),
                Command::PauseSubscriber(flow, subscriber),
            ),
        }
    }
}
