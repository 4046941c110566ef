//! Where schemas and registries are.

use std::fmt;

use hyper::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may not stand for itself in a segment: all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An `https:` or `http:` URL, its fragment apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    tls: bool,
    host: String,
    port: u16,
    target: String,
    fragment: Option<String>,
}

/// A text that is no URL that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is none.
    #[error("`{0}` is no URL; give one such as https://schemas.example/order.json")]
    Form(String),
    /// Neither `https:` nor `http:`.
    #[error("`{0}`: only https: and http: can be fetched")]
    Scheme(String),
    /// It holds credentials, which everybody would see.
    #[error("a URL with a user name or password in it would be published as it is; leave them out")]
    Credentials,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (address, fragment) = match text.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment.to_owned())),
            None => (text, None),
        };
        let form = || UrlError::Form(text.chars().take(200).collect());
        let uri: Uri = address.parse().map_err(|_| form())?;
        let scheme = uri.scheme_str().ok_or_else(form)?;
        let authority = uri.authority().ok_or_else(form)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme(text.chars().take(200).collect())),
        };
        let default = if tls { 443 } else { 80 };
        let target = uri.path_and_query().map_or("/", |it| it.as_str());
        Ok(Self {
            text: address.to_owned(),
            tls,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default),
            target: target.to_owned(),
            fragment: fragment.filter(|fragment| !fragment.is_empty()),
        })
    }

    /// Whether it asks for TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as a request has them.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What is below it: the path with these segments behind, each of them taken as it is, whatever
    /// characters it has. Query and fragment are left out.
    #[must_use]
    pub fn below<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Self {
        let path = self.target.split('?').next().unwrap_or_default();
        let mut target = path.trim_end_matches('/').to_owned();
        for segment in segments {
            target.push('/');
            target.extend(utf8_percent_encode(segment, RESERVED));
        }
        let scheme = if self.tls { "https" } else { "http" };
        Self {
            text: format!("{scheme}://{}{target}", self.authority()),
            target,
            fragment: None,
            ..self.clone()
        }
    }

    /// What stands behind `#`; none where that is empty.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref()
    }

    /// `host:port`, as a request's `Host` has it.
    #[must_use]
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_its_parts() {
        let url = Url::parse("https://a.example/s/order.desc?v=1#orders.v1.Order").expect("a URL");
        assert!(url.is_tls());
        assert_eq!((url.host(), url.port()), ("a.example", 443));
        assert_eq!(url.target(), "/s/order.desc?v=1");
        assert_eq!(url.fragment(), Some("orders.v1.Order"));
        assert_eq!(url.to_string(), "https://a.example/s/order.desc?v=1");
        let url = Url::parse("http://[::1]:8081").expect("a URL");
        assert_eq!((url.host(), url.port(), url.target()), ("::1", 8081, "/"));
        assert_eq!(url.authority(), "[::1]:8081");
        assert_eq!(Url::parse("http://a.example/x#").unwrap().fragment(), None);
    }

    #[test]
    fn what_is_below_it() {
        let below = |text: &str, segments: &[&str]| {
            let url = Url::parse(text).expect("a URL");
            let below = url.below(segments.iter().copied());
            assert_eq!(Url::parse(&below.to_string()), Ok(below.clone()));
            below.to_string()
        };
        let types = below("https://a.example", &["schemas", "types"]);
        assert_eq!(types, "https://a.example:443/schemas/types");
        let subject = below(
            "http://[::1]:81/apis/?x=1#y",
            &["subjects", "a/../b é-value"],
        );
        assert_eq!(
            subject,
            "http://[::1]:81/apis/subjects/a%2F..%2Fb%20%C3%A9-value"
        );
    }

    #[test]
    fn what_can_not_be_asked_is_refused() {
        let form = |text: &str| Err(UrlError::Form(text.to_owned()));
        for text in ["", "order.json", "/order.json", "http://", "urn:x", "a b"] {
            assert_eq!(Url::parse(text), form(text));
        }
        let scheme = Err(UrlError::Scheme("ftp://a.example/".to_owned()));
        assert_eq!(Url::parse("ftp://a.example/"), scheme);
        let file = Url::parse("file:///etc/passwd");
        assert!(matches!(file, Err(UrlError::Form(_) | UrlError::Scheme(_))));
        let secret = Url::parse("https://u:p@a.example/");
        assert_eq!(secret, Err(UrlError::Credentials));
    }
}
