//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Asks `probe` again and again until it answers, and returns the answer.
///
/// # Panics
/// When `deadline` has passed: says what was awaited and what `probe` said last.
pub fn until<T>(
    awaited: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match probe() {
            Ok(answer) => return answer,
            Err(last) if start.elapsed() > deadline => {
                panic!("waited {deadline:?} for {awaited}; at last: {last}")
            }
            Err(_) => rest(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The condition as what [`until`] wants: done, or not with what was seen instead.
///
/// # Errors
/// `seen`'s text where `holds` is false.
pub fn check(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the pause between two looks at a condition, on a test's own thread"
)]
pub(crate) fn rest(pause: Duration) {
    std::thread::sleep(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_soon_as_the_probe_does() {
        let mut asked = 0;
        let answer = until("the third look", Duration::from_secs(60), || {
            asked += 1;
            if asked == 3 {
                Ok("seen")
            } else {
                Err(format!("look {asked}"))
            }
        });
        assert_eq!(("seen", 3), (answer, asked));
    }

    #[test]
    #[should_panic(expected = "for a sign; at last: nothing")]
    fn gives_up_with_what_it_saw() {
        until("a sign", Duration::ZERO, || Err::<(), _>("nothing".into()));
    }
}
