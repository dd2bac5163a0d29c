//! Which packets are lost, and when to ask the peer.
//!
//! A packet is lost when enough later ones arrived (RFC 9002, 6.1.1), or when a later one arrived
//! and a round trip with room for reordering is over (RFC 8985). Both limits widen when a packet
//! that was taken for lost arrives after all.

use std::time::Duration;

use moorline_link::time::{Time, earliest};

use super::micros;
use super::rtt::Rtt;
use super::sent::SentPackets;
use crate::notes::Notes;

/// How many later packets must arrive before one is lost, where nothing is reordered.
const PACKET_THRESHOLD: u64 = 3;
/// The same at most, however far packets are reordered.
const PACKET_THRESHOLD_MAX: u64 = 128;
/// How many losses in a row must be real before the limits narrow again.
const NARROW_AFTER_LOSSES: u32 = 64;
/// The least room for reordering.
const REORDER_WINDOW_MIN_MICROS: u64 = 1_000;
/// The longest time between two probes, where the round trip itself is not longer.
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How many probes without any answer mean that the path changed for the worse.
const PERSISTENT_PROBES: u32 = 3;

/// Finds lost packets and says when to probe.
#[derive(Clone, Debug)]
pub struct Loss {
    /// One more than the largest number that was acknowledged.
    acked_end: u64,
    /// How much longer than a round trip a packet may take, beyond the path's own share.
    reorder_extra_micros: u64,
    packet_threshold: u64,
    losses_since_spurious: u32,
    loss_at: Option<Time>,
    eliciting_last: Option<Time>,
    probes: u32,
    stats: LossStats,
}

/// What was counted of losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossStats {
    /// Packets that were taken for lost.
    pub lost: u64,
    /// Of these, packets that arrived after all.
    pub spurious: u64,
    /// Times at which nothing was heard for so long that a probe was due.
    pub probes: u64,
}

/// What a deadline that passed asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeDue {
    /// Nothing.
    No,
    /// One packet of what was not acknowledged for longest, to be acknowledged at once.
    Probe,
    /// The same; and this is persistent congestion.
    ProbeAndCollapse,
}

impl Loss {
    /// Nothing was sent.
    pub const fn new() -> Self {
        Self {
            acked_end: 0,
            reorder_extra_micros: 0,
            packet_threshold: PACKET_THRESHOLD,
            losses_since_spurious: 0,
            loss_at: None,
            eliciting_last: None,
            probes: 0,
            stats: LossStats { lost: 0, spurious: 0, probes: 0 },
        }
    }

    /// Tells that a packet left which the peer must acknowledge.
    pub const fn on_sent(&mut self, now: Time) {
        self.eliciting_last = Some(now);
    }

    /// Tells that a packet was acknowledged for the first time: the path carries packets.
    pub fn on_ack(&mut self, number: u64) {
        self.acked_end = self.acked_end.max(number.saturating_add(1));
        self.probes = 0;
    }

    /// Tells that a packet that was taken for lost arrived `late` after a round trip was over, and
    /// after `overtaken_by` later ones.
    pub fn on_spurious(&mut self, late: Duration, overtaken_by: u64, rtt: &Rtt) {
        let extra = micros(late).min(micros(rtt.smoothed()));
        self.reorder_extra_micros = self.reorder_extra_micros.max(extra);
        let threshold = overtaken_by.saturating_add(1).min(PACKET_THRESHOLD_MAX);
        self.packet_threshold = self.packet_threshold.max(threshold);
        self.losses_since_spurious = 0;
        self.stats.spurious = self.stats.spurious.saturating_add(1);
    }

    /// Takes for lost what is, adds the numbers to `lost`, and remembers when to look again.
    pub fn detect(&mut self, now: Time, sent: &mut SentPackets, rtt: &Rtt, lost: &mut Vec<u64>) {
        let allowed = self.allowed(rtt);
        let news = lost.len();
        self.loss_at = None;
        for (number, packet) in sent.outstanding_below(self.acked_end) {
            let deadline = packet.sent_at + allowed;
            let overtaken_by = self.acked_end - 1 - number;
            if now >= deadline || overtaken_by >= self.packet_threshold {
                lost.push(number);
            } else {
                self.loss_at = earliest(self.loss_at, Some(deadline));
            }
        }
        for number in lost.iter().skip(news) {
            sent.mark_lost(*number);
            self.count_lost();
        }
    }

