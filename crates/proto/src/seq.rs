//! Numbers that only grow, their short forms on the wire, and which of them were seen.
//!
//! Packet numbers and the sequence numbers of lanes count far, and travel as their last bytes; the
//! receiver completes them from what it expects next ([`expand`]). All comparisons subtract, so
//! that none can overflow near the ends of a range.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod replay;

use crate::notes::Notes;

pub use replay::{Freshness, ReplayWindow};

/// The last number there is: all numbers fit the 62 bits of a variable-length integer.
pub const NUMBER_MAX: u64 = (1 << 62) - 1;

/// The number of one packet of one direction. It is the nonce of the packet's encryption, so a
/// number is used for one packet only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketNumber(u64);

impl PacketNumber {
    /// The number of the first packet.
    pub const FIRST: Self = Self(0);
    /// The number of the last packet that a link can send.
    pub const LAST: Self = Self(NUMBER_MAX);

    /// The packet number of this value, if it is one.
    pub const fn new(value: u64) -> Option<Self> {
        if value <= NUMBER_MAX { Some(Self(value)) } else { None }
    }

    /// Its value, at most [`NUMBER_MAX`].
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The number of the next packet, if there can be one.
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0.saturating_add(1))
    }

    /// Its last bytes, as they travel.
    pub const fn truncated(self, len: NumberLen) -> u32 {
        (self.0 & (u32::MAX >> (32_u32.saturating_sub(len.bits()))) as u64) as u32
    }

    /// The packet number that ends in these bytes and is nearest to `expected`, the number after
    /// the largest that was received; none if that is beyond the last.
    pub const fn expand(truncated: u32, len: NumberLen, expected: u64) -> Option<Self> {
        match expand(truncated as u64, len.bits(), expected) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

/// How many bytes of a packet number travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NumberLen {
    /// The last byte.
    One,
    /// The last two bytes.
    Two,
    /// The last three bytes.
    Three,
    /// The last four bytes.
    Four,
}

impl NumberLen {
    /// All lengths, the shortest first.
    pub const ALL: [Self; 4] = [Self::One, Self::Two, Self::Three, Self::Four];

    /// Its length in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// Its length in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::One => 8,
            Self::Two => 16,
            Self::Three => 24,
            Self::Four => 32,
        }
    }

    /// The shortest length that the receiver completes rightly, when `next` is to be sent and
    /// `acked` is the largest number that the peer acknowledged.
    ///
    /// A quarter of the range may be on its way, where RFC 9000 (A.2) allows half: what is left is
    /// for packets that the network delays past that many others. None when more than 2^30 packets
    /// are on their way.
    pub const fn covering(next: PacketNumber, acked: Option<PacketNumber>) -> Option<Self> {
        let span = match acked {
            Some(acked) => next.0.saturating_sub(acked.0),
            None => next.0.saturating_add(1),
        };
        match span {
            0..=0x3f => Some(Self::One),
            0x40..=0x3fff => Some(Self::Two),
            0x4000..=0x3f_ffff => Some(Self::Three),
            0x40_0000..=0x3fff_ffff => Some(Self::Four),
            _ => None,
        }
    }
}

/// The numbers that one direction of one link gives its packets. Nothing sets it back, and it
/// cannot be copied.
#[derive(Debug)]
pub struct PacketCounter {
    /// What the next packet gets; one beyond [`NUMBER_MAX`] when all are spent.
    next: u64,
}

const _: () = assert!(size_of::<PacketCounter>() == 8);

impl PacketCounter {
    /// A counter before the first packet.
    #[expect(clippy::new_without_default, reason = "a nonce must not appear by default")]
    pub const fn new() -> Self {
        Self { next: 0 }
    }

    /// The number that [`take`](Self::take) gives next.
    pub const fn peek(&self) -> Option<PacketNumber> {
        PacketNumber::new(self.next)
    }

    /// Spends a number; none when all are spent.
    pub const fn take(&mut self) -> Option<PacketNumber> {
        let number = self.peek();
        self.skip(1);
        number
    }

    /// Where it stands, while the link rests. Reading sets it, as a link does with its counter when
    /// it wakes, and nobody else.
    pub(crate) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.number(&mut self.next);
    }

    /// Leaves out `count` numbers, so that a peer which acknowledges what was never sent is found
    /// out.
    pub const fn skip(&mut self, count: u64) {
        let next = self.next.saturating_add(count);
        self.next = if next > NUMBER_MAX { NUMBER_MAX.saturating_add(1) } else { next };
    }
}

/// The last 16 bits of a lane's sequence number, as they travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seq16(pub u16);

impl Seq16 {
    /// The last 16 bits of `seq`.
    pub const fn of(seq: u64) -> Self {
        Self((seq & 0xffff) as u16)
    }

    /// The sequence number that ends in these bits and is nearest to `expected`; none if that is
    /// beyond [`NUMBER_MAX`].
    pub const fn expand(self, expected: u64) -> Option<u64> {
        expand(self.0 as u64, u16::BITS, expected)
    }

    /// How far this is after `older`; negative if it is before it. Right for distances below
    /// 32,768.
    pub const fn distance_from(self, older: Self) -> i16 {
        self.0.wrapping_sub(older.0).cast_signed()
    }

