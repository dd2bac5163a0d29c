//! Messages that arrive once or never: on their way out for a short while, and in parts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use moorline_link::ahead::fetch;
use moorline_link::{Payload, Time};

use super::assembly::Assembly;
use super::reliable_out::KEPT_CAPACITY_MAX;
use super::{SYNC_LEN_MAX, Tag, Violation};
use crate::notes::Notes;
use crate::seq::Seq16;
use crate::wire::{Extent, Fragment, MessageFrame, Place};

/// A message that waited for so long is worth nothing any more.
const AGE_MAX: Duration = Duration::from_millis(200);
/// How many messages may wait, and how many bytes.
const WAITING_MAX: usize = 256;
const WAITING_BYTES_MAX: usize = 256 * 1_024;
/// How many messages may be here in part, and how many bytes.
const PARTIAL_MAX: usize = 16;
const PARTIAL_BYTES_MAX: usize = 2 * SYNC_LEN_MAX;

#[derive(Debug)]
struct Sending {
    kind: u16,
    payload: Payload,
    queued_at: Time,
    seq: Option<u64>,
    part_len: u32,
    parts_sent: u16,
}

/// Messages that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct UnreliableOut {
    messages: VecDeque<Sending>,
    bytes: usize,
    next: u64,
    pub(super) dropped: u64,
}

impl UnreliableOut {
    /// Asks for what it points to.
    pub(super) fn fetch_parts(&self) {
        if let Some(message) = self.messages.front() {
            fetch(message);
            message.payload.first().into_iter().for_each(fetch);
        }
    }

    /// Takes a message; the oldest make room for it.
    pub(super) fn push(&mut self, now: Time, kind: u16, payload: Payload) {
        self.bytes += payload.len();
        let (seq, part_len, parts_sent, queued_at) = (None, 0, 0, now);
        self.messages.push_back(Sending { kind, payload, queued_at, seq, part_len, parts_sent });
        while self.messages.len() > WAITING_MAX || self.bytes > WAITING_BYTES_MAX {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if self.pop().is_some() {
            self.dropped += 1;
        }
    }

    fn pop(&mut self) -> Option<Sending> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.len();
        if self.messages.is_empty() && self.messages.capacity() > KEPT_CAPACITY_MAX {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    /// Drops what waited for too long.
    pub(super) fn expire(&mut self, now: Time) {
        while self.messages.front().is_some_and(|first| now.since(first.queued_at) > AGE_MAX) {
            self.drop_first();
        }
    }

    /// Where the lane stands, while the link rests and nothing is in it.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.number(&mut self.next);
        notes.number(&mut self.dropped);
    }

    pub(super) fn waiting_len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn next(&self) -> Option<Tag> {
        let message = self.messages.front()?;
        let seq = message.seq.unwrap_or(self.next);
        Some(Tag { lane: Place::Unreliable.number(), split: 0, index: message.parts_sent, seq })
    }

    pub(super) fn begin(&mut self, tag: Tag, part_len: usize) -> Option<MessageFrame<'_>> {
        let message = self.messages.front_mut()?;
        if message.part_len == 0 {
            message.part_len = part_len as u32;
        }
        let len = message.part_len as usize;
        let last = (message.payload.len().div_ceil(len).max(1) - 1) as u16;
        let fragment = (last > 0).then_some(Fragment { index: tag.index, last });
        let start = usize::from(tag.index) * len;
        let end = (start + len).min(message.payload.len());
        let seq = fragment.map(|_| Seq16::of(tag.seq));
        if fragment.is_some() && message.seq.is_none() {
            message.seq = Some(tag.seq);
            self.next = tag.seq + 1;
        }
        Some(MessageFrame {
            place: Place::Unreliable,
            seq,
            kind: message.kind,
            fragment,
            extent: Extent::Counted,
            payload: message.payload.get(start..end)?,
        })
    }

    /// As [`ReliableOut::on_first_sent`](super::reliable_out::ReliableOut::on_first_sent).
    pub(super) fn on_first_sent(&mut self, tag: Tag) -> Option<Time> {
        let message = self.messages.front_mut()?;
        message.parts_sent += 1;
        let queued_at = message.queued_at;
        if usize::from(message.parts_sent) * message.part_len as usize >= message.payload.len() {
            self.pop();
        }
        (tag.index == 0).then_some(queued_at)
    }
}

/// Messages of which some parts arrived.
#[derive(Debug, Default)]
pub(super) struct UnreliableIn {
    partial: BTreeMap<u64, Assembly>,
    bytes: usize,
    /// One more than the largest number so far.
    expected: u64,
    /// Numbers below were given up.
    floor: u64,
}

impl UnreliableIn {
    /// A part of a message; the message if it is whole now.
    pub(super) fn on_part(
        &mut self,
        frame: &MessageFrame<'_>,
        seq: Seq16,
        fragment: Fragment,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let seq = seq.expand(self.expected).unwrap_or(0);
        self.expected = self.expected.max(seq + 1);
        if seq < self.floor {
            return Ok(None);
        }
        let assembly =
            self.partial.entry(seq).or_insert_with(|| Assembly::new(frame.kind, fragment.last));
        let before = assembly.bytes();
        assembly.add(frame.kind, fragment, frame.payload)?;
        self.bytes = self.bytes + assembly.bytes() - before;
        if let Some(whole) = assembly.whole() {
            self.forget(seq);
            return Ok(Some(whole));
        }
        while self.partial.len() > PARTIAL_MAX || self.bytes > PARTIAL_BYTES_MAX {
            let Some(oldest) = self.partial.keys().next().copied() else { break };
            self.forget(oldest);
            self.floor = oldest + 1;
        }
        Ok(None)
    }

    /// Where the lane stands, while the link rests. What is here in part is given up: nobody sends
    /// the other parts again.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        if !self.partial.is_empty() {
            (self.floor, self.bytes) = (self.expected, 0);
            self.partial.clear();
        }
        notes.number(&mut self.expected);
        notes.number(&mut self.floor);
    }

    fn forget(&mut self, seq: u64) {
        if let Some(assembly) = self.partial.remove(&seq) {
            self.bytes -= assembly.bytes();
        }
    }
}
