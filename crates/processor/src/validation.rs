//! Judging what a leg writes by what its destination's events must be.

use std::sync::Arc;

use eson_broker::{Chunk, Payload};
use eson_protocol::Record;
use eson_schema::{Contract, ContractError, Schema, SchemaError};

use crate::proto;

/// What the events of a leg must be, ready to judge them.
#[derive(Clone, Debug)]
pub struct ContractSpec {
    /// As it was said, for comparison.
    said: proto::Contract,
    contract: Contract,
}

/// What becomes of an event that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnViolation {
    /// The leg stops there.
    Stop,
    /// It goes to the dead letters.
    DeadLetter,
}

/// Why events can't be judged as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractSpecError {
    /// The schema is none.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Content type and schema don't fit.
    #[error(transparent)]
    Contract(#[from] ContractError),
}

impl PartialEq for ContractSpec {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Eq for ContractSpec {}

impl TryFrom<proto::Contract> for ContractSpec {
    type Error = ContractSpecError;

    fn try_from(said: proto::Contract) -> Result<Self, ContractSpecError> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let part = text(&said.schema_part);
        let schema = (!said.schema.is_empty())
            .then(|| Schema::read(&said.schema, part.as_deref()))
            .transpose()?;
        let content_type = text(&said.content_type);
        let schema = schema.map(Arc::new);
        let contract = Contract::new(content_type.as_deref(), schema, said.framed)?;
        Ok(Self { said, contract })
    }
}

impl ContractSpec {
    /// What becomes of events that do not fit.
    pub(crate) fn on_violation(&self) -> OnViolation {
        match self.said.on_violation() {
            proto::OnViolation::Unspecified | proto::OnViolation::Stop => OnViolation::Stop,
            proto::OnViolation::DeadLetter => OnViolation::DeadLetter,
        }
    }

    /// The offsets of those records of a chunk that do not fit, and why. Its reader was asked to
    /// unpack it.
    pub(crate) fn violations(&self, chunk: &Chunk) -> Vec<(u64, String)> {
        let Payload::Records(records) = &chunk.payload else {
            return Vec::new();
        };
        let violation = |record: &Record| Some((record.offset, self.violation(record)?));
        records.iter().filter_map(violation).collect()
    }

    /// Why a record does not fit, if it doesn't.
    pub(crate) fn violation(&self, record: &Record) -> Option<String> {
        let violation = self.contract.check(record).err()?;
        Some(violation.to_string())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn spec(content_type: &str, schema: &str) -> Result<ContractSpec, ContractSpecError> {
        ContractSpec::try_from(proto::Contract {
            content_type: content_type.to_owned(),
            schema: schema.as_bytes().to_vec(),
            ..Default::default()
        })
    }

    fn chunk(values: &[&'static str]) -> Chunk {
        let record = |(offset, value): (usize, &&'static str)| Record {
            offset: offset as u64,
            timestamp: 0,
            key: None,
            value: Some(Bytes::from_static(value.as_bytes())),
            headers: Vec::new(),
        };
        Chunk {
            partition: 3,
            first: 0,
            next: values.len() as u64,
            high_watermark: values.len() as u64,
            epoch: None,
            payload: Payload::Records(values.iter().enumerate().map(record).collect()),
        }
    }

    #[test]
    fn those_that_do_not_fit_are_named() {
        let spec = spec("application/json", r#"{"required":["a"]}"#).expect("a contract");
        assert_eq!(spec.on_violation(), OnViolation::Stop);
        let violations = spec.violations(&chunk(&[r#"{"a":1}"#, "{}", r#"{"a":2}"#, "{"]));
        let offsets: Vec<_> = violations.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [1, 3]);
        let why = &violations[0].1;
        assert!(
            why.starts_with("the content does not fit the flow's schema"),
            "{why}"
        );
    }

    #[test]
    fn what_makes_no_contract_is_refused() {
        assert!(matches!(
            spec("json", ""),
            Err(ContractSpecError::Contract(_))
        ));
        assert!(matches!(
            spec("", "schema"),
            Err(ContractSpecError::Schema(_))
        ));
        let (one, other) = (spec("text/plain", ""), spec("text/html", ""));
        assert_eq!(one, spec("text/plain", ""));
        assert_ne!(one, other);
    }
}
