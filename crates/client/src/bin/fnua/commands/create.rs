//! `fnua create`

use clap::Subcommand;
use eson_protocol::{Command, Name, NamespaceOptions};

use super::flow_options::FlowArguments;
use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to create.
#[derive(Debug, Subcommand)]
pub(crate) enum Create {
    /// Create a child namespace
    Namespace {
        /// The namespace
        #[arg(value_parser = flow)]
        namespace: Name,
        /// Broker for its flows, by its name at the agent
        #[arg(long)]
        broker: Option<String>,
    },
    /// Create a flow, its queue and its DNS records
    Flow {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
        #[command(flatten)]
        options: Box<FlowArguments>,
    },
}

impl Create {
    pub(crate) fn request(self) -> Request {
        match self {
            Self::Namespace { namespace, broker } => Request::about(
                &namespace.clone(),
                Shape::One("namespace"),
                Command::CreateNamespace(namespace, NamespaceOptions { broker }),
            ),
            Self::Flow { flow, options } => Request::about(
                &flow.clone(),
                Shape::One("flow"),
                Command::CreateFlow(flow, options.options()),
            ),
        }
    }
}
