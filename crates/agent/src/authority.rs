//! Who may do what: finds the flow or namespace that a command names and checks the caller's
//! right on it.

use std::iter;

use eson_protocol::{Access, Code, Name, Principal, Right, Status};

use crate::participant::Participant;
use crate::resource::{Flow, Namespace};
use crate::store::{StoreError, Stored};

/// Somebody whose command is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// As whom the session is authenticated.
    pub principal: Principal,
    /// What kind of session it is.
    pub role: Role,
    /// The SASL mechanism.
    pub mechanism: String,
}

impl Caller {
    /// A user, an FNAA or nobody in particular, outside any session.
    #[must_use]
    pub(crate) fn participant(principal: Principal) -> Self {
        Self {
            principal,
            role: Role::Participant,
            mechanism: String::new(),
        }
    }
}

/// What kind of session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A user, another participant's FNAA, or anybody without credentials.
    Participant,
    /// The holder of a subscriber's credential: may read one copy and nothing else.
    Reader {
        /// The credential's user name, which is the copy's label.
        username: String,
    },
    /// One of our own flow processors.
    Processor,
}

/// The rights of a caller on one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// May read and subscribe.
    pub read: bool,
    /// May write.
    pub write: bool,
    /// May do everything.
    pub admin: bool,
}

impl Rights {
    const ALL: Self = Self {
        read: true,
        write: true,
        admin: true,
    };

    /// Whether `right` is among them.
    #[must_use]
    pub(crate) fn include(self, right: Right) -> bool {
        match right {
            Right::Read => self.read,
            Right::Write => self.write,
            Right::Admin => self.admin,
        }
    }

    fn any(self) -> bool {
        self.read || self.write || self.admin
    }

    fn add(&mut self, right: Right) {
        match right {
            Right::Read => self.read = true,
            Right::Write => self.write = true,
            Right::Admin => *self = Self::ALL,
        }
    }
}

impl Participant {
    /// The flow, if the caller has `right` on it.
    ///
    /// # Errors
    /// 551 when another FNAA hosts it, 550 when there is none or the caller may not know of it,
    /// 552 when he may know but not do that, 450 while it is being deleted.
    pub(crate) async fn authorized_flow(
        &self,
        caller: &Caller,
        right: Right,
        name: &Name,
    ) -> Result<Stored<Flow>, Status> {
        self.hosting_namespace(caller, name).await?;
        let Some(flow) = self.flows.get(name.as_str()).await? else {
            return Err(no_such_flow(name));
        };
        let rights = self.rights_on_flow(caller, &flow.resource).await?;
        if !rights.any() && flow.resource.spec.access != Access::Approval {
            return Err(no_such_flow(name));
        }
        if !rights.include(right) {
            return Err(denied(caller, right, name));
        }
        if flow.deleting {
            return Err(Status::new(
                Code::Busy,
                format!("{name} is being deleted; try again when that is done"),
            ));
        }
        Ok(flow)
    }

    /// What the caller may do with the flow: as its owner, by grants on it or on a namespace
    /// above it, or because it is public. Nothing by default.
    ///
    /// # Errors
    /// 451 when the store does not answer.
    pub(crate) async fn rights_on_flow(
        &self,
        caller: &Caller,
        flow: &Flow,
    ) -> Result<Rights, Status> {
        let spec = &flow.spec;
        let mut rights = match &caller.role {
            Role::Processor => return Ok(Rights::ALL),
            Role::Reader { .. } => return Ok(Rights::default()),
            Role::Participant if caller.principal == spec.owner => return Ok(Rights::ALL),
            Role::Participant => self.rights_on_namespace(caller, &spec.namespace).await?,
        };
        self.add_grants(&mut rights, caller, &spec.name).await?;
        rights.read |= spec.access == Access::Public;
        Ok(rights)
    }

    /// What the caller may do with every flow of a namespace: as an owner of it or of one above
    /// it, or by grants on those.
    ///
    /// # Errors
    /// 451 when the store does not answer.
    pub(crate) async fn rights_on_namespace(
        &self,
        caller: &Caller,
        namespace: &Name,
    ) -> Result<Rights, Status> {
        let mut rights = Rights::default();
        if caller.role != Role::Participant {
            return Ok(rights);
        }
        for hosted in self.namespaces_around(namespace).await? {
            let spec = &hosted.resource.spec;
            if spec.owners.contains(&caller.principal) {
                return Ok(Rights::ALL);
            }
            self.add_grants(&mut rights, caller, &spec.name).await?;
        }
        Ok(rights)
    }

