//! The FNAA as a whole: opens what there is, starts what runs, and ends it in order.

use std::sync::Arc;
use std::time::Duration;

use eson_identity::{Account, Authenticator, Identity, Proof, SlowdownPolicy, StaticAccounts};
use eson_names::RegisterError;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, User};
use crate::participant::{OpenError, PROCESSOR_USER, Participant};
use crate::reconcile;
use crate::resource::{Condition, Namespace, NamespaceSpec, NamespaceStatus, RegisteredView};
use crate::session::{Admission, ListenError, Listeners, Logins, Service};
use crate::store::StoreError;

/// How long what is under way when the FNAA is asked to end may take: commands, what clients still
/// have to read, the reconcilers' steps.
const GRACE: Duration = Duration::from_secs(3);

/// Why the FNAA can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Something that the configuration names can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The embedded name server does not take back what it had.
    #[error("the embedded name server: {0}")]
    Names(#[from] RegisterError),
    /// Health and metrics can't be served.
    #[error(transparent)]
    Web(#[from] crate::web::WebError),
}

/// The two steps of an end in order.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Nothing new is begun.
    pub asked: CancellationToken,
    /// What is still under way is waited for no longer. All of it is done again, or told to be
    /// undone, as after a crash.
    pub cut_off: CancellationToken,
}

impl Ending {
    fn new(asked: CancellationToken) -> Self {
        Self {
            asked,
            cut_off: CancellationToken::new(),
        }
    }
}

/// Runs an FNAA until `stop` is cancelled. Each configuration that comes over `reloads` replaces
/// users, peers, limits and what holds for subscriptions.
///
/// # Errors
/// [`AgentError`] when it can't start; nothing is left running then.
pub async fn run(
    config: Config,
    stop: CancellationToken,
    mut reloads: mpsc::Receiver<Config>,
) -> Result<(), AgentError> {
    let participant = Participant::open(config).await?;
    drop_orphaned_grants(&participant).await?;
    adopt_namespaces(&participant).await?;
    restore_embedded_names(&participant).await?;
    restore_embedded_namespaces(&participant).await?;
    participant.nameservers.serve();
    let tasks = TaskTracker::new();
    let users = Arc::new(StaticAccounts::default());
    take_users(&users, &participant.config());
    let (reloaded, users_changed) = watch::channel(());
    let ending = Ending::new(stop);
    let service = service(&participant, &users, &ending, users_changed);
    let config = participant.config();
    let listeners = Listeners::bind(&config.listen, &participant.socket).await?;
    participant.runtime.learn_types().await;
    if let Some(web) = &config.web {
        crate::web::serve(web, &service, &tasks).await?;
    }
    reconcile::spawn(&participant, &tasks, &ending);
    listeners.serve(&service, &tasks);
    tracing::info!(fqdn = %participant.fqdn, "serving");
    loop {
        tokio::select! {
            () = ending.asked.cancelled() => break,
            Some(config) = reloads.recv() => {
                take_users(&users, &config);
                participant.reload(config);
                reloaded.send_replace(());
                tracing::info!("users, peers, limits and subscriptions are reloaded");
            }
        }
    }
    tracing::info!("shutting down");
    tasks.close();
    if timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!(
            "what clients and brokers hold up is cut off, and done when this FNAA is back"
        );
        ending.cut_off.cancel();
        tasks.wait().await;
    }
    drop(service);
    participant.close().await;
    Ok(())
}

fn service(
    participant: &Arc<Participant>,
    users: &Arc<StaticAccounts>,
    ending: &Ending,
    reloads: watch::Receiver<()>,
) -> Service {
    let processors = StaticAccounts::default();
    processors.insert(PROCESSOR_USER.to_owned(), processor_account(participant));
    let sources = vec![
        Arc::clone(users) as _,
        Arc::new(processors) as _,
        Arc::clone(&participant.readers) as _,
    ];
    let key = participant.keys.key_for("sasl");
    let authenticator = Authenticator::new(participant.domain.clone(), sources, key);
    Service {
        participant: Arc::clone(participant),
        logins: Logins::new(
            authenticator,
            participant.limits().logins,
            SlowdownPolicy::default(),
        ),
        admission: Admission::default(),
        ending: ending.clone(),
        reloads,
    }
}

