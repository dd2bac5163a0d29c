//! Small frames are sent again before anyone knows whether they were lost.
//!
//! A copy rides in a packet that leaves anyway and has room, so that one lost packet costs one tick
//! and not a round trip. Copies are paid from a bucket that other bytes fill; they stop when the
//! path is congested. A frame is lost only when no copy of it is on its way any more, and it is
//! done when any copy was acknowledged. Where this is switched off, a small frame is sent again
//! once its acknowledgement is overdue, which no later packet has to show.

mod slab;

use std::time::Duration;

use moorline_link::time::Time;

use super::FrameId;
use super::estimate::{CERTAIN, Estimate, Urgency};
use slab::{List, Slab, State};

use crate::notes::Notes;

pub use slab::FRAMES_MAX;

/// The longest frame that is repeated early.
pub const REPEAT_LEN_MAX: u16 = 256;
/// What first and overdue copies may borrow: one packet.
const BORROW_MAX: i64 = 1_200;
/// What may be saved up: one packet and eight frames.
pub const BUDGET_MAX: i64 = BORROW_MAX + 8 * (REPEAT_LEN_MAX as i64 + 4);
/// How many of the oldest candidates are looked at for one packet.
const SCAN_MAX: usize = 64;
/// No copy follows another sooner.
const SPACING_MIN: Duration = Duration::from_millis(4);
/// How many packets with overdue copies may go unanswered before they come more slowly.
const OUTAGE_ROUNDS: u32 = 8;
/// The longest time between two packets with overdue copies.
pub const OUTAGE_SPACING_MAX: Duration = Duration::from_millis(250);
/// Copies of one frame that may be on their way, so that they can be counted.
const OUTSTANDING_MAX: u8 = 100;
/// What a path loses, in millionths, before copies may spend more than their budget.
const LOSS_EXPECTED_PPM: u32 = 80_000;
/// How much of the budget is added for every part of the packets that is lost above that, in
/// thousandths.
const BUDGET_GROWTH_PERMILLE: i64 = 3_400;
/// An application that flushes more seldom is not waited for.
const REGULAR_INTERVAL_MAX: Duration = Duration::from_millis(40);

/// Whether frames are repeated early at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Frames are sent again when they are lost, small ones also when their acknowledgement is
    /// overdue, though it may only be late.
    Off,
    /// Small frames are sent again before.
    On {
        /// How many bytes of copies a thousand other bytes pay for, up to a loss of 8 %. Above it
        /// more, by two fifths at 20 %.
        budget_permille: u16,
    },
}

impl Repetition {
    /// Nearly as many bytes of copies as of all else.
    pub const DEFAULT: Self = Self::On { budget_permille: 960 };

    /// What other bytes pay for when so many packets are lost.
    pub(super) fn budget_permille(self, loss_ppm: u32) -> i64 {
        let Self::On { budget_permille } = self else { return 0 };
        let excess = i64::from(loss_ppm.saturating_sub(LOSS_EXPECTED_PPM));
        let grown = 1_000_000 + excess * BUDGET_GROWTH_PERMILLE / 1_000;
        i64::from(budget_permille) * grown / 1_000_000
    }
}

/// Whether the path has room for what may turn out to be waste.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It has.
    Open,
    /// It has not; only what is lost is sent again.
    Closed,
}

/// Why a packet is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// There is something to send; copies ride along.
    Regular,
    /// Nothing else is to be sent soon: copies get a packet of their own.
    Tail,
    /// Nothing was heard for too long.
    Probe,
}

/// A frame to put into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The frame, to be named when the packet is sent.
    pub id: FrameId,
    /// What the caller knows it by.
    pub tag: u64,
    /// Its length on the wire.
    pub len: u16,
}

/// What is known of the path and of the application when a packet is built.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// Whether there is room for waste.
    pub gate: Gate,
    /// The smoothed round trip.
    pub rtt_smoothed: Duration,
    /// After this time an acknowledgement is overdue.
    pub patience: Duration,
    /// How likely a loss is, and how often the application sends.
    pub estimate: &'a Estimate,
}

impl Conditions<'_> {
    fn spacing(&self) -> Duration {
        self.estimate.flush_interval().map_or(SPACING_MIN, |interval| SPACING_MIN.max(interval / 2))
    }

    /// How long to wait before copies get a packet of their own.
    fn tail_wait(&self) -> Duration {
        (self.rtt_smoothed / 8).clamp(Duration::from_millis(5), Duration::from_millis(12))
    }

    /// Until when the application's next flush is expected, if it flushes regularly.
    fn flush_expected_until(&self) -> Option<Time> {
        let interval = self.estimate.flush_interval()?;
        let flushed_at = self.estimate.flushed_at()?;
        (interval <= REGULAR_INTERVAL_MAX).then(|| flushed_at + interval * 3 / 2)
    }
}

