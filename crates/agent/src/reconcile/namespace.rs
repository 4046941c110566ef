//! Namespaces: their FNAA's records in DNS.

use std::sync::Arc;

use super::records::{failure, registrar};
use super::{Outcome, Reconciler, settle};
use crate::participant::Participant;
use crate::resource::{Failure, Namespace};
use crate::store::Stored;

/// Reconciles namespaces.
pub(super) struct NamespaceReconciler(pub(super) Arc<Participant>);

impl Reconciler for NamespaceReconciler {
    async fn reconcile(&self, name: &str) -> Outcome {
        settle(&self.0.namespaces, name, self.step(name)).await
    }
}

impl NamespaceReconciler {
    async fn step(&self, name: &str) -> Result<Outcome, Failure> {
        let Some(stored) = self.0.namespaces.get(name).await? else {
            return Ok(Outcome::Settled);
        };
        if stored.deleting {
            return self.unregister(&stored).await;
        }
        self.register(&stored).await?;
        let generation = stored.resource.spec.generation;
        let succeed = |it: &mut Namespace| it.status.condition.succeed(generation);
        self.0.namespaces.update(name, succeed).await?;
        Ok(Outcome::Settled)
    }

    async fn register(&self, stored: &Stored<Namespace>) -> Result<(), Failure> {
        let spec = &stored.resource.spec;
        let records = self.0.namespace_records(&spec.name);
        for nameserver in stored.resource.nameservers() {
            let registrar = registrar(&self.0, nameserver)?;
            registrar
                .register_namespace(&records)
                .await
                .map_err(|error| failure(&error))?;
        }
        Ok(())
    }

    async fn unregister(&self, stored: &Stored<Namespace>) -> Result<Outcome, Failure> {
        let records = self.0.namespace_records(&stored.resource.spec.name);
        for nameserver in stored.resource.nameservers() {
            let registrar = registrar(&self.0, nameserver)?;
            registrar
                .unregister_namespace(&records)
                .await
                .map_err(|error| failure(&error))?;
        }
        self.0.forget_grants(&stored.resource.spec.name).await?;
        self.0.namespaces.remove(&stored.name).await?;
        Ok(Outcome::Settled)
    }
}
