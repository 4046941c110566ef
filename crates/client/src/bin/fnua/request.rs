//! One command of FNAP, and what to do with its reply.

use eson_protocol::{Command, Name};

use crate::output::Shape;

/// One command of FNAP, and what to do with its reply.
#[derive(Debug)]
pub(crate) struct Request {
    /// What it is about: its host is the agent to ask. None goes to the default agent.
    pub(crate) about: Option<Name>,
    /// The command.
    pub(crate) command: Command,
    /// What the reply's data is.
    pub(crate) shape: Shape,
}

impl Request {
    /// A command about one flow or namespace.
    pub(crate) fn about(name: &Name, shape: Shape, command: Command) -> Self {
        Self {
            about: Some(name.clone()),
            command,
            shape,
        }
    }

    /// A command to the default agent.
    pub(crate) fn to_default(shape: Shape, command: Command) -> Self {
        Self {
            about: None,
            command,
            shape,
        }
    }
}
