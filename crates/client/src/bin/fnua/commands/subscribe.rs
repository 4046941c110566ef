//! `fnua subscribe`

use clap::{Args, ValueEnum};
use eson_protocol::{Command, Mode, Name, SubscribeOptions};

use super::delivery_options::{BeginArguments, DeliveryArguments};
use super::on_gap::OnGapArgument;
use super::registry_options::RegistryArguments;
use super::validate::ValidateArgument;
use crate::arguments::flow;
use crate::failure::Failure;
use crate::output::Shape;
use crate::request::Request;

/// Which flow to subscribe to, and where its events go.
#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// The remote flow
    #[arg(value_parser = flow)]
    remote: Name,
    /// The local flow [default: the agent's prefix in the configuration, then REMOTE]
    #[arg(value_parser = flow)]
    pub(crate) local: Option<Name>,
    #[command(flatten)]
    begin: BeginArguments,
    /// By which queue the events are delivered [default: what the owner prefers]
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    #[command(flatten)]
    delivery: DeliveryArguments,
    #[command(flatten)]
    on_gap: OnGapArgument,
    #[command(flatten)]
    validate: ValidateArgument,
    #[command(flatten)]
    registry: RegistryArguments,
}

/// How events are delivered.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeArgument {
    /// A copy for this subscriber
    Copy,
    /// The source queue itself
    Direct,
}

impl From<ModeArgument> for Mode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::Copy => Self::Copy,
            ModeArgument::Direct => Self::Direct,
        }
    }
}

impl Subscribe {
    /// The command; `prefix` is the chosen agent's, for a local flow without a name.
    pub(crate) fn request(self, prefix: &str) -> Result<Request, Failure> {
        let local = match self.local {
            Some(local) => local,
            None => prefixed(prefix, &self.remote)?,
        };
        let (from, cursor) = self.begin.options();
        let options = SubscribeOptions {
            from,
            cursor,
            mode: self.mode.map(Mode::from),
            delivery: self.delivery.options(),
            on_gap: self.on_gap.wanted(),
            validate: self.validate.wanted(),
            registry: self.registry.options(),
        };
        Ok(Request::about(
            &local.clone(),
            Shape::One("subscription"),
            Command::SubscribeLocal {
                remote: self.remote,
                local,
                options,
            },
        ))
    }
}

fn prefixed(prefix: &str, remote: &Name) -> Result<Name, Failure> {
    if prefix.is_empty() {
        return Err(Failure::usage(
            "which local flow? Give LOCAL, or a `prefix` for the agent in the configuration",
        ));
    }
    Name::parse(&format!("{prefix}{remote}"))
        .map_err(|cause| Failure::usage(format!("the prefix `{prefix}` makes no name: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(local: Option<&str>) -> Subscribe {
        let name = |text: &str| Name::parse(text).expect("a name");
        Subscribe {
            remote: name("time.flows.unix.ar"),
            local: local.map(name),
            begin: BeginArguments::default(),
            mode: None,
            delivery: DeliveryArguments::default(),
            on_gap: OnGapArgument::default(),
            validate: ValidateArgument::default(),
            registry: RegistryArguments::default(),
        }
    }

    fn local(request: Request) -> String {
        match request.command {
            Command::SubscribeLocal { local, .. } => local.to_string(),
            other => panic!("{other:?} is no SUBSCRIBE LOCAL"),
        }
    }

    #[test]
    fn the_drafts_local_name() {
        let request = subscribe(None).request("emiliano.ar-").expect("a request");
        assert_eq!(local(request), "emiliano.ar-time.flows.unix.ar");
    }

    #[test]
    fn a_name_goes_before_the_prefix() {
        let request = subscribe(Some("b.blue.example"))
            .request("x-")
            .expect("a request");
        assert_eq!(local(request), "b.blue.example");
    }

    #[test]
    fn neither_name_nor_prefix() {
        subscribe(None).request("").expect_err("which flow?");
        subscribe(None).request("a_b-").expect_err("no name");
    }
}
