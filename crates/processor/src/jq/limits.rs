//! What the process of a program may use.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// The address space, in bytes: the process's code, the stack and what the program computes.
const MEMORY: u64 = 1 << 30;

/// Sets the limits; what goes beyond them ends the process.
pub(super) fn set() -> io::Result<()> {
    for (resource, limit) in [
        (Resource::As, MEMORY),
        // No memory images of users' events.
        (Resource::Core, 0),
        // No more files or sockets than are open.
        (Resource::Nofile, 3),
        (Resource::Fsize, 0),
    ] {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}
