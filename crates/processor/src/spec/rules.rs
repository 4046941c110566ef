//! What holds for all legs of a processor together.

use std::collections::BTreeMap;

use super::{LegSpec, MAX_ID, MAX_LEGS, SpecError};
use crate::endpoint::Endpoint;
use crate::proto;

pub(super) fn check_id(id: &str) -> Result<(), SpecError> {
    if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
        return Err(SpecError::Id(id.chars().take(MAX_ID).collect()));
    }
    Ok(())
}

pub(super) fn check_counts(
    kind: proto::ProcessorType,
    sources: usize,
    legs: usize,
) -> Result<(), SpecError> {
    use proto::ProcessorType::{Bridge, Collector, Distributor, Signal};
    match (kind, sources, legs) {
        (Bridge | Collector | Distributor | Signal, _, 0) => Err(SpecError::NoLegs),
        (Bridge, _, 2..) => Err(SpecError::BridgeLegs(legs)),
        (Collector | Distributor | Signal, _, _) if legs > MAX_LEGS => {
            Err(SpecError::TooManyLegs(legs))
        }
        (Bridge | Distributor, 1, _) => Ok(()),
        (Bridge | Distributor, _, _) => Err(SpecError::Sources(sources)),
        (Collector | Signal, _, _) if sources == legs => Ok(()),
        (Collector | Signal, _, _) => Err(SpecError::CollectorLegs { sources, legs }),
        (other, _, _) => Err(SpecError::Type(other.as_str_name().to_owned())),
    }
}

/// No two legs of a distributor write the same queue.
pub(super) fn check_distributed(legs: &BTreeMap<String, LegSpec>) -> Result<(), SpecError> {
    match two_of_one_queue(legs, LegSpec::destination) {
        Some((one, other)) => Err(SpecError::DestinationTwice(one, other)),
        None => Ok(()),
    }
}

/// All legs of a collector write one queue, and no two of them read the same.
pub(super) fn check_collected(legs: &BTreeMap<String, LegSpec>) -> Result<(), SpecError> {
    if let Some((one, other)) = two_of_one_queue(legs, |leg| Some(&leg.source)) {
        return Err(SpecError::SourceTwice(one, other));
    }
    let mut all = legs.iter();
    let Some((first, leg)) = all.next() else {
        return Err(SpecError::NoLegs);
    };
    let same = |other: &LegSpec| match (leg.destination(), other.destination()) {
        (Some(one), Some(other)) => one.is_same_queue(other),
        _ => false,
    };
    match all.find(|(_, other)| !same(other)) {
        Some((other, _)) => Err(SpecError::Destinations(first.clone(), other.clone())),
        None => Ok(()),
    }
}

/// Dead letters go to a queue of their own.
pub(super) fn check_dead_letters(legs: &BTreeMap<String, LegSpec>) -> Result<(), SpecError> {
    let is_among = |leg: &LegSpec| {
        let dead_letters = leg.dead_letters.as_deref()?;
        let mut events = [&*leg.source].into_iter().chain(leg.destination());
        let same = events.find(|end| end.is_same_queue(dead_letters))?;
        Some(SpecError::DeadLettersAmongEvents(same.flow.clone()))
    };
    legs.values().find_map(is_among).map_or(Ok(()), Err)
}

fn two_of_one_queue(
    legs: &BTreeMap<String, LegSpec>,
    end: impl Fn(&LegSpec) -> Option<&Endpoint>,
) -> Option<(String, String)> {
    let mut seen: BTreeMap<_, &String> = BTreeMap::new();
    for (id, end) in legs.iter().filter_map(|(id, leg)| Some((id, end(leg)?))) {
        for server in &end.servers {
            match seen.insert((end.kind, server, &end.queue), id) {
                Some(other) if other != id => return Some((other.clone(), id.clone())),
                _ => {}
            }
        }
    }
    None
}
