//! As whom an HTTP server is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eson_client::Secret;
use hyper::header::{HeaderValue, InvalidHeaderValue};

/// As whom an HTTP server is asked. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// A user and a password (RFC 7617).
    Basic {
        /// Who.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token (RFC 6750).
    Bearer(Secret),
}

impl Authorization {
    /// The value of the header `Authorization`, marked so that nothing prints it.
    pub(crate) fn header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = match self {
            Self::Basic { username, password } => {
                let both = format!("{username}:{}", password.expose());
                format!("Basic {}", STANDARD.encode(both))
            }
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
        };
        let mut value = HeaderValue::try_from(text)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_the_two_schemes_send() {
        // The example of RFC 7617, section 2.
        let basic = Authorization::Basic {
            username: "Aladdin".to_owned(),
            password: "open sesame".into(),
        };
        let header = basic.header().expect("a header");
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let bearer = Authorization::Bearer("mF_9.B5f-4.1JqM".into());
        let header = bearer.header().expect("a header");
        assert_eq!(header, "Bearer mF_9.B5f-4.1JqM");
        for printed in [format!("{basic:?} {bearer:?}"), format!("{header:?}")] {
            assert!(
                !printed.contains("sesame") && !printed.contains("mF_9"),
                "{printed}"
            );
        }
        assert!(Authorization::Bearer("two\nlines".into()).header().is_err());
    }
}
