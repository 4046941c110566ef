//! What a media type says about the content it names (RFC 2046).

/// The media type of a CloudEvent's JSON format.
pub(super) const CLOUDEVENTS_JSON: &str = "application/cloudevents+json";

/// The media type of a CloudEvent's Protobuf format.
pub(super) const CLOUDEVENTS_PROTOBUF: &str = "application/cloudevents+protobuf";

/// The media type that CloudEvents' Protobuf format has for Protobuf messages.
pub(super) const PROTOBUF: &str = "application/protobuf";

/// The media type that a CloudEvent's `data` in JSON has where none is named.
pub(super) const JSON: &str = "application/json";

/// Whether a text has the form of a media type.
#[must_use]
pub fn is_media_type(value: &str) -> bool {
    let parts = essence(value).split_once('/');
    parts.is_some_and(|(main, sub)| !main.is_empty() && !sub.is_empty())
}

/// A media type without its parameters.
#[must_use]
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or(media_type).trim()
}

/// Whether a media type says JSON: `*/json` and `*/*+json` do (CloudEvents JSON format, section
/// 3.1.1).
#[must_use]
pub fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Whether a media type says Protobuf: `application/protobuf`, its older spellings, and
/// `*/*+protobuf`.
#[must_use]
pub fn is_protobuf(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    let known = [
        PROTOBUF,
        "application/x-protobuf",
        "application/vnd.google.protobuf",
    ];
    known.contains(&essence.as_str()) || essence.ends_with("+protobuf")
}

/// Whether content of a media type is better shown as text than in base64.
pub(super) fn is_text(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        assert_eq!(essence(" text/plain ; charset=utf-8"), "text/plain");
        for json in ["application/json; charset=utf-8", "text/JSON", "a/b+json"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["application/jsonl", "application/cloudevents+protobuf", ""] {
            assert!(!is_json(other), "{other}");
        }
        assert!(is_protobuf("Application/X-Protobuf"));
        assert!(!is_protobuf("application/json"));
        assert!(is_text("application/soap+xml") && is_text("TEXT/csv"));
    }

    #[test]
    fn a_media_type_has_two_halves() {
        assert!(is_media_type("a/b") && is_media_type("a/b; c=d"));
        for wrong in ["", "a", "/b", "a/", "; c=d"] {
            assert!(!is_media_type(wrong), "{wrong}");
        }
    }
}
