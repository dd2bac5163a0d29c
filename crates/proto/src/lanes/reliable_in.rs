//! What arrived of one reliable lane and waits for something before it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use moorline_link::Payload;

use super::assembly::{Added, Assembly};
use super::inbox::{Ready, Received};
use super::{SPAN_MAX, Violation};
use crate::notes::Notes;
use crate::seq::Seq16;
use crate::wire::{MESSAGE_CHARGE, MessageFrame, Place};

/// What a frame of a reliable lane did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// What it counts for against the limit of data.
    pub(super) charge: u64,
    /// What no longer counts, as parts of an older split were dropped.
    pub(super) refund: u64,
    /// Whether it was known already.
    pub(super) is_known: bool,
}

impl Taken {
    /// What is kept of a message weighs more or less than before.
    const fn weigh(&mut self, before: u64, after: u64) {
        self.charge += after.saturating_sub(before);
        self.refund += before.saturating_sub(after);
    }
}

/// A message that waits. Small, as a peer may make many wait.
#[derive(Debug)]
enum Waiting {
    Whole { kind: u16, payload: Box<[u8]> },
    Partial(Box<Assembly>),
}

/// A lane whose messages wait for those before them.
#[derive(Debug, Default)]
pub(super) struct OrderedIn {
    /// The least number that was not delivered.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

impl OrderedIn {
    /// Takes a frame in; messages that are due are appended to `out`.
    pub(super) fn on_frame(
        &mut self,
        seq: Seq16,
        frame: &MessageFrame<'_>,
        out: &mut Ready,
    ) -> Result<Taken, Violation> {
        let seq = complete(seq, self.next)?;
        let known = Taken { is_known: true, ..Taken::default() };
        if seq < self.next {
            return Ok(known);
        }
        let Some(fragment) = frame.fragment else {
            let charge = frame.payload.len() as u64 + MESSAGE_CHARGE;
            if seq == self.next && self.waiting.is_empty() {
                self.next += 1;
                out.give(frame, Payload::pooled(frame.payload));
            } else if let Entry::Vacant(place) = self.waiting.entry(seq) {
                place.insert(Waiting::Whole { kind: frame.kind, payload: frame.payload.into() });
                self.release(frame.place, out);
            } else {
                return Ok(known);
            }
            return Ok(Taken { charge, ..Taken::default() });
        };
        let mut taken = Taken::default();
        let waiting = self.waiting.entry(seq).or_insert_with(|| {
            taken.charge = MESSAGE_CHARGE;
            Waiting::Partial(Box::new(Assembly::new(frame.kind, fragment.last)))
        });
        let Waiting::Partial(assembly) = waiting else { return Ok(known) };
        let before = assembly.weight();
        if assembly.add(frame.kind, fragment, frame.payload)? == Added::Known {
            return Ok(known);
        }
        taken.weigh(before, assembly.weight());
        if let Some(payload) = assembly.whole() {
            let payload = payload.into_boxed_slice();
            *waiting = Waiting::Whole { kind: frame.kind, payload };
            self.release(frame.place, out);
        }
        Ok(taken)
    }

    /// Gives out what waits for nothing any more.
    fn release(&mut self, place: Place, out: &mut Ready) {
        while let Some(first) = self.waiting.first_entry() {
            if *first.key() != self.next || matches!(first.get(), Waiting::Partial(_)) {
                return;
            }
            if let Waiting::Whole { kind, payload } = first.remove() {
                let payload = payload.into_vec().into();
                out.push(Received { place, kind, payload });
            }
            self.next += 1;
        }
    }

    /// Where the lane stands, while the link rests and nothing waits.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.number(&mut self.next);
    }

    /// The least number that was not delivered.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// How many messages wait for an earlier one, or for their other parts.
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }
}

/// The lane whose messages wait for nobody, and are yet taken once.
#[derive(Debug, Default)]
pub(super) struct UnorderedIn {
    /// The least number that was not received.
    floor: u64,
    /// From the floor on, which were received: bit 0 of the first word is the floor's word's first.
    received: VecDeque<u64>,
    partial: BTreeMap<u64, Assembly>,
}

impl UnorderedIn {
    pub(super) fn on_frame(
        &mut self,
        seq: Seq16,
        frame: &MessageFrame<'_>,
        out: &mut Ready,
    ) -> Result<Taken, Violation> {
        let seq = complete(seq, self.floor)?;
        let known = Taken { is_known: true, ..Taken::default() };
        if seq < self.floor || self.has(seq) {
            return Ok(known);
        }
        let Some(fragment) = frame.fragment else {
            self.mark(seq);
            out.give(frame, Payload::pooled(frame.payload));
            let charge = frame.payload.len() as u64 + MESSAGE_CHARGE;
            return Ok(Taken { charge, ..Taken::default() });
        };
        let mut taken = Taken::default();
        let assembly = self.partial.entry(seq).or_insert_with(|| {
            taken.charge = MESSAGE_CHARGE;
            Assembly::new(frame.kind, fragment.last)
        });
        let before = assembly.weight();
        if assembly.add(frame.kind, fragment, frame.payload)? == Added::Known {
            return Ok(known);
        }
        taken.weigh(before, assembly.weight());
        if let Some(whole) = assembly.whole() {
            self.partial.remove(&seq);
            self.mark(seq);
            out.give(frame, whole.into());
        }
        Ok(taken)
    }

