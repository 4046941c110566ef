//! Legs that are opened at the same time, so that they can begin to read together.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a leg that could begin waits for others that are being opened. Once records flow to
/// a destination, opening another queue there takes its turn behind them.
const MOST: Duration = Duration::from_secs(2);

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
    /// Waits for the other newcomers, but not for long: one whose destination is broken holds
    /// nobody up.
    pub(crate) async fn wait_for_others(self) {
        let mut opening = self.gathering.opening.subscribe();
        drop(self);
        let all_there = opening.wait_for(|opening| *opening == 0);
        if timeout(MOST, all_there).await.is_err() {
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
    use tokio::time::Instant;

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
        assert_eq!(begin.elapsed(), MOST);
    }
}
