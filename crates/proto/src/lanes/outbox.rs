//! What waits to be sent or acknowledged, on all lanes of one link.

use std::collections::VecDeque;
use std::time::Duration;

use moorline_link::ahead::fetch;
use moorline_link::{Lane, Payload, SendError, Time};

use super::latest_out::LatestOut;
use super::reliable_out::{Done, MESSAGE_COST, ReliableOut};
use super::unreliable::UnreliableOut;
use super::{KEYS_MAX, SYNC_LEN_MAX, Tag};
use crate::notes::Notes;
use crate::recovery::estimate::Urgency;
use crate::wire::{Fragment, MESSAGE_CHARGE, MessageFrame, Place, Positions, WIDE_LEN_MAX};

/// The longest message of a reliable lane, in bytes: as many parts as there may be of the shortest
/// that a path makes.
pub const MESSAGE_LEN_MAX: usize = 1_024 * Fragment::COUNT_MAX as usize;
/// What the sync lanes may send before bulk that waits has its turn, and how much they may then
/// send for each byte of bulk.
const SYNC_CREDIT_MAX: i64 = 64 * 1_024;
const SYNC_SHARE: i64 = 3;

/// How much an outbox may hold.
#[derive(Clone, Copy, Debug)]
pub struct OutboxConfig {
    /// Bytes of messages that wait or are not acknowledged, with some for each.
    pub bytes_max: usize,
    /// What the peer takes to begin with.
    pub limit: u64,
    /// The longest payload of a part that fits into any packet of the path, whatever its lane.
    /// At least [`Fragment::LEN_MIN`] and [`WIDE_LEN_MAX`].
    pub part_len: usize,
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where it belongs.
    pub place: Place,
    /// What it is.
    pub kind: u16,
    /// Its bytes.
    pub payload: Payload,
    /// What to tell when it arrived, if anything. Of no effect on the unreliable lane.
    pub notice: Option<u64>,
}

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// What cannot wait: all but bulk.
    Interactive,
}

/// How long messages of one lane waited before they were sent for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTime {
    /// How many messages.
    pub messages: u64,
    /// All their times together.
    pub total: Duration,
    /// The longest of them.
    pub longest: Duration,
}

/// What was counted of sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// Queue times of each lane, in the order of [`Lane::ALL`].
    pub queue_times: [QueueTime; Lane::ALL.len()],
    /// Values of the latest lane that were replaced before they were sent.
    pub replaced: u64,
    /// Unreliable messages that waited for too long, or made room for newer ones.
    pub shed: u64,
    /// Messages of the other lanes that made room for newer ones.
    pub dropped: u64,
}

/// Whether so much is held that soon nothing more is taken.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    is_high: bool,
    is_told: bool,
}

impl Backlog {
    fn set(&mut self, is_high: bool) {
        if self.is_high != is_high {
            // Nobody needs to know of one that came and went.
            *self = Self { is_high, is_told: !self.is_told };
        }
    }
}

/// The sending side of all lanes.
#[derive(Debug)]
pub struct Outbox {
    config: OutboxConfig,
    /// What the peer took to begin with, which is what it takes at once.
    window: u64,
    reliable: Vec<ReliableOut>,
    latest: Option<Box<LatestOut>>,
    unreliable: Option<Box<UnreliableOut>>,
    /// What all that is held takes.
    bytes: usize,
    /// What counts of all that was begun on reliable lanes.
    charged: u64,
    /// Whether what waits stays here, but for unreliable messages: see [`hold`](Self::hold).
    is_held: bool,
    /// Which reliable lane has the next turn.
    turn: usize,
    sync_credit: i64,
    arrived: VecDeque<u64>,
    backlog: Backlog,
    stats: OutboxStats,
}

impl Outbox {
    /// Nothing to send.
    pub const fn new(config: OutboxConfig) -> Self {
        Self {
            config,
            window: config.limit,
            reliable: Vec::new(),
            latest: None,
            unreliable: None,
            bytes: 0,
            charged: 0,
            is_held: false,
            turn: 0,
            sync_credit: SYNC_CREDIT_MAX,
            arrived: VecDeque::new(),
            backlog: Backlog { is_high: false, is_told: true },
            stats: OutboxStats {
                queue_times: [QueueTime {
                    messages: 0,
                    total: Duration::ZERO,
                    longest: Duration::ZERO,
                }; Lane::ALL.len()],
                replaced: 0,
                shed: 0,
                dropped: 0,
            },
        }
    }

