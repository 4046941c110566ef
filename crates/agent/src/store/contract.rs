//! What every [`Store`] must do.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Change, Kind, Resource, ResourceChange, Resources, Store, StoreError};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counter {
    count: u32,
}

impl Resource for Counter {
    const KIND: Kind = Kind::Flow;
}

/// Runs the whole contract against an empty store.
pub(super) async fn holds(store: Arc<dyn Store>) {
    creates_and_lists_in_order(&*store).await;
    compares_versions_before_it_swaps(&*store).await;
    deletes_in_two_phases(&*store).await;
    never_gives_a_version_twice(&*store).await;
    tells_every_change_in_order(&*store).await;
    tells_a_slow_watcher_to_list_again(&*store).await;
    loses_no_concurrent_update(Arc::clone(&store)).await;
    refuses_without_writing(Arc::clone(&store)).await;
    names_a_document_it_cannot_read(store).await;
}

async fn creates_and_lists_in_order(store: &dyn Store) {
    for name in ["c", "a", "b"] {
        let made = store.create(Kind::Grant, name, "{}".into()).await.unwrap();
        assert_eq!((made.name.as_str(), made.deleting), (name, false));
        let found = store.get(Kind::Grant, name).await.unwrap();
        assert_eq!(found, Some(made));
    }
    let listed = store.list(Kind::Grant, "").await.unwrap();
    let names: Vec<_> = listed.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let below = store.list(Kind::Grant, "b").await.unwrap();
    assert_eq!(below, listed[1..2]);
    assert_eq!(store.list(Kind::Grant, "bb").await.unwrap(), []);
    assert_eq!(store.get(Kind::Processor, "a").await.unwrap(), None);
    let error = store
        .create(Kind::Grant, "a", "{}".into())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the grant `a` exists already");
}

async fn compares_versions_before_it_swaps(store: &dyn Store) {
    let made = store.create(Kind::Flow, "swap", "1".into()).await.unwrap();
    let newer = store
        .update(Kind::Flow, "swap", made.version, "2".into())
        .await
        .unwrap();
    assert!(newer.version > made.version);
    let late = store
        .update(Kind::Flow, "swap", made.version, "3".into())
        .await;
    assert!(matches!(late, Err(StoreError::Conflict { found, .. }) if found == newer.version));
    let kept = store.get(Kind::Flow, "swap").await.unwrap();
    assert_eq!(kept, Some(newer));
    let missing = store.update(Kind::Flow, "none", 1, "2".into()).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

async fn deletes_in_two_phases(store: &dyn Store) {
    let made = store.create(Kind::Flow, "gone", "1".into()).await.unwrap();
    let early = store.remove(Kind::Flow, "gone").await;
    assert!(matches!(early, Err(StoreError::NotMarked { .. })));
    let marked = store.mark_deleting(Kind::Flow, "gone").await.unwrap();
    assert!(marked.deleting && marked.version > made.version);
    let again = store.mark_deleting(Kind::Flow, "gone").await.unwrap();
    assert_eq!(again, marked);
    let taken = store.create(Kind::Flow, "gone", "2".into()).await;
    assert!(matches!(taken, Err(StoreError::Exists { .. })));
    let step = store
        .update(Kind::Flow, "gone", marked.version, "3".into())
        .await
        .unwrap();
    assert!(step.deleting);
    store.remove(Kind::Flow, "gone").await.unwrap();
    store.remove(Kind::Flow, "gone").await.unwrap();
    assert_eq!(store.get(Kind::Flow, "gone").await.unwrap(), None);
    let missing = store.mark_deleting(Kind::Flow, "gone").await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

async fn never_gives_a_version_twice(store: &dyn Store) {
    let first = store.create(Kind::Flow, "again", "1".into()).await.unwrap();
    store.mark_deleting(Kind::Flow, "again").await.unwrap();
    store.remove(Kind::Flow, "again").await.unwrap();
    let second = store.create(Kind::Flow, "again", "1".into()).await.unwrap();
    assert!(second.version > first.version);
    let stale = store
        .update(Kind::Flow, "again", first.version, "2".into())
        .await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
}

async fn tells_every_change_in_order(store: &dyn Store) {
    let mut changes = store.changes(Kind::Namespace);
    let made = store
        .create(Kind::Namespace, "n", "1".into())
        .await
        .unwrap();
    store.create(Kind::Flow, "other", "1".into()).await.unwrap();
    let marked = store.mark_deleting(Kind::Namespace, "n").await.unwrap();
    store.remove(Kind::Namespace, "n").await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Resync));
    assert_eq!(changes.next().await, Some(Change::Put(made)));
    assert_eq!(changes.next().await, Some(Change::Put(marked)));
    assert_eq!(changes.next().await, Some(Change::Removed("n".to_owned())));
}

async fn tells_a_slow_watcher_to_list_again(store: &dyn Store) {
    let mut changes = store.changes(Kind::Subscriber);
    assert_eq!(changes.next().await, Some(Change::Resync));
    let many = (0..3000).map(|i| format!("s{i}"));
    let made = many.map(|name| async move {
        store
            .create(Kind::Subscriber, &name, "{}".into())
            .await
            .unwrap()
    });
    futures::future::join_all(made).await;
    assert_eq!(changes.next().await, Some(Change::Resync));
    assert_eq!(store.list(Kind::Subscriber, "").await.unwrap().len(), 3000);
    let next = store
        .create(Kind::Subscriber, "t", "{}".into())
        .await
        .unwrap();
    assert_eq!(changes.next().await, Some(Change::Put(next)));
}

async fn loses_no_concurrent_update(store: Arc<dyn Store>) {
    let counters = Resources::<Counter>::new(store);
    let made = counters.create("count", Counter::default()).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let counters = counters.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    let counted = counters.update("count", |counter| counter.count += 1).await;
                    counted.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counted = counters.require("count").await.unwrap();
    assert_eq!(counted.resource.count, 200);
    assert_eq!(counted.version, made.version + 200);
}

async fn refuses_without_writing(store: Arc<dyn Store>) {
    let counters = Resources::<Counter>::new(store);
    let made = counters.create("still", Counter::default()).await.unwrap();
    let mut changes = counters.changes();
    let same = counters.update("still", |_| ()).await.unwrap();
    assert_eq!(same, made);
    let refusal = |counter: &mut Counter| {
        counter.count = 7;
        Err(StoreError::Closed)
    };
    let refused = counters.try_update("still", refusal).await;
    assert_eq!(refused, Err(StoreError::Closed));
    assert_eq!(counters.get("still").await.unwrap(), Some(made));
    counters.mark_deleting("still").await.unwrap();
    counters.remove("still").await.unwrap();
    assert_eq!(changes.next().await.unwrap(), Some(ResourceChange::Resync));
    let next = changes.next().await.unwrap();
    assert!(matches!(next, Some(ResourceChange::Put(stored)) if stored.deleting));
    let removed = ResourceChange::Removed("still".to_owned());
    assert_eq!(changes.next().await.unwrap(), Some(removed));
}

async fn names_a_document_it_cannot_read(store: Arc<dyn Store>) {
    store.create(Kind::Flow, "odd", "[]".into()).await.unwrap();
    let error = Resources::<Counter>::new(store).get("odd").await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("the document of flow `odd` is unreadable"),
        "{text}"
    );
}
