//! Which types of processors the processor program runs: what it tells, and nothing else.

use std::sync::{Mutex, PoisonError};

use eson_processor::client::{Client, ClientError};
use eson_processor::proto;
use eson_protocol::ProcessorType;

/// Which types of processors the processor program runs, as its last process told.
#[derive(Debug, Default)]
pub(super) struct Types(Mutex<Vec<ProcessorType>>);

impl Types {
    pub(super) fn get(&self) -> Vec<ProcessorType> {
        self.lock().clone()
    }

    /// Asks a process that has just been started.
    pub(super) async fn learn(&self, client: &Client) -> Result<(), ClientError> {
        let capabilities = client.capabilities().await?;
        *self.lock() = capabilities.types().filter_map(known).collect();
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ProcessorType>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None for a type that a newer program may have.
fn known(kind: proto::ProcessorType) -> Option<ProcessorType> {
    match kind {
        proto::ProcessorType::Unspecified => None,
        proto::ProcessorType::Bridge => Some(ProcessorType::Bridge),
        proto::ProcessorType::Collector => Some(ProcessorType::Collector),
        proto::ProcessorType::Distributor => Some(ProcessorType::Distributor),
        proto::ProcessorType::Signal => Some(ProcessorType::Signal),
    }
}
