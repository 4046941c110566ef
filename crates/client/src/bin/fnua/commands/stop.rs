//! `fnua stop`

use clap::Subcommand;
use eson_protocol::{Command, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to stop.
#[derive(Debug, Subcommand)]
pub(crate) enum Stop {
    /// Stop every processor that reads a flow
    Flow {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
    },
    /// Stop the subscription that feeds a local flow
    Subscription {
        /// The local flow
        #[arg(value_parser = flow)]
        local: Name,
    },
    /// Stop a processor
    Processor {
        /// The processor's name
        processor: String,
    },
}

impl Stop {
    pub(crate) fn request(self) -> Request {
        match self {
            Self::Flow { flow } => {
                Request::about(&flow.clone(), Shape::One("flow"), Command::StopFlow(flow))
            }
            Self::Subscription { local } => Request::about(
                &local.clone(),
                Shape::One("subscription"),
                Command::StopSubscription(local),
            ),
            Self::Processor { processor } => {
                Request::to_default(Shape::One("processor"), Command::StopProcessor(processor))
            }
        }
    }
}
