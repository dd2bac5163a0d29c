//! What one reliable lane has still to send or to hear of.

use std::collections::VecDeque;

use moorline_link::{Payload, Time};

use super::{Push, SPAN_MAX, Tag, note_place};
use crate::notes::Notes;
use crate::seq::Seq16;
use crate::wire::{Extent, Fragment, MESSAGE_CHARGE, MessageFrame, Place, Positions};

/// From how many waiting bytes on a lane is bulk: it waits for the pacer and is not repeated early.
const BULK_BYTES: usize = 4 * 1_024;
/// Room for so many messages is kept while there is none: the next ones come soon.
pub(super) const KEPT_CAPACITY_MAX: usize = 8;
/// What a message takes here beside its payload, roughly.
pub(super) const MESSAGE_COST: usize = 64;

/// A message that is not done.
#[derive(Debug)]
struct Sending {
    kind: u16,
    payload: Payload,
    notice: Option<u64>,
    queued_at: Time,
    /// The length of each part but the last; zero before the first was sent.
    part_len: u32,
    split: u8,
    parts_sent: u16,
    parts_acked: u16,
    /// Which parts arrived, if there are several.
    acked: Vec<u64>,
    is_done: bool,
}

/// The messages of one reliable lane, from the oldest that is not done.
#[derive(Debug)]
pub(super) struct ReliableOut {
    place: Place,
    /// The number of the first message in the queue.
    first: u64,
    messages: VecDeque<Sending>,
    /// How many messages of the queue were sent whole at least once.
    sent: usize,
    /// Bytes of payload that were not sent yet.
    waiting_bytes: usize,
}

/// A part that may be sent for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) tag: Tag,
    /// What it counts for against the peer's limit: nothing if the message was begun before.
    pub(super) charge: u64,
}

/// A message that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// What it took here.
    pub(super) cost: usize,
    pub(super) notice: Option<u64>,
}

