//! Which agent a command goes to, and getting there: resolve, connect, log in.

use std::sync::Arc;
use std::time::Duration;

use eson_client::{
    Address, Client, ConnectOptions, Credentials, Dialer, Lookup, SystemLookup, TlsName, TlsRoots,
};
use eson_names::{Agent as Host, ResolveError, Resolver, ResolverConfig, Trace};
use eson_protocol::{AddressPolicy, Name};

use crate::arguments::Global;
use crate::configuration::{Account, Agent, Configuration, FILE_NAME, Mechanism};
use crate::failure::{Failure, Kind};
use crate::nameservers;
use crate::transcript::{print_event, print_trace};

/// How long one attempt to connect may take: there may be more hosts to try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which agent a command goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chosen<'a> {
    /// One of the configuration.
    Configured(&'a Agent),
    /// Whoever hosts this flow or namespace by DNS, met as ANONYMOUS.
    HostOf(&'a Name),
}

impl<'a> Chosen<'a> {
    /// What the agent puts before a remote flow's name; may be empty.
    pub(crate) fn prefix(self) -> &'a str {
        match self {
            Self::Configured(agent) => &agent.prefix,
            Self::HostOf(_) => "",
        }
    }

    /// What to call it.
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Configured(agent) => &agent.name,
            Self::HostOf(name) => name.as_str(),
        }
    }
}

/// Where an agent is, by DNS.
struct Found {
    hosts: Vec<Host>,
    tls: bool,
    /// The name that its certificate must have where DNSSEC does not vouch for the host's.
    name: Name,
    secure: bool,
}

impl Found {
    /// The name that the host's certificate must have: its own where DNSSEC vouches for the SRV
    /// record (RFC 7673), else the one that was asked for (RFC 9525).
    fn certified<'a>(&'a self, host: &'a Host) -> &'a Name {
        if self.secure { &host.host } else { &self.name }
    }
}

/// What all commands share.
pub(crate) struct Agents<'a> {
    pub(crate) global: &'a Global,
    pub(crate) configuration: &'a Configuration,
}