    /// Asks for what it points to.
    pub fn fetch_parts(&self) {
        self.reliable.iter().for_each(fetch);
        if let Some(lane) = &self.latest {
            lane.fetch_parts();
        }
        if let Some(lane) = &self.unreliable {
            lane.fetch_parts();
        }
    }

    /// Takes a message.
    ///
    /// # Errors
    /// When it is too long, or there is no room for it.
    pub fn push(&mut self, now: Time, message: Push) -> Result<(), SendError> {
        let taken = self.take(now, message);
        if taken == Err(SendError::Full) || self.bytes > self.config.bytes_max / 4 * 3 {
            self.backlog.set(true);
        }
        taken
    }

    fn take(&mut self, now: Time, message: Push) -> Result<(), SendError> {
        let Push { place, kind, payload, notice } = message;
        let len = payload.len();
        let len_max = self.len_max(place);
        if len > len_max {
            return Err(SendError::TooLarge { len, len_max });
        }
        let cost = len + MESSAGE_COST;
        let has_room = self.bytes + cost <= self.config.bytes_max;
        match place {
            Place::Unreliable if notice.is_some() => return Err(SendError::NoNotice),
            Place::Unreliable => {
                let lane = self.unreliable.get_or_insert_default();
                lane.push(now, kind, payload);
                return Ok(());
            }
            Place::Latest(key) => {
                let lane = self.latest.get_or_insert_default();
                let has_room = has_room && lane.len() < KEYS_MAX || lane.holds(key);
                if !has_room {
                    return Err(SendError::Full);
                }
                if let Some(replaced) = lane.push(now, (key, kind), payload, notice) {
                    self.bytes -= replaced.cost;
                    self.stats.replaced += u64::from(replaced.is_unsent);
                }
            }
            Place::Ordered(_) | Place::Control | Place::Unordered => {
                if !has_room {
                    return Err(SendError::Full);
                }
                let at = self.lane_at(place).unwrap_or_else(|| {
                    self.reliable.push(ReliableOut::new(place));
                    self.reliable.len() - 1
                });
                self.reliable[at].push(now, kind, payload, notice);
            }
        }
        self.bytes += cost;
        Ok(())
    }

    /// Drops the oldest messages of a lane that were not begun to be sent, until one of `len` bytes
    /// has room. False, and nothing is dropped, where that is not enough.
    pub fn make_room(&mut self, lane: Lane, len: usize) -> bool {
        let most = self.config.bytes_max.saturating_sub(len + MESSAGE_COST);
        let needed = self.bytes.saturating_sub(most);
        if self.droppable(lane, needed) < needed.max(1) {
            return false;
        }
        // At least one: the latest lane may have too many keys, and room for their bytes.
        while self.drop_oldest(lane) && self.bytes > most {}
        true
    }

    /// How many bytes could be dropped of a lane; at least `needed` is all that is asked.
    fn droppable(&self, lane: Lane, needed: usize) -> usize {
        let mut sum = 0;
        let reliable = self.reliable.iter().filter(|own| is_of(own.place(), lane));
        let latest = self.latest.iter().filter(|_| lane == Lane::Latest);
        let costs = reliable.flat_map(ReliableOut::unsent_costs);
        for cost in costs.chain(latest.flat_map(|own| own.unsent_costs())) {
            sum += cost;
            if sum >= needed {
                break;
            }
        }
        sum
    }

    fn drop_oldest(&mut self, lane: Lane) -> bool {
        let cost = match lane {
            Lane::Unreliable => return false,
            Lane::Latest => self.latest.as_mut().and_then(|lane| lane.drop_oldest()),
            Lane::ReliableOrdered | Lane::ReliableUnordered => {
                let own = self.reliable.iter_mut().filter(|own| is_of(own.place(), lane));
                let oldest = own.filter_map(|own| Some((own.waits_since()?, own)));
                oldest.min_by_key(|(since, _)| *since).and_then(|(_, own)| own.drop_oldest())
            }
        };
        let Some(cost) = cost else { return false };
        self.free(cost);
        self.stats.dropped += 1;
        true
    }

    fn free(&mut self, cost: usize) {
        self.bytes -= cost;
        if self.bytes <= self.config.bytes_max / 4 {
            self.backlog.set(false);
        }
    }

