//! What a leader's answers mean for the batches on their way to it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;
use tokio::time::{Instant, sleep};

use super::super::batch::Batch;
use super::super::connection::Connection;
use super::{Done, Produced, Renewal, Sender};
use crate::BrokerError;

impl Sender {
    pub(super) fn produced(&mut self, produced: Produced) -> Result<(), BrokerError> {
        let Produced {
            leader,
            connection,
            batches,
            result,
        } = produced;
        let of_leader = self.leaders.entry(leader).or_default();
        of_leader.in_flight -= 1;
        of_leader.silent_since = Instant::now();
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                self.fail_all(&batches);
                return self.stumble(leader, error);
            }
        };
        let mut trouble = None;
        for topic in &response.responses {
            for answer in &topic.partition_responses {
                let partition = answer.index.cast_unsigned();
                let Some((_, sequence)) = batches.iter().find(|batch| batch.0 == partition) else {
                    continue;
                };
                let code = ResponseError::try_from_code(answer.error_code);
                let message = answer.error_message.as_deref();
                let error = self.answered(partition, *sequence, code, &connection, message)?;
                trouble = error.or(trouble);
            }
        }
        match trouble {
            Some(error) => self.stumble(leader, error),
            None => {
                self.leaders.entry(leader).or_default().backoff.succeeded();
                Ok(())
            }
        }
    }

    /// One batch's answer. What may pass is given back and tried again; the rest is the end.
    fn answered(
        &mut self,
        partition: u32,
        sequence: i32,
        code: Option<ResponseError>,
        connection: &Connection,
        message: Option<&str>,
    ) -> Result<Option<BrokerError>, BrokerError> {
        use ResponseError as E;
        let queue = || self.topic.name.0.to_string();
        let Some(lane) = self.lanes.get_mut(partition as usize) else {
            return Ok(None);
        };
        match code {
            // Of a repeated batch the broker knows that it has it.
            None | Some(E::DuplicateSequenceNumber) => {
                for claim in lane.acknowledge(sequence) {
                    self.tickets.part_done(claim.ticket);
                }
                Ok(None)
            }
            Some(E::MessageTooLarge | E::RecordListTooLarge) => {
                let size = lane.batch(sequence).map_or(0, Batch::size);
                let split = lane.split(sequence);
                match split.map_err(|cause| connection.broken(cause.to_string()))? {
                    true => Ok(None),
                    // Less than when it was opened.
                    false => Err(BrokerError::TooLarge {
                        queue: queue(),
                        size,
                    }),
                }
            }
            Some(E::OutOfOrderSequenceNumber | E::UnknownProducerId) => {
                let forgotten = lane.is_first(sequence);
                lane.fail(sequence);
                if !forgotten {
                    // Behind a batch that failed this had to be.
                    return Ok(None);
                }
                self.renewal = Renewal::Wanted;
                Ok(Some(BrokerError::Unreachable {
                    server: connection.server().to_owned(),
                    cause: "it has forgotten what it was sent".to_owned(),
                }))
            }
            Some(E::InvalidRecord | E::InvalidTimestamp) => {
                let cause =
                    message.map_or_else(|| "the broker does not say why".into(), str::to_owned);
                Err(BrokerError::Refused {
                    queue: queue(),
                    cause,
                })
            }
            // Damaged before it came to us; or else on its way, and another try may pass.
            Some(E::CorruptMessage) if lane.is_damaged(sequence) => Err(BrokerError::Invalid {
                queue: queue(),
                cause: "the source gave a record batch whose checksum is wrong".to_owned(),
            }),
            // Concurrent is our own transaction before, which leaders have yet to hear the end of.
            Some(error) if error.is_retriable() || error == E::ConcurrentTransactions => {
                lane.fail(sequence);
                Ok(Some(BrokerError::Unreachable {
                    server: connection.server().to_owned(),
                    cause: error.to_string(),
                }))
            }
            Some(error) => Err(connection.subject(&queue()).error(error, message)),
        }
    }

    fn fail_all(&mut self, batches: &[(u32, i32)]) {
        for (partition, sequence) in batches {
            if let Some(lane) = self.lanes.get_mut(*partition as usize) {
                lane.fail(*sequence);
            }
        }
    }

    /// A leader has failed in a way that may pass: it gets a rest, and the metadata a look.
    pub(super) fn stumble(&mut self, id: BrokerId, error: BrokerError) -> Result<(), BrokerError> {
        self.endure(error)?;
        let leader = self.leaders.entry(id).or_default();
        leader.backoff.failed();
        if !leader.resting {
            leader.resting = true;
            let wait = leader.backoff.wait();
            self.work.push(Box::pin(async move {
                sleep(wait).await;
                Done::Rested(id)
            }));
        }
        self.refresh();
        Ok(())
    }

    /// Bears what may pass, for as long as a delivery may take: that of each partition, however well
    /// others go on.
    pub(super) fn endure(&mut self, error: BrokerError) -> Result<(), BrokerError> {
        let now = Instant::now();
        let stalls = self.lanes.iter_mut().filter_map(|lane| lane.stall(now));
        let since = stalls.min().unwrap_or(now);
        if !error.is_transient() || now - since > self.cluster.config().delivery_timeout {
            return Err(error);
        }
        tracing::debug!(%error, topic = %self.topic.name.0, "writing goes on after a failure");
        Ok(())
    }
}
