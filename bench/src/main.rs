//! `make bench`: measures this machine and prints tables for `bench/RESULTS.md`.
//!
//! Everything runs through the real binaries, built for release, on loopback. Names on the command
//! line choose what is measured; without any, everything is.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that can't be made ends the program"
)]

mod bridge;
mod commands;
mod contender;
mod fan_out;
mod filter;
mod first_event;
mod ground;
mod many;
mod meter;
mod processor;
mod sessions;
mod sources;
mod topics;
mod trickle;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

type Section = (&'static str, fn());

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

const SECTIONS: [Section; 9] = [
    ("commands", commands::measure),
    ("first-event", first_event::measure),
    ("sessions", sessions::measure),
    ("bridge", bridge::measure),
    ("sources", sources::measure),
    ("trickle", trickle::measure),
    ("fan-out", fan_out::measure),
    ("many", many::measure),
    ("filter", filter::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((contender::LIBRDKAFKA, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (&**first, rest))
    {
        contender::copy_for_ever(rest);
    }
    let wanted: BTreeSet<String> = arguments.into_iter().collect();
    let known = |name: &String| SECTIONS.iter().any(|(section, _)| section == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
        eprintln!(
            "there is no `{unknown}` to measure, but {}",
            names.join(", ")
        );
        return ExitCode::FAILURE;
    }
    for (name, measure) in SECTIONS {
        if wanted.is_empty() || wanted.contains(name) {
            measure();
        }
    }
    ExitCode::SUCCESS
}
