//! `.flow.yml`: the FNAAs that a user has an account at, and the namespaces they host (draft
//! section 6.3).

mod current_agent;
mod parse;
mod section;

use std::io;
use std::path::{Path, PathBuf};

use eson_client::Secret;
use eson_protocol::{Name, Server};

pub(crate) use current_agent::set_current_agent;

use crate::failure::Failure;

/// The configuration file's name, looked for in the current directory, then in the home one.
pub(crate) const FILE_NAME: &str = ".flow.yml";

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// Where it was read; none when there is no file.
    pub(crate) path: Option<PathBuf>,
    /// The FNAAs.
    pub(crate) agents: Vec<Agent>,
    /// The namespaces and who hosts them.
    pub(crate) namespaces: Vec<Namespace>,
    /// The agent that `set agent` chose.
    pub(crate) current_agent: Option<String>,
    /// The name server to ask instead of the system's.
    pub(crate) nameserver: Option<String>,
}

/// An FNAA and the account there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    /// What the user calls it.
    pub(crate) name: String,
    /// Its fully qualified domain name, which is looked up and which its certificate has.
    pub(crate) fqdn: Name,
    /// Who logs in; none is ANONYMOUS.
    pub(crate) account: Option<Account>,
    /// What SUBSCRIBE puts before the remote flow's name to name the local one.
    pub(crate) prefix: String,
    /// Where it listens, instead of asking DNS.
    pub(crate) address: Option<Server>,
    /// Whether it speaks TLS, where that is known better than DNS tells it; at an `address`,
    /// none is no.
    pub(crate) tls: Option<bool>,
    /// A PEM file with certificate authorities of one's own.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether the password may be sent without TLS to another machine.
    pub(crate) allow_plaintext: bool,
}

/// Who logs in, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The user's name.
    pub(crate) username: String,
    /// Where the password is.
    pub(crate) password: PasswordSource,
    /// The SASL mechanism.
    pub(crate) mechanism: Mechanism,
}

/// Where a password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PasswordSource {
    /// In the configuration.
    Inline(Secret),
    /// In a file of its own; one line end after it is dropped.
    File(PathBuf),
}

/// The SASL mechanism of a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// The best one that the server offers.
    #[default]
    Auto,
    /// PLAIN.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
}

/// A namespace and who hosts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// The namespace.
    pub(crate) name: Name,
    /// The agent's name in this file.
    pub(crate) agent: String,
}

impl Configuration {
    /// Reads the file that was asked for, else the first of `places` that is there, else none.
    ///
    /// # Errors
    /// When the file can't be read, or with everything that is wrong in it.
    pub(crate) fn load(asked: Option<&Path>, places: &[PathBuf]) -> Result<Self, Failure> {
        if let Some(path) = asked {
            let text = std::fs::read_to_string(path).map_err(|cause| unreadable(path, &cause))?;
            return Self::parse(path, &text);
        }
        for path in places {
            match std::fs::read_to_string(path) {
                Ok(text) => return Self::parse(path, &text),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(unreadable(path, &cause)),
            }
        }
        Ok(Self::default())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let parsed = parse::configuration(text).map_err(|problems| {
            let problems = problems.join("\n  ");
            Failure::usage(format!("{} is not valid:\n  {problems}", path.display()))
        })?;
        Ok(Self {
            path: Some(path.to_owned()),
            ..parsed.relative_to(path.parent().unwrap_or(Path::new("")))
        })
    }

    /// Files are named from where the configuration is.
    fn relative_to(mut self, directory: &Path) -> Self {
        for agent in &mut self.agents {
            if let Some(file) = &mut agent.ca_file {
                *file = directory.join(&*file);
            }
            if let Some(Account {
                password: PasswordSource::File(file),
                ..
            }) = &mut agent.account
            {
                *file = directory.join(&*file);
            }
        }
        self
    }

    /// The agent that a command about `name` goes to: the one asked for; else the host of the
    /// longest namespace that has it; else the one that was set; else the only one. None when
    /// no agent is configured at all.
    ///
    /// # Errors
    /// When there are several and nothing tells which.
    pub(crate) fn agent_for(
        &self,
        asked: Option<&str>,
        name: Option<&Name>,
    ) -> Result<Option<&Agent>, Failure> {
        let hosting = name.and_then(|name| self.host_of(name));
        let chosen = asked.or(hosting).or(self.current_agent.as_deref());
        match (chosen, self.agents.as_slice()) {
            (Some(chosen), _) => self.agent(chosen).map(Some),
            (None, []) => Ok(None),
            (None, [only]) => Ok(Some(only)),
            (None, _) => Err(Failure::usage(format!(
                "which agent? Use --agent NAME or `fnua set agent NAME`, where NAME is {}",
                self.agent_names()
            ))),
        }
    }

