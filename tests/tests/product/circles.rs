//! Circles of subscriptions: refused where they are asked for, found where their parts are made at
//! the same moment.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use eson_tests::fnap::Answer;
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, World, until};

use crate::stage::{new_flow, on_all_grounds, world};

const PATIENCE: Duration = Duration::from_secs(90);
const ROUNDS: usize = 3;

on_all_grounds!(
    a_circle_of_three_is_refused,
    of_two_halves_made_at_once_one_goes_on,
);

/// A flow of each participant, which all others may read.
fn flows(participants: &[&Participant]) -> Vec<String> {
    let flow = |participant: &&Participant| {
        let flow = new_flow(participant, "round");
        let mut session = participant.login();
        session.ok(&format!("CREATE FLOW {flow} access=public"));
        flow
    };
    participants.iter().map(flow).collect()
}

fn a_circle_of_three_is_refused(ground: Ground) {
    let world = world(ground);
    let all: Vec<_> = world.participants.iter().collect();
    let flows = flows(&all);
    for to in [1, 2] {
        let command = format!("SUBSCRIBE {} LOCAL {}", flows[to - 1], flows[to]);
        all[to].login().ok(&command);
    }
    let command = format!("SUBSCRIBE {} LOCAL {}", flows[2], flows[0]);
    let refused = all[0].login().refused(&command, "555 [LOOP]");
    assert!(refused.status.contains("go round"), "{refused:?}");
    for (participant, flow) in all.iter().zip(&flows).skip(1) {
        assert_eq!("active", state(participant, flow));
    }
}

/// Each subscribes its flow to that of the one before, all at the same moment.
fn close_circle(participants: &[&Participant], flows: &[String]) -> Vec<Answer> {
    let count = flows.len();
    let barrier = Barrier::new(count);
    thread::scope(|scope| {
        let subscribing = (0..count).map(|at| {
            let barrier = &barrier;
            let mut session = participants[at].login();
            let source = &flows[(at + count - 1) % count];
            let command = format!("SUBSCRIBE {source} LOCAL {}", flows[at]);
            scope.spawn(move || {
                barrier.wait();
                session.ask(&command)
            })
        });
        let subscribing: Vec<_> = subscribing.collect();
        let answers = subscribing.into_iter().map(|it| it.join());
        answers.map(|answer| answer.expect("no panic")).collect()
    })
}

/// The state of the subscription that feeds the flow; `none` without one.
fn state(participant: &Participant, flow: &str) -> String {
    let described = participant
        .login()
        .ask(&format!("DESCRIBE SUBSCRIPTION {flow}"));
    if !described.is_ok() {
        return "none".to_owned();
    }
    let state = described.attribute("state").unwrap_or_default().to_owned();
    if state == "paused" {
        let error = described.attribute("error").unwrap_or_default();
        assert!(error.contains("newest subscription"), "{described:?}");
    }
    state
}

/// All go on but one, which was refused or is paused.
fn await_one_out(participants: &[&Participant], flows: &[String], answers: &[Answer]) {
    until("the circle to be open at one place", PATIENCE, || {
        let states: Vec<_> = participants
            .iter()
            .zip(flows)
            .map(|(participant, flow)| state(participant, flow))
            .collect();
        let active = states.iter().filter(|state| *state == "active").count();
        let out = states.iter().find(|state| *state != "active");
        let known = out.is_some_and(|out| ["none", "paused"].contains(&out.as_str()));
        let one = active + 1 == flows.len() && known;
        check(one, || format!("{states:?} after {answers:?}"))
    });
}

fn of_two_halves_made_at_once_one_goes_on(ground: Ground) {
    let world = world(ground);
    let both = [world.orange(), world.blue()];
    for _ in 0..ROUNDS {
        let flows = flows(&both);
        let answers = close_circle(&both, &flows);
        for answer in answers.iter().filter(|answer| !answer.is_ok()) {
            assert_eq!("555 [LOOP]", answer.code(), "{answers:?}");
        }
        await_one_out(&both, &flows, &answers);
    }
}

/// What feeds a neighbour's neighbour is told with a renewal only: until then all three go on.
#[test]
fn of_three_parts_made_at_once_the_newest_is_paused() {
    let domains = ["first.example", "second.example", "third.example"];
    let short = |text: String| text.replace("subscriptions:", "subscriptions:\n  lease: 2s");
    let world = World::beside_others(Ground::Embedded, &domains, &short);
    let all: Vec<_> = world.participants.iter().collect();
    let flows = flows(&all);
    let answers = close_circle(&all, &flows);
    await_one_out(&all, &flows, &answers);
    let states = all.iter().zip(&flows).map(|(it, flow)| state(it, flow));
    let states: Vec<_> = states.collect();
    let Some(paused) = states.iter().position(|state| state == "paused") else {
        return;
    };
    let other = (paused + 1) % 3;
    all[other]
        .login()
        .ok(&format!("UNSUBSCRIBE {}", flows[other]));
    until("the paused one to go on", PATIENCE, || {
        let state = state(all[paused], &flows[paused]);
        check(state == "active", || state.clone())
    });
}
