//! Name servers that say what is not so.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use eson_tests::wait::check;
use eson_tests::{Ground, World, until};

use crate::events::{await_numbered, write_numbered};

const PATIENCE: Duration = Duration::from_secs(120);

/// Whatever DNS says of the publisher, only he ends a subscription.
#[test]
fn names_that_are_gone_for_a_while_end_no_subscription() {
    let short = |text: String| text.replace("subscriptions:", "subscriptions:\n  lease: 3s");
    let domains = ["unnamed.example", "patient-reader.example"];
    let mut world = World::beside_others(Ground::Embedded, &domains, &short);
    let flow = world.orange().identity.flow("source");
    let local = world.blue().identity.flow("far");
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));
    let mut blue = world.blue().login();
    blue.ok(&format!("SUBSCRIBE {flow} LOCAL {local}"));
    world.participants[0].terminate();
    let names = NoNames::serve(world.orange().identity.dns);
    let describe = format!("DESCRIBE SUBSCRIPTION {local}");
    until("the publisher to be looked for in vain", PATIENCE, || {
        let described = blue.ok(&describe);
        let error = described.attribute("error").unwrap_or_default();
        check(error.contains("has no flow in DNS"), || {
            format!("{described:?}")
        })
    });
    drop(names);
    world.participants[0].restart();
    write_numbered(&mut world.orange().login(), &flow, 0..50);
    await_numbered(&mut blue, &local, 0..50);
}

/// A name server that knows of no name, until it is dropped.
struct NoNames {
    socket: UdpSocket,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NoNames {
    fn serve(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let ends = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let (socket, ends) = (socket.try_clone().unwrap(), Arc::clone(&ends));
            move || deny_all(&socket, &ends)
        });
        Self {
            socket,
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for NoNames {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes it up.
        let own = self.socket.local_addr().unwrap();
        self.socket.send_to(&[], own).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Each question comes back as an authoritative answer with the code NXDOMAIN.
fn deny_all(socket: &UdpSocket, ends: &AtomicBool) {
    let mut datagram = [0; 1500];
    while !ends.load(Ordering::Relaxed) {
        let (length, client) = socket.recv_from(&mut datagram).unwrap();
        if length > 3 {
            datagram[2] |= 0x84;
            datagram[3] = 3;
            socket.send_to(&datagram[..length], client).unwrap();
        }
    }
}
