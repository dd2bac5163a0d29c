//! The packets that were sent and may still be acknowledged.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;

use moorline_link::ahead::{fetch, fetch_ends};
use moorline_link::rng::Rng;
use moorline_link::time::Time;

use crate::seq::PacketNumber;

use super::FrameId;
use crate::notes::Notes;

/// How many packets are remembered. At 1,200 bytes this is 78 Mbit/s over 500 ms.
pub const SENT_PACKETS_MAX: usize = 4_096;
/// How many frames one packet may carry that are followed.
pub const PACKET_FRAMES_MAX: usize = 255;
/// How many left-out numbers are remembered after the packets around them are forgotten.
const GAPS_REMEMBERED: usize = 4;
/// The least and the most packets between two numbers that are left out.
const GAP_EVERY: RangeInclusive<u64> = 64..=1_024;

/// A link rests with so many packets at most that nobody waits for: the answer to a beat is
/// acknowledged with the next beat.
const RESTING_PACKETS_MAX: usize = 8;

/// Why a packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// It carries something that the peer must acknowledge.
    Eliciting,
    /// It carries what is never sent again; its acknowledgement is in no hurry.
    Unhurried,
    /// It carries acknowledgements and the like, and is not acknowledged for its own sake.
    Quiet,
    /// It asks whether the path carries packets of its length; its loss says nothing else.
    MtuProbe,
}

impl PacketKind {
    /// Whether the acknowledgement of such a packet is waited for.
    pub const fn is_eliciting(self) -> bool {
        matches!(self, Self::Eliciting | Self::MtuProbe)
    }
}

/// What is remembered of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentPacket {
    /// When it was sent.
    pub sent_at: Time,
    /// Its length in bytes, as the window counts it.
    pub len: u16,
    /// Why it was sent.
    pub kind: PacketKind,
    /// How many frames of it are followed.
    frames: u8,
    /// Whether routers may mark it.
    is_marked: bool,
    fate: Fate,
}

impl SentPacket {
    const BLANK: Self = Self {
        sent_at: Time::ZERO,
        len: 0,
        kind: PacketKind::Quiet,
        frames: 0,
        is_marked: false,
        fate: Fate::Outstanding,
    };

    fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.time(&mut self.sent_at);
        notes.small(&mut self.len);
        notes.one_of(
            &mut self.kind,
            [PacketKind::Unhurried, PacketKind::Quiet, PacketKind::Eliciting, PacketKind::MtuProbe],
        );
        let fates = [Fate::Outstanding, Fate::Acked, Fate::Lost, Fate::Unsent];
        notes.one_of(&mut self.fate, fates);
        notes.flag(&mut self.is_marked);
    }

    /// Whether it was taken for lost.
    pub const fn is_lost(&self) -> bool {
        matches!(self.fate, Fate::Lost)
    }

    /// Whether routers may mark it.
    pub const fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// Whether its acknowledgement is waited for.
    pub const fn is_eliciting(&self) -> bool {
        self.kind.is_eliciting()
    }

    /// Whether it takes room in the window while it is on its way.
    pub const fn takes_room(&self) -> bool {
        !matches!(self.kind, PacketKind::Quiet)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Outstanding,
    Acked,
    Lost,
    /// The number was left out.
    Unsent,
}

/// An acknowledgement that an honest peer cannot send; it ends the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckError {
    /// It acknowledges a number beyond the last that was sent.
    BeyondLast,
    /// It acknowledges a number that was left out.
    LeftOut,
    /// A range ends before it begins.
    BackwardRange,
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeyondLast => "the peer acknowledged a packet that is still to be sent",
            Self::LeftOut => "the peer acknowledged a packet that was never sent",
            Self::BackwardRange => "the peer acknowledged a range that ends before it begins",
        })
    }
}

impl Error for AckError {}

/// The packets that were sent and not yet forgotten, in the order of their numbers.
#[derive(Debug)]
pub struct SentPackets {
    /// The number of the first entry.
    first: u64,
    packets: VecDeque<SentPacket>,
    /// The frames of all entries one after another, so that no packet owns a list.
    frames: VecDeque<FrameId>,
    /// The place of each entry's first frame, counted from the first frame ever.
    places: VecDeque<u64>,
    /// How many frames were forgotten.
    frames_forgotten: u64,
    outstanding: NumberSet,
    lost: NumberSet,
    gaps: VecDeque<u64>,
    gap_next: u64,
    rng: Rng,
    steps: u64,
}

