//! A command that any line makes can be written, and then means the same.
#![no_main]

use eson_protocol::text::{UnwritableError, format_command, parse_command};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let Ok(command) = parse_command(line) else {
        return;
    };
    match format_command(&command) {
        Ok(written) => assert_eq!(parse_command(&written), Ok(command)),
        // Names are written without the blanks of the line, but with their defaults.
        Err(error) => assert!(matches!(error, UnwritableError::TooLong(_)), "{error}"),
    }
});
