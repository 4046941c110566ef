//! The kind that is no broker of its own: a flow read and written through its FNAA, by READ FLOW
//! and WRITE FLOW with `format=record`. So processors reach `local` queues, at home and abroad,
//! and brokers behind a firewall.
//!
//! # What reading expects of the FNAA
//!
//! ```text
//! C: READ FLOW f from=earliest from=cursor:0-120,1-0 follow=true format=record
//! S: 220 DATA
//! S: {"partition":0,"next":120,"high_watermark":122}
//! S: {"partition":1,"next":0,"high_watermark":0}
//! S: {"partition":0,"offset":120,"timestamp":1700000000000,"key":null,"value":"YQ==","headers":[]}
//! S: {"partition":0,"offset":121,…}
//! S: {"partition":0,"next":122,"high_watermark":122}
//! C: (an empty line)
//! S: 220 OK
//! ```
//! - The cursor names the next offset of each partition; `from=` holds for those it doesn't name.
//! - A *position line*, without `offset`, says: everything of the partition before `next` was
//!   sent or does not exist, and records up to before `high_watermark` may be read. The FNAA
//!   sends one for every partition first, so that the client knows how many there are and where
//!   it begins; then one behind every run of records (one chunk of its own reader is one run);
//!   and one for each partition that appears later.
//! - A *gap line* `{"partition":0,"out_of_range":{"wanted":3,"earliest":5,"latest":9}}` says that
//!   the records asked for are gone; the FNAA goes on at `earliest`.
//! - Records and position lines may be told apart by `offset`; a client that follows by itself may
//!   pass position and gap lines over.
//! - Nothing is sent while nothing happens: TCP's keep-alive finds a peer that has vanished.
//! - The FNAA ends the reading with a status: `557` when the right was revoked, `552` when it was
//!   suspended or taken away, `550` when the flow is gone; `4xx` and a lost connection are waited
//!   out here, and reading goes on at the last position line. What lasts for half a minute is told.
//!
//! # What writing expects of the FNAA
//!
//! ```text
//! C: GET POSITIONS f bridge-1@5f3c…
//! S: 220 DATA
//! S: 0=120@7
//! S: 1=7
//! S: 220 OK
//! C: WRITE FLOW f format=record processor=bridge-1@5f3c… source=0 first=120 next=122 to=0 epoch=7
//! S: 354 …
//! C: {"offset":120,"timestamp":1700000000000,"key":null,"value":"YQ==","headers":[]}
//! C: {"offset":121,…}
//! C: .
//! S: 220 OK 2
//! ```
//! - A batch without records whose `next` is below its `first` goes back, where `first` is what is
//!   stored: the source's log was cut off at `next`.
//! - GET POSITIONS answers one attribute line for each partition of the source, its next offset, and
//!   under which leader what lies before it was written, where that is known; no line where nothing
//!   is stored.
//! - The records' `offset` is that of the source, and their `partition` the one to write to; `to=`
//!   is for records that have none. The FNAA writes those from the stored position on, and stores
//!   `next` in the same transaction; a batch whose `next` is not behind the stored position is
//!   answered `220` and changes nothing. So a batch whose answer was lost is sent again, and two
//!   writers of one processor, an old one that has not noticed and a new one, write every event
//!   once: nobody needs to be fenced.
//! - A batch without records only stores the position.
//! - Without `processor=` (a writer that stores no positions) a batch whose answer was lost is sent
//!   again all the same: at least once.
//! - CAPABILITIES says `limits.event`, for a line, `limits.write`, for a batch, and `limits.record`, for
//!   key, value and headers of one event. A batch with a larger event is answered `501 [TOOLARGE]`.
//!
//! # What describing expects of the FNAA
//!
//! The attributes `queue-id` (the queue's identity at its broker) and for each partition
//! `range=P:EARLIEST-LATEST` of DESCRIBE FLOW, beside those that every client gets.

mod describe;
mod line;
mod link;
mod reader;
mod sender;
mod trouble;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use eson_client::{Address, ConnectOptions, Credentials};
use eson_protocol::{BrokerKind, Command, Name, Positions};

