//! Asking a program, and what becomes of inputs that it fails for.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::program::{Program, ProgramError};
use super::proto::{Input, Outcome, Output};
use super::silence::{IN_A_ROW, Silence};
use crate::backoff::Backoff;

/// How long a program may take for one call.
const CALL: Duration = Duration::from_secs(5);

/// How often an input is tried alone that the program fails for.
const ATTEMPTS: u32 = 3;

/// The same for a program that does always the same, unless the machine was too busy.
const PURE_ATTEMPTS: u32 = 2;

/// What became of an input.
pub(super) type Verdict = Result<Vec<Output>, String>;

/// Why a call gave no outcomes.
enum Missed {
    /// Nobody answers, whatever the input.
    Unreachable(String),
    /// It may be one of the inputs that breaks the program.
    Broke(String),
    /// It may be one of the inputs, or the program does not answer anything.
    Overdue,
}

/// A program that is asked.
pub(super) struct Asked {
    program: Box<dyn Program>,
    silence: Silence,
}

impl Asked {
    pub(super) fn new(program: Box<dyn Program>, silence: Silence) -> Self {
        Self { program, silence }
    }

    /// What becomes of each of some inputs.
    ///
    /// # Errors
    /// When nobody answers: it is not an input's fault.
    pub(super) async fn ask(&mut self, inputs: Vec<Input>) -> Result<Vec<Verdict>, String> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        if self.silence.is_long() {
            self.probe(&inputs).await?;
        }
        let numbered = inputs.into_iter().enumerate();
        let (unanswered, others): (Vec<_>, Vec<_>) =
            numbered.partition(|(_, input)| self.silence.is_of(input));
        let (places, others): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        let asked = self.ask_together(others).await?;
        let mut verdicts: Vec<_> = places.into_iter().zip(asked).collect();
        for (place, input) in unanswered {
            verdicts.push((place, self.ask_alone(&input).await?));
            self.silence.forget(&input);
        }
        verdicts.sort_unstable_by_key(|(place, _)| *place);
        Ok(verdicts.into_iter().map(|(_, verdict)| verdict).collect())
    }

    /// Looks whether a service that has been silent answers anything.
    async fn probe(&mut self, inputs: &[Input]) -> Result<(), String> {
        let Some(input) = self.silence.probe(inputs) else {
            self.silence.convict();
            return Ok(());
        };
        match self.call(vec![input.clone()]).await {
            Err(Missed::Unreachable(cause)) => Err(cause),
            Err(Missed::Overdue) => Err(silent()),
            Ok(_) | Err(Missed::Broke(_)) => {
                self.silence.ends_with(input);
                Ok(())
            }
        }
    }

    async fn ask_together(&mut self, inputs: Vec<Input>) -> Result<Vec<Verdict>, String> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        match self.call(inputs.clone()).await {
            Ok(outcomes) => {
                self.silence.ends();
                self.look_again(inputs, outcomes).await
            }
            Err(Missed::Unreachable(cause)) => Err(cause),
            Err(Missed::Broke(_)) => self.ask_each(inputs).await,
            Err(Missed::Overdue) => {
                self.sample(&inputs).await?;
                self.ask_each(inputs).await
            }
        }
    }

    /// Looks whether a service that has not answered in time answers for any of some inputs alone.
    async fn sample(&mut self, inputs: &[Input]) -> Result<(), String> {
        if self.program.is_pure() {
            return Ok(());
        }
        for input in sample(inputs) {
            match self.call(vec![input.clone()]).await {
                Err(Missed::Unreachable(cause)) => return Err(cause),
                Err(Missed::Overdue) => self.silence.goes_on(input),
                Ok(_) | Err(Missed::Broke(_)) => {
                    self.silence.ends();
                    return Ok(());
                }
            }
        }
        match self.silence.is_long() {
            true => Err(silent()),
            false => Ok(()),
        }
    }

    async fn ask_each(&mut self, inputs: Vec<Input>) -> Result<Vec<Verdict>, String> {
        let mut verdicts = Vec::with_capacity(inputs.len());
        for input in &inputs {
            verdicts.push(self.ask_alone(input).await?);
        }
        Ok(verdicts)
    }

    /// Asks again for those that were failed for, if that may help.
    async fn look_again(
        &mut self,
        inputs: Vec<Input>,
        outcomes: Vec<Outcome>,
    ) -> Result<Vec<Verdict>, String> {
        let mut verdicts = Vec::with_capacity(inputs.len());
        for (input, outcome) in inputs.into_iter().zip(outcomes) {
            let failed = outcome.failure.is_some() && !self.program.is_pure();
            verdicts.push(match failed {
                true => self.ask_alone(&input).await?,
                false => verdict(outcome),
            });
        }
        Ok(verdicts)
    }

    /// Asks for one input, a few times if need be.
    async fn ask_alone(&mut self, input: &Input) -> Result<Verdict, String> {
        let mut backoff = Backoff::soon();
        let mut is_silent = !self.program.is_pure();
        let attempts = match self.program.is_pure() {
            true => PURE_ATTEMPTS,
            false => ATTEMPTS,
        };
        loop {
            let called = self.call(vec![input.clone()]).await;
            if !matches!(called, Err(Missed::Overdue | Missed::Unreachable(_))) {
                self.silence.ends();
                is_silent = false;
            }
            let failure = match called {
                Ok(outcomes) => match outcomes.into_iter().next().map(verdict) {
                    Some(Err(failure)) if !self.program.is_pure() => failure,
                    Some(verdict) => return Ok(verdict),
                    None => "the program gave no outcome".to_owned(),
                },
                Err(Missed::Unreachable(cause)) => return Err(cause),
                Err(Missed::Broke(cause)) => cause,
                Err(Missed::Overdue) => overdue(),
            };
            let wait = backoff.next();
            if backoff.attempts() >= attempts {
                return match is_silent {
                    true => self.give_up_on(input),
                    false => Ok(Err(failure)),
                };
            }
            sleep(wait).await;
        }
    }

    /// What becomes of an input that a service has not answered, unless it has not answered others
    /// either.
    fn give_up_on(&self, input: &Input) -> Result<Verdict, String> {
        if !self.silence.is_of(input) {
            self.silence.goes_on(input);
        }
        match self.silence.is_long() {
            true => Err(silent()),
            false => Ok(Err(overdue())),
        }
    }

    async fn call(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, Missed> {
        let wanted = inputs.len();
        self.program.prepare().await.map_err(missed)?;
        let Ok(called) = timeout(CALL, self.program.process(inputs)).await else {
            self.program.give_up().await;
            return Err(Missed::Overdue);
        };
        let outcomes = called.map_err(missed)?;
        if outcomes.len() == wanted {
            return Ok(outcomes);
        }
        Err(Missed::Broke(format!(
            "the program gave {} outcomes for {wanted} inputs",
            outcomes.len()
        )))
    }
}

/// The first, middle and last of many inputs; of few, none: they are all asked for alone.
fn sample(inputs: &[Input]) -> impl Iterator<Item = &Input> {
    let places = [0, inputs.len() / 2, inputs.len().saturating_sub(1)];
    let places = places.into_iter().filter(|_| inputs.len() >= IN_A_ROW);
    places.filter_map(|place| inputs.get(place))
}

fn missed(error: ProgramError) -> Missed {
    match error {
        ProgramError::Unreachable(cause) => Missed::Unreachable(cause),
        ProgramError::Broke(cause) => Missed::Broke(cause),
    }
}

fn overdue() -> String {
    format!("the program took longer than {} s", CALL.as_secs())
}

fn silent() -> String {
    let seconds = CALL.as_secs();
    format!(
        "the program is reached but hangs: it took longer than {seconds} s for each of several \
         events, and has answered none since"
    )
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome.failure {
        None => Ok(outcome.outputs),
        Some(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests;
