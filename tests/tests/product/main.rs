//! What a participant does and refuses, by raw TCP and by `fnua`, through the real binaries.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_days;
mod bad_input;
mod circles;
mod cli;
mod contracts;
mod copies;
mod crowds;
mod dead_letters;
mod documents;
mod events;
mod forgetting;
mod names;
mod processors;
mod proof_of_concept;
mod quality;
mod reading;
mod registries;
mod revoking;
mod rights;
mod scenarios;
mod signals;
mod sources;
mod stage;
mod tls;
mod transcripts;
mod web;
