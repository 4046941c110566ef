//! `fnua unsubscribe`

use clap::Args;
use eson_protocol::{Command, Name};

use crate::arguments::flow;
use crate::output::Shape;
use crate::request::Request;

/// Which subscription to end.
#[derive(Debug, Args)]
pub(crate) struct Unsubscribe {
    /// The local flow that it feeds
    #[arg(value_parser = flow)]
    local: Name,
}

impl Unsubscribe {
    pub(crate) fn request(self) -> Request {
        Request::about(
            &self.local.clone(),
            Shape::One("subscription"),
            Command::Unsubscribe(self.local),
        )
    }
}
