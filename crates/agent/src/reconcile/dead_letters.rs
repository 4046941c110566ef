//! The flow of the events that a destination does not take: made when the first needs it.

use eson_processor::proto::error::{Kind, Side};
use eson_processor::proto::{self, LegStatus, State};
use eson_protocol::{Name, Principal, Right};

use crate::authority::Caller;
use crate::participant::Participant;
use crate::resource::{Failure, Flow, FlowSpec, FlowStatus};
use crate::store::StoreError;

impl Participant {
    /// Where the flow of dead letters is, once it is there and `owner` may write it.
    pub(super) async fn dead_letters(
        &self,
        name: Option<&Name>,
        owner: &Principal,
    ) -> Result<Option<proto::Endpoint>, Failure> {
        let Some(name) = name else {
            return Ok(None);
        };
        let found = self.flows.get(name.as_str()).await?;
        let ready = found.filter(|it| !it.deleting && it.resource.status.condition.ready > 0);
        let Some(flow) = ready else {
            return Ok(None);
        };
        let owner = Caller::participant(owner.clone());
        let rights = self.rights_on_flow(&owner, &flow.resource).await?;
        match rights.include(Right::Write) {
            true => self.flow_endpoint(&flow.resource).map(Some),
            false => Ok(None),
        }
    }

    /// Makes the flow of dead letters if one of the legs has failed for want of it: private, at the
    /// broker of the flow that they write. Not in a namespace where `owner` may make no flows:
    /// there, who may has to. Says whether such a leg will go on.
    pub(super) async fn make_dead_letters(
        &self,
        name: Option<&Name>,
        owner: &Principal,
        beside: &FlowSpec,
        legs: &[LegStatus],
    ) -> Result<bool, Failure> {
        let Some(name) = name.filter(|_| legs.iter().any(wants_dead_letters)) else {
            return Ok(false);
        };
        let caller = Caller::participant(owner.clone());
        let namespace = self.hosting_namespace(&caller, name).await?;
        let namespace = namespace.resource.spec.name;
        let rights = self.rights_on_namespace(&caller, &namespace).await?;
        if !rights.include(Right::Admin) {
            return Ok(false);
        }
        let broker = beside.broker.clone();
        let queue = self.brokers.require(&broker)?.queue_name(name);
        let spec = FlowSpec {
            partitions: Some(1),
            ..FlowSpec::private(name.clone(), namespace, owner.clone(), broker, queue)
        };
        let status = FlowStatus::default();
        match self
            .flows
            .create(name.as_str(), Flow { spec, status })
            .await
        {
            Ok(_) => {
                tracing::info!(flow = %name, "made for dead letters");
                Ok(true)
            }
            Err(StoreError::Exists { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the leg has failed because its destination does not take an event.
fn wants_dead_letters(leg: &LegStatus) -> bool {
    let is_refusal = |error: &proto::Error| {
        error.side() == Side::Destination && matches!(error.kind(), Kind::TooLarge | Kind::Refused)
    };
    leg.state() == State::Failed && leg.error.as_ref().is_some_and(is_refusal)
}