impl SentPackets {
    /// Asks for what it points to.
    pub fn fetch_parts(&self) {
        fetch_ends(&self.packets);
        fetch_ends(&self.frames);
        fetch_ends(&self.places);
        fetch_ends(&self.outstanding.words);
        self.lost.words.front().into_iter().for_each(fetch);
        self.gaps.front().into_iter().for_each(fetch);
    }

    /// Nothing sent yet, and `first` next; which numbers are left out comes from `seed`.
    pub fn new(seed: u64, first: PacketNumber) -> Self {
        let mut rng = Rng::new(seed);
        let first = first.value();
        let gap_next = gap_after(first, &mut rng);
        Self {
            first,
            packets: VecDeque::new(),
            frames: VecDeque::new(),
            places: VecDeque::new(),
            frames_forgotten: 0,
            outstanding: NumberSet::default(),
            lost: NumberSet::default(),
            gaps: VecDeque::with_capacity(GAPS_REMEMBERED),
            gap_next,
            rng,
            steps: 0,
        }
    }

    /// Whether `number` is to be left out, so that a peer which acknowledges what it did not
    /// receive is found out. Ask before each packet, and skip the number in the counter as well.
    pub const fn leaves_out(&self, number: PacketNumber) -> bool {
        number.value() == self.gap_next
    }

    /// Whether another packet would push out one that is still on its way.
    pub fn is_full(&self) -> bool {
        self.packets.len() >= SENT_PACKETS_MAX
    }

    /// Remembers a packet. Numbers between the last packet and this one were left out.
    ///
    /// # Panics
    /// When the number was used before, when more than one number was left out, or when there are
    /// more than [`PACKET_FRAMES_MAX`] frames: the caller counts wrongly.
    pub fn on_sent(
        &mut self,
        now: Time,
        number: PacketNumber,
        (len, kind, is_marked): (u16, PacketKind, bool),
        frames: &[FrameId],
    ) {
        let number = number.value();
        let gap = number.checked_sub(self.end()).expect("a number is used for one packet");
        assert!(gap <= 1, "at most one number is left out");
        let count = u8::try_from(frames.len()).expect("no more frames than a packet may carry");
        if gap == 1 {
            self.leave_out(now, number - 1);
        }
        if number >= self.gap_next {
            self.gap_next = gap_after(number, &mut self.rng);
        }
        self.places.push_back(self.frames_forgotten + self.frames.len() as u64);
        self.frames.extend(frames);
        let fate = Fate::Outstanding;
        let (sent_at, frames) = (now, count);
        self.packets.push_back(SentPacket { sent_at, len, kind, frames, is_marked, fate });
        self.outstanding.insert(number);
    }

    fn leave_out(&mut self, now: Time, number: u64) {
        if self.gaps.len() == GAPS_REMEMBERED {
            self.gaps.pop_front();
        }
        self.gaps.push_back(number);
        self.places.push_back(self.frames_forgotten + self.frames.len() as u64);
        let fate = Fate::Unsent;
        self.packets.push_back(SentPacket { sent_at: now, fate, ..SentPacket::BLANK });
    }

    /// Marks the packets of `ranges` as received and adds the numbers of those for which this is
    /// news to `acked`, those of one range in rising order.
    ///
    /// The work is in proportion to the ranges, to the packets for which this is news, and to a
    /// 64th of all that are remembered: repeating an old range costs next to nothing.
    ///
    /// # Errors
    /// When an honest peer could not say this; what was marked before stays marked.
    pub fn on_ack(
        &mut self,
        ranges: impl Iterator<Item = RangeInclusive<u64>>,
        acked: &mut Vec<u64>,
    ) -> Result<(), AckError> {
        for range in ranges {
            self.steps = self.steps.saturating_add(1);
            self.check(&range)?;
            let news = acked.len();
            self.steps = self.steps.saturating_add(self.outstanding.drain(&range, acked));
            if !self.lost.is_empty() {
                self.steps = self.steps.saturating_add(self.lost.drain(&range, acked));
            }
            self.steps = self.steps.saturating_add((acked.len() - news) as u64);
        }
        Ok(())
    }