impl ReliableOut {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, first: 0, messages: VecDeque::new(), sent: 0, waiting_bytes: 0 }
    }

    /// Which lane it is and where it stands, while the link rests and nothing is in it.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        note_place(&mut self.place, notes);
        notes.number(&mut self.first);
    }

    pub(super) const fn place(&self) -> Place {
        self.place
    }

    pub(super) fn push(&mut self, now: Time, kind: u16, payload: Payload, notice: Option<u64>) {
        self.waiting_bytes += payload.len();
        self.messages.push_back(Sending {
            kind,
            payload,
            notice,
            queued_at: now,
            part_len: 0,
            split: 0,
            parts_sent: 0,
            parts_acked: 0,
            acked: Vec::new(),
            is_done: false,
        });
    }

    fn first_unsent(&self) -> Option<usize> {
        (self.sent..self.messages.len()).find(|at| self.messages[*at].is_unsent())
    }

    /// What each message takes here that was not begun to be sent.
    pub(super) fn unsent_costs(&self) -> impl Iterator<Item = usize> {
        let unsent = self.messages.iter().skip(self.sent).filter(|message| message.is_unsent());
        unsent.map(|message| message.payload.len() + MESSAGE_COST)
    }

    /// Since when the oldest message waits that was not begun to be sent.
    pub(super) fn waits_since(&self) -> Option<Time> {
        Some(self.messages.get(self.first_unsent()?)?.queued_at)
    }

    /// Drops the oldest message that was not begun to be sent, and says what it took. Those after
    /// it have its number and the following ones, which nobody was told yet.
    pub(super) fn drop_oldest(&mut self) -> Option<usize> {
        let message = self.messages.remove(self.first_unsent()?)?;
        self.waiting_bytes -= message.payload.len();
        Some(message.payload.len() + MESSAGE_COST)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many messages are not known to have arrived.
    pub(super) fn undone_len(&self) -> usize {
        self.messages.iter().filter(|message| !message.is_done).count()
    }

    /// Whether the next message to send was begun before.
    pub(super) fn is_begun(&self) -> bool {
        self.messages.get(self.sent).is_some_and(|message| !message.is_unsent())
    }

    /// Whether all that was begun to be sent arrived.
    pub(super) fn has_settled_begun(&self) -> bool {
        self.messages.iter().all(|message| message.is_done || message.is_unsent())
    }

    /// The messages that are not known to have arrived, the first ones first.
    pub(super) fn into_undone(self) -> impl Iterator<Item = (Time, Push)> {
        let place = self.place;
        let undone = self.messages.into_iter().filter(|message| !message.is_done);
        undone.map(move |Sending { kind, payload, notice, queued_at, .. }| {
            (queued_at, Push { place, kind, payload, notice })
        })
    }

    /// Whether something waits to be sent for the first time.
    pub(super) fn is_waiting(&self) -> bool {
        self.sent < self.messages.len()
    }

    /// How many messages wait to be sent for the first time.
    pub(super) fn waiting_len(&self) -> usize {
        self.messages.len() - self.sent
    }

    /// Whether what waits here is more than a few small messages.
    pub(super) fn is_bulk(&self) -> bool {
        self.waiting_bytes >= BULK_BYTES
    }

    /// The part to send next, if one waits. `part_len` is the longest payload of a part now.
    pub(super) fn next(&self, part_len: usize) -> Option<Next> {
        let message = self.messages.get(self.sent)?;
        let seq = self.first + self.sent as u64;
        if seq >= self.first + SPAN_MAX {
            return None;
        }
        let tag =
            Tag { lane: self.place.number(), split: message.split, index: message.parts_sent, seq };
        let charge = if message.part_len == 0 {
            debug_assert!(part_len > 0, "a part has bytes");
            message.payload.len() as u64 + MESSAGE_CHARGE
        } else {
            0
        };
        Some(Next { tag, charge })
    }

    /// Splits the message of a part that [`next`](Self::next) gave, if it was not split yet, and
    /// gives its frame.
    pub(super) fn begin(&mut self, tag: Tag, part_len: usize) -> Option<MessageFrame<'_>> {
        let message = self.messages.get_mut(usize::try_from(tag.seq - self.first).ok()?)?;
        if message.part_len == 0 {
            message.part_len = part_len.max(1) as u32;
        }
        self.frame(tag)
    }

    /// Tells that a part was sent for the first time. If it was the first of its message, this is
    /// since when the message waited.
    pub(super) fn on_first_sent(&mut self, tag: Tag) -> Option<Time> {
        let message = self.messages.get_mut(self.sent)?;
        message.parts_sent += 1;
        self.waiting_bytes -= message.part(tag.index).len();
        let queued_at = message.queued_at;
        // After a message was split anew, those that follow it were sent already.
        while self.messages.get(self.sent).is_some_and(Sending::is_sent) {
            self.sent += 1;
        }
        (tag.index == 0 && tag.split == 0).then_some(queued_at)
    }

    /// The frame of a part, unless it arrived already or the message was split anew.
    pub(super) fn frame(&self, tag: Tag) -> Option<MessageFrame<'_>> {
        let message = self.messages.get(usize::try_from(tag.seq.checked_sub(self.first)?).ok()?)?;
        if message.is_done || message.split != tag.split || message.has_acked(tag.index) {
            return None;
        }
        let last = message.parts().saturating_sub(1);
        let fragment = (last > 0).then_some(Fragment { index: tag.index, last });
        Some(MessageFrame {
            place: self.place,
            seq: Some(Seq16::of(tag.seq)),
            kind: message.kind,
            fragment,
            extent: Extent::Counted,
            payload: message.part(tag.index),
        })
    }

    /// Tells that a part arrived; the message if it was its last one.
    pub(super) fn on_acked(&mut self, tag: Tag) -> Option<Done> {
        let at = usize::try_from(tag.seq.checked_sub(self.first)?).ok()?;
        let message = self.messages.get_mut(at)?;
        if message.is_done || message.split != tag.split || !message.mark_acked(tag.index) {
            return None;
        }
        if message.parts_acked < message.parts() {
            return None;
        }
        let cost = message.payload.len() + MESSAGE_COST;
        let done = Done { cost, notice: message.notice };
        message.is_done = true;
        message.payload = Payload::default();
        while self.messages.front().is_some_and(|message| message.is_done) {
            self.messages.pop_front();
            self.first += 1;
            self.sent = self.sent.saturating_sub(1);
        }
        if self.messages.is_empty() && self.messages.capacity() > KEPT_CAPACITY_MAX {
            self.messages = VecDeque::new();
        }
        Some(done)
    }

    /// The next message that the peer has, as `positions` say.
    pub(super) fn take_before(&mut self, positions: &Positions) -> Option<Done> {
        if self.first >= positions.next(self.place.number()) {
            return None;
        }
        let message = self.messages.pop_front()?;
        self.first += 1;
        // One that arrived after an earlier one was done before.
        let cost = if message.is_done { 0 } else { message.payload.len() + MESSAGE_COST };
        let notice = message.notice.filter(|_| !message.is_done);
        Some(Done { cost, notice })
    }

    /// Nothing of what is here is on its way any more: all of it waits to be sent.
    pub(super) fn begin_anew(&mut self) {
        while self.messages.front().is_some_and(|message| message.is_done) {
            self.messages.pop_front();
            self.first += 1;
        }
        self.sent = 0;
        self.waiting_bytes = 0;
        for message in self.messages.iter_mut().filter(|message| !message.is_done) {
            if message.parts_sent > 0 {
                message.split = Tag::next_split(message.split);
            }
            (message.parts_sent, message.parts_acked) = (0, 0);
            message.acked.clear();
            self.waiting_bytes += message.payload.len();
        }
    }

    /// Splits anew what was split into parts longer than `part_len`, as the path carries no more.
    /// What the peer has of it is sent again.
    pub(super) fn split_anew(&mut self, part_len: usize) {
        for at in 0..self.messages.len() {
            let message = &mut self.messages[at];
            let is_long = message.part_len as usize > part_len && message.payload.len() > part_len;
            if message.is_done || !is_long {
                continue;
            }
            let unsent: usize = message.unsent_len();
            self.waiting_bytes += message.payload.len() - unsent;
            // More parts than before, so that nobody takes a part of one split for one of another.
            let parts = message.payload.len().div_ceil(part_len);
            let parts = parts.max(usize::from(message.parts()) + 1);
            message.part_len = message.payload.len().div_ceil(parts) as u32;
            message.split = Tag::next_split(message.split);
            (message.parts_sent, message.parts_acked) = (0, 0);
            message.acked.clear();
            self.sent = self.sent.min(at);
        }
    }
}

