//! Places that could not be read a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::store::Failure;

/// How long a place is not read again after it could not be.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many places are known at most.
const PLACES: usize = 64;

/// The places of a queue that could not be read: a partition, and the offset to read from. Each attempt closes the
/// database for everybody, and readers come again at once.
#[derive(Default)]
pub(super) struct Unreadable {
    places: Mutex<HashMap<(u32, u64), Place>>,
}

struct Place {
    cause: String,
    until: Instant,
}

impl Unreadable {
    /// Whether a place may be read.
    ///
    /// # Errors
    /// [`Failure::Resting`], with what it could not be read for.
    pub(super) fn check(&self, partition: u32, offset: u64) -> Result<(), Failure> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.get(&(partition, offset));
        match place.filter(|place| place.until > Instant::now()) {
            None => Ok(()),
            Some(place) => Err(Failure::Resting(place.cause.clone())),
        }
    }

    /// Takes note of why a place could not be read, where that lies in the place.
    pub(super) fn note(&self, partition: u32, offset: u64, failure: &Failure) {
        let cause = match failure {
            Failure::Storage(redb::Error::PreviousIo) => return,
            Failure::Storage(error) => error.to_string(),
            Failure::Damaged(error) => error.to_string(),
            Failure::Refused(_) | Failure::Resting(_) => return,
        };
        let now = Instant::now();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| place.until > now);
        if places.len() < PLACES {
            let until = now + PATIENCE;
            places.insert((partition, offset), Place { cause, until });
        }
    }
}