    /// Whether much is held, if that changed since it was told last.
    pub fn poll_backlog(&mut self) -> Option<bool> {
        let is_told = std::mem::replace(&mut self.backlog.is_told, true);
        (!is_told).then_some(self.backlog.is_high)
    }

    /// The longest message that a lane carries. A reliable one must fit into what the peer takes
    /// at once.
    pub fn len_max(&self, place: Place) -> usize {
        // What does not fit here when nothing else does never will.
        let held_max = self.config.bytes_max.saturating_sub(MESSAGE_COST);
        match place {
            Place::Unreliable => SYNC_LEN_MAX,
            Place::Latest(_) => SYNC_LEN_MAX.min(held_max),
            _ => {
                let at_once = self.window.saturating_sub(MESSAGE_CHARGE);
                let at_once = usize::try_from(at_once).unwrap_or(usize::MAX);
                MESSAGE_LEN_MAX.min(at_once).min(held_max)
            }
        }
    }

    fn lane_at(&self, place: Place) -> Option<usize> {
        self.reliable.iter().position(|lane| lane.place() == place)
    }

    /// Drops what waited for too long where that is allowed.
    pub fn expire(&mut self, now: Time) {
        if let Some(lane) = &mut self.unreliable {
            lane.expire(now);
        }
    }

    /// Whether anything waits to be sent for the first time.
    pub fn is_waiting(&self) -> bool {
        self.reliable.iter().any(ReliableOut::is_waiting)
            || self.latest.as_ref().is_some_and(|lane| lane.waiting_len() > 0)
            || self.unreliable.as_ref().is_some_and(|lane| lane.waiting_len() > 0)
    }

    /// How many messages wait to be sent for the first time.
    pub fn waiting_len(&self) -> usize {
        let reliable: usize = self.reliable.iter().map(ReliableOut::waiting_len).sum();
        let latest = self.latest.as_ref().map_or(0, |lane| lane.waiting_len());
        let unreliable = self.unreliable.as_ref().map_or(0, |lane| lane.waiting_len());
        reliable + latest + unreliable
    }

    /// Whether all that was sent reliably arrived.
    pub fn is_settled(&self) -> bool {
        self.reliable.iter().all(ReliableOut::is_empty)
    }

    /// Begins nothing any more that has to arrive; what was begun goes on. The link is about to
    /// end, and what waits is for another one.
    pub const fn hold(&mut self) {
        self.is_held = true;
    }

    /// Whether all that was begun to be sent reliably arrived.
    pub fn has_settled_begun(&self) -> bool {
        self.reliable.iter().all(ReliableOut::has_settled_begun)
    }

    /// Sends what waited in the outbox of an earlier link, whose peer took none of it. Whether that
    /// is all: this peer may take no messages as long as that one did.
    pub fn take_over(&mut self, earlier: Self) -> bool {
        let ours = earlier.reliable.into_iter().filter(|lane| lane.place() != Place::Control);
        let values = earlier.latest.into_iter().flat_map(|lane| lane.into_values());
        let mut is_all = true;
        for (queued_at, message) in ours.flat_map(ReliableOut::into_undone).chain(values) {
            is_all &= self.push(queued_at, message).is_ok();
        }
        self.stats = earlier.stats;
        self.arrived.extend(earlier.arrived);
        is_all
    }

    /// How many messages of the reliable lanes of the application, in the order of
    /// [`Lane::RELIABLE`], are not known to have arrived.
    pub fn unsettled(&self) -> [u64; Lane::RELIABLE.len()] {
        let mut counts = [0; Lane::RELIABLE.len()];
        for lane in &self.reliable {
            let count = match lane.place() {
                Place::Control => continue,
                Place::Unordered => &mut counts[1],
                _ => &mut counts[0],
            };
            *count += lane.undone_len() as u64;
        }
        counts
    }

    /// How many messages of reliable lanes are not known to have arrived.
    pub fn unsettled_len(&self) -> usize {
        self.reliable.iter().map(ReliableOut::len).sum()
    }

