//! `--on-gap`, of commands that make processors.

use clap::{Args, ValueEnum};
use eson_protocol::OnGap;

/// What becomes of a gap in a source.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct OnGapArgument {
    /// When events are gone that were yet to be read [default: earliest]
    #[arg(long, value_enum)]
    on_gap: Option<Word>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    /// Go on with the oldest that is left
    Earliest,
    /// Stop until the option is changed
    Stop,
}

impl OnGapArgument {
    /// What was asked for.
    pub(crate) fn wanted(self) -> Option<OnGap> {
        self.on_gap.map(|word| match word {
            Word::Earliest => OnGap::Earliest,
            Word::Stop => OnGap::Stop,
        })
    }
}
