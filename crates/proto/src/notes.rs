//! What the parts of a link write down of themselves while it rests, in few bytes.
//!
//! Each part lists its numbers once, in a function called `note`, which writes them down or reads
//! them back; so the two cannot differ. Nothing of it travels: the bytes mean something to the
//! process alone that wrote them.

use std::time::Duration;

use moorline_link::Time;
use moorline_link::transport::Volume;

/// Numbers one after another, which are written down by a [`Writer`], or read back in the same
/// order by a [`Reader`].
pub(crate) trait Notes: Sized {
    /// Any number; the smaller, the shorter.
    fn number(&mut self, value: &mut u64);

    /// The time that was noted last, in microseconds: most lie near each other.
    fn time_before(&mut self) -> &mut u64;

    /// A number of a smaller type.
    fn small<T: Copy + Into<u64> + TryFrom<u64>>(&mut self, value: &mut T) {
        let mut number = (*value).into();
        self.number(&mut number);
        if let Ok(number) = T::try_from(number) {
            *value = number;
        }
    }

    /// A length or a place.
    fn size(&mut self, value: &mut usize) {
        let mut number = *value as u64;
        self.number(&mut number);
        *value = usize::try_from(number).unwrap_or(usize::MAX);
    }

    /// A number that may be negative.
    fn signed(&mut self, value: &mut i64) {
        let mut number = folded(*value);
        self.number(&mut number);
        *value = unfolded(number);
    }

    /// Whether something is so.
    fn flag(&mut self, value: &mut bool) {
        let mut number = u64::from(*value);
        self.number(&mut number);
        *value = number != 0;
    }

    /// A moment.
    fn time(&mut self, value: &mut Time) {
        let before = *self.time_before();
        let mut step = folded(value.as_micros().wrapping_sub(before).cast_signed());
        self.number(&mut step);
        let time = before.wrapping_add(unfolded(step).cast_unsigned());
        *self.time_before() = time;
        *value = Time::from_micros(time);
    }

    /// A duration in whole microseconds; what it has below them is lost.
    fn duration(&mut self, value: &mut Duration) {
        let (seconds, below) = (value.as_secs(), value.subsec_micros());
        let mut micros = seconds.saturating_mul(1_000_000).saturating_add(below.into());
        self.number(&mut micros);
        *value = Duration::from_micros(micros);
    }

    /// Something that may be absent.
    fn option<T: Copy + Default>(
        &mut self,
        value: &mut Option<T>,
        note: impl FnOnce(&mut Self, &mut T),
    ) {
        let mut is_there = value.is_some();
        self.flag(&mut is_there);
        let mut of = value.unwrap_or_default();
        if is_there {
            note(self, &mut of);
        }
        *value = is_there.then_some(of);
    }

    /// One of a few values.
    fn one_of<T: Copy + PartialEq, const LEN: usize>(&mut self, value: &mut T, all: [T; LEN]) {
        let mut place = all.iter().position(|of| of == value).unwrap_or(0);
        self.size(&mut place);
        *value = all.get(place).copied().unwrap_or(*value);
    }

    /// An amount of traffic.
    fn volume(&mut self, value: &mut Volume) {
        self.number(&mut value.count);
        self.number(&mut value.bytes);
    }
}

/// Memory to write on and to read from, kept for the next link.
#[derive(Debug, Default)]
pub(crate) struct Paper {
    numbers: Vec<u64>,
    /// Longer than what is packed: a number is put there with all of its eight bytes.
    packed: Vec<u8>,
}

/// Writes down.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    paper: &'a mut Paper,
    time: u64,
}

/// Reads back.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    numbers: std::slice::Iter<'a, u64>,
    time: u64,
}

impl<'a> Writer<'a> {
    /// Writes over what `paper` held.
    pub(crate) fn new(paper: &'a mut Paper) -> Self {
        paper.numbers.clear();
        Self { paper, time: 0 }
    }

    /// What was written.
    pub(crate) fn packed(self) -> &'a [u8] {
        self.paper.pack()
    }
}

impl<'a> Reader<'a> {
    /// Reads what was written before, over what `paper` held.
    pub(crate) fn new(packed: &[u8], paper: &'a mut Paper) -> Self {
        paper.unpack(packed);
        Self { numbers: paper.numbers.iter(), time: 0 }
    }
}

/// How many bytes say how many numbers there are.
const COUNT_LEN: usize = 2;
/// The least number that has bytes of its own.
const LONG: u64 = 8;

/// Numbers are packed all at once, as that takes few instructions for each: their count, a code of
/// half a byte for each of them, and the bytes that they have without the zeros at their upper end.
/// A code up to eight is a number's length, which is none for a zero; the others are the numbers
/// from one to seven, which have no bytes.
impl Paper {
    fn pack(&mut self) -> &[u8] {
        let Self { numbers, packed } = self;
        let count = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
        let mut end = COUNT_LEN + numbers.len().div_ceil(2);
        let len_max = end + numbers.len() * 8;
        if packed.len() < len_max {
            packed.resize(len_max, 0);
        }
        packed[..COUNT_LEN].copy_from_slice(&count.to_le_bytes());
        let (codes, bytes) = packed.split_at_mut(end);
        let mut at = 0;
        for (codes, pair) in codes[COUNT_LEN..].iter_mut().zip(numbers.chunks(2)) {
            *codes = 0;
            for (number, shift) in pair.iter().zip([0, 4]) {
                let code = code(*number);
                bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
                *codes |= code << shift;
                at += usize::from(LENS[usize::from(code)]);
            }
        }
        end += at;
        &packed[..end]
    }

