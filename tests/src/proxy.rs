//! A TCP proxy that does to connections what networks do to them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ports::free_port;
use crate::seed::Seed;
use crate::wait::rest;

/// How often a pump that waits looks whether the weather has changed.
const LOOK: Duration = Duration::from_millis(20);

/// The bytes that are passed on at once.
const PIECE: usize = 16 << 10;

/// What happens to what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: all passes.
    None,
    /// Each direction of each connection, old or new, is cut after fewer bytes than this,
    /// wherever in a message that is.
    Cut {
        /// The bound.
        within: u64,
    },
    /// So many bytes a second pass on each connection, in each direction.
    Slow {
        /// The bytes.
        per_second: usize,
    },
    /// Nothing passes while this lasts, and nothing is lost: afterwards it goes on.
    Stall,
    /// Connections that are open now stay open and pass nothing, for ever: half-open. New ones
    /// are as they should be.
    Lose,
}

/// Listens on a port of 127.0.0.1 and passes everything on to another one. Dropping it cuts all.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: Arc<Weather>,
}

/// What all connections of a proxy see.
#[derive(Debug)]
struct Weather {
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    /// Grows with each change, so that each is noticed once.
    changes: u64,
    seed: Seed,
    /// The ends of connections that are lost: open, and nobody looks at them any more.
    lost: Vec<[TcpStream; 2]>,
}

impl Proxy {
    /// A proxy before `port` of 127.0.0.1, where nobody has to listen yet; `seed` decides where
    /// connections are cut.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(port: u16, seed: Seed) -> Self {
        let own = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, own)).unwrap();
        let state = State {
            fault: Fault::None,
            changes: 0,
            seed,
            lost: vec![],
        };
        let weather = Arc::new(Weather {
            ended: AtomicBool::new(false),
            state: Mutex::new(state),
        });
        let seen = weather.clone();
        std::thread::spawn(move || accept(&listener, port, &seen));
        Self { port: own, weather }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What happens from now on.
    pub fn set(&self, fault: Fault) {
        let mut state = self.weather.state.lock().unwrap();
        state.fault = fault;
        state.changes += 1;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.weather.ended.store(true, Ordering::Relaxed);
        self.weather.state.lock().unwrap().lost.clear();
        // The listener waits for a connection: here is its last one.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn accept(listener: &TcpListener, to: u16, weather: &Arc<Weather>) {
    for client in listener.incoming() {
        if weather.has_ended() {
            return;
        }
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
        // Where nobody listens, nobody is reached: the client sees its connection end.
        let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else {
            continue;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ends = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
        let (Some(up), Some(down)) = (ends(), ends()) else {
            continue;
        };
        spawn(up.0, up.1, weather.clone());
        spawn(down.1, down.0, weather.clone());
    }
}

fn spawn(from: TcpStream, to: TcpStream, weather: Arc<Weather>) {
    let (fault, changes) = weather.now();
    let pump = Pump {
        from,
        to,
        changes,
        // What begins under such a fault is not meant by it.
        fault: if fault == Fault::Lose {
            Fault::None
        } else {
            fault
        },
        lost: false,
        budget: weather.budget(fault),
        weather,
    };
    std::thread::spawn(move || pump.run());
}

impl Weather {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn now(&self) -> (Fault, u64) {
        let state = self.state.lock().unwrap();
        (state.fault, state.changes)
    }

    /// How many bytes may pass under this fault.
    fn budget(&self, fault: Fault) -> u64 {
        match fault {
            Fault::Cut { within } => self.state.lock().unwrap().seed.below(within),
            _ => u64::MAX,
        }
    }
}

/// One direction of one connection.
struct Pump {
    from: TcpStream,
    to: TcpStream,
    weather: Arc<Weather>,
    changes: u64,
    fault: Fault,
    lost: bool,
    budget: u64,
}

impl Pump {
    fn run(mut self) {
        let mut buffer = vec![0; PIECE];
        // A direction that fails ends both.
        let _ = self.from.set_read_timeout(Some(LOOK));
        while !self.weather.has_ended() && !self.lost && self.step(&mut buffer) {}
        if self.lost {
            let mut state = self.weather.state.lock().unwrap();
            return state.lost.push([self.from, self.to]);
        }
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }

    /// Passes one piece on; false when the connection is over.
    fn step(&mut self, buffer: &mut [u8]) -> bool {
        self.look();
        if self.lost {
            return true;
        }
        if self.fault == Fault::Stall {
            rest(LOOK);
            return true;
        }
        let piece = match self.fault {
            Fault::Slow { per_second } => (per_second / 50).clamp(1, PIECE),
            _ => PIECE,
        };
        let read = match self.from.read(&mut buffer[..piece]) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(cause) => {
                return matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        };
        // It may have changed while there was nothing to read.
        self.look();
        while self.fault == Fault::Stall && !self.weather.has_ended() {
            rest(LOOK);
            self.look();
        }
        if self.lost {
            return true;
        }
        let passed = (read as u64).min(self.budget);
        self.budget -= passed;
        let written = self.to.write_all(&buffer[..passed as usize]);
        if matches!(self.fault, Fault::Slow { .. }) {
            rest(LOOK);
        }
        written.is_ok() && passed == read as u64
    }

    fn look(&mut self) {
        let (fault, changes) = self.weather.now();
        if changes == self.changes {
            return;
        }
        self.changes = changes;
        self.fault = fault;
        self.lost |= fault == Fault::Lose;
        self.budget = self.weather.budget(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut back = client.try_clone().unwrap();
                    let _ = std::io::copy(&mut &client, &mut back);
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    fn answers(stream: &mut TcpStream, text: &[u8]) -> bool {
        let mut back = vec![0; text.len()];
        stream.write_all(text).is_ok() && stream.read_exact(&mut back).is_ok() && back == text
    }

    #[test]
    fn what_passes_is_the_same_also_when_it_is_slow() {
        let proxy = Proxy::start(echo(), Seed::new(1));
        let mut stream = connect(&proxy);
        assert!(answers(&mut stream, &Seed::new(2).bytes(100_000)));
        proxy.set(Fault::Slow {
            per_second: 200_000,
        });
        assert!(answers(&mut stream, &Seed::new(3).bytes(20_000)));
    }

    #[test]
    fn connections_are_cut_within_the_bound() {
        let proxy = Proxy::start(echo(), Seed::new(1));
        let mut old = connect(&proxy);
        assert!(answers(&mut old, b"before"));
        proxy.set(Fault::Cut { within: 1_000 });
        assert!(!answers(&mut old, &[7; 3_000]));
        assert!(!answers(&mut connect(&proxy), &[7; 3_000]));
        proxy.set(Fault::None);
        assert!(answers(&mut connect(&proxy), b"after"));
    }

    #[test]
    fn what_was_stalled_goes_on_and_what_was_lost_does_not() {
        let proxy = Proxy::start(echo(), Seed::new(1));
        let mut stream = connect(&proxy);
        assert!(answers(&mut stream, b"before"));
        proxy.set(Fault::Stall);
        stream.write_all(b"during").unwrap();
        stream.set_read_timeout(Some(LOOK * 5)).unwrap();
        assert!(stream.read(&mut [0; 10]).is_err(), "nothing comes");
        proxy.set(Fault::None);
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut back = [0; 6];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(b"during", &back);

        proxy.set(Fault::Lose);
        stream.set_read_timeout(Some(LOOK * 5)).unwrap();
        assert!(!answers(&mut stream, b"lost"));
        assert!(answers(&mut connect(&proxy), b"new"));
        proxy.set(Fault::None);
        assert!(!answers(&mut stream, b"for ever"));
    }
}
