//! Running a leg of a signal with windows.

use eson_protocol::Record;

use super::batch::Batch;
use super::outlet::{Outlet, Piece, Refused};
use super::place;
use super::proto::Input;
use super::record::to_stored;
use super::routing::{Routed, route};
use super::run::Processing;
use super::window::{Changes, Pending, State, StoreError, Windows};
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
        let mut turn = windows.turn().await.map_err(broken)?;
        let taken = self.take(windows, &mut turn.state, &batch);
        let caught_up = batch.next >= batch.newest;
        let newest = batch.records.iter().map(time).max().unwrap_or(i64::MIN);
        turn.state
            .tick(self.report.id(), batch.partition, newest, caught_up, now());
        turn.state.forget(now());
        let crowded_out = turn.state.crowded_out();
        let verdicts = self.ask(taken.inputs).await?;
        let from = (batch.partition, self.partitions);
        let mut routed = route(&self.outlets, from, &taken.asked, verdicts);
        routed.failed.extend(taken.failed);
        self.bury(batch.partition, &batch.records, routed.failed)
            .await?;
        let mut changes = self.changes(routed.written);
        changes
            .read
            .advance(batch.partition, batch.next, batch.epoch);
        let outputs = changes.outputs.clone();
        let is_waiting = turn.state.is_waiting();
        turn.commit(changes).await.map_err(broken)?;
        if crowded_out > 0 {
            let text =
                format!("{crowded_out} events fell out of windows early: there are too many");
            self.report.met(Trouble::own(text));
        }
        self.write_outputs(outputs).await?;
        self.set_waiting(is_waiting);
        self.end_windows().await
    }

    /// Takes records into their windows; says what to ask, and which came too late or have no key.
    fn take(&self, windows: &Windows, state: &mut State, batch: &Batch) -> Taken {
        let spec = &windows.spec;
        let mut taken = Taken::default();
        for record in &batch.records {
            let event = self.event(batch.partition, record);
            let key = spec.key.of(&event.flow, batch.partition, record);
            let time = time(record);
            let held = key.and_then(|key| {
                state.take(key.clone(), time, event.clone())?;
                Ok(key)
            });
            match held {
                Ok(_) if spec.tumbling => {}
                Ok(key) => {
                    let events = state.around(&key, time);
                    taken.asked.push(record.clone());
                    taken.inputs.push(Input {
                        event: Some(event),
                        window: Some(sliding(key, time, spec.length, events)),
                    });
                }
                Err(reason) => taken.failed.push(Refused {
                    place: place::before(record.offset),
                    reason,
                }),
            }
        }
        taken
    }

    /// Asks the program about the tumbling windows that have ended by now.
    pub(super) async fn end_windows(&mut self) -> Result<(), Trouble> {
        let Some(windowed) = self.windowed.as_ref().filter(|it| it.is_waiting) else {
            return Ok(());
        };
        let windows = windowed.windows.clone();
        let mut turn = windows.turn().await.map_err(broken)?;
        let ended = turn.state.end(now());
        let is_waiting = turn.state.is_waiting();
        if ended.is_empty() {
            turn.leave();
            self.set_waiting(is_waiting);
            return Ok(());
        }
        let ended = (0..)
            .zip(ended)
            .map(|(number, it)| windowed::ended(number, it));
        let (inputs, records): (Vec<_>, Vec<Record>) = ended.unzip();
        let inputs = inputs.into_iter().map(|window| Input {
            event: None,
            window: Some(window),
        });
        let verdicts = self.ask(inputs.collect()).await?;
        // They were in no partition: each goes by its key.
        let Routed { written, failed } = route(&self.outlets, (0, 0), &records, verdicts);
        self.bury(0, &records, failed).await?;
        let changes = self.changes(written);
        let outputs = changes.outputs.clone();
        turn.commit(changes).await.map_err(broken)?;
        self.dirty = true;
        self.set_waiting(is_waiting);
        self.write_outputs(outputs).await
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
        Ok(())
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
        let Some(windowed) = &self.windowed else {
            return Ok(());
        };
        let mut changes = Changes::of(&windowed.name);
        changes.read.advance(partition, to, None);
        windowed.windows.store.commit(changes).await.map_err(broken)
    }

    fn changes(&mut self, written: Vec<Vec<(u32, Record)>>) -> Changes {
        let Some(windowed) = &mut self.windowed else {
            return Changes::default();
        };
        Changes {
            outputs: windowed.numbered(&self.outlets, written),
            ..Changes::of(&windowed.name)
        }
    }

    async fn write_outputs(
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

    fn set_waiting(&mut self, is_waiting: bool) {
        if let Some(windowed) = &mut self.windowed {
            windowed.is_waiting = is_waiting;
        }
    }
}

/// What becomes of records before the program is asked.
#[derive(Default)]
struct Taken {
    asked: Vec<Record>,
    inputs: Vec<Input>,
    failed: Vec<Refused>,
}

/// The time of an event; that of its arrival here, where the broker has none.
fn time(record: &Record) -> i64 {
    match record.timestamp {
        ..0 => now(),
        time => time,
    }
}

fn broken(error: StoreError) -> Trouble {
    Trouble::of_windows(&error)
}
