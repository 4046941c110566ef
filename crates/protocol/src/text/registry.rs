//! The options about Schema Registries, for SUBSCRIBE and for processors.

use super::error::CommandError;
use super::line::Line;
use super::value::Word;
use super::words::Arguments;
use crate::{OnUnknownSchema, RegistryOptions};

pub(super) fn parse(arguments: &mut Arguments<'_>) -> Result<RegistryOptions, CommandError> {
    Ok(RegistryOptions {
        from: arguments.text("registry-from")?,
        to: arguments.text("registry-to")?,
        keys: arguments.parsed("registry-keys", bool::parse)?,
        on_unknown: arguments.parsed("on-unknown-schema", OnUnknownSchema::parse)?,
    })
}

pub(super) fn options(line: Line, options: &RegistryOptions) -> Line {
    line.option("registry-from", options.from.as_ref())
        .option("registry-to", options.to.as_ref())
        .option("registry-keys", options.keys)
        .option(
            "on-unknown-schema",
            options.on_unknown.map(OnUnknownSchema::word),
        )
}
