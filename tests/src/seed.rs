//! Random tests that can be repeated.

use std::hash::{BuildHasher, RandomState};

/// A number nobody could have guessed.
#[must_use]
pub fn entropy() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A stream of random numbers that is the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// Takes the seed from `SEED` in the environment, or a new one, and prints it either way.
    ///
    /// # Panics
    /// When `SEED` is no number.
    #[must_use]
    pub fn from_env(test: &str) -> Self {
        let seed = match std::env::var("SEED") {
            Ok(text) => text.parse().expect("SEED is no number"),
            Err(_) => entropy(),
        };
        println!("{test}: repeat this run with SEED={seed}");
        Self(seed)
    }

    /// Begins at a given seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// One of `choices`.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// `length` random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.draw() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut other) = (Seed::new(7), Seed::new(7));
        assert_eq!(one.bytes(64), other.bytes(64));
        assert_ne!(Seed::new(8).draw(), Seed::new(7).draw());
    }
}
