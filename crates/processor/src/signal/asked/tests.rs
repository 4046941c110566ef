use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::signal::proto::Event;

/// Fails for odd offsets: so often as is said.
struct Scripted {
    failures: u32,
    breaks: bool,
    calls: usize,
}

#[async_trait]
impl Program for Scripted {
    async fn prepare(&mut self) -> Result<(), ProgramError> {
        Ok(())
    }

    async fn process(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError> {
        self.calls += 1;
        let odd = |input: &Input| input.event.as_ref().is_some_and(|it| it.offset % 2 == 1);
        let fails = inputs.iter().any(odd) && self.failures > 0;
        if fails {
            self.failures -= 1;
        }
        if fails && self.breaks {
            return Err(ProgramError::Broke("it broke".to_owned()));
        }
        let outcome = |input| Outcome {
            outputs: vec![Output::default()],
            failure: (odd(input) && fails).then(|| "odd".to_owned()),
        };
        Ok(inputs.iter().map(outcome).collect())
    }

    async fn give_up(&mut self) {}

    fn is_pure(&self) -> bool {
        false
    }
}

fn inputs(offsets: &[u64]) -> Vec<Input> {
    let event = |offset: &u64| Event {
        offset: *offset,
        ..Event::default()
    };
    let input = |offset| Input {
        event: Some(event(offset)),
        window: None,
    };
    offsets.iter().map(input).collect()
}

async fn asked(failures: u32, breaks: bool) -> Vec<Verdict> {
    let scripted = Scripted {
        failures,
        breaks,
        calls: 0,
    };
    let mut program = Asked::new(Box::new(scripted), Silence::default());
    let verdicts = program.ask(inputs(&[0, 1, 2])).await;
    verdicts.expect("it answers")
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again() {
    for breaks in [false, true] {
        let verdicts = asked(3, breaks).await;
        assert!(verdicts.iter().all(Result::is_ok), "{verdicts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_always_is_told_and_holds_up_nobody() {
    for (breaks, reason) in [(false, "odd"), (true, "it broke")] {
        let verdicts = asked(u32::MAX, breaks).await;
        let failed: Vec<_> = verdicts.iter().map(|it| it.clone().err()).collect();
        assert_eq!(failed, [None, Some(reason.to_owned()), None]);
    }
}

/// Does not answer when it is asked for some offsets.
struct Hanging(Arc<Mutex<BTreeSet<u64>>>);

#[async_trait]
impl Program for Hanging {
    async fn prepare(&mut self) -> Result<(), ProgramError> {
        Ok(())
    }

    async fn process(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, ProgramError> {
        let offset = |input: &Input| input.event.as_ref().map_or(0, |event| event.offset);
        let hangs = |input| self.0.lock().expect("no panic").contains(&offset(input));
        if inputs.iter().any(hangs) {
            std::future::pending::<()>().await;
        }
        Ok(inputs.iter().map(|_| Outcome::default()).collect())
    }

    async fn give_up(&mut self) {}

    fn is_pure(&self) -> bool {
        false
    }
}

/// What it hangs for, and how to ask it.
fn hanging(offsets: &[u64]) -> (Arc<Mutex<BTreeSet<u64>>>, Asked) {
    let offsets = Arc::new(Mutex::new(offsets.iter().copied().collect()));
    let program = Box::new(Hanging(offsets.clone()));
    (offsets, Asked::new(program, Silence::default()))
}

/// Which of some offsets are failed for.
fn failed(offsets: &[u64], verdicts: &[Verdict]) -> Vec<u64> {
    let all = offsets.iter().zip(verdicts);
    all.filter_map(|(offset, verdict)| verdict.is_err().then_some(*offset))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_answered_is_failed_for_alone() {
    for offsets in [&[7_u64][..], &[6, 7], &[1, 2, 3, 4, 5, 6, 7, 8]] {
        let (_, mut program) = hanging(&[7]);
        let verdicts = program.ask(inputs(offsets)).await.expect("it answers");
        assert_eq!(failed(offsets, &verdicts), [7]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_is_waited_for_and_no_event_is_failed_for() {
    let offsets: Vec<_> = (0..256).collect();
    let (hanging, mut program) = hanging(&offsets);
    for _ in 0..2 * offsets.len() {
        let silent = program.ask(inputs(&offsets)).await.expect_err("it hangs");
        assert!(silent.contains("hangs"), "{silent}");
    }
    hanging.lock().expect("no panic").clear();
    let verdicts = program.ask(inputs(&offsets)).await.expect("it answers");
    assert_eq!((verdicts.len(), failed(&offsets, &verdicts)), (256, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_is_waited_for_also_where_events_come_one_by_one() {
    let (_, mut program) = hanging(&[1, 2, 3, 4]);
    for offset in [1, 2] {
        let verdicts = program.ask(inputs(&[offset])).await.expect("a verdict");
        assert_eq!(failed(&[offset], &verdicts), [offset]);
    }
    program.ask(inputs(&[3])).await.expect_err("it hangs");
}

#[tokio::test(start_paused = true)]
async fn many_events_that_are_not_answered_hold_up_nobody_for_ever() {
    let bad = [0, 1, 2, 3, 5, 6];
    for offsets in [(0..8).collect::<Vec<u64>>(), vec![0, 1, 2]] {
        let (_, mut program) = hanging(&bad);
        let mut asked = 0;
        let verdicts = loop {
            asked += 1;
            assert!(asked < 50, "for ever");
            if let Ok(verdicts) = program.ask(inputs(&offsets)).await {
                break verdicts;
            }
        };
        let bad: Vec<_> = bad.into_iter().filter(|it| offsets.contains(it)).collect();
        assert_eq!(failed(&offsets, &verdicts), bad);
    }
}
