//! How many bytes may be on their way: a window that grows while the path's queue stays short.
//!
//! A standing queue shrinks the window before anything is lost. Loss shrinks it when a queue
//! stands as well, when a router marks packets, or when it is heavy; light loss on a path without
//! a queue is the path's nature and shrinks nothing. Where another flow holds the queue whatever
//! this one does, only loss and marks count until the queue is seen empty again.

use std::time::Duration;

use moorline_link::time::Time;

use super::micros;
use super::rtt::{Rtt, WindowedMin};

mod resting;

/// What may be on its way before anything is known, and at the very least, in packets. RFC 6928 and
/// RFC 9002 (7.2) begin with 10; but they allow them at once. Here the first window is spread over
/// the round trip that the handshake measured, and a queue that grows ends the start before
/// anything is lost, so a slow path sees it as a slow rise; four times as many halve the time
/// that a transfer takes to fill a long path.
const WINDOW_INITIAL_PACKETS: u64 = 44;
const WINDOW_MIN_PACKETS: u64 = 4;
/// A link that may not send by its window sends a packet this often all the same.
pub const FLOOR_INTERVAL: Duration = Duration::from_millis(250);
/// The queue that may stand: a quarter of the smallest round trip, within these bounds.
const QUEUE_MIN_MICROS: u64 = 10_000;
const QUEUE_MAX_MICROS: u64 = 40_000;
/// What stays of the window, in percent.
const DELAY_BACKOFF_PERCENT: u64 = 85;
const LOSS_BACKOFF_PERCENT: u64 = 70;
/// What a round adds to a window that follows the queue, in packets. The more is added and taken
/// off again, the sooner flows have equal parts.
const GROW_PACKETS: u64 = 3;
/// Which part of the window a round takes off where the whole queue stands that may.
const GIVE_WAY: u64 = 8;
/// Which part of the window a round adds, beside these packets, while hardly any queue stands.
const FILL: u64 = 64;
/// Loss that shrinks the window when a queue stands, and without one.
const QUEUED_LOSS_PERMILLE: u64 = 20;
const HEAVY_LOSS_PERMILLE: u64 = 100;
/// How many packets must be judged before a share of them means anything.
const QUEUED_LOSS_SAMPLE: u64 = 64;
const HEAVY_LOSS_SAMPLE: u64 = 256;
/// How often a queue of this flow's own is emptied, so that the smallest round trip is seen again
/// before it is forgotten, and does not creep up with the queue.
const EMPTY_EVERY: Duration = Duration::from_secs(4);
/// Which part of the window is left out for it, for one round.
const EMPTY_PART: u64 = 6;
/// Rounds after which the queue is gone that was there when a flow left its slow start.
const SETTLING_ROUNDS: u32 = 2;
/// Rounds in which nothing is repeated early after a loss that congestion explains.
const QUIET_ROUNDS: u32 = 2;
/// Rounds after which a queue that does not drain belongs to somebody else.
const UNDRAINED_ROUNDS: u32 = 5;
/// Samples of heavy loss without a queue after which a policer is at work.
const POLICER_SAMPLES: u32 = 3;

/// What the window follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It doubles each round.
    SlowStart,
    /// It follows the queue.
    Delay,
    /// Others hold the queue; it follows loss and marks.
    Competitive,
}

/// The window of one path.
#[derive(Clone, Debug)]
pub struct Congestion {
    window: u64,
    threshold: u64,
    in_flight: u64,
    packet_len: u64,
    mode: Mode,
    standing: WindowedMin,
    round: Round,
    sample: LossSample,
    /// How much is lost while no queue stands.
    nature_permille: u64,
    rate: u64,
    quiet_rounds: u32,
    undrained_rounds: Option<u32>,
    policer_samples: u32,
    is_marked: bool,
    emptied_at: Time,
    /// The window before the queue was emptied, for the round after.
    refill: Option<u64>,
    /// Rounds in which the queue is still one that an earlier window made.
    settling_rounds: u32,
    sent_at: Option<Time>,
    stats: CongestionStats,
}

