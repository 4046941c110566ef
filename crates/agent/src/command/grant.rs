//! GRANT, REVOKE, GET GRANTS.

use eson_protocol::{Code, DataLine, Name, Principal, Reply, Right, Status};

use super::{Answer, Request};
use crate::authority::right_word;
use crate::resource::{Grant, GrantKey};
use crate::store::StoreError;

impl Request<'_> {
    /// Gives a right. The same once more changes nothing.
    pub(super) async fn grant(&self, right: Right, on: Name, to: Principal) -> Answer {
        self.administers(&on).await?;
        if to == Principal::Anonymous && right != Right::Read {
            return Err(Status::new(
                Code::Argument,
                "anonymous can be given read only",
            ));
        }
        let key = GrantKey { right, on, to };
        let name = key.name();
        match self.participant.grants.create(&name, Grant { key }).await {
            Ok(_) | Err(StoreError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // What had stopped for want of this right goes on.
        self.participant.look_at_what_runs().await?;
        Ok(Status::done_with(&name).into())
    }

    /// Takes a right away. Subscribers who had it by nothing else are revoked with it, and
    /// processors and subscriptions stop what they need it for.
    pub(super) async fn revoke(&self, right: Right, on: Name, from: Principal) -> Answer {
        self.administers(&on).await?;
        let name = GrantKey {
            right,
            on: on.clone(),
            to: from,
        }
        .name();
        let grants = &self.participant.grants;
        match grants.mark_deleting(&name).await {
            Ok(_) => grants.remove(&name).await?,
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.participant.revoke_unentitled(&on).await?;
        self.participant.look_at_what_runs().await?;
        Ok(Status::done_with(&name).into())
    }

    pub(super) async fn list_grants(&self, on: Name) -> Answer {
        self.administers(&on).await?;
        let grants = self
            .participant
            .grants
            .list_prefix(&format!("{on} "))
            .await?;
        let lines = grants.iter().map(|grant| {
            let key = &grant.resource.key;
            DataLine::Text(format!(
                "{} ON {} TO {}",
                right_word(key.right),
                key.on,
                key.to
            ))
        });
        Ok(Reply::data(lines.collect()))
    }

    /// Whether the caller may do everything with a flow or a namespace.
    async fn administers(&self, on: &Name) -> Result<(), Status> {
        let hosting = self.participant.hosting_namespace(self.caller, on).await?;
        if hosting.resource.spec.name == *on {
            return self.administers_namespace(on).await;
        }
        self.participant
            .authorized_flow(self.caller, Right::Admin, on)
            .await
            .map(|_| ())
    }
}
