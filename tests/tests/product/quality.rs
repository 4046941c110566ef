//! How subscribers are served: delivery, rates, limits, modes, and where they begin.

use std::thread;
use std::time::Duration;

use eson_tests::records::{admin_client, configure_topic, delete_before, noise, topics};
use eson_tests::wait::check;
use eson_tests::{Ground, Participant, RawFnap, World, until};

use crate::events::{Event, await_events, await_numbered, read, write, write_numbered};
use crate::stage::{new_flow, on_all_grounds, world};

const PATIENCE: Duration = Duration::from_secs(90);

on_all_grounds!(
    delivery_is_chosen_where_it_can_be,
    a_rate_holds_a_copy_back_until_it_is_lifted,
    who_lags_too_much_is_paused_and_then_dropped,
    a_flow_is_read_itself_where_its_owner_allows_it,
    a_subscription_begins_where_it_says_and_may,
);

/// A new flow with these options and a session of its owner.
pub(crate) fn publish(participant: &Participant, name: &str, options: &str) -> (RawFnap, String) {
    let flow = new_flow(participant, name);
    let mut session = participant.login();
    session.ok(&format!("CREATE FLOW {flow} access=public {options}"));
    (session, flow)
}

/// Subscribes a new flow. Returns the session, the new flow's name and that of what it reads.
pub(crate) fn subscribe(
    participant: &Participant,
    remote: &str,
    options: &str,
) -> (RawFnap, String, String) {
    let local = new_flow(participant, "received");
    let mut session = participant.login();
    let answer = session.ok(&format!("SUBSCRIBE {remote} LOCAL {local} {options}"));
    let copy = answer.data[0]
        .strip_prefix(&format!("{local} SUBSCRIBED TO "))
        .unwrap_or_else(|| panic!("{answer:?}"))
        .to_owned();
    (session, local, copy)
}

/// The label of the only subscriber.
pub(crate) fn label(owner: &mut RawFnap, flow: &str) -> String {
    let listed = owner.ok(&format!("GET SUBSCRIBERS {flow}")).data;
    let [line] = &listed[..] else {
        panic!("{listed:?}");
    };
    line.split(' ').next().unwrap().to_owned()
}

/// Waits until a description has these `key=value` lines, each in whole or up to its `…`.
pub(crate) fn await_lines(session: &mut RawFnap, command: &str, wanted: &[&str]) {
    until(&format!("{command}: {wanted:?}"), PATIENCE, || {
        let described = session.ok(command);
        let has = |wanted: &&str| match wanted.strip_suffix('…') {
            Some(begin) => described.data.iter().any(|line| line.starts_with(begin)),
            None => described.data.iter().any(|line| line == wanted),
        };
        check(wanted.iter().all(has), || format!("{described:?}"))
    });
}

fn delivery_is_chosen_where_it_can_be(ground: Ground) {
    let orange = world(ground).orange();
    let mut session = orange.login();
    let [one, two] = [(); 2].map(|()| {
        let flow = new_flow(orange, "delivered");
        session.ok(&format!("CREATE FLOW {flow} access=public"));
        flow
    });
    let name = new_flow(orange, "delivering");
    let create = format!("CREATE PROCESSOR {name} type=bridge from={one} to={two}");
    for wrong in [
        "commit-interval=11s",
        "commit-interval=0s",
        "delivery=at-least-once commit-interval=1s",
    ] {
        let refused = session.refused(&format!("{create} {wrong}"), "501 [ARGUMENT]");
        assert!(refused.status.contains("commit-interval="), "{refused:?}");
    }
    let subscription = format!(
        "SUBSCRIBE {one} LOCAL {} delivery=at-least-once",
        new_flow(orange, "delivered")
    );
    if ground == Ground::Embedded {
        for command in [format!("{create} delivery=at-least-once"), subscription] {
            let refused = session.refused(&command, "502 [UNSUPPORTED]");
            assert!(refused.status.contains("embedded broker"), "{refused:?}");
        }
        session.ok(&format!("{create} delivery=exactly-once"));
    } else {
        session.ok(&format!("{create} delivery=at-least-once"));
    }
    write_numbered(&mut session, &one, 0..100);
    await_numbered(&mut session, &two, 0..100);
    let describe = format!("DESCRIBE PROCESSOR {name}");
    if ground == Ground::Servers {
        await_lines(&mut session, &describe, &["delivery=at-least-once"]);
        session.ok(&format!(
            "UPDATE PROCESSOR {name} delivery=exactly-once commit-interval=1s"
        ));
        await_lines(
            &mut session,
            &describe,
            &["delivery=exactly-once", "commit-interval=1s"],
        );
    }
    write_numbered(&mut session, &one, 100..200);
    await_numbered(&mut session, &two, 0..200);
    if ground == Ground::Servers {
        subscribing_again_changes_the_delivery(ground, &one);
    }
    await_lines(&mut session, &describe, &["lag=0", "lag-seconds=0"]);
    let metrics = orange.web("/metrics").unwrap().1;
    let metric = format!("fnaad_leg_lag_seconds{{kind=\"processor\",name=\"{name}\"");
    assert!(metrics.contains(&metric), "{metrics}");
    session.ok(&format!("DELETE PROCESSOR {name}"));
}

