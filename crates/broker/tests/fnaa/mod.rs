//! An FNAA with nothing but the commands that readers and writers need, in front of a real
//! embedded queue and over real connections, which it can break off wherever a test says so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use eson_broker::{
    AppendTo, Broker, BrokerError, Chunk, Epochs, LocalBroker, Payload, QueueReader, ReaderOptions,
};
use eson_client::Address;
use eson_protocol::event::{decode, encode};
use eson_protocol::session::{DataTurn, Limits, ServerEvent, ServerSession, Turn};
use eson_protocol::{
    Command, DataLine, EventFormat, FlowAttributes, Name, ReadOptions, Reason, Reply, Start,
    Status, StorePosition,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Who may do everything.
pub(crate) const PROCESSOR: &str = "processor";

/// How long a line of WRITE FLOW may be, and a whole batch.
const EVENT: usize = 2 << 20;

/// How large an event the queue takes: what [`eson_broker::LocalOptions::new`] says.
pub(crate) const RECORD: usize = 1 << 20;

/// The server; it ends when this is dropped.
pub(crate) struct Fnaa {
    pub(crate) address: Address,
    /// After how many octets, both ways, a connection is broken off: each connection takes its
    /// number from this one, which then changes. 0 is never.
    cuts: Arc<AtomicU64>,
    /// Whether CAPABILITIES keeps to itself how large an event the queue takes.
    hides_record_limit: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Fnaa {
    pub(crate) async fn start(broker: LocalBroker) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let cuts = Arc::new(AtomicU64::new(0));
        let next_cut = cuts.clone();
        let hides_record_limit = Arc::new(AtomicBool::new(false));
        let hides = hides_record_limit.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut connection = Connection::new(socket, broker.clone(), take_cut(&next_cut));
                connection.hides_record_limit = hides.load(Ordering::Acquire);
                tokio::spawn(connection.serve());
            }
        });
        Self {
            address: Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port,
                tls: None,
            },
            cuts,
            hides_record_limit,
            task,
        }
    }

    /// From now on CAPABILITIES does not say how large an event the queue takes.
    pub(crate) fn hide_record_limit(&self) {
        self.hides_record_limit.store(true, Ordering::Release);
    }

    /// From now on connections are broken off after a number of octets that begins with this
    /// one and changes with each.
    pub(crate) fn cut_connections(&self, seed: u64) {
        self.cuts.store(seed, Ordering::Release);
    }
}

impl Drop for Fnaa {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Between a login and some batches.
fn take_cut(cuts: &AtomicU64) -> Option<u64> {
    let seed = cuts.load(Ordering::Acquire);
    let next = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let cut = (seed != 0).then(|| 300 + (seed >> 33) % 20_000);
    if cut.is_some() {
        cuts.store(next, Ordering::Release);
    }
    cut
}

struct Connection {
    socket: TcpStream,
    session: ServerSession,
    broker: LocalBroker,
    user: String,
    write: Write,
    hides_record_limit: bool,
    /// How many octets may still pass.
    left: Option<u64>,
}

/// The WRITE FLOW that is going on.
#[derive(Default)]
struct Write {
    flow: Option<Name>,
    position: Option<StorePosition>,
    lines: Vec<bytes::Bytes>,
}

impl Connection {
    fn new(socket: TcpStream, broker: LocalBroker, cut: Option<u64>) -> Self {
        let limits = Limits {
            event: EVENT,
            ..Limits::default()
        };
        Self {
            socket,
            session: ServerSession::new(limits),
            broker,
            user: String::new(),
            write: Write::default(),
            hides_record_limit: false,
            left: cut,
        }
    }

    /// Serves until either side ends the connection: an error is one way.
    async fn serve(mut self) {
        self.session.greet("fnaa.orange.example");
        while self.turn().await.is_ok() {}
    }

    async fn turn(&mut self) -> io::Result<()> {
        while let Some(event) = self.session.next_event() {
            self.answer(event).await?;
        }
        self.flush().await?;
        if self.session.is_closed() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.receive().await
    }

