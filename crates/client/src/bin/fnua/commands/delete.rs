//! `fnua delete`

use clap::Subcommand;
use eson_protocol::{Command, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to delete.
#[derive(Debug, Subcommand)]
pub(crate) enum Delete {
    /// Delete a namespace that has no flows
    Namespace {
        /// The namespace
        #[arg(value_parser = flow)]
        namespace: Name,
    },
    /// Delete a flow, its queue (unless adopted) and its DNS records
    Flow {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
    },
    /// Delete a processor
    Processor {
        /// The processor's name
        processor: String,
    },
}

impl Delete {
    pub(crate) fn request(self) -> Request {
        match self {
            Self::Namespace { namespace } => Request::about(
                &namespace.clone(),
                Shape::One("namespace"),
                Command::DeleteNamespace(namespace),
            ),
            Self::Flow { flow } => {
                Request::about(&flow.clone(), Shape::One("flow"), Command::DeleteFlow(flow))
            }
            Self::Processor { processor } => {
                Request::to_default(Shape::One("processor"), Command::DeleteProcessor(processor))
            }
        }
    }
}