    fn count_lost(&mut self) {
        self.stats.lost = self.stats.lost.saturating_add(1);
        self.losses_since_spurious = self.losses_since_spurious.saturating_add(1);
        if self.losses_since_spurious >= NARROW_AFTER_LOSSES {
            self.losses_since_spurious = 0;
            self.reorder_extra_micros /= 2;
            self.packet_threshold = (self.packet_threshold / 2).max(PACKET_THRESHOLD);
        }
    }

    /// The largest number that was acknowledged.
    pub const fn largest_acked(&self) -> Option<u64> {
        self.acked_end.checked_sub(1)
    }

    /// How many later numbers were acknowledged than `number`, or lie in between.
    pub const fn overtaken_by(&self, number: u64) -> u64 {
        self.acked_end.saturating_sub(number).saturating_sub(1)
    }

    /// How long a packet may take while later ones arrive.
    pub fn allowed(&self, rtt: &Rtt) -> Duration {
        let round_trip = rtt.smoothed().max(rtt.latest());
        let window = (micros(rtt.min()) / 8).max(REORDER_WINDOW_MIN_MICROS);
        let window = window.saturating_add(self.reorder_extra_micros);
        round_trip.saturating_add(Duration::from_micros(window))
    }

    /// Acts on a deadline that passed. Call [`detect`](Self::detect) before it.
    pub fn handle_timeout(&mut self, now: Time, patience: Patience) -> ProbeDue {
        if self.probe_at(patience).is_none_or(|at| now < at) {
            return ProbeDue::No;
        }
        self.probes = self.probes.saturating_add(1);
        self.stats.probes = self.stats.probes.saturating_add(1);
        self.eliciting_last = Some(now);
        match self.probes {
            PERSISTENT_PROBES => ProbeDue::ProbeAndCollapse,
            _ => ProbeDue::Probe,
        }
    }

    /// When [`detect`](Self::detect) or [`handle_timeout`](Self::handle_timeout) has work.
    pub fn poll_timeout(&self, patience: Patience) -> Option<Time> {
        earliest(self.loss_at, self.probe_at(patience))
    }

    fn probe_at(&self, patience: Patience) -> Option<Time> {
        if !patience.is_waiting {
            return None;
        }
        Some(self.eliciting_last? + self.probe_interval(patience))
    }

    /// The time from the last packet to the next probe: 1, 1, 1.5, 1.5^2, ... times the patience.
    fn probe_interval(&self, patience: Patience) -> Duration {
        let most = patience.interval_max.min(PROBE_INTERVAL_MAX).max(patience.base);
        let mut interval = patience.base;
        for _ in 1..self.probes {
            interval = interval.saturating_add(interval / 2);
            if interval >= most {
                return most;
            }
        }
        interval.min(most)
    }

    /// How many probes in a row went unanswered.
    pub const fn probes_unanswered(&self) -> u32 {
        self.probes
    }

    /// What it knows, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        let LossStats { lost, spurious, probes } = &mut self.stats;
        let Self { acked_end, reorder_extra_micros, packet_threshold, .. } = self;
        for value in [acked_end, reorder_extra_micros, packet_threshold, lost, spurious, probes] {
            notes.number(value);
        }
        notes.small(&mut self.losses_since_spurious);
        notes.option(&mut self.loss_at, N::time);
        notes.option(&mut self.eliciting_last, N::time);
        notes.small(&mut self.probes);
    }

    /// What was counted.
    pub const fn stats(&self) -> LossStats {
        self.stats
    }
}

impl Default for Loss {
    fn default() -> Self {
        Self::new()
    }
}

