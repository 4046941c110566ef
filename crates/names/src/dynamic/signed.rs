//! Signed questions and updates to one name server, and what its answers mean.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{Name, RData, Record as WireRecord, RecordType, TSigVerifier};

use super::key::TsigKey;
use crate::exchange::{self, MAX_UDP_LENGTH};
use crate::registrar::RegisterError;
use crate::wire;

/// A name server that knows our key.
#[derive(Debug)]
pub(super) struct SignedServer {
    pub(super) address: SocketAddr,
    pub(super) key: TsigKey,
    pub(super) timeout: Duration,
}

/// What is refused without a signature, or because of ours.
fn is_unsigned_refusal(message: &Message) -> bool {
    match message.signature() {
        None => message.metadata.response_code != ResponseCode::NoError,
        Some(tsig) => tsig.data.error.is_some(),
    }
}

impl SignedServer {
    /// The records at a name, asked of this server itself.
    pub(super) async fn query(
        &self,
        name: Name,
        kind: RecordType,
    ) -> Result<Message, RegisterError> {
        let mut message = Message::query();
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(name, kind));
        self.ask(message).await
    }

    /// The content of the set at a name; empty when there is none.
    pub(super) async fn set(
        &self,
        name: Name,
        kind: RecordType,
    ) -> Result<Vec<RData>, RegisterError> {
        let answer = self.query(name.clone(), kind).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => return Err(self.refused(code, &name)),
        }
        let of_the_set = |record: &WireRecord| record.name == name && record.record_type() == kind;
        let members = answer.answers.into_iter().filter(of_the_set);
        Ok(members.map(|record| record.data).collect())
    }

    /// Sends a message signed and checks the answer's signature. Small messages go in a
    /// datagram first; a lost answer may mean that the update is done.
    pub(super) async fn ask(&self, mut message: Message) -> Result<Message, RegisterError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let signed = message.finalize(&self.key.signer, now.unwrap_or_default().as_secs());
        let verifier = signed.map_err(|error| self.nonsense(error))?;
        let request = message.to_vec().map_err(|error| self.nonsense(error))?;
        let answer = self.exchange(&request).await?;
        self.verified(&answer, verifier)
    }

    async fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, RegisterError> {
        let small = request.len() <= usize::from(MAX_UDP_LENGTH);
        if small && let Ok(answer) = self.datagram(request).await {
            return Ok(answer);
        }
        exchange::over_tcp(self.address, request, self.timeout)
            .await
            .map_err(|cause| self.unreachable(cause))
    }

    async fn datagram(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let answer = exchange::over_udp(self.address, request, self.timeout).await?;
        match Message::from_vec(&answer) {
            Ok(message) if message.metadata.truncation => Err(io::ErrorKind::FileTooLarge.into()),
            // Anybody can send it: over a connection only who is on the way can (RFC 8945, 5.3).
            Ok(message) if is_unsigned_refusal(&message) => {
                Err(io::ErrorKind::PermissionDenied.into())
            }
            Ok(_) => Ok(answer),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// What a server says about our key comes unsigned (RFC 8945, section 5.2), so it is looked
    /// at first; success counts only when it is signed.
    fn verified(
        &self,
        answer: &[u8],
        verifier: Option<TSigVerifier>,
    ) -> Result<Message, RegisterError> {
        let message = Message::from_vec(answer).map_err(|error| self.nonsense(error))?;
        if let Some(error) = message.signature().and_then(|tsig| tsig.data.error) {
            return Err(self.key_rejected(error));
        }
        if is_unsigned_refusal(&message) {
            return Ok(message);
        }
        if let Some(mut verifier) = verifier {
            let verified = verifier.verify(answer);
            verified.map_err(|error| self.nonsense(error))?;
        }
        Ok(message)
    }

    pub(super) fn refused(&self, code: ResponseCode, zone: &Name) -> RegisterError {
        RegisterError::Refused {
            server: self.address.to_string(),
            rcode: wire::mnemonic(code),
            zone: wire::without_dot(zone),
        }
    }

    fn key_rejected(&self, error: TsigError) -> RegisterError {
        let reason = match error {
            TsigError::BadSig => "BADSIG: the secret is another".to_owned(),
            TsigError::BadKey => "BADKEY: it knows no such key".to_owned(),
            TsigError::BadTime => "BADTIME: the clocks differ".to_owned(),
            other => format!("TSIG error {}", u16::from(other)),
        };
        RegisterError::KeyRejected {
            server: self.address.to_string(),
            key: self.key.name().to_owned(),
            reason,
        }
    }

    pub(super) fn unreachable(&self, cause: io::Error) -> RegisterError {
        RegisterError::Unreachable {
            server: self.address.to_string(),
            cause: Arc::new(cause),
        }
    }

    pub(super) fn nonsense(&self, why: impl ToString) -> RegisterError {
        RegisterError::BadAnswer {
            server: self.address.to_string(),
            why: why.to_string(),
        }
    }
}
