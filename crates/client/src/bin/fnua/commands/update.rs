//! `fnua update`

use clap::Subcommand;
use eson_protocol::{Command, Name, NamespaceOptions};

use super::flow_options::FlowArguments;
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
        options: FlowArguments,
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
        }
    }
}