fn subscribing_again_changes_the_delivery(ground: Ground, flow: &str) {
    let (mut blue, local, _) = subscribe(world(ground).blue(), flow, "delivery=at-least-once");
    await_numbered(&mut blue, &local, 0..200);
    let describe = format!("DESCRIBE SUBSCRIPTION {local}");
    let granted = ["delivery=at-least-once", "granted-delivery=at-least-once"];
    await_lines(&mut blue, &describe, &granted);
    blue.ok(&format!(
        "SUBSCRIBE {flow} LOCAL {local} delivery=exactly-once commit-interval=50ms"
    ));
    let changed = ["delivery=exactly-once", "commit-interval=50ms"];
    await_lines(&mut blue, &describe, &changed);
    await_numbered(&mut blue, &local, 0..200);
}

/// The subscriber's wish holds also where the publisher fills the copy.
#[test]
fn a_gap_before_the_copy_is_what_the_subscriber_says() {
    let world = world(Ground::Servers);
    let (mut orange, flow) = publish(world.orange(), "gap", "partitions=1");
    let topic = orange.ok(&format!("DESCRIBE FLOW {flow}"));
    let topic = topic.attribute("topic").unwrap().to_owned();
    let lose = |orange: &mut RawFnap, numbers: std::ops::Range<u32>, until: i64| {
        // A leg that is only paused may have read what comes.
        orange.ok(&format!("STOP FLOW {flow}"));
        write_numbered(orange, &flow, numbers);
        delete_before(&admin_client(&world.kafkas[0]), &topic, until);
        orange.ok(&format!("RESUME FLOW {flow}"));
    };
    let (mut blue, local, _) = subscribe(world.blue(), &flow, "on-gap=stop");
    let label = label(&mut orange, &flow);
    let describe = format!("DESCRIBE SUBSCRIPTION {local}");
    await_lines(&mut blue, &describe, &["granted-on-gap=stop"]);
    write_numbered(&mut orange, &flow, 0..20);
    await_numbered(&mut blue, &local, 0..20);

    lose(&mut orange, 20..40, 30);
    let described = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    let stopped = ["processor-state=failed", "position=0-20", "lost=0"];
    await_lines(&mut orange, &described, &stopped);
    await_numbered(&mut blue, &local, 0..20);
    blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local} on-gap=earliest"));
    let left = |end| (0..20).chain(30..end).map(Event::numbered);
    await_events(&mut blue, &local, &left(40).collect::<Vec<_>>());
    let told = format!("notice=10 events of {flow} were gone…");
    await_lines(&mut orange, &described, &["lost=10"]);
    blue.ok(&format!("STOP SUBSCRIPTION {local}"));
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    await_lines(&mut blue, &describe, &["granted-on-gap=earliest", &told]);
    blue.ok(&format!("UNSUBSCRIBE {local}"));
}