    /// The part that should be sent next for the first time and fits into `room`, if one waits:
    /// control before small reliable messages, before the sync lanes, before bulk.
    pub fn next(&mut self, room: usize, scope: Scope) -> Option<(Tag, Urgency)> {
        if !self.reliable.iter().any(ReliableOut::is_waiting) {
            return self.next_sync(room).map(|found| (found, Urgency::Bulk));
        }
        let control = self.lane_at(Place::Control);
        if let Some(found) = control.and_then(|at| self.next_of(at, room)) {
            return Some((found, Urgency::Critical));
        }
        if let Some(found) = self.next_reliable(room, false) {
            return Some((found, Urgency::Interactive));
        }
        let bulk_first = self.sync_credit < 0 && scope == Scope::All;
        if bulk_first && let Some(found) = self.next_reliable(room, true) {
            return Some((found, Urgency::Bulk));
        }
        if let Some(found) = self.next_sync(room) {
            return Some((found, Urgency::Bulk));
        }
        let bulk = if scope == Scope::All { self.next_reliable(room, true) } else { None };
        bulk.map(|found| (found, Urgency::Bulk))
    }

    /// The next part of one reliable lane, which is begun by it.
    fn next_of(&mut self, at: usize, room: usize) -> Option<Tag> {
        let part_len = self.config.part_len;
        let lane = self.reliable.get_mut(at)?;
        let next = lane.next(part_len)?;
        if self.charged + next.charge > self.config.limit {
            return None;
        }
        let len = lane.begin(next.tag, part_len)?.len();
        self.charged += next.charge;
        (len <= room).then_some(next.tag)
    }

