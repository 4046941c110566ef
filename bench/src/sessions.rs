//! Memory of idle sessions.

use eson_tests::participant::{Identity, Names, Queues};
use eson_tests::process::resident_kib;
use eson_tests::{Participant, RawFnap};

const SESSIONS: usize = 10_000;

pub(crate) fn measure() {
    let identity = Identity::new("orange.example");
    let text = Participant::configuration(&identity, Queues::Local, Names::Embedded, &[]);
    let text = format!("{text}\n{}", limits());
    let orange = Participant::start_with(&identity, &text);
    let before = resident_kib(orange.id());
    let sessions: Vec<RawFnap> = (0..SESSIONS).map(|_| orange.anonymous()).collect();
    let after = resident_kib(orange.id());
    println!("\n## Idle sessions\n\n{SESSIONS} authenticated sessions over plain TCP\n");
    println!("| | KiB |\n|---|---|");
    println!("| fnaad before | {before} |");
    println!("| with {} sessions | {after} |", sessions.len());
    let each = (after.saturating_sub(before)) as f64 / sessions.len() as f64;
    println!("| for each session | {each:.1} |");
}

fn limits() -> String {
    format!(
        "limits:\n  sessions: {0}\n  sessions-per-address: {0}\n",
        SESSIONS * 2
    )
}