use self::link::Link;
use self::reader::FnapReader;
use self::writer::FnapWriter;
use crate::{
    Broker, BrokerError, Consumer, Credential, Lease, QueueDescription, QueueId, QueueReader,
    QueueSpec, QueueUpdate, QueueWriter, Rates, ReaderOptions, WriterOptions,
};

/// How to reach an FNAA.
#[derive(Clone)]
pub struct FnapOptions {
    /// Where it listens; tried in this order.
    pub servers: Vec<Address>,
    /// How to connect.
    pub connect: ConnectOptions,
    /// Who we are; none where the FNAA asks nobody.
    pub credentials: Option<Credentials>,
}

/// The flows of one FNAA. A queue's name is the flow's. Each reader and each writer has a session
/// of its own; the broker itself holds none.
pub struct FnapBroker {
    link: Arc<Link>,
}

impl FnapBroker {
    /// A broker that connects when it is used.
    #[must_use]
    pub fn new(options: FnapOptions) -> Self {
        Self {
            link: Arc::new(Link::new(options)),
        }
    }
}

#[async_trait]
impl Broker for FnapBroker {
    /// The kind of the queues that are reached this way.
    fn kind(&self) -> BrokerKind {
        BrokerKind::Local
    }

    /// Logs in.
    async fn check(&self) -> Result<(), BrokerError> {
        let mut session = self.link.session().await?;
        self.link
            .command(&mut session, "", &Command::WhoAmI)
            .await?;
        session.quit().await;
        Ok(())
    }

    async fn create_queue(&self, _: &QueueSpec) -> Result<QueueId, BrokerError> {
        Err(unsupported("create queues"))
    }

    /// Describes a flow's queue. Its retention is not told.
    async fn describe_queue(&self, queue: &str) -> Result<QueueDescription, BrokerError> {
        let mut session = self.link.session().await?;
        let found = self.link.describe(&mut session, &flow(queue)?).await;
        session.quit().await;
        found
    }

    async fn update_queue(&self, _: &str, _: &QueueUpdate) -> Result<(), BrokerError> {
        Err(unsupported("change queues"))
    }

    async fn delete_queue(&self, _: &str, _: &QueueId) -> Result<(), BrokerError> {
        Err(unsupported("delete queues"))
    }

    async fn trim_queue(&self, _: &str, _: &Positions) -> Result<(), BrokerError> {
        Err(unsupported("trim queues"))
    }

    async fn forget_positions(&self, _: &str) -> Result<(), BrokerError> {
        Err(unsupported("forget positions"))
    }

    async fn list_consumers(&self, _: &str) -> Result<Vec<Consumer>, BrokerError> {
        Err(unsupported("list consumers"))
    }

    async fn grant(&self, _: &str, _: &Credential, _: Lease) -> Result<(), BrokerError> {
        Err(unsupported("grant"))
    }

    async fn revoke(&self, _: &str, _: &str) -> Result<(), BrokerError> {
        Err(unsupported("revoke"))
    }

    async fn limit_reader(&self, _: &str, _: &str, _: Rates) -> Result<(), BrokerError> {
        Err(unsupported("limit a reader"))
    }

    async fn open_reader(
        &self,
        queue: &str,
        options: ReaderOptions,
    ) -> Result<Box<dyn QueueReader>, BrokerError> {
        let reader = FnapReader::open(self.link.clone(), flow(queue)?, options);
        Ok(Box::new(reader.await?))
    }

    async fn open_writer(
        &self,
        queue: &str,
        options: WriterOptions,
    ) -> Result<Box<dyn QueueWriter>, BrokerError> {
        let writer = FnapWriter::open(self.link.clone(), flow(queue)?, options);
        Ok(Box::new(writer.await?))
    }
}

fn flow(queue: &str) -> Result<Name, BrokerError> {
    Name::parse(queue).map_err(|error| BrokerError::BadName {
        queue: queue.to_owned(),
        cause: format!("it is no flow: {error}"),
    })
}

fn unsupported(what: &str) -> BrokerError {
    BrokerError::Unsupported {
        kind: "broker behind an FNAA".to_owned(),
        what: format!("{what}: the FNAA itself does that"),
    }
}
