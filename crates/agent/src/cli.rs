//! What is said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use eson_identity::ScramVerifier;

/// A participant's server, the Flow Namespace Accessing Agent: serves flows over FNAP.
///
/// SIGTERM ends it in order; SIGHUP makes it read users, peers, limits and subscriptions of its
/// configuration again.
#[derive(Debug, Parser)]
#[command(name = "fnaad", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Say everything that is wrong with the configuration and what it names, and end.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct Configuration {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "fnaad.yaml")]
    pub(crate) config: PathBuf,
    /// Where everything is kept that must survive a restart, instead of where the file says.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Manage the users file.
    #[command(subcommand)]
    User(UserCommand),
    /// Print the records that the parent zones need, for their operators.
    DnsRecords {
        /// The address that others reach this FNAA at; may be given more than once. Without it,
        /// the addresses of `listen`.
        #[arg(long, value_name = "ADDRESS")]
        address: Vec<std::net::IpAddr>,
    },
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or give one a new password, which is read from the terminal or, where there is
    /// none, from the first line of standard input.
    Add {
        /// The name to log in with, without the domain.
        name: String,
        /// How many rounds of PBKDF2 a login takes, on both sides.
        #[arg(long, default_value_t = ScramVerifier::DEFAULT_ROUNDS)]
        rounds: u32,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_configuration_may_stand_anywhere() {
        for line in [
            "fnaad --config a.yaml --state-dir s user add alice",
            "fnaad user add alice --config a.yaml --state-dir s",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.configuration.config, PathBuf::from("a.yaml"));
            assert_eq!(arguments.configuration.state_dir, Some("s".into()));
            assert!(matches!(
                arguments.command,
                Some(Command::User(UserCommand::Add { .. }))
            ));
        }
    }
}
