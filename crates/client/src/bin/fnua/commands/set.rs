//! `fnua set`

use clap::Subcommand;

use crate::configuration::{Configuration, FILE_NAME, set_current_agent};
use crate::failure::Failure;

/// What to choose.
#[derive(Debug, Subcommand)]
pub(crate) enum Set {
    /// Choose the agent that commands go to when the flow's namespace doesn't tell
    Agent {
        /// Its name in the configuration
        name: String,
    },
}

impl Set {
    /// Stores the choice in the configuration file, and says what was done.
    pub(crate) fn run(self, configuration: &Configuration) -> Result<String, Failure> {
        let Self::Agent { name } = self;
        configuration.agent(&name)?;
        let path = configuration.path.as_ref().ok_or_else(|| {
            Failure::usage(format!(
                "there is no configuration; write {FILE_NAME} first"
            ))
        })?;
        set_current_agent(path, &name)?;
        Ok(format!("commands go to {name} by default"))
    }
}
