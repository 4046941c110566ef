//! Running a leg of a signal with windows.

use eson_protocol::Record;

use super::asked::Verdict;
use super::batch::{Batch, Call};
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
        windows.go_on(self.report.id());
        let now = now();
        let taken = self.take(windows, &mut turn.state, &batch).await?;
        let caught_up = batch.next >= batch.newest;
        let newest = batch.records.iter().map(time).max().unwrap_or(i64::MIN);
        turn.state
            .tick(self.report.id(), batch.partition, newest, caught_up, now);
        turn.state.forget(now);
        let crowded_out = turn.state.crowded_out();
        let from = (batch.partition, self.partitions);
        let mut routed = route(&self.outlets, from, &taken.asked, taken.verdicts);
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
        self.has_read(batch.partition, batch.next);
        if crowded_out > 0 {
            self.report
                .crowded_out(crowded_out, Trouble::crowded_out(windows.max_bytes));
        }
        self.write_outputs(outputs).await?;
        self.set_waiting(is_waiting);
        self.end_windows().await
    }

    /// Takes records into their windows, and asks for each with what its window shows then; says
    /// which came too late or have no key.
    async fn take(
        &mut self,
        windows: &Windows,
        state: &mut State,
        batch: &Batch,
    ) -> Result<Taken, Trouble> {
        let spec = &windows.spec;
        let mut taken = Taken::default();
        let mut answers = Answers::default();
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
                    let input = Input {
                        event: Some(event),
                        window: Some(sliding(key, time, spec.length, events)),
                    };
                    taken.asked.push(record.clone());
                    self.ask_soon(&mut answers, input).await?;
                }
                Err(reason) => taken.failed.push(Refused {
                    place: place::before(record.offset),
                    reason,
                }),
            }
        }
        taken.verdicts = self.ask_now(answers).await?;
        Ok(taken)
    }

    /// Asks for this input together with the next ones, and for those before it where it is too much
    /// with them.
    async fn ask_soon(&mut self, answers: &mut Answers, input: Input) -> Result<(), Trouble> {
        if let Some(full) = answers.call.take(input) {
            answers.verdicts.extend(self.ask(full).await?);
        }
        Ok(())
    }

    /// Asks for what is left; says what became of all inputs.
    async fn ask_now(&mut self, answers: Answers) -> Result<Vec<Verdict>, Trouble> {
        let Answers { call, mut verdicts } = answers;
        verdicts.extend(self.ask(call.rest()).await?);
        Ok(verdicts)
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
        let (mut answers, mut records) = (Answers::default(), Vec::new());
        for (window, record) in ended {
            let input = Input {
                event: None,
                window: Some(window),
            };
            self.ask_soon(&mut answers, input).await?;
            records.push(record);
        }
        let verdicts = self.ask_now(answers).await?;
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
        self.has_read(partition, to);
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

/// What becomes of records.
#[derive(Default)]
struct Taken {
    asked: Vec<Record>,
    /// The program's, for those.
    verdicts: Vec<Verdict>,
    failed: Vec<Refused>,
}

/// What became of inputs, and those that are still to be asked for.
#[derive(Default)]
struct Answers {
    call: Call,
    verdicts: Vec<Verdict>,
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
