//! The newest value of each key that was not sent, or is not known to have arrived.

use std::collections::{BTreeMap, VecDeque};

use moorline_link::ahead::fetch;
use moorline_link::{Payload, Time};

use super::reliable_out::{Done, MESSAGE_COST};
use super::{Push, Tag};
use crate::notes::Notes;
use crate::seq::Seq16;
use crate::wire::{Extent, Fragment, MessageFrame, Place};

/// A value that was sent so many messages of the lane ago takes a new number when it is sent again.
const AGE_MAX: u64 = 1 << 13;

/// A value that a newer one replaces.
#[derive(Debug)]
struct Value {
    kind: u16,
    payload: Payload,
    notice: Option<u64>,
    queued_at: Time,
    /// None while it waits.
    sent: Option<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: u64,
    split: u8,
    part_len: u32,
    parts_sent: u16,
    /// How many first copies of parts arrived; values of a thousand parts are no sync traffic, so
    /// they are told apart by a mask.
    acked: u128,
}

/// The values of the latest lane.
#[derive(Debug, Default)]
pub(super) struct LatestOut {
    values: BTreeMap<u64, Value>,
    /// Keys with a value that was not sent whole, in the order in which they began to wait.
    waiting: VecDeque<u64>,
    /// The numbers and keys of the values that are on their way, in the order of numbers.
    on_way: VecDeque<(u64, u64)>,
    next: u64,
}

/// What became of a value when a newer one came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// What it took here.
    pub(super) cost: usize,
    /// Whether it was never sent.
    pub(super) is_unsent: bool,
}

impl LatestOut {
    /// Asks for what it points to.
    pub(super) fn fetch_parts(&self) {
        if let Some((_, value)) = self.values.first_key_value() {
            fetch(value);
            value.payload.first().into_iter().for_each(fetch);
        }
        self.on_way.front().into_iter().for_each(fetch);
        self.waiting.front().into_iter().for_each(fetch);
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.waiting.is_empty() && self.on_way.is_empty()
    }

