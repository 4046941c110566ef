//! The attributes in a TXT record: DNS-SD's separate strings (RFC 6763, section 6), and on
//! reading also the draft's one string with spaces.

/// The version of the format, DNS-SD's first attribute.
const VERSION: &str = "txtvers=1";

/// `key=value` pairs and bare keys in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<(String, Option<String>)>);

impl Attributes {
    /// Reads the strings of one or more TXT records. Keys are case-insensitive; the first of
    /// several with one key counts; a string without a key is ignored (RFC 6763, section 6.4).
    pub(crate) fn parse<'a>(strings: impl IntoIterator<Item = &'a str>) -> Self {
        let mut attributes = Self::default();
        for text in strings {
            if is_list(text) {
                text.split_ascii_whitespace()
                    .for_each(|word| attributes.read(word));
            } else {
                attributes.read(text);
            }
        }
        attributes
    }

    fn read(&mut self, word: &str) {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (word, None),
        };
        if !key.is_empty() && !self.has(key) {
            self.0.push((key.to_ascii_lowercase(), value));
        }
    }

    /// Whether `key` is there, with a value or without.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(key))
    }

    /// The value of `key`, when it has one that isn't empty.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == key)?;
        value.as_deref().filter(|value| !value.is_empty())
    }

    /// An empty list that begins with the format's version.
    pub(crate) fn versioned() -> Vec<String> {
        vec![VERSION.to_owned()]
    }
}

/// The draft writes every attribute into one string: `broker-type=kafka tls`. It begins with a key
/// whose value has no blanks; one that may have (`content-type=text/plain; charset=utf-8`) is a
/// string of its own.
fn is_list(text: &str) -> bool {
    const WITHOUT_BLANKS: [&str; 4] = ["txtvers", "tls", "broker-type", "queue"];
    let first = text.split([' ', '=']).next().unwrap_or(text);
    WITHOUT_BLANKS
        .iter()
        .any(|key| key.eq_ignore_ascii_case(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        for strings in [
            vec!["txtvers=1", "broker-type=kafka", "tls"],
            vec!["broker-type=kafka tls"],
            vec!["Broker-Type=kafka TLS"],
            vec!["tls future=1 broker-type=kafka"],
        ] {
            let attributes = Attributes::parse(strings);
            assert_eq!(attributes.value("broker-type"), Some("kafka"));
            assert!(attributes.has("tls"));
            assert!(!attributes.has("schema"));
        }
    }

    #[test]
    fn a_blank_inside_a_value_is_kept() {
        let attributes = Attributes::parse(["content-type=text/plain; charset=utf-8", "tls"]);
        assert_eq!(
            attributes.value("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert!(attributes.has("tls"));
    }

    #[test]
    fn the_first_of_a_key_counts_and_empty_keys_are_ignored() {
        let attributes = Attributes::parse(["queue=a", "queue=b", "=x", "", "schema="]);
        assert_eq!(attributes.value("queue"), Some("a"));
        assert_eq!(attributes.value("schema"), None);
        assert!(attributes.has("schema"));
    }

    proptest! {
        /// Whatever stands in DNS, reading it neither fails nor invents a key.
        #[test]
        fn every_key_that_is_found_was_there(strings in prop::collection::vec(".{0,60}", 0..6)) {
            let attributes = Attributes::parse(strings.iter().map(String::as_str));
            for key in ["tls", "queue", "owner"] {
                let there = strings.iter().any(|text| text.to_ascii_lowercase().contains(key));
                prop_assert!(there || !attributes.has(key));
            }
        }

        #[test]
        fn what_is_written_is_read(value in "[ -~]{1,200}") {
            let strings = [Attributes::versioned(), vec![format!("schema={value}")]].concat();
            let attributes = Attributes::parse(strings.iter().map(String::as_str));
            prop_assert_eq!(attributes.value("schema"), Some(value.as_str()));
        }
    }
}
