//! What arrived, on all lanes of one link.

use std::collections::VecDeque;

use moorline_link::Payload;
use moorline_link::ahead::fetch;

use super::latest_in::{Heard, LatestIn};
use super::reliable_in::{OrderedIn, Taken, UnorderedIn};
use super::unreliable::UnreliableIn;
use super::{Violation, note_place};
use crate::notes::Notes;
use crate::wire::{MESSAGE_CHARGE, MessageFrame, Place, Positions};

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// On which lane.
    pub place: Place,
    /// What it is.
    pub kind: u16,
    /// Its bytes.
    pub payload: Payload,
}

/// Messages that wait for nothing any more, one after the other. All links of an endpoint share it.
#[derive(Debug, Default)]
pub struct Ready {
    messages: VecDeque<Received>,
}

impl Ready {
    /// Takes the next one out.
    pub fn poll(&mut self) -> Option<Received> {
        self.messages.pop_front()
    }

    /// Forgets what a link that ended did not take.
    pub fn clear(&mut self) {
        self.messages.clear();
    }

    pub(super) fn push(&mut self, received: Received) {
        self.messages.push_back(received);
    }

    pub(super) fn give(&mut self, frame: &MessageFrame<'_>, payload: Payload) {
        self.push(Received { place: frame.place, kind: frame.kind, payload });
    }
}

/// What was counted of arrivals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxStats {
    /// Frames that were here already: the waste of the peer's repetition.
    pub duplicates: u64,
    /// Values of the latest lane that came after a newer one.
    pub stale: u64,
}

/// The receiving side of all lanes.
#[derive(Debug)]
pub struct Inbox {
    ordered: Vec<(Place, OrderedIn)>,
    unordered: Option<Box<UnorderedIn>>,
    latest: Option<Box<LatestIn>>,
    unreliable: Option<Box<UnreliableIn>>,
    window: u64,
    /// What counts of all that arrived on reliable lanes.
    taken: u64,
    /// What counts of all that was delivered.
    delivered: u64,
    /// The limit that the peer was told last.
    limit: u64,
    stats: InboxStats,
}

impl Inbox {
    /// Nothing arrived. `window` is how much of reliable messages may be on its way or wait here,
    /// counted as [`Frame::MaxData`](crate::wire::Frame::MaxData) says; the peer knows it from the
    /// handshake.
    pub const fn new(window: u64) -> Self {
        Self {
            ordered: Vec::new(),
            unordered: None,
            latest: None,
            unreliable: None,
            window,
            taken: 0,
            delivered: 0,
            limit: window,
            stats: InboxStats { duplicates: 0, stale: 0 },
        }
    }

    /// Takes a frame in. Messages that are due are appended to what is `ready`, in the order in
    /// which they are.
    ///
    /// # Errors
    /// When no honest peer could have sent it.
    pub fn on_message(
        &mut self,
        frame: &MessageFrame<'_>,
        ready: &mut Ready,
    ) -> Result<(), Violation> {
        match (frame.place, frame.seq) {
            (Place::Latest(key), Some(seq)) => {
                let lane = self.latest.get_or_insert_default();
                match lane.on_frame(key, seq, frame)? {
                    Heard::Newest => ready.give(frame, Payload::pooled(frame.payload)),
                    Heard::NewestWhole(payload) => ready.give(frame, payload.into()),
                    Heard::Part => {}
                    Heard::Stale => self.stats.stale += 1,
                }
                Ok(())
            }
            (Place::Unreliable, Some(seq)) => {
                let Some(fragment) = frame.fragment else { return Ok(()) };
                let lane = self.unreliable.get_or_insert_default();
                let whole = lane.on_part(frame, seq, fragment)?;
                whole.into_iter().for_each(|payload| ready.give(frame, payload.into()));
                Ok(())
            }
            (_, Some(_)) => self.on_reliable(frame, ready),
            (_, None) => {
                ready.give(frame, Payload::pooled(frame.payload));
                Ok(())
            }
        }
    }

