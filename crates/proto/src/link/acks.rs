//! Which packets arrived, and when to tell the peer.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use moorline_link::Time;
use moorline_link::ahead::fetch;
use moorline_link::time::earliest;

use crate::notes::Notes;
use crate::seq::Seq16;
use crate::wire::{AckCompact, AckDelay, AckRanges, Asks, EcnCount, Frame};

/// After so many packets an acknowledgement waits no longer.
const PENDING_MAX: u32 = 8;
/// No packet that only acknowledges follows another sooner.
const SPACING_MIN: Duration = Duration::from_millis(2);
/// While a packet is missing among so many of the latest, nothing is held back: the peer waits.
const RECENT: u64 = 3;
/// How many acknowledgements tell of a packet, as any of them may be lost.
const TOLD_MIN: usize = 4;
/// How many ranges a link that rests remembers: those before were told of, and are told of again
/// only where many packets follow each other untold.
const RESTING_RANGES_MAX: usize = 4;

/// What arrived.
#[derive(Debug)]
pub(super) struct Acks {
    /// Numbers that arrived, the latest range first; at most [`AckRanges::RANGES_MAX`].
    ranges: VecDeque<RangeInclusive<u64>>,
    largest_at: Time,
    /// Packets that ask for an acknowledgement and were not told of.
    pending: u32,
    due_at: Option<Time>,
    delay_max: Duration,
    told_at: Option<Time>,
    /// The largest number in each of the last acknowledgements, the latest first.
    told: [u64; TOLD_MIN],
    /// How many packets arrived.
    pub(super) received: u64,
    /// How many of them a router had marked.
    pub(super) marks: u64,
}

impl Acks {
    /// Nothing arrived. `delay_max` is what the peer was told.
    pub(super) const fn new(delay_max: Duration) -> Self {
        Self {
            ranges: VecDeque::new(),
            largest_at: Time::ZERO,
            pending: 0,
            due_at: None,
            delay_max,
            told_at: None,
            told: [0; TOLD_MIN],
            received: 0,
            marks: 0,
        }
    }

    /// Asks for what it points to.
    pub(super) fn fetch_parts(&self) {
        self.ranges.iter().take(2).for_each(fetch);
    }

    /// Takes in an authentic packet that is new.
    pub(super) fn on_packet(&mut self, now: Time, number: u64, asks: Asks) {
        self.received += 1;
        let largest = self.largest();
        let is_newest = largest.is_none_or(|largest| number > largest);
        if is_newest {
            self.largest_at = now;
        }
        let is_in_order = largest.map_or(number == 0, |largest| number == largest + 1);
        self.insert(number);
        if !is_newest {
            // What comes late may be older than all that is told of in the short form.
            self.told.iter_mut().for_each(|told| *told = (*told).min(number));
        }
        match asks {
            Asks::Nothing => return,
            Asks::Eventually | Asks::Soon => self.pending += 1,
            Asks::Now => self.pending = self.pending.saturating_add(PENDING_MAX),
        }
        let at_once = self.at_once(now);
        let is_urgent = self.pending >= PENDING_MAX || !is_in_order || self.has_recent_gap();
        let due_at = match asks {
            _ if is_urgent => at_once,
            Asks::Eventually => return,
            _ => now + self.delay_max,
        };
        self.due_at = Some(self.due_at.map_or(due_at, |at| at.min(due_at)));
    }

    /// Tells that a router had marked the packet that was just taken in: the peer is told soon, as
    /// the queue grows meanwhile; but of one that needs no acknowledgement with the next one.
    pub(super) fn on_marked(&mut self, now: Time, asks: Asks) {
        self.marks += 1;
        if asks > Asks::Nothing {
            self.due_at = earliest(self.due_at, Some(self.at_once(now)));
        }
    }

    fn at_once(&self, now: Time) -> Time {
        self.told_at.map_or(now, |at| now.max(at + SPACING_MIN))
    }