/// What was sent at the beginning of a round was acknowledged at its end.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// The number of the first packet of the next round.
    end: u64,
    started: Time,
    acked_bytes: u64,
    lost: u64,
    rtt_least: Option<u64>,
    /// Whether the window kept anything back.
    is_limited: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct LossSample {
    acked: u64,
    lost: u64,
}

impl LossSample {
    const fn len(self) -> u64 {
        self.acked.saturating_add(self.lost)
    }

    const fn is_above(self, permille: u64) -> bool {
        self.lost.saturating_mul(1_000) > self.len().saturating_mul(permille)
    }

    const fn permille(self) -> u64 {
        match self.lost.saturating_mul(1_000).checked_div(self.len()) {
            Some(permille) => permille,
            None => 0,
        }
    }
}

/// What is known and was counted of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CongestionStats {
    /// Times at which a standing queue shrank the window.
    pub delay_backoffs: u64,
    /// Times at which loss or a mark did.
    pub loss_backoffs: u64,
    /// Times at which the path stopped answering.
    pub collapses: u64,
    /// Times at which another flow was found to hold the queue.
    pub competitions: u64,
    /// Times at which a policer was found.
    pub policers: u64,
}

/// What an acknowledgement brought, beside the packets.
#[derive(Clone, Copy, Debug)]
pub struct AckSummary {
    /// The largest number that was acknowledged.
    pub largest: u64,
    /// One more than the largest that was sent.
    pub sent_end: u64,
    /// Whether a round trip was measured.
    pub is_measured: bool,
}

impl Congestion {
    /// A path of which nothing is known, with packets of `packet_len` bytes.
    pub fn new(packet_len: u16) -> Self {
        let packet_len = u64::from(packet_len.max(1));
        Self {
            window: packet_len * WINDOW_INITIAL_PACKETS,
            threshold: u64::MAX,
            in_flight: 0,
            packet_len,
            mode: Mode::SlowStart,
            standing: WindowedMin::new(Duration::from_millis(100)),
            round: Round::default(),
            sample: LossSample::default(),
            nature_permille: 0,
            rate: 0,
            quiet_rounds: 0,
            undrained_rounds: None,
            policer_samples: 0,
            is_marked: false,
            emptied_at: Time::ZERO,
            refill: None,
            settling_rounds: 0,
            sent_at: None,
            stats: CongestionStats::default(),
        }
    }

    /// Whether a packet of `len` bytes may leave.
    pub fn may_send(&self, now: Time, len: u16) -> bool {
        let fits = self.in_flight.saturating_add(len.into()) <= self.window;
        fits || self.floor_at().is_none_or(|at| now >= at)
    }

    /// When a packet may leave although the window is full.
    pub fn floor_at(&self) -> Option<Time> {
        self.sent_at.map(|at| at + FLOOR_INTERVAL)
    }

    /// Tells that a packet left that takes room in the window.
    pub fn on_sent(&mut self, now: Time, len: u16) {
        self.in_flight = self.in_flight.saturating_add(len.into());
        self.sent_at = Some(now);
        let used = match self.mode {
            Mode::SlowStart => self.in_flight.saturating_mul(2),
            _ => self.in_flight.saturating_add(self.packet_len * 2),
        };
        self.round.is_limited |= used > self.window;
    }

    /// Tells that a packet arrived that was on its way.
    pub fn on_ack(&mut self, len: u16) {
        self.in_flight = self.in_flight.saturating_sub(len.into());
        self.round.acked_bytes = self.round.acked_bytes.saturating_add(len.into());
        self.sample.acked += 1;
        if self.mode == Mode::SlowStart && self.round.is_limited {
            self.window = self.window.saturating_add(len.into());
        }
    }

    /// Tells that a packet was lost that was on its way.
    pub const fn on_lost(&mut self, len: u16) {
        self.in_flight = self.in_flight.saturating_sub(len as u64);
        self.round.lost += 1;
        self.sample.lost += 1;
    }

    /// Tells that a packet is not on its way any more, for a reason that says nothing of the path.
    pub const fn on_discarded(&mut self, len: u16) {
        self.in_flight = self.in_flight.saturating_sub(len as u64);
    }

