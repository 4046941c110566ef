//! The legs of everything that moves events, as metrics name them.
//!
//! They are found from the resources that want them and not from what the runtime tells, so that one
//! that has never run is there, too, and no label has what is random or secret in a leg's id.

use std::collections::HashMap;

use eson_processor::proto::{LegStatus, Status};
use eson_protocol::{Mode, ProcessorType};

use super::inventory::Inventory;
use crate::command::leg_state;
use crate::reconcile::{fan_out, processor, subscription};
use crate::resource::{
    Activity, Condition, Lease, Processor, ProcessorLeg, ProcessorSpec, Subscriber, Subscription,
};
use crate::store::Stored;

/// A leg. No two have the same kind, name, source and destination.
#[derive(Debug)]
pub(super) struct Leg<'a> {
    kind: &'static str,
    /// The processor, or the flow that is subscribed to or written by a subscription.
    name: &'a str,
    source: &'a str,
    /// Empty where it has several.
    destination: String,
    /// How it is.
    pub(super) state: &'static str,
    /// What the runtime tells of it; none before the first.
    pub(super) told: Option<&'a LegStatus>,
}

impl Leg<'_> {
    /// What metrics name it by.
    pub(super) fn labels(&self) -> [(&'static str, &str); 4] {
        [
            ("kind", self.kind),
            ("name", self.name),
            ("source", self.source),
            ("destination", &self.destination),
        ]
    }
}

/// The legs of processors, subscriptions and copies.
pub(super) fn legs<'a>(inventory: &'a Inventory, statuses: &'a [Status]) -> Vec<Leg<'a>> {
    let told = Told::of(statuses);
    let processors = inventory.processors.iter();
    let processors = processors.flat_map(|processor| legs_of_processor(processor, &told));
    let subscriptions = inventory.subscriptions.iter();
    let subscriptions = subscriptions.filter_map(|it| leg_of_subscription(it, &told));
    let flows = inventory.flows.iter().map(|flow| &flow.resource.spec);
    let flows: HashMap<_, _> = flows.map(|flow| (&flow.name, flow.activity)).collect();
    let subscribers = inventory.subscribers.iter();
    let copies = subscribers.filter_map(|subscriber| {
        let flow = flows.get(&subscriber.resource.spec.flow).copied();
        leg_of_copy(subscriber, flow.unwrap_or_default(), &told)
    });
    processors.chain(subscriptions).chain(copies).collect()
}

/// What the runtime tells, by instance and leg.
struct Told<'a>(HashMap<&'a str, HashMap<&'a str, &'a LegStatus>>);

impl<'a> Told<'a> {
    fn of(statuses: &'a [Status]) -> Self {
        let instance = |status: &'a Status| {
            let legs = status.legs.iter().map(|leg| (leg.id.as_str(), leg));
            (status.id.as_str(), legs.collect())
        };
        Self(statuses.iter().map(instance).collect())
    }

    fn leg(&self, instance: &str, leg: &str) -> Option<&'a LegStatus> {
        self.0.get(instance)?.get(leg).copied()
    }

    fn only_leg(&self, instance: &str) -> Option<&'a LegStatus> {
        self.0.get(instance)?.values().next().copied()
    }
}

fn legs_of_processor<'a>(stored: &'a Stored<Processor>, told: &Told<'a>) -> Vec<Leg<'a>> {
    let Processor { spec, status } = &stored.resource;
    let instance = processor::instance(&spec.name);
    let leg = |leg: ProcessorLeg<'a>| {
        let told = told.leg(&instance, &spec.leg_id(leg));
        let state = state(told, wanted(stored, spec.activity), &status.condition)?;
        Some(Leg {
            kind: "processor",
            name: &spec.name,
            source: leg.source.as_str(),
            destination: destination(spec, leg),
            state,
            told,
        })
    };
    spec.legs().filter_map(leg).collect()
}

/// A signal's leg writes all of its destinations.
fn destination(spec: &ProcessorSpec, leg: ProcessorLeg<'_>) -> String {
    match (spec.kind, &spec.destinations[..]) {
        (ProcessorType::Signal, [_, _, ..]) => String::new(),
        _ => leg.destination.to_string(),
    }
}

