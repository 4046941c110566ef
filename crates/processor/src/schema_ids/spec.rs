//! Which registries a leg translates ids between, checked.

use std::path::PathBuf;

use eson_protocol::AddressPolicy;
use eson_schema::{Authorization, Url, UrlError};

use crate::endpoint::{EndpointError, policy};
use crate::proto;

/// Which registries a leg translates ids between, and how. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaIdsSpec {
    /// Whose ids are in what is read.
    pub from: RegistrySpec,
    /// Whose ids are in what is written.
    pub to: RegistrySpec,
    /// Whether keys begin with ids, too.
    pub keys: bool,
    /// What becomes of an event that has no id, or one that `from` does not know.
    pub on_unknown: OnUnknownSchema,
}

/// A Schema Registry and how to ask it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySpec {
    /// Where it is.
    pub url: Url,
    /// As whom it is asked; none where it asks nobody.
    pub authorization: Option<Authorization>,
    /// Where we may connect to.
    pub policy: AddressPolicy,
    /// A PEM file with authorities to believe beside the process's own.
    pub tls_ca: Option<PathBuf>,
}

/// What becomes of an event that has no id, or one that the source's registry does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknownSchema {
    /// The leg stops there.
    Stop,
    /// It is written as it is, and counted.
    Pass,
    /// It goes to the dead letters.
    DeadLetter,
}

/// Why ids can't be translated as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaIdsError {
    /// A registry is missing.
    #[error("schema ids are translated between two registries, and `{0}` names none")]
    Missing(&'static str),
    /// Where a registry is.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Both ways to log in.
    #[error("the registry {0} takes a user or a token, and not both")]
    TwoLogins(String),
    /// A network is none.
    #[error(transparent)]
    Network(#[from] EndpointError),
}

impl TryFrom<proto::SchemaIds> for SchemaIdsSpec {
    type Error = SchemaIdsError;

    fn try_from(ids: proto::SchemaIds) -> Result<Self, SchemaIdsError> {
        let on_unknown = match ids.on_unknown() {
            proto::OnUnknownSchema::Unspecified | proto::OnUnknownSchema::Stop => {
                OnUnknownSchema::Stop
            }
            proto::OnUnknownSchema::Pass => OnUnknownSchema::Pass,
            proto::OnUnknownSchema::DeadLetter => OnUnknownSchema::DeadLetter,
        };
        Ok(Self {
            from: registry("from", ids.from)?,
            to: registry("to", ids.to)?,
            keys: ids.keys,
            on_unknown,
        })
    }
}

fn registry(
    end: &'static str,
    registry: Option<proto::SchemaRegistry>,
) -> Result<RegistrySpec, SchemaIdsError> {
    let registry = registry.ok_or(SchemaIdsError::Missing(end))?;
    let authorization = match (registry.username.is_empty(), registry.token.is_empty()) {
        (true, true) => None,
        (false, true) => Some(Authorization::Basic {
            username: registry.username,
            password: registry.password.into(),
        }),
        (true, false) => Some(Authorization::Bearer(registry.token.into())),
        (false, false) => return Err(SchemaIdsError::TwoLogins(registry.url)),
    };
    Ok(RegistrySpec {
        url: Url::parse(&registry.url)?,
        authorization,
        policy: policy(&registry.trusted_networks)?,
        tls_ca: Some(registry.tls_ca)
            .filter(|file| !file.is_empty())
            .map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(url: &str) -> Option<proto::SchemaRegistry> {
        Some(proto::SchemaRegistry {
            url: url.into(),
            username: "alice".into(),
            password: "wonderland".into(),
            ..Default::default()
        })
    }

    fn ids() -> proto::SchemaIds {
        proto::SchemaIds {
            from: registry("https://registry.orange.example"),
            to: registry("https://registry.blue.example/api"),
            ..Default::default()
        }
    }

    #[test]
    fn nothing_prints_the_password() {
        let spec = SchemaIdsSpec::try_from(ids()).expect("a good spec");
        for printed in [format!("{:?}", ids()), format!("{spec:?}")] {
            assert!(printed.contains("alice"), "{printed}");
            assert!(!printed.contains("wonderland"), "{printed}");
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let spec = SchemaIdsSpec::try_from(ids()).expect("a good spec");
        assert_eq!(spec.on_unknown, OnUnknownSchema::Stop);
        type Change = fn(&mut proto::SchemaIds);
        let cases: [(Change, &str); 4] = [
            (|ids| ids.to = None, "`to` names none"),
            (|ids| ids.from = registry("registry"), "no URL"),
            (
                |ids| ids.from.as_mut().expect("set").token = "t".into(),
                "and not both",
            ),
            (
                |ids| ids.to.as_mut().expect("set").trusted_networks = vec!["home".into()],
                "no network",
            ),
        ];
        for (change, expected) in cases {
            let mut wrong = ids();
            change(&mut wrong);
            let error = SchemaIdsSpec::try_from(wrong).expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