fn processor_account(participant: &Participant) -> Account {
    let password = participant.processor_password.clone();
    Account {
        identity: Identity::Processor {
            username: PROCESSOR_USER.to_owned(),
        },
        proof: Proof::Password(password),
    }
}

fn take_users(users: &StaticAccounts, config: &Config) {
    let account = |user: &User| Account {
        identity: Identity::Principal(user.principal.clone()),
        proof: Proof::Verifier(user.verifier.clone()),
    };
    users.replace(
        config
            .users
            .iter()
            .map(|user| (user.name.clone(), account(user))),
    );
}

/// The configuration's namespaces as resources. One that has left the configuration stays until
/// its owner deletes it: its flows are still there.
async fn adopt_namespaces(participant: &Participant) -> Result<(), StoreError> {
    let config = participant.config();
    for known in participant.namespaces.list().await? {
        let listed = config
            .namespaces
            .iter()
            .any(|it| it.name == known.resource.spec.name);
        if !listed && known.resource.spec.configured {
            tracing::warn!(namespace = %known.name, "is no longer in the configuration, and kept");
            let release = |it: &mut Namespace| it.spec.configured = false;
            participant.namespaces.update(&known.name, release).await?;
        }
    }
    for namespace in &config.namespaces {
        let spec = NamespaceSpec {
            name: namespace.name.clone(),
            owners: namespace.owners.clone(),
            broker: namespace.broker.clone(),
            ns_public: namespace.ns_public.clone(),
            ns_private: namespace.ns_private.clone(),
            configured: true,
            generation: 1,
        };
        adopt_namespace(participant, spec).await?;
    }
    Ok(())
}

async fn adopt_namespace(participant: &Participant, spec: NamespaceSpec) -> Result<(), StoreError> {
    let name = spec.name.to_string();
    let fresh = Namespace {
        spec: spec.clone(),
        status: NamespaceStatus::default(),
    };
    match participant.namespaces.create(&name, fresh).await {
        Err(StoreError::Exists { .. }) => {}
        other => return other.map(|_| ()),
    }
    let take_over = |it: &mut Namespace| {
        let generation = it.spec.generation;
        let known = NamespaceSpec {
            generation: 1,
            ..it.spec.clone()
        };
        if known != spec {
            it.spec = NamespaceSpec {
                generation: generation + 1,
                ..spec.clone()
            };
            it.status.condition = Condition::default();
        }
    };
    participant
        .namespaces
        .update(&name, take_over)
        .await
        .map(|_| ())
}

/// Rights on what is not there any more would hold on the next flow or namespace of that name.
async fn drop_orphaned_grants(participant: &Participant) -> Result<(), StoreError> {
    for grant in participant.grants.list().await? {
        let on = &grant.resource.key.on;
        let namespace = participant.namespaces.get(on.as_str()).await?;
        if namespace.is_none() && participant.flows.get(on.as_str()).await?.is_none() {
            tracing::warn!(grant = %grant.name, "is on nothing that is there, and removed");
            participant.forget_grants(on).await?;
        }
    }
    Ok(())
}

/// The embedded name server forgets everything when it ends; the store does not.
async fn restore_embedded_names(participant: &Participant) -> Result<(), AgentError> {
    let flows = participant.flows.list().await?;
    let subscribers = participant.subscribers.list().await?;
    let of_flows = flows
        .iter()
        .flat_map(|flow| &flow.resource.status.registered);
    let of_copies = subscribers
        .iter()
        .flat_map(|copy| &copy.resource.status.registered);
    for RegisteredView {
        nameserver,
        records,
        ..
    } in of_flows.chain(of_copies)
    {
        if let Some(registrar) = participant.nameservers.embedded(nameserver) {
            registrar.register(records).await?;
        }
    }
    Ok(())
}

/// One that lies in no zone any more is told of in its condition, when it is looked at.
async fn restore_embedded_namespaces(participant: &Participant) -> Result<(), AgentError> {
    for namespace in participant.namespaces.list().await? {
        let records = participant.namespace_records(&namespace.resource.spec.name);
        let views = namespace.resource.nameservers();
        let embedded = views
            .into_iter()
            .filter_map(|name| participant.nameservers.embedded(name));
        for registrar in embedded.filter(|_| !namespace.deleting) {
            match registrar.register_namespace(&records).await {
                Ok(()) | Err(RegisterError::NoZone(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
