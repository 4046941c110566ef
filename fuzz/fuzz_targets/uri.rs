//! URIs, names and principals that are read can be written, and then mean the same.
#![no_main]

use eson_protocol::{FlowUri, Name, Principal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(uri) = FlowUri::parse_lenient(text) {
        assert_eq!(FlowUri::parse(&uri.to_string()), Ok(uri));
    }
    if let Ok(name) = Name::parse(text) {
        assert!(name.as_str().len() <= 218);
        assert_eq!(Name::parse(name.as_str()), Ok(name));
    }
    if let Ok(principal) = Principal::parse(text) {
        assert_eq!(Principal::parse(&principal.to_string()), Ok(principal));
    }
});
