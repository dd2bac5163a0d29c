//! A checked walk over the segments of a datagram, before KCP sees it.
//!
//! KCP's own arithmetic is on wrapping numbers and overflows on some that a stranger can send. What
//! passes here cannot: every number is so far below 2^31 that differences and windows fit.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::envelope::Envelope;

/// The bytes of a segment before its data.
pub(crate) const HEADER_LEN: usize = 24;
/// The longest datagram that is sent, in bytes.
pub(crate) const MTU: usize = 1_200;
/// The most data of a segment that is sent, in bytes.
pub(crate) const SEGMENT_LEN_MAX: usize = MTU - HEADER_LEN;
/// The longest payload that KCP can cut into fewer segments than a window has, in bytes.
pub(crate) const MESSAGE_LEN_MAX: usize = 127 * SEGMENT_LEN_MAX - Envelope::OVERHEAD_MAX;
/// The longest datagram that is looked at; an Ethernet frame carries no more.
const DATAGRAM_LEN_MAX: usize = 1_500;
/// Sequence numbers from here on are refused: a window above them would reach 2^31.
const NUMBER_END: u32 = (1 << 31) - (1 << 20);
/// Fragment counts from here on are refused: a message never has more than the window of 128.
const FRAGMENT_END: u8 = 128;
/// The receive window that this side tells outside of a conversation, in segments.
const WINDOW: u16 = 128;

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// It carries data.
    Push,
    /// It acknowledges one segment.
    Ack,
    /// It asks for the receive window.
    Ask,
    /// It tells the receive window.
    Tell,
}

impl Command {
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            81 => Some(Self::Push),
            82 => Some(Self::Ack),
            83 => Some(Self::Ask),
            84 => Some(Self::Tell),
            _ => None,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Push => 81,
            Self::Ack => 82,
            Self::Ask => 83,
            Self::Tell => 84,
        }
    }
}

/// One segment; its data stays where it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// The conversation's number.
    pub(crate) conversation: u32,
    /// What it is for.
    pub(crate) command: Command,
    /// How many fragments of the same message follow.
    pub(crate) fragment: u8,
    /// How many more segments the sender can take.
    pub(crate) window: u16,
    /// The sender's clock in milliseconds; in an acknowledgement, that of the segment it is for.
    pub(crate) timestamp: u32,
    /// The segment's number; in an acknowledgement, that of the segment it is for.
    pub(crate) number: u32,
    /// Every segment below this number has arrived at the sender.
    pub(crate) unacknowledged: u32,
    /// What it carries.
    pub(crate) data: &'a [u8],
}

impl<'a> Segment<'a> {
    /// A segment without data that asks for, or tells, the window.
    pub(crate) const fn probe(conversation: u32, command: Command) -> Self {
        Self {
            conversation,
            command,
            fragment: 0,
            window: WINDOW,
            timestamp: 0,
            number: 0,
            unacknowledged: 0,
            data: &[],
        }
    }

    /// The whole of a message, as the first segment that this side ever sends.
    pub(crate) const fn first_push(conversation: u32, unacknowledged: u32, data: &'a [u8]) -> Self {
        let probe = Self::probe(conversation, Command::Push);
        Self { unacknowledged, data, ..probe }
    }

    /// The first segment of `bytes` and what is behind it.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let &[
            c0,
            c1,
            c2,
            c3,
            command,
            fragment,
            w0,
            w1,
            t0,
            t1,
            t2,
            t3, //
            n0,
            n1,
            n2,
            n3,
            u0,
            u1,
            u2,
            u3,
            l0,
            l1,
            l2,
            l3,
        ] = header;
        let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let (data, rest) = rest.split_at_checked(len)?;
        let segment = Self {
            conversation: u32::from_le_bytes([c0, c1, c2, c3]),
            command: Command::from_number(command)?,
            fragment,
            window: u16::from_le_bytes([w0, w1]),
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            unacknowledged: u32::from_le_bytes([u0, u1, u2, u3]),
            data,
        };
        Some((segment, rest))
    }

    /// Appends the encoded segment to `bytes`.
    pub(crate) fn emit(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.conversation.to_le_bytes());
        bytes.extend_from_slice(&[self.command.number(), self.fragment]);
        bytes.extend_from_slice(&self.window.to_le_bytes());
        bytes.extend_from_slice(&self.timestamp.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.unacknowledged.to_le_bytes());
        let len = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(self.data);
    }

    /// Whether KCP can compute with its numbers.
    const fn is_in_range(&self) -> bool {
        self.fragment < FRAGMENT_END && self.number < NUMBER_END && self.unacknowledged < NUMBER_END
    }
}