    /// Where the lane stands, while the link rests and nothing is in it.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.number(&mut self.next);
    }

    /// The values that are not known to have arrived.
    pub(super) fn into_values(self) -> impl Iterator<Item = (Time, Push)> {
        self.values.into_iter().map(|(key, Value { kind, payload, notice, queued_at, .. })| {
            (queued_at, Push { place: Place::Latest(key), kind, payload, notice })
        })
    }

    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn holds(&self, key: u64) -> bool {
        self.values.contains_key(&key)
    }

    pub(super) fn push(
        &mut self,
        now: Time,
        (key, kind): (u64, u16),
        payload: Payload,
        notice: Option<u64>,
    ) -> Option<Replaced> {
        let before = self.values.get(&key);
        let sent = before.and_then(|value| value.sent);
        let waits = before.is_some_and(|value| value.is_waiting());
        let replaced =
            before.map(|value| Replaced { cost: value.cost(), is_unsent: value.sent.is_none() });
        if let Some(sent) = sent {
            self.leave_way(sent.seq);
        }
        if !waits {
            self.waiting.push_back(key);
        }
        let value = Value { kind, payload, notice, queued_at: now, sent: None };
        self.values.insert(key, value);
        replaced
    }

    /// Where the value of this number is among those that are on their way.
    fn place_of(&self, seq: u64) -> Option<usize> {
        self.on_way.binary_search_by_key(&seq, |(seq, _)| *seq).ok()
    }

    /// The key of the value of this number, if it is on its way.
    fn key_of(&self, seq: u64) -> Option<u64> {
        Some(self.on_way.get(self.place_of(seq)?)?.1)
    }

    /// The value of this number is on its way no longer.
    fn leave_way(&mut self, seq: u64) {
        if let Some(place) = self.place_of(seq) {
            self.on_way.remove(place);
        }
    }

    /// What each value takes here that was not begun to be sent.
    pub(super) fn unsent_costs(&self) -> impl Iterator<Item = usize> {
        self.values.values().filter(|value| value.sent.is_none()).map(Value::cost)
    }

    /// Drops the value that waits longest and was not begun to be sent, and says what it took.
    pub(super) fn drop_oldest(&mut self) -> Option<usize> {
        let is_unsent = |key: &u64| self.values.get(key).is_some_and(|value| value.sent.is_none());
        let at = self.waiting.iter().position(is_unsent)?;
        let key = self.waiting.remove(at)?;
        self.values.remove(&key).map(|value| value.cost())
    }

    /// The part to send next: that of the key that waits longest.
    pub(super) fn next(&self) -> Option<Tag> {
        let value = self.values.get(self.waiting.front()?)?;
        let (seq, split, index) = match value.sent {
            Some(sent) => (sent.seq, sent.split, sent.parts_sent),
            None => (self.next, 0, 0),
        };
        Some(Tag { lane: Place::Latest(0).number(), split, index, seq })
    }

    /// Gives the waiting value its number, if it has none, and the frame of its next part.
    pub(super) fn begin(&mut self, tag: Tag, part_len: usize) -> Option<MessageFrame<'_>> {
        let key = *self.waiting.front()?;
        let value = self.values.get_mut(&key)?;
        if value.sent.is_none() {
            let part_len = part_len as u32;
            value.sent = Some(Sent { seq: tag.seq, split: 0, part_len, parts_sent: 0, acked: 0 });
            self.on_way.push_back((tag.seq, key));
            self.next = self.next.max(tag.seq + 1);
        }
        self.frame(tag)
    }

    /// As [`ReliableOut::on_first_sent`](super::reliable_out::ReliableOut::on_first_sent).
    pub(super) fn on_first_sent(&mut self, tag: Tag) -> Option<Time> {
        let key = self.key_of(tag.seq)?;
        let value = self.values.get_mut(&key)?;
        let sent = value.sent.as_mut()?;
        sent.parts_sent += 1;
        if !value.is_waiting() {
            self.waiting.pop_front();
        }
        (tag.index == 0 && tag.split == 0).then_some(value.queued_at)
    }

    /// The frame of a part, unless it arrived or a newer value came.
    pub(super) fn frame(&self, tag: Tag) -> Option<MessageFrame<'_>> {
        let key = self.key_of(tag.seq)?;
        let value = self.values.get(&key)?;
        let is_open = |sent: &Sent| sent.split == tag.split && sent.acked & mask(tag.index) == 0;
        let sent = value.sent.filter(is_open)?;
        let last = value.parts().saturating_sub(1);
        let fragment = (last > 0).then_some(Fragment { index: tag.index, last });
        let start = usize::from(tag.index) * sent.part_len as usize;
        let end = (start + sent.part_len as usize).min(value.payload.len());
        Some(MessageFrame {
            place: Place::Latest(key),
            seq: Some(Seq16::of(tag.seq)),
            kind: value.kind,
            fragment,
            extent: Extent::Counted,
            payload: value.payload.get(start..end)?,
        })
    }

    /// Tells that a part arrived; the value if it was its last one.
    pub(super) fn on_acked(&mut self, tag: Tag) -> Option<Done> {
        let key = self.key_of(tag.seq)?;
        let value = self.values.get_mut(&key)?;
        let parts = value.parts();
        let sent = value.sent.as_mut().filter(|sent| sent.split == tag.split)?;
        sent.acked |= mask(tag.index);
        if sent.acked.count_ones() < parts.into() {
            return None;
        }
        let done = Done { cost: value.cost(), notice: value.notice };
        self.leave_way(tag.seq);
        self.values.remove(&key);
        Some(done)
    }

    /// When a part of a value was lost and its parts are too long now, it waits once more, in more
    /// parts and under its number: a peer that has it all the same takes it for what it is. One
    /// that was sent so long ago that its number is ambiguous gets a new one. Whether it waits.
    pub(super) fn begin_anew(&mut self, tag: Tag, part_len: usize) -> bool {
        let Some(key) = self.key_of(tag.seq) else { return false };
        let Some(value) = self.values.get_mut(&key) else { return false };
        let is_long = value.sent.is_some_and(|sent| sent.part_len as usize > part_len)
            && value.payload.len() > part_len;
        let is_old = self.next - tag.seq > AGE_MAX;
        if !is_long && !is_old {
            return false;
        }
        if !value.is_waiting() {
            self.waiting.push_back(key);
        }
        if is_old {
            value.sent = None;
            self.leave_way(tag.seq);
        } else {
            value.split_anew(part_len);
        }
        true
    }
}

