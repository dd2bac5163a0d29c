//! Where frame records lie, and the lists that run through them.

use moorline_link::ahead::fetch;
use moorline_link::time::Time;

use super::{FrameId, Repeat, Urgency};

/// How many frames may be on their way.
pub const FRAMES_MAX: usize = 16_384;

/// How many are asked for ahead.
const FETCHED: usize = 8;

/// The end of a list. Places are below it.
const NONE: u16 = u16::MAX;

const _: () = assert!(FRAMES_MAX < NONE as usize);
const _: () = assert!(size_of::<Frame>() <= 40);

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its place is free.
    Free,
    /// It was not sent.
    New,
    /// It is on its way and is not repeated.
    InFlight,
    /// It is on its way and listed, as it may be repeated.
    Live,
    /// No copy is on its way; listed.
    Lost,
    /// It left its list and is about to be sent.
    Taken,
}

/// A frame that is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) first_tx: Time,
    pub(super) last_tx: Time,
    pub(super) tag: u64,
    generation: u32,
    /// Its neighbours in its list, or the next free place.
    before: u16,
    after: u16,
    pub(super) len: u16,
    /// How often it was sent.
    pub(super) copies: u8,
    /// How many of the packets that carry it are on their way.
    pub(super) outstanding: u8,
    pub(super) urgency: Urgency,
    pub(super) state: State,
}

/// The ends of a list of frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    first: u16,
    last: u16,
}

impl List {
    pub(super) const fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

/// Frames at places that are used again; a generation tells their tenants apart.
#[derive(Debug)]
pub(super) struct Slab {
    frames: Vec<Frame>,
    free: u16,
    len: usize,
}

impl Default for Slab {
    fn default() -> Self {
        Self { frames: Vec::new(), free: NONE, len: 0 }
    }
}

impl Slab {
    /// Asks for its first frames, which are those that are used again.
    pub(super) fn fetch(&self) {
        self.frames.iter().take(FETCHED).for_each(fetch);
    }

    pub(super) fn insert(&mut self, tag: u64, len: u16, urgency: Urgency) -> Option<FrameId> {
        if self.free == NONE && self.frames.len() >= FRAMES_MAX {
            return None;
        }
        let mut frame = Frame {
            first_tx: Time::ZERO,
            last_tx: Time::ZERO,
            tag,
            generation: 0,
            before: NONE,
            after: NONE,
            len,
            copies: 0,
            outstanding: 0,
            urgency,
            state: State::New,
        };
        self.len += 1;
        if self.free == NONE {
            self.frames.push(frame);
            let index = u32::try_from(self.frames.len() - 1).ok()?;
            return Some(FrameId { index, generation: 0 });
        }
        let place = self.free;
        let slot = &mut self.frames[usize::from(place)];
        self.free = slot.after;
        frame.generation = slot.generation.wrapping_add(1);
        *slot = frame;
        Some(FrameId { index: place.into(), generation: frame.generation })
    }

    /// Frees the place of a frame that is in no list.
    pub(super) fn remove(&mut self, id: FrameId) {
        let free = self.free;
        if let Some(frame) = self.get_mut(id) {
            frame.state = State::Free;
            frame.after = free;
            self.free = place(id);
            self.len -= 1;
        }
    }

    pub(super) fn get(&self, id: FrameId) -> Option<&Frame> {
        let frame = self.frames.get(usize::try_from(id.index).ok()?)?;
        (frame.generation == id.generation && frame.state != State::Free).then_some(frame)
    }

    pub(super) fn get_mut(&mut self, id: FrameId) -> Option<&mut Frame> {
        let frame = self.frames.get_mut(usize::try_from(id.index).ok()?)?;
        (frame.generation == id.generation && frame.state != State::Free).then_some(frame)
    }

    pub(super) fn repeat(&self, id: FrameId) -> Option<Repeat> {
        self.get(id).map(|frame| Repeat { id, tag: frame.tag, len: frame.len })
    }

    pub(super) fn set_state(&mut self, id: FrameId, state: State) {
        if let Some(frame) = self.get_mut(id) {
            frame.state = state;
        }
    }

    pub(super) fn push_back(&mut self, list: &mut List, id: FrameId, state: State) {
        let last = list.last;
        let Some(frame) = self.get_mut(id) else { return };
        (frame.before, frame.after, frame.state) = (last, NONE, state);
        match self.frames.get_mut(usize::from(last)) {
            Some(last) => last.after = place(id),
            None => list.first = place(id),
        }
        list.last = place(id);
    }

    pub(super) fn push_front(&mut self, list: &mut List, id: FrameId, state: State) {
        let first = list.first;
        let Some(frame) = self.get_mut(id) else { return };
        (frame.before, frame.after, frame.state) = (NONE, first, state);
        match self.frames.get_mut(usize::from(first)) {
            Some(first) => first.before = place(id),
            None => list.last = place(id),
        }
        list.first = place(id);
    }

    /// Takes a frame out of the list that it is in.
    pub(super) fn unlink(&mut self, list: &mut List, id: FrameId, state: State) {
        let Some(frame) = self.get_mut(id) else { return };
        let (before, after) = (frame.before, frame.after);
        (frame.before, frame.after, frame.state) = (NONE, NONE, state);
        match self.frames.get_mut(usize::from(before)) {
            Some(before) => before.after = after,
            None => list.first = after,
        }
        match self.frames.get_mut(usize::from(after)) {
            Some(after) => after.before = before,
            None => list.last = before,
        }
    }

    /// The frames of a list from its first on.
    pub(super) fn ids(&self, list: List) -> impl Iterator<Item = FrameId> {
        let mut next = list.first;
        std::iter::from_fn(move || {
            let frame = self.frames.get(usize::from(next))?;
            let id = FrameId { index: next.into(), generation: frame.generation };
            next = frame.after;
            Some(id)
        })
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

fn place(id: FrameId) -> u16 {
    u16::try_from(id.index).unwrap_or(NONE)
}
