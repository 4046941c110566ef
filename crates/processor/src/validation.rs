//! Judging what a leg writes by what its destination's events must be.

use std::sync::Arc;

use eson_broker::{Chunk, Payload};
use eson_schema::{Contract, ContractError, Schema, SchemaError};

use crate::proto;
use crate::report::Trouble;

/// What the events of a leg must be, ready to judge them.
#[derive(Clone, Debug)]
pub struct ContractSpec {
    /// As it was said, for comparison.
    said: proto::Contract,
    contract: Contract,
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
    /// Judges the records of a chunk, which its reader was asked to unpack. The first that does
    /// not fit stops the leg, with nothing of the chunk written.
    pub(crate) fn check(&self, chunk: &Chunk) -> Result<(), Trouble> {
        let Payload::Records(records) = &chunk.payload else {
            return Ok(());
        };
        for record in records {
            if let Err(violation) = self.contract.check(record) {
                let (partition, offset) = (chunk.partition, record.offset);
                let text = format!("partition {partition} offset {offset}: {violation}");
                return Err(Trouble::of_content(text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eson_protocol::Record;

    use super::*;

    fn spec(content_type: &str, schema: &str) -> Result<ContractSpec, ContractSpecError> {
        ContractSpec::try_from(proto::Contract {
            content_type: content_type.to_owned(),
            schema: schema.as_bytes().to_vec().into(),
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
            payload: Payload::Records(values.iter().enumerate().map(record).collect()),
        }
    }

    #[test]
    fn the_first_that_does_not_fit_is_named() {
        let spec = spec("application/json", r#"{"required":["a"]}"#).expect("a contract");
        assert!(spec.check(&chunk(&[r#"{"a":1}"#])).is_ok());
        let trouble = spec.check(&chunk(&[r#"{"a":1}"#, "{}", "{"])).expect_err("no a");
        let text = trouble.text();
        assert!(text.starts_with("partition 3 offset 1: the content does not fit"), "{text}");
    }

    #[test]
    fn what_makes_no_contract_is_refused() {
        assert!(matches!(spec("json", ""), Err(ContractSpecError::Contract(_))));
        assert!(matches!(spec("", "schema"), Err(ContractSpecError::Schema(_))));
        let (one, other) = (spec("text/plain", ""), spec("text/html", ""));
        assert_eq!(one, spec("text/plain", ""));
        assert_ne!(one, other);
    }
}
