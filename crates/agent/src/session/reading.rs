//! READ FLOW on a connection.

use std::collections::BTreeMap;

use eson_broker::{BrokerError, Chunk, Payload};
use eson_protocol::event::encode;
use eson_protocol::session::{DataTurn, ServerEvent, Turn};
use eson_protocol::{EventFormat, Name, Positions, ReadOptions, Record, Status};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, End, outdated, shutting_down};
use crate::command::read_flow::Reading;

/// Lines are sent when so many bytes have gathered, so that memory stays bounded.
const FLUSH_AT: usize = 64 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn read_flow(
        &mut self,
        flow: Name,
        options: ReadOptions,
        turn: Turn,
    ) -> Result<(), End> {
        let opened = match self.request() {
            Ok(request) => request.open_reading(&flow, &options).await,
            Err(status) => Err(status),
        };
        let reading = match opened {
            Ok(reading) => reading,
            Err(status) => {
                self.session.reply(turn, status);
                return Ok(());
            }
        };
        let data = self.session.begin_data(turn);
        let mut progress = Progress::new(&flow, &options, &reading);
        progress.tell_beginnings(self, &data);
        let status = self.send_events(reading, &mut progress, &data).await?;
        self.session.end_data(data, &status);
        Ok(())
    }

    async fn send_events(
        &mut self,
        mut reading: Reading,
        progress: &mut Progress<'_>,
        data: &DataTurn,
    ) -> Result<Status, End> {
        self.flush().await?;
        while !progress.is_complete() {
            // The empty line that ends a followed reading may have come with the command itself.
            if matches!(self.session.next_event(), Some(ServerEvent::EndOfRead)) {
                return Ok(Status::done());
            }
            let ending = self.service.ending.asked.clone();
            let mut reloads = self.service.reloads.clone();
            let next = tokio::select! {
                next = reading.reader.next() => next,
                () = reading.right.changed() => {
                    if let Err(status) = self.check_reading(progress.flow).await {
                        return Ok(status);
                    }
                    continue;
                }
                Ok(()) = reloads.changed() => {
                    self.service.reloads.mark_unchanged();
                    if self.is_outdated() {
                        return Ok(outdated());
                    }
                    continue;
                }
                received = self.receive(), if self.session.wants_input() => {
                    received?;
                    continue;
                }
                () = ending.cancelled() => {
                    return Ok(shutting_down());
                }
            };
            match next {
                Ok(chunk) => progress.send(self, data, chunk).await?,
                Err(error @ (BrokerError::OutOfRange { .. } | BrokerError::Truncated { .. })) => {
                    progress.tell_gap(self, data, &error)
                }
                Err(error) => return Ok(self.read_failure(progress.flow, &error).await),
            }
            self.flush().await?;
        }
        Ok(Status::done())
    }

    async fn check_reading(&self, flow: &Name) -> Result<(), Status> {
        self.request()?.check_reading(flow).await
    }

    async fn read_failure(&self, flow: &Name, error: &BrokerError) -> Status {
        match self.request() {
            Ok(request) => request.read_failure(flow, error).await,
            Err(status) => status,
        }
    }
}

/// What has been sent and what is still to be sent.
struct Progress<'a> {
    flow: &'a Name,
    format: EventFormat,
    /// How many events may still be sent.
    left: u64,
    /// Where each partition has come to.
    next: Positions,
    /// Where each partition ends; none goes on for ever.
    end: Option<Positions>,
    /// Before which time records are left out, of partitions that have not come to it.
    since: BTreeMap<u32, i64>,
    high: Positions,
}

impl<'a> Progress<'a> {
    fn new(flow: &'a Name, options: &ReadOptions, reading: &Reading) -> Self {
        Self {
            flow,
            format: options.format,
            left: options.max.unwrap_or(u64::MAX),
            next: reading.begin.clone(),
            end: (!options.follow).then(|| reading.end.clone()),
            since: reading.since.clone(),
            high: reading.end.clone(),
        }
    }