    fn check(&self, range: &RangeInclusive<u64>) -> Result<(), AckError> {
        if range.is_empty() {
            return Err(AckError::BackwardRange);
        }
        if *range.end() >= self.end() {
            return Err(AckError::BeyondLast);
        }
        if self.gaps.iter().any(|gap| range.contains(gap)) {
            return Err(AckError::LeftOut);
        }
        Ok(())
    }

    /// Gives what is remembered of a packet that [`on_ack`](Self::on_ack) told of, as it was
    /// before, and settles it.
    pub fn settle_acked(&mut self, number: u64) -> Option<SentPacket> {
        let packet = self.packet_mut(number)?;
        let before = *packet;
        packet.fate = Fate::Acked;
        Some(before)
    }

    /// Takes a packet that is on its way for lost. It is remembered, as it may only be late.
    pub fn mark_lost(&mut self, number: u64) -> Option<SentPacket> {
        if !self.outstanding.remove(number) {
            return None;
        }
        self.lost.insert(number);
        let packet = self.packet_mut(number)?;
        packet.fate = Fate::Lost;
        Some(*packet)
    }

    /// The frames that a remembered packet carries.
    pub fn frames(&self, number: u64) -> impl Iterator<Item = FrameId> {
        let range = self.index(number).and_then(|index| {
            let start = self.places.get(index)?.checked_sub(self.frames_forgotten)?;
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::from(self.packets.get(index)?.frames))?;
            (end <= self.frames.len()).then_some(start..end)
        });
        self.frames.range(range.unwrap_or(0..0)).copied()
    }

    /// Forgets packets from the oldest on, as long as they are settled: acknowledged, or lost and
    /// sent before `horizon`, after which no acknowledgement is expected any more.
    pub fn forget_settled(&mut self, horizon: Time) {
        while let Some(packet) = self.packets.front() {
            let is_settled = match packet.fate {
                Fate::Outstanding => false,
                Fate::Acked | Fate::Unsent => true,
                Fate::Lost => packet.sent_at < horizon,
            };
            if !is_settled {
                break;
            }
            self.forget_first();
        }
    }

    /// Forgets the oldest packet, whatever became of it.
    pub fn forget_first(&mut self) {
        let Some(packet) = self.packets.pop_front() else { return };
        self.places.pop_front();
        self.frames.drain(..usize::from(packet.frames));
        self.frames_forgotten += u64::from(packet.frames);
        self.first += 1;
        self.outstanding.forget_below(self.first);
        self.lost.forget_below(self.first);
    }

    /// The numbers below `end` of packets that are on their way, the oldest first.
    pub fn outstanding_below(&self, end: u64) -> impl Iterator<Item = (u64, &SentPacket)> {
        self.outstanding
            .iter()
            .take_while(move |number| *number < end)
            .filter_map(|number| Some((number, self.packets.get(self.index(number)?)?)))
    }

    /// The oldest packet that is remembered, with its number.
    pub fn oldest(&self) -> Option<(u64, &SentPacket)> {
        Some((self.first, self.packets.front()?))
    }

    /// What is remembered of a packet.
    pub fn packet(&self, number: u64) -> Option<&SentPacket> {
        self.packets.get(self.index(number)?)
    }

    /// One more than the largest number that was sent.
    pub fn end(&self) -> u64 {
        self.first + self.packets.len() as u64
    }

    /// How many packets are remembered.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether few packets are remembered, and none that carries what is followed.
    pub(super) fn is_at_rest(&self) -> bool {
        self.packets.len() <= RESTING_PACKETS_MAX && self.frames.is_empty()
    }

    /// What it knows, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        let mut rng = self.rng.state();
        for value in [&mut self.first, &mut self.gap_next, &mut self.steps, &mut rng] {
            notes.number(value);
        }
        self.rng = Rng::new(rng);
        let mut count = self.packets.len();
        notes.size(&mut count);
        self.packets.resize(count, SentPacket::BLANK);
        // No packet has frames, so their places begin anew.
        (self.outstanding, self.lost) = (NumberSet::default(), NumberSet::default());
        self.frames_forgotten = 0;
        self.places.clear();
        self.places.resize(count, 0);
        for (packet, number) in self.packets.iter_mut().zip(self.first..) {
            packet.note(notes);
            match packet.fate {
                Fate::Outstanding => self.outstanding.insert(number),
                Fate::Lost => self.lost.insert(number),
                Fate::Acked | Fate::Unsent => {}
            }
        }
        let mut gaps = self.gaps.len();
        notes.size(&mut gaps);
        self.gaps.resize(gaps, 0);
        // One may lie between packets that are remembered.
        let end = self.end();
        for gap in &mut self.gaps {
            let mut before = end.saturating_sub(*gap);
            notes.number(&mut before);
            *gap = end.saturating_sub(before);
        }
    }

    /// How many steps all acknowledgements took together.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    fn index(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.packets.len()).then_some(index)
    }

    fn packet_mut(&mut self, number: u64) -> Option<&mut SentPacket> {
        let index = self.index(number)?;
        self.packets.get_mut(index)
    }
}

