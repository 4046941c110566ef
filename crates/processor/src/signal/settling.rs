//! Asking a program within a turn at the windows, or after it.

use std::time::Duration;

use eson_protocol::Record;
use tokio::time::timeout;

use super::asked::Verdict;
use super::in_windows::broken;
use super::place;
use super::routing::{Routed, route};
use super::run::{Processing, ask};
use super::window::{Changes, Letter, Parked, Turn, Windows};
use super::windowed::record_of;
use crate::dead_letters::DeadLetter;
use crate::report::{LegReport, Trouble};

/// How long the other legs wait for a program. What it answers within that costs one write of the
/// windows' file, and what takes longer two.
const PATIENCE: Duration = Duration::from_millis(100);

impl Processing {
    /// Ends a turn in which something was taken, asks the program about that, keeps what comes of it,
    /// and writes it.
    ///
    /// Nobody waits for a program that takes its time or fails, nor for dead letters: what was taken
    /// is kept as parked then, so that others see it in their windows, and this leg, also after a
    /// crash, asks about it as it was.
    pub(super) async fn settle(
        &mut self,
        windows: &Windows,
        turn: Turn<'_>,
        mut changes: Changes,
        parked: Parked,
    ) -> Result<(), Trouble> {
        let mut asked = Box::pin(ask(&mut self.program, &self.report, parked.inputs.clone()));
        let soon = timeout(PATIENCE, &mut asked).await;
        let (verdicts, turn) = match soon {
            Ok(verdicts) => (verdicts?, Some((turn, changes))),
            Err(_) => {
                changes.parked = Some(parked.clone());
                if let Some(windowed) = &mut self.windowed {
                    windowed.stand_still();
                }
                let crowded_out = turn.commit(changes).await.map_err(broken)?;
                tell_crowding(&self.report, windows, crowded_out);
                ((&mut asked).await?, None)
            }
        };
        drop(asked);
        self.finish(windows, turn, parked, verdicts).await
    }

    /// Does what the leg before has parked, and then what those have who are no more.
    pub(super) async fn settle_parked(&mut self) -> Result<(), Trouble> {
        let Some(windowed) = &mut self.windowed else {
            return Ok(());
        };
        let (windows, name) = (windowed.windows.clone(), windowed.name.clone());
        let mut parked = std::mem::take(&mut windowed.parked);
        loop {
            if parked.is_empty() {
                let adopted = windows.store.adopt(&name, &windows.spec.legs).await;
                parked = adopted.map_err(broken)?;
            }
            if parked.is_empty() {
                return Ok(());
            }
            if let Some(windowed) = &mut self.windowed {
                windowed.stand_still();
            }
            let inputs = parked.inputs.clone();
            let verdicts = ask(&mut self.program, &self.report, inputs).await?;
            self.finish(&windows, None, parked, verdicts).await?;
            parked = Parked::default();
        }
    }

    /// Keeps what the program has made of what was taken, within the turn where that goes on, and
    /// writes it.
    async fn finish(
        &mut self,
        windows: &Windows,
        turn: Option<(Turn<'_>, Changes)>,
        parked: Parked,
        verdicts: Vec<Verdict>,
    ) -> Result<(), Trouble> {
        let from = (parked.partition, parked.partitions);
        let inputs = (0..).zip(&parked.inputs);
        let records: Vec<_> = inputs.map(|(number, it)| record_of(number, it)).collect();
        let Routed { written, failed } = route(&self.outlets, from, &records, verdicts);
        let mut letters = parked.letters;
        letters.extend(failed.into_iter().filter_map(|refused| {
            let record = with_offset(&records, place::offset(refused.place))?;
            Some(Letter::of(parked.partition, record.clone(), refused.reason))
        }));
        let outputs = self.numbered(written);
        let (partition, partitions) = from;
        let is_parked = turn.is_none() || !letters.is_empty();
        let ready = |changes: Changes| Changes {
            outputs: outputs.clone(),
            parked: is_parked.then(|| Parked {
                partition,
                partitions,
                letters: letters.clone(),
                ..Parked::default()
            }),
            ..changes
        };
        match turn {
            Some((turn, changes)) => {
                if is_parked && let Some(windowed) = &mut self.windowed {
                    windowed.stand_still();
                }
                let crowded_out = turn.commit(ready(changes)).await.map_err(broken)?;
                tell_crowding(&self.report, windows, crowded_out);
            }
            None => {
                let changes = ready(self.changes());
                windows.store.commit(changes).await.map_err(broken)?;
            }
        }
        self.bury_parked(windows, letters).await?;
        self.write_outputs(outputs).await
    }

    /// Writes dead letters, and lets the file forget them.
    async fn bury_parked(
        &mut self,
        windows: &Windows,
        letters: Vec<Letter>,
    ) -> Result<(), Trouble> {
        if letters.is_empty() {
            return Ok(());
        }
        self.bury_all(letters.into_iter().map(DeadLetter::from).collect())
            .await?;
        let changes = Changes {
            parked: Some(Parked::default()),
            ..self.changes()
        };
        windows.store.commit(changes).await.map_err(broken)
    }
}

fn with_offset(records: &[Record], offset: u64) -> Option<&Record> {
    records.iter().find(|record| record.offset == offset)
}

fn tell_crowding(report: &LegReport, windows: &Windows, events: u64) {
    if events > 0 {
        report.crowded_out(events, Trouble::crowded_out(windows.max_bytes));
    }
}
