//! One sender, one bottleneck and one receiver on virtual time, to hold the parts to what they
//! promise together.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::time::Time;

use crate::seq::PacketNumber;

use super::early::{Occasion, Repetition};
use super::estimate::Urgency;
use super::sender::{AckFacts, Outgoing, Permit, Sender, SenderConfig};
use super::sent::PacketKind;

mod claims;

const STEP_MICROS: u64 = 500;
const HEADER_LEN: u16 = 27;
const FRAME_OVERHEAD: u16 = 4;

/// What the sender wants and what the network does to it.
#[derive(Clone, Copy)]
struct Setup {
    seed: u64,
    repetition: Repetition,
    one_way: Duration,
    loss_permille: u64,
    /// Lengths of the reliable message and of the state of each tick.
    message_len: u16,
    state_len: u16,
    tick: Duration,
    /// The bottleneck, in bytes a second, and its queue, in bytes.
    rate: u64,
    queue_max: u64,
    is_bulk: bool,
    /// From when to when nothing gets through, in milliseconds.
    outage_ms: (u64, u64),
}

impl Setup {
    const GAME: Self = Self {
        seed: 1,
        repetition: Repetition::DEFAULT,
        one_way: Duration::from_millis(25),
        loss_permille: 50,
        message_len: 24,
        state_len: 48,
        tick: Duration::from_micros(16_667),
        rate: 100_000_000,
        queue_max: 1_000_000,
        is_bulk: false,
        outage_ms: (0, 0),
    };

    const BULK: Self =
        Self { rate: 2_500_000, loss_permille: 0, is_bulk: true, queue_max: 500_000, ..Self::GAME };
}

struct InFlight {
    number: u64,
    tags: Vec<u64>,
    wants_answer: bool,
}

struct Ack {
    ranges: Vec<RangeInclusive<u64>>,
    delay: Duration,
}

struct World {
    setup: Setup,
    rng: Rng,
    now: Time,
    sender: Sender,
    next: u64,
    tags: u64,
    fresh: VecDeque<u64>,
    tick_at: Time,
    forward: VecDeque<(Time, InFlight)>,
    backward: VecDeque<(Time, Ack)>,
    link_free_at: Time,
    received: BTreeSet<u64>,
    largest_at: Time,
    pending: u32,
    answer_now: bool,
    ack_at: Time,
    sent_at: BTreeMap<u64, Time>,
    delivered: BTreeMap<u64, Time>,
    done: BTreeSet<u64>,
    wire_bytes: u64,
    outage_bytes: u64,
    loss_ppm_max: u32,
    goodput: u64,
    queue_delays: Vec<Duration>,
}

impl World {
    fn new(setup: Setup) -> Self {
        let config = SenderConfig {
            seed: setup.seed,
            first: PacketNumber::FIRST,
            repetition: setup.repetition,
            mtu_max: 1_200,
            ack_delay_max: Duration::from_millis(20),
            ecn: true,
        };
        Self {
            setup,
            rng: Rng::new(setup.seed),
            now: Time::ZERO,
            sender: Sender::new(config),
            next: 0,
            tags: 0,
            fresh: VecDeque::new(),
            tick_at: Time::ZERO,
            forward: VecDeque::new(),
            backward: VecDeque::new(),
            link_free_at: Time::ZERO,
            received: BTreeSet::new(),
            largest_at: Time::ZERO,
            pending: 0,
            answer_now: false,
            ack_at: Time::from_millis(7),
            sent_at: BTreeMap::new(),
            delivered: BTreeMap::new(),
            done: BTreeSet::new(),
            wire_bytes: 0,
            outage_bytes: 0,
            loss_ppm_max: 0,
            goodput: 0,
            queue_delays: Vec::new(),
        }
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while self.now < end {
            self.now = self.now + Duration::from_micros(STEP_MICROS);
            self.receive();
            self.take_acks();
            self.sender.handle_timeout(self.now);
            while let Some(tag) = self.sender.poll_done() {
                assert!(self.done.insert(tag), "a frame is done once");
            }
            if let Some(occasion) = self.sender.poll_occasion() {
                self.send(occasion, 0);
            }
            if self.now >= self.tick_at {
                self.tick();
            }
            self.send_lost_and_bulk();
            let stats = self.sender.stats();
            self.loss_ppm_max = self.loss_ppm_max.max(stats.loss_ppm);
            let early = stats.early;
            let paid = early.base_bytes * self.permille() / 1_000 + super::early::BUDGET_MAX as u64;
            assert!(early.copy_bytes <= paid, "{early:?}");
        }
    }

    fn tick(&mut self) {
        self.tick_at = self.tick_at + self.setup.tick;
        if self.setup.is_bulk {
            return;
        }
        self.sender.on_flush(self.now);
        self.sent_at.insert(self.tags, self.now);
        self.fresh.push_back(self.tags);
        self.tags += 1;
        let permit = self.sender.permit(self.now, 200);
        if !matches!(permit, Permit::Full(_)) {
            self.send(Occasion::Regular, self.setup.state_len);
        }
    }

    fn send_lost_and_bulk(&mut self) {
        for _ in 0..100 {
            let may = self.sender.permit(self.now, 1_200);
            let wants = self.sender.has_lost() || self.setup.is_bulk;
            let may = may == Permit::Now || !self.setup.is_bulk && matches!(may, Permit::Paced(_));
            if !wants || !may {
                break;
            }
            self.send(Occasion::Regular, 0);
        }
    }

