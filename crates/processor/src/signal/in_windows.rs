//! Running a leg of a signal with windows.

use std::collections::VecDeque;

use eson_protocol::Record;
use prost::Message;

use super::batch::{Batch, Part};
use super::outlet::{Outlet, Piece};
use super::proto::Input;
use super::record::to_stored;
use super::run::Processing;
use super::window::{Changes, Letter, Parked, Pending, State, StoreError, Windows};
use super::windowed::{self, OUTPUTS, now, sliding};
use crate::dead_letters::DeadLetter;
use crate::report::Trouble;

impl Processing {
    /// Takes records into their windows, asks the program, keeps what comes of it, writes that.
    pub(super) async fn process_in_windows(
        &mut self,
        windows: &Windows,
        batch: Batch,
    ) -> Result<(), Trouble> {
        let (partition, epoch) = (batch.partition, batch.epoch);
        let newest = batch.records.iter().map(time).max().unwrap_or(i64::MIN);
        let mut records = VecDeque::from(batch.records);
        loop {
            let mut turn = windows.turn().await.map_err(broken)?;
            windows.go_on(self.report.id());
            let now = now();
            let parked = self.take(windows, &mut turn.state, partition, &mut records);
            let next = records.front().map_or(batch.next, |record| record.offset);
            let (time, caught_up) = match records.is_empty() {
                true => (newest, next >= batch.newest),
                false => (i64::MIN, false),
            };
            turn.state
                .tick(self.report.id(), partition, time, caught_up, now);
            turn.state.forget(now);
            self.set_waiting(turn.state.is_waiting());
            self.has_read(partition, next);
            let mut changes = self.changes();
            changes.read.advance(partition, next, epoch);
            self.settle(windows, turn, changes, parked).await?;
            if records.is_empty() {
                return self.end_windows().await;
            }
        }
    }

    /// Takes records into their windows, as many as a turn has room for; says what the program is to
    /// be asked about, each event with what its window shows then, and which came too late or have
    /// no key.
    fn take(
        &self,
        windows: &Windows,
        state: &mut State,
        partition: u32,
        records: &mut VecDeque<Record>,
    ) -> Parked {
        let spec = &windows.spec;
        let mut taken = Parked {
            partition,
            partitions: self.partitions,
            ..Parked::default()
        };
        let mut part = Part::default();
        while part.has_room()
            && let Some(record) = records.pop_front()
        {
            let event = self.event(partition, &record);
            let time = time(&record);
            let key = spec.key.of(&event.flow, partition, &record);
            let held = key.and_then(|key| {
                state.take(key.clone(), time, event.clone())?;
                Ok(key)
            });
            match held {
                Ok(_) if spec.tumbling => {}
                Ok(key) => {
                    let events = state.around(&key, time);
                    let input = Input {
                        event: Some(event),
                        window: Some(sliding(key, time, spec.length, events)),
                    };
                    part.take(input.encoded_len());
                    taken.inputs.push(input);
                }
                Err(reason) => taken.letters.push(Letter::of(partition, record, reason)),
            }
        }
        taken
    }

    /// Sees whether there is more to read after a while in which nothing was.
    pub(super) async fn look_again(&mut self) -> Result<(), Trouble> {
        let Some(windowed) = self.windowed.as_mut().filter(|it| it.is_unsure) else {
            return Ok(());
        };
        let source = self.broker.describe_queue(&self.queue).await;
        let source = source.map_err(|error| Trouble::at_source(&error))?;
        windowed.look_again(&source).await.map_err(broken)
    }

    /// Asks the program about the tumbling windows that have ended by now.
    pub(super) async fn end_windows(&mut self) -> Result<(), Trouble> {
        let Some(windowed) = self.windowed.as_ref().filter(|it| it.is_waiting) else {
            return Ok(());
        };
        let windows = windowed.windows.clone();
        loop {
            let mut turn = windows.turn().await.map_err(broken)?;
            let mut part = Part::default();
            let ended = turn.state.end(now(), |bytes| {
                let has_room = part.has_room();
                part.take(bytes);
                has_room
            });
            self.set_waiting(turn.state.is_waiting());
            if ended.is_empty() {
                turn.leave();
                return Ok(());
            }
            // They were in no partition: each goes by its key.
            let parked = Parked {
                inputs: ended.into_iter().map(windowed::ended).collect(),
                ..Parked::default()
            };
            self.dirty = true;
            let changes = self.changes();
            self.settle(&windows, turn, changes, parked).await?;
        }
    }

