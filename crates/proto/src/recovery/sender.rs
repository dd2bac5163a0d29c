//! All parts of recovery together, as the sending side of one link uses them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use moorline_link::Ecn;
use moorline_link::time::{Time, earliest};

use crate::notes::Notes;
use crate::seq::PacketNumber;

use super::FrameId;
use super::congestion::{AckSummary, Congestion, CongestionStats, Mode};
use super::early::{
    Conditions, Early, EarlyStats, Gate, OUTAGE_SPACING_MAX, Occasion, Repeat, Repetition,
};
use super::ecn::{EcnStats, Marking};
use super::estimate::{Estimate, Urgency};
use super::loss::{Loss, LossStats, Patience, ProbeDue};
use super::mtu::{MTU_BASE, Mtu, MtuStats};
use super::pacer::Pacer;
use super::rtt::{Rtt, RttStats};
use super::sent::{AckError, PacketKind, SentPacket, SentPackets};

/// What IPv4 and UDP add to a datagram; copies are paid by the bytes that the network carries.
const DATAGRAM_OVERHEAD: u16 = 28;
/// Lost packets are remembered for so many round trips, as they may only be late.
const LATE_ROUND_TRIPS: u32 = 4;
/// What a path loses, in millionths, from which on its receiver is expected to see gaps all the
/// time and to hold no acknowledgement back.
const LOSSY_PPM: u32 = 40_000;

/// How a link recovers.
#[derive(Clone, Copy, Debug)]
pub struct SenderConfig {
    /// Where the numbers that are left out come from.
    pub seed: u64,
    /// The number of the first packet.
    pub first: PacketNumber,
    /// Whether small frames are repeated before they are known to be lost.
    pub repetition: Repetition,
    /// The longest packet to try: 1,472 bytes over IPv4, 1,452 over IPv6.
    pub mtu_max: u16,
    /// The longest time for which the peer holds an acknowledgement back.
    pub ack_delay_max: Duration,
    /// Whether routers may mark packets.
    pub ecn: bool,
}

/// A packet that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Its number.
    pub number: PacketNumber,
    /// Its length as the payload of a datagram.
    pub len: u16,
    /// Whether the peer must acknowledge it.
    pub kind: PacketKind,
    /// Why it was built.
    pub occasion: Occasion,
    /// Whether routers may mark it.
    pub is_marked: bool,
}

/// What an acknowledgement says beside its ranges.
#[derive(Clone, Copy, Debug)]
pub struct AckFacts {
    /// How long the peer held it back.
    pub delay: Duration,
    /// How many packets came with a router's mark, the last 24 bits, if it tells.
    pub marks: Option<u32>,
}

/// Whether a packet may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Now.
    Now,
    /// Now if it cannot wait; bulk waits until then.
    Paced(Time),
    /// When something is acknowledged or lost, or at the latest then.
    Full(Time),
}

/// Everything that was counted, as plain data.
#[derive(Clone, Copy, Debug)]
pub struct SenderStats {
    /// Round trips.
    pub rtt: RttStats,
    /// Losses.
    pub loss: LossStats,
    /// Repetition.
    pub early: EarlyStats,
    /// The window's changes.
    pub congestion: CongestionStats,
    /// Marks, and whether the path carries them.
    pub ecn: EcnStats,
    /// The search for the longest packet.
    pub mtu: MtuStats,
    /// The probability of a loss, in parts of a million.
    pub loss_ppm: u32,
    /// Bytes that may be on their way.
    pub window_bytes: u64,
    /// Bytes that are.
    pub in_flight_bytes: u64,
    /// Packets that were pushed out while they were on their way, as too many were.
    pub packets_evicted: u64,
}

/// The sending side of recovery.
#[derive(Debug)]
pub struct Sender {
    ack_delay_max: Duration,
    rtt: Rtt,
    sent: SentPackets,
    loss: Loss,
    estimate: Estimate,
    early: Early,
    congestion: Congestion,
    pacer: Pacer,
    ecn: Marking,
    mtu: Mtu,
    /// Packets on their way that the peer must acknowledge.
    eliciting: u32,
    due: Option<Occasion>,
    done: VecDeque<u64>,
    packets_evicted: u64,
    /// Kept for its memory.
    numbers: Vec<u64>,
}