fn leg_of_subscription<'a>(stored: &'a Stored<Subscription>, told: &Told<'a>) -> Option<Leg<'a>> {
    let Subscription { spec, status } = &stored.resource;
    let told = told.only_leg(&subscription::instance(&spec.local));
    let state = state(told, wanted(stored, spec.activity), &status.condition)?;
    Some(Leg {
        kind: "subscription",
        name: spec.local.as_str(),
        source: spec.remote.as_str(),
        destination: spec.local.to_string(),
        state,
        told,
    })
}

fn leg_of_copy<'a>(
    stored: &'a Stored<Subscriber>,
    flow: Activity,
    told: &Told<'a>,
) -> Option<Leg<'a>> {
    let Subscriber { spec, status } = &stored.resource;
    // It has the copy's name.
    let copy = stored.resource.leg_id();
    let told = told.leg(&fan_out::instance(&spec.flow), &copy);
    let activity = copy_activity(&stored.resource, flow).and_then(|it| wanted(stored, it));
    let state = state(told, activity, &status.condition)?;
    Some(Leg {
        kind: "copy",
        name: spec.flow.as_str(),
        source: spec.flow.as_str(),
        destination: copy,
        state,
        told,
    })
}

/// None where no copy is to be filled any more, or ever.
fn copy_activity(subscriber: &Subscriber, flow: Activity) -> Option<Activity> {
    let Subscriber { spec, status } = subscriber;
    let said = [flow, spec.activity];
    match (spec.mode, spec.lease) {
        (Mode::Direct, _) | (Mode::Copy, Lease::Expired | Lease::Revoked) => None,
        (Mode::Copy, Lease::Lapsed) => Some(Activity::Stopped),
        _ if said.contains(&Activity::Stopped) => Some(Activity::Stopped),
        _ if said.contains(&Activity::Paused) || status.overlagging => Some(Activity::Paused),
        (Mode::Copy, Lease::Held) => Some(Activity::Running),
    }
}

/// What is wanted of a leg; none where it is to go.
fn wanted<R>(stored: &Stored<R>, activity: Activity) -> Option<Activity> {
    (!stored.deleting).then_some(activity)
}

/// None for a leg that neither is there nor is to be.
fn state(
    told: Option<&LegStatus>,
    wanted: Option<Activity>,
    condition: &Condition,
) -> Option<&'static str> {
    let is_there = told.is_some() || wanted.is_some();
    is_there.then(|| leg_state(told, wanted.unwrap_or_default(), condition))
}

#[cfg(test)]
mod tests {
    use eson_processor::proto::State;
    use eson_protocol::{Code, Start};
    use serde_json::json;

    use super::*;
    use crate::resource::{Failure, ProcessorStatus};
    use crate::store::Resource;

    fn stored<R: Resource>(resource: R) -> Stored<R> {
        Stored {
            name: "stored".to_owned(),
            version: 1,
            deleting: false,
            resource,
        }
    }

    fn processor(kind: ProcessorType, from: &[&str], to: &[&str]) -> Stored<Processor> {
        stored(Processor {
            spec: ProcessorSpec::between(kind, from, to),
            status: ProcessorStatus::default(),
        })
    }

    fn subscription(local: &str, remote: &str) -> Stored<Subscription> {
        let spec = json!({
            "remote": remote, "local": local, "creates": null, "owner": "alice@example",
            "id": "secret", "start": Start::Earliest, "generation": 1,
        });
        let status = json!({"condition": Condition::default(), "state": "pending", "copy": null});
        let subscription = json!({"spec": spec, "status": status});
        stored(serde_json::from_value(subscription).expect("a subscription"))
    }

    fn subscriber(flow: &str, label: &str) -> Stored<Subscriber> {
        let spec = json!({
            "flow": flow, "label": label, "principal": "fnaa.blue.example", "on_behalf_of": null,
            "start": Start::Earliest, "mode": Mode::Copy, "credential": 1, "generation": 1,
            "lease": Lease::Held, "expires": 1,
        });
        stored(serde_json::from_value(json!({"spec": spec})).expect("a subscriber"))
    }

