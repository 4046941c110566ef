//! PAUSE, STOP and RESUME FLOW, which takes the flow's queue as it is by now.

use eson_broker::BrokerError;
use eson_protocol::{Code, Name, Right, Status};

use super::{Answer, Request};
use crate::resource::{Activity, Flow, FlowSpec, QueueState};

impl Request<'_> {
    pub(super) async fn pause_flow(&self, name: Name) -> Answer {
        self.set_flow_activity(name, Activity::Paused).await
    }

    pub(super) async fn stop_flow(&self, name: Name) -> Answer {
        self.set_flow_activity(name, Activity::Stopped).await
    }

    async fn set_flow_activity(&self, name: Name, activity: Activity) -> Answer {
        self.participant
            .authorized_flow(self.caller, Right::Admin, &name)
            .await?;
        let change = |flow: &mut Flow| {
            if flow.spec.activity != activity {
                flow.spec.activity = activity;
                flow.spec.generation += 1;
                flow.status.condition.failure = None;
            }
        };
        self.change_flow(&name, change).await
    }

    /// Lets what reads the flow run. A queue of the flow's own that somebody has deleted is made
    /// again, and one that was made instead of it is taken: who says so is its owner.
    pub(super) async fn resume_flow(&self, name: Name) -> Answer {
        let flow = self
            .participant
            .authorized_flow(self.caller, Right::Admin, &name)
            .await?
            .resource;
        let queue = self.queue_instead(&flow).await?;
        let resume = |it: &mut Flow| {
            let mut changed = it.spec.activity != Activity::Running;
            it.spec.activity = Activity::Running;
            // Whatever has happened to it meanwhile was not looked at here.
            if it.status.queue == flow.status.queue
                && let Some(queue) = &queue
            {
                it.status.take_queue(&it.spec.queue, queue.clone());
                changed = true;
            }
            if changed {
                it.spec.generation += 1;
                it.status.condition.failure = None;
            }
        };
        self.change_flow(&name, resume).await
    }

    /// What there is instead of the queue that the flow has made; none where that is there, or where
    /// nobody knows.
    async fn queue_instead(&self, flow: &Flow) -> Result<Option<QueueState>, Status> {
        let spec = &flow.spec;
        let Some(id) = flow.status.queue.id().filter(|_| !spec.adopted) else {
            return Ok(None);
        };
        let entry = self.participant.brokers.require(&spec.broker)?;
        Ok(match entry.broker.describe_queue(&spec.queue).await {
            Ok(found) if found.id == *id => None,
            Ok(found) => Some(QueueState::Ready(found.id)),
            Err(BrokerError::NotFound(_)) => Some(QueueState::Creating),
            Err(error) => {
                tracing::warn!(flow = %spec.name, %error, "its queue can't be looked at");
                None
            }
        })
    }
}

/// What to do about a queue that is not as it was.
pub(super) fn advice(flow: &Flow) -> Option<&'static str> {
    let failure = flow.status.condition.failure.as_ref()?;
    flow.status.queue.id()?;
    let is = |code: Code| failure.code == code.number();
    let FlowSpec { adopted, .. } = flow.spec;
    if is(Code::NotFound) && adopted {
        Some(
            "the queue is gone from the broker; create it there again: the flow goes on with it by itself",
        )
    } else if is(Code::NotFound) {
        Some("the queue is gone from the broker, with its events; RESUME FLOW makes it again")
    } else if is(Code::Exists) {
        Some("another queue has the name by now; RESUME FLOW takes that one for the flow's own")
    } else {
        None
    }
}
