//! Collectors and distributors as a user runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use eson_tests::fnap::Answer;
use eson_tests::participant::OTHER_USER;
use eson_tests::process::signal;
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, World, until};

use crate::events::{Event, await_numbered, read, write_numbered};
use crate::stage::{new_flow, on_all_grounds, world};

const PATIENCE: Duration = Duration::from_secs(60);
const SOURCE_FLOW: &str = "ce_sourceflow";

on_all_grounds!(
    a_collector_from_create_to_delete,
    a_distributor_from_create_to_delete,
    a_flow_that_is_deleted_leaves_its_processors,
    pausing_a_flow_pauses_the_leg_that_reads_it,
    what_is_no_processor_is_refused,
    processors_survive_the_end_of_every_part,
);

/// So many new flows.
fn flows<const COUNT: usize>(participant: &Participant, name: &str) -> [String; COUNT] {
    let mut session = participant.login();
    [(); COUNT].map(|()| {
        let flow = new_flow(participant, name);
        session.ok(&format!("CREATE FLOW {flow}"));
        flow
    })
}

/// A name that no other processor has.
fn processor(participant: &Participant, name: &str) -> String {
    new_flow(participant, name)
}

/// The events that a collector has written, by the flow that they say they come from.
fn collected(session: &mut RawFnap, flow: &str) -> BTreeMap<String, Vec<Event>> {
    let mut collected: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for mut event in read(session, flow) {
        let said = event
            .headers
            .iter()
            .position(|(name, _)| name == SOURCE_FLOW);
        let (_, from) = event
            .headers
            .remove(said.expect("it says where it comes from"));
        let from = String::from_utf8(from.expect("a name")).expect("text");
        collected.entry(from).or_default().push(event);
    }
    collected
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<Event> {
    numbers.map(Event::numbered).collect()
}

fn await_collected(session: &mut RawFnap, flow: &str, wanted: &[(&str, std::ops::Range<u32>)]) {
    let wanted = wanted
        .iter()
        .map(|(from, numbers)| ((*from).to_owned(), numbered(numbers.clone())));
    let wanted: BTreeMap<_, _> = wanted.collect();
    until(&format!("all events in {flow}"), PATIENCE, || {
        let found = collected(session, flow);
        let counts: Vec<_> = found
            .iter()
            .map(|(from, events)| (from, events.len()))
            .collect();
        check(found == wanted, || format!("{counts:?}"))
    });
}

/// The line of a leg in DESCRIBE PROCESSOR.
fn leg<'a>(described: &'a Answer, flow: &str) -> &'a str {
    let begin = format!("{flow} ");
    let mut legs = described.attributes("leg");
    legs.find(|leg| leg.starts_with(&begin))
        .unwrap_or_else(|| panic!("no leg {flow} in {described:?}"))
}

fn await_leg(session: &mut RawFnap, processor: &str, flow: &str, wanted: &[&str]) {
    until(&format!("{flow} to be {wanted:?}"), PATIENCE, || {
        let described = session.ok(&format!("DESCRIBE PROCESSOR {processor}"));
        let leg = leg(&described, flow);
        check(wanted.iter().all(|it| leg.contains(it)), || leg.to_owned())
    });
}

fn await_listed(session: &mut RawFnap, processor: &str, wanted: &[&str]) {
    until(&format!("{processor} to be {wanted:?}"), PATIENCE, || {
        let listed = session.ok("GET PROCESSORS").data;
        let begin = format!("{processor} ");
        let found = listed.iter().find(|line| line.starts_with(&begin));
        let found = found.cloned().unwrap_or_default();
        check(wanted.iter().all(|it| found.contains(it)), || found.clone())
    });
}