/// What was counted of repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlyStats {
    /// Bytes of copies that rode along.
    pub copy_bytes: u64,
    /// Bytes of copies that had a packet of their own.
    pub tail_bytes: u64,
    /// Bytes of everything else, as they count for the budget.
    pub base_bytes: u64,
    /// Frames of which no copy was on its way any more.
    pub frames_lost: u64,
    /// Frames that could not be followed, as there were [`FRAMES_MAX`].
    pub frames_refused: u64,
}

/// The frames that are on their way, and what may be sent again.
#[derive(Debug)]
pub struct Early {
    repetition: Repetition,
    slab: Slab,
    /// Frames that may be repeated, in the order in which they were first sent.
    live: List,
    /// Frames of which no copy is on its way, in the order in which that was found out.
    lost: List,
    /// What copies may spend, in thousandths of a byte.
    budget: i64,
    /// Packets with overdue copies since anything was acknowledged.
    rounds_unanswered: u32,
    round_at: Option<Time>,
    stats: EarlyStats,
}

impl Early {
    /// Asks for what it points to.
    pub fn fetch_parts(&self) {
        self.slab.fetch();
    }

    /// Nothing was sent.
    pub fn new(repetition: Repetition) -> Self {
        Self {
            repetition,
            slab: Slab::default(),
            live: List::default(),
            lost: List::default(),
            budget: (BUDGET_MAX - BORROW_MAX) * 1_000,
            rounds_unanswered: 0,
            round_at: None,
            stats: EarlyStats::default(),
        }
    }

    /// Whether frames are repeated before they are overdue.
    pub(super) const fn is_on(&self) -> bool {
        matches!(self.repetition, Repetition::On { .. })
    }

    /// Follows a frame that is to be sent now; none when there are too many.
    pub fn track(&mut self, tag: u64, len: u16, urgency: Urgency) -> Option<FrameId> {
        let id = self.slab.insert(tag, len, urgency);
        self.stats.frames_refused += u64::from(id.is_none());
        id
    }

    /// The oldest lost frame that fits into `room`, no longer listed as lost: send it, or
    /// [`put_back`](Self::put_back). Or one that is longer than `len_max`, which nothing has room
    /// for any more: it would hide those behind it for ever.
    pub fn take_lost(&mut self, room: usize, len_max: usize) -> Option<Repeat> {
        let fits = |len: u16| usize::from(len) <= room || usize::from(len) > len_max;
        let repeats = |slab: &Slab| {
            let mut ids = slab.ids(self.lost).take(SCAN_MAX);
            ids.find_map(|id| slab.repeat(id).filter(|repeat| fits(repeat.len)))
        };
        let repeat = repeats(&self.slab)?;
        self.slab.unlink(&mut self.lost, repeat.id, State::Taken);
        Some(repeat)
    }

    /// Lists a frame as lost again that was taken and not sent.
    pub fn put_back(&mut self, id: FrameId) {
        if self.slab.get(id).is_some_and(|frame| frame.state == State::Taken) {
            self.slab.push_front(&mut self.lost, id, State::Lost);
        }
    }

    /// Whether a frame is lost.
    pub const fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether a frame is on its way that may be repeated.
    pub const fn has_live(&self) -> bool {
        !self.live.is_empty()
    }

    /// What may be added now to a packet that has `room` bytes, in the order in which it is worth
    /// most: overdue first, then what was repeated least, then what is oldest.
    pub fn repeats(
        &self,
        now: Time,
        (occasion, mut room): (Occasion, usize),
        conditions: &Conditions<'_>,
        out: &mut Vec<Repeat>,
    ) {
        out.clear();
        if conditions.gate == Gate::Closed && occasion != Occasion::Probe {
            return;
        }
        let mut candidates = [None; SCAN_MAX];
        let mut count = 0;
        for (age, id) in self.slab.ids(self.live).take(SCAN_MAX).enumerate() {
            if let Some(rank) = self.rank(now, id, occasion, conditions) {
                // An old frame's acknowledgement is on its way, a new one's is not.
                let order = if rank == OVERDUE { age } else { SCAN_MAX - age };
                candidates[count] = Some((rank, order, id));
                count += 1;
            }
        }
        let candidates = &mut candidates[..count];
        candidates.sort_unstable();
        let mut budget = self.budget;
        for (rank, _, id) in candidates.iter().flatten() {
            let Some(repeat) = self.slab.repeat(*id) else { continue };
            let cost = i64::from(repeat.len) * 1_000;
            let floor = if *rank <= OVERDUE { -BORROW_MAX * 1_000 } else { 0 };
            let is_paid = !self.is_on() || occasion != Occasion::Regular || budget - cost >= floor;
            if is_paid && usize::from(repeat.len) <= room {
                room -= usize::from(repeat.len);
                budget -= cost;
                out.push(repeat);
            }
        }
    }