fn gap_after(number: u64, rng: &mut Rng) -> u64 {
    let span = GAP_EVERY.end() - GAP_EVERY.start() + 1;
    number.saturating_add(GAP_EVERY.start() + rng.below(span))
}

/// Numbers that lie near each other, as bits, so that 64 are passed over in one step.
#[derive(Debug, Default)]
struct NumberSet {
    /// The number of the first bit, over 64.
    first_word: u64,
    words: VecDeque<u64>,
    len: usize,
}

impl NumberSet {
    const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn insert(&mut self, number: u64) {
        let word = number / 64;
        if self.words.is_empty() {
            self.first_word = word;
        }
        if let Some(missing) = self.first_word.checked_sub(word) {
            for _ in 0..missing {
                self.words.push_front(0);
            }
            self.first_word = word;
        }
        let index = usize::try_from(word - self.first_word).unwrap_or(usize::MAX);
        while self.words.len() <= index {
            self.words.push_back(0);
        }
        self.words[index] |= 1 << (number % 64);
        self.len += 1;
    }

    fn remove(&mut self, number: u64) -> bool {
        let Some(index) = (number / 64).checked_sub(self.first_word) else { return false };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(word) = self.words.get_mut(index) else { return false };
        let bit = 1 << (number % 64);
        let was_there = *word & bit != 0;
        *word &= !bit;
        self.len -= usize::from(was_there);
        was_there
    }

    /// Removes the numbers of `range`, adds them to `out`, and tells how many words it looked at.
    fn drain(&mut self, range: &RangeInclusive<u64>, out: &mut Vec<u64>) -> u64 {
        let words_end = self.first_word + self.words.len() as u64;
        let from = (range.start() / 64).max(self.first_word);
        let to = (range.end() / 64).saturating_add(1).min(words_end);
        for place in from..to {
            let index = usize::try_from(place - self.first_word).unwrap_or(usize::MAX);
            let Some(word) = self.words.get_mut(index) else { break };
            let mut hit = *word & mask(place, range);
            *word &= !hit;
            self.len -= hit.count_ones() as usize;
            while hit != 0 {
                out.push(place * 64 + u64::from(hit.trailing_zeros()));
                hit &= hit - 1;
            }
        }
        to.saturating_sub(from)
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        self.words.iter().zip(self.first_word..).flat_map(|(word, place)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| u64::from(rest.trailing_zeros()))?;
                rest &= rest - 1;
                Some(place * 64 + bit)
            })
        })
    }

    fn forget_below(&mut self, number: u64) {
        if let Some(before) = number.checked_sub(1) {
            self.remove(before);
        }
        while self.first_word < number / 64 && self.words.pop_front().is_some() {
            self.first_word += 1;
        }
    }
}

