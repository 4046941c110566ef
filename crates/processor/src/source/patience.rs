//! How long legs that read together wait for the slowest of them.

use std::time::Duration;

use tokio::time::Instant;

/// A leg may hold up all the others for so long at once; several that are slow together, so long for
/// each of them, because each would read the source once more.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Of the time after that, it may hold them up for one part in so many.
const SHARE: u32 = 10;

/// One that does not move at all may hold up others for so long, however few they are. A broker that
/// has enough to do with others may leave a leg aside for seconds.
const UNMOVED: Duration = Duration::from_secs(10);

/// What is left of a leg's right to hold up the others. One that is a little slower slows them a
/// little, for which they read once; one that is much slower uses its right up and reads alone, and
/// so does one that does not move.
///
/// Time counts by how many others do wait meanwhile: where all are slow because they write to the
/// same broker, hardly anybody waits, and reading apart would make that broker no faster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When nothing of it will have been used.
    full_at: Instant,
    /// Since when it has held up others without moving.
    held_since: Option<Instant>,
}

impl Patience {
    /// For one that has not held up anybody.
    pub(super) fn new() -> Self {
        Self {
            full_at: Instant::now(),
            held_since: None,
        }
    }

    /// How long it is waited for if nothing moves and this `part` of all waits, above 0 and up to 1,
    /// while so many are slow together.
    pub(super) fn left(self, part: f64, together: u32) -> Duration {
        let now = Instant::now();
        let used = self.full_at.saturating_duration_since(now) / SHARE;
        let held = self.held_since.unwrap_or(now);
        let unmoved = (held + UNMOVED).saturating_duration_since(now);
        let right = AT_ONCE.saturating_mul(together.max(1));
        right.saturating_sub(used).div_f64(part).min(unmoved)
    }

    /// It was waited for by this `part` of all.
    pub(super) fn use_up(&mut self, waited: Duration, part: f64) {
        let now = Instant::now();
        self.full_at = self.full_at.max(now) + SHARE * waited.mul_f64(part);
        self.held_since
            .get_or_insert(now.checked_sub(waited).unwrap_or(now));
    }

    /// It has come along.
    pub(super) fn moved(&mut self) {
        self.held_since = None;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_and_grows_again() {
        let mut patience = Patience::new();
        assert_eq!(patience.left(1.0, 1), AT_ONCE);
        patience.use_up(AT_ONCE / 4, 1.0);
        patience.moved();
        assert_eq!(patience.left(1.0, 1), AT_ONCE * 3 / 4);
        patience.use_up(AT_ONCE, 1.0);
        patience.moved();
        assert_eq!(patience.left(1.0, 1), Duration::ZERO);
        advance(AT_ONCE * SHARE).await;
        assert_eq!(patience.left(1.0, 1), AT_ONCE * 3 / 4);
        advance(AT_ONCE * SHARE).await;
        assert_eq!(patience.left(1.0, 1), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn several_that_are_slow_together_are_waited_for_longer() {
        let mut patience = Patience::new();
        assert_eq!(patience.left(1.0, 5), 5 * AT_ONCE);
        assert_eq!(patience.left(0.5, 3), 6 * AT_ONCE);
        patience.use_up(AT_ONCE, 1.0);
        patience.moved();
        assert_eq!(patience.left(1.0, 5), 4 * AT_ONCE);
        assert_eq!(patience.left(1.0, 1), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn where_few_wait_it_lasts_longer_unless_nothing_moves() {
        let mut patience = Patience::new();
        for _ in 0..9 {
            advance(AT_ONCE / 2).await;
            patience.use_up(AT_ONCE / 2, 0.1);
            assert_ne!(patience.left(0.1, 1), Duration::ZERO);
            patience.moved();
        }
        let mut still = Patience::new();
        still.use_up(UNMOVED / 2, 0.01);
        advance(UNMOVED / 2).await;
        assert_eq!(still.left(0.01, 1), Duration::ZERO);
        still.moved();
        assert_ne!(still.left(0.01, 1), Duration::ZERO);
    }
}