    /// Whether this comes after `other`.
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

/// The number that has `low` as its last `bits` bits and is nearest to `expected` (RFC 9000, A.3).
///
/// Right when the true number is less than 2^(`bits` - 1) before `expected`, or at most that many
/// after it. None when it is beyond [`NUMBER_MAX`].
pub const fn expand(low: u64, bits: u32, expected: u64) -> Option<u64> {
    let Some(range) = 1_u64.checked_shl(bits) else { return None };
    let (mask, half) = (range.saturating_sub(1), range >> 1);
    let candidate = (expected & !mask) | (low & mask);
    let nearest = if expected.saturating_sub(candidate) >= half {
        candidate.saturating_add(range)
    } else if candidate.saturating_sub(expected) > half {
        match candidate.checked_sub(range) {
            Some(before) => before,
            None => candidate,
        }
    } else {
        candidate
    };
    if nearest <= NUMBER_MAX { Some(nearest) } else { None }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests count small numbers")]
mod tests {
    use super::*;

    fn number(value: u64) -> PacketNumber {
        PacketNumber::new(value).expect("a packet number")
    }

    #[test]
    fn the_examples_of_rfc_9000_are_right() {
        let expanded = PacketNumber::expand(0x9b32, NumberLen::Two, 0xa82f_30ea + 1);
        assert_eq!(expanded, PacketNumber::new(0xa82f_9b32));
        assert_eq!(number(0xac_5c02).truncated(NumberLen::Two), 0x5c02);
        assert_eq!(number(0xace8_fe00).truncated(NumberLen::Three), 0xe8_fe00);
    }

    #[test]
    fn a23_every_number_near_enough_to_what_is_expected_is_completed_rightly() {
        for len in NumberLen::ALL {
            let half = 1_u64 << (len.bits() - 1);
            for centre in [0, half, 3 * half, 1 << 40, NUMBER_MAX - 3 * half, NUMBER_MAX] {
                for expected in (centre.saturating_sub(3)..=centre + 3).take(7) {
                    let first = (expected + 1).saturating_sub(half);
                    let last = (expected + half).min(NUMBER_MAX);
                    let step = (half >> 9).max(1);
                    let edges = (first..first + 5).chain(last.saturating_sub(5)..=last);
                    let all = (first..=last).step_by(usize::try_from(step).expect("small"));
                    for value in all.chain(edges).filter(|value| *value <= NUMBER_MAX) {
                        let truncated = number(value).truncated(len);
                        let expanded = PacketNumber::expand(truncated, len, expected);
                        assert_eq!(expanded, Some(number(value)), "{len:?} expecting {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_bytes_and_no_expectation_give_a_number_out_of_range() {
        for expected in [0, 1, NUMBER_MAX - 1, NUMBER_MAX, NUMBER_MAX + 1, u64::MAX] {
            for low in 0..=0xff {
                for len in NumberLen::ALL {
                    if let Some(number) = PacketNumber::expand(low, len, expected) {
                        assert!(number <= PacketNumber::LAST);
                    }
                }
            }
        }
        assert_eq!(expand(0, 64, 5), None);
    }

    #[test]
    fn a_sender_takes_the_shortest_length_that_leaves_room_for_delay() {
        let acked = number(1_000);
        let cases = [
            (1_000 + 63, NumberLen::One),
            (1_000 + 64, NumberLen::Two),
            (1_000 + 16_383, NumberLen::Two),
            (1_000 + 16_384, NumberLen::Three),
            (1_000 + 0x40_0000, NumberLen::Four),
        ];
        for (next, len) in cases {
            assert_eq!(NumberLen::covering(number(next), Some(acked)), Some(len));
        }
        assert_eq!(NumberLen::covering(number(62), None), Some(NumberLen::One));
        assert_eq!(NumberLen::covering(number(63), None), Some(NumberLen::Two));
        assert_eq!(NumberLen::covering(PacketNumber::LAST, None), None);
        assert_eq!(NumberLen::covering(acked, Some(number(2_000))), Some(NumberLen::One));
    }

    #[test]
    fn a12_a_counter_only_advances_and_ends_at_the_last_number() {
        let mut counter = PacketCounter::new();
        assert_eq!(counter.take(), Some(PacketNumber::FIRST));
        assert_eq!(counter.peek(), Some(number(1)));
        counter.skip(NUMBER_MAX - 2);
        assert_eq!(counter.take(), Some(number(NUMBER_MAX - 1)));
        assert_eq!(counter.take(), Some(PacketNumber::LAST));
        for _ in 0..3 {
            assert_eq!(counter.take(), None);
            counter.skip(u64::MAX);
        }
        assert_eq!(PacketNumber::LAST.next(), None);
        assert_eq!(PacketNumber::FIRST.next(), Some(number(1)));
    }

    #[test]
    fn a23_all_16_bit_sequences_wrap() {
        for low in 0..=u16::MAX {
            let seq = Seq16(low);
            assert!(seq.is_newer_than(Seq16(low.wrapping_sub(1))));
            assert!(!seq.is_newer_than(seq));
            assert!(!seq.is_newer_than(Seq16(low.wrapping_add(1))));
            assert_eq!(seq.distance_from(Seq16(low.wrapping_sub(32_767))), 32_767);
            for base in [0x10_0000, NUMBER_MAX - 0x1_ffff] {
                let full = base + u64::from(low);
                assert_eq!(Seq16::of(full).expand(full + 32_767), Some(full));
                assert_eq!(Seq16::of(full).expand(full - 32_768), Some(full));
            }
        }
    }
}