fn a_collector_from_create_to_delete(ground: Ground) {
    let orange = world(ground).orange();
    let mut session = orange.login();
    let [one, two, three, all] = flows::<4>(orange, "collected");
    let name = processor(orange, "collector");
    let offered = session.ok("CAPABILITIES");
    let types: Vec<_> = offered.attributes("processors").collect();
    assert_eq!(types, ["bridge", "collector", "distributor", "signal"]);

    write_numbered(&mut session, &one, 0..50);
    let create =
        format!("CREATE PROCESSOR {name} type=collector from={one},{two} to={all} fair=true");
    session.ok(&create);
    session.ok(&create);
    write_numbered(&mut session, &two, 100..150);
    await_collected(&mut session, &all, &[(&one, 0..50), (&two, 100..150)]);
    let written = ["state=running", "lag=0", "records=50", "position=0-50"];
    await_leg(&mut session, &name, &one, &written);
    await_leg(&mut session, &name, &two, &written);
    await_listed(
        &mut session,
        &name,
        &["type=collector", "state=running", "records=100", "legs=2"],
    );

    session.ok(&format!("UPDATE PROCESSOR {name} from={two},{three}"));
    write_numbered(&mut session, &one, 50..60);
    write_numbered(&mut session, &three, 200..210);
    let without_one = [(&*one, 0..50), (&two, 100..150), (&three, 200..210)];
    await_collected(&mut session, &all, &without_one);
    session.ok(&format!("STOP PROCESSOR {name}"));
    await_listed(&mut session, &name, &["state=stopped"]);
    session.ok(&format!("UPDATE PROCESSOR {name} from={one},{two},{three}"));
    write_numbered(&mut session, &two, 150..160);
    session.ok(&format!("RESUME PROCESSOR {name}"));
    let everything = [(&*one, 0..60), (&two, 100..160), (&three, 200..210)];
    await_collected(&mut session, &all, &everything);

    session.ok(&format!("UPDATE PROCESSOR {name} annotate=false"));
    write_numbered(&mut session, &one, 60..500);
    until("the events as they were", PATIENCE, || {
        let mut found = read(&mut session, &all);
        let as_they_were = found.split_off(found.len().min(130));
        let count = as_they_were.len();
        check(as_they_were == numbered(60..500), || {
            format!("{count} are there")
        })
    });
    session.ok(&format!("DELETE PROCESSOR {name}"));
    session.refused(&format!("DESCRIBE PROCESSOR {name}"), "550 [NOTFOUND]");
}

fn check_gap_answer(session: &mut RawFnap, processor: &str, wanted: &str) {
    let described = session.ok(&format!("DESCRIBE PROCESSOR {processor}"));
    let found: Vec<_> = described.attributes("on-gap").collect();
    assert_eq!(found, [wanted]);
}

fn a_distributor_from_create_to_delete(ground: Ground) {
    let orange = world(ground).orange();
    let mut session = orange.login();
    let [source, one, two, three] = flows::<4>(orange, "distributed");
    let name = processor(orange, "distributor");
    write_numbered(&mut session, &source, 0..50);
    session.ok(&format!(
        "CREATE PROCESSOR {name} type=distributor from={source} to={one},{two} on-gap=stop"
    ));
    check_gap_answer(&mut session, &name, "stop");
    await_numbered(&mut session, &one, 0..50);
    await_numbered(&mut session, &two, 0..50);

    session.ok(&format!("UPDATE PROCESSOR {name} to={two},{three}"));
    write_numbered(&mut session, &source, 50..100);
    await_numbered(&mut session, &two, 0..100);
    await_numbered(&mut session, &three, 0..100);
    await_numbered(&mut session, &one, 0..50);
    await_leg(
        &mut session,
        &name,
        &two,
        &["state=running", "records=100", "lag=0"],
    );

    session.ok(&format!("PAUSE PROCESSOR {name}"));
    await_listed(&mut session, &name, &["state=paused"]);
    write_numbered(&mut session, &source, 100..120);
    // Each changes what it names, and a second time nothing.
    for change in ["remove-to", "add-to", "add-to"] {
        let update = format!("UPDATE PROCESSOR {name} {change}={one} on-gap=earliest");
        session.ok(&update);
    }
    let described = session.ok(&format!("DESCRIBE PROCESSOR {name}"));
    let destinations: Vec<_> = described.attributes("to").collect();
    assert_eq!(destinations, [&two, &three, &one]);
    check_gap_answer(&mut session, &name, "earliest");
    session.ok(&format!("RESUME PROCESSOR {name}"));
    for flow in [&one, &two, &three] {
        await_numbered(&mut session, flow, 0..120);
    }
    let fixed = format!("UPDATE PROCESSOR {name} from={one}");
    let refused = session.refused(&fixed, "501 [ARGUMENT]");
    assert!(
        refused.status.contains("from= of the distributor"),
        "{refused:?}"
    );
    let fixed = format!("UPDATE PROCESSOR {name} add-from={one}");
    session.refused(&fixed, "501 [ARGUMENT]");
    let nothing = format!("UPDATE PROCESSOR {name} remove-to={one},{two},{three}");
    let refused = session.refused(&nothing, "501 [ARGUMENT]");
    assert!(
        refused.status.contains("needs a flow in to="),
        "{refused:?}"
    );
    session.ok(&format!("DELETE PROCESSOR {name}"));
}