    fn is_complete(&self) -> bool {
        let reached = |(partition, end): (&u32, &u64)| self.next.get(partition) >= Some(end);
        self.left == 0 || self.end.as_ref().is_some_and(|end| end.iter().all(reached))
    }

    fn tell_beginnings<S>(&self, connection: &mut Connection<S>, data: &DataTurn) {
        for partition in self.next.keys() {
            self.tell_position(connection, data, *partition);
        }
    }

    /// Only the form that keeps everything says where the reading has come to.
    fn tell_position<S>(&self, connection: &mut Connection<S>, data: &DataTurn, partition: u32) {
        if self.format != EventFormat::Record {
            return;
        }
        let next = self.next.get(&partition).copied().unwrap_or_default();
        let high = self.high.get(&partition).copied().unwrap_or_default();
        let line = format!(r#"{{"partition":{partition},"next":{next},"high_watermark":{high}}}"#);
        connection.session.event_line(data, &line);
    }

    fn tell_gap<S>(
        &mut self,
        connection: &mut Connection<S>,
        data: &DataTurn,
        error: &BrokerError,
    ) {
        let (partition, wanted, earliest, latest) = match error {
            BrokerError::OutOfRange {
                partition,
                wanted,
                earliest,
                latest,
                ..
            } => (partition, wanted, earliest, latest),
            BrokerError::Truncated {
                partition,
                read,
                end,
                ..
            } => (partition, read, end, end),
            _ => return,
        };
        tracing::info!(flow = %self.flow, %error, "records are gone before they were read");
        self.go_on_at(*partition, *earliest, *latest);
        if self.format == EventFormat::Record {
            let line = format!(
                r#"{{"partition":{partition},"out_of_range":{{"wanted":{wanted},"earliest":{earliest},"latest":{latest}}}}}"#
            );
            connection.session.event_line(data, &line);
        }
    }

    /// What was the end when the reading began is none any more where the log has been cut off
    /// before it.
    fn go_on_at(&mut self, partition: u32, next: u64, latest: u64) {
        self.next.insert(partition, next);
        let end = self.end.as_mut().and_then(|end| end.get_mut(&partition));
        if let Some(end) = end {
            *end = (*end).min(latest);
        }
    }

    async fn send<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &mut self,
        connection: &mut Connection<S>,
        data: &DataTurn,
        chunk: Chunk,
    ) -> Result<(), End> {
        let Payload::Records(records) = chunk.payload else {
            tracing::error!(flow = %self.flow, "a reader gave encoded batches unasked");
            return Err(End::Over);
        };
        let (partition, next) = (chunk.partition, chunk.next);
        self.high.insert(partition, chunk.high_watermark);
        for record in &records {
            if self.left == 0 || !self.wants(partition, record) {
                continue;
            }
            self.left -= 1;
            let line = encode(self.format, self.flow, partition, record);
            connection.session.event_line(data, &line);
            self.next.insert(partition, record.offset + 1);
            if connection.session.output_len() >= FLUSH_AT {
                connection.flush().await?;
            }
        }
        if self.left > 0 {
            self.next.insert(partition, next);
        }
        self.tell_position(connection, data, partition);
        Ok(())
    }

    /// What came behind the end that the reading began with, or stands before the first event of its
    /// time, is left out.
    fn wants(&mut self, partition: u32, record: &Record) -> bool {
        let within = match &self.end {
            Some(end) => end.get(&partition).is_some_and(|end| record.offset < *end),
            None => true,
        };
        let early = self.since.get(&partition);
        let early = early.is_some_and(|since| record.timestamp < *since);
        if within && !early {
            self.since.remove(&partition);
        }
        within && !early
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_ends_where_its_log_was_cut_off() {
        let flow = Name::parse("f.example").expect("a name");
        let mut progress = Progress {
            flow: &flow,
            format: EventFormat::CloudEvents,
            left: u64::MAX,
            next: [(0, 7)].into(),
            end: Some([(0, 10)].into()),
            since: BTreeMap::new(),
            high: Positions::new(),
        };
        assert!(!progress.is_complete());
        progress.go_on_at(0, 5, 5);
        assert!(progress.is_complete());
    }
}
