//! `fnua capabilities`

use clap::Args;
use eson_protocol::Command;

use crate::output::Shape;
use crate::request::Request;

/// Nothing to say.
#[derive(Debug, Args)]
pub(crate) struct Capabilities {}

impl Capabilities {
    pub(crate) fn request(self) -> Request {
        Request::to_default(Shape::One("capability"), Command::Capabilities)
    }
}