    async fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let length = self.socket.read(&mut bytes).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pass(length)?;
        self.session.receive(&bytes[..length]);
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let output = self.session.take_output();
        let passed = self.pass(output.len());
        if passed.is_ok() {
            self.socket.write_all(&output).await?;
        }
        passed
    }

    /// Counts octets; breaks the connection off when the last one has passed.
    fn pass(&mut self, octets: usize) -> io::Result<()> {
        let Some(left) = &mut self.left else {
            return Ok(());
        };
        *left = left
            .checked_sub(octets as u64)
            .ok_or(io::ErrorKind::ConnectionReset)?;
        Ok(())
    }

    async fn answer(&mut self, event: ServerEvent) -> io::Result<()> {
        match event {
            ServerEvent::Authenticate { start, .. } => self.session.start_exchange(start),
            ServerEvent::SaslResponse { data, exchange } => {
                // PLAIN: authorization identity, user, password, with NULs between.
                let mut parts = data.as_bytes().split(|octet| *octet == 0);
                let user = parts.nth(1).unwrap_or_default();
                self.user = String::from_utf8_lossy(user).into_owned();
                self.session.succeed(exchange, None);
            }
            ServerEvent::Command(Command::ReadFlow(flow, options), turn) => {
                self.read_flow(&flow, options, turn).await?;
            }
            ServerEvent::Command(command, turn) => {
                let reply = self.carry_out(command).await;
                self.session.reply(turn, reply.unwrap_or_else(Reply::from));
            }
            ServerEvent::WriteFlow {
                flow,
                position,
                write,
                ..
            } => {
                self.write = Write {
                    flow: Some(flow),
                    position,
                    lines: Vec::new(),
                };
                self.session.accept_events(write);
            }
            ServerEvent::EventLine(line) => self.write.lines.push(line),
            ServerEvent::EndOfEvents(turn) => {
                let written = self.write_flow().await;
                let status = written.map_or_else(|status| status, Status::done_with);
                self.session.reply(turn, status);
            }
            _ => {}
        }
        Ok(())
    }

    async fn carry_out(&self, command: Command) -> Result<Reply, Status> {
        let lines = match command {
            Command::WhoAmI => vec![DataLine::attribute("user", &self.user)],
            Command::Capabilities => self.capabilities(),
            Command::DescribeFlow(flow) => self.describe(flow).await?,
            Command::GetPositions(flow, processor) => {
                let reached = self.broker.reached(flow.as_str(), &processor).await;
                let reached = reached.map_err(|error| status(&error))?;
                let lines = reached.iter().map(|(partition, position)| {
                    DataLine::attribute(partition.to_string(), position)
                });
                lines.collect()
            }
            Command::Quit => return Ok(Status::bye().into()),
            other => return Err(Status::unsupported(format!("no {other} here"))),
        };
        Ok(Reply::data(lines))
    }

    fn capabilities(&self) -> Vec<DataLine> {
        let mut lines = vec![
            DataLine::attribute("auth", "PLAIN"),
            DataLine::attribute("limits.event", EVENT),
            DataLine::attribute("limits.write", EVENT),
        ];
        if !self.hides_record_limit {
            lines.push(DataLine::attribute("limits.record", RECORD));
        }
        lines
    }

    async fn describe(&self, flow: Name) -> Result<Vec<DataLine>, Status> {
        let found = self.broker.describe_queue(flow.as_str()).await;
        let found = found.map_err(|error| status(&error))?;
        self.check_right(&flow)?;
        let mut lines = FlowAttributes::new(flow, found.connection).to_lines();
        lines.push(DataLine::attribute("queue-id", &found.id));
        lines.extend(
            found
                .partitions
                .iter()
                .map(|(partition, (earliest, latest))| {
                    DataLine::attribute("range", format!("{partition}:{earliest}-{latest}"))
                }),
        );
        Ok(lines)
    }

    fn check_right(&self, flow: &Name) -> Result<(), Status> {
        if self.user == PROCESSOR || self.broker.may_read(&self.user, flow.as_str()) {
            return Ok(());
        }
        Err(Status::denied(format!("{} may not read {flow}", self.user)))
    }