    fn next_reliable(&mut self, room: usize, is_bulk: bool) -> Option<Tag> {
        let count = self.reliable.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let lane = self.reliable.get(at)?;
            let is_asked = lane.place() != Place::Control && lane.is_waiting();
            let is_asked = is_asked && (!self.is_held || lane.is_begun());
            if is_asked
                && lane.is_bulk() == is_bulk
                && let Some(found) = self.next_of(at, room)
            {
                self.turn = at + 1;
                return Some(found);
            }
        }
        None
    }

    fn next_sync(&mut self, room: usize) -> Option<Tag> {
        let part_len = self.config.part_len;
        let latest = self.latest.as_mut().filter(|_| !self.is_held).and_then(|lane| {
            let tag = lane.next()?;
            lane.begin(tag, part_len - WIDE_LEN_MAX).filter(|frame| frame.len() <= room)?;
            Some(tag)
        });
        latest.or_else(|| {
            let lane = self.unreliable.as_mut()?;
            let tag = lane.next()?;
            lane.begin(tag, part_len).filter(|frame| frame.len() <= room)?;
            Some(tag)
        })
    }

    /// The frame of a part that [`next`](Self::next) just gave, to be sent for the first time.
    pub fn first_frame(&mut self, tag: Tag) -> Option<MessageFrame<'_>> {
        if tag.lane == Place::Unreliable.number() {
            let part_len = self.config.part_len;
            return self.unreliable.as_mut()?.begin(tag, part_len);
        }
        self.frame(tag)
    }

    /// The frame of a part that was sent, to be sent again; none if that is of no use any more.
    pub fn frame(&self, tag: Tag) -> Option<MessageFrame<'_>> {
        if tag.lane == Place::Latest(0).number() {
            return self.latest.as_ref()?.frame(tag);
        }
        self.lane_of(tag)?.frame(tag)
    }

    fn lane_of(&self, tag: Tag) -> Option<&ReliableOut> {
        self.reliable.iter().find(|lane| lane.place().number() == tag.lane)
    }

    /// Tells that a part left for the first time, `len` bytes long with everything around it.
    pub fn on_first_sent(&mut self, now: Time, tag: Tag, len: usize) {
        let is_bulk_waiting = self.reliable.iter().any(ReliableOut::is_bulk);
        let len = i64::try_from(len).unwrap_or(0);
        let (lane, queued_at) = if tag.lane == Place::Latest(0).number() {
            (Lane::Latest, self.latest.as_mut().and_then(|lane| lane.on_first_sent(tag)))
        } else if tag.lane == Place::Unreliable.number() {
            (Lane::Unreliable, self.unreliable.as_mut().and_then(|lane| lane.on_first_sent(tag)))
        } else {
            let at = self.reliable.iter().position(|lane| lane.place().number() == tag.lane);
            let is_unordered = tag.lane == Place::Unordered.number();
            let lane = if is_unordered { Lane::ReliableUnordered } else { Lane::ReliableOrdered };
            (lane, at.and_then(|at| self.reliable[at].on_first_sent(tag)))
        };
        if lane.is_reliable() {
            self.sync_credit = (self.sync_credit + SYNC_SHARE * len).min(SYNC_CREDIT_MAX);
        } else if is_bulk_waiting {
            self.sync_credit -= len;
        }
        if let Some(queued_at) = queued_at {
            self.stats.queue_times[lane as usize].add(now.since(queued_at));
        }
    }

    /// Whether a part that was lost is to be sent again as it is; otherwise forget it.
    pub fn on_lost(&mut self, tag: Tag) -> bool {
        let part_len = self.config.part_len;
        if tag.lane == Place::Latest(0).number()
            && let Some(lane) = &mut self.latest
            && lane.begin_anew(tag, part_len - WIDE_LEN_MAX)
        {
            return false;
        }
        self.frame(tag).is_some()
    }

    /// Tells that a part arrived.
    pub fn on_acked(&mut self, tag: Tag) {
        let done = if tag.lane == Place::Latest(0).number() {
            self.latest.as_mut().and_then(|lane| lane.on_acked(tag))
        } else {
            let mut lanes = self.reliable.iter_mut();
            let lane = lanes.find(|lane| lane.place().number() == tag.lane);
            lane.and_then(|lane| lane.on_acked(tag))
        };
        if let Some(Done { cost, notice }) = done {
            self.free(cost);
            self.arrived.extend(notice);
        }
    }

    /// Another link goes on with these lanes, whose peer has what `positions` say: all else is sent
    /// again, under the numbers that it had.
    pub fn go_on(&mut self, positions: &Positions) {
        self.is_held = false;
        let mut freed = 0;
        for lane in &mut self.reliable {
            while let Some(Done { cost, notice }) = lane.take_before(positions) {
                freed += cost;
                self.arrived.extend(notice);
            }
            lane.begin_anew();
        }
        self.free(freed);
        if let Some(lane) = &mut self.latest {
            lane.begin_all_anew(self.config.part_len - WIDE_LEN_MAX);
        }
    }

    /// The notice of a message that arrived.
    pub fn poll_arrived(&mut self) -> Option<u64> {
        self.arrived.pop_front()
    }

    /// The peer takes so much at once, before anything was sent.
    pub const fn set_window(&mut self, window: u64) {
        (self.window, self.config.limit) = (window, window);
    }

    /// The peer takes so much in all; less than before says nothing.
    pub fn set_limit(&mut self, limit: u64) {
        self.config.limit = self.config.limit.max(limit);
    }

    /// Parts may be so long now. If that is less than before, what was split longer is split anew.
    pub fn set_part_len(&mut self, part_len: usize) {
        if part_len < self.config.part_len {
            self.reliable.iter_mut().for_each(|lane| lane.split_anew(part_len));
        }
        self.config.part_len = part_len;
    }

    /// Bytes that are held, with some for each message.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits, and all that was sent arrived.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.bytes == 0
            && self.is_settled()
            && self.latest.as_ref().is_none_or(|lane| lane.is_empty())
            && self.unreliable.as_ref().is_none_or(|lane| lane.waiting_len() == 0)
            && self.arrived.is_empty()
            && self.backlog.is_told
            && !self.backlog.is_high
    }

    /// Where all lanes stand, while the link rests: all but how much they may hold and how long
    /// parts are, which whoever wakes it knows.
    pub(crate) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.size(&mut self.turn);
        for value in [&mut self.config.limit, &mut self.window, &mut self.charged] {
            notes.number(value);
        }
        notes.signed(&mut self.sync_credit);
        let mut count = self.reliable.len();
        notes.size(&mut count);
        self.reliable.resize_with(count, || ReliableOut::new(Place::Control));
        self.reliable.iter_mut().for_each(|lane| lane.note(notes));
        let mut has_latest = self.latest.is_some();
        notes.flag(&mut has_latest);
        if has_latest {
            self.latest.get_or_insert_default().note(notes);
        }
        let mut has_unreliable = self.unreliable.is_some();
        notes.flag(&mut has_unreliable);
        if has_unreliable {
            self.unreliable.get_or_insert_default().note(notes);
        }
        self.stats.note(notes);
    }

    /// What was counted.
    pub fn stats(&self) -> OutboxStats {
        let shed = self.unreliable.as_ref().map_or(0, |lane| lane.dropped);
        OutboxStats { shed, ..self.stats }
    }
}

/// Whether a reliable lane is one of the application's lanes of this kind.
fn is_of(place: Place, lane: Lane) -> bool {
    match place {
        Place::Ordered(_) => lane == Lane::ReliableOrdered,
        Place::Unordered => lane == Lane::ReliableUnordered,
        _ => false,
    }
}

