//! How Schema Registries are asked.

use eson_processor::proto;
use eson_protocol::{Code, OnUnknownSchema};
use eson_schema::Url;

use super::Participant;
use crate::config::{RegistryLogin, SecretFile};
use crate::resource::{Failure, RegistryTerms};

impl Participant {
    /// Between which registries a leg translates ids, where it does. `source` is the registry that
    /// the source says its ids are of.
    ///
    /// # Errors
    /// 501 where nobody says whose ids come; 451 where a password or token can't be read.
    pub(crate) fn schema_ids(
        &self,
        terms: Option<&RegistryTerms>,
        source: Option<&str>,
    ) -> Result<Option<proto::SchemaIds>, Failure> {
        let Some(terms) = terms else {
            return Ok(None);
        };
        let from = terms.from.as_deref().or(source).ok_or_else(|| {
            let text = "whose schema ids come? The source has no schema-registry=, so \
                        registry-from= has to say it";
            Failure::refused(Code::Argument, text)
        })?;
        let on_unknown = match terms.on_unknown {
            OnUnknownSchema::Stop => proto::OnUnknownSchema::Stop,
            OnUnknownSchema::Pass => proto::OnUnknownSchema::Pass,
            OnUnknownSchema::DeadLetter => proto::OnUnknownSchema::DeadLetter,
        };
        Ok(Some(proto::SchemaIds {
            from: Some(self.schema_registry(from)?),
            to: Some(self.schema_registry(&terms.to)?),
            keys: terms.keys,
            on_unknown: on_unknown.into(),
        }))
    }

    /// As `schema-registries` of the configuration says; one that is not there is asked as nobody,
    /// under the conditions of the participant whose domain it lies in.
    fn schema_registry(&self, text: &str) -> Result<proto::SchemaRegistry, Failure> {
        let url = Url::parse(text).map_err(|error| Failure::refused(Code::Argument, error))?;
        let config = self.config();
        let known = config.schema_registries.iter().find(|it| it.url == url);
        let (policy, tls_ca) = match known {
            Some(known) => (known.address_policy(), &known.tls_ca),
            None => {
                let peer = config.peer_at(url.host());
                (peer.address_policy(), &peer.tls_ca)
            }
        };
        let mut registry = proto::SchemaRegistry {
            url: text.to_owned(),
            trusted_networks: policy.trusted().iter().map(ToString::to_string).collect(),
            tls_ca: tls_ca
                .as_ref()
                .map(|file| file.display().to_string())
                .unwrap_or_default(),
            ..Default::default()
        };
        match known.map(|known| &known.login) {
            None | Some(RegistryLogin::Nobody) => {}
            Some(RegistryLogin::Basic(login)) => {
                registry.username.clone_from(&login.username);
                registry.password = secret(&login.password)?;
            }
            Some(RegistryLogin::Bearer(token)) => registry.token = secret(token)?,
        }
        Ok(registry)
    }
}

fn secret(file: &SecretFile) -> Result<String, Failure> {
    match file.read() {
        Ok(secret) => Ok(secret.expose().to_owned()),
        Err(error) => Err(Failure::backend(error)),
    }
}
