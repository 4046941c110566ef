//! How long legs that read together wait for the slowest of them.

use std::time::Duration;

use tokio::time::Instant;

/// A leg may hold up the others for so long at once.
pub(super) const AT_ONCE: Duration = Duration::from_secs(1);

/// Of the time after that, it may hold them up for one part in so many.
const SHARE: u32 = 10;

/// What is left of a leg's right to hold up the others. One that is a little slower slows them a
/// little, for which they read once; one that is much slower uses its right up and reads alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When nothing of it will have been used.
    full_at: Instant,
}

impl Patience {
    /// For one that has not held up anybody.
    pub(super) fn new() -> Self {
        Self {
            full_at: Instant::now(),
        }
    }

    /// How long it is waited for if nothing moves.
    pub(super) fn left(self) -> Duration {
        let used = self.full_at.saturating_duration_since(Instant::now()) / SHARE;
        AT_ONCE.saturating_sub(used)
    }

    /// It was waited for.
    pub(super) fn use_up(&mut self, waited: Duration) {
        self.full_at = self.full_at.max(Instant::now()) + SHARE * waited;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_and_grows_again() {
        let mut patience = Patience::new();
        assert_eq!(patience.left(), AT_ONCE);
        patience.use_up(AT_ONCE / 4);
        assert_eq!(patience.left(), AT_ONCE * 3 / 4);
        patience.use_up(AT_ONCE);
        assert_eq!(patience.left(), Duration::ZERO);
        advance(AT_ONCE * SHARE).await;
        assert_eq!(patience.left(), AT_ONCE * 3 / 4);
        advance(AT_ONCE * SHARE).await;
        assert_eq!(patience.left(), AT_ONCE);
    }
}
