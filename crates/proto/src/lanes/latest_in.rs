//! Which value of each key is the newest that arrived.

use std::collections::BTreeMap;

use super::assembly::Assembly;
use super::{KEYS_MAX, SYNC_LEN_MAX, Violation};
use crate::notes::Notes;
use crate::seq::Seq16;
use crate::wire::MessageFrame;

/// How many values may be here in part, and how many bytes.
const PARTIAL_MAX: usize = 64;
const PARTIAL_BYTES_MAX: usize = 4 * SYNC_LEN_MAX;
/// With more keys than these a link does not rest: to write them down again and again would take
/// longer than the memory is worth.
const RESTING_KEYS_MAX: usize = 32;

/// The receiving side of the latest lane.
#[derive(Debug, Default)]
pub(super) struct LatestIn {
    newest: BTreeMap<u64, u64>,
    partial: BTreeMap<u64, (u64, Assembly)>,
    partial_bytes: usize,
    /// One more than the largest number so far.
    expected: u64,
    /// Of a key that is not known, only larger numbers are new.
    floor: u64,
}

/// What a frame of the lane turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The newest value of its key, which is what the frame holds.
    Newest,
    /// The newest value of its key, of which the frame was the last part.
    NewestWhole(Vec<u8>),
    /// A part of it.
    Part,
    /// Known already, or older than what is known.
    Stale,
}

impl LatestIn {
    pub(super) fn on_frame(
        &mut self,
        key: u64,
        seq: Seq16,
        frame: &MessageFrame<'_>,
    ) -> Result<Heard, Violation> {
        let Some(seq) = seq.expand(self.expected) else { return Ok(Heard::Stale) };
        self.expected = self.expected.max(seq + 1);
        let is_new = match self.newest.get(&key) {
            Some(newest) => seq > *newest,
            None => seq >= self.floor,
        };
        if !is_new {
            return Ok(Heard::Stale);
        }
        let Some(fragment) = frame.fragment else {
            self.forget_partial(key, seq);
            self.remember(key, seq);
            return Ok(Heard::Newest);
        };
        let partial = self.partial.entry(key);
        let fresh = || (seq, Assembly::new(frame.kind, fragment.last));
        let (of, assembly) = partial.or_insert_with(fresh);
        let mut before = assembly.bytes();
        if *of > seq {
            return Ok(Heard::Stale);
        }
        if *of < seq {
            self.partial_bytes -= std::mem::take(&mut before);
            (*of, *assembly) = fresh();
        }
        assembly.add(frame.kind, fragment, frame.payload)?;
        self.partial_bytes = self.partial_bytes + assembly.bytes() - before;
        if let Some(whole) = assembly.whole() {
            self.forget_partial(key, seq);
            self.remember(key, seq);
            return Ok(Heard::NewestWhole(whole));
        }
        self.shed_partial();
        Ok(Heard::Part)
    }

    /// Whether nothing is here in part, and few keys are known.
    pub(super) fn is_at_rest(&self) -> bool {
        self.partial.is_empty() && self.newest.len() <= RESTING_KEYS_MAX
    }

    /// What is known of each key, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.number(&mut self.expected);
        notes.number(&mut self.floor);
        let mut known = std::mem::take(&mut self.newest).into_iter();
        let mut count = known.len();
        notes.size(&mut count);
        for _ in 0..count {
            let (mut key, mut newest) = known.next().unwrap_or_default();
            notes.number(&mut key);
            notes.number(&mut newest);
            self.newest.insert(key, newest);
        }
    }

    /// Forgets the parts of a value that is not newer than this one.
    fn forget_partial(&mut self, key: u64, seq: u64) {
        if self.partial.get(&key).is_some_and(|(of, _)| *of <= seq)
            && let Some((_, assembly)) = self.partial.remove(&key)
        {
            self.partial_bytes -= assembly.bytes();
        }
    }

    fn shed_partial(&mut self) {
        while self.partial.len() > PARTIAL_MAX || self.partial_bytes > PARTIAL_BYTES_MAX {
            let oldest = self.partial.iter().min_by_key(|(_, (of, _))| *of);
            let Some((key, seq)) = oldest.map(|(key, (of, _))| (*key, *of)) else { break };
            self.forget_partial(key, seq);
        }
    }

    fn remember(&mut self, key: u64, seq: u64) {
        self.newest.insert(key, seq);
        if self.newest.len() > KEYS_MAX {
            let mut all: Vec<u64> = self.newest.values().copied().collect();
            let (_, middle, _) = all.select_nth_unstable(KEYS_MAX / 2);
            self.floor = self.floor.max(*middle);
            let floor = self.floor;
            self.newest.retain(|_, newest| *newest >= floor);
        }
    }
}
