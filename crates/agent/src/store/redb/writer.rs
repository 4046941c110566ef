//! The thread that owns the file.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::file::{Changeset, File};
use super::mirror::Mirror;
use crate::store::{Entry, Kind, StoreError};

/// How many changes one transaction takes.
const BATCH: usize = 256;

/// What is to be done to one name.
#[derive(Debug)]
pub(super) enum Operation {
    Create { document: Bytes },
    Update { version: u64, document: Bytes },
    MarkDeleting,
    Remove,
}

/// One operation and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) operation: Operation,
    pub(super) reply: oneshot::Sender<Result<Option<Entry>, StoreError>>,
}

/// What an operation leaves: the entry and whether anything was written, or a refusal.
enum Outcome {
    Wrote(Option<Entry>),
    Unchanged(Option<Entry>),
    Refused(StoreError),
}

/// Serves `queue` until every sender is gone.
pub(super) fn spawn(
    mut file: File,
    mirror: Arc<Mirror>,
    mut queue: mpsc::Receiver<Request>,
) -> Result<JoinHandle<()>, StoreError> {
    let directory = file.directory().to_owned();
    let serve = move || {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            serve(&mut file, &mirror, std::mem::take(&mut batch));
        }
    };
    let spawned = std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(serve);
    spawned.map_err(|cause| StoreError::Io {
        directory,
        cause: cause.to_string(),
    })
}

/// Commits a batch, shows it to readers, and then answers.
fn serve(file: &mut File, mirror: &Mirror, mut batch: Vec<Request>) {
    match commit(file, mirror, &mut batch) {
        Ok(outcomes) => {
            mirror.apply(written(&batch, &outcomes));
            for (request, outcome) in batch.into_iter().zip(outcomes) {
                answer(request, outcome);
            }
        }
        Err(error) => {
            tracing::error!(%error, changes = batch.len(), "the store could not commit");
            for request in batch {
                answer(request, Outcome::Refused(error.clone()));
            }
        }
    }
}

fn commit(
    file: &mut File,
    mirror: &Mirror,
    batch: &mut [Request],
) -> Result<Vec<Outcome>, StoreError> {
    if file.is_closed() {
        mirror.reload(file.load()?);
    }
    file.transact(|changeset| {
        batch
            .iter_mut()
            .map(|request| perform(changeset, request))
            .collect()
    })
}

fn perform(changeset: &mut Changeset<'_>, request: &mut Request) -> Result<Outcome, redb::Error> {
    let kind = request.kind;
    let name = &request.name;
    let found = changeset.entry(kind, name)?;
    if let Some(refusal) = refusal(kind, name, &request.operation, found.as_ref()) {
        return Ok(Outcome::Refused(refusal));
    }
    Ok(match (&mut request.operation, found) {
        (Operation::Create { document } | Operation::Update { document, .. }, found) => {
            let deleting = found.is_some_and(|found| found.deleting);
            let document = std::mem::take(document);
            Outcome::Wrote(Some(changeset.put(kind, name, deleting, document)?))
        }
        (Operation::MarkDeleting, Some(found)) if !found.deleting => {
            Outcome::Wrote(Some(changeset.put(kind, name, true, found.document)?))
        }
        (Operation::Remove, Some(_)) => {
            changeset.remove(kind, name)?;
            Outcome::Wrote(None)
        }
        (Operation::MarkDeleting | Operation::Remove, found) => Outcome::Unchanged(found),
    })
}

/// Why an operation can't be done to what there is.
fn refusal(
    kind: Kind,
    name: &str,
    operation: &Operation,
    found: Option<&Entry>,
) -> Option<StoreError> {
    let name = name.to_owned();
    match (operation, found) {
        (Operation::Create { .. }, Some(_)) => Some(StoreError::Exists { kind, name }),
        (Operation::Update { version, .. }, Some(found)) if *version != found.version => {
            Some(StoreError::Conflict {
                kind,
                name,
                expected: *version,
                found: found.version,
            })
        }
        (Operation::Remove, Some(found)) if !found.deleting => {
            Some(StoreError::NotMarked { kind, name })
        }
        (Operation::Update { .. } | Operation::MarkDeleting, None) => {
            Some(StoreError::NotFound { kind, name })
        }
        _ => None,
    }
}

fn written(batch: &[Request], outcomes: &[Outcome]) -> Vec<(Kind, String, Option<Entry>)> {
    let pairs = batch.iter().zip(outcomes);
    pairs
        .filter_map(|(request, outcome)| match outcome {
            Outcome::Wrote(entry) => Some((request.kind, request.name.clone(), entry.clone())),
            _ => None,
        })
        .collect()
}

fn answer(request: Request, outcome: Outcome) {
    let result = match outcome {
        Outcome::Wrote(entry) | Outcome::Unchanged(entry) => Ok(entry),
        Outcome::Refused(error) => Err(error),
    };
    // The caller may have gone; the change stays.
    let _ = request.reply.send(result);
}