    /// The first number that the bits stand for: the floor without its last six bits.
    const fn base(&self) -> u64 {
        self.floor & !63
    }

    fn has(&self, seq: u64) -> bool {
        let at = seq - self.base();
        let word = self.received.get((at / 64) as usize).copied().unwrap_or(0);
        word & (1 << (at % 64)) != 0
    }

    fn mark(&mut self, seq: u64) {
        let at = seq - self.base();
        let word = (at / 64) as usize;
        if self.received.len() <= word {
            self.received.resize(word + 1, 0);
        }
        self.received[word] |= 1 << (at % 64);
        while self.has(self.floor) {
            self.floor += 1;
            if self.floor.is_multiple_of(64) {
                self.received.pop_front();
            }
        }
    }

    /// Whether nothing arrived beyond the first that is missing.
    pub(super) fn is_at_rest(&self) -> bool {
        let beyond = self.received.iter().enumerate();
        let mut beyond =
            beyond.map(|(word, bits)| if word == 0 { bits >> (self.floor % 64) } else { *bits });
        self.partial.is_empty() && beyond.all(|bits| bits == 0)
    }

    /// Where the lane stands, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        // Of no meaning below the floor, and empty above it.
        self.received.clear();
        notes.number(&mut self.floor);
    }

    /// The least number that was not received.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn waiting_len(&self) -> usize {
        self.partial.len()
    }
}

/// The sequence number that ends in these bits, if an honest sender can mean one.
fn complete(seq: Seq16, next: u64) -> Result<u64, Violation> {
    let seq = seq.expand(next).ok_or(Violation("a sequence number is beyond the last"))?;
    if seq >= next + SPAN_MAX {
        return Err(Violation("a message is too far ahead of its lane"));
    }
    Ok(seq)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use moorline_link::rng::Rng;

    use super::*;
    use crate::wire::{Extent, Place};

    fn frame(payload: &[u8]) -> MessageFrame<'_> {
        let (place, seq, kind) = (Place::Unordered, Some(Seq16(0)), 1);
        MessageFrame { place, seq, kind, fragment: None, extent: Extent::ToEnd, payload }
    }

    /// Numbers in any order within a span, many times over, against a set.
    #[test]
    fn each_number_is_taken_once() {
        let mut rng = Rng::new(3);
        let (mut lane, mut seen, mut out) =
            (UnorderedIn::default(), BTreeSet::new(), Ready::default());
        let mut ordered = OrderedIn::default();
        let mut in_order = Ready::default();
        for _ in 0..800_000 {
            let floor = (0..).find(|seq| !seen.contains(seq)).unwrap_or(0).max(lane.floor);
            let seq = (floor + rng.below(200)).saturating_sub(rng.below(150));
            let payload = seq.to_be_bytes();
            let taken = lane.on_frame(Seq16::of(seq), &frame(&payload), &mut out);
            let again = ordered.on_frame(Seq16::of(seq), &frame(&payload), &mut in_order);
            let is_known = seq < floor || !seen.insert(seq);
            assert_eq!(taken.map(|taken| taken.is_known), Ok(is_known));
            assert_eq!(again.map(|taken| taken.is_known), Ok(is_known));
            seen = seen.split_off(&lane.floor);
            assert!(lane.received.len() < 10, "the past is forgotten");
        }
        let in_order = std::iter::from_fn(|| in_order.poll());
        let numbers: Vec<_> = in_order.map(|received| received.payload).collect();
        let out_len = std::iter::from_fn(|| out.poll()).count();
        assert!(out_len > 65_536 && numbers.len() > 65_536, "the 16 bits wrap");
        assert!(numbers.iter().zip(0_u64..).all(|(payload, seq)| *payload == seq.to_be_bytes()));
    }

    #[test]
    fn a9_what_is_too_far_ahead_is_a_violation() {
        let mut lane = OrderedIn::default();
        let last = Seq16::of(SPAN_MAX - 1);
        assert!(lane.on_frame(last, &frame(b"x"), &mut Ready::default()).is_ok());
        assert!(lane.on_frame(Seq16::of(SPAN_MAX), &frame(b"x"), &mut Ready::default()).is_err());
        let mut lane = UnorderedIn::default();
        assert!(lane.on_frame(last, &frame(b"x"), &mut Ready::default()).is_ok());
        assert!(lane.on_frame(Seq16::of(SPAN_MAX), &frame(b"x"), &mut Ready::default()).is_err());
    }
}