fn a_flow_that_is_deleted_leaves_its_processors(ground: Ground) {
    let orange = world(ground).orange();
    let mut session = orange.login();
    let [one, two, all] = flows::<3>(orange, "leaving");
    let name = processor(orange, "remaining");
    session.ok(&format!(
        "CREATE PROCESSOR {name} type=collector from={one},{two} to={all}"
    ));
    session.ok(&format!("DELETE FLOW {one}"));
    let described = session.ok(&format!("DESCRIBE PROCESSOR {name}"));
    assert_eq!(described.attributes("from").collect::<Vec<_>>(), [&two]);
    write_numbered(&mut session, &two, 0..20);
    await_collected(&mut session, &all, &[(&two, 0..20)]);
    session.ok(&format!("DELETE FLOW {two}"));
    session.refused(&format!("DESCRIBE PROCESSOR {name}"), "550 [NOTFOUND]");
}

fn pausing_a_flow_pauses_the_leg_that_reads_it(ground: Ground) {
    let orange = world(ground).orange();
    let mut session = orange.login();
    let [one, two, all] = flows::<3>(orange, "resting");
    let name = processor(orange, "half-resting");
    session.ok(&format!(
        "CREATE PROCESSOR {name} type=collector from={one},{two} to={all}"
    ));
    session.ok(&format!("PAUSE FLOW {one}"));
    await_leg(&mut session, &name, &one, &["state=paused"]);
    write_numbered(&mut session, &one, 0..10);
    write_numbered(&mut session, &two, 0..10);
    await_collected(&mut session, &all, &[(&two, 0..10)]);
    session.ok(&format!("STOP FLOW {one}"));
    await_leg(&mut session, &name, &one, &["state=pending"]);
    session.ok(&format!("RESUME FLOW {one}"));
    await_collected(&mut session, &all, &[(&one, 0..10), (&two, 0..10)]);
}