    fn send(&mut self, occasion: Occasion, state_len: u16) {
        let mut len = HEADER_LEN + state_len;
        let room = |len: u16| usize::from(1_200 - len);
        let (mut ids, mut tags) = (Vec::new(), Vec::new());
        while let Some(lost) = self.sender.take_lost(room(len), usize::MAX) {
            len += lost.len;
            ids.push(lost.id);
            tags.push(lost.tag);
        }
        if self.setup.is_bulk && ids.is_empty() && occasion == Occasion::Regular {
            self.sent_at.insert(self.tags, self.now);
            self.fresh.push_back(self.tags);
            self.tags += 1;
        }
        let (frame_len, urgency) = match self.setup.is_bulk {
            true => (1_200 - HEADER_LEN, Urgency::Bulk),
            false => (self.setup.message_len + FRAME_OVERHEAD, Urgency::Interactive),
        };
        while let Some(tag) = self.fresh.front().copied().filter(|_| room(len) >= frame_len.into())
        {
            let id = self.sender.track(tag, frame_len, urgency).expect("room for frames");
            self.fresh.pop_front();
            len += frame_len;
            ids.push(id);
            tags.push(tag);
        }
        let mut repeats = Vec::new();
        self.sender.repeats(self.now, occasion, room(len), &mut repeats);
        for repeat in repeats {
            len += repeat.len;
            ids.push(repeat.id);
            tags.push(repeat.tag);
        }
        let mut number = PacketNumber::new(self.next).expect("few packets");
        if self.sender.leaves_out(number) {
            number = number.next().expect("few packets");
        }
        self.next = number.value() + 1;
        let packet =
            Outgoing { number, len, kind: PacketKind::Eliciting, occasion, is_marked: false };
        self.sender.on_sent(self.now, packet, &ids);
        self.transmit(
            len,
            InFlight { number: number.value(), tags, wants_answer: occasion != Occasion::Regular },
        );
    }

    fn transmit(&mut self, len: u16, packet: InFlight) {
        let carried = u64::from(len) + 28;
        self.wire_bytes += carried;
        if self.is_out() {
            self.outage_bytes += u64::from(len);
            return;
        }
        let starts = self.link_free_at.max(self.now);
        let queued = starts.since(self.now);
        if queued.as_micros() as u64 * self.setup.rate / 1_000_000 > self.setup.queue_max {
            return;
        }
        self.queue_delays.push(queued);
        self.link_free_at =
            starts + Duration::from_nanos(carried * 1_000_000_000 / self.setup.rate);
        if self.rng.below(1_000) >= self.setup.loss_permille {
            self.forward.push_back((self.link_free_at + self.setup.one_way, packet));
        }
    }

    /// The most that anything may have paid for copies, at the largest loss that was measured.
    fn permille(&self) -> u64 {
        let permille = self.setup.repetition.budget_permille(self.loss_ppm_max);
        permille.try_into().expect("positive")
    }

    fn is_out(&self) -> bool {
        let (from, until) = self.setup.outage_ms;
        (from..until).contains(&self.now.as_millis())
    }

    fn receive(&mut self) {
        while self.forward.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((at, packet)) = self.forward.pop_front() else { break };
            if self.received.last().is_none_or(|last| packet.number > *last) {
                self.largest_at = at;
            }
            self.received.insert(packet.number);
            self.pending += 1;
            self.answer_now |= packet.wants_answer || self.setup.is_bulk && self.pending >= 2;
            for tag in packet.tags {
                if let Entry::Vacant(entry) = self.delivered.entry(tag) {
                    entry.insert(at);
                    self.goodput += 1_200 - u64::from(HEADER_LEN);
                }
            }
        }
        let is_tick = self.now >= self.ack_at;
        if is_tick {
            self.ack_at = self.ack_at + Duration::from_micros(16_700);
        }
        if self.pending > 0 && (is_tick || self.answer_now) {
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        (self.pending, self.answer_now) = (0, false);
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for number in self.received.iter().rev().take(512) {
            let len = ranges.len();
            match ranges.last_mut() {
                Some(range) if number + 1 == *range.start() => *range = *number..=*range.end(),
                _ if len == 32 => break,
                _ => ranges.push(*number..=*number),
            }
        }
        let is_out = self.is_out();
        if !is_out && self.rng.below(1_000) >= self.setup.loss_permille {
            let delay = self.now.since(self.largest_at);
            self.backward.push_back((self.now + self.setup.one_way, Ack { ranges, delay }));
        }
    }

    fn take_acks(&mut self) {
        while self.backward.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, ack)) = self.backward.pop_front() else { break };
            let facts = AckFacts { delay: ack.delay, marks: None };
            self.sender.on_ack(self.now, facts, ack.ranges.into_iter()).expect("an honest peer");
        }
    }

    /// The latency that this share of messages does not exceed, in parts of 10,000, in ms.
    fn latency_ms(&self, share: usize) -> f64 {
        let last = self.tags - 200;
        let mut all: Vec<_> = (0..last)
            .map(|tag| {
                self.delivered.get(&tag).map_or(Duration::MAX, |at| at.since(self.sent_at[&tag]))
            })
            .collect();
        all.sort_unstable();
        all[all.len() * share / 10_000].as_secs_f64() * 1_000.0
    }
}