    /// The agent of that name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn agent(&self, name: &str) -> Result<&Agent, Failure> {
        let found = self.agents.iter().find(|agent| agent.name == name);
        found.ok_or_else(|| match self.agents.as_slice() {
            [] => Failure::usage(format!(
                "there is no agent `{name}`: no agent is configured; write {FILE_NAME} first"
            )),
            _ => Failure::usage(format!(
                "there is no agent `{name}`; known are {}",
                self.agent_names()
            )),
        })
    }

    fn host_of(&self, name: &Name) -> Option<&str> {
        let hosting = |namespace: &&Namespace| name.is_within(&namespace.name);
        let longest = |namespace: &&Namespace| namespace.name.as_str().len();
        let found = self.namespaces.iter().filter(hosting).max_by_key(longest);
        found.map(|namespace| namespace.agent.as_str())
    }

    fn agent_names(&self) -> String {
        let names: Vec<_> = self.agents.iter().map(|a| a.name.as_str()).collect();
        names.join(", ")
    }
}

fn unreadable(path: &Path, cause: &io::Error) -> Failure {
    Failure::usage(format!("{} can't be read: {cause}", path.display()))
}

impl PasswordSource {
    /// The password.
    ///
    /// # Errors
    /// When its file can't be read.
    pub(crate) fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Inline(password) => Ok(password.clone()),
            Self::File(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|cause| unreadable(path, &cause))?;
                let password = text.strip_suffix('\n').unwrap_or(&text);
                let password = password.strip_suffix('\r').unwrap_or(password);
                Ok(password.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
agents:
  - { name: fnaa-unix, fqdn: fnaa.unix.ar, username: test, password: test, prefix: unix.ar- }
  - { name: fnaa-emiliano, fqdn: fnaa.emiliano.ar, username: test, password-file: secret }
namespaces:
  - { name: unix.ar, agent: fnaa-unix }
  - { name: flows.unix.ar, agent: fnaa-emiliano }
";

    fn two() -> Configuration {
        Configuration::parse(Path::new("home/.flow.yml"), TWO).expect("valid")
    }

    fn chosen(asked: Option<&str>, name: Option<&str>) -> Result<String, Failure> {
        let name = name.map(|name| Name::parse(name).expect("a name"));
        let configuration = two();
        let agent = configuration.agent_for(asked, name.as_ref())?;
        Ok(agent.expect("some").name.clone())
    }

    #[test]
    fn the_longest_namespace_chooses() {
        assert_eq!(chosen(None, Some("a.unix.ar")).expect("one"), "fnaa-unix");
        assert_eq!(
            chosen(None, Some("a.flows.unix.ar")).expect("one"),
            "fnaa-emiliano"
        );
        chosen(None, Some("a.notunix.ar")).expect_err("no namespace, two agents");
    }

    #[test]
    fn asking_goes_before_the_namespace() {
        assert_eq!(
            chosen(Some("fnaa-emiliano"), Some("a.unix.ar")).expect("one"),
            "fnaa-emiliano"
        );
        let error = chosen(Some("nobody"), None).expect_err("unknown");
        assert!(
            error.to_string().contains("fnaa-unix, fnaa-emiliano"),
            "{error}"
        );
    }

    #[test]
    fn the_current_agent_goes_before_the_only_one() {
        let mut configuration = two();
        configuration.current_agent = Some("fnaa-unix".to_owned());
        let agent = configuration.agent_for(None, None).expect("chosen");
        assert_eq!(agent.expect("some").name, "fnaa-unix");
        configuration.current_agent = None;
        configuration.agents.truncate(1);
        let agent = configuration.agent_for(None, None).expect("chosen");
        assert_eq!(agent.expect("some").name, "fnaa-unix");
    }

    #[test]
    fn files_are_named_from_the_configuration() {
        let account = two().agents[1].account.clone().expect("an account");
        assert_eq!(account.password, PasswordSource::File("home/secret".into()));
    }

    #[test]
    fn the_first_place_with_a_file_wins() {
        let home = tempfile::tempdir().expect("a directory");
        let (missing, there) = (home.path().join("none.yml"), home.path().join(FILE_NAME));
        std::fs::write(&there, TWO).expect("written");
        let found = Configuration::load(None, &[missing.clone(), there.clone()]).expect("valid");
        assert_eq!(found.path, Some(there));
        Configuration::load(Some(&missing), &[]).expect_err("asked for, so it must be there");
        let none = Configuration::load(None, &[missing]).expect("nothing");
        assert_eq!(none, Configuration::default());
    }
}
