//! What arrived, on all lanes of one link.

use std::collections::VecDeque;

use super::Violation;
use super::latest_in::{Heard, LatestIn};
use super::reliable_in::{OrderedIn, Taken, UnorderedIn};
use super::unreliable::UnreliableIn;
use crate::wire::{MESSAGE_CHARGE, MessageFrame, Place, Positions};

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// On which lane.
    pub place: Place,
    /// What it is.
    pub kind: u16,
    /// Its bytes.
    pub payload: Vec<u8>,
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
    ready: VecDeque<Received>,
    /// Kept for its memory.
    due: VecDeque<(u16, Vec<u8>)>,
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
            ready: VecDeque::new(),
            due: VecDeque::new(),
            window,
            taken: 0,
            delivered: 0,
            limit: window,
            stats: InboxStats { duplicates: 0, stale: 0 },
        }
    }

    /// Takes a frame in. Messages that are due are given by [`poll`](Self::poll).
    ///
    /// # Errors
    /// When no honest peer could have sent it.
    pub fn on_message(&mut self, frame: &MessageFrame<'_>) -> Result<(), Violation> {
        match (frame.place, frame.seq) {
            (Place::Latest(key), Some(seq)) => {
                let lane = self.latest.get_or_insert_default();
                match lane.on_frame(key, seq, frame)? {
                    Heard::Newest(payload) => self.give(frame, payload),
                    Heard::Part => {}
                    Heard::Stale => self.stats.stale += 1,
                }
                Ok(())
            }
            (Place::Unreliable, Some(seq)) => {
                let Some(fragment) = frame.fragment else { return Ok(()) };
                let lane = self.unreliable.get_or_insert_default();
                let whole = lane.on_part(frame, seq, fragment)?;
                whole.into_iter().for_each(|payload| self.give(frame, payload));
                Ok(())
            }
            (_, Some(_)) => self.on_reliable(frame),
            (_, None) => {
                self.give(frame, frame.payload.to_vec());
                Ok(())
            }
        }
    }

    fn give(&mut self, frame: &MessageFrame<'_>, payload: Vec<u8>) {
        self.ready.push_back(Received { place: frame.place, kind: frame.kind, payload });
    }

    fn on_reliable(&mut self, frame: &MessageFrame<'_>) -> Result<(), Violation> {
        let Some(seq) = frame.seq else { return Ok(()) };
        let place = frame.place;
        let Taken { charge, refund, is_known } = if place == Place::Unordered {
            self.unordered.get_or_insert_default().on_frame(seq, frame, &mut self.due)?
        } else {
            let at = self.ordered.iter().position(|(of, _)| *of == place).unwrap_or_else(|| {
                self.ordered.push((place, OrderedIn::default()));
                self.ordered.len() - 1
            });
            self.ordered[at].1.on_frame(seq, frame, &mut self.due)?
        };
        self.stats.duplicates += u64::from(is_known);
        self.taken = (self.taken + charge).saturating_sub(refund);
        if self.taken > self.limit {
            return Err(Violation("more was sent than the limit of data allows"));
        }
        while let Some((kind, payload)) = self.due.pop_front() {
            self.delivered += payload.len() as u64 + MESSAGE_CHARGE;
            self.ready.push_back(Received { place, kind, payload });
        }
        Ok(())
    }

    /// The next message, in the order in which they are due.
    pub fn poll(&mut self) -> Option<Received> {
        let received = self.ready.pop_front();
        if received.is_none() {
            // A burst does not keep its memory for ever.
            self.ready = VecDeque::new();
        }
        received
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

    /// What was counted.
    pub const fn stats(&self) -> InboxStats {
        self.stats
    }
}
