//! `fnua get`

use clap::Subcommand;
use eson_protocol::{Command, ComponentKind, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to list.
#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// List flows, of one namespace or of all
    #[command(visible_alias = "fl")]
    Flows {
        /// Only those of this namespace
        #[arg(value_parser = flow)]
        namespace: Option<Name>,
    },
    /// List namespaces
    #[command(visible_alias = "ns")]
    Namespaces,
    /// List the brokers of the agent
    Brokers,
    /// List the name servers of the agent
    Nameservers,
    /// List the agents of the participant
    Agents,
    /// List processors
    Processors,
    /// List one's subscriptions
    Subscriptions,
    /// List the subscribers of a flow, or of all one's flows
    Subscribers {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Option<Name>,
    },
    /// List the grants on a flow or a namespace
    Grants {
        /// The flow or namespace
        #[arg(value_parser = flow)]
        flow: Name,
    },
}

impl Get {
    pub(crate) fn request(self) -> Request {
        let list = Request::to_default;
        match self {
            Self::Flows { namespace } => Request {
                about: namespace.clone(),
                command: Command::GetFlows(namespace),
                shape: Shape::List("flow"),
            },
            Self::Namespaces => list(Shape::List("namespace"), Command::GetNamespaces),
            Self::Brokers => list(
                Shape::List("broker"),
                Command::GetComponents(ComponentKind::Broker),
            ),
            Self::Nameservers => list(
                Shape::List("nameserver"),
                Command::GetComponents(ComponentKind::Nameserver),
            ),
            Self::Agents => list(
                Shape::List("agent"),
                Command::GetComponents(ComponentKind::Agent),
            ),
            Self::Processors => list(Shape::List("processor"), Command::GetProcessors),
            Self::Subscriptions => list(Shape::List("subscription"), Command::GetSubscriptions),
            Self::Subscribers { flow } => Request {
                about: flow.clone(),
                command: Command::GetSubscribers(flow),
                shape: Shape::List("subscriber"),
            },
            Self::Grants { flow } => Request::about(
                &flow.clone(),
                Shape::List("grant"),
                Command::GetGrants(flow),
            ),
        }
    }
}
