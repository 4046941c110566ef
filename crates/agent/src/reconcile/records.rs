//! Brings the records of a flow in every view of DNS in line, one name server after the other.

use eson_names::{RegisterError, Registrar};
use eson_protocol::Code;

use crate::participant::Participant;
use crate::resource::{Failure, RegisteredView};
use crate::store::{Resource, Resources};

/// Makes the registered records those of `wanted`. What is to be registered is stored before it
/// is, so that whatever was registered is known and can be taken out exactly.
pub(super) async fn converge<R: Resource>(
    participant: &Participant,
    resources: &Resources<R>,
    name: &str,
    wanted: &[RegisteredView],
    views: fn(&mut R) -> &mut Vec<RegisteredView>,
) -> Result<(), Failure> {
    loop {
        let mut stored = resources.require(name).await?;
        let registered = views(&mut stored.resource).clone();
        if let Some(stale) = registered.iter().find(|view| !is_wanted(view, wanted)) {
            withdraw(participant, stale).await?;
            let forget = |resource: &mut R| views(resource).retain(|view| view != stale);
            resources.update(name, forget).await?;
        } else if let Some(missing) = wanted.iter().find(|view| !registered.contains(view)) {
            announce(participant, resources, name, missing, views).await?;
        } else {
            return Ok(());
        }
    }
}

fn is_wanted(view: &RegisteredView, wanted: &[RegisteredView]) -> bool {
    wanted
        .iter()
        .any(|wanted| wanted.nameserver == view.nameserver)
}

async fn announce<R: Resource>(
    participant: &Participant,
    resources: &Resources<R>,
    name: &str,
    view: &RegisteredView,
    views: fn(&mut R) -> &mut Vec<RegisteredView>,
) -> Result<(), Failure> {
    let put = |resource: &mut R, confirmed: bool| {
        let views = views(resource);
        views.retain(|known| known.nameserver != view.nameserver);
        views.push(RegisteredView {
            confirmed,
            ..view.clone()
        });
    };
    resources
        .update(name, |resource| put(resource, false))
        .await?;
    let registrar = registrar(participant, &view.nameserver)?;
    registrar
        .register(&view.records)
        .await
        .map_err(|error| failure(&error))?;
    resources
        .update(name, |resource| put(resource, true))
        .await?;
    Ok(())
}

async fn withdraw(participant: &Participant, view: &RegisteredView) -> Result<(), Failure> {
    let registrar = registrar(participant, &view.nameserver)?;
    match registrar.unregister(&view.records).await {
        Err(error @ RegisterError::Taken { .. }) => {
            tracing::warn!(flow = %view.records.flow, %error, "records are another's by now");
            Ok(())
        }
        other => other.map_err(|error| failure(&error)),
    }
}

pub(super) fn registrar<'a>(
    participant: &'a Participant,
    nameserver: &str,
) -> Result<&'a dyn Registrar, Failure> {
    participant.nameservers.get(nameserver).ok_or_else(|| {
        Failure::backend(format!(
            "the configuration has no name server {nameserver} any more"
        ))
    })
}

/// What a waiting command is told of a name server's error. All but a clash may be mended at the
/// name server, so they are tried again.
pub(super) fn failure(error: &RegisterError) -> Failure {
    match error {
        RegisterError::Taken { .. } => Failure::refused(Code::Exists, error),
        RegisterError::BadName { .. } | RegisterError::Records(_) => {
            Failure::refused(Code::Name, error)
        }
        RegisterError::KeyRejected { .. } | RegisterError::NoZone(_) => {
            Failure::refused_by_backend(error)
        }
        _ => Failure::backend(error),
    }
}
