//! Whether this participant can do its work: what it runs on is asked, each time.

use std::fmt;
use std::time::Duration;

use eson_names::{Registrar, ZoneCheck};
use eson_protocol::Name;
use futures::future::{BoxFuture, FutureExt, join_all};
use tokio::time::timeout;

use crate::participant::Participant;

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A new flow is found late where others remember for longer that it does not exist (seconds).
const LONG_NEGATIVE_TTL: u32 = 60;

/// One part that was asked, and what it said.
#[derive(Debug)]
pub(crate) struct Check {
    part: String,
    failure: Option<String>,
    warning: Option<String>,
}

impl Check {
    pub(crate) fn is_passed(&self) -> bool {
        self.failure.is_none()
    }

    /// What is better changed, though it works.
    pub(crate) fn warning(&self) -> Option<String> {
        let warning = self.warning.as_ref()?;
        Some(format!("{}: {warning}", self.part))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => write!(f, "{}: ok", self.part),
            Some(failure) => write!(f, "{}: {failure}", self.part),
        }
    }
}

/// Asks the store, every broker, and every name server about the namespaces registered there.
pub(crate) async fn checks(participant: &Participant) -> Vec<Check> {
    let mut checks: Vec<BoxFuture<'_, Check>> = Vec::new();
    let store = participant.namespaces.list();
    checks.push(check("store".to_owned(), store.map(without_warning)).boxed());
    for name in participant.brokers.names() {
        if let Some(entry) = participant.brokers.get(name) {
            let asked = entry.broker.check().map(without_warning);
            checks.push(check(format!("broker {name}"), asked).boxed());
        }
    }
    let config = participant.config();
    for name in participant.nameservers.names() {
        let Some(registrar) = participant.nameservers.get(name) else {
            continue;
        };
        for namespace in &config.namespaces {
            let views = [&namespace.ns_public, &namespace.ns_private];
            if views.iter().any(|view| view.as_deref() == Some(name)) {
                let part = format!("name server {name} for {}", namespace.name);
                let asked = check_zone(registrar, namespace.name.clone());
                checks.push(check(part, asked).boxed());
            }
        }
    }
    join_all(checks).await
}

/// A warning, or a failure.
type Answer = Result<Option<String>, String>;

fn without_warning<T, E: fmt::Display>(result: Result<T, E>) -> Answer {
    result.map(|_| None).map_err(|error| error.to_string())
}

async fn check_zone(registrar: &dyn Registrar, namespace: Name) -> Answer {
    let checked = registrar.check(&namespace).await;
    let ZoneCheck { zone, negative_ttl } = checked.map_err(|error| error.to_string())?;
    let warning = format!(
        "who asks for a flow before it exists may not find it for {negative_ttl} s: lower the \
         last number of the SOA of {zone} to {LONG_NEGATIVE_TTL} or less"
    );
    Ok((negative_ttl > LONG_NEGATIVE_TTL).then_some(warning))
}

async fn check(part: String, asked: impl Future<Output = Answer>) -> Check {
    let late = |_| Err(format!("no answer within {} s", PATIENCE.as_secs()));
    let (warning, failure) = match timeout(PATIENCE, asked).await.unwrap_or_else(late) {
        Ok(warning) => (warning, None),
        Err(failure) => (None, Some(failure)),
    };
    Check {
        part,
        failure,
        warning,
    }
}
