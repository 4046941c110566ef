//! Talking to other participants' FNAAs: find, connect, authenticate, subscribe and renew.

mod answer;

use std::future::Future;
use std::time::Duration;

use eson_client::{Address, Client, ClientError, ConnectOptions, TlsName};
use eson_names::{Agent, Resolution, ResolveError};
use eson_protocol::{Code, Command, Name, RemoteSubscribe, Reply};

pub(crate) use answer::{Copy, MAX_PARTITIONS};

use crate::participant::{Participant, Peer};
use crate::resource::Failure;

/// How long finding a publisher and asking it may take, all together: a publisher that answers octet
/// by octet must not hold up what is asked of others.
const EXCHANGE: Duration = Duration::from_secs(60);

/// Why a publisher has granted nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It was not found or not reached, so that it has said nothing.
    Unheard(Failure),
    /// What it answered.
    Answered(Failure),
}

impl Trouble {
    fn is_transient(&self) -> bool {
        let (Self::Unheard(failure) | Self::Answered(failure)) = self;
        failure.is_transient()
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let (Trouble::Unheard(failure) | Trouble::Answered(failure)) = trouble;
        failure
    }
}

/// A publisher's FNAA, found and authenticated.
struct Publisher {
    client: Client,
    peer: Peer,
}

/// Subscribes to a remote flow, or renews.
///
/// # Errors
/// What the publisher refuses, as it says it, or why it can't be asked; 451 for everything that may
/// pass.
pub(crate) async fn subscribe(
    participant: &Participant,
    flow: &Name,
    options: RemoteSubscribe,
) -> Result<Copy, Trouble> {
    in_time(EXCHANGE, flow, ask(participant, flow, options)).await
}

async fn ask(
    participant: &Participant,
    flow: &Name,
    options: RemoteSubscribe,
) -> Result<Copy, Trouble> {
    let mut publisher = Publisher::find(participant, flow).await?;
    publisher.command(&Command::EnableAttributes).await?;
    let reply = publisher
        .command(&Command::SubscribeRemote(flow.clone(), options))
        .await?;
    let Publisher { client, peer } = publisher;
    client.quit().await;
    Copy::read(flow, &reply, peer).map_err(Trouble::Answered)
}

/// Ends the subscription that was made with `id`.
///
/// # Errors
/// As [`subscribe`].
pub(crate) async fn unsubscribe(
    participant: &Participant,
    flow: &Name,
    id: &str,
) -> Result<(), Trouble> {
    in_time(EXCHANGE, flow, async {
        let mut publisher = Publisher::find(participant, flow).await?;
        let command = Command::UnsubscribeRemote(flow.clone(), id.to_owned());
        publisher.command(&command).await?;
        publisher.client.quit().await;
        Ok(())
    })
    .await
}

async fn in_time<T>(
    limit: Duration,
    flow: &Name,
    exchange: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let ended = tokio::time::timeout(limit, exchange).await;
    ended.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        let text = format!("the FNAA of {flow} has not come to an end within {seconds} seconds");
        Err(Trouble::Unheard(Failure::backend(text)))
    })
}

impl Publisher {
    /// Resolves the flow and tries its FNAAs in their order. When none answers, the names are
    /// asked for once more, since they may have changed.
    async fn find(participant: &Participant, flow: &Name) -> Result<Self, Trouble> {
        let found = resolve(participant, flow).await?;
        match Self::connect_any(participant, flow, &found).await {
            Err(trouble) if trouble.is_transient() => {
                participant.resolver.forget(flow);
                let again = resolve(participant, flow).await?;
                if again.agents == found.agents {
                    return Err(trouble);
                }
                Self::connect_any(participant, flow, &again).await
            }
            other => other,
        }
    }

    async fn connect_any(
        participant: &Participant,
        flow: &Name,
        found: &Resolution,
    ) -> Result<Self, Trouble> {
        let mut last = Trouble::Unheard(Failure::refused(
            Code::NotFound,
            format!("{flow} has records, but none names an FNAA"),
        ));
        for agent in &found.agents {
            match Self::connect(participant, found, agent).await {
                Ok(publisher) => return Ok(publisher),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    async fn connect(
        participant: &Participant,
        found: &Resolution,
        agent: &Agent,
    ) -> Result<Self, Trouble> {
        let peer = participant
            .peer_for(&found.flow)
            .map_err(Trouble::Unheard)?;
        let address = Address::Tcp {
            host: agent.host.to_string(),
            port: agent.port,
            tls: tls_name(found, agent).map_err(Trouble::Unheard)?,
        };
        let options = ConnectOptions {
            roots: peer.roots.clone(),
            allow_plaintext: peer.allow_plaintext,
            ..ConnectOptions::new(participant.dialer.with_policy(peer.policy.clone()))
        };
        let mut client = Client::connect(&address, &options).await.map_err(failure)?;
        client
            .authenticate(&peer.credentials)
            .await
            .map_err(failure)?;
        Ok(Self { client, peer })
    }

    async fn command(&mut self, command: &Command) -> Result<Reply, Trouble> {
        self.client.command(command).await.map_err(failure)
    }
}

/// The peer must be valid for the SRV target only where DNSSEC vouches for that record (RFC 7673);
/// otherwise its certificate must name the zone itself (RFC 9525).
fn tls_name(found: &Resolution, agent: &Agent) -> Result<Option<TlsName>, Failure> {
    if !found.agent_tls {
        return Ok(None);
    }
    let name = if found.agent_security.is_secure() {
        &agent.host
    } else {
        &found.zone
    };
    match TlsName::parse(name.as_str()) {
        Ok(name) => Ok(Some(name)),
        Err(error) => Err(Failure::refused(Code::Name, error)),
    }
}

async fn resolve(participant: &Participant, flow: &Name) -> Result<Resolution, Trouble> {
    let found = participant.resolver.resolve(flow).await;
    found.map_err(|error| Trouble::Unheard(resolution_failure(flow, &error)))
}

fn resolution_failure(flow: &Name, error: &ResolveError) -> Failure {
    let text = format!("{flow} can't be resolved: {error}");
    if error.is_transient() {
        return Failure::backend(text);
    }
    Failure::refused(Code::NotFound, text)
}

/// A publisher's own words where it refuses; what the network did, otherwise.
fn failure(error: ClientError) -> Trouble {
    match error.status() {
        // What it can't do now, it may do later; what our request lacks, it will lack then.
        Some(status) => Trouble::Answered(Failure::from_status(status)),
        None => Trouble::Unheard(Failure::backend(format!("the remote FNAA: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_publisher_that_comes_to_no_end_is_left() {
        let flow = Name::parse("f.example").expect("a name");
        let endless = std::future::pending::<Result<(), Trouble>>();
        let trouble = in_time(Duration::ZERO, &flow, endless).await;
        assert!(trouble.expect_err("too late").is_transient());
    }
}
