//! The URI of a flow (draft section 5.1; RFC 3986).

use std::fmt;
use std::str::FromStr;

use crate::{Name, NameError};

/// The URI of a flow: `flow://notifications.calendar.people.syndeno.com`.
///
/// The authority is the flow's fully qualified domain name and nothing else; the namespace within
/// it can't be seen, it has to be found. `stream:` is read as another spelling of the scheme.
/// Written with `flow://`, in lower case, as A-labels, without the last dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowUri(Name);

/// Why a text is no flow URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It begins with another scheme, or with none.
    #[error("a flow URI begins with `flow://`, as in `flow://time.flows.orange.example`")]
    Scheme,
    /// There is something before an `@`.
    #[error("a flow URI has no user: leave out what stands before the `@`")]
    User,
    /// There is a port.
    #[error("a flow URI has no port: the port is found in DNS; leave out `:` and what follows")]
    Port,
    /// There is a path.
    #[error("a flow URI has no path: leave out `/` and what follows")]
    Path,
    /// There is a query.
    #[error("a flow URI has no query: leave out `?` and what follows")]
    Query,
    /// There is a fragment.
    #[error("a flow URI has no fragment: leave out `#` and what follows")]
    Fragment,
    /// A `%` is not followed by two hexadecimal digits, or what it stands for is not UTF-8.
    #[error("the percent-encoding in the flow URI is broken")]
    PercentEncoding,
    /// The authority is no name.
    #[error("the flow URI's name: {0}")]
    Name(#[from] NameError),
}

impl FlowUri {
    /// The URI of the flow with this name.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self(name)
    }

    /// Reads a URI. The scheme's case does not matter; `stream:` may do without `//`.
    ///
    /// # Errors
    /// [`UriError`] names the part that a flow URI may not have.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let authority = match scheme.to_ascii_lowercase().as_str() {
            "flow" => rest.strip_prefix("//").ok_or(UriError::Scheme)?,
            "stream" => rest.strip_prefix("//").unwrap_or(rest),
            _ => return Err(UriError::Scheme),
        };
        refuse_other_parts(authority)?;
        Ok(Self(Name::parse(&percent_decoded(authority)?)?))
    }

    /// Reads a URI or a bare name, for people who type.
    ///
    /// # Errors
    /// As [`FlowUri::parse`] for what has a colon, as [`Name::parse`] for the rest.
    pub fn parse_lenient(text: &str) -> Result<Self, UriError> {
        if text.contains(':') {
            Self::parse(text)
        } else {
            Ok(Self(Name::parse(text)?))
        }
    }

    /// The flow's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0
    }

    /// The flow's name, by value.
    #[must_use]
    pub fn into_name(self) -> Name {
        self.0
    }
}

/// The first delimiter tells which part is too much.
fn refuse_other_parts(authority: &str) -> Result<(), UriError> {
    let host_end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let (host, rest) = authority.split_at(host_end);
    if host.contains('@') {
        return Err(UriError::User);
    }
    if host.contains(':') {
        return Err(UriError::Port);
    }
    match rest.bytes().next() {
        Some(b'/') => Err(UriError::Path),
        Some(b'?') => Err(UriError::Query),
        Some(_) => Err(UriError::Fragment),
        None => Ok(()),
    }
}

/// RFC 3986, section 3.2.2: a registered name may hold UTF-8 in percent-encoding.
fn percent_decoded(text: &str) -> Result<String, UriError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        if octet != b'%' {
            octets.push(octet);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or(UriError::PercentEncoding)?;
        octets.push(hexadecimal(digits).ok_or(UriError::PercentEncoding)?);
        rest = after;
    }
    String::from_utf8(octets).map_err(|_| UriError::PercentEncoding)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16);
    digits
        .iter()
        .try_fold(0u32, |value, octet| Some(value * 16 + digit(octet)?))
        .and_then(|value| u8::try_from(value).ok())
}

impl fmt::Display for FlowUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flow://{}", self.0)
    }
}

impl FromStr for FlowUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(text)
    }
}

impl From<Name> for FlowUri {
    fn from(name: Name) -> Self {
        Self(name)
    }
}

impl From<FlowUri> for Name {
    fn from(uri: FlowUri) -> Self {
        uri.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        FlowUri::parse(text).expect("a flow URI").to_string()
    }

    #[test]
    fn the_drafts_uris() {
        for uri in [
            "flow://notifications.calendar.people.syndeno.com",
            "flow://created.invoice.finance.syndeno.com",
            "flow://temperature.house.mydomain.com",
        ] {
            assert_eq!(written(uri), uri);
        }
        assert_eq!(written("stream:myeventflow"), "flow://myeventflow");
        assert_eq!(written("stream://a.example"), "flow://a.example");
    }

    #[test]
    fn spelling_is_normalised() {
        assert_eq!(written("FLOW://A.Example."), "flow://a.example");
        assert_eq!(written("flow://%61.example"), "flow://a.example");
        let international = "flow://xn--caf-dma.example";
        assert_eq!(written("flow://café.example"), international);
        assert_eq!(written("flow://caf%C3%A9.example"), international);
    }

    #[test]
    fn other_parts_are_refused_by_name() {
        for (text, error) in [
            ("http://a.example", UriError::Scheme),
            ("flow:a.example", UriError::Scheme),
            ("a.example", UriError::Scheme),
            ("flow://test@a.example", UriError::User),
            ("flow://test:test@a.example", UriError::User),
            ("flow://a.example:61000", UriError::Port),
            ("flow://a.example/", UriError::Path),
            ("flow://a.example/x@y", UriError::Path),
            ("flow://a.example?from=latest", UriError::Query),
            ("flow://a.example#top", UriError::Fragment),
            ("flow://a%2", UriError::PercentEncoding),
            ("flow://a%zz.example", UriError::PercentEncoding),
            ("flow://a%ff.example", UriError::PercentEncoding),
            ("flow://", UriError::Name(NameError::Empty)),
        ] {
            assert_eq!(FlowUri::parse(text), Err(error), "{text}");
        }
        assert!(matches!(
            FlowUri::parse("flow://a%2Fb.example"),
            Err(UriError::Name(NameError::BadLabel(_)))
        ));
    }

    #[test]
    fn people_may_leave_the_scheme_out() {
        let name = Name::parse("time.flows.unix.ar").expect("a name");
        for text in ["time.flows.unix.ar", "flow://time.flows.unix.ar."] {
            assert_eq!(
                FlowUri::parse_lenient(text).map(FlowUri::into_name),
                Ok(name.clone())
            );
        }
        assert_eq!(
            FlowUri::parse_lenient("a.example:61000"),
            Err(UriError::Scheme)
        );
    }
}