/// How long to wait for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Whether an answer is expected at all.
    pub is_waiting: bool,
    /// How long the first answer may take.
    pub base: Duration,
    /// The longest time between two probes.
    pub interval_max: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::sent::PacketKind;
    use crate::seq::PacketNumber;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rtt_of(millis: u64) -> Rtt {
        let mut rtt = Rtt::new();
        for _ in 0..50 {
            rtt.on_ack(at(0), ms(millis), ms(0));
        }
        rtt
    }

    /// Ten packets, one every 10 ms.
    fn ten_sent() -> SentPackets {
        let mut sent = SentPackets::new(1, PacketNumber::FIRST);
        for value in 0..10 {
            let number = PacketNumber::new(value).expect("a packet number");
            sent.on_sent(at(value * 10), number, (100, PacketKind::Eliciting, false), &[]);
        }
        sent
    }

    fn ack(loss: &mut Loss, sent: &mut SentPackets, number: u64) {
        let mut acked = Vec::new();
        sent.on_ack([number..=number].into_iter(), &mut acked).expect("it was sent");
        sent.settle_acked(number);
        loss.on_ack(number);
    }

    fn patience(base: u64) -> Patience {
        Patience { is_waiting: true, base: ms(base), interval_max: Duration::MAX }
    }

    #[test]
    fn a_packet_is_lost_when_three_later_ones_arrived() {
        let (mut loss, mut sent, mut lost) = (Loss::new(), ten_sent(), Vec::new());
        ack(&mut loss, &mut sent, 2);
        loss.detect(at(30), &mut sent, &rtt_of(50), &mut lost);
        assert_eq!(lost, []);
        ack(&mut loss, &mut sent, 4);
        loss.detect(at(40), &mut sent, &rtt_of(50), &mut lost);
        assert_eq!(lost, [0, 1]);
    }

    #[test]
    fn a_packet_is_lost_a_round_trip_and_an_eighth_after_it_was_sent() {
        let (mut loss, mut sent, mut lost) = (Loss::new(), ten_sent(), Vec::new());
        let rtt = rtt_of(48);
        ack(&mut loss, &mut sent, 1);
        loss.detect(at(50), &mut sent, &rtt, &mut lost);
        assert_eq!((lost.len(), loss.poll_timeout(patience(1_000))), (0, Some(at(54))));
        loss.detect(at(54), &mut sent, &rtt, &mut lost);
        assert_eq!(lost, [0]);
    }

    #[test]
    fn nothing_is_lost_before_anything_later_arrived() {
        let (mut loss, mut sent, mut lost) = (Loss::new(), ten_sent(), Vec::new());
        loss.detect(at(10_000), &mut sent, &rtt_of(50), &mut lost);
        assert_eq!(lost, []);
    }

    #[test]
    fn a_late_packet_widens_the_limits_and_real_losses_narrow_them() {
        let (mut loss, rtt) = (Loss::new(), rtt_of(50));
        let narrow = loss.allowed(&rtt);
        loss.on_spurious(ms(12), 9, &rtt);
        assert_eq!(loss.allowed(&rtt), narrow + ms(12));
        assert_eq!(loss.packet_threshold, 10);
        for _ in 0..6 * NARROW_AFTER_LOSSES {
            loss.count_lost();
        }
        assert!(loss.allowed(&rtt) < narrow + ms(1));
        assert_eq!(loss.packet_threshold, PACKET_THRESHOLD);
        loss.on_spurious(Duration::MAX, u64::MAX, &rtt);
        assert!(loss.allowed(&rtt) <= narrow + rtt.smoothed());
        assert_eq!(loss.packet_threshold, PACKET_THRESHOLD_MAX);
    }

    #[test]
    fn probes_come_slower_by_half_and_never_slower_than_once_a_second() {
        let mut loss = Loss::new();
        loss.on_sent(at(0));
        let mut before = 0;
        let mut intervals = Vec::new();
        for probe in 1..=9 {
            let due = loss.poll_timeout(patience(100)).expect("a probe");
            assert_eq!(loss.handle_timeout(at(due.as_millis() - 1), patience(100)), ProbeDue::No);
            let expected = if probe == 3 { ProbeDue::ProbeAndCollapse } else { ProbeDue::Probe };
            assert_eq!(loss.handle_timeout(due, patience(100)), expected);
            intervals.push(due.as_millis() - before);
            before = due.as_millis();
        }
        assert_eq!(intervals, [100, 100, 150, 225, 337, 506, 760, 1_000, 1_000]);
        loss.on_ack(0);
        assert_eq!(loss.probe_interval(patience(100)), ms(100));
        assert_eq!(loss.probe_interval(patience(1_500)), ms(1_500));
    }

    #[test]
    fn no_probe_is_due_when_no_answer_is_expected() {
        let mut loss = Loss::new();
        loss.on_sent(at(0));
        let quiet = Patience { is_waiting: false, ..patience(100) };
        assert_eq!(loss.poll_timeout(quiet), None);
        assert_eq!(loss.handle_timeout(at(5_000), quiet), ProbeDue::No);
    }
}
