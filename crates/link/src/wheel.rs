//! A timing wheel on the caller's clock: arming, moving and firing a timer cost the same however
//! many are armed.
//!
//! It follows Varghese and Lauck (1987), scheme 7, with one change: a timer never cascades to a
//! finer level. It fires straight from the level it was put on, late by at most 1/64 of how far
//! away it was (and one millisecond), never early. So no tick ever pays for the timers of others.

use crate::slots::make_room;
use crate::time::Time;

/// One millisecond a unit on the finest level, four times as much on each one above.
const LEVELS: usize = 8;
const SLOTS: u64 = 256;
const WORDS: usize = (SLOTS / 64) as usize;
const NONE: u32 = u32::MAX;

/// Timers named by small dense numbers (a slot of a table), at most one each.
#[derive(Debug, Default)]
pub struct Wheel {
    timers: Vec<Timer>,
    levels: [Level; LEVELS],
    armed: usize,
}

#[derive(Clone, Debug)]
struct Timer {
    /// When it is due; may be later than the slot it waits in, which then only moves it on.
    deadline: Time,
    next: u32,
    prev: u32,
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    level: u8,
    slot: u8,
}

#[derive(Debug, Default)]
struct Level {
    /// Every unit up to and including this one has been fired.
    unit: u64,
    /// How many timers wait on it.
    len: u32,
    /// A bit for each slot with a timer.
    occupied: [u64; WORDS],
    /// First timer of each slot; made when the level is first used.
    heads: Vec<u32>,
}

impl Wheel {
    /// An empty wheel.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many timers are armed.
    pub const fn len(&self) -> usize {
        self.armed
    }

    /// Whether no timer is armed.
    pub const fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Arms `timer` for `deadline`, or moves it there. A deadline that has passed fires at the next
    /// millisecond, so that a timer armed while timers are fired cannot starve the rest.
    ///
    /// Moving a timer to a later time touches nothing else: it moves when its old time comes.
    pub fn set(&mut self, now: Time, timer: u32, deadline: Time) {
        let index = timer as usize;
        while self.timers.len() <= index {
            make_room(&mut self.timers);
            self.timers.push(Timer::unarmed());
        }
        if let Some(entry) = self.timers.get_mut(index) {
            entry.deadline = deadline;
            if entry.place.is_some_and(|place| deadline >= place.time(&self.levels)) {
                return;
            }
        }
        self.unlink(timer);
        self.link(now, timer);
    }

    /// Disarms `timer`, if it is armed.
    pub fn clear(&mut self, timer: u32) {
        self.unlink(timer);
    }

    /// Takes one timer that is due, disarming it; call until `None`.
    pub fn pop_due(&mut self, now: Time) -> Option<u32> {
        for number in 0..LEVELS {
            let now_unit = now.as_millis() >> shift(number);
            // Bounded: each round disarms a due timer or moves one into the future.
            while let Some((slot, _)) = self.levels[number].first_occupied(Some(now_unit)) {
                let timer = self.levels[number].heads[slot];
                self.unlink(timer);
                if self.timers[timer as usize].deadline > now {
                    self.link(now, timer);
                } else {
                    return Some(timer);
                }
            }
            let level = &mut self.levels[number];
            level.unit = level.unit.max(now_unit);
        }
        None
    }

    /// When to call [`pop_due`](Self::pop_due) next. It may give nothing then, and a later time
    /// after it; it never gives a timer before that.
    pub fn next(&self) -> Option<Time> {
        let levels = self.levels.iter().enumerate();
        levels
            .filter_map(|(number, level)| {
                let (_, unit) = level.first_occupied(None)?;
                Some(Time::from_millis(unit << shift(number)))
            })
            .min()
    }

    fn link(&mut self, now: Time, timer: u32) {
        // Where nothing waits, the past can be skipped; otherwise a long quiet time would push the
        // timer to a coarser level than its distance needs.
        for (number, level) in self.levels.iter_mut().enumerate() {
            if level.len == 0 {
                level.unit = level.unit.max(now.as_millis() >> shift(number));
            }
        }
        let deadline = self.timers[timer as usize].deadline;
        let millis = deadline.as_micros().div_ceil(1_000);
        let (number, unit) = self.place(millis);
        let slot = usize::try_from(unit % SLOTS).expect("fewer slots than a usize holds");
        let level = &mut self.levels[number];
        if level.heads.is_empty() {
            level.heads = vec![NONE; SLOTS as usize];
        }
        let head = std::mem::replace(&mut level.heads[slot], timer);
        level.len += 1;
        level.occupied[slot / 64] |= 1 << (slot % 64);
        if head != NONE {
            self.timers[head as usize].prev = timer;
        }
        let entry = &mut self.timers[timer as usize];
        entry.next = head;
        entry.prev = NONE;
        entry.place = Some(Place { level: number as u8, slot: slot as u8 });
        self.armed += 1;
    }

    /// The finest level whose slots reach as far as `millis`, and the unit there.
    fn place(&self, millis: u64) -> (usize, u64) {
        for (number, level) in self.levels.iter().enumerate() {
            let unit = millis.div_ceil(1 << shift(number)).max(level.unit + 1);
            if unit - level.unit <= SLOTS {
                return (number, unit);
            }
        }
        // Beyond the horizon, over an hour: it fires early there and is put back.
        (LEVELS - 1, self.levels[LEVELS - 1].unit + SLOTS)
    }

