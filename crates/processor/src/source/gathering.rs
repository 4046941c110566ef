//! Legs that are opened at the same time, so that they can begin to read together.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// How long a leg that could begin waits for the next of those that are being opened. Once records
/// flow to a destination, opening another queue there takes its turn behind them.
const FOR_ONE: Duration = Duration::from_secs(2);

/// How long it waits for all of them.
const FOR_ALL: Duration = Duration::from_secs(10);

/// How many legs are being opened.
#[derive(Default)]
pub(crate) struct Gathering {
    opening: watch::Sender<usize>,
}

/// A leg that is being opened, until this is dropped.
pub(crate) struct Newcomer<'a> {
    gathering: &'a Gathering,
}

impl Gathering {
    /// Counts a leg in.
    pub(crate) fn enter(&self) -> Newcomer<'_> {
        self.opening.send_modify(|opening| *opening += 1);
        Newcomer { gathering: self }
    }
}

impl Newcomer<'_> {
    /// Waits for the other newcomers as long as they keep coming, but not for long: one whose
    /// destination is broken holds nobody up.
    pub(crate) async fn wait_for_others(self) {
        let mut opening = self.gathering.opening.subscribe();
        drop(self);
        let all_there = async {
            while *opening.borrow_and_update() > 0 {
                // Its sender is there as long as the gathering.
                let _ = timeout(FOR_ONE, opening.changed()).await?;
            }
            Ok::<_, Elapsed>(())
        };
        if !matches!(timeout(FOR_ALL, all_there).await, Ok(Ok(()))) {
            tracing::debug!("begins without legs that are still being opened");
        }
    }
}

impl Drop for Newcomer<'_> {
    fn drop(&mut self) {
        self.gathering.opening.send_modify(|opening| *opening -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_begin_together() {
        let gathering = Gathering::default();
        let [one, two] = [gathering.enter(), gathering.enter()];
        let mut first = Box::pin(one.wait_for_others());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(two.wait_for_others().now_or_never().is_some());
        assert!(first.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_long_is_waited_for_only_so_long() {
        let gathering = Gathering::default();
        let [one, _broken] = [gathering.enter(), gathering.enter()];
        let begin = Instant::now();
        one.wait_for_others().await;
        assert_eq!(begin.elapsed(), FOR_ONE);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_come_one_by_one_are_waited_for_longer_but_not_for_ever() {
        assert_eq!(waited_for(4).await, FOR_ONE / 2 * 3 + FOR_ONE);
        assert_eq!(waited_for(40).await, FOR_ALL);
    }

    /// How long a leg waits for so many that come one behind the other, and for a broken one.
    async fn waited_for(count: usize) -> Duration {
        let gathering = Gathering::default();
        let (one, _broken) = (gathering.enter(), gathering.enter());
        let others: Vec<_> = (0..count).map(|_| gathering.enter()).collect();
        let begin = Instant::now();
        let arrive = async {
            for other in others {
                drop(other);
                sleep(FOR_ONE / 2).await;
            }
        };
        let waited = async {
            one.wait_for_others().await;
            begin.elapsed()
        };
        tokio::join!(waited, arrive).0
    }
}
