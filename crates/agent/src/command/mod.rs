//! What each FNAP command does, one file per command or family, named as the command.
//!
//! Commands check the caller's right, write a spec, and wait until the reconcilers have made it
//! true or have given a reason why not. READ FLOW and WRITE FLOW, which stream, are in
//! [`read_flow`] and [`write_flow`].

mod adoption;
pub(crate) mod capabilities;
mod component;
mod copy;
mod dead_letters;
mod delivery;
mod flow;
mod flow_activity;
mod grant;
mod leg_status;
mod lines;
mod namespace;
mod payload;
mod processor;
mod processor_advice;
mod processor_check;
mod processor_status;
pub(crate) mod read_flow;
mod registry;
mod resolve;
mod subscribe_local;
mod subscribe_remote;
mod subscriber;
mod subscriber_quota;
mod subscription;
mod terms;
mod trouble;
mod wait;
pub(crate) mod write_flow;

pub(crate) use leg_status::{LEG_STATES, lag_seconds, leg_state};

use std::net::IpAddr;

use eson_protocol::{Code, Command, Reply, Status};

use crate::authority::{Caller, Role};
use crate::participant::Participant;

/// A reply, or the status line that says why there is none.
pub(crate) type Answer = Result<Reply, Status>;

/// One session's command on its way.
pub(crate) struct Request<'a> {
    /// What the participant has.
    pub(crate) participant: &'a Participant,
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// Whether SUBSCRIBE's data is to have attribute lines.
    pub(crate) attributes: bool,
    /// Whether secrets may go over this connection.
    pub(crate) confidential: bool,
    /// The address that it comes from, of IPv6 the /64; none for a process of this machine.
    pub(crate) network: Option<IpAddr>,
}

impl Request<'_> {
    /// Carries out a command that neither streams nor concerns the session itself.
    pub(crate) async fn execute(&self, command: Command) -> Answer {
        let describes = matches!(command, Command::DescribeFlow(_));
        if matches!(self.caller.role, Role::Reader { .. }) && !describes {
            return Err(Status::denied(
                "these credentials read one copy and nothing else",
            ));
        }
        match command {
            Command::WhoAmI => self.who_am_i().await,
            Command::CreateNamespace(name, options) => self.create_namespace(name, options).await,
            Command::UpdateNamespace(name, options) => self.update_namespace(name, options).await,
            Command::DescribeNamespace(name) => self.describe_namespace(name).await,
            Command::DeleteNamespace(name) => self.delete_namespace(name).await,
            Command::GetNamespaces => self.list_namespaces().await,
            Command::CreateFlow(name, options) => self.create_flow(name, options).await,
            Command::UpdateFlow(name, options) => self.update_flow(name, options).await,
            Command::DescribeFlow(name) => self.describe_flow(name).await,
            Command::DeleteFlow(name) => self.delete_flow(name).await,
            Command::GetFlows(namespace) => self.list_flows(namespace).await,
            Command::PauseFlow(name) => self.pause_flow(name).await,
            Command::ResumeFlow(name) => self.resume_flow(name).await,
            Command::StopFlow(name) => self.stop_flow(name).await,
            Command::Grant(right, on, to) => self.grant(right, on, to).await,
            Command::Revoke(right, on, from) => self.revoke(right, on, from).await,
            Command::GetGrants(on) => self.list_grants(on).await,
            other => self.execute_subscription(other).await,
        }
    }

    async fn execute_subscription(&self, command: Command) -> Answer {
        match command {
            Command::SubscribeLocal {
                remote,
                local,
                options,
            } => self.subscribe_local(remote, local, options).await,
            Command::SubscribeRemote(flow, options) => self.subscribe_remote(flow, options).await,
            Command::UnsubscribeRemote(flow, id) => self.unsubscribe_remote(flow, id).await,
            Command::Unsubscribe(name) => self.unsubscribe(name).await,
            Command::PauseSubscription(name) => self.pause_subscription(name).await,
            Command::ResumeSubscription(name) => self.resume_subscription(name).await,
            Command::StopSubscription(name) => self.stop_subscription(name).await,
            Command::DescribeSubscription(name) => self.describe_subscription(name).await,
            Command::GetSubscriptions => self.list_subscriptions().await,
            Command::GetSubscribers(flow) => self.list_subscribers(flow).await,
            Command::RemoveSubscriber(flow, label) => self.remove_subscriber(flow, label).await,
            Command::UpdateSubscriber(flow, label, quality) => {
                self.update_subscriber(flow, label, quality).await
            }
            Command::DescribeSubscriber(flow, label) => self.describe_subscriber(flow, label).await,
            Command::PauseSubscriber(flow, label) => self.pause_subscriber(flow, label).await,
            Command::ResumeSubscriber(flow, label) => self.resume_subscriber(flow, label).await,
            other => self.execute_other(other).await,
        }
    }

    async fn execute_other(&self, command: Command) -> Answer {
        match command {
            Command::GetPositions(flow, processor) => self.list_positions(flow, processor).await,
            Command::CreateProcessor(name, options) => self.create_processor(name, options).await,
            Command::UpdateProcessor(name, options) => self.update_processor(name, options).await,
            Command::PauseProcessor(name) => self.pause_processor(name).await,
            Command::ResumeProcessor(name) => self.resume_processor(name).await,
            Command::StopProcessor(name) => self.stop_processor(name).await,
            Command::DeleteProcessor(name) => self.delete_processor(name).await,
            Command::DescribeProcessor(name) => self.describe_processor(name).await,
            Command::GetProcessors => self.list_processors().await,
            Command::GetComponents(kind) => self.list_components(kind).await,
            Command::DescribeComponent(kind, name) => self.describe_component(kind, name).await,
            Command::Resolve(name) => self.resolve(name).await,
            _ => Err(Status::new(
                Code::Unsupported,
                "this FNAA does not do that; CAPABILITIES tells what it does",
            )),
        }
    }
}
