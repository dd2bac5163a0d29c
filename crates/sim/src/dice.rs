//! Draws from a seed, in the words of those who draw.

use std::time::Duration;

use moorline_link::rng::Rng;

/// All that is random in a simulation comes from here.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// A seed for something else that draws.
    pub(crate) const fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `least` to `most`, both included.
    pub(crate) const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most - least + 1)
    }

    /// A place in something of this length, which is not zero.
    pub(crate) const fn index(&mut self, len: usize) -> usize {
        self.0.below(len as u64) as usize
    }

    pub(crate) const fn permille(&mut self, chance: u64) -> bool {
        self.0.below(1_000) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// Milliseconds from `least` to `most`.
    pub(crate) const fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// Mostly short, at times long: what matters is often near a timeout.
    pub(crate) fn while_away(&mut self) -> Duration {
        let most = self.pick(&[300, 3_000, 8_000, 20_000]);
        self.millis(10, most)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.0.next_u64() as u8).collect()
    }
}
