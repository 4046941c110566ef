//! Text into [`Configuration`], strictly: unknown keys are errors, and all errors come at once.

use std::collections::BTreeSet;

use eson_client::Secret;
use eson_protocol::{Name, Server};
use serde_yaml_ng::Value;

use super::section::{Problems, Section};
use super::{Account, Agent, Configuration, Mechanism, Namespace, PasswordSource};

const TOP_KEYS: [&str; 4] = ["agents", "namespaces", "current-agent", "nameserver"];

const AGENT_KEYS: [&str; 11] = [
    "name",
    "fqdn",
    "username",
    "password",
    "password-file",
    "mechanism",
    "prefix",
    "address",
    "tls",
    "ca-file",
    "allow-plaintext",
];

const NAMESPACE_KEYS: [&str; 2] = ["name", "agent"];

/// Reads the whole file.
pub(crate) fn configuration(text: &str) -> Result<Configuration, Problems> {
    let value: Value =
        serde_yaml_ng::from_str(text).map_err(|cause| vec![format!("it is no YAML: {cause}")])?;
    let mut problems = Problems::new();
    let mut file = Section::open("", value, &mut problems);
    let agents = file.list("agents");
    let namespaces = file.list("namespaces");
    let current_agent = file.text("current-agent");
    let nameserver = file.text("nameserver");
    file.end(&TOP_KEYS);
    let configuration = Configuration {
        path: None,
        agents: each("agents", agents, &mut problems, agent),
        namespaces: each("namespaces", namespaces, &mut problems, namespace),
        current_agent,
        nameserver,
    };
    check_references(&configuration, &mut problems);
    if problems.is_empty() {
        Ok(configuration)
    } else {
        Err(problems)
    }
}

