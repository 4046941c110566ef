//! `fnua remove`

use clap::Subcommand;
use eson_protocol::{Command, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to remove.
#[derive(Debug, Subcommand)]
pub(crate) enum Remove {
    /// End a subscriber's subscription to a flow and take its credential back
    Subscriber {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
        /// The subscriber, as `get subscribers` lists it
        subscriber: String,
    },
}

impl Remove {
    pub(crate) fn request(self) -> Request {
        let Self::Subscriber { flow, subscriber } = self;
        Request::about(
            &flow.clone(),
            Shape::One("subscriber"),
            Command::RemoveSubscriber(flow, subscriber),
        )
    }
}