    /// Tells that a packet that was taken for lost arrived.
    pub const fn on_spurious(&mut self) {
        self.round.lost = self.round.lost.saturating_sub(1);
        self.sample.lost = self.sample.lost.saturating_sub(1);
        self.sample.acked += 1;
    }

    /// Tells that the peer received packets which a router had marked.
    pub const fn on_marked(&mut self) {
        self.is_marked = true;
    }

    /// Tells that probe after probe went unanswered.
    pub fn on_collapse(&mut self) {
        self.threshold = (self.window / 2).max(self.window_min());
        self.window = self.window_min();
        self.mode = Mode::SlowStart;
        self.stats.collapses += 1;
    }

    /// Another path begins as one of which nothing is known; what is on its way stays counted.
    pub fn on_migration(&mut self, packet_len: u16) {
        let (in_flight, stats) = (self.in_flight, self.stats);
        *self = Self { in_flight, stats, ..Self::new(packet_len) };
    }

    /// Sets how long packets are, when the path is found to carry longer or only shorter ones.
    pub fn set_packet_len(&mut self, packet_len: u16) {
        self.packet_len = packet_len.max(1).into();
        let is_starting = self.mode == Mode::SlowStart && self.threshold == u64::MAX;
        let packets = if is_starting { WINDOW_INITIAL_PACKETS } else { WINDOW_MIN_PACKETS };
        self.window = self.window.max(self.packet_len * packets);
    }

    /// Draws the conclusions of an acknowledgement whose packets were told.
    pub fn on_acks_told(&mut self, now: Time, summary: AckSummary, rtt: &Rtt) {
        if summary.is_measured {
            let latest = micros(rtt.latest());
            let parts = if self.mode == Mode::SlowStart { 16 } else { 4 };
            self.standing.resize(rtt.smoothed() / parts);
            self.standing.on_sample(now, latest);
            let least = self.round.rtt_least.map_or(latest, |least| least.min(latest));
            self.round.rtt_least = Some(least);
        }
        let queue = self.queue(rtt);
        if self.mode == Mode::SlowStart {
            if queue.standing > queue.limit {
                self.leave_slow_start(now, &queue, rtt);
            } else if self.window >= self.threshold {
                self.mode = Mode::Delay;
            }
        }
        if summary.largest >= self.round.end {
            self.end_round(now, &queue, rtt);
            self.round = Round { end: summary.sent_end, started: now, ..Round::default() };
            self.round.is_limited = self.in_flight + self.packet_len * 2 > self.window;
        }
    }

    fn queue(&self, rtt: &Rtt) -> Queue {
        let min = micros(rtt.min());
        let above = |value: Option<u64>| value.map_or(0, |value| value.saturating_sub(min));
        Queue {
            standing: above(self.standing.value()),
            throughout: above(self.round.rtt_least),
            limit: (min / 4).clamp(QUEUE_MIN_MICROS, QUEUE_MAX_MICROS),
        }
    }

    fn end_round(&mut self, now: Time, queue: &Queue, rtt: &Rtt) {
        self.rate = self.round_rate(now);
        self.quiet_rounds = self.quiet_rounds.saturating_sub(1);
        if let Some(full) = self.refill.take() {
            self.window = self.window.max(full);
            return;
        }
        let is_congested = self.judge_loss(queue, rtt);
        self.watch_for_others(queue);
        if is_congested {
            self.window = self.floored(self.window * LOSS_BACKOFF_PERCENT / 100);
            self.leave_slow_start_for_loss();
        } else if self.mode == Mode::Delay
            && queue.throughout > queue.limit
            && self.settling_rounds == 0
        {
            self.back_off_from_queue(queue, rtt);
        } else if self.is_time_to_empty(now, queue) {
            let full = self.emptying(queue, rtt);
            self.refill = Some(full);
            self.window = self.floored(full - full / EMPTY_PART);
            self.quiet_rounds = self.quiet_rounds.max(1);
            self.emptied_at = now;
        } else if self.settling_rounds > 0 {
            self.settling_rounds -= 1;
        } else if self.round.is_limited && self.mode != Mode::SlowStart && !self.seems_heavy() {
            self.grow(queue);
        }
    }