    async fn add_grants(
        &self,
        rights: &mut Rights,
        caller: &Caller,
        on: &Name,
    ) -> Result<(), Status> {
        for grant in self.grants.list_prefix(&format!("{on} ")).await? {
            let key = &grant.resource.key;
            if !grant.deleting && key.to.covers(&caller.principal) {
                rights.add(key.right);
            }
        }
        Ok(())
    }

    /// Takes every right away that was given on a flow or namespace: with it, so that they don't hold
    /// on the next one of its name.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn forget_grants(&self, on: &Name) -> Result<(), StoreError> {
        for grant in self.grants.list_prefix(&format!("{on} ")).await? {
            self.grants.mark_deleting(&grant.name).await?;
            self.grants.remove(&grant.name).await?;
        }
        Ok(())
    }

    /// The namespace that hosts `name`: the longest hosted suffix, label by label.
    ///
    /// # Errors
    /// 551 when none does; to our own users the text names the FNAA that does, if DNS tells.
    pub(crate) async fn hosting_namespace(
        &self,
        caller: &Caller,
        name: &Name,
    ) -> Result<Stored<Namespace>, Status> {
        match self.find_namespace(name).await? {
            Some(namespace) => Ok(namespace),
            // Our resolver may see a private view, which is not for others.
            None if !self.is_insider(caller) => {
                let text = format!("{name} is in no namespace of this FNAA; DNS tells who has it");
                Err(Status::new(Code::NotLocal, text))
            }
            None => Err(self.hosted_elsewhere(name).await),
        }
    }

    /// Whether it is a user of this participant, or one of its own processors.
    pub(crate) fn is_insider(&self, caller: &Caller) -> bool {
        match &caller.principal {
            Principal::User { domain, .. } => *domain == self.domain,
            _ => caller.role == Role::Processor,
        }
    }

    /// The longest hosted suffix of `name`, if any.
    ///
    /// # Errors
    /// 451 when the store does not answer.
    pub(crate) async fn find_namespace(
        &self,
        name: &Name,
    ) -> Result<Option<Stored<Namespace>>, Status> {
        let hosted = self.namespaces_around(name).await?;
        Ok(hosted.into_iter().find(|candidate| !candidate.deleting))
    }

    /// The hosted namespaces that `name` is in, the longest first. Each is asked for by its name: a name has
    /// few labels, and an FNAA may have many namespaces.
    async fn namespaces_around(&self, name: &Name) -> Result<Vec<Stored<Namespace>>, StoreError> {
        let mut found = Vec::new();
        for name in iter::successors(Some(name.clone()), Name::parent) {
            found.extend(self.namespaces.get(name.as_str()).await?);
        }
        Ok(found)
    }

    async fn hosted_elsewhere(&self, name: &Name) -> Status {
        let text = match self.resolver.resolve(name).await {
            Ok(found) => match found.agents.first() {
                Some(agent) => {
                    format!(
                        "{name} is hosted by {}:{}, ask there",
                        agent.host, agent.port
                    )
                }
                None => format!("{name} is in no namespace of this FNAA"),
            },
            Err(_) => format!("{name} is in no namespace of this FNAA, and has no public records"),
        };
        Status::new(Code::NotLocal, text)
    }
}

/// 550: there is no such flow, or the caller may not know of it.
pub(crate) fn no_such_flow(name: &Name) -> Status {
    Status::new(
        Code::NotFound,
        format!("there is no flow {name} that you may know of"),
    )
}

/// 552: the caller may know of it, but not do that.
pub(crate) fn denied(caller: &Caller, right: Right, name: &Name) -> Status {
    let right = right_word(right);
    Status::new(
        Code::Denied,
        format!(
            "{} has no {right} right on {name}; its owner can give it: GRANT {right} ON {name} TO {}",
            caller.principal, caller.principal
        ),
    )
}

/// Why something that runs for `owner` is stopped: for want of a right that he had when he began it.
pub(crate) fn lost_right(owner: &Principal, right: Right, flow: &Name) -> String {
    let right = right_word(right);
    format!(
        "{owner} has no {right} right on {flow} any more, and what needs it is stopped; it goes on after GRANT {right} ON {flow} TO {owner}"
    )
}

/// The word of a right as in GRANT.
pub(crate) fn right_word(right: Right) -> &'static str {
    match right {
        Right::Read => "read",
        Right::Write => "write",
        Right::Admin => "admin",
    }
}