fn what_is_no_processor_is_refused(ground: Ground) {
    let orange = world(ground).orange();
    let mut session = orange.login();
    let [one, two, three, four] = flows::<4>(orange, "circle");
    let unknown = orange.identity.flow("nobody-has-made-this");
    let many: Vec<String> = (0..300)
        .map(|number| format!("f{number}.example"))
        .collect();
    let many = many.join(",");
    let remote = world(ground).blue().identity.flow("elsewhere");
    for (command, code, text) in [
        (
            format!("type=bridge from={remote} to={one}"),
            "551 [NOTLOCAL]",
            &*format!("SUBSCRIBE {remote} LOCAL "),
        ),
        (
            format!("type=bridge from={one} to={remote}"),
            "551 [NOTLOCAL]",
            "SUBSCRIBE there",
        ),
        (
            format!("type=collector from={one},{unknown} to={two}"),
            "550 [NOTFOUND]",
            &*unknown,
        ),
        (
            format!("type=collector from={one},{two},{one} to={three}"),
            "501 [ARGUMENT]",
            "twice",
        ),
        (
            format!("type=distributor from={one} to={two},{two}"),
            "501 [ARGUMENT]",
            "twice",
        ),
        (
            format!("type=distributor from={one}"),
            "501 [ARGUMENT]",
            "needs to",
        ),
        (
            format!("type=distributor from={one} to={many}"),
            "501 [ARGUMENT]",
            "at most 256",
        ),
        (
            format!("type=bridge from={one},{two} to={three}"),
            "501 [ARGUMENT]",
            "one flow in from=",
        ),
        (
            format!("type=collector from={one},{two} to={one}"),
            "555 [LOOP]",
            &*one,
        ),
        (
            format!("type=bridge from={one} to={two} annotate=true"),
            "501 [ARGUMENT]",
            "annotate",
        ),
        (
            format!("type=signal from={one} to={two}"),
            "501 [ARGUMENT]",
            "needs program=",
        ),
    ] {
        let refused = session.refused(&format!("CREATE PROCESSOR bad {command}"), code);
        assert!(refused.status.contains(text), "{refused:?}");
    }
    let ten_thousand = "f.example,".repeat(10_000);
    let command = format!("CREATE PROCESSOR bad type=distributor from={one} to={ten_thousand}");
    let refused = session.refused(&command, "500 [SYNTAX]");
    assert!(refused.status.contains("8192"), "{refused:?}");

    let first = processor(orange, "first");
    session.ok(&format!(
        "CREATE PROCESSOR {first} type=bridge from={one} to={two}"
    ));
    let second = processor(orange, "second");
    session.ok(&format!(
        "CREATE PROCESSOR {second} type=distributor from={two} to={three}"
    ));
    let closing = format!("CREATE PROCESSOR bad type=collector from={four},{three} to={one}");
    let refused = session.refused(&closing, "555 [LOOP]");
    let way = format!("{one} feeds {two}, which feeds {three} already");
    assert!(refused.status.contains(&way), "{refused:?}");
    let closing = format!("UPDATE PROCESSOR {second} to={three},{one}");
    session.refused(&closing, "555 [LOOP]");

    let mut other = RawFnap::login(orange.identity.fnap, OTHER_USER.0, OTHER_USER.1);
    let command = format!("CREATE PROCESSOR bad type=bridge from={one} to={four}");
    other.refused(&command, "550 [NOTFOUND]");
    let grantee = format!("{}@{}", OTHER_USER.0, orange.identity.domain);
    for flow in [&one, &three] {
        session.ok(&format!("GRANT read ON {flow} TO {grantee}"));
    }
    other.refused(
        &format!("CREATE PROCESSOR bad type=bridge from={one} to={three}"),
        "552 [DENIED]",
    );
    session.ok(&format!("GRANT write ON {one} TO {grantee}"));
    let command = format!("CREATE PROCESSOR bad type=bridge from={three} to={one}");
    let refused = other.refused(&command, "555 [LOOP]");
    assert!(
        !refused.status.contains(&two),
        "{two} is not his to know: {refused:?}"
    );
    other.refused(&format!("DESCRIBE PROCESSOR {first}"), "550 [NOTFOUND]");
    other.refused(
        &format!("UPDATE PROCESSOR {second} to={three}"),
        "550 [NOTFOUND]",
    );
    assert_eq!(other.ok("GET PROCESSORS").data, [""; 0]);
    for name in [first, second] {
        session.ok(&format!("DELETE PROCESSOR {name}"));
    }
}

fn processors_survive_the_end_of_every_part(ground: Ground) {
    let mut world = World::beside_others(ground, &["lasting.example"], &|text| text);
    let [one, two, all, copy] = flows::<4>(world.orange(), "lasting");
    let mut session = world.orange().login();
    session.ok(&format!(
        "CREATE PROCESSOR collect type=collector from={one},{two} to={all}"
    ));
    session.ok(&format!(
        "CREATE PROCESSOR distribute type=distributor from={one} to={copy}"
    ));
    write_numbered(&mut session, &one, 0..100);
    await_everything(&mut session, &copy, 100);
    await_everything(&mut session, &all, 100);

    for id in world.orange().processors() {
        signal(id, "KILL");
    }
    write_numbered(&mut session, &one, 100..200);
    await_everything(&mut session, &copy, 200);
    session.ok("PAUSE PROCESSOR collect");
    write_numbered(&mut session, &two, 200..300);
    world.participants[0].kill9();
    world.participants[0].restart();
    let mut session = world.orange().login();
    write_numbered(&mut session, &one, 300..400);
    await_everything(&mut session, &copy, 300);
    await_listed(&mut session, "collect", &["state=paused"]);
    session.ok("RESUME PROCESSOR collect");
    await_everything(&mut session, &all, 400);
}

/// Waits until so many different events are there: after a kill, some may be there twice.
fn await_everything(session: &mut RawFnap, flow: &str, wanted: usize) {
    until(&format!("{wanted} events in {flow}"), PATIENCE, || {
        let events = read(session, flow).into_iter().map(|event| event.value);
        let found = events.collect::<BTreeSet<_>>().len();
        check(found == wanted, || format!("{found} are there"))
    });
}