/// A leg to a copy has no flow for dead letters: what is to be done is said, and done by its owner.
#[test]
fn a_copy_that_failed_goes_on_once_its_owner_has_mended_it() {
    let world = world(Ground::Servers);
    let (mut orange, flow) = publish(world.orange(), "mended", "partitions=1");
    let (mut blue, local, copy) = subscribe(world.blue(), &flow, "");
    let label = label(&mut orange, &flow);
    let broker = admin_client(&world.kafkas[0]);
    configure_topic(&broker, &copy, "max.message.bytes", "1000");
    let large = Event {
        value: Some(noise(5_000)),
        ..Event::numbered(0)
    };
    write(&mut orange, &flow, std::slice::from_ref(&large));
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    let advice = "advice=let the destination take larger events (max.message.bytes in Kafka), then RESUME SUBSCRIBER";
    await_lines(&mut orange, &describe, &["processor-state=failed", advice]);
    let listed = orange.ok(&format!("GET SUBSCRIBERS {flow}")).data;
    let wanted = [
        "processor-state=failed",
        " error=",
        " error-seconds=",
        "RESUME SUBSCRIBER",
    ];
    let is_told = wanted.iter().all(|it| listed[0].contains(it));
    assert!(is_told, "{listed:?}");
    configure_topic(&broker, &copy, "max.message.bytes", "1000000");
    orange.ok(&format!("RESUME SUBSCRIBER {flow} {label}"));
    await_events(&mut blue, &local, &[large]);
    await_lines(
        &mut orange,
        &describe,
        &["processor-state=running", "lag=0"],
    );
}

/// At the first rate it would take ten minutes; how long it takes is not measured here.
fn a_rate_holds_a_copy_back_until_it_is_lifted(ground: Ground) {
    let world = world(ground);
    let rates = "events-rate=1 bytes-rate=1MiB";
    let (mut orange, flow) = publish(world.orange(), "held-back", rates);
    let (mut blue, local, _) = subscribe(world.blue(), &flow, "");
    let label = label(&mut orange, &flow);
    write_numbered(&mut orange, &flow, 0..600);
    write_numbered(&mut orange, &flow, 600..700);
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    let held_back = [
        "events-rate=1",
        "bytes-rate=1MiB",
        "held-back=by its rate",
        "lag-seconds=3…",
    ];
    await_lines(&mut orange, &describe, &held_back);
    await_lines(
        &mut blue,
        &format!("DESCRIBE SUBSCRIPTION {local}"),
        &["granted-events-rate=1", "granted-mode=copy"],
    );
    if ground == Ground::Servers {
        let quotas = world.kafkas[0].quotas();
        let own = quotas.iter().find(|line| line.contains(&label));
        let limited = own.is_some_and(|it| it.contains("consumer_byte_rate=1048576"));
        assert!(limited, "{label}: {quotas:?}");
    }
    orange.ok(&format!(
        "UPDATE SUBSCRIBER {flow} {label} events-rate=none bytes-rate=none"
    ));
    await_numbered(&mut blue, &local, 0..700);
    await_lines(&mut orange, &describe, &["events-rate=none", "lag=0"]);
    orange.ok(&format!("UPDATE FLOW {flow} bytes-rate=2MiB"));
    orange.ok(&format!(
        "UPDATE SUBSCRIBER {flow} {label} bytes-rate=default"
    ));
    if ground == Ground::Servers {
        let limited = |quotas: &[String]| {
            let own = quotas.iter().find(|line| line.contains(&label));
            own.is_some_and(|it| it.contains("consumer_byte_rate=2097152"))
        };
        let quotas = world.kafkas[0].quotas();
        assert!(limited(&quotas), "{label}: {quotas:?}");
    }
    orange.ok(&format!("REMOVE SUBSCRIBER {flow} {label}"));
    if ground == Ground::Servers {
        let quotas = world.kafkas[0].quotas();
        let left = quotas.iter().find(|line| line.contains(&label));
        assert_eq!(None, left);
    }
}

/// Whatever it reads with: this subscriber's client is its own, and heeds nothing. At the first rate it
/// would read for ten minutes; how long it reads is not measured here.
#[test]
fn who_reads_an_embedded_flow_itself_is_held_to_its_rates() {
    let orange = world(Ground::Embedded).orange();
    let limits = "partitions=1 modes=direct events-rate=1";
    let (mut owner, flow) = publish(orange, "held-back", limits);
    write_numbered(&mut owner, &flow, 0..600);
    let mut stranger = orange.login();
    stranger.ok("ENABLE ATTRIBUTES");
    let granted = stranger.ok(&format!(
        "SUBSCRIBE {flow} id=own mode=direct from=earliest"
    ));
    let of = |key: &str| {
        granted
            .attribute(key)
            .unwrap_or_else(|| panic!("{granted:?}"))
    };
    let mut session = RawFnap::login(orange.identity.fnap, of("username"), of("password"));
    let reading = thread::spawn({
        let flow = flow.clone();
        move || read(&mut session, &flow)
    });
    for _ in 0..3 {
        assert_eq!(
            read(&mut owner, &flow).len(),
            600,
            "the owner is not held back"
        );
    }
    assert!(!reading.is_finished());
    let label = label(&mut owner, &flow);
    owner.ok(&format!(
        "UPDATE SUBSCRIBER {flow} {label} events-rate=none"
    ));
    let read: Vec<Event> = (0..600).map(Event::numbered).collect();
    assert_eq!(reading.join().unwrap(), read);
}

