//! `fnua describe`

use clap::Subcommand;
use eson_protocol::{Command, ComponentKind, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// What to describe.
#[derive(Debug, Subcommand)]
pub(crate) enum Describe {
    /// Describe a flow: its broker, queue and servers
    Flow {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
    },
    /// Describe a namespace
    Namespace {
        /// The namespace
        #[arg(value_parser = flow)]
        namespace: Name,
    },
    /// Describe the subscription that feeds a local flow
    Subscription {
        /// The local flow
        #[arg(value_parser = flow)]
        local: Name,
    },
    /// Describe a subscriber of a flow
    Subscriber {
        /// The flow
        #[arg(value_parser = flow)]
        flow: Name,
        /// The subscriber, as `get subscribers` lists it
        subscriber: String,
    },
    /// Describe a processor
    Processor {
        /// The processor's name
        processor: String,
    },
    /// Describe a name server of the agent
    Nameserver {
        // Named apart from the option --nameserver of every command, as the agent from --agent.
        /// The name server's name
        #[arg(id = "described", value_name = "NAMESERVER")]
        nameserver: String,
    },
    /// Describe a broker of the agent
    Broker {
        /// The broker's name
        broker: String,
    },
    /// Describe an agent of the participant
    Agent {
        /// The agent's name
        #[arg(id = "described", value_name = "AGENT")]
        agent: String,
    },
}

impl Describe {
    pub(crate) fn request(self) -> Request {
        match self {
            Self::Flow { flow } => Request::about(
                &flow.clone(),
                Shape::One("flow"),
                Command::DescribeFlow(flow),
            ),
            Self::Namespace { namespace } => Request::about(
                &namespace.clone(),
                Shape::One("namespace"),
                Command::DescribeNamespace(namespace),
            ),
            Self::Subscription { local } => Request::about(
                &local.clone(),
                Shape::One("subscription"),
                Command::DescribeSubscription(local),
            ),
            Self::Subscriber { flow, subscriber } => Request::about(
                &flow.clone(),
                Shape::One("subscriber"),
                Command::DescribeSubscriber(flow, subscriber),
            ),
            Self::Processor { processor } => Request::to_default(
                Shape::One("processor"),
                Command::DescribeProcessor(processor),
            ),
            Self::Nameserver { nameserver } => {
                component("nameserver", ComponentKind::Nameserver, nameserver)
            }
            Self::Broker { broker } => component("broker", ComponentKind::Broker, broker),
            Self::Agent { agent } => component("agent", ComponentKind::Agent, agent),
        }
    }
}

fn component(key: &'static str, kind: ComponentKind, name: String) -> Request {
    Request::to_default(Shape::One(key), Command::DescribeComponent(kind, name))
}
