//! The embedded queue: the contract, and what only it promises.

mod contract;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use eson_broker::{
    Broker, BrokerError, Credential, LocalBroker, LocalOptions, QueueReader, ReaderOptions,
};
use eson_protocol::Server;
use tempfile::TempDir;

struct Local {
    broker: LocalBroker,
    queues: AtomicU32,
    _directory: TempDir,
}

#[async_trait]
impl contract::Fixture for Local {
    fn broker(&self) -> &dyn Broker {
        &self.broker
    }

    fn queue(&self) -> String {
        let number = self.queues.fetch_add(1, Ordering::Relaxed);
        format!("queue-{number}.flows.orange.example")
    }

    async fn open_reader_as(
        &self,
        credential: &Credential,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        let reader = self
            .broker
            .open_reader_as(&credential.username, queue, options);
        reader.await
    }
}

fn options(directory: &Path) -> LocalOptions {
    let server = Server {
        host: "fnaa.orange.example".to_owned(),
        port: 61000,
    };
    LocalOptions::new(directory.join("queues.redb"), server)
}

async fn fixture() -> Local {
    let directory = tempfile::tempdir().expect("a directory");
    Local {
        broker: LocalBroker::open(&options(directory.path())).expect("opens"),
        queues: AtomicU32::new(0),
        _directory: directory,
    }
}

contract::tests!(fixture);
