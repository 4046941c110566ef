//! Options of a flow, for `create flow` and `update flow`.

use clap::{Args, ValueEnum};
use eson_protocol::{Access, FlowOptions, Mode};

use super::quality_options::QualityArguments;
use super::subscribe::ModeArgument;
use crate::arguments::duration;

/// What a flow is like.
#[derive(Debug, Args)]
pub(crate) struct FlowArguments {
    /// Broker, by its name at the agent
    #[arg(long)]
    broker: Option<String>,
    /// Existing queue to adopt instead of creating one
    #[arg(long)]
    queue: Option<String>,
    /// Number of partitions
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// How long events are kept: 7d, 12h, 30m, 45s or forever
    #[arg(long, value_parser = duration)]
    retention: Option<u64>,
    /// Who may read and subscribe without a grant
    #[arg(long, value_enum)]
    access: Option<AccessArgument>,
    /// Media type of the events
    #[arg(long)]
    content_type: Option<String>,
    /// Where the schema of the events is
    #[arg(long)]
    schema: Option<String>,
    /// How subscribers may be served; the first is for those who don't say
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1..)]
    modes: Vec<ModeArgument>,
    /// How far back a subscriber may begin: 7d, 12h or forever
    #[arg(long, value_parser = duration)]
    history: Option<u64>,
    #[command(flatten)]
    quality: QualityArguments,
}

/// Who may read a flow without a grant.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccessArgument {
    /// Everybody
    Public,
    /// Who has a grant
    Private,
    /// Whoever asks and is approved
    Approval,
}

impl FlowArguments {
    /// The options of the command.
    pub(crate) fn options(self) -> FlowOptions {
        FlowOptions {
            broker: self.broker,
            queue: self.queue,
            partitions: self.partitions,
            retention: self.retention,
            access: self.access.map(|access| match access {
                AccessArgument::Public => Access::Public,
                AccessArgument::Private => Access::Private,
                AccessArgument::Approval => Access::Approval,
            }),
            content_type: self.content_type,
            schema: self.schema,
            modes: (!self.modes.is_empty())
                .then(|| self.modes.into_iter().map(Mode::from).collect()),
            history: self.history,
            quality: Box::new(self.quality.options()),
        }
    }
}