    fn unpack(&mut self, from: &[u8]) {
        let Self { numbers, packed } = self;
        let Some((count, from)) = from.split_first_chunk::<COUNT_LEN>() else { return };
        let count = usize::from(u16::from_le_bytes(*count));
        let pairs = count.div_ceil(2);
        if from.len() < pairs {
            return;
        }
        // Eight bytes can be taken for a number, also for the last one.
        packed.clear();
        packed.extend_from_slice(from);
        packed.extend_from_slice(&[0; 8]);
        numbers.clear();
        numbers.resize(pairs * 2, 0);
        let (codes, bytes) = packed.split_at(pairs);
        let mut at = 0;
        for (codes, pair) in codes.iter().zip(numbers.chunks_exact_mut(2)) {
            for (number, code) in pair.iter_mut().zip([codes & 0xf, codes >> 4]) {
                let word = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
                let word = word.map_or(0, |word| u64::from_le_bytes(*word));
                *number = word & BITS[usize::from(code)] | SHORT[usize::from(code)];
                at += usize::from(LENS[usize::from(code)]);
            }
        }
        numbers.truncate(count);
    }
}

/// A number's length, or what stands for the number itself.
const fn code(number: u64) -> u8 {
    if number >= LONG {
        (u64::BITS - number.leading_zeros()).div_ceil(8) as u8
    } else if number == 0 {
        0
    } else {
        (number + LONG) as u8
    }
}

/// By code: how many bytes a number has, which bits of the next eight bytes are its own, and what
/// it is without any.
const LENS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0];
const SHORT: [u64; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7];
const BITS: [u64; 16] = {
    let (mut bits, mut code) = ([0; 16], 1);
    while code < 9 {
        bits[code] = u64::MAX >> (u64::BITS - 8 * LENS[code] as u32);
        code += 1;
    }
    bits
};

impl Notes for Writer<'_> {
    #[inline]
    fn number(&mut self, value: &mut u64) {
        self.paper.numbers.push(*value);
    }

    fn time_before(&mut self) -> &mut u64 {
        &mut self.time
    }
}

impl Notes for Reader<'_> {
    #[inline]
    fn number(&mut self, value: &mut u64) {
        let number = self.numbers.next();
        debug_assert!(number.is_some(), "more is read than was written");
        *value = number.copied().unwrap_or_default();
    }

    fn time_before(&mut self) -> &mut u64 {
        &mut self.time
    }
}

/// Small negative numbers are small, too.
const fn folded(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

const fn unfolded(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let mut numbers = vec![0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX];
        numbers.extend((0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]));
        let mut paper = Paper::default();
        let mut notes = Writer::new(&mut paper);
        for number in &numbers {
            notes.number(&mut number.clone());
            notes.signed(&mut number.cast_signed());
            notes.time(&mut Time::from_micros(*number));
            notes.duration(&mut Duration::from_micros(*number));
            notes.option(&mut Some(*number), Notes::number);
        }
        notes.option(&mut None, Notes::number);
        let packed = notes.packed().to_vec();
        let mut notes = Reader::new(&packed, &mut paper);
        for expected in numbers {
            let (mut number, mut signed, mut time) = (7, 7, Time::ZERO);
            let (mut duration, mut option) = (Duration::ZERO, None);
            notes.number(&mut number);
            notes.signed(&mut signed);
            notes.time(&mut time);
            notes.duration(&mut duration);
            notes.option(&mut option, Notes::number);
            assert_eq!((number, signed.cast_unsigned()), (expected, expected));
            assert_eq!((time.as_micros(), option), (expected, Some(expected)));
            assert_eq!(duration, Duration::from_micros(expected));
        }
        let mut none = Some(5);
        notes.option(&mut none, Notes::number);
        assert_eq!(none, None);
    }

    #[test]
    fn small_numbers_take_few_bytes_and_so_do_times_near_each_other() {
        let mut paper = Paper::default();
        let mut len_of = |numbers: &[u64]| {
            let mut notes = Writer::new(&mut paper);
            numbers.iter().for_each(|number| notes.number(&mut number.clone()));
            notes.packed().len()
        };
        assert_eq!(
            [7, 8, 255, 256, 1 << 20, u64::MAX].map(|number| len_of(&[number])),
            [3, 4, 4, 5, 6, 11]
        );
        assert_eq!(len_of(&[0; 200]), 102);
        assert_eq!(len_of(&[]), 2);
        let mut notes = Writer::new(&mut paper);
        for millis in [1_000_000, 1_000_030, 999_990] {
            notes.time(&mut Time::from_millis(millis));
        }
        assert_eq!(notes.packed().len(), 2 + 2 + 4 + 2 + 3);
    }
}
