//! `--validate`, of commands that make processors and subscriptions.

use clap::{Args, ValueEnum};
use eson_protocol::Validate;

/// Whether what is written is judged.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct ValidateArgument {
    /// What becomes of events that are not what the destination says of its events [default: off]
    #[arg(long, value_enum)]
    validate: Option<Word>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    /// Don't look
    Off,
    /// Stop there, which a signal does not
    Stop,
    /// Write them to the flow of dead letters
    DeadLetter,
}

impl ValidateArgument {
    /// What was asked for.
    pub(crate) fn wanted(self) -> Option<Validate> {
        self.validate.map(|word| match word {
            Word::Off => Validate::Off,
            Word::Stop => Validate::Stop,
            Word::DeadLetter => Validate::DeadLetter,
        })
    }
}
