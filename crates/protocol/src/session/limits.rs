//! How long lines may be.

use crate::text::MAX_COMMAND_LENGTH;

/// The most octets of a SASL line, its end included.
pub const MAX_SASL_LENGTH: usize = 64 * 1024;

/// How long lines may be, in octets with their end. Memory of a session is bounded by the longest
/// of them and what is handed over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Commands and status lines.
    pub command: usize,
    /// SASL responses and challenges.
    pub sasl: usize,
    /// Events of WRITE FLOW, at the server.
    pub event: usize,
    /// Data lines, at the client. More than a server's `event`: base64 makes events longer.
    pub data: usize,
    /// How many errors of the client in a row end the session, at the server.
    pub errors: u32,
    /// How many commands may wait for their reply, at the client.
    pub pipeline: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command: MAX_COMMAND_LENGTH,
            sasl: MAX_SASL_LENGTH,
            event: 2 * 1024 * 1024,
            data: 8 * 1024 * 1024,
            errors: 20,
            pipeline: 1024,
        }
    }
}