/// Why a datagram is not even looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It is shorter than a segment's header.
    TooShort,
    /// It is longer than any that KCP makes.
    TooLong,
    /// A segment breaks the format, belongs to another conversation or has numbers out of range.
    Segment,
}

/// A datagram that holds one or more whole segments of one conversation and nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    conversation: u32,
    bytes: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Checks all that can be checked without knowing the conversation.
    pub(crate) fn check(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.len() {
            len if len < HEADER_LEN => return Err(Malformed::TooShort),
            len if len > DATAGRAM_LEN_MAX => return Err(Malformed::TooLong),
            _ => {}
        }
        let (first, mut rest) = Segment::parse(bytes).ok_or(Malformed::Segment)?;
        let conversation = first.conversation;
        let mut valid = first.is_in_range();
        // Bounded: each round takes a header's length at least.
        while valid && !rest.is_empty() {
            let (segment, behind) = Segment::parse(rest).ok_or(Malformed::Segment)?;
            valid = segment.is_in_range() && segment.conversation == conversation;
            rest = behind;
        }
        if valid { Ok(Self { conversation, bytes }) } else { Err(Malformed::Segment) }
    }

    /// The number of the conversation.
    pub(crate) const fn conversation(&self) -> u32 {
        self.conversation
    }

    /// The bytes as they came.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its segments in order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        segments(self.bytes)
    }

    /// Whether it can begin a conversation: it holds the very first data, and acknowledges nothing.
    pub(crate) fn opens(&self) -> bool {
        let first = |segment: Segment<'_>| segment.command == Command::Push && segment.number == 0;
        let acknowledges =
            |segment: Segment<'_>| segment.command == Command::Ack || segment.unacknowledged != 0;
        self.segments().any(first) && !self.segments().any(acknowledges)
    }

    /// Whether it is one question for the window and nothing else.
    pub(crate) fn is_probe(&self) -> bool {
        self.bytes.len() == HEADER_LEN
            && self.segments().all(|segment| segment.command == Command::Ask)
    }
}

/// The segments of a datagram that was checked, or that this side made.
pub(crate) fn segments(mut bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    std::iter::from_fn(move || {
        let (segment, behind) = Segment::parse(bytes)?;
        bytes = behind;
        Some(segment)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(number: u32) -> Segment<'static> {
        Segment { number, ..Segment::first_push(7, 0, b"data") }
    }

    fn datagram(segments: &[Segment<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        segments.iter().for_each(|segment| segment.emit(&mut bytes));
        bytes
    }

    #[test]
    fn what_is_emitted_is_read_again() {
        let all = [push(0), Segment { window: 3, timestamp: 9, unacknowledged: 4, ..push(1) }];
        let bytes = datagram(&all);
        let checked = Datagram::check(&bytes).expect("well formed");
        assert!(checked.segments().eq(all));
        assert_eq!(checked.conversation(), 7);
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_anything_is_read() {
        assert_eq!(Datagram::check(&[]).err(), Some(Malformed::TooShort));
        assert_eq!(Datagram::check(&[0; 23]).err(), Some(Malformed::TooShort));
        assert_eq!(Datagram::check(&[0; 1_501]).err(), Some(Malformed::TooLong));
    }

    #[test]
    fn numbers_that_kcp_cannot_compute_with_are_refused() {
        let good = push(0);
        let bad = [
            Segment { fragment: 128, ..good },
            Segment { fragment: 255, ..good },
            Segment { number: NUMBER_END, ..good },
            Segment { number: u32::MAX, ..good },
            Segment { unacknowledged: 1 << 31, ..good },
            Segment { conversation: 8, ..good },
        ];
        for bad in bad {
            let bytes = datagram(&[good, bad]);
            assert_eq!(Datagram::check(&bytes).err(), Some(Malformed::Segment), "{bad:?}");
        }
    }

    #[test]
    fn bytes_behind_the_last_segment_are_refused() {
        for extra in 1..HEADER_LEN {
            let mut bytes = datagram(&[push(0)]);
            bytes.resize(bytes.len() + extra, 0);
            assert_eq!(Datagram::check(&bytes).err(), Some(Malformed::Segment));
        }
    }

    #[test]
    fn only_the_very_first_data_opens_a_conversation() {
        let opens = |segments: &[Segment<'_>]| {
            Datagram::check(&datagram(segments)).expect("well formed").opens()
        };
        let ack = Segment { command: Command::Ack, ..push(0) };
        assert!(opens(&[push(0)]) && opens(&[push(1), push(0)]));
        assert!(!opens(&[push(1)]) && !opens(&[ack, push(0)]));
        assert!(!opens(&[Segment { unacknowledged: 1, ..push(0) }]));
        assert!(!opens(&[Segment::probe(7, Command::Ask)]));
    }
}