    /// Whether what is known of the sample so far would be heavy loss.
    const fn seems_heavy(&self) -> bool {
        self.sample.len() >= QUEUED_LOSS_SAMPLE && self.sample.is_above(HEAVY_LOSS_PERMILLE)
    }

    /// A round in which the window kept something back, and nothing speaks against more.
    fn grow(&mut self, queue: &Queue) {
        if self.mode == Mode::Competitive {
            self.window += self.packet_len;
            return;
        }
        self.window += self.packet_len * GROW_PACKETS;
        if queue.standing < queue.limit / 4 {
            self.window += self.window / FILL;
        }
        self.window = self.floored(self.window - self.excess(queue));
    }

    /// What a round takes off for the queue that stands. As much is added in each round, whatever
    /// the window; so of flows that see one queue each has as much of it as the others.
    /// It is never more than half the window.
    fn excess(&self, queue: &Queue) -> u64 {
        let over = queue.standing.saturating_sub(queue.limit / 4);
        (self.window / GIVE_WAY * over / queue.limit).min(self.window / 2)
    }

    /// Whether loss or marks ask for a smaller window.
    fn judge_loss(&mut self, queue: &Queue, rtt: &Rtt) -> bool {
        let is_draining = self.undrained_rounds.is_some() && self.mode == Mode::Delay;
        let is_queued = queue.standing > queue.limit / 4 * 3 && !is_draining;
        let has_sample = self.sample.len() >= QUEUED_LOSS_SAMPLE;
        let mut is_congested = std::mem::take(&mut self.is_marked);
        if self.mode == Mode::Competitive {
            is_congested |= self.round.lost > 0;
        }
        if has_sample && is_queued {
            // What is lost without a queue as well is the path's nature.
            let permille = QUEUED_LOSS_PERMILLE + self.nature_permille * 2;
            is_congested |= self.sample.is_above(permille) && self.round.lost > 0;
            self.sample = LossSample::default();
        } else if self.sample.len() >= HEAVY_LOSS_SAMPLE {
            // A flow that its window does not hold back cannot be what overloads the path.
            let is_heavy = self.sample.is_above(HEAVY_LOSS_PERMILLE) && self.round.is_limited;
            self.nature_permille = match self.nature_permille {
                0 => self.sample.permille(),
                nature => (nature * 3 + self.sample.permille()) / 4,
            };
            self.sample = LossSample::default();
            self.policer_samples = if is_heavy { self.policer_samples + 1 } else { 0 };
            if self.policer_samples >= POLICER_SAMPLES {
                self.policer_samples = 0;
                self.stats.policers += 1;
                self.window = self.floored(self.window.min(self.delivered(rtt)));
                self.quiet_rounds = QUIET_ROUNDS;
                self.leave_slow_start_for_loss();
                return false;
            }
            is_congested |= is_heavy;
        }
        if is_congested {
            self.quiet_rounds = QUIET_ROUNDS;
            self.stats.loss_backoffs += 1;
        }
        is_congested
    }

    /// A queue that stays although this flow gave way is held by another.
    fn watch_for_others(&mut self, queue: &Queue) {
        if queue.standing < queue.limit / 2 {
            self.undrained_rounds = None;
            if self.mode == Mode::Competitive {
                self.mode = Mode::Delay;
            }
        } else if let Some(rounds) = &mut self.undrained_rounds {
            *rounds += 1;
            if *rounds >= UNDRAINED_ROUNDS && self.mode == Mode::Delay {
                self.mode = Mode::Competitive;
                self.stats.competitions += 1;
            }
        }
    }

    /// Shrinks the window so far that the queue empties: the smallest round trip is seen again, and
    /// does not creep up with the flow's own queue.
    fn back_off_from_queue(&mut self, queue: &Queue, rtt: &Rtt) {
        let emptying = self.emptying(queue, rtt);
        let shrunk = self.window * DELAY_BACKOFF_PERCENT / 100;
        self.window = self.floored(shrunk.min(emptying));
        self.quiet_rounds = self.quiet_rounds.max(1);
        self.undrained_rounds.get_or_insert(0);
        self.stats.delay_backoffs += 1;
    }