    async fn read_flow(&mut self, flow: &Name, options: ReadOptions, turn: Turn) -> io::Result<()> {
        let cursor = options.cursor.unwrap_or_default();
        let options = ReaderOptions {
            positions: cursor.clone(),
            epochs: Epochs::new(),
            start: Start::Earliest,
            encoded: false,
            buffer: 4_000,
        };
        let opened = if self.user == PROCESSOR {
            self.broker.open_reader(flow.as_str(), options).await
        } else {
            let (user, flow) = (self.user.as_str(), flow.as_str());
            self.broker.open_reader_as(user, flow, options).await
        };
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => {
                self.session.reply(turn, status(&error));
                return Ok(());
            }
        };
        let data = self.session.begin_data(turn);
        for (partition, next) in cursor {
            self.tell_position(&data, partition, next, next);
        }
        let end = self.follow(flow, &mut reader, &data).await?;
        self.session.end_data(data, &end);
        Ok(())
    }

    async fn follow(
        &mut self,
        flow: &Name,
        reader: &mut Box<dyn QueueReader>,
        data: &DataTurn,
    ) -> io::Result<Status> {
        loop {
            self.flush().await?;
            let chunk = tokio::select! {
                chunk = reader.next() => chunk,
                readable = self.socket.readable() => {
                    readable?;
                    self.receive().await?;
                    match self.session.next_event() {
                        Some(ServerEvent::EndOfRead) => return Ok(Status::done()),
                        _ => continue,
                    }
                }
            };
            match chunk {
                Ok(chunk) => self.tell_chunk(flow, &chunk, data),
                Err(BrokerError::OutOfRange {
                    partition,
                    wanted,
                    earliest,
                    latest,
                    ..
                }) => self.session.event_line(
                    data,
                    &format!(
                        r#"{{"partition":{partition},"out_of_range":{{"wanted":{wanted},"earliest":{earliest},"latest":{latest}}}}}"#
                    ),
                ),
                Err(error) => return Ok(status(&error)),
            }
        }
    }

    fn tell_chunk(&mut self, flow: &Name, chunk: &Chunk, data: &DataTurn) {
        let Payload::Records(records) = &chunk.payload else {
            panic!("encoded batches that nobody asked for");
        };
        for record in records {
            let line = encode(EventFormat::Record, flow, chunk.partition, record);
            self.session.event_line(data, &line);
        }
        self.tell_position(data, chunk.partition, chunk.next, chunk.high_watermark);
    }

    fn tell_position(&mut self, data: &DataTurn, partition: u32, next: u64, high: u64) {
        let line = format!(r#"{{"partition":{partition},"next":{next},"high_watermark":{high}}}"#);
        self.session.event_line(data, &line);
    }

    async fn write_flow(&mut self) -> Result<u64, Status> {
        let write = std::mem::take(&mut self.write);
        let Some(flow) = write.flow else {
            return Err(Status::sequence("no WRITE FLOW"));
        };
        let decoded = (1..).zip(&write.lines).map(|(number, line)| {
            decode(EventFormat::Record, line).map_err(|error| error.status(number))
        });
        let events = decoded.collect::<Result<Vec<_>, Status>>()?;
        let to = events.iter().map(|event| event.partition).collect();
        let records = events.into_iter().map(|event| event.record).collect();
        let appended =
            self.broker
                .append(flow.as_str(), AppendTo::Each(to), records, write.position);
        appended.await.map_err(|error| status(&error))
    }
}

fn status(error: &BrokerError) -> Status {
    let text = error.to_string();
    match error {
        BrokerError::NotFound(_) | BrokerError::Replaced { .. } => Status::not_found(text),
        BrokerError::Denied { .. } => Status::denied(text),
        BrokerError::Invalid { .. } => Status::argument(text),
        BrokerError::TooLarge { .. } => Status {
            reason: Some(Reason("TOOLARGE".to_owned())),
            ..Status::argument(text)
        },
        _ => Status::backend(text),
    }
}