impl LatestOut {
    /// Nothing of what is here is on its way any more. What was sent has its number still, so that
    /// a peer that has it takes it for what it is.
    /// `part_len` is the longest part now: a value in longer ones is split anew, into more.
    pub(super) fn begin_all_anew(&mut self, part_len: usize) {
        self.waiting.retain(|key| self.values.get(key).is_some_and(|value| value.sent.is_none()));
        for (place, (_, key)) in self.on_way.iter().enumerate() {
            self.waiting.insert(place, *key);
        }
        let values = &mut self.values;
        self.on_way.retain(|(_, key)| {
            let Some(value) = values.get_mut(key) else { return false };
            value.split_anew(part_len);
            value.sent.is_some()
        });
    }
}

impl Value {
    fn cost(&self) -> usize {
        self.payload.len() + MESSAGE_COST
    }

    /// All of it is to be sent again, in parts that are no longer than this.
    fn split_anew(&mut self, part_len: usize) {
        let (len, parts) = (self.payload.len(), usize::from(self.parts()));
        let Some(sent) = &mut self.sent else { return };
        (sent.parts_sent, sent.acked) = (0, 0);
        sent.split = Tag::next_split(sent.split);
        if len > part_len && sent.part_len as usize > part_len {
            let parts = len.div_ceil(part_len).max(parts + 1);
            sent.part_len = len.div_ceil(parts) as u32;
        }
    }

    fn parts(&self) -> u16 {
        let len = self.sent.map_or(0, |sent| sent.part_len as usize);
        if len == 0 { 1 } else { self.payload.len().div_ceil(len).max(1) as u16 }
    }

    fn is_waiting(&self) -> bool {
        self.sent.is_none_or(|sent| sent.parts_sent < self.parts())
    }
}

const fn mask(index: u16) -> u128 {
    1 << (index % 128)
}

#[cfg(test)]
mod tests {
    use super::super::latest_in::{Heard, LatestIn};
    use super::*;

    /// Sends all that waits; what the peer made of each part.
    fn send_all(lane: &mut LatestOut, peer: &mut LatestIn, part_len: usize) -> Vec<(Tag, Heard)> {
        let mut heard = Vec::new();
        while let Some(tag) = lane.next() {
            let frame = lane.begin(tag, part_len).expect("it waits");
            let (Place::Latest(key), Some(seq)) = (frame.place, frame.seq) else {
                panic!("of another lane: {frame:?}")
            };
            heard.push((tag, peer.on_frame(key, seq, &frame).expect("honest")));
            lane.on_first_sent(tag);
        }
        heard
    }

    #[test]
    fn a_value_that_arrived_and_is_split_anew_is_not_news() {
        let (mut lane, mut peer) = (LatestOut::default(), LatestIn::default());
        lane.push(Time::ZERO, (7, 1), vec![5; 1_835].into(), None);
        let first = send_all(&mut lane, &mut peer, 1_400);
        assert_eq!(first.len(), 2);
        assert_eq!(first[1].1, Heard::NewestWhole(vec![5; 1_835]));
        // Nothing of it is acknowledged, and the path carries less by now.
        assert!(lane.begin_anew(first[0].0, 1_100), "it waits once more");
        assert!(!lane.begin_anew(first[1].0, 1_100), "it does already");
        let again = send_all(&mut lane, &mut peer, 1_100);
        assert!(again.len() > 2 && again.iter().all(|(_, heard)| *heard == Heard::Stale));
        // An acknowledgement of a part as it was says nothing of the parts as they are.
        assert_eq!(lane.on_acked(first[0].0), None);
        let done: Vec<_> = again.iter().filter_map(|(tag, _)| lane.on_acked(*tag)).collect();
        assert_eq!((done.len(), lane.len()), (1, 0));
    }

    #[test]
    fn a_value_that_did_not_arrive_comes_in_more_parts() {
        let (mut lane, mut peer) = (LatestOut::default(), LatestIn::default());
        lane.push(Time::ZERO, (7, 1), vec![5; 1_400].into(), None);
        let tag = lane.next().expect("it waits");
        assert!(lane.begin(tag, 1_400).expect("it waits").fragment.is_none());
        lane.on_first_sent(tag);
        assert!(lane.begin_anew(tag, 1_100), "it was lost, and is too long");
        let again = send_all(&mut lane, &mut peer, 1_100);
        assert_eq!(again.last().map(|(_, heard)| heard), Some(&Heard::NewestWhole(vec![5; 1_400])));
    }
}
