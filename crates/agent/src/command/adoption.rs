//! Which queues a new flow may adopt.

use eson_protocol::{Code, Mode, Name, Right, Status};

use super::Request;

impl Request<'_> {
    /// Whoever adopts a queue gives its events away: one that a flow has, only who administers that;
    /// one that a subscriber has, nobody.
    pub(super) async fn check_nobody_has(
        &self,
        name: &Name,
        broker: &str,
        queue: &str,
    ) -> Result<(), Status> {
        let taken = || {
            let text = format!("the queue {queue} is somebody else's here and can't be adopted");
            Status::new(Code::Denied, text)
        };
        for flow in self.participant.flows.list().await? {
            let spec = &flow.resource.spec;
            if spec.name == *name || spec.broker != broker || spec.queue != queue {
                continue;
            }
            let rights = self.participant.rights_on_flow(self.caller, &flow.resource);
            if !rights.await?.include(Right::Admin) {
                return Err(taken());
            }
        }
        let entry = self.participant.brokers.require(broker)?;
        for subscriber in self.participant.subscribers.list().await? {
            let it = &subscriber.resource;
            let has_copy = it.spec.mode == Mode::Copy && it.status.broker == broker;
            if has_copy && entry.subscriber_queue(it).is_ok_and(|copy| copy == queue) {
                return Err(taken());
            }
        }
        Ok(())
    }
}
