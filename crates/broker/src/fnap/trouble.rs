//! What a reader makes of sessions that break off: how long to wait for the next one, and when somebody
//! should know.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// How long trouble is waited out before it is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a session has to last for the next one to be opened at once, where nothing was read: one that is accepted
/// and broken off at once is none.
const LASTING: Duration = Duration::from_secs(1);

/// The trouble with a reader's sessions.
#[derive(Default)]
pub(super) struct Trouble {
    backoff: Backoff,
    since: Option<Instant>,
    /// When the session was opened.
    opened: Option<Instant>,
}

impl Trouble {
    /// How long to wait before the next session is opened, which counts as a failure until something is read.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.backoff.wait();
        self.backoff.failed();
        wait
    }

    /// A session was opened.
    pub(super) fn opened(&mut self) {
        self.opened = Some(Instant::now());
    }

    /// Something was read.
    pub(super) fn is_over(&mut self) {
        self.backoff.succeeded();
        self.since = None;
    }

    /// A session broke off, or could not be had. Says whether that has lasted for so long that somebody should know.
    pub(super) fn met(&mut self) -> bool {
        let opened = self.opened.take();
        if opened.is_some_and(|opened| opened.elapsed() >= LASTING) {
            self.is_over();
        }
        let since = self.since.get_or_insert_with(Instant::now);
        since.elapsed() >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// How many sessions are opened, each after its wait, until trouble is told.
    async fn sessions(trouble: &mut Trouble) -> u32 {
        let mut sessions = 0;
        while !trouble.met() {
            sleep(trouble.wait()).await;
            trouble.opened();
            sessions += 1;
        }
        sessions
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_break_off_at_once_come_more_and_more_seldom() {
        let sessions = sessions(&mut Trouble::default()).await;
        assert!(
            (30..50).contains(&sessions),
            "{sessions} sessions in 30 seconds"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_lasted_begins_anew() {
        let mut trouble = Trouble::default();
        sessions(&mut trouble).await;
        trouble.opened();
        sleep(LASTING).await;
        assert!(!trouble.met());
        assert_eq!(trouble.wait(), Duration::ZERO);
        sessions(&mut trouble).await;
        trouble.is_over();
        assert!(!trouble.met());
        assert_eq!(trouble.wait(), Duration::ZERO);
    }
}