    /// Writes what the leg before has kept.
    pub(super) async fn write_backlog(&mut self) -> Result<(), Trouble> {
        let Some(windowed) = &mut self.windowed else {
            return Ok(());
        };
        for (outlet, pending) in std::mem::take(&mut windowed.backlog)
            .into_iter()
            .enumerate()
        {
            self.write_numbered(outlet, pending).await?;
        }
        self.settle_parked().await
    }

    /// Lets the file forget what the destinations have.
    pub(super) async fn forget_delivered(&mut self) -> Result<(), Trouble> {
        let Some(windowed) = &self.windowed else {
            return Ok(());
        };
        let delivered = |outlet: &Outlet| {
            let reached = outlet.places().get(&OUTPUTS)?;
            Some((outlet.flow().to_owned(), *reached))
        };
        let changes = Changes {
            delivered: self.outlets.iter().filter_map(delivered).collect(),
            ..Changes::of(&windowed.name)
        };
        windowed.windows.store.commit(changes).await.map_err(broken)
    }

    /// Keeps that a partition of the source is read again from there on. The places at destinations
    /// are numbers of outputs, and go on.
    pub(super) async fn rewind_windows(&mut self, partition: u32, to: u64) -> Result<(), Trouble> {
        self.has_read(partition, to);
        let Some(windowed) = &self.windowed else {
            return Ok(());
        };
        let mut changes = Changes::of(&windowed.name);
        changes.read.advance(partition, to, None);
        windowed.windows.store.commit(changes).await.map_err(broken)
    }

    /// Nothing yet, of this leg.
    pub(super) fn changes(&self) -> Changes {
        let windowed = self.windowed.as_ref();
        windowed.map_or_else(Changes::default, |windowed| Changes::of(&windowed.name))
    }

    /// Outputs in the form in which they are kept, with the numbers that they get.
    pub(super) fn numbered(
        &self,
        written: Vec<Vec<(u32, Record)>>,
    ) -> Vec<(String, u64, Vec<Pending>)> {
        let windowed = self.windowed.as_ref();
        windowed.map_or_else(Vec::new, |it| it.numbered(&self.outlets, written))
    }

    pub(super) async fn write_outputs(
        &mut self,
        outputs: Vec<(String, u64, Vec<Pending>)>,
    ) -> Result<(), Trouble> {
        for (flow, first, pending) in outputs {
            let outlet = self.outlets.iter().position(|it| it.flow() == flow);
            let (Some(outlet), Some(windowed)) = (outlet, &mut self.windowed) else {
                continue;
            };
            windowed.next[outlet] = first + pending.len() as u64;
            self.write_numbered(outlet, (first..).zip(pending).collect())
                .await?;
        }
        Ok(())
    }

    /// Writes outputs with their numbers. One that the destination does not take is a dead letter.
    async fn write_numbered(
        &mut self,
        outlet: usize,
        outputs: Vec<(u64, Pending)>,
    ) -> Result<(), Trouble> {
        let Some((first, _)) = outputs.first() else {
            return Ok(());
        };
        let first = *first;
        let stored = |(number, Pending { to, record })| (to, to_stored(record, number));
        let mut piece = Piece {
            partition: OUTPUTS,
            first,
            // Of numbers.
            epoch: None,
            records: outputs.into_iter().map(stored).collect(),
        };
        self.dirty = true;
        let refused = self.outlets[outlet].set_apart(&mut piece);
        let letter = |(record, reason)| DeadLetter {
            partition: 0,
            record,
            reason,
        };
        self.bury_all(refused.into_iter().map(letter).collect())
            .await?;
        let written = self.outlets[outlet].write(piece).await;
        written.map_err(|error| Trouble::at_destination(&error))
    }

    fn has_read(&mut self, partition: u32, next: u64) {
        if let Some(windowed) = &mut self.windowed {
            windowed.positions.insert(partition, next);
        }
    }

    fn set_waiting(&mut self, is_waiting: bool) {
        if let Some(windowed) = &mut self.windowed {
            windowed.is_waiting = is_waiting;
        }
    }
}

/// The time of an event; that of its arrival here, where the broker has none.
fn time(record: &Record) -> i64 {
    match record.timestamp {
        ..0 => now(),
        time => time,
    }
}

pub(super) fn broken(error: StoreError) -> Trouble {
    Trouble::of_windows(&error)
}
