//! What SUBSCRIBE and processors may ask for of Schema Registries.

use eson_protocol::{RegistryOptions, Status};
use eson_schema::Url;

use crate::resource::RegistryTerms;

/// What holds when the options are laid over what held `before`; none where no ids are translated.
///
/// # Errors
/// 501 for what is no URL, and for options without a registry to translate to.
pub(super) fn changed(
    before: Option<&RegistryTerms>,
    options: &RegistryOptions,
) -> Result<Option<RegistryTerms>, Status> {
    let to = match &options.to {
        Some(to) if to.is_empty() => None,
        Some(to) => Some(to.clone()),
        None => before.map(|before| before.to.clone()),
    };
    let Some(to) = to else {
        let says_more =
            options.from.is_some() || options.keys.is_some() || options.on_unknown.is_some();
        return match says_more {
            false => Ok(None),
            true => Err(Status::argument(
                "registry-from=, registry-keys= and on-unknown-schema= need registry-to=, the \
                 registry whose ids shall be written",
            )),
        };
    };
    let from = match &options.from {
        Some(from) if from.is_empty() => None,
        Some(from) => Some(from.clone()),
        None => before.and_then(|before| before.from.clone()),
    };
    check_url("registry-to", &to)?;
    if let Some(from) = &from {
        check_url("registry-from", from)?;
    }
    let keys = options.keys.or(before.map(|before| before.keys));
    let on_unknown = options
        .on_unknown
        .or(before.map(|before| before.on_unknown));
    Ok(Some(RegistryTerms {
        from,
        to,
        keys: keys.unwrap_or_default(),
        on_unknown: on_unknown.unwrap_or_default(),
    }))
}

fn check_url(option: &str, url: &str) -> Result<(), Status> {
    match Url::parse(url) {
        Ok(_) => Ok(()),
        Err(error) => Err(Status::argument(format!("{option}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use eson_protocol::OnUnknownSchema;

    use super::*;

    const ORANGE: &str = "https://registry.orange.example";
    const BLUE: &str = "https://registry.blue.example";

    fn to(to: &str) -> RegistryOptions {
        RegistryOptions {
            to: Some(to.to_owned()),
            ..RegistryOptions::default()
        }
    }

    #[test]
    fn options_change_what_they_name() {
        assert_eq!(changed(None, &RegistryOptions::default()), Ok(None));
        let first = changed(None, &to(BLUE)).expect("terms").expect("some");
        assert_eq!((&*first.to, first.keys), (BLUE, false));
        assert_eq!(first.on_unknown, OnUnknownSchema::Stop);
        let more = RegistryOptions {
            from: Some(ORANGE.to_owned()),
            keys: Some(true),
            on_unknown: Some(OnUnknownSchema::Pass),
            to: None,
        };
        let second = changed(Some(&first), &more).expect("terms").expect("some");
        let words = [
            ("registry-from", ORANGE.to_owned()),
            ("registry-to", BLUE.to_owned()),
            ("registry-keys", "true".to_owned()),
            ("on-unknown-schema", "pass".to_owned()),
        ];
        assert_eq!(second.words(), words);
        let same = changed(Some(&second), &RegistryOptions::default());
        assert_eq!(same, Ok(Some(second.clone())));
        assert_eq!(changed(Some(&second), &to("")), Ok(None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let keys = RegistryOptions {
            keys: Some(true),
            ..RegistryOptions::default()
        };
        let refused = changed(None, &keys).expect_err("no registry");
        assert!(refused.text.contains("need registry-to="), "{refused}");
        let refused = changed(None, &to("registry")).expect_err("no URL");
        assert!(
            refused
                .text
                .starts_with("registry-to: `registry` is no URL"),
            "{refused}"
        );
    }
}