    fn on_reliable(
        &mut self,
        frame: &MessageFrame<'_>,
        ready: &mut Ready,
    ) -> Result<(), Violation> {
        let Some(seq) = frame.seq else { return Ok(()) };
        let (place, before) = (frame.place, ready.messages.len());
        let Taken { charge, refund, is_known } = if place == Place::Unordered {
            self.unordered.get_or_insert_default().on_frame(seq, frame, ready)?
        } else {
            let at = self.ordered.iter().position(|(of, _)| *of == place).unwrap_or_else(|| {
                self.ordered.push((place, OrderedIn::default()));
                self.ordered.len() - 1
            });
            self.ordered[at].1.on_frame(seq, frame, ready)?
        };
        self.stats.duplicates += u64::from(is_known);
        self.taken = (self.taken + charge).saturating_sub(refund);
        if self.taken > self.limit {
            return Err(Violation("more was sent than the limit of data allows"));
        }
        for received in ready.messages.range(before..) {
            self.delivered += received.payload.len() as u64 + MESSAGE_CHARGE;
        }
        Ok(())
    }

    /// Asks for what it points to.
    pub fn fetch_parts(&self) {
        self.ordered.iter().for_each(fetch);
        if let Some(lane) = &self.latest {
            fetch(&**lane);
        }
        if let Some(lane) = &self.unreliable {
            fetch(&**lane);
        }
    }

    /// What is here of the peer's reliable lanes.
    pub fn positions(&self) -> Positions {
        let mut positions = Positions::default();
        for (place, lane) in &self.ordered {
            positions.set(place.number(), lane.next());
        }
        if let Some(lane) = &self.unordered {
            positions.set(Place::Unordered.number(), lane.floor());
        }
        positions
    }

    /// The limit as it would be told now.
    pub const fn limit_now(&self) -> u64 {
        self.delivered + self.window
    }

    /// The limit to tell the peer, if it is time: an eighth of the window was delivered since the
    /// last time. So nearly all of the window is of use while one lost part holds up the rest.
    pub const fn limit_due(&self) -> Option<u64> {
        let limit = self.delivered + self.window;
        if limit - self.limit >= self.window / 8 { Some(limit) } else { None }
    }

    /// Tells that the peer is told of this limit.
    pub fn on_limit_told(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// The limit that the peer was told last.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// How many messages wait for an earlier one, or for their other parts.
    pub fn waiting_len(&self) -> usize {
        let ordered: usize = self.ordered.iter().map(|(_, lane)| lane.waiting_len()).sum();
        ordered + self.unordered.as_ref().map_or(0, |lane| lane.waiting_len())
    }

    /// What counts of that which arrived and was not delivered: what the peer makes this side keep.
    pub const fn held(&self) -> u64 {
        self.taken - self.delivered
    }

    /// Whether nothing waits for anything, and all that is to be told was told.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.limit_due().is_none()
            && self.ordered.iter().all(|(_, lane)| lane.waiting_len() == 0)
            && self.unordered.as_ref().is_none_or(|lane| lane.is_at_rest())
            && self.latest.as_ref().is_none_or(|lane| lane.is_at_rest())
    }

    /// Where all lanes stand, while the link rests.
    pub(crate) fn note<N: Notes>(&mut self, notes: &mut N) {
        for value in [&mut self.window, &mut self.taken, &mut self.delivered, &mut self.limit] {
            notes.number(value);
        }
        let mut count = self.ordered.len();
        notes.size(&mut count);
        self.ordered.resize_with(count, || (Place::Control, OrderedIn::default()));
        for (place, lane) in &mut self.ordered {
            note_place(place, notes);
            lane.note(notes);
        }
        let mut has = [self.unordered.is_some(), self.latest.is_some(), self.unreliable.is_some()];
        has.iter_mut().for_each(|has| notes.flag(has));
        if has[0] {
            self.unordered.get_or_insert_default().note(notes);
        }
        if has[1] {
            self.latest.get_or_insert_default().note(notes);
        }
        if has[2] {
            self.unreliable.get_or_insert_default().note(notes);
        }
        notes.number(&mut self.stats.duplicates);
        notes.number(&mut self.stats.stale);
    }

    /// What was counted.
    pub const fn stats(&self) -> InboxStats {
        self.stats
    }
}
