//! `fnua grant`

use clap::{Args, ValueEnum};
use eson_protocol::{Command, Name, Principal, Right};

use crate::arguments::{flow, principal};
use crate::output::Shape;
use crate::request::Request;

/// A right, on what, and whose.
#[derive(Debug, Args)]
pub(crate) struct Grant {
    /// The right
    #[arg(value_enum)]
    right: RightArgument,
    /// The flow or namespace
    #[arg(value_parser = flow)]
    flow: Name,
    /// user@domain, *@domain, domain (its agent) or anonymous
    #[arg(value_parser = principal)]
    principal: Principal,
}

/// A right.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RightArgument {
    /// Read and subscribe
    Read,
    /// Write, and be the local side of a subscription
    Write,
    /// Everything
    Admin,
}

impl Grant {
    pub(crate) fn request(self) -> Request {
        self.into_request(Command::Grant)
    }

    /// GRANT or REVOKE.
    pub(super) fn into_request(self, command: fn(Right, Name, Principal) -> Command) -> Request {
        let right = match self.right {
            RightArgument::Read => Right::Read,
            RightArgument::Write => Right::Write,
            RightArgument::Admin => Right::Admin,
        };
        let about = self.flow.clone();
        Request::about(
            &about,
            Shape::One("grant"),
            command(right, self.flow, self.principal),
        )
    }
}
