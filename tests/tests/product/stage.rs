//! Participants that the tests of this process share, and names that only one test uses.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use eson_tests::{Ground, Participant, World};

/// Orange, Blue and Green on the ground.
pub(crate) fn world(ground: Ground) -> &'static World {
    static EMBEDDED: OnceLock<World> = OnceLock::new();
    static SERVERS: OnceLock<World> = OnceLock::new();
    let world = match ground {
        Ground::Embedded => &EMBEDDED,
        Ground::Servers => &SERVERS,
    };
    world.get_or_init(|| {
        let domains = ["orange.example", "blue.example", "green.example"];
        World::beside_others(ground, &domains, &|configuration| configuration)
    })
}

/// A flow's full name at the participant that no other test uses.
pub(crate) fn new_flow(participant: &Participant, name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    participant.identity.flow(&format!("{name}-{number}"))
}

/// Makes a test of each function for each ground.
macro_rules! on_all_grounds {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $name() { super::$name(eson_tests::Ground::Embedded); })+
        }
        mod servers {
            $(#[test] fn $name() { super::$name(eson_tests::Ground::Servers); })+
        }
    };
}
pub(crate) use on_all_grounds;
