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
mod first_event;
mod meter;
mod mirror_maker;
mod sessions;
mod topics;

use std::collections::BTreeSet;
use std::process::ExitCode;

type Section = (&'static str, fn());

const SECTIONS: [Section; 4] = [
    ("commands", commands::measure),
    ("first-event", first_event::measure),
    ("sessions", sessions::measure),
    ("bridge", bridge::measure),
];

fn main() -> ExitCode {
    let wanted: BTreeSet<String> = std::env::args().skip(1).collect();
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