fn each<T>(
    list: &str,
    values: Vec<Value>,
    problems: &mut Problems,
    read: impl Fn(Section<'_>) -> Option<T>,
) -> Vec<T> {
    let numbered = values.into_iter().enumerate();
    numbered
        .filter_map(|(at, value)| read(Section::open(&format!("{list}[{at}]"), value, problems)))
        .collect()
}

fn agent(mut section: Section<'_>) -> Option<Agent> {
    let name = section.required_text("name");
    let fqdn = section.required_text("fqdn");
    let fqdn = section.read("fqdn", fqdn, Name::parse);
    let account = account(&mut section);
    let address = section.text("address");
    let address = section.read("address", address, str::parse::<Server>);
    let tls = section.flag("tls");
    let prefix = section.text("prefix").unwrap_or_default();
    let ca_file = section.text("ca-file").map(Into::into);
    let allow_plaintext = section.flag("allow-plaintext").unwrap_or(false);
    section.end(&AGENT_KEYS);
    Some(Agent {
        name: name?,
        fqdn: fqdn?,
        account: account?,
        prefix,
        address,
        tls,
        ca_file,
        allow_plaintext,
    })
}

/// Who logs in. The outer none is a mistake, the inner one ANONYMOUS.
fn account(section: &mut Section<'_>) -> Option<Option<Account>> {
    let username = section.text("username");
    let password = section.text("password");
    let file = section.text("password-file");
    let mechanism = section.text("mechanism");
    let mechanism = match mechanism {
        None => Some(Mechanism::default()),
        some => section.read("mechanism", some, mechanism_named),
    };
    let source = match (password, file) {
        (Some(_), Some(_)) => {
            section.complain("password-file", "can't be there together with `password`");
            return None;
        }
        (Some(password), None) => Some(PasswordSource::Inline(Secret::new(password))),
        (None, Some(file)) => Some(PasswordSource::File(file.into())),
        (None, None) => None,
    };
    match (username, source) {
        (None, None) => Some(None),
        (Some(username), Some(password)) => Some(Some(Account {
            username,
            password,
            mechanism: mechanism?,
        })),
        (Some(_), None) => {
            section.complain("username", "needs `password` or `password-file`");
            None
        }
        (None, Some(_)) => {
            section.complain("username", "is missing, but there is a password");
            None
        }
    }
}

fn mechanism_named(text: &str) -> Result<Mechanism, String> {
    match text.to_ascii_uppercase().as_str() {
        "AUTO" => Ok(Mechanism::Auto),
        "PLAIN" => Ok(Mechanism::Plain),
        "SCRAM-SHA-256" => Ok(Mechanism::ScramSha256),
        _ => Err(format!("`{text}` is none of auto, PLAIN, SCRAM-SHA-256")),
    }
}

fn namespace(mut section: Section<'_>) -> Option<Namespace> {
    let name = section.required_text("name");
    let name = section.read("name", name, Name::parse);
    let agent = section.required_text("agent");
    section.end(&NAMESPACE_KEYS);
    Some(Namespace {
        name: name?,
        agent: agent?,
    })
}

fn check_references(configuration: &Configuration, problems: &mut Problems) {
    let mut agents = BTreeSet::new();
    for agent in &configuration.agents {
        if !agents.insert(agent.name.as_str()) {
            problems.push(format!("two agents are named `{}`", agent.name));
        }
    }
    let mut namespaces = BTreeSet::new();
    for namespace in &configuration.namespaces {
        if !namespaces.insert(&namespace.name) {
            problems.push(format!("namespace `{}` is there twice", namespace.name));
        }
        if !agents.contains(namespace.agent.as_str()) {
            problems.push(format!(
                "namespace `{}` names the agent `{}`, which is not among the valid ones",
                namespace.name, namespace.agent
            ));
        }
    }
    if let Some(current) = &configuration.current_agent
        && !agents.contains(current.as_str())
    {
        problems.push(format!(
            "`current-agent` names `{current}`, which is not among the valid ones"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drafts_file() {
        let read = configuration(
            "
agents:
  - { name: fnaa-unix, fqdn: fnaa.unix.ar, username: test, password: test, prefix: unix.ar- }
namespaces:
  - { name: flows.unix.ar, agent: fnaa-unix }
",
        )
        .expect("valid");
        let agent = &read.agents[0];
        assert_eq!(agent.fqdn.as_str(), "fnaa.unix.ar");
        assert_eq!(agent.prefix, "unix.ar-");
        let account = agent.account.as_ref().expect("an account");
        assert_eq!(account.username, "test");
        assert_eq!(account.mechanism, Mechanism::Auto);
        assert_eq!(read.namespaces[0].agent, "fnaa-unix");
    }

    #[test]
    fn everything_optional() {
        let read = configuration(
            "
current-agent: orange
nameserver: 127.0.0.1:5300
agents:
  - name: orange
    fqdn: fnaa.orange.example
    address: 127.0.0.1:61000
    tls: true
    ca-file: ca.pem
    allow-plaintext: true
    username: alice
    password: 1234
    mechanism: scram-sha-256
",
        )
        .expect("valid");
        let agent = &read.agents[0];
        assert!(agent.tls == Some(true) && agent.allow_plaintext);
        assert_eq!(agent.address.as_ref().map(|a| a.port), Some(61000));
        let account = agent.account.as_ref().expect("an account");
        assert_eq!(account.password, PasswordSource::Inline("1234".into()));
        assert_eq!(account.mechanism, Mechanism::ScramSha256);
    }

    #[test]
    fn an_empty_file_is_a_file() {
        assert_eq!(configuration(""), Ok(Configuration::default()));
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let problems = configuration(
            "
agent: []
agents:
  - { name: a, fqdn: 'bad name', username: test }
  - { fqdn: fnaa.b.example, colour: blue, tls: maybe }
  - 7
namespaces:
  - { name: n.example, agent: nobody }
",
        )
        .expect_err("invalid");
        let expected = [
            "`agent` is unknown",
            "`agents[0].fqdn` is wrong",
            "`agents[0].username` needs `password`",
            "`agents[1].name` is missing",
            "`agents[1].tls` must be true or false",
            "`agents[1].colour` is unknown",
            "agents[2] must hold",
            "`agents[2].name` is missing",
            "`agents[2].fqdn` is missing",
            "namespace `n.example` names the agent `nobody`",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{problem} / {expected}");
        }
    }

    #[test]
    fn two_passwords_are_one_too_many() {
        let problems = configuration(
            "agents: [{name: a, fqdn: a.example, username: u, password: p, password-file: f}]",
        )
        .expect_err("invalid");
        assert!(problems[0].contains("password-file"), "{problems:?}");
        assert!(
            !problems.join(" ").contains(" p "),
            "no secret in {problems:?}"
        );
    }

    #[test]
    fn names_are_unique() {
        let problems = configuration(
            "
agents: [{name: a, fqdn: a.example}, {name: a, fqdn: b.example}]
namespaces: [{name: n.example, agent: a}, {name: N.example, agent: a}]
current-agent: c
",
        )
        .expect_err("invalid");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