impl Sender {
    /// Asks for the memory that it points to; see [`ahead`](moorline_link::ahead).
    pub fn fetch_parts(&self) {
        self.sent.fetch_parts();
        self.early.fetch_parts();
    }

    /// A link that sent nothing.
    pub fn new(config: SenderConfig) -> Self {
        Self {
            ack_delay_max: config.ack_delay_max,
            rtt: Rtt::new(),
            sent: SentPackets::new(config.seed, config.first),
            loss: Loss::new(),
            estimate: Estimate::new(),
            early: Early::new(config.repetition),
            congestion: Congestion::new(MTU_BASE),
            pacer: Pacer::new(MTU_BASE),
            ecn: Marking::new(config.ecn),
            mtu: Mtu::new(config.mtu_max),
            eliciting: 0,
            due: None,
            done: VecDeque::new(),
            packets_evicted: 0,
            numbers: Vec::new(),
        }
    }

    /// Whether this number is to be left out; skip it in the counter then.
    pub const fn leaves_out(&self, number: PacketNumber) -> bool {
        self.sent.leaves_out(number)
    }

    /// Tells that the application's messages are sent now; once a tick.
    pub fn on_flush(&mut self, now: Time) {
        self.estimate.on_flush(now);
    }

    /// Whether a packet that the peer must acknowledge may leave. Others always may.
    pub fn permit(&self, now: Time, len: u16) -> Permit {
        if !self.congestion.may_send(now, len) {
            return Permit::Full(self.congestion.floor_at().unwrap_or(now));
        }
        self.pacer.poll_timeout(now).map_or(Permit::Now, Permit::Paced)
    }

    /// Follows a frame that goes into the packet that is being built; none when there are too many.
    pub fn track(&mut self, tag: u64, len: u16, urgency: Urgency) -> Option<FrameId> {
        self.early.track(tag, len, urgency)
    }

    /// The oldest lost frame that fits into `room`, or one that is longer than `len_max`, which
    /// nothing has room for any more: send it, or [`put_back`](Self::put_back).
    pub fn take_lost(&mut self, room: usize, len_max: usize) -> Option<Repeat> {
        self.early.take_lost(room, len_max)
    }

    /// Lists a frame as lost again that was taken and not sent.
    pub fn put_back(&mut self, id: FrameId) {
        self.early.put_back(id);
    }

    /// Forgets a frame that need not arrive any more.
    pub fn forget(&mut self, id: FrameId) {
        self.early.forget(id);
    }

    /// Whether there is something lost to send again.
    pub const fn has_lost(&self) -> bool {
        self.early.has_lost()
    }

    /// What may be added now, beside what is new and what is lost, to a packet with `room` bytes.
    pub fn repeats(&self, now: Time, occasion: Occasion, room: usize, out: &mut Vec<Repeat>) {
        out.clear();
        if self.early.has_live() {
            self.early.repeats(now, (occasion, room), &self.conditions(now), out);
        }
        if occasion == Occasion::Probe && out.is_empty() {
            let mut packets = self.sent.outstanding_below(self.sent.end());
            if let Some((number, _)) = packets.find(|(_, packet)| packet.is_eliciting()) {
                self.early.fitting(self.sent.frames(number), room, out);
            }
        }
    }

