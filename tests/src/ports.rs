//! Ports that nobody else takes, also while their server is down for a moment.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Mutex;

use crate::seed::entropy;

/// Below the range from which the kernel serves outgoing connections, so that none of those sits
/// on a server's port when it is started again.
const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

/// The locks of what this process has taken; they last as long as it does.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 that was free for TCP and UDP, and is not given out again by any test
/// process while this one lives.
///
/// # Panics
/// When no port can be had.
#[must_use]
pub fn free_port() -> u16 {
    let locks = lock_dir();
    let start = (entropy() % u64::from(COUNT)) as u16;
    for step in 0..COUNT {
        let port = FIRST + (start + step) % COUNT;
        if let Some(lock) = claim(&locks, port) {
            TAKEN.lock().unwrap().push(lock);
            return port;
        }
    }
    panic!(
        "no port of 127.0.0.1 between {FIRST} and {} is free",
        FIRST + COUNT
    );
}

fn lock_dir() -> PathBuf {
    let dir = std::env::temp_dir().join("eson-test-ports");
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// The lock file, if nobody holds it and nobody listens on the port.
fn claim(locks: &std::path::Path, port: u16) -> Option<File> {
    let lock = File::create(locks.join(port.to_string())).unwrap();
    lock.try_lock().ok()?;
    let address = (Ipv4Addr::LOCALHOST, port);
    let free = TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    free.then_some(lock)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn gives_no_port_twice() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(50, ports.len());
    }

    #[test]
    fn leaves_out_a_port_in_use() {
        let used = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = used.local_addr().unwrap().port();
        let locks = lock_dir();
        assert!(claim(&locks, port).is_none());
    }
}
