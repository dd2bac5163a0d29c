//! Random numbers and hash keys from a seed that is passed in.

use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::time::Duration;

/// A small generator (SplitMix64, Steele et al. 2014) for jitter, session ids and test schedules.
///
/// It is not for secrets: whoever sees a few of its numbers can tell the rest.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that gives the same numbers for the same seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// All that it is: a generator of this seed goes on where this one stands.
    pub const fn state(&self) -> u64 {
        self.0
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero if `bound` is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// A duration from zero up to and including `longest`, in microseconds.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros.saturating_add(1)))
    }
}

/// Hashing for tables whose keys a peer chooses: SipHash that first swallows a secret from the
/// seed, so that a stranger who does not know the seed cannot aim at one bucket.
#[derive(Clone, Copy, Debug)]
pub struct KeyedState([u64; 2]);

impl KeyedState {
    /// A keyed state; tables of different purpose take different numbers of one [`Rng`].
    pub const fn new(rng: &mut Rng) -> Self {
        Self([rng.next_u64(), rng.next_u64()])
    }
}

impl BuildHasher for KeyedState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0[0]);
        hasher.write_u64(self.0[1]);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(Rng::new(1).next_u64(), Rng::new(2).next_u64());
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::new(3);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[usize::try_from(rng.below(5)).expect("below five")] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.up_to(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a33_two_keys_hash_one_value_to_different_places() {
        let mut rng = Rng::new(1);
        let (a, b) = (KeyedState::new(&mut rng), KeyedState::new(&mut rng));
        assert_ne!(a.hash_one("same"), b.hash_one("same"));
    }
}
