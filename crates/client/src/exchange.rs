//! What `-d` prints of a session.

/// Something that happened between client and server, without any secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A connection is about to be made to this address.
    Connecting(&'a str),
    /// A line was sent; `octets` counts its end of line too.
    Sent {
        /// The line. A SASL response reads `****`.
        line: &'a str,
        /// How many octets went out for it.
        octets: usize,
    },
    /// A line was received. A SASL challenge and a password read `****`.
    Received(&'a str),
}

/// Watches a session. Events of READ FLOW and WRITE FLOW (the payload) are not shown.
pub trait Exchange: Send + Sync {
    /// Is told each event when it happens. Must not block.
    fn event(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Send + Sync> Exchange for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}