impl<'a> Agents<'a> {
    /// The agent for a command about `name`.
    ///
    /// # Errors
    /// When nothing tells which.
    pub(crate) fn choose(&self, name: Option<&'a Name>) -> Result<Chosen<'a>, Failure> {
        let asked = self.global.agent.as_deref();
        let configured = match self.global.anonymous {
            true => None,
            false => self.configuration.agent_for(asked, name)?,
        };
        match (configured, name) {
            (Some(agent), _) => Ok(Chosen::Configured(agent)),
            (None, Some(name)) => Ok(Chosen::HostOf(name)),
            (None, None) => Err(Failure::usage(format!(
                "which agent? None is configured, and the command names no flow that could tell; \
                 write {FILE_NAME} (see fnua --help)"
            ))),
        }
    }

    /// A resolver that asks the name server of the command line, of the configuration, or of the
    /// system.
    ///
    /// # Errors
    /// When there is no name server.
    pub(crate) async fn resolver(&self) -> Result<Resolver, Failure> {
        let chosen = self.global.nameserver.as_ref();
        let chosen = chosen.or(self.configuration.nameserver.as_ref());
        let nameservers = nameservers::addresses(chosen.map(String::as_str)).await?;
        Ok(Resolver::new(ResolverConfig {
            nameservers,
            address_policy: AddressPolicy::unrestricted(),
            ..ResolverConfig::default()
        }))
    }

    /// Connects to the agent and logs in.
    ///
    /// # Errors
    /// What each step meets.
    pub(crate) async fn connect(&self, chosen: Chosen<'_>) -> Result<Client, Failure> {
        let credentials = credentials(chosen)?;
        let mut client = match chosen {
            Chosen::Configured(agent) => self.connect_configured(agent).await?,
            Chosen::HostOf(name) => {
                let options = self.options(Arc::new(self.resolver().await?), None);
                let found = self.host_of(name).await?;
                connect_any(&found, &options).await?
            }
        };
        client.authenticate(&credentials).await?;
        Ok(client)
    }

    async fn connect_configured(&self, agent: &Agent) -> Result<Client, Failure> {
        if let Some(address) = &agent.address {
            let tls = agent.tls.unwrap_or(false);
            let name = tls.then(|| tls_name(&agent.fqdn)).transpose()?;
            let address = Address::Tcp {
                host: address.host.clone(),
                port: address.port,
                tls: name,
            };
            let options = self.options(Arc::new(SystemLookup), Some(agent));
            return Ok(Client::connect(&address, &options).await?);
        }
        let resolver = self.resolver().await?;
        let found = resolver.resolve_agent(&agent.fqdn).await;
        let found = self.traced(found, |found| &found.trace)?;
        let found = Found {
            secure: found.security.is_secure(),
            hosts: found.agents,
            tls: agent.tls.unwrap_or(found.agent_tls),
            name: agent.fqdn.clone(),
        };
        let options = self.options(Arc::new(resolver), Some(agent));
        connect_any(&found, &options).await
    }

    async fn host_of(&self, name: &Name) -> Result<Found, Failure> {
        let found = self.resolver().await?.resolve(name).await;
        let found = self.traced(found, |found| &found.trace)?;
        Ok(Found {
            secure: found.security.is_secure(),
            hosts: found.agents,
            tls: found.agent_tls,
            name: found.zone,
        })
    }

    /// Prints the steps of a resolution, if asked to, however it ended.
    ///
    /// # Errors
    /// How it ended.
    pub(crate) fn traced<T>(
        &self,
        result: Result<T, ResolveError>,
        trace: impl FnOnce(&T) -> &Trace,
    ) -> Result<T, Failure> {
        if self.global.debug {
            print_trace(match &result {
                Ok(found) => trace(found),
                Err(error) => &error.trace,
            });
        }
        result.map_err(|error| Failure::new(Kind::Names, error))
    }

    fn options(&self, lookup: Arc<dyn Lookup>, agent: Option<&Agent>) -> ConnectOptions {
        let dialer = Dialer::new(lookup, AddressPolicy::unrestricted())
            .with_timeout(CONNECT_TIMEOUT.min(self.global.timeout));
        let ca_file = agent.and_then(|agent| agent.ca_file.clone());
        ConnectOptions {
            roots: ca_file.map_or_else(TlsRoots::system, TlsRoots::with_file),
            timeout: self.global.timeout,
            allow_plaintext: agent.is_some_and(|agent| agent.allow_plaintext),
            exchange: self.global.debug.then(|| Arc::new(print_event) as Arc<_>),
            ..ConnectOptions::new(dialer)
        }
    }
}

/// Tries each host until one accepts.
async fn connect_any(found: &Found, options: &ConnectOptions) -> Result<Client, Failure> {
    let mut last = Failure::new(Kind::Names, format!("no host is known for {}", found.name));
    for host in &found.hosts {
        let address = Address::Tcp {
            host: host.host.to_string(),
            port: host.port,
            tls: found
                .tls
                .then(|| tls_name(found.certified(host)))
                .transpose()?,
        };
        match Client::connect(&address, options).await {
            Ok(client) => return Ok(client),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn tls_name(name: &Name) -> Result<TlsName, Failure> {
    TlsName::parse(name.as_str()).map_err(|cause| Failure::new(Kind::Connection, cause))
}

fn credentials(chosen: Chosen<'_>) -> Result<Credentials, Failure> {
    let account = match chosen {
        Chosen::Configured(agent) => agent.account.as_ref(),
        Chosen::HostOf(_) => None,
    };
    let Some(Account {
        username,
        password,
        mechanism,
    }) = account
    else {
        return Ok(Credentials::Anonymous {
            trace: String::new(),
        });
    };
    let (user, password) = (username.clone(), password.read()?);
    Ok(match mechanism {
        Mechanism::Auto => Credentials::Best { user, password },
        Mechanism::Plain => Credentials::Plain { user, password },
        Mechanism::ScramSha256 => Credentials::ScramSha256 { user, password },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dnssec_makes_the_host_name_count() {
        let name = |text: &str| Name::parse(text).expect("a name");
        let host = Host {
            host: name("host.elsewhere.example"),
            port: 61000,
            addresses: Vec::new(),
        };
        let mut found = Found {
            hosts: Vec::new(),
            tls: true,
            name: name("unix.ar"),
            secure: false,
        };
        assert_eq!(found.certified(&host), &name("unix.ar"));
        found.secure = true;
        assert_eq!(found.certified(&host), &name("host.elsewhere.example"));
    }
}