impl Sending {
    /// How many parts it has; one before it was split.
    fn parts(&self) -> u16 {
        match self.part_len {
            0 => 1,
            len => self.payload.len().div_ceil(len as usize).max(1) as u16,
        }
    }

    /// Whether no part of it was ever sent, over this link or an earlier one.
    const fn is_unsent(&self) -> bool {
        self.part_len == 0 && !self.is_done
    }

    fn is_sent(&self) -> bool {
        self.is_done || self.part_len > 0 && self.parts_sent >= self.parts()
    }

    fn part(&self, index: u16) -> &[u8] {
        let len = self.part_len as usize;
        let start = (usize::from(index) * len).min(self.payload.len());
        let end = (start + len).min(self.payload.len());
        &self.payload[start..end]
    }

    fn unsent_len(&self) -> usize {
        let sent = usize::from(self.parts_sent) * self.part_len as usize;
        self.payload.len().saturating_sub(sent)
    }

    fn has_acked(&self, index: u16) -> bool {
        let word = self.acked.get(usize::from(index / 64)).copied().unwrap_or(0);
        word & (1 << (index % 64)) != 0
    }

    /// Whether it was not known yet.
    fn mark_acked(&mut self, index: u16) -> bool {
        if index >= self.parts() || self.has_acked(index) {
            return false;
        }
        self.parts_acked += 1;
        if self.parts() > 1 {
            let word = usize::from(index / 64);
            if self.acked.len() <= word {
                self.acked.resize(word + 1, 0);
            }
            self.acked[word] |= 1 << (index % 64);
        }
        true
    }
}
