//! Rounds of trouble: 50,000 numbered events flow between two participants and through processors of
//! every type, subscriptions come and go, and anything is killed or stands still at any moment.
//! Afterwards nothing is lost, order holds, nobody holds what the other has given up, and nothing is
//! left behind. Nothing comes twice, either.
//!
//! `ROUNDS` says how many rounds (15 by default), `SEED` repeats a run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processors;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eson_tests::producing::Producing;
use eson_tests::records::{Sample, admin_client, await_copy, topics};
use eson_tests::wait::check;
use eson_tests::{Ground, Seed, World, until};

use self::trouble::Trouble;

const RECORDS: usize = 50_000;
const PARTITIONS: i32 = 3;
/// All events of a key are in one partition.
const KEYS: usize = 34 * PARTITIONS as usize;
const FLOW: &str = "numbers.flows.orange.example";
const LOCAL: &str = "numbers.flows.blue.example";
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn nothing_is_lost_in_any_round() {
    let rounds = std::env::var("ROUNDS").map_or(15, |text| text.parse().expect("ROUNDS"));
    let mut seed = Seed::from_env("rounds");
    let mut world = World::start(Ground::Servers, &["orange.example", "blue.example"]);
    let mut orange = world.orange().login();
    orange.ok(&format!(
        "CREATE FLOW {FLOW} partitions={PARTITIONS} access=public"
    ));
    world
        .blue()
        .login()
        .ok(&format!("SUBSCRIBE {FLOW} LOCAL {LOCAL}"));
    processors::create(&world, LOCAL, PARTITIONS);
    drop(orange);

    let source = Arc::new(numbered());
    // Several in each round, so that what a round waits for is never more than it allows.
    let batch = (RECORDS / rounds / 3).clamp(1, 250);
    let client = admin_client(&world.kafkas[0]);
    let producing = Producing::start(client, FLOW, source.clone(), batch, PATIENCE * 2);
    let mut guests = Guests::default();
    for round in 1..=rounds {
        producing.allow(RECORDS * round / rounds);
        let trouble = Trouble::draw(&mut seed);
        println!(
            "round {round}: {trouble:?}, {} written",
            producing.written()
        );
        guests.come_and_go(&world, &mut seed);
        producing.wait_for(RECORDS * (round - 1) / rounds + seed.below(batch as u64) as usize);
        trouble.befall(&mut world);
    }
    producing.finish();

    let blue = admin_client(&world.kafkas[1]);
    let repeats = await_copy(&blue, LOCAL, &source, Duration::from_secs(600));
    println!("{rounds} rounds: all {RECORDS} arrived in order; {repeats} came again");
    assert_eq!(0, repeats, "events came more than once");
    guests.all_are_complete(&world, &source);
    processors::all_are_complete(&world, &source, PATIENCE);
    processors::delete(&world);
    guests.all_leave(&world);
    both_sides_agree(&world);
    nothing_is_left(&world);
}

/// Each event's number is in its value; no two are alike.
fn numbered() -> Vec<Sample> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    (0..RECORDS)
        .map(|number| Sample {
            partition: (number % PARTITIONS as usize) as i32,
            timestamp: now - RECORDS as i64 + number as i64,
            key: Some(format!("key-{}", number % KEYS).into_bytes()),
            value: Some(format!("event number {number}").into_bytes()),
            headers: vec![("number".into(), Some(number.to_string().into_bytes()))],
        })
        .collect()
}

/// Further subscriptions of Blue's to the same flow, that come and go while everything is killed.
#[derive(Debug, Default)]
struct Guests {
    invited: usize,
    present: Vec<String>,
}

impl Guests {
    /// One comes, or one goes. What a passing failure refuses is asked again.
    fn come_and_go(&mut self, world: &World, seed: &mut Seed) {
        if self.present.len() < 3 && seed.below(3) > 0 {
            self.invited += 1;
            let local = format!("guest-{}.flows.blue.example", self.invited);
            insist(world, &format!("SUBSCRIBE {FLOW} LOCAL {local}"));
            self.present.push(local);
        } else if !self.present.is_empty() {
            let at = seed.below(self.present.len() as u64) as usize;
            let local = self.present.swap_remove(at);
            insist(world, &format!("UNSUBSCRIBE {local}"));
        }
    }

    fn all_are_complete(&self, world: &World, source: &[Sample]) {
        let client = admin_client(&world.kafkas[1]);
        for local in &self.present {
            let repeats = await_copy(&client, local, source, PATIENCE);
            assert_eq!(0, repeats, "events came more than once to {local}");
        }
    }

    fn all_leave(&self, world: &World) {
        for local in &self.present {
            insist(world, &format!("UNSUBSCRIBE {local}"));
        }
    }
}

/// Asks Blue until it is done; a failure that would not pass ends the test.
fn insist(world: &World, command: &str) {
    until(command, PATIENCE, || {
        let answer = world.blue().try_login()?.try_ask(command)?;
        let gone = command.starts_with("UNSUBSCRIBE") && answer.code() == "550 [NOTFOUND]";
        assert!(
            !answer.status.starts_with('5') || gone,
            "{command}: {answer:?}"
        );
        check(answer.is_ok() || gone, || format!("{answer:?}"))
    });
}

/// Orange lists one subscriber, Blue one subscription, and they mean the same copy.
fn both_sides_agree(world: &World) {
    until("both sides to agree", PATIENCE, || {
        let ours = world.blue().try_login()?.try_ask("GET SUBSCRIPTIONS")?;
        let theirs = world.orange().try_login()?;
        let theirs = { theirs }.try_ask(&format!("GET SUBSCRIBERS {FLOW}"))?;
        let seen = || format!("{ours:?} {theirs:?}");
        check(ours.data.len() == 1 && theirs.data.len() == 1, seen)?;
        let label = theirs.data[0].split(' ').next().unwrap_or_default();
        check(ours.data[0].contains(&format!("copy={label}.")), seen)?;
        check(ours.data[0].contains("state=active"), seen)?;
        check(theirs.data[0].contains("state=active"), seen)
    });
}

/// One subscription holds one of everything; all that the others had is gone.
fn nothing_is_left(world: &World) {
    let orange = &world.kafkas[0];
    let client = admin_client(orange);
    until("nothing to be left of the guests", PATIENCE, || {
        let copies: Vec<_> = topics(&client)
            .into_iter()
            .filter(|topic| topic.ends_with(FLOW) && topic != FLOW)
            .collect();
        check(copies.len() == 1, || format!("{copies:?}"))?;
        let users = orange.users();
        check(users.len() == 1, || format!("{users:?}"))?;
        let rules = orange.access_rules();
        check(rules.iter().all(|rule| rule.contains(&copies[0])), || {
            format!("{rules:?}")
        })?;
        let records = world.bind().zone("flows.orange.example");
        let stranger = records.iter().find(|record| {
            record.contains(&format!(".{FLOW}"))
                && !record.contains(&format!("_tcp.{FLOW}"))
                && !record.contains(&copies[0])
        });
        check(stranger.is_none(), || format!("{stranger:?}"))?;
        let running = world
            .participants
            .iter()
            .map(|participant| participant.processors().len());
        check(running.clone().all(|count| count == 1), || {
            format!("processors: {:?}", running.collect::<Vec<_>>())
        })
    });
}