/// Participants of their own whose leases are short, so that positions are told often.
fn attentive(ground: Ground, domains: &[&str]) -> World {
    let short = |text: String| text.replace("subscriptions:", "subscriptions:\n  lease: 2s");
    World::beside_others(ground, domains, &short)
}

fn who_lags_too_much_is_paused_and_then_dropped(ground: Ground) {
    let world = attentive(ground, &["strict.example", "slow.example"]);
    let (mut orange, flow) = publish(world.orange(), "limited", "max-lag=20");
    let (mut blue, local, _) = subscribe(world.blue(), &flow, "");
    let label = label(&mut orange, &flow);
    write_numbered(&mut orange, &flow, 0..10);
    await_numbered(&mut blue, &local, 0..10);
    blue.ok(&format!("PAUSE SUBSCRIPTION {local}"));
    write_numbered(&mut orange, &flow, 10..60);
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    let paused = ["state=paused", "notice=the copy gets no more events…"];
    await_lines(&mut orange, &describe, &paused);
    await_lines(
        &mut blue,
        &format!("DESCRIBE SUBSCRIPTION {local}"),
        &["notice=the copy gets no more events…"],
    );
    write_numbered(&mut orange, &flow, 60..100);
    await_lines(&mut orange, &describe, &["processor-state=paused"]);
    blue.ok(&format!("RESUME SUBSCRIPTION {local}"));
    await_numbered(&mut blue, &local, 0..100);
    await_lines(&mut orange, &describe, &["state=active", "lag=0"]);

    blue.ok(&format!("PAUSE SUBSCRIPTION {local}"));
    orange.ok(&format!("UPDATE SUBSCRIBER {flow} {label} overlag=drop"));
    write_numbered(&mut orange, &flow, 100..160);
    let dropped = ["state=revoked", "notice=the copy was dropped…"];
    await_lines(&mut orange, &describe, &dropped);
    until("the subscription to be told", PATIENCE, || {
        let described = blue.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
        let error = described.attribute("error").unwrap_or_default();
        let told = described.attribute("state") == Some("revoked") && error.contains("max-lag");
        check(told, || format!("{described:?}"))
    });
}

