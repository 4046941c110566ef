//! Options about delivery, for `subscribe`, `replicate`, `collect`, `distribute`, `signal` and
//! `update`.

use clap::{Args, ValueEnum};
use eson_protocol::{Delivery, DeliveryOptions, Positions, Start};

use crate::arguments::{Begin, begin, duration};

/// How often events shall arrive, and how soon.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct DeliveryArguments {
    /// How often an event may arrive, whatever crashes [default: exactly-once]
    #[arg(long, value_enum)]
    delivery: Option<DeliveryArgument>,
    /// How often what is delivered exactly once to Kafka is committed: 1ms to 10s [default: 100ms]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    commit_interval: Option<u64>,
}

/// How often an event may arrive.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DeliveryArgument {
    /// Once
    ExactlyOnce,
    /// Once or more: after a crash some come again, but all can be read sooner
    AtLeastOnce,
}

impl DeliveryArguments {
    /// The options of the command.
    pub(crate) fn options(self) -> DeliveryOptions {
        DeliveryOptions {
            delivery: self.delivery.map(|delivery| match delivery {
                DeliveryArgument::ExactlyOnce => Delivery::ExactlyOnce,
                DeliveryArgument::AtLeastOnce => Delivery::AtLeastOnce,
            }),
            commit_interval: self.commit_interval,
        }
    }
}

/// Where to begin.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BeginArguments {
    /// Where to begin: earliest, latest, a time, milliseconds since the Unix epoch, or, as
    /// cursor:0-42,1-7, the offset of each partition
    #[arg(long, value_parser = begin)]
    from: Option<Begin>,
}

impl BeginArguments {
    /// The options of the command.
    pub(crate) fn options(self) -> (Option<Start>, Option<Positions>) {
        match self.from {
            None => (None, None),
            Some(Begin::At(start)) => (Some(start), None),
            Some(Begin::Cursor(cursor)) => (None, Some(cursor)),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(start: Start) -> Self {
        Self {
            from: Some(Begin::At(start)),
        }
    }
}
