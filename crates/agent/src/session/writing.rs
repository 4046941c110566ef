//! WRITE FLOW on a connection.

use std::sync::Arc;

use bytes::Bytes;
use eson_protocol::event::{WrittenEvent, decode_for};
use eson_protocol::session::{ServerEvent, Turn, WriteTurn};
use eson_protocol::{EventFormat, Name, Reply, Status, StorePosition};
use eson_schema::Contract;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::connection::{Connection, End, shutting_down};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn write_flow(
        &mut self,
        flow: Name,
        format: EventFormat,
        position: Option<StorePosition>,
        write: WriteTurn,
    ) -> Result<(), End> {
        let contract = match self.request() {
            Ok(request) => {
                let writable = request.writable(&flow, position.as_ref()).await;
                writable.map(|writable| writable.contract)
            }
            Err(status) => Err(status),
        };
        let contract = match contract {
            Ok(contract) => contract,
            Err(status) => {
                self.session.reply(write.refuse(), status);
                return Ok(());
            }
        };
        self.session.accept_events(write);
        let limits = self.service.participant.limits();
        let mut batch = Batch::new(format, contract, limits.write);
        let Some(turn) = self.collect(&mut batch).await? else {
            return Ok(());
        };
        let reply = match batch.finish() {
            Ok(events) => self.write_events(&flow, events, position).await,
            Err(status) => status.into(),
        };
        self.session.reply(turn, reply);
        Ok(())
    }

    /// Takes lines until the client says that it is done, or the session ends.
    async fn collect(&mut self, batch: &mut Batch) -> Result<Option<Turn>, End> {
        let idle = self.service.participant.limits().idle_time;
        let ending = self.service.ending.asked.clone();
        loop {
            while let Some(event) = self.session.next_event() {
                match event {
                    ServerEvent::EventLine(line) => batch.add(&line),
                    ServerEvent::EventLineRefused(error) => batch.refuse(&error.to_string()),
                    ServerEvent::EndOfEvents(turn) => return Ok(Some(turn)),
                    _ => return Ok(None),
                }
            }
            self.flush().await?;
            tokio::select! {
                received = timeout(idle, self.receive()) => match received {
                    Ok(received) => received?,
                    Err(_) => {
                        self.session.close(&Status::closing("no event came for too long"));
                    }
                },
                () = ending.cancelled() => {
                    self.session.close(&shutting_down());
                }
            }
        }
    }

    /// The right is looked at again: it may have been taken away while events came in.
    async fn write_events(
        &self,
        flow: &Name,
        events: Vec<WrittenEvent>,
        position: Option<StorePosition>,
    ) -> Reply {
        let write = async {
            let request = self.request()?;
            let writable = request.writable(flow, position.as_ref()).await?;
            writable
                .write(events, position, self.service.participant.now())
                .await
        };
        write.await.unwrap_or_else(Reply::from)
    }
}

/// The events of one WRITE FLOW: all of them are good, or none is written.
struct Batch {
    format: EventFormat,
    contract: Arc<Contract>,
    events: Vec<WrittenEvent>,
    /// How many bytes may still come.
    room: usize,
    limit: usize,
    lines: u64,
    /// The first thing that was wrong. What comes behind it is not kept.
    wrong: Option<Status>,
}

impl Batch {
    fn new(format: EventFormat, contract: Arc<Contract>, limit: usize) -> Self {
        Self {
            format,
            contract,
            events: Vec::new(),
            room: limit,
            limit,
            lines: 0,
            wrong: None,
        }
    }

    fn add(&mut self, line: &Bytes) {
        self.lines += 1;
        if self.wrong.is_some() {
            return;
        }
        match self.room.checked_sub(line.len()) {
            Some(room) => self.room = room,
            None => {
                let text = format!(
                    "a WRITE FLOW takes at most {} bytes, and line {} is beyond; nothing is \
                     written, send less at once",
                    self.limit, self.lines
                );
                return self.fail(Status::quota(text));
            }
        }
        match self.judged(line) {
            Ok(event) => self.events.push(event),
            Err(why) => self.fail(wrong_line(self.lines, &why)),
        }
    }

    /// An event that is one, and one that the flow takes.
    fn judged(&self, line: &Bytes) -> Result<WrittenEvent, String> {
        let event = decode_for(self.contract.mode(), self.format, line);
        let event = event.map_err(|error| error.to_string())?;
        let judgement = self.contract.check(&event.record);
        judgement.map_err(|violation| violation.to_string())?;
        Ok(event)
    }

    fn refuse(&mut self, why: &str) {
        self.lines += 1;
        if self.wrong.is_none() {
            self.fail(wrong_line(self.lines, why));
        }
    }

    fn fail(&mut self, status: Status) {
        self.wrong = Some(status);
        self.events = Vec::new();
    }

    fn finish(self) -> Result<Vec<WrittenEvent>, Status> {
        self.wrong.map_or(Ok(self.events), Err)
    }
}

fn wrong_line(line: u64, why: &str) -> Status {
    Status::argument(format!("line {line}: {why}; nothing is written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = br#"{"timestamp":1,"key":null,"value":"YQ==","headers":[]}"#;

    fn batch(limit: usize, lines: &[&[u8]]) -> Result<usize, Status> {
        let mut batch = Batch::new(EventFormat::Record, Arc::default(), limit);
        lines
            .iter()
            .for_each(|line| batch.add(&Bytes::copy_from_slice(line)));
        batch.finish().map(|events| events.len())
    }

    #[test]
    fn good_lines_are_kept() {
        assert_eq!(batch(1000, &[GOOD, GOOD]), Ok(2));
        assert_eq!(batch(1000, &[]), Ok(0));
    }

    #[test]
    fn a_bad_line_is_named_and_nothing_is_kept() {
        let status = batch(1000, &[GOOD, b"junk", GOOD]).expect_err("the second is bad");
        assert_eq!(status.code, 501);
        assert!(status.text.starts_with("line 2:"), "{status}");
    }

    #[test]
    fn too_much_is_refused() {
        let status = batch(GOOD.len(), &[GOOD, GOOD]).expect_err("too much");
        assert_eq!(status.code, 452);
    }
}