    /// Those of `frames` that fit into `room` and are not done.
    pub(super) fn fitting(
        &self,
        frames: impl Iterator<Item = FrameId>,
        mut room: usize,
        out: &mut Vec<Repeat>,
    ) {
        for repeat in frames.filter_map(|id| self.slab.repeat(id)) {
            if let Some(rest) = room.checked_sub(repeat.len.into()) {
                room = rest;
                out.push(repeat);
            }
        }
    }

    /// The place of a candidate in the order, if it is one.
    fn rank(
        &self,
        now: Time,
        id: FrameId,
        occasion: Occasion,
        conditions: &Conditions<'_>,
    ) -> Option<u8> {
        let frame = self.slab.get(id)?;
        let spacing = match occasion {
            Occasion::Regular => conditions.spacing(),
            Occasion::Tail => conditions.tail_wait(),
            Occasion::Probe => Duration::ZERO,
        };
        if now.since(frame.last_tx) < spacing || frame.outstanding >= OUTSTANDING_MAX {
            return None;
        }
        if !self.is_on() && occasion != Occasion::Probe {
            return (now >= self.overdue_at(frame, conditions)).then_some(OVERDUE);
        }
        let copies_max = conditions.estimate.copies(frame.urgency);
        let is_overdue = now.since(frame.first_tx) > conditions.patience;
        let is_first = frame.copies == 1 && copies_max > 1 && !is_overdue;
        if is_first && occasion == Occasion::Regular {
            return Some(FIRST);
        }
        if is_overdue && now >= self.overdue_allowed_at(conditions) || occasion == Occasion::Probe {
            return Some(OVERDUE);
        }
        (frame.copies < copies_max).then_some(frame.copies.max(OVERDUE + 1))
    }

    /// When a frame is sent again that nothing but its age speaks for.
    fn overdue_at(&self, frame: &slab::Frame, conditions: &Conditions<'_>) -> Time {
        self.overdue_allowed_at(conditions).max(frame.last_tx + conditions.patience)
    }

    /// From when on overdue copies may be sent: later and later while nothing is answered.
    fn overdue_allowed_at(&self, conditions: &Conditions<'_>) -> Time {
        let Some(round_at) = self.round_at else { return Time::ZERO };
        let mut spacing = conditions.spacing();
        for _ in OUTAGE_ROUNDS..self.rounds_unanswered {
            spacing = spacing.saturating_add(spacing / 2);
            if spacing >= OUTAGE_SPACING_MAX {
                return round_at + OUTAGE_SPACING_MAX;
            }
        }
        round_at + if self.rounds_unanswered < OUTAGE_ROUNDS { Duration::ZERO } else { spacing }
    }

    /// Tells that a packet left with these frames, `len` bytes long with everything around it, at
    /// this patience and while so many packets in a million are lost.
    pub fn on_sent(
        &mut self,
        now: Time,
        (occasion, len): (Occasion, u16),
        (patience, loss_ppm): (Duration, u32),
        frames: &[FrameId],
    ) {
        let mut copy_bytes = 0;
        let mut has_overdue = false;
        for id in frames {
            let Some(frame) = self.slab.get_mut(*id) else { continue };
            let state = frame.state;
            if state == State::New {
                frame.first_tx = now;
            } else if state == State::Live {
                copy_bytes += u64::from(frame.len);
                has_overdue |= now.since(frame.first_tx) > patience;
            }
            frame.last_tx = now;
            frame.copies = frame.copies.saturating_add(1);
            frame.outstanding = frame.outstanding.saturating_add(1);
            let is_small = frame.len <= REPEAT_LEN_MAX && frame.urgency != Urgency::Bulk;
            if state == State::Lost {
                self.slab.unlink(&mut self.lost, *id, State::Taken);
            }
            match state {
                State::Live | State::InFlight => {}
                _ if is_small => self.slab.push_back(&mut self.live, *id, State::Live),
                _ => self.slab.set_state(*id, State::InFlight),
            }
        }
        if has_overdue {
            self.rounds_unanswered = self.rounds_unanswered.saturating_add(1);
            self.round_at = Some(now);
        }
        let budget = self.repetition.budget_permille(loss_ppm);
        self.account(occasion, u64::from(len), copy_bytes, budget);
    }

