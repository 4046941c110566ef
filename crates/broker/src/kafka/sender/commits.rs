//! Exactly once: chunks and the source positions behind them in one transaction.
//!
//! Requests stay pipelined within a transaction, and positions are written while its last
//! batches are still on their way. Whatever can't be mended by sending again ends the writer: the
//! next one aborts the transaction and reads again from what is stored.

#[cfg(test)]
use std::sync::Arc;
use std::time::Duration;

use eson_protocol::Positions;
use tokio::time::{Instant, timeout};

use super::super::batch::Producer;
#[cfg(test)]
use super::super::cluster::Cluster;
use super::super::coordinator::{Coordinator, End, Style};
use super::super::lane::Lane;
use super::super::positions::{Ownership, PositionStore};
use super::super::transaction::Transaction;
use super::{Done, Renewal, Sender, lock};
use crate::BrokerError;

/// How long the abort of what a writer leaves behind may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The transactions of a sender.
pub(crate) struct Commits {
    transaction: Transaction,
    coordinator: Coordinator,
    ownership: Ownership,
    /// Whether partitions are being added.
    joining: bool,
}

impl Commits {
    /// Transactions in which `store` writes its positions.
    pub(crate) fn new(store: &PositionStore, interval: Duration) -> Self {
        Self {
            transaction: Transaction::new(interval),
            coordinator: store.coordinator(),
            ownership: store.ownership(),
            joining: false,
        }
    }

    /// Transactions whose coordinator is never asked.
    #[cfg(test)]
    pub(super) fn unasked(cluster: &Arc<Cluster>, producer: Producer) -> Self {
        Self {
            transaction: Transaction::new(Duration::ZERO),
            coordinator: Coordinator::new(cluster.clone(), "orders", "bridge"),
            ownership: Ownership::of_nothing(cluster.clone(), producer),
            joining: false,
        }
    }

    pub(super) fn wrote(&mut self, source: u32, next: u64, bytes: usize) {
        self.transaction.wrote(Instant::now(), source, next, bytes);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.transaction.due()
    }

    pub(super) fn positions_written(&mut self) {
        self.transaction.positions_written();
    }
}

impl Sender {
    /// Whether another chunk may be taken: not into a transaction that is being closed.
    pub(super) fn takes_more(&self) -> bool {
        let commits = self.commits.as_ref();
        commits.is_none_or(|commits| commits.transaction.takes_more())
    }

    /// Takes the transaction one step on if it is time.
    pub(super) fn commit(&mut self) {
        // Positions are stored by the commit; that they are acknowledged says nothing.
        self.tickets.collect(&mut Positions::new());
        let done = self.tickets.is_empty();
        let Some(commits) = &mut self.commits else {
            return;
        };
        let transaction = &mut commits.transaction;
        if transaction.is_idle() {
            return self.end_flushes();
        }
        let now = Instant::now();
        if let Some(due) = transaction.due() {
            let wanted = due <= now || !self.flushes.is_empty();
            if wanted && self.renewal == Renewal::None {
                let positions = transaction.close(now).clone();
                self.save_positions(positions);
            }
        } else if transaction.may_end() && done {
            transaction.end();
            self.end_transaction();
        }
    }

    fn end_transaction(&mut self) {
        let Some((commits, (_, style))) =
            self.commits.as_ref().zip(self.author.transaction.clone())
        else {
            return;
        };
        let coordinator = commits.coordinator.clone();
        let producer = self.author.producer;
        self.work.push(Box::pin(async move {
            Done::Committed(coordinator.end(producer, style, End::Commit).await)
        }));
    }

    /// The transaction is decided: its positions are stored, and the next one may begin.
    pub(super) fn committed(&mut self, producer: Producer) {
        if self.author.producer != producer {
            if self.author.producer.id != producer.id {
                self.lanes.iter_mut().for_each(Lane::introduce);
            }
            self.author.producer = producer;
            self.lanes.iter_mut().for_each(Lane::renumber);
            if let Some(store) = &mut self.store {
                store.go_on_as(producer);
            }
        }
        if let Some(commits) = &mut self.commits {
            let positions = commits.transaction.ended();
            lock(&self.shared.stored).extend(positions.clone());
            lock(&self.shared.acknowledged).extend(positions);
        }
    }

    /// Whether the coordinator knows, or will find out, that the partition takes part.
    pub(super) fn may_write(&self, partition: u32) -> bool {
        let explicit = matches!(self.author.transaction, Some((_, Style::Explicit)));
        let commits = self.commits.as_ref().filter(|_| explicit);
        commits.is_none_or(|commits| commits.transaction.is_member(partition))
    }

    /// Tells the coordinator that these partitions take part.
    pub(super) fn join(&mut self, partitions: Vec<u32>) {
        let Some(commits) = self.commits.as_mut().filter(|commits| !commits.joining) else {
            return;
        };
        if partitions.is_empty() {
            return;
        }
        commits.joining = true;
        let coordinator = commits.coordinator.clone();
        let topic = self.topic.name.clone();
        let producer = self.author.producer;
        self.work.push(Box::pin(async move {
            let result = coordinator.add(producer, &topic, &partitions).await;
            Done::Joined(partitions, result)
        }));
    }

    pub(super) fn joined(
        &mut self,
        partitions: Vec<u32>,
        result: Result<(), BrokerError>,
    ) -> Result<(), BrokerError> {
        result?;
        if let Some(commits) = &mut self.commits {
            commits.joining = false;
            commits.transaction.added(partitions);
        }
        Ok(())
    }

    /// Aborts what was not committed, as well as that can be done in a short while: left open, it
    /// would hide what is behind it from readers until it times out.
    pub(super) async fn abort(self) {
        let open = |commits: &Commits| !commits.transaction.is_idle();
        let Some(commits) = self.commits.filter(open) else {
            return;
        };
        // What is on its way is not waited for.
        drop((self.work, self.leaders));
        // A new epoch: the leaders take nothing more of the old one. Should the transaction be
        // committed, or somebody else have taken over, there is nothing to abort.
        let renewed = commits.coordinator.init(Some(self.author.producer));
        let cause = match timeout(FAREWELL, renewed).await {
            Ok(Ok(_) | Err(BrokerError::Fenced(_))) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {FAREWELL:?}"),
        };
        let topic = self.topic.name.0.as_str();
        tracing::warn!(topic, %cause, "a transaction is left open until it times out");
    }

    /// What it means that a broker no longer takes what we write: somebody has taken over, and has put
    /// that down with the positions; or it is our own doing: the transaction took so long that its
    /// coordinator has given it up, or a request that a broker held back for long has come behind a later
    /// one. Then the writer is opened again.
    pub(super) async fn fenced(&mut self) -> BrokerError {
        let queue = self.topic.name.0.to_string();
        let Some(commits) = &self.commits else {
            return BrokerError::Fenced(queue);
        };
        match commits.ownership.is_ours().await {
            Ok(false) => BrokerError::Fenced(queue),
            Ok(true) => BrokerError::Unreachable {
                server: self.cluster.config().server_list(),
                cause: self.why_shut_out(&queue),
            },
            Err(error) => error,
        }
    }

    fn why_shut_out(&self, queue: &str) -> String {
        let timeout = self.cluster.config().transaction_timeout;
        let commits = self.commits.as_ref();
        let age = commits.map(|commits| commits.transaction.age(Instant::now()));
        if age.is_some_and(|age| age >= timeout) {
            return format!(
                "a transaction in `{queue}` could not be committed within {timeout:?} and was aborted"
            );
        }
        format!("a transaction in `{queue}` was aborted, and nobody has taken over")
    }
}
