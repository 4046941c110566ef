//! `fnua whoami`

use clap::Args;
use eson_protocol::Command;

use crate::output::Shape;
use crate::request::Request;

/// Nothing to say.
#[derive(Debug, Args)]
pub(crate) struct Whoami {}

impl Whoami {
    pub(crate) fn request(self) -> Request {
        Request::to_default(Shape::One("principal"), Command::WhoAmI)
    }
}
