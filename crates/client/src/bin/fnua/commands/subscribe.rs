//! `fnua subscribe`

use clap::{Args, ValueEnum};
use eson_protocol::{Command, Delivery, Name, Start, SubscribeOptions};

use super::on_gap::OnGapArgument;
use crate::arguments::{flow, start};
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
    /// Where to begin: earliest, latest, a time, or milliseconds since the Unix epoch
    #[arg(long, value_parser = start)]
    from: Option<Start>,
    /// How the events are delivered
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    #[command(flatten)]
    on_gap: OnGapArgument,
}

/// How events are delivered.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArgument {
    /// A copy for this subscriber
    Copy,
    /// The source queue itself
    Direct,
}

impl Subscribe {
    /// The command; `prefix` is the chosen agent's, for a local flow without a name.
    pub(crate) fn request(self, prefix: &str) -> Result<Request, Failure> {
        let local = match self.local {
            Some(local) => local,
            None => prefixed(prefix, &self.remote)?,
        };
        let options = SubscribeOptions {
            from: self.from,
            mode: self.mode.map(|mode| match mode {
                ModeArgument::Copy => Delivery::Copy,
                ModeArgument::Direct => Delivery::Direct,
            }),
            on_gap: self.on_gap.wanted(),
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
            from: None,
            mode: None,
            on_gap: OnGapArgument::default(),
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
