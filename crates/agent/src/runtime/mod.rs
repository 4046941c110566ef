//! Where flow processors run.
//!
//! A [`Runtime`] is told which instances are wanted and keeps them running: what it has been told
//! survives the end of a processor's process, but not that of fnaad, whose reconcilers tell it
//! again. [`ChildProcesses`] runs them in processes of this machine, sharded so that one peer's
//! trouble is its own.

mod board;
mod child;
mod instance;
mod processes;
mod shard;
mod types;

use std::collections::BTreeMap;

use async_trait::async_trait;
use eson_processor::client::ClientError;
use eson_processor::proto::{Spec, Status};
use eson_protocol::ProcessorType;

pub(crate) use board::Statuses;
pub(crate) use processes::{ChildProcesses, RuntimeOptions, windows_directory};

/// Starts, stops and lists instances of flow processors (draft figure 6).
#[async_trait]
pub(crate) trait Runtime: Send + Sync {
    /// Makes an instance run with this spec: created, or updated where its spec is another one.
    /// Returns when the processor has taken it. Instances of one shard share a process; one that ran
    /// in another shard is removed there first.
    ///
    /// After [`RuntimeError::Refused`] what the processor had taken before is wanted; after another
    /// error the instance is wanted as said here, and runs as soon as its processor does. A dropped
    /// call goes on by itself.
    ///
    /// # Errors
    /// [`RuntimeError`].
    async fn ensure(&self, shard: &str, spec: Spec) -> Result<(), RuntimeError>;

    /// Drains, stops and forgets an instance. Returns when nothing of it runs any more. One that
    /// is gone is no error. A dropped call goes on by itself.
    ///
    /// # Errors
    /// [`RuntimeError`]; the instance is still to go, and doesn't come back.
    async fn remove(&self, id: &str) -> Result<(), RuntimeError>;

    /// Starts those legs of an instance again that have failed. An instance that does not run is
    /// left alone, since when it starts, all of its legs do; so is one that can't be asked now, which
    /// is answered `false`.
    ///
    /// # Errors
    /// [`RuntimeError::Busy`].
    async fn restart_failed(&self, shard: &str, id: &str) -> Result<bool, RuntimeError>;

    /// Whether a text is a program in jq's language; `name` says whose, for the error.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`] with line and column; [`RuntimeError::Busy`] when it could not be
    /// tried.
    async fn check_program(&self, name: &str, code: &str) -> Result<(), RuntimeError>;

    /// Asks the processor program what it can run, by a process that ends thereupon. What keeps
    /// it from answering is told in the log, and it is asked again whenever a process starts.
    async fn learn_types(&self);

    /// The types of processors that can be run, as the processor program tells; none as long as
    /// no process of it has answered.
    fn types(&self) -> Vec<ProcessorType>;

    /// The last status of an instance; none before the first.
    fn status(&self, id: &str) -> Option<Status>;

    /// The last status of every instance, by id.
    fn statuses(&self) -> Vec<Status>;

    /// The status of every instance now, then each change.
    fn watch(&self) -> Statuses;

    /// The ids of the processes that answer now, by shard.
    fn processes(&self) -> BTreeMap<String, u32>;

    /// Lets every processor write what it has read, and stops it.
    async fn shutdown(&self);
}

/// An instance can't be run or stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Its processor is not running (yet). It is started again by itself.
    #[error("the flow processor for {shard} is not running: {cause}; it is being started")]
    NotRunning {
        /// The shard.
        shard: String,
        /// Why, as far as is known.
        cause: String,
    },
    /// The processor does not take the spec.
    #[error("the flow processor refuses {id}: {cause}")]
    Refused {
        /// The instance.
        id: String,
        /// What the processor said.
        cause: String,
    },
    /// The processor can't do it now. Try again with back-off.
    #[error("the flow processor can't do what {id} needs now: {cause}")]
    Busy {
        /// The instance.
        id: String,
        /// What the processor said.
        cause: String,
    },
    /// The sockets' directory can't be made, or the program not be found.
    #[error("flow processors can't be run: {0}")]
    Setup(String),
    /// fnaad is shutting down.
    #[error("the flow processors are being stopped")]
    Closed,
}

impl RuntimeError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Setup(_))
    }

    fn of_call(id: &str, error: &ClientError) -> Self {
        let (id, cause) = (id.to_owned(), error.to_string());
        match error {
            ClientError::Invalid(_) | ClientError::Exists(_) => Self::Refused { id, cause },
            _ => Self::Busy { id, cause },
        }
    }
}

#[cfg(test)]
mod tests;
