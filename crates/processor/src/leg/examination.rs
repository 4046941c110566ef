//! What of a chunk is fit to be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use eson_broker::{Chunk, Payload};

use crate::report::{LegReport, Trouble};
use crate::schema_ids::{OnUnknownSchema, SharedTranslation};
use crate::validation::{ContractSpec, OnViolation};

/// Looks at the records of a leg: replaces their schemas' ids, and judges them, as far as that is
/// asked for.
pub(super) struct Examination {
    /// Replaces ids of schemas.
    pub(super) ids: Option<SharedTranslation>,
    /// Judges what is written.
    pub(super) contract: Option<Arc<ContractSpec>>,
    pub(super) report: Arc<LegReport>,
}

/// A chunk as it may be written.
#[derive(Debug)]
pub(super) struct Examined {
    /// Up to what the leg has to stop at.
    pub(super) chunk: Chunk,
    /// What of it is for the dead letters, by its offset, and why.
    pub(super) unfit: BTreeMap<u64, String>,
    /// Why the leg has to stop behind the chunk.
    pub(super) stop: Option<Trouble>,
}

impl Examination {
    /// Whether nothing is to be looked at, so that record batches may pass as they are.
    pub(super) fn is_idle(&self) -> bool {
        self.ids.is_none() && self.contract.is_none()
    }

    /// Looks at a chunk. After an error, nothing of it is to be written.
    pub(super) async fn examine(&self, chunk: Chunk) -> Result<Examined, Trouble> {
        let mut examined = Examined {
            chunk,
            unfit: BTreeMap::new(),
            stop: None,
        };
        if let Some(ids) = &self.ids {
            self.translate(ids, &mut examined).await?;
        }
        if let Some(contract) = &self.contract {
            judge(contract, &mut examined);
        }
        Ok(examined)
    }

    async fn translate(
        &self,
        ids: &SharedTranslation,
        examined: &mut Examined,
    ) -> Result<(), Trouble> {
        let mut ids = ids.lock().await;
        let unknown = ids.translate(&mut examined.chunk).await?;
        match ids.on_unknown() {
            OnUnknownSchema::Stop => examined.stop_at(unknown),
            OnUnknownSchema::DeadLetter => examined.unfit.extend(unknown),
            OnUnknownSchema::Pass => {
                let partition = examined.chunk.partition;
                self.report.passed_unknown(partition, &unknown);
            }
        }
        Ok(())
    }
}

fn judge(contract: &ContractSpec, examined: &mut Examined) {
    let violations = contract.violations(&examined.chunk);
    match contract.on_violation() {
        OnViolation::Stop => examined.stop_at(violations),
        OnViolation::DeadLetter => examined.unfit.extend(violations),
    }
}

impl Examined {
    /// Leaves out the first of these and what is behind it.
    fn stop_at(&mut self, bad: Vec<(u64, String)>) {
        let Some((offset, why)) = bad.into_iter().next() else {
            return;
        };
        let chunk = &mut self.chunk;
        self.stop = Some(Trouble::of_content(chunk.partition, offset, &why));
        chunk.next = offset;
        if let Payload::Records(records) = &mut chunk.payload {
            records.retain(|record| record.offset < offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use eson_protocol::Record;

    use super::*;
    use crate::proto;
    use crate::report::State;

    fn examination(on_violation: proto::OnViolation) -> Examination {
        let contract = proto::Contract {
            content_type: "application/json".to_owned(),
            on_violation: on_violation.into(),
            ..Default::default()
        };
        Examination {
            ids: None,
            contract: Some(Arc::new(contract.try_into().expect("a contract"))),
            report: Arc::new(LegReport::new("leg".into(), Weak::new(), State::Running)),
        }
    }

    /// Three records from offset 7 on, of which the middle one is no JSON.
    fn chunk() -> Chunk {
        let record = |(offset, value): (u64, &'static str)| Record {
            offset,
            timestamp: -1,
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
        };
        let records = (7..).zip(["1", "no", "3"]).map(record);
        Chunk {
            partition: 4,
            first: 7,
            next: 12,
            high_watermark: 12,
            epoch: None,
            payload: Payload::Records(records.collect()),
        }
    }

    fn offsets(examined: &Examined) -> Vec<u64> {
        match &examined.chunk.payload {
            Payload::Records(records) => records.iter().map(|it| it.offset).collect(),
            Payload::Encoded(_) => panic!("{examined:?}"),
        }
    }

    #[tokio::test]
    async fn what_stands_before_a_bad_event_passes_and_the_leg_stops_there() {
        let examination = examination(proto::OnViolation::Stop);
        let examined = examination.examine(chunk()).await.expect("a chunk");
        assert_eq!((offsets(&examined), examined.chunk.next), (vec![7], 8));
        let stop = examined.stop.expect("a trouble");
        assert!(
            stop.text().starts_with("partition 4 offset 8: "),
            "{stop:?}"
        );
        assert!(stop.leaves_destination() && !stop.is_transient());
    }

    #[tokio::test]
    async fn all_of_it_passes_where_bad_events_are_dead_letters() {
        let examination = examination(proto::OnViolation::DeadLetter);
        let examined = examination.examine(chunk()).await.expect("a chunk");
        assert_eq!(offsets(&examined), [7, 8, 9]);
        assert_eq!(examined.chunk.next, 12);
        assert!(examined.stop.is_none());
        assert!(examined.unfit.into_keys().eq([8]));
    }
}
