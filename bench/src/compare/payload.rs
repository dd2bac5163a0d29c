//! Messages that can be checked, and the account of them: every peer's are checked alike, by both
//! ends, so that a broken peer cannot look fast.

use rustix::time::{ClockId, clock_gettime};

use super::ages::Ages;
use super::seam::Lane;
use super::trial::ROOM_LEN;

/// Writer, lane, sequence number, time of sending.
const HEADER_LEN: usize = 24;

/// Nanoseconds of a clock that all processes share.
pub(super) fn now() -> u64 {
    let it = clock_gettime(ClockId::Monotonic);
    it.tv_sec as u64 * 1_000_000_000 + it.tv_nsec as u64
}

/// Writes a message over what `bytes` held.
pub(super) fn write(bytes: &mut Vec<u8>, len: usize, writer: u32, lane: Lane, sequence: u64) {
    bytes.clear();
    bytes.extend(writer.to_le_bytes());
    bytes.extend((lane as u32).to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(now().to_le_bytes());
    bytes.extend((HEADER_LEN..len).map(|at| filler(writer, sequence, at)));
}

fn filler(writer: u32, sequence: u64, at: usize) -> u8 {
    (sequence as usize).wrapping_mul(31).wrapping_add(at).wrapping_add(writer as usize) as u8
}

/// What a message says of itself.
struct Read {
    writer: u32,
    sequence: u64,
    sent_at: u64,
}

fn read(bytes: &[u8], lane: Lane) -> Option<Read> {
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let (writer, sequence, sent_at) = (word(0)?, long(8)?, long(16)?);
    let is_whole = bytes[HEADER_LEN..]
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte == filler(writer, sequence, HEADER_LEN + at));
    (word(4)? == lane as u32 && is_whole).then_some(Read { writer, sequence, sent_at })
}

/// Which of the last numbers came, on a lane that may lose and reorder.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// One more than the highest.
    next: u64,
    /// The 64 before it.
    seen: u64,
}

impl Window {
    /// Whether it did not come before, as far as is known.
    fn take(&mut self, sequence: u64) -> bool {
        if sequence >= self.next {
            let ahead = sequence + 1 - self.next;
            self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
            self.next = sequence + 1;
            return true;
        }
        let back = self.next - 1 - sequence;
        let is_new = back >= 64 || self.seen & (1 << back) == 0;
        if back < 64 {
            self.seen |= 1 << back;
        }
        is_new
    }
}

/// Whose messages a stream takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Those of the one who wrote first.
    One,
    /// Those of all in a client's room.
    Room(u32),
}

/// Messages to and from one client.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// Next sequence numbers of what is sent.
    next: [u64; 2],
    /// Who writes, once that is known.
    pub(super) writer: Option<u32>,
    reliable_next: u64,
    windows: Vec<Window>,
}

impl Stream {
    pub(super) fn new(from: From) -> Self {
        let len = if from == From::One { 2 } else { ROOM_LEN as usize };
        let windows = vec![Window::default(); len];
        Self { next: [0; 2], writer: None, reliable_next: 0, windows }
    }

    /// The number of the next message.
    pub(super) const fn next(&self, lane: Lane) -> u64 {
        self.next[lane as usize]
    }

    /// That message was taken.
    pub(super) const fn on_sent(&mut self, lane: Lane, tally: &mut Tally) {
        self.next[lane as usize] += 1;
        tally.sent[lane as usize] += 1;
    }

    /// Checks a message that came.
    pub(super) fn on_message(&mut self, lane: Lane, bytes: &[u8], from: From, tally: &mut Tally) {
        let Some(Read { writer, sequence, sent_at }) = read(bytes, lane) else {
            tally.corrupt += 1;
            return;
        };
        let is_right = match from {
            From::One => *self.writer.get_or_insert(writer) == writer,
            From::Room(room) => writer / ROOM_LEN == room,
        };
        if !is_right {
            tally.corrupt += 1;
            return;
        }
        let window = match from {
            From::One => lane as usize,
            From::Room(_) => (writer % ROOM_LEN) as usize,
        };
        let is_new = if lane == Lane::Reliable && tally.is_reliable {
            let is_next = sequence == self.reliable_next;
            self.reliable_next = sequence + 1;
            is_next
        } else {
            self.windows[window].take(sequence)
        };
        if !is_new {
            tally.out_of_order += 1;
            return;
        }
        tally.received[lane as usize] += 1;
        tally.ages[lane as usize].add(now().saturating_sub(sent_at));
    }
}

/// The account of all messages of a process.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether order is owed on the reliable lane.
    pub(super) is_reliable: bool,
    pub(super) sent: [u64; 2],
    pub(super) received: [u64; 2],
    pub(super) corrupt: u64,
    /// Out of order on a reliable lane, or once more on any.
    pub(super) out_of_order: u64,
    /// Messages that an end did not take.
    pub(super) refused: u64,
    pub(super) ages: [Ages; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u64, lane: Lane) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, 64, 7, lane, sequence);
        bytes
    }

    #[test]
    fn repeated_late_and_broken_messages_are_told_apart() {
        let mut tally = Tally { is_reliable: true, ..Tally::default() };
        let mut stream = Stream::new(From::One);
        for sequence in [0, 2, 1, 1] {
            let bytes = message(sequence, Lane::Unreliable);
            stream.on_message(Lane::Unreliable, &bytes, From::One, &mut tally);
        }
        assert_eq!((tally.received, tally.out_of_order), ([0, 3], 1));
        for sequence in [0, 1, 3] {
            let bytes = message(sequence, Lane::Reliable);
            stream.on_message(Lane::Reliable, &bytes, From::One, &mut tally);
        }
        assert_eq!((tally.received, tally.out_of_order), ([2, 3], 2));
        let mut broken = message(4, Lane::Reliable);
        broken[40] ^= 1;
        stream.on_message(Lane::Reliable, &broken, From::One, &mut tally);
        stream.on_message(Lane::Reliable, b"short", From::One, &mut tally);
        assert_eq!(tally.corrupt, 2);
    }
}
