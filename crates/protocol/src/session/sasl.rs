//! What a SASL exchange carries.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One message of a SASL exchange (RFC 4422), decoded. It may hold a password: `Debug` shows only
/// its length.
#[derive(Clone, PartialEq, Eq)]
pub struct SaslData(Vec<u8>);

impl SaslData {
    pub(super) fn new(data: Vec<u8>) -> Self {
        Self(data)
    }

    /// From base64; the empty line is an empty message.
    pub(super) fn decode(line: &[u8]) -> Option<Self> {
        STANDARD.decode(line).ok().map(Self)
    }

    /// The octets of the message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(super) fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

impl fmt::Debug for SaslData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaslData({} octets)", self.0.len())
    }
}