    /// What arrived, while the link rests and nothing must be told soon.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.time(&mut self.largest_at);
        notes.option(&mut self.told_at, N::time);
        notes.small(&mut self.pending);
        notes.number(&mut self.received);
        notes.number(&mut self.marks);
        let mut count = self.ranges.len().min(RESTING_RANGES_MAX);
        notes.size(&mut count);
        self.ranges.resize(count, 0..=0);
        // All of them are a little below the largest.
        let mut above = self.largest().unwrap_or(0);
        notes.number(&mut above);
        let mut note_below = |value: u64, above: u64| {
            let mut distance = above.saturating_sub(value);
            notes.number(&mut distance);
            above.saturating_sub(distance)
        };
        let largest = above;
        for range in &mut self.ranges {
            let end = note_below(*range.end(), above);
            above = note_below(*range.start(), end);
            *range = above..=end;
        }
        for told in &mut self.told {
            *told = note_below(*told, largest);
        }
    }

    fn has_recent_gap(&self) -> bool {
        let latest = self.ranges.front();
        latest.is_some_and(|range| *range.start() > 0 && range.end() - range.start() < RECENT)
    }

    fn insert(&mut self, number: u64) {
        // Nearly every packet is the one after the last.
        if let Some(latest) = self.ranges.front_mut()
            && *latest.end() + 1 == number
        {
            *latest = *latest.start()..=number;
            return;
        }
        let at = self.ranges.iter().position(|range| *range.start() <= number + 1);
        let at = at.unwrap_or(self.ranges.len());
        let (mut start, mut end) = (number, number);
        // At most the range above the number and the one below it touch it.
        for _ in 0..2 {
            let Some(range) = self.ranges.get(at) else { break };
            if range.contains(&number) {
                return;
            }
            if *range.end() + 1 < start {
                break;
            }
            (start, end) = (start.min(*range.start()), end.max(*range.end()));
            self.ranges.remove(at);
        }
        self.ranges.insert(at, start..=end);
        self.ranges.truncate(AckRanges::RANGES_MAX);
    }

    pub(super) fn largest(&self) -> Option<u64> {
        self.ranges.front().map(|range| *range.end())
    }

    /// Whether a packet that leaves should tell of what arrived.
    pub(super) const fn is_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether a packet must leave for it.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.due_at.is_some_and(|at| now >= at)
    }

    pub(super) const fn due_at(&self) -> Option<Time> {
        self.due_at
    }

    /// Appends the acknowledgement, if it fits into `room`. Whether it did.
    pub(super) fn emit(
        &self,
        now: Time,
        room: usize,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(largest) = self.largest() else { return false };
        let delay = AckDelay::of(now.since(self.largest_at));
        let ecn = (self.marks > 0).then(|| EcnCount::of(self.marks));
        let floor = self.told.last().copied().unwrap_or(0);
        if largest - floor <= u64::from(AckCompact::HISTORY_LEN) {
            let received = self.history(largest);
            let ack = AckCompact { largest: Seq16::of(largest), delay, ecn, received };
            let frame = Frame::AckCompact(ack);
            let fits = frame.len() <= room;
            if fits {
                frame.emit(out);
            }
            return fits;
        }
        let mut ranges: Vec<_> = self.ranges.iter().cloned().collect();
        while let Some(ack) = AckRanges::of(delay, ecn, &ranges, scratch) {
            let frame = Frame::AckRanges(ack);
            if frame.len() <= room {
                frame.emit(out);
                return true;
            }
            ranges.truncate(ranges.len() / 2);
        }
        false
    }

    /// Which of the packets before the largest arrived; those that cannot be are set.
    fn history(&self, largest: u64) -> u32 {
        let mut received = 0;
        // The bits of this distance and more; distance 1 is bit 0.
        let bits_from = |distance: u64| u32::MAX.checked_shl(distance as u32 - 1).unwrap_or(0);
        let history_len = u64::from(AckCompact::HISTORY_LEN);
        for range in &self.ranges {
            let (Some(near), Some(far)) =
                (largest.checked_sub(*range.end()), largest.checked_sub(*range.start()))
            else {
                continue;
            };
            if near > history_len {
                break;
            }
            received |= bits_from(near.max(1)) & !bits_from((far + 1).min(history_len + 1));
        }
        let numbers_before = u32::try_from(largest).unwrap_or(u32::MAX);
        if numbers_before < AckCompact::HISTORY_LEN {
            received |= u32::MAX << numbers_before;
        }
        received
    }

    /// Tells that a packet left with the acknowledgement.
    pub(super) fn on_sent(&mut self, now: Time) {
        self.pending = 0;
        self.due_at = None;
        self.told_at = Some(now);
        self.told.rotate_right(1);
        self.told[0] = self.largest().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use moorline_link::rng::Rng;

    use super::*;
    use crate::wire::Frames;

    const MAX: Duration = Duration::from_millis(20);

    #[test]
    fn what_is_told_is_what_arrived() {
        let mut rng = Rng::new(5);
        for run in 0..200 {
            let (mut acks, mut seen) = (Acks::new(MAX), BTreeSet::new());
            let mut next = 0;
            for step in 0..300_u64 {
                let number = if rng.below(4) == 0 { next + rng.below(5) } else { next };
                let number =
                    if run % 2 == 0 { number } else { number.saturating_sub(rng.below(40)) };
                next = next.max(number + 1);
                if !seen.insert(number) {
                    continue;
                }
                acks.on_packet(Time::from_millis(step), number, Asks::Soon);
                if rng.below(3) != 0 {
                    continue;
                }
                let (mut scratch, mut out) = (Vec::new(), Vec::new());
                assert!(acks.emit(Time::from_millis(step), 1_000, &mut scratch, &mut out));
                acks.on_sent(Time::from_millis(step));
                check(&seen, &out);
            }
        }
    }

    fn check(seen: &BTreeSet<u64>, out: &[u8]) {
        let largest = *seen.last().expect("something");
        for frame in Frames::new(out) {
            match frame.expect("a frame") {
                Frame::AckCompact(ack) => {
                    assert_eq!(ack.largest, Seq16::of(largest));
                    for bit in 0..32 {
                        let number = largest.checked_sub(bit + 1);
                        let expected = number.is_none_or(|number| seen.contains(&number));
                        assert_eq!(ack.received & (1 << bit) != 0, expected, "{number:?}");
                    }
                }
                Frame::AckRanges(ack) => {
                    assert_eq!(ack.largest().value(), largest);
                    let told: BTreeSet<u64> = ack.ranges().flatten().collect();
                    let least = *told.first().expect("a range");
                    assert_eq!(told, seen.split_off_from(least));
                }
                other => panic!("no acknowledgement but {other:?}"),
            }
        }
    }

    trait SplitOffFrom {
        fn split_off_from(&self, least: u64) -> BTreeSet<u64>;
    }

    impl SplitOffFrom for BTreeSet<u64> {
        fn split_off_from(&self, least: u64) -> BTreeSet<u64> {
            self.range(least..).copied().collect()
        }
    }

    #[test]
    fn a_steady_packet_waits_and_a_gap_or_a_burst_does_not() {
        let mut acks = Acks::new(MAX);
        acks.on_packet(Time::from_millis(100), 0, Asks::Nothing);
        assert!(!acks.is_pending() && acks.due_at().is_none());
        acks.on_packet(Time::from_millis(100), 1, Asks::Soon);
        assert_eq!(acks.due_at(), Some(Time::from_millis(120)));
        acks.on_packet(Time::from_millis(105), 3, Asks::Soon);
        assert_eq!(acks.due_at(), Some(Time::from_millis(105)), "number 2 is missing");
        acks.on_sent(Time::from_millis(105));
        assert!(!acks.is_pending());
        acks.on_packet(Time::from_millis(106), 4, Asks::Soon);
        let spaced = Some(Time::from_millis(107));
        assert_eq!(acks.due_at(), spaced, "it is missing still, and not twice in 2 ms");
        acks.on_sent(Time::from_millis(107));
        acks.on_packet(Time::from_millis(120), 5, Asks::Soon);
        assert_eq!(acks.due_at(), Some(Time::from_millis(120)));
        acks.on_sent(Time::from_millis(120));
        acks.on_packet(Time::from_millis(130), 6, Asks::Soon);
        assert_eq!(acks.due_at(), Some(Time::from_millis(150)), "three after the gap are enough");
        acks.on_packet(Time::from_millis(131), 7, Asks::Now);
        assert_eq!(acks.due_at(), Some(Time::from_millis(131)));
        acks.on_sent(Time::from_millis(131));
        for number in 8..16 {
            assert!(!acks.is_due(Time::from_millis(140)));
            acks.on_packet(Time::from_millis(140), number, Asks::Soon);
        }
        assert!(acks.is_due(Time::from_millis(140)), "eight are enough");
    }
}