    /// The window with which the path holds no queue.
    fn emptying(&self, queue: &Queue, rtt: &Rtt) -> u64 {
        let min = micros(rtt.min());
        let empty = self.window.saturating_mul(min) / (min + queue.throughout).max(1);
        empty - empty / 32
    }

    fn is_time_to_empty(&mut self, now: Time, queue: &Queue) -> bool {
        if queue.throughout < queue.limit / 16 || self.mode != Mode::Delay {
            self.emptied_at = now;
        }
        now.since(self.emptied_at) >= EMPTY_EVERY
    }

    /// The path is full. What it delivered tells how much it holds; and so does the queue, which
    /// the window of a round ago made, half as large.
    fn leave_slow_start(&mut self, now: Time, queue: &Queue, rtt: &Rtt) {
        self.rate = self.rate.max(self.carried_rate(now));
        let min = micros(rtt.min());
        let held = (self.window / 2).saturating_mul(min) / (min + queue.standing).max(1);
        // With half the queue that may stand.
        let short = self.delivered(rtt).max(held);
        let full = short.saturating_mul(min + queue.limit / 2) / min.max(1);
        self.settling_rounds = SETTLING_ROUNDS;
        self.window = self.floored(self.window.min(full));
        self.threshold = self.window;
        self.mode = Mode::Delay;
        self.undrained_rounds.get_or_insert(0);
        self.quiet_rounds = self.quiet_rounds.max(1);
        self.stats.delay_backoffs += 1;
    }

    const fn leave_slow_start_for_loss(&mut self) {
        self.threshold = self.window;
        if matches!(self.mode, Mode::SlowStart) {
            self.mode = Mode::Delay;
        }
    }

    /// Bytes a second that were acknowledged in this round.
    fn round_rate(&self, now: Time) -> u64 {
        let elapsed = micros(now.since(self.round.started)).max(1_000);
        self.round.acked_bytes.saturating_mul(1_000_000) / elapsed
    }

    /// The same with what was lost, which took its place on the way as well; unless so much was
    /// lost that the path must be too full.
    fn carried_rate(&self, now: Time) -> u64 {
        let (rate, acked) = (self.round_rate(now), self.round.acked_bytes.max(1));
        let lost = self.round.lost.saturating_mul(self.packet_len);
        let is_heavy = lost.saturating_mul(1_000) > acked.saturating_mul(HEAVY_LOSS_PERMILLE);
        if is_heavy { rate } else { rate.saturating_mul(acked + lost) / acked }
    }

    /// What the path delivers in its smallest round trip.
    fn delivered(&self, rtt: &Rtt) -> u64 {
        self.rate.saturating_mul(micros(rtt.min())) / 1_000_000
    }

    const fn window_min(&self) -> u64 {
        self.packet_len * WINDOW_MIN_PACKETS
    }

    fn floored(&self, window: u64) -> u64 {
        window.max(self.window_min())
    }

    /// Whether copies that may turn out to be waste have room.
    pub const fn has_room_for_waste(&self) -> bool {
        self.quiet_rounds == 0 && self.in_flight.saturating_mul(5) <= self.window.saturating_mul(4)
    }

    /// Bytes that may be on their way.
    pub const fn window_bytes(&self) -> u64 {
        self.window
    }

    /// Bytes that are on their way.
    pub const fn in_flight_bytes(&self) -> u64 {
        self.in_flight
    }

    /// What the window follows.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What was counted.
    pub const fn stats(&self) -> CongestionStats {
        self.stats
    }
}

/// How much longer than the smallest a round trip is, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Queue {
    /// At the least, in the last half of a round trip.
    standing: u64,
    /// At the least, in the whole round.
    throughout: u64,
    /// What may stand.
    limit: u64,
}

#[cfg(test)]
mod tests;
