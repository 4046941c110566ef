use redb::Database;
use redb::backends::InMemoryBackend;

use super::super::opening;
use super::super::store::{Ending, Store};
use super::super::{admin, append};
use super::*;
use crate::{QueueId, QueueSpec};

/// A file in memory, and the queues that were created in it.
struct Bench {
    store: Store,
    queues: Vec<Arc<Queue>>,
    housekeeping: Housekeeping,
}

impl Bench {
    fn new() -> Self {
        let opener = || Database::builder().create_with_backend(InMemoryBackend::new());
        let store = Store::open("memory".into(), Box::new(opener)).expect("opens");
        opening::prepare(&store, "memory".as_ref()).expect("prepared");
        Self {
            store,
            queues: Vec::new(),
            housekeeping: Housekeeping::default(),
        }
    }

    /// Does the steps of a group and, behind them, what is due.
    fn group(&mut self, now: i64, steps: impl Fn(&mut Group<'_>) -> Result<(), Failure>) {
        let effects = self.store.write(|transaction| {
            let mut group = Group::open(transaction, now)?;
            steps(&mut group)?;
            self.housekeeping.step(&mut group)?;
            let (effects, _) = group.finish()?;
            Ok((effects, Ending::Commit))
        });
        self.housekeeping.committed();
        for effect in effects.expect("committed") {
            self.housekeeping.note(&effect, now);
            self.apply(effect);
        }
    }

    /// The same, but the commit fails.
    fn failing_group(&mut self, now: i64) {
        let failed = self.store.write(|transaction| {
            let mut group = Group::open(transaction, now)?;
            self.housekeeping.step(&mut group)?;
            group.finish()?;
            Err::<((), Ending), _>(Failure::Resting("the disk is full".to_owned()))
        });
        failed.expect_err("not committed");
        self.housekeeping.failed_alone(now, 0);
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Created(queue) => self.queues.push(queue),
            Effect::Moved(queue, partition, range) => {
                let set = |state: &mut super::super::registry::QueueState| {
                    state.partitions[partition as usize] = range;
                };
                queue.state.send_modify(set);
            }
            Effect::Updated(queue, update) => queue.state.send_modify(|state| {
                state.retention_bytes = update.retention_bytes;
            }),
            _ => {}
        }
    }

    fn create(&mut self, spec: &QueueSpec) -> Arc<Queue> {
        let create = |group: &mut Group<'_>| {
            let id = QueueId(group.now.to_string());
            admin::create_queue(group, spec, id).map(drop)
        };
        self.group(0, create);
        self.queues.last().expect("created").clone()
    }

    fn runs(&self) -> u64 {
        let runs = self.store.read(|transaction| {
            let runs = transaction.open_table(super::super::store::RUNS)?;
            Ok(redb::ReadableTableMetadata::len(&runs)?)
        });
        runs.expect("a number")
    }
}

fn spec(partitions: u32) -> QueueSpec {
    QueueSpec {
        name: "arrivals".to_owned(),
        partitions,
        retention: None,
        retention_bytes: None,
    }
}

/// One record for each of so many partitions.
fn append_to_all(
    group: &mut Group<'_>,
    queue: &Arc<Queue>,
    partitions: u32,
) -> Result<(), Failure> {
    let record = eson_protocol::Record {
        offset: 0,
        timestamp: 0,
        key: None,
        value: None,
        headers: Vec::new(),
    };
    let records = vec![record; partitions as usize];
    let target = append::Target::Each((0..partitions).collect());
    append::append(group, queue, &target, &records).map(drop)
}

#[test]
fn a_failed_commit_does_not_forget_what_was_due() {
    let mut bench = Bench::new();
    let queue = bench.create(&QueueSpec {
        retention: Some(1_000),
        ..spec(1)
    });
    bench.group(0, |group| append_to_all(group, &queue, 1));
    assert_eq!(bench.housekeeping.due_in(0), Some(1_000));
    bench.failing_group(1_000);
    assert_eq!(bench.runs(), 1);
    assert_eq!(bench.housekeeping.due_in(1_000), Some(0));
    bench.group(1_000, |_| Ok(()));
    assert_eq!(bench.runs(), 0);
}

#[test]
fn who_fails_to_write_does_not_put_off_what_makes_room() {
    let deleted = BTreeSet::from([7]);
    let mut housekeeping = Housekeeping::resume(deleted, Vec::new());
    assert!(!housekeeping.goes_first());
    housekeeping.failed();
    assert!(housekeeping.goes_first());
    assert_eq!(housekeeping.due_in(0), Some(0));
    housekeeping.failed_alone(0, 500);
    for now in [0, 100, 200] {
        housekeeping.failed();
        assert_eq!(housekeeping.due_in(now), Some(500 - now as u64));
    }
    housekeeping.committed();
    assert!(!housekeeping.goes_first());
}

#[test]
fn what_is_trimmed_is_removed_as_fast_as_it_comes() {
    let mut bench = Bench::new();
    let queue = bench.create(&spec(600));
    for group in 1..=20 {
        bench.group(group, |group| {
            append_to_all(group, &queue, 600)?;
            let ends = (0..600).map(|partition| (partition, u64::MAX));
            admin::trim_queue(group, &queue, &ends.collect())
        });
    }
    assert!(bench.runs() <= 2 * 600, "{} runs are left", bench.runs());
}

#[test]
fn a_lowered_quota_is_kept_to_in_steps_and_without_another_record() {
    let mut bench = Bench::new();
    let queue = bench.create(&spec(1));
    for group in 0..1_000 {
        bench.group(group, |group| append_to_all(group, &queue, 1));
    }
    assert_eq!(bench.runs(), 1_000);
    let update = crate::QueueUpdate {
        retention_bytes: Some(1),
        ..crate::QueueUpdate::default()
    };
    bench.group(1_000, |group| admin::update_queue(group, &queue, &update));
    let mut groups = 0;
    while bench.runs() > 1 {
        let before = bench.runs();
        bench.group(1_001, |_| Ok(()));
        assert!(
            bench.runs() + 300 >= before,
            "from {before} runs to {}",
            bench.runs()
        );
        groups += 1;
        assert!(groups < 10, "{} runs are left", bench.runs());
    }
}