    fn status(instance: &str, legs: &[(&str, State)]) -> Status {
        let leg = |(id, state): &(&str, State)| LegStatus {
            id: (*id).to_owned(),
            state: (*state).into(),
            ..LegStatus::default()
        };
        Status {
            id: instance.to_owned(),
            legs: legs.iter().map(leg).collect(),
            destroyed: false,
        }
    }

    /// Labels and state of each, with `?` behind those of which the runtime tells nothing.
    fn described(inventory: &Inventory, statuses: &[Status]) -> Vec<String> {
        let describe = |leg: &Leg<'_>| {
            let values = leg.labels().map(|(_, value)| value.to_owned());
            let untold = if leg.told.is_none() { "?" } else { "" };
            format!("{} {}{untold}", values.join(" "), leg.state)
        };
        legs(inventory, statuses).iter().map(describe).collect()
    }

    #[test]
    fn legs_are_named_by_what_their_resources_say() {
        let inventory = Inventory {
            processors: vec![
                processor(ProcessorType::Collector, &["a.o", "b.o"], &["c.o"]),
                processor(ProcessorType::Signal, &["d.o"], &["e.o", "f.o"]),
            ],
            subscriptions: vec![subscription("l.o", "r.p")],
            subscribers: vec![subscriber("a.o", "sub-x"), subscriber("a.o", "sub-y")],
            ..Inventory::default()
        };
        let statuses = [
            status("processor/p", &[("token.a.o", State::Running)]),
            status("subscription/l.o", &[("fingerprint.r.p", State::Retrying)]),
            status("fan-out/a.o", &[("sub-y.a.o", State::Paused)]),
        ];
        let expected = [
            "processor p a.o c.o running",
            "processor p b.o c.o pending?",
            "processor p d.o  pending?",
            "subscription l.o r.p l.o retrying",
            "copy a.o a.o sub-x.a.o pending?",
            "copy a.o a.o sub-y.a.o paused",
        ];
        assert_eq!(described(&inventory, &statuses), expected);
    }

    #[test]
    fn what_has_failed_before_it_ran_is_told() {
        let mut inventory = Inventory {
            processors: vec![processor(ProcessorType::Bridge, &["a.o"], &["b.o"])],
            subscriptions: vec![subscription("l.o", "r.p")],
            ..Inventory::default()
        };
        let failure = Some(Failure::refused(Code::Denied, "not so"));
        let condition = &mut inventory.processors[0].resource.status.condition;
        condition.failure.clone_from(&failure);
        let condition = &mut inventory.subscriptions[0].resource.status.condition;
        condition.failure = failure;
        let expected = [
            "processor p a.o b.o failed?",
            "subscription l.o r.p l.o failed?",
        ];
        assert_eq!(described(&inventory, &[]), expected);
        // What is to go is told of as long as it is there.
        inventory.processors[0].deleting = true;
        inventory.subscriptions[0].deleting = true;
        assert_eq!(described(&inventory, &[]), [""; 0]);
        let draining = [status("processor/p", &[("token.p", State::Running)])];
        let expected = ["processor p a.o b.o running"];
        assert_eq!(described(&inventory, &draining), expected);
    }

    #[test]
    fn a_copy_is_filled_as_owner_flow_and_lease_say() {
        use Activity::{Paused, Running, Stopped};
        let held = subscriber("a.o", "sub-x").resource;
        let cases = [
            (Running, Running, Lease::Held, Some(Running)),
            (Paused, Running, Lease::Held, Some(Paused)),
            (Stopped, Paused, Lease::Held, Some(Stopped)),
            (Running, Running, Lease::Lapsed, Some(Stopped)),
            (Running, Running, Lease::Expired, None),
            (Running, Running, Lease::Revoked, None),
        ];
        for (flow, activity, lease, expected) in cases {
            let mut subscriber = held.clone();
            (subscriber.spec.activity, subscriber.spec.lease) = (activity, lease);
            assert_eq!(copy_activity(&subscriber, flow), expected, "{lease:?}");
            subscriber.spec.mode = Mode::Direct;
            assert_eq!(copy_activity(&subscriber, flow), None);
        }
        let mut lagging = held;
        lagging.status.overlagging = true;
        assert_eq!(copy_activity(&lagging, Running), Some(Paused));
    }
}
