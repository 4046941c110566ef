//! The right to answer, as types: each can be given back once, and only for an answer that fits.

/// The right to answer one command.
#[must_use = "a command waits for its answer, and the session with it"]
#[derive(Debug, PartialEq, Eq)]
pub struct Turn(pub(super) ());

/// The right to send data lines and the status behind them.
#[must_use = "data has to be ended"]
#[derive(Debug, PartialEq, Eq)]
pub struct DataTurn(pub(super) ());

/// The right to begin or refuse a SASL exchange.
#[must_use = "AUTHENTICATE waits for its answer"]
#[derive(Debug, PartialEq, Eq)]
pub struct ExchangeStart(pub(super) ());

/// The right to answer one message of a SASL exchange.
#[must_use = "the client waits for its answer"]
#[derive(Debug, PartialEq, Eq)]
pub struct Exchange(pub(super) ());

/// The right to ask for the events of WRITE FLOW, or to refuse them.
#[must_use = "WRITE FLOW waits for its answer"]
#[derive(Debug, PartialEq, Eq)]
pub struct WriteTurn(pub(super) ());

impl ExchangeStart {
    /// Answer with a status instead: an unknown mechanism, a lack of TLS.
    pub fn refuse(self) -> Turn {
        Turn(())
    }
}

impl WriteTurn {
    /// Answer with a status instead, without having seen any event.
    pub fn refuse(self) -> Turn {
        Turn(())
    }
}