    fn account(&mut self, occasion: Occasion, len: u64, copy_bytes: u64, budget_permille: i64) {
        if occasion == Occasion::Tail {
            self.stats.tail_bytes += len;
            return;
        }
        let copy_bytes = if occasion == Occasion::Regular { copy_bytes.min(len) } else { 0 };
        let base_bytes = len - copy_bytes;
        self.stats.copy_bytes += copy_bytes;
        self.stats.base_bytes += base_bytes;
        self.budget += i64::try_from(base_bytes).unwrap_or(0) * budget_permille;
        self.budget -= i64::try_from(copy_bytes).unwrap_or(0) * 1_000;
        self.budget = self.budget.min(BUDGET_MAX * 1_000);
    }

    /// Tells that a packet with this frame was acknowledged: the frame is done, and this is what
    /// the caller knows it by. None if it was done before.
    pub fn on_ack(&mut self, id: FrameId) -> Option<u64> {
        self.rounds_unanswered = 0;
        self.round_at = None;
        self.forget(id)
    }

    /// Forgets a frame, wherever it is.
    pub fn forget(&mut self, id: FrameId) -> Option<u64> {
        let (tag, state) = self.slab.get(id).map(|frame| (frame.tag, frame.state))?;
        match state {
            State::Live => self.slab.unlink(&mut self.live, id, State::Taken),
            State::Lost => self.slab.unlink(&mut self.lost, id, State::Taken),
            _ => {}
        }
        self.slab.remove(id);
        Some(tag)
    }

    /// Tells that a packet with this frame was lost. The frame itself is lost when this was its
    /// last copy on the way.
    pub fn on_lost(&mut self, id: FrameId) {
        let Some(frame) = self.slab.get_mut(id) else { return };
        frame.outstanding = frame.outstanding.saturating_sub(1);
        if frame.outstanding > 0 {
            return;
        }
        match frame.state {
            State::Live => self.slab.unlink(&mut self.live, id, State::Taken),
            State::InFlight => {}
            State::New | State::Taken | State::Lost | State::Free => return,
        }
        self.stats.frames_lost += 1;
        self.slab.push_back(&mut self.lost, id, State::Lost);
    }

    /// When copies should get a packet of their own, as nothing else is sent soon.
    pub fn poll_timeout(&self, conditions: &Conditions<'_>) -> Option<Time> {
        if conditions.gate == Gate::Closed {
            return None;
        }
        if !self.is_on() {
            let frames = self.slab.ids(self.live).take(SCAN_MAX);
            let due = frames.filter_map(|id| Some(self.overdue_at(self.slab.get(id)?, conditions)));
            return due.min();
        }
        let is_lossy = conditions.estimate.loss() >= CERTAIN / 100;
        let due = self.slab.ids(self.live).take(SCAN_MAX).filter_map(|id| {
            let frame = self.slab.get(id)?;
            let is_worth_it = is_lossy || frame.urgency == Urgency::Critical;
            let is_open = frame.copies < conditions.estimate.copies(frame.urgency);
            (is_worth_it && is_open).then(|| frame.last_tx + conditions.tail_wait())
        });
        let due = due.min()?;
        Some(conditions.flush_expected_until().map_or(due, |until| due.max(until)))
    }

    /// How many frames are followed.
    pub const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no frame is followed.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it knows, while the link rests and no frame is followed.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        (self.slab, self.live, self.lost) = (Slab::default(), List::default(), List::default());
        notes.signed(&mut self.budget);
        notes.small(&mut self.rounds_unanswered);
        notes.option(&mut self.round_at, N::time);
        let EarlyStats { copy_bytes, tail_bytes, base_bytes, frames_lost, frames_refused } =
            &mut self.stats;
        for value in [copy_bytes, tail_bytes, base_bytes, frames_lost, frames_refused] {
            notes.number(value);
        }
    }

    /// What was counted.
    pub const fn stats(&self) -> EarlyStats {
        self.stats
    }

    /// What copies may spend now; negative while they owe.
    pub const fn budget_bytes(&self) -> i64 {
        self.budget / 1_000
    }
}

/// The place in the order of what was sent once: its first copy is worth most, and must not wait
/// for those of frames whose acknowledgement was lost.
const FIRST: u8 = 0;
/// The place of an overdue candidate: before all further copies.
const OVERDUE: u8 = 1;

#[cfg(test)]
mod tests;
