//! Which packet numbers were seen.

use super::PacketNumber;
use crate::notes::Notes;

const WORDS: usize = 16;

/// Whether a packet may still be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It was not seen.
    New,
    /// It was seen already.
    Seen,
    /// It is so far behind that nobody remembers.
    TooOld,
}

/// The packet numbers of one direction that were received, as far back as [`ReplayWindow::LEN`].
///
/// It is asked before a packet is decrypted and told after the tag verified; in between lies
/// everything that a forger can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayWindow {
    /// One more than the largest number that was seen.
    expected: u64,
    /// Whether each number of the window was seen, each in the bit of its remainder. Bits of
    /// numbers that are still to come are clear.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// How many numbers are remembered, the largest included.
    pub const LEN: u64 = 1_024;

    /// A window that saw nothing.
    pub const fn new() -> Self {
        Self { expected: 0, seen: [0; WORDS] }
    }

    /// One more than the largest number that was seen: what [`PacketNumber::expand`] expects.
    pub const fn expected(&self) -> u64 {
        self.expected
    }

    /// The largest number that was seen.
    pub const fn largest(&self) -> Option<PacketNumber> {
        match self.expected.checked_sub(1) {
            Some(largest) => PacketNumber::new(largest),
            None => None,
        }
    }

    /// Whether a packet of this number may be taken. Changes nothing.
    pub fn check(&self, number: PacketNumber) -> Freshness {
        match self.expected.checked_sub(number.value()) {
            None | Some(0) => Freshness::New,
            Some(behind) if behind > Self::LEN => Freshness::TooOld,
            Some(_) if self.is_marked(number.value()) => Freshness::Seen,
            Some(_) => Freshness::New,
        }
    }

    /// Remembers a number whose packet was authentic. One that is too old is not remembered.
    pub fn commit(&mut self, number: PacketNumber) {
        let after = number.value().saturating_add(1);
        if let Some(advance) = after.checked_sub(self.expected) {
            // At most the window's length: what lies further ahead covers the same bits again.
            for ahead in 0..advance.min(Self::LEN) {
                self.mark(self.expected.saturating_add(ahead), false);
            }
            self.expected = after;
        }
        if self.check(number) != Freshness::TooOld {
            self.mark(number.value(), true);
        }
    }

    /// What was seen, while the link rests.
    pub(crate) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.number(&mut self.expected);
        for word in &mut self.seen {
            // Where all numbers were seen, or none, this is a small number.
            let mut next = word.wrapping_add(1);
            notes.number(&mut next);
            *word = next.wrapping_sub(1);
        }
    }

    fn is_marked(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen.get(word).is_some_and(|word| word & bit != 0)
    }

    fn mark(&mut self, number: u64, seen: bool) {
        let (word, bit) = place(number);
        if let Some(word) = self.seen.get_mut(word) {
            *word = if seen { *word | bit } else { *word & !bit };
        }
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

/// The word and the bit in it that stand for a number.
const fn place(number: u64) -> (usize, u64) {
    let place = number % ReplayWindow::LEN;
    ((place / 64) as usize, 1 << (place % 64))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests count small numbers")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::seq::NUMBER_MAX;

    /// What the window must say, without its tricks.
    #[derive(Default)]
    struct Model {
        seen: BTreeSet<u64>,
    }

    impl Model {
        fn check(&self, number: u64) -> Freshness {
            let is_old = self.seen.last().is_some_and(|max| max - number.min(*max) >= 1_024);
            match (is_old, self.seen.contains(&number)) {
                (true, _) => Freshness::TooOld,
                (false, true) => Freshness::Seen,
                (false, false) => Freshness::New,
            }
        }
    }

    fn number(value: u64) -> PacketNumber {
        PacketNumber::new(value).expect("a packet number")
    }

    /// Every number within 2,100 of every edge, after every largest number around it.
    #[test]
    fn a4_the_window_says_what_a_set_says_around_every_edge() {
        let edges = [1_024, 2_048, 1 << 16, u64::from(u32::MAX), NUMBER_MAX - 1_200];
        for edge in edges {
            // Histories with holes: each step leaves out others.
            for step in [1, 2, 64, 65, 511, 1_023, 1_024, 1_025, 2_000] {
                let (mut window, mut model) = (ReplayWindow::new(), Model::default());
                let first = edge - 1_024;
                let lasts = (first..=(edge + 1_200)).step_by(step);
                for max in lasts {
                    window.commit(number(max));
                    model.seen.insert(max);
                    let from = max.saturating_sub(2_100);
                    // All of them for the larger steps; a prime step for those that repeat most.
                    let checked = if step < 64 { 41 } else { 1 };
                    for value in (from..=(max + 2_100).min(NUMBER_MAX)).step_by(checked) {
                        let said = window.check(number(value));
                        assert_eq!(said, model.check(value), "{value} after {max} by {step}");
                    }
                }
            }
        }
    }

    /// Numbers that come out of order are remembered, and one that is too old changes nothing.
    #[test]
    fn a4_the_window_says_what_a_set_says_in_any_order() {
        let mut rng = moorline_link::rng::Rng::new(4);
        for base in [0, 5_000, NUMBER_MAX - 4_000] {
            let (mut window, mut model) = (ReplayWindow::new(), Model::default());
            for round in 0..4_000 {
                let value = base + (round / 2 + rng.below(2_100)).min(4_000);
                let before = window.clone();
                let said = window.check(number(value));
                assert_eq!(said, model.check(value));
                window.commit(number(value));
                if said == Freshness::TooOld {
                    assert_eq!(window, before);
                } else {
                    model.seen.insert(value);
                    assert_eq!(window.check(number(value)), Freshness::Seen);
                }
                assert_eq!(window.largest().map(PacketNumber::value), model.seen.last().copied());
            }
        }
    }

    #[test]
    fn a23_a_window_that_saw_nothing_takes_everything_and_the_last_number_ends_it() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.largest(), None);
        for value in [0, 1, 1_024, NUMBER_MAX] {
            assert_eq!(window.check(number(value)), Freshness::New);
        }
        window.commit(PacketNumber::LAST);
        assert_eq!(window.expected(), NUMBER_MAX + 1);
        assert_eq!(window.check(PacketNumber::LAST), Freshness::Seen);
        assert_eq!(window.check(number(NUMBER_MAX - 1_023)), Freshness::New);
        assert_eq!(window.check(number(NUMBER_MAX - 1_024)), Freshness::TooOld);
        assert_eq!(window.check(PacketNumber::FIRST), Freshness::TooOld);
    }
}
