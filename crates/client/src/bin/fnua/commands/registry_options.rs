//! Options about Schema Registries, for `subscribe`, `replicate`, `collect`, `distribute` and
//! `update`.

use clap::{Args, ValueEnum};
use eson_protocol::{OnUnknownSchema, RegistryOptions};

/// Between which Schema Registries the ids in events are translated.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Schema Registries")]
pub(crate) struct RegistryArguments {
    /// The registry whose ids shall be in what is written; an empty text ends that
    #[arg(long, value_name = "URL")]
    registry_to: Option<String>,
    /// The registry whose ids are in what is read [default: what the source says]
    #[arg(long, value_name = "URL")]
    registry_from: Option<String>,
    /// Whether keys begin with ids, too [default: false]
    #[arg(long, value_name = "TRUE|FALSE")]
    registry_keys: Option<bool>,
    /// What becomes of an event whose schema is unknown [default: stop]
    #[arg(long, value_enum)]
    on_unknown_schema: Option<Word>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    /// Stop there
    Stop,
    /// Let it pass as it is
    Pass,
    /// Write it to the flow of dead letters
    DeadLetter,
}

impl RegistryArguments {
    /// The options of the command.
    pub(crate) fn options(self) -> Box<RegistryOptions> {
        Box::new(RegistryOptions {
            from: self.registry_from,
            to: self.registry_to,
            keys: self.registry_keys,
            on_unknown: self.on_unknown_schema.map(|word| match word {
                Word::Stop => OnUnknownSchema::Stop,
                Word::Pass => OnUnknownSchema::Pass,
                Word::DeadLetter => OnUnknownSchema::DeadLetter,
            }),
        })
    }
}
