//! CREATE, UPDATE, DESCRIBE and DELETE NAMESPACE, GET NAMESPACES.

use eson_protocol::{Code, Name, NamespaceOptions, Reply, Right, Status};

use super::lines::{attribute, entry, optional};
use super::{Answer, Request, wait};
use crate::authority::denied;
use crate::resource::{Namespace, NamespaceSpec, NamespaceStatus};
use crate::store::{StoreError, Stored};

impl Request<'_> {
    /// Creates a child of a hosted namespace. The same once more changes nothing.
    pub(super) async fn create_namespace(&self, name: Name, options: NamespaceOptions) -> Answer {
        let parent = self
            .participant
            .hosting_namespace(self.caller, &name)
            .await?;
        self.administers_namespace(&parent.resource.spec.name)
            .await?;
        let wanted = self.child_of(&parent.resource.spec, name.clone(), options)?;
        let namespace = Namespace {
            spec: wanted.clone(),
            status: NamespaceStatus::default(),
        };
        match self
            .participant
            .namespaces
            .create(name.as_str(), namespace)
            .await
        {
            Ok(_) => {}
            Err(StoreError::Exists { .. }) => self.same_namespace(&wanted).await?,
            Err(error) => return Err(error.into()),
        }
        self.namespace_settled(&name, wanted.generation).await
    }

    fn child_of(
        &self,
        parent: &NamespaceSpec,
        name: Name,
        options: NamespaceOptions,
    ) -> Result<NamespaceSpec, Status> {
        let broker = options.broker.unwrap_or_else(|| parent.broker.clone());
        self.participant.brokers.require(&broker)?;
        Ok(NamespaceSpec {
            name,
            owners: vec![self.caller.principal.clone()],
            broker,
            ns_public: parent.ns_public.clone(),
            ns_private: parent.ns_private.clone(),
            configured: false,
            generation: 1,
        })
    }

    async fn same_namespace(&self, wanted: &NamespaceSpec) -> Result<(), Status> {
        let found = self
            .participant
            .namespaces
            .require(wanted.name.as_str())
            .await?;
        if found.resource.spec == *wanted && !found.deleting {
            return Ok(());
        }
        let text = format!("the namespace {} exists already", wanted.name);
        Err(Status::new(Code::Exists, text))
    }

    /// Changes the broker of flows that are created from here on.
    pub(super) async fn update_namespace(&self, name: Name, options: NamespaceOptions) -> Answer {
        self.administered(&name).await?;
        if let Some(broker) = &options.broker {
            self.participant.brokers.require(broker)?;
        }
        let change = |namespace: &mut Namespace| {
            let Some(broker) = &options.broker else {
                return;
            };
            if namespace.spec.broker != *broker {
                namespace.spec.broker.clone_from(broker);
                namespace.spec.generation += 1;
                namespace.status.condition.failure = None;
            }
        };
        let stored = self
            .participant
            .namespaces
            .update(name.as_str(), change)
            .await?;
        self.namespace_settled(&name, stored.resource.spec.generation)
            .await
    }

    pub(super) async fn describe_namespace(&self, name: Name) -> Answer {
        let found = self.visible(&name).await?;
        let spec = &found.resource.spec;
        let mut lines = vec![
            attribute("namespace", &spec.name),
            attribute("broker", &spec.broker),
        ];
        lines.extend(spec.owners.iter().map(|owner| attribute("owner", owner)));
        lines.extend(optional("ns-public", spec.ns_public.as_ref()));
        lines.extend(optional("ns-private", spec.ns_private.as_ref()));
        lines.push(attribute("state", state(&found)));
        let failure = found.resource.status.condition.failure.as_ref();
        lines.extend(optional("error", failure.map(|failure| &failure.text)));
        Ok(Reply::data(lines))
    }

    /// Deletes a namespace that no flow and no other namespace is in.
    pub(super) async fn delete_namespace(&self, name: Name) -> Answer {
        let found = self.administered(&name).await?;
        if found.resource.spec.configured {
            let text = format!("{name} is in this FNAA's configuration; take it out there");
            return Err(Status::new(Code::Denied, text));
        }
        self.nothing_inside(&name).await?;
        self.participant
            .namespaces
            .mark_deleting(name.as_str())
            .await?;
        wait::gone(&self.participant.namespaces, name.as_str(), |it| {
            &it.status.condition
        })
        .await?;
        Ok(Status::done_with(&name).into())
    }

    async fn nothing_inside(&self, name: &Name) -> Result<(), Status> {
        let flows = self.participant.flows.list().await?;
        let flow = flows
            .iter()
            .find(|flow| flow.resource.spec.namespace == *name);
        let children = self.participant.namespaces.list().await?;
        let child = children
            .iter()
            .find(|child| child.name != name.as_str() && child.resource.spec.name.is_within(name));
        let inside = flow
            .map(|flow| &flow.name)
            .or(child.map(|child| &child.name));
        match inside {
            None => Ok(()),
            Some(inside) => Err(Status::new(
                Code::Exists,
                format!("{name} is not empty: delete {inside} first"),
            )),
        }
    }

    pub(super) async fn list_namespaces(&self) -> Answer {
        let mut lines = Vec::new();
        for found in self.participant.namespaces.list().await? {
            let spec = &found.resource.spec;
            if self.sees(&spec.name).await? {
                let values = [
                    ("broker", spec.broker.clone()),
                    ("state", state(&found).to_owned()),
                ];
                lines.push(entry(spec.name.as_str(), &values));
            }
        }
        Ok(Reply::data(lines))
    }

    async fn sees(&self, namespace: &Name) -> Result<bool, Status> {
        let rights = self
            .participant
            .rights_on_namespace(self.caller, namespace)
            .await?;
        Ok(rights.include(Right::Read) || rights.include(Right::Write))
    }

    async fn visible(&self, name: &Name) -> Result<Stored<Namespace>, Status> {
        let found = self
            .participant
            .hosting_namespace(self.caller, name)
            .await?;
        if found.resource.spec.name == *name && self.sees(name).await? {
            return Ok(found);
        }
        let text = format!("there is no namespace {name} that you may know of");
        Err(Status::new(Code::NotFound, text))
    }

    async fn administered(&self, name: &Name) -> Result<Stored<Namespace>, Status> {
        let found = self.visible(name).await?;
        self.administers_namespace(name).await?;
        Ok(found)
    }

    /// Whether the caller may create and delete in the namespace.
    ///
    /// # Errors
    /// 552 when he may not.
    pub(super) async fn administers_namespace(&self, name: &Name) -> Result<(), Status> {
        let rights = self
            .participant
            .rights_on_namespace(self.caller, name)
            .await?;
        if rights.include(Right::Admin) {
            return Ok(());
        }
        Err(denied(self.caller, Right::Admin, name))
    }

    async fn namespace_settled(&self, name: &Name, generation: u64) -> Answer {
        let namespaces = &self.participant.namespaces;
        wait::settled(namespaces, name.as_str(), generation, |it| {
            &it.status.condition
        })
        .await?;
        Ok(Status::done_with(name).into())
    }
}

fn state(namespace: &Stored<Namespace>) -> &'static str {
    let condition = &namespace.resource.status.condition;
    if namespace.deleting {
        "deleting"
    } else if condition.failure.is_some() {
        "failed"
    } else if condition.ready < namespace.resource.spec.generation {
        "pending"
    } else {
        "ready"
    }
}