    fn conditions(&self, now: Time) -> Conditions<'_> {
        let tick = self.estimate.flush_interval().unwrap_or(Duration::from_millis(20));
        let has_room = self.congestion.has_room_for_waste() && !self.pacer.is_behind(now, tick);
        Conditions {
            gate: if has_room { Gate::Open } else { Gate::Closed },
            rtt_smoothed: self.rtt.smoothed(),
            patience: self.overdue_after(),
            estimate: &self.estimate,
        }
    }

    /// After what time a frame is overdue. Where packets are lost, their receiver sees the gaps and
    /// does not hold its acknowledgements back; a link that repeats early lives with the copies
    /// that this costs where it does.
    fn overdue_after(&self) -> Duration {
        let is_lossy = self.estimate.loss_ppm() >= LOSSY_PPM && self.early.is_on();
        self.rtt.patience(if is_lossy { Duration::ZERO } else { self.ack_delay_max })
    }

    /// Tells that a packet left, with the frames that are followed: those that were tracked, taken
    /// or offered by [`repeats`](Self::repeats) for it.
    pub fn on_sent(&mut self, now: Time, packet: Outgoing, frames: &[FrameId]) {
        if self.sent.is_full() {
            self.evict_oldest(now);
        }
        let Outgoing { number, len, kind, occasion, is_marked } = packet;
        self.sent.on_sent(now, number, (len, kind, is_marked), frames);
        if is_marked {
            self.ecn.on_sent(now, number.value(), kind.is_eliciting());
        }
        let carried = len.saturating_add(DATAGRAM_OVERHEAD);
        let path = (self.overdue_after(), self.estimate.loss_ppm());
        self.early.on_sent(now, (occasion, carried), path, frames);
        self.pacer.on_sent(now, len);
        if kind == PacketKind::MtuProbe {
            self.mtu.on_probe_sent(len);
        }
        if kind.is_eliciting() {
            self.eliciting += 1;
            self.loss.on_sent(now);
        }
        if kind != PacketKind::Quiet {
            self.congestion.on_sent(now, len);
            if self.due == Some(occasion) || occasion == Occasion::Probe {
                self.due = None;
            }
        }
    }

    /// Whether routers may mark a packet of this kind that goes out as usual. Probes are not
    /// marked, so that they arrive wherever anything does; nor is what leaves before the first
    /// acknowledgement, so that a link begins as soon on a path that drops what may be marked.
    pub fn ecn_of(&self, now: Time, kind: PacketKind) -> Ecn {
        let may_mark = self.rtt.is_measured()
            && self.ecn.may_mark(kind != PacketKind::Quiet)
            && !self.ecn.is_silent(now, self.rtt.patience(self.ack_delay_max));
        if may_mark { Ecn::Capable } else { Ecn::NotCapable }
    }

    fn evict_oldest(&mut self, now: Time) {
        let Some((number, _)) = self.sent.oldest() else { return };
        if let Some(packet) = self.sent.mark_lost(number) {
            self.packets_evicted += 1;
            self.settle_lost(now, number, packet);
        }
        self.sent.forget_first();
    }

    /// Takes an acknowledgement in. What became of frames is told by [`poll_done`](Self::poll_done)
    /// and [`take_lost`](Self::take_lost).
    ///
    /// # Errors
    /// When no honest peer could have sent it: close the link.
    pub fn on_ack(
        &mut self,
        now: Time,
        facts: AckFacts,
        ranges: impl Iterator<Item = RangeInclusive<u64>>,
    ) -> Result<(), AckError> {
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        let mut largest = None;
        let ranges = ranges.inspect(|range| largest = largest.max(Some(*range.end())));
        let outcome = self.sent.on_ack(ranges, &mut numbers);
        if outcome.is_ok() && !numbers.is_empty() {
            self.take_in(now, facts, largest.unwrap_or(0), &numbers);
        }
        self.numbers = numbers;
        outcome
    }

    fn take_in(&mut self, now: Time, facts: AckFacts, largest: u64, numbers: &[u64]) {
        let mut elapsed = None;
        let mut is_measured = false;
        for number in numbers {
            let Some(packet) = self.sent.settle_acked(*number) else { continue };
            is_measured |= packet.takes_room();
            if *number == largest {
                elapsed = Some(now.since(packet.sent_at));
            }
            self.settle_acked(now, *number, packet);
        }
        // One that was in no hurry may have been held back for longer than anybody said.
        let elapsed = elapsed.filter(|_| is_measured && facts.delay <= self.ack_delay_max);
        if let Some(elapsed) = elapsed {
            self.rtt.on_ack(now, elapsed, facts.delay.min(self.ack_delay_max));
        }
        if self.ecn.on_told(facts.marks) {
            self.congestion.on_marked();
        }
        self.due = None;
        self.detect_losses(now);
        let is_measured = elapsed.is_some();
        let summary = AckSummary { largest, sent_end: self.sent.end(), is_measured };
        self.congestion.on_acks_told(now, summary, &self.rtt);
        self.set_rate();
        let memory = self.loss.allowed(&self.rtt).saturating_mul(LATE_ROUND_TRIPS);
        self.sent.forget_settled(before(now, memory));
    }

    fn settle_acked(&mut self, now: Time, number: u64, packet: SentPacket) {
        if packet.is_lost() {
            let late = now.since(packet.sent_at + self.loss.allowed(&self.rtt));
            let overtaken_by = self.loss.overtaken_by(number);
            self.loss.on_spurious(late, overtaken_by, &self.rtt);
            self.estimate.on_spurious();
            self.congestion.on_spurious();
        } else {
            self.estimate.on_ack();
            if packet.is_eliciting() {
                self.eliciting = self.eliciting.saturating_sub(1);
            }
            if packet.takes_room() {
                self.congestion.on_ack(packet.len);
            }
        }
        if packet.is_marked() {
            self.ecn.on_ack(number, packet.is_lost());
        }
        self.loss.on_ack(number);
        let longest = self.mtu.current();
        self.mtu.on_ack(now, packet.len);
        if self.mtu.current() != longest {
            self.congestion.set_packet_len(self.mtu.current());
        }
        for id in self.sent.frames(number) {
            self.done.extend(self.early.on_ack(id));
        }
    }

    fn detect_losses(&mut self, now: Time) {
        let mut lost = Vec::new();
        self.loss.detect(now, &mut self.sent, &self.rtt, &mut lost);
        for number in lost {
            if let Some(packet) = self.sent.packet(number).copied() {
                self.settle_lost(now, number, packet);
            }
        }
    }

    fn settle_lost(&mut self, now: Time, number: u64, packet: SentPacket) {
        for id in self.sent.frames(number) {
            self.early.on_lost(id);
        }
        if packet.is_eliciting() {
            self.eliciting = self.eliciting.saturating_sub(1);
        }
        match packet.kind {
            PacketKind::MtuProbe => {
                self.congestion.on_discarded(packet.len);
                self.mtu.on_probe_lost(now, packet.len);
                return;
            }
            PacketKind::Eliciting | PacketKind::Unhurried => self.congestion.on_lost(packet.len),
            PacketKind::Quiet => {}
        }
        self.estimate.on_lost();
        if packet.is_marked() {
            for _ in 0..self.ecn.on_lost(number) {
                self.estimate.on_spurious();
                self.congestion.on_spurious();
            }
        }
        if self.mtu.on_lost(now, packet.len) {
            self.congestion.set_packet_len(self.mtu.current());
        }
    }

    fn set_rate(&mut self) {
        let window = self.congestion.window_bytes();
        // A window that doubles in a round leaves at twice its rate, or it could not double.
        let is_doubling = self.congestion.mode() == Mode::SlowStart;
        let window = if is_doubling { window / 5 * 8 } else { window };
        self.pacer.set_rate(window, self.rtt.smoothed(), self.mtu.current());
    }

    /// Acts on deadlines that passed; ask for the [`occasion`](Self::poll_occasion) afterwards.
    pub fn handle_timeout(&mut self, now: Time) {
        self.detect_losses(now);
        self.mtu.handle_timeout(now);
        let patience = self.patience();
        match self.loss.handle_timeout(now, patience) {
            ProbeDue::No => {}
            ProbeDue::Probe => self.due = Some(Occasion::Probe),
            ProbeDue::ProbeAndCollapse => {
                self.due = Some(Occasion::Probe);
                self.congestion.on_collapse();
                self.set_rate();
            }
        }
        let tail_at = self.tail_at(now);
        if self.due.is_none() && tail_at.is_some_and(|at| now >= at) {
            self.due = Some(Occasion::Tail);
        }
    }

    /// While small frames wait, probes come as often as overdue copies would.
    fn patience(&self) -> Patience {
        let interval_max = if self.early.has_live() { OUTAGE_SPACING_MAX } else { Duration::MAX };
        let base = self.rtt.patience(self.ack_delay_max);
        Patience { is_waiting: self.eliciting > 0, base, interval_max }
    }

    /// Whether a packet is to be sent although nothing is new: a probe, which passes a full window
    /// and asks for an answer at once, or copies on their own.
    pub const fn poll_occasion(&mut self) -> Option<Occasion> {
        self.due.take()
    }

    /// Whether [`poll_occasion`](Self::poll_occasion) has one.
    pub const fn has_occasion(&self) -> bool {
        self.due.is_some()
    }

    /// When copies of what is on its way get a packet of their own.
    fn tail_at(&self, now: Time) -> Option<Time> {
        let is_any = self.early.has_live();
        is_any.then(|| self.early.poll_timeout(&self.conditions(now))).flatten()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        let parts = earliest(self.loss.poll_timeout(self.patience()), self.tail_at(now));
        earliest(parts, self.mtu.poll_timeout())
    }

    /// The length of a path probe that should be sent now: a packet of nothing but padding.
    pub fn poll_mtu_probe(&self) -> Option<u16> {
        self.mtu.poll_probe().filter(|_| self.rtt.is_measured())
    }

    /// The longest packet that the path is known to carry.
    pub const fn mtu(&self) -> u16 {
        self.mtu.current()
    }

    /// What the caller knows a frame by that arrived. Each frame is told once.
    pub fn poll_done(&mut self) -> Option<u64> {
        self.done.pop_front()
    }

    /// Tests anew whether routers may mark packets, as another path may have begun.
    pub const fn on_path_in_doubt(&mut self) {
        self.ecn.begin_path();
    }

    /// Begins anew on another path; what is on its way stays known.
    pub fn on_migration(&mut self) {
        self.rtt.on_migration();
        self.mtu.on_migration();
        self.congestion.on_migration(self.mtu.current());
        self.set_rate();
    }

    /// Whether nothing is on its way that anybody waits for, and nothing is left to tell or to do.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.eliciting == 0
            && self.sent.is_at_rest()
            && self.early.is_empty()
            && self.done.is_empty()
            && self.due.is_none()
            && self.mtu.is_at_rest()
    }

    /// What it knows, while the link rests.
    pub(crate) fn note<N: Notes>(&mut self, notes: &mut N) {
        self.numbers.clear();
        notes.duration(&mut self.ack_delay_max);
        self.rtt.note(notes);
        self.sent.note(notes);
        self.loss.note(notes);
        self.estimate.note(notes);
        self.early.note(notes);
        self.congestion.note(notes);
        self.pacer.note(notes);
        self.ecn.note(notes);
        self.mtu.note(notes);
        notes.number(&mut self.packets_evicted);
    }

    /// The largest number that the peer acknowledged.
    pub fn largest_acked(&self) -> Option<PacketNumber> {
        self.loss.largest_acked().and_then(PacketNumber::new)
    }

    /// Round trips of this path.
    pub const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// Everything that was counted.
    pub fn stats(&self) -> SenderStats {
        SenderStats {
            rtt: self.rtt.stats(),
            loss: self.loss.stats(),
            early: self.early.stats(),
            congestion: self.congestion.stats(),
            ecn: self.ecn.stats(),
            mtu: self.mtu.stats(),
            loss_ppm: self.estimate.loss_ppm(),
            window_bytes: self.congestion.window_bytes(),
            in_flight_bytes: self.congestion.in_flight_bytes(),
            packets_evicted: self.packets_evicted,
        }
    }
}

fn before(now: Time, duration: Duration) -> Time {
    Time::from_micros(now.as_micros().saturating_sub(super::micros(duration)))
}
