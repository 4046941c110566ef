//! Name servers that have just begun, or that say what is not so.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use eson_tests::wait::check;
use eson_tests::{Ground, World, until};

use crate::events::{await_numbered, write_numbered};

const PATIENCE: Duration = Duration::from_secs(120);

/// What the code of an answer says, in the fourth octet.
const RCODE: u8 = 0x0f;

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

/// Whoever asks while it starts is told nothing, or the truth.
#[test]
fn a_name_server_that_starts_denies_nothing_that_it_has() {
    let domains = ["starting.example"];
    let mut world = World::beside_others(Ground::Embedded, &domains, &|text| text);
    let identity = world.orange().identity.clone();
    let flow = identity.flow("known");
    let mut owner = world.orange().login();
    owner.ok(&format!("CREATE FLOW {flow} access=public"));
    world.participants[0].terminate();
    let questions = [
        question(&flow, Kind::Ptr),
        question(&format!("_fnaa._tcp.{}", identity.namespace()), Kind::Srv),
    ];
    let asking = Asking::begin(identity.dns, questions);
    world.participants[0].restart();
    until("it to answer", PATIENCE, || {
        check(asking.is_answered(), || "nothing yet".to_owned())
    });
    let codes = asking.end();
    assert!(codes.iter().all(|code| *code == 0), "{codes:?}");
}

#[derive(Clone, Copy)]
enum Kind {
    Ptr = 12,
    Srv = 33,
}

/// A question for the set at a name (RFC 1035, section 4.1).
fn question(name: &str, kind: Kind) -> Vec<u8> {
    let mut octets = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend(label.as_bytes());
    }
    octets.extend([0, 0, kind as u8, 0, 1]);
    octets
}

/// Somebody who asks the same questions again and again, and notes the codes of the answers.
struct Asking {
    answered: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u8>>,
}

impl Asking {
    fn begin(server: SocketAddr, questions: [Vec<u8>; 2]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let patience = Some(Duration::from_millis(1));
        socket.set_read_timeout(patience).unwrap();
        let (answered, ends) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let thread = thread::spawn({
            let (answered, ends) = (Arc::clone(&answered), Arc::clone(&ends));
            move || {
                let mut codes = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    codes.extend(questions.iter().filter_map(|it| ask(&socket, server, it)));
                    answered.store(codes.len() > questions.len(), Ordering::Relaxed);
                }
                codes
            }
        });
        Self {
            answered,
            ends,
            thread,
        }
    }

    fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    fn end(self) -> Vec<u8> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The code of the answer; none while nobody answers.
fn ask(socket: &UdpSocket, server: SocketAddr, question: &[u8]) -> Option<u8> {
    let mut answer = [0; 1500];
    socket.send_to(question, server).ok()?;
    let length = socket.recv(&mut answer).ok()?;
    (length > 3).then(|| answer[3] & RCODE)
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