impl OutboxStats {
    fn note<N: Notes>(&mut self, notes: &mut N) {
        for QueueTime { messages, total, longest } in &mut self.queue_times {
            notes.number(messages);
            notes.duration(total);
            notes.duration(longest);
        }
        for value in [&mut self.replaced, &mut self.shed, &mut self.dropped] {
            notes.number(value);
        }
    }
}

impl QueueTime {
    fn add(&mut self, time: Duration) {
        self.messages += 1;
        self.total = self.total.saturating_add(time);
        self.longest = self.longest.max(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(OutboxConfig { bytes_max: 4_096, limit: 1 << 20, part_len: 1_100 })
    }

    fn push(outbox: &mut Outbox, place: Place, len: usize) -> Result<(), SendError> {
        let payload = vec![7; len];
        outbox.push(Time::ZERO, Push { place, kind: 1, payload: payload.into(), notice: None })
    }

    #[test]
    fn room_is_made_of_as_much_as_is_needed_or_of_nothing() {
        let mut outbox = outbox();
        for _ in 0..3 {
            push(&mut outbox, Place::Ordered(0), 1_000).expect("there is room");
        }
        push(&mut outbox, Place::Unordered, 500).expect("there is room");
        assert_eq!(push(&mut outbox, Place::Unordered, 2_000), Err(SendError::Full));
        assert!(!outbox.make_room(Lane::ReliableUnordered, 2_000), "the other lane has it");
        assert_eq!(outbox.waiting_len(), 4, "and nothing was dropped for nothing");
        assert!(outbox.make_room(Lane::ReliableOrdered, 2_000));
        assert_eq!(outbox.waiting_len(), 2, "two of the three");
        push(&mut outbox, Place::Unordered, 2_000).expect("there is room now");
    }

    #[test]
    fn what_never_has_room_is_too_large_and_not_a_matter_of_time() {
        let mut outbox = outbox();
        let len_max = 4_096 - MESSAGE_COST;
        for place in [Place::Ordered(3), Place::Unordered, Place::Latest(1)] {
            let error = SendError::TooLarge { len: len_max + 1, len_max };
            assert_eq!(push(&mut outbox, place, len_max + 1), Err(error));
        }
        push(&mut outbox, Place::Unordered, len_max).expect("it is all there is");
    }

    #[test]
    fn what_waits_when_it_is_held_is_sent_by_another_under_new_numbers() {
        let mut earlier = outbox();
        push(&mut earlier, Place::Ordered(0), 10).expect("there is room");
        let (begun, _) = earlier.next(1_200, Scope::All).expect("it waits");
        earlier.on_first_sent(Time::ZERO, begun, 20);
        earlier.hold();
        for (place, len) in
            [(Place::Ordered(0), 20), (Place::Latest(3), 30), (Place::Unordered, 40)]
        {
            push(&mut earlier, place, len).expect("there is room");
        }
        assert_eq!(earlier.next(1_200, Scope::All), None);
        assert!(!earlier.has_settled_begun());
        earlier.on_acked(begun);
        assert!(earlier.has_settled_begun());

        let mut later = outbox();
        assert!(later.take_over(earlier));
        let mut lens = Vec::new();
        while let Some((tag, _)) = later.next(1_200, Scope::All) {
            assert_eq!(tag.seq, 0);
            lens.push(later.first_frame(tag).expect("it was just given").payload.len());
            later.on_first_sent(Time::ZERO, tag, 50);
        }
        lens.sort_unstable();
        assert_eq!(lens, [20, 30, 40]);
    }

    #[test]
    fn what_was_held_is_sent_when_the_same_peer_goes_on() {
        let mut outbox = outbox();
        outbox.hold();
        push(&mut outbox, Place::Ordered(0), 10).expect("there is room");
        assert_eq!(outbox.next(1_200, Scope::All), None);
        outbox.go_on(&Positions::default());
        assert!(outbox.next(1_200, Scope::All).is_some());
    }

    #[test]
    fn it_is_told_when_another_takes_no_messages_so_long() {
        let mut earlier = outbox();
        push(&mut earlier, Place::Ordered(0), 2_000).expect("there is room");
        let mut later =
            Outbox::new(OutboxConfig { bytes_max: 4_096, limit: 1_000, part_len: 1_100 });
        assert!(!later.take_over(earlier));
    }
}
