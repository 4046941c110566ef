//! AUTHENTICATE.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{ArgumentError, CommandError};
use super::line::Line;
use super::words::Arguments;
use crate::Command;

/// `AUTHENTICATE mechanism [initial-response]`; the response is base64, or `=` for an empty one
/// (as in RFC 4954, section 4).
pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<Command, CommandError> {
    let mechanism = arguments.keyword("a SASL mechanism")?;
    if !is_mechanism(&mechanism) {
        let example = "PLAIN, SCRAM-SHA-256 or ANONYMOUS";
        return Err(ArgumentError::value("SASL mechanism", &mechanism, example).into());
    }
    let initial = match arguments.optional_raw() {
        None => None,
        Some("=") => Some(Vec::new()),
        Some(text) => Some(
            STANDARD
                .decode(text)
                .map_err(|_| ArgumentError::InitialResponse)?,
        ),
    };
    arguments.nothing_more()?;
    Ok(Command::Authenticate { mechanism, initial })
}

/// RFC 4422, section 3.1.
fn is_mechanism(text: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_uppercase() || octet.is_ascii_digit() || octet == b'-';
    text.len() <= 20 && text.bytes().all(|octet| allowed(octet) || octet == b'_')
}

pub(super) fn line(mechanism: &str, initial: Option<&[u8]>) -> Line {
    let initial = initial.map(|response| match response {
        [] => "=".to_owned(),
        _ => STANDARD.encode(response),
    });
    Line::of("AUTHENTICATE")
        .argument(mechanism)
        .optional_word(initial)
}