fn a_flow_is_read_itself_where_its_owner_allows_it(ground: Ground) {
    let world = attentive(ground, &["generous.example", "frugal.example"]);
    let (mut orange, flow) = publish(world.orange(), "whole", "");
    let mut blue = world.blue().login();
    let local = new_flow(world.blue(), "received");
    let subscribe = format!("SUBSCRIBE {flow} LOCAL {local} mode=direct from=cursor:0-10");
    let refused = blue.refused(&subscribe, "552 [DENIED]");
    assert!(refused.status.contains("mode=copy only"), "{refused:?}");
    let bounded = format!("UPDATE FLOW {flow} modes=copy,direct history=1h");
    orange.refused(&bounded, "501 [ARGUMENT]");

    orange.ok(&format!(
        "UPDATE FLOW {flow} modes=copy,direct bytes-rate=1MiB"
    ));
    write_numbered(&mut orange, &flow, 0..50);
    let answer = blue.ok(&subscribe);
    assert_eq!(answer.data, [format!("{local} SUBSCRIBED TO {flow}")]);
    write_numbered(&mut orange, &flow, 50..100);
    await_numbered(&mut blue, &local, 10..100);
    let label = label(&mut orange, &flow);
    let describe = format!("DESCRIBE SUBSCRIBER {flow} {label}");
    await_lines(&mut orange, &describe, &["state=active", "mode=direct"]);
    await_lines(
        &mut blue,
        &format!("DESCRIBE SUBSCRIPTION {local}"),
        &[
            "state=active",
            "granted-mode=direct",
            "granted-from=cursor:0-10",
        ],
    );
    if ground == Ground::Servers {
        let topics = topics(&admin_client(&world.kafkas[0]));
        let copies: Vec<_> = topics.iter().filter(|it| it.contains(&label)).collect();
        assert!(copies.is_empty(), "{copies:?}");
        let rules = world.kafkas[0].access_rules();
        let own: Vec<_> = rules.iter().filter(|it| it.contains(&label)).collect();
        let on_it = |rule: &&String| rule.contains(&flow) && !rule.contains("WRITE");
        assert!(!own.is_empty() && own.iter().all(on_it), "{own:?}");
        let quotas = world.kafkas[0].quotas();
        assert!(quotas.iter().any(|it| it.contains(&label)), "{quotas:?}");
    }

    // Four seconds' worth: who is slowed down by a broker's quota is not thrown off by it.
    orange.ok(&format!("UPDATE FLOW {flow} bytes-rate=64KiB"));
    let large = Event::numbered(0).with_value(vec![7; 32 << 10]);
    assert!(write(&mut orange, &flow, &vec![large.clone(); 8]).is_ok());
    until("the large events", PATIENCE, || {
        let found = read(&mut blue, &local).into_iter();
        let found = found.filter(|event| *event == large).count();
        check(found == 8, || format!("{found} are there"))
    });
    let described = blue.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
    await_lines(&mut orange, &describe, &["lag=0"]);
    assert_eq!(
        None,
        described.attribute("processor-error"),
        "{described:?}"
    );
    orange.ok(&format!("UPDATE FLOW {flow} bytes-rate=1MiB"));

    world.blue().signal("STOP");
    await_lines(&mut orange, &describe, &["state=lapsed"]);
    world.blue().signal("CONT");
    await_lines(&mut orange, &describe, &["state=active"]);
    write_numbered(&mut orange, &flow, 100..150);
    let small = |events: Vec<Event>| -> Vec<_> {
        let is_small = |event: &Event| event.value.as_ref().is_some_and(|it| it.len() < 100);
        events.into_iter().filter(is_small).collect()
    };
    until("the events of the time without lease", PATIENCE, || {
        let found = small(read(&mut blue, &local));
        let wanted: Vec<_> = (10..150).map(Event::numbered).collect();
        check(found == wanted, || format!("{} are there", found.len()))
    });

    orange.ok(&format!("UPDATE FLOW {flow} modes=copy"));
    until("the subscription to be revoked", PATIENCE, || {
        let described = blue.ok(&format!("DESCRIBE SUBSCRIPTION {local}"));
        check(described.attribute("state") == Some("revoked"), || {
            format!("{described:?}")
        })
    });
    write_numbered(&mut orange, &flow, 150..160);
    assert_eq!(148, read(&mut blue, &local).len());
    assert_eq!(168, read(&mut orange, &flow).len(), "the flow stays");
    if ground == Ground::Servers {
        let kafka = &world.kafkas[0];
        let left: Vec<_> = [kafka.access_rules(), kafka.users(), kafka.quotas()].concat();
        let left: Vec<_> = left.iter().filter(|it| it.contains(&label)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn a_subscription_begins_where_it_says_and_may(ground: Ground) {
    let world = world(ground);
    let (mut orange, flow) = publish(world.orange(), "begun", "");
    write_numbered(&mut orange, &flow, 0..100);
    let (mut blue, local, _) = subscribe(world.blue(), &flow, "from=cursor:0-60");
    await_numbered(&mut blue, &local, 60..100);
    await_lines(
        &mut blue,
        &format!("DESCRIBE SUBSCRIPTION {local}"),
        &["granted-from=cursor:0-60"],
    );
    let (_, ours) = publish(world.orange(), "begun", "");
    let name = new_flow(world.orange(), "beginning");
    orange.ok(&format!(
        "CREATE PROCESSOR {name} type=bridge from={flow} to={ours} start=cursor:0-90"
    ));
    await_numbered(&mut orange, &ours, 90..100);

    // The events say that they are an hour old.
    let (mut orange, flow) = publish(world.orange(), "bounded", "history=10m");
    write_numbered(&mut orange, &flow, 0..100);
    let (mut blue, local, _) = subscribe(world.blue(), &flow, "from=earliest");
    await_lines(
        &mut blue,
        &format!("DESCRIBE SUBSCRIPTION {local}"),
        &["granted-from=2…", "state=active"],
    );
    if ground == Ground::Servers {
        write_numbered(&mut orange, &flow, 3_600_000..3_600_010);
        await_numbered(&mut blue, &local, 3_600_000..3_600_010);
    }
    let refused = new_flow(world.blue(), "refused");
    let command = format!("SUBSCRIBE {flow} LOCAL {refused} from=cursor:0-0");
    blue.refused(&command, "552 [DENIED]");
}