    fn unlink(&mut self, timer: u32) {
        let Some(entry) = self.timers.get_mut(timer as usize) else { return };
        let Some(place) = entry.place.take() else { return };
        let (next, prev) = (entry.next, entry.prev);
        let level = &mut self.levels[usize::from(place.level)];
        level.len -= 1;
        if next != NONE {
            self.timers[next as usize].prev = prev;
        }
        if prev != NONE {
            self.timers[prev as usize].next = next;
        } else {
            let slot = usize::from(place.slot);
            level.heads[slot] = next;
            if next == NONE {
                level.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
        self.armed -= 1;
    }
}

impl Timer {
    const fn unarmed() -> Self {
        Self { deadline: Time::ZERO, next: NONE, prev: NONE, place: None }
    }
}

impl Place {
    /// The moment that a slot stands for. What waits in it lies in the round that follows what was
    /// fired.
    fn time(self, levels: &[Level; LEVELS]) -> Time {
        let number = usize::from(self.level);
        let first = levels[number].unit + 1;
        let ahead = u64::from(self.slot).wrapping_sub(first) % SLOTS;
        Time::from_millis((first + ahead) << shift(number))
    }
}

impl Level {
    /// The first slot with a timer after the units that were fired, up to `last` where it is given,
    /// with its unit.
    fn first_occupied(&self, last: Option<u64>) -> Option<(usize, u64)> {
        if self.len == 0 {
            return None;
        }
        let first = self.unit + 1;
        let start = usize::try_from(first % SLOTS).expect("fewer slots than a usize holds");
        // One word more than there are, as the first one is looked at from its middle and again
        // up to there.
        for step in 0..=WORDS {
            let word = (start / 64 + step) % WORDS;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == WORDS {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS as usize - start) % SLOTS as usize;
                let unit = first + ahead as u64;
                return last.is_none_or(|last| unit <= last).then_some((slot, unit));
            }
        }
        None
    }
}

/// A level's unit in milliseconds, as a power of two.
const fn shift(level: usize) -> u32 {
    2 * level as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_timer_fires_once_not_early_and_at_most_a_sixty_fourth_late() {
        let mut wheel = Wheel::new();
        for millis in [0, 1, 2, 255, 256, 257, 1_000, 6_000, 60_000, 3_600_000, 9_000_000] {
            let start = Time::from_millis(5_000_123);
            let deadline = start + Duration::from_millis(millis);
            wheel.set(start, 3, deadline);
            let mut now = start;
            let mut wakes = 0;
            let fired = loop {
                now = now.max(wheel.next().expect("armed"));
                if let Some(timer) = wheel.pop_due(now) {
                    assert_eq!(timer, 3);
                    break now;
                }
                wakes += 1;
                assert!(wakes < 10, "{millis} ms");
            };
            assert!(fired >= deadline, "{millis} ms fired early");
            let late = fired.since(deadline).as_millis();
            assert!(late <= u128::from(millis / 64 + 1), "{millis} ms fired {late} ms late");
            assert!(wheel.is_empty() && wheel.next().is_none());
        }
    }

    #[test]
    fn a_timer_beside_a_far_one_is_not_late_after_a_long_quiet_time() {
        let mut wheel = Wheel::new();
        wheel.set(Time::ZERO, 0, Time::from_millis(3_600_000));
        wheel.set(Time::from_millis(1_800_000), 1, Time::from_millis(1_800_010));
        assert_eq!(wheel.pop_due(Time::from_millis(1_800_010)), Some(1));
    }

    #[test]
    fn random_timers_agree_with_a_sorted_map() {
        let mut rng = Rng::new(11);
        let mut wheel = Wheel::new();
        let mut model: BTreeMap<u32, Time> = BTreeMap::new();
        let mut now = Time::ZERO;
        for _ in 0..200_000 {
            let timer = u32::try_from(rng.below(300)).expect("small");
            match rng.below(10) {
                0 => {
                    wheel.clear(timer);
                    model.remove(&timer);
                }
                1..=6 => {
                    let reach = 1 << rng.below(23);
                    let deadline = now + Duration::from_micros(rng.below(reach * 1_000));
                    wheel.set(now, timer, deadline);
                    model.insert(timer, deadline);
                }
                _ => {
                    let reach = 1 << rng.below(22);
                    now = now + Duration::from_micros(rng.below(reach));
                    while let Some(timer) = wheel.pop_due(now) {
                        let deadline = model.remove(&timer).expect("armed in the model");
                        assert!(deadline <= now, "fired early");
                    }
                    assert!(wheel.next().is_none_or(|next| next > now));
                }
            }
            assert_eq!(wheel.len(), model.len());
        }
        let end = now + Duration::from_secs(1 << 14);
        while let Some(timer) = wheel.pop_due(end) {
            model.remove(&timer).expect("armed in the model");
        }
        assert!(model.is_empty() && wheel.is_empty());
    }

    #[test]
    fn a_past_deadline_fires_at_the_next_millisecond_and_not_in_the_same_round() {
        let mut wheel = Wheel::new();
        let now = Time::from_millis(50);
        assert_eq!(wheel.pop_due(now), None);
        wheel.set(now, 0, Time::ZERO);
        assert_eq!(wheel.pop_due(now), None);
        assert_eq!(wheel.pop_due(Time::from_millis(51)), Some(0));
    }
}
