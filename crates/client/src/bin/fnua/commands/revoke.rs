//! `fnua revoke`

use clap::Args;
use eson_protocol::Command;

use super::grant::Grant;
use crate::request::Request;

/// The grant to take away.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    grant: Grant,
}

impl Revoke {
    pub(crate) fn request(self) -> Request {
        self.grant.into_request(Command::Revoke)
    }
}