/// The bits of the word at `place` that stand for numbers of `range`.
fn mask(place: u64, range: &RangeInclusive<u64>) -> u64 {
    let base = place * 64;
    let low = range.start().saturating_sub(base).min(63);
    let high = range.end().saturating_sub(base).min(63);
    (u64::MAX << low) & (u64::MAX >> (63 - high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notes::{Paper, Reader, Writer};
    use crate::seq::NUMBER_MAX;

    const DATA: (u16, PacketKind, bool) = (100, PacketKind::Eliciting, false);

    fn number(value: u64) -> PacketNumber {
        PacketNumber::new(value).expect("a packet number")
    }

    fn frame(index: u32) -> FrameId {
        FrameId { index, generation: 7 }
    }

    /// Sends `count` packets that each carry a frame of their number, and gives their numbers.
    fn send(sent: &mut SentPackets, count: u64) -> Vec<u64> {
        let send_one = |_| {
            let mut next = sent.end();
            next += u64::from(sent.leaves_out(number(next)));
            let id = u32::try_from(next % 1_000).expect("small");
            sent.on_sent(Time::ZERO, number(next), DATA, &[frame(id)]);
            next
        };
        (0..count).map(send_one).collect()
    }

    fn ack(sent: &mut SentPackets, ranges: &[RangeInclusive<u64>]) -> Result<Vec<u64>, AckError> {
        let mut acked = Vec::new();
        sent.on_ack(ranges.iter().cloned(), &mut acked)?;
        for number in &acked {
            sent.settle_acked(*number).expect("it was sent");
        }
        Ok(acked)
    }

    #[test]
    fn what_rests_knows_a_number_that_was_left_out_between_two_packets() {
        let mut sent = SentPackets::new(1, PacketNumber::FIRST);
        let answer = (30, PacketKind::Unhurried, false);
        let mut before = None;
        let (before, after) = loop {
            let end = sent.end();
            let is_gap = sent.leaves_out(number(end));
            let next = end + u64::from(is_gap);
            sent.on_sent(Time::ZERO, number(next), answer, &[]);
            match before {
                Some(before) if is_gap => break (before, next),
                _ => before = Some(next),
            }
            if next > 0 {
                ack(&mut sent, &[next - 1..=next - 1]).ok();
                sent.forget_settled(Time::ZERO);
            }
        };
        assert_eq!((before, after, sent.len()), (after - 2, after, 3), "one was left out");
        let mut paper = Paper::default();
        let mut notes = Writer::new(&mut paper);
        sent.note(&mut notes);
        let packed = notes.packed().to_vec();
        let mut woken = SentPackets::new(2, PacketNumber::FIRST);
        woken.note(&mut Reader::new(&packed, &mut paper));
        assert_eq!(format!("{woken:?}"), format!("{sent:?}"));
        assert_eq!(ack(&mut woken, &[before + 1..=before + 1]), Err(AckError::LeftOut));
        assert_eq!(ack(&mut woken, &[before..=before, after..=after]), Ok(vec![before, after]));
    }

    #[test]
    fn each_packet_is_news_once() {
        let mut sent = SentPackets::new(1, PacketNumber::FIRST);
        send(&mut sent, 50);
        assert_eq!(ack(&mut sent, &[10..=12, 3..=3]), Ok(vec![10, 11, 12, 3]));
        assert_eq!(ack(&mut sent, &[10..=13, 0..=4]), Ok(vec![13, 0, 1, 2, 4]));
        assert_eq!(ack(&mut sent, &[0..=13]), Ok(vec![5, 6, 7, 8, 9]));
        assert_eq!(ack(&mut sent, &[0..=13]), Ok(vec![]));
        sent.forget_settled(Time::ZERO);
        assert_eq!(sent.oldest().map(|(number, _)| number), Some(14));
        assert_eq!(ack(&mut sent, &[0..=13]), Ok(vec![]));
    }

    #[test]
    fn frames_stay_with_their_packet_while_others_are_forgotten() {
        let mut sent = SentPackets::new(1, PacketNumber::FIRST);
        for value in 0..60_u32 {
            let ids: Vec<_> = (0..value % 5).map(|place| frame(value * 10 + place)).collect();
            sent.on_sent(Time::ZERO, number(value.into()), DATA, &ids);
            if value >= 8 {
                sent.forget_first();
            }
            for back in 0..value.min(8) {
                let of = value - back;
                let found: Vec<_> = sent.frames(of.into()).map(|id| id.index).collect();
                let expected: Vec<_> = (0..of % 5).map(|place| of * 10 + place).collect();
                assert_eq!(found, expected);
            }
        }
        assert_eq!(sent.frames(0).count(), 0);
        assert_eq!(sent.frames(u64::MAX).count(), 0);
    }

    #[test]
    fn ack_unsent_is_fatal() {
        let mut sent = SentPackets::new(1, PacketNumber::FIRST);
        assert_eq!(ack(&mut sent, &[0..=0]), Err(AckError::BeyondLast));
        send(&mut sent, 10);
        assert_eq!(ack(&mut sent, &[5..=10]), Err(AckError::BeyondLast));
        assert_eq!(ack(&mut sent, &[5..=u64::MAX]), Err(AckError::BeyondLast));
        assert_eq!(ack(&mut sent, &[RangeInclusive::new(5, 4)]), Err(AckError::BackwardRange));
        assert_eq!(ack(&mut sent, &[0..=9]).map(|acked| acked.len()), Ok(10));
    }

    #[test]
    fn a10_an_optimistic_acker_is_found_out_at_the_first_number_that_was_left_out() {
        for seed in 0..50 {
            let mut sent = SentPackets::new(seed, PacketNumber::FIRST);
            let mut verdict = Ok(vec![]);
            let mut packets = 0;
            while verdict.is_ok() {
                send(&mut sent, 1);
                packets += 1;
                let last = sent.end() - 1;
                verdict = ack(&mut sent, &[last.saturating_sub(3)..=last]);
                sent.forget_settled(Time::ZERO);
            }
            assert_eq!(verdict, Err(AckError::LeftOut));
            assert!((64..=1_025).contains(&packets), "{packets}");
        }
    }

    #[test]
    fn an_honest_acker_of_ten_thousand_packets_is_never_accused() {
        let mut sent = SentPackets::new(3, PacketNumber::FIRST);
        let mut left_out = 0;
        for _ in 0..10_000 {
            let before = sent.end();
            let last = send(&mut sent, 1)[0];
            left_out += last - before;
            assert_eq!(ack(&mut sent, &[last..=last]), Ok(vec![last]));
            sent.forget_settled(Time::ZERO);
        }
        assert!((9..=157).contains(&left_out), "{left_out}");
        assert!(sent.is_empty());
    }

    #[test]
    fn repeating_wide_ranges_costs_a_64th_of_the_window() {
        let mut sent = SentPackets::new(3, PacketNumber::FIRST);
        for value in 0..4_000 {
            sent.on_sent(Time::ZERO, number(value), DATA, &[]);
        }
        let wide: Vec<_> = (0..32).map(|at| 3_999 - at * 125 - 100..=3_999 - at * 125).collect();
        let news = ack(&mut sent, &wide).expect("all were sent").len() as u64;
        assert!(sent.steps() <= 4_000 / 64 + 3 * 32 + news);
        let before = sent.steps();
        for _ in 0..100 {
            assert_eq!(ack(&mut sent, &wide), Ok(vec![]));
        }
        assert!((sent.steps() - before) / 100 <= 4_000 / 64 + 3 * 32);
    }

    #[test]
    fn a_lost_packet_is_still_recognised_when_it_was_only_late() {
        let mut sent = SentPackets::new(3, PacketNumber::FIRST);
        send(&mut sent, 5);
        assert!(sent.mark_lost(1).is_some_and(|packet| packet.is_lost()));
        assert_eq!(sent.mark_lost(1), None);
        assert_eq!(sent.outstanding_below(9).map(|(n, _)| n).collect::<Vec<_>>(), [0, 2, 3, 4]);
        let mut acked = Vec::new();
        assert_eq!(sent.on_ack([0..=2].into_iter(), &mut acked), Ok(()));
        assert_eq!(acked, [0, 2, 1]);
        assert!(sent.settle_acked(1).is_some_and(|packet| packet.is_lost()));
        assert!(sent.settle_acked(2).is_some_and(|packet| !packet.is_lost()));
    }

    #[test]
    fn lost_packets_are_forgotten_when_nobody_expects_them() {
        let mut sent = SentPackets::new(3, PacketNumber::FIRST);
        send(&mut sent, 3);
        sent.mark_lost(0);
        sent.forget_settled(Time::ZERO);
        assert_eq!(sent.len(), 3);
        sent.forget_settled(Time::from_millis(1));
        assert_eq!(sent.len(), 2);
    }

    #[test]
    fn a23_numbers_may_begin_just_before_their_end() {
        let mut sent = SentPackets::new(3, number(NUMBER_MAX - 20));
        send(&mut sent, 21);
        assert_eq!(sent.end(), NUMBER_MAX + 1);
        let acked = ack(&mut sent, &[NUMBER_MAX - 3..=NUMBER_MAX]);
        assert_eq!(acked.map(|acked| acked.len()), Ok(4));
    }
}
