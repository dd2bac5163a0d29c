//! Acknowledgements: a short form for steady traffic, and ranges for everything else.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::WireError;
use super::bytes::{Reader, put_varint, varint_len};
use crate::seq::{NUMBER_MAX, PacketNumber, Seq16};

pub(super) const COMPACT: u8 = 0x40;
pub(super) const COMPACT_LAST: u8 = 0x5f;
const COMPACT_ECN: u8 = 0x10;
pub(super) const RANGES: u8 = 0x10;
pub(super) const RANGES_ECN: u8 = 0x11;
const ECN_LEN: usize = 3;

/// How long an acknowledgement was held back, in one byte: a quarter of a millisecond exactly up to
/// 32 ms, then within a sixteenth, up to eight seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckDelay(pub u8);

impl AckDelay {
    /// The unit of the first 128 values.
    const UNIT_MICROS: u64 = 250;

    /// The longest delay that is not longer than `delay`, so that no round trip looks shorter than
    /// it was.
    pub fn of(delay: Duration) -> Self {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let units = micros / Self::UNIT_MICROS;
        let Some(exponent) = units.max(1).ilog2().checked_sub(7) else { return Self(units as u8) };
        if exponent > 7 {
            return Self(u8::MAX);
        }
        let mantissa = (units >> exponent.saturating_add(3)) & 0x0f;
        Self(0x80 | (exponent << 4) as u8 | mantissa as u8)
    }

    /// The delay that it stands for.
    pub const fn duration(self) -> Duration {
        let units = match self.0 {
            0..=0x7f => self.0 as u64,
            _ => {
                let mantissa = (self.0 as u64 & 0x0f) | 0x10;
                let exponent = (self.0 as u64 >> 4) & 0x07;
                mantissa << exponent.saturating_add(3)
            }
        };
        Duration::from_micros(units.saturating_mul(Self::UNIT_MICROS))
    }
}

/// How many packets arrived with the mark of a congested path, in 24 bits that wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EcnCount(u32);

impl EcnCount {
    /// The last 24 bits of a count.
    pub const fn of(count: u64) -> Self {
        Self((count & 0xff_ffff) as u32)
    }

    /// Its 24 bits.
    pub const fn value(self) -> u32 {
        self.0
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let [a, b, c] = *reader.array::<ECN_LEN>()?;
        Ok(Self(u32::from_be_bytes([0, a, b, c])))
    }

    fn emit(self, out: &mut Vec<u8>) {
        let [_, rest @ ..] = self.0.to_be_bytes();
        out.extend_from_slice(&rest);
    }
}

/// The largest packet that was received, and which of the 32 before it were.
///
/// About those further back it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckCompact {
    /// The last 16 bits of the largest packet number that was received.
    pub largest: Seq16,
    /// How long this was held back since then.
    pub delay: AckDelay,
    /// How many packets came with a congestion mark, if any ever did.
    pub ecn: Option<EcnCount>,
    /// Bit 0 is the number before the largest, and so on; set if it was received. A bit for a
    /// number before the first packet is set.
    pub received: u32,
}

impl AckCompact {
    /// How many packets before the largest it tells of.
    pub const HISTORY_LEN: u32 = u32::BITS;

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let first = reader.u8()?;
        let largest = Seq16(reader.u16()?);
        let delay = AckDelay(reader.u8()?);
        let ecn = match first & COMPACT_ECN {
            0 => None,
            _ => Some(EcnCount::parse(reader)?),
        };
        let mut bytes = [u8::MAX; 4];
        for (place, byte) in bytes.iter_mut().enumerate() {
            if first & (1 << place) != 0 {
                *byte = reader.u8()?;
                if *byte == u8::MAX {
                    return Err(WireError::Overlong);
                }
            }
        }
        Ok(Self { largest, delay, ecn, received: u32::from_le_bytes(bytes) })
    }

    fn explicit(&self) -> impl Iterator<Item = (usize, u8)> {
        let bytes = self.received.to_le_bytes();
        bytes.into_iter().enumerate().filter(|(_, byte)| *byte != u8::MAX)
    }

    pub(super) fn len(&self) -> usize {
        let ecn = if self.ecn.is_some() { ECN_LEN } else { 0 };
        ecn.saturating_add(self.explicit().count()).saturating_add(4)
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let ecn = if self.ecn.is_some() { COMPACT_ECN } else { 0 };
        out.push(self.explicit().fold(COMPACT | ecn, |first, (place, _)| first | (1 << place)));
        out.extend_from_slice(&self.largest.0.to_be_bytes());
        out.push(self.delay.0);
        if let Some(ecn) = self.ecn {
            ecn.emit(out);
        }
        out.extend(self.explicit().map(|(_, byte)| byte));
    }
}

/// Which packets were received, in up to [`AckRanges::RANGES_MAX`] ranges, the latest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRanges<'a> {
    largest: PacketNumber,
    /// How long this was held back since the largest arrived.
    pub delay: AckDelay,
    /// How many packets came with a congestion mark, if any ever did.
    pub ecn: Option<EcnCount>,
    /// How many packets before the largest were received without a gap.
    run: u64,
    more_len: u8,
    /// The further ranges, checked.
    more: &'a [u8],
}

impl<'a> AckRanges<'a> {
    /// The most ranges in one frame.
    pub const RANGES_MAX: usize = 32;

    /// Lays ranges out in `scratch`. They come latest first, with a gap between any two.
    ///
    /// None if there is none, or too many, or if they are not in this order.
    pub fn of(
        delay: AckDelay,
        ecn: Option<EcnCount>,
        ranges: &[RangeInclusive<u64>],
        scratch: &'a mut Vec<u8>,
    ) -> Option<Self> {
        let (first, more) = ranges.split_first()?;
        let largest = PacketNumber::new(*first.end())?;
        let run = first.end().checked_sub(*first.start())?;
        let more_len = u8::try_from(more.len()).ok()?;
        if ranges.len() > Self::RANGES_MAX {
            return None;
        }
        scratch.clear();
        let mut before = *first.start();
        for range in more {
            put_varint(scratch, before.checked_sub(*range.end())?.checked_sub(2)?);
            put_varint(scratch, range.end().checked_sub(*range.start())?);
            before = *range.start();
        }
        Some(Self { largest, delay, ecn, run, more_len, more: scratch })
    }

    /// The largest packet number that was received.
    pub const fn largest(&self) -> PacketNumber {
        self.largest
    }

    /// The ranges, the latest first.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        let end = self.largest.value();
        let first = end.saturating_sub(self.run)..=end;
        let mut reader = Reader(self.more);
        let mut before = *first.start();
        let more = (0..self.more_len).map_while(move |_| {
            let range = next_range(&mut reader, before).ok()?;
            before = *range.start();
            Some(range)
        });
        std::iter::once(first).chain(more)
    }

    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let first = reader.u8()?;
        let largest = PacketNumber::new(reader.varint()?).ok_or(WireError::OutOfRange)?;
        let delay = AckDelay(reader.u8()?);
        let ecn = if first == RANGES_ECN { Some(EcnCount::parse(reader)?) } else { None };
        let run = reader.varint()?;
        let more_len = reader.u8()?;
        if usize::from(more_len) >= Self::RANGES_MAX {
            return Err(WireError::OutOfRange);
        }
        let mut before = largest.value().checked_sub(run).ok_or(WireError::OutOfRange)?;
        let mut rest = *reader;
        for _ in 0..more_len {
            before = *next_range(&mut rest, before)?.start();
        }
        let more = reader.take(reader.0.len().saturating_sub(rest.0.len()))?;
        Ok(Self { largest, delay, ecn, run, more_len, more })
    }

    pub(super) fn len(&self) -> usize {
        let ecn = if self.ecn.is_some() { ECN_LEN } else { 0 };
        [varint_len(self.largest.value()), ecn, varint_len(self.run), self.more.len()]
            .into_iter()
            .fold(3, usize::saturating_add)
    }

    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.push(if self.ecn.is_some() { RANGES_ECN } else { RANGES });
        put_varint(out, self.largest.value());
        out.push(self.delay.0);
        if let Some(ecn) = self.ecn {
            ecn.emit(out);
        }
        put_varint(out, self.run.min(NUMBER_MAX));
        out.push(self.more_len);
        out.extend_from_slice(self.more);
    }
}

/// The range after one that begins at `before`: at least one number is missing in between.
fn next_range(reader: &mut Reader<'_>, before: u64) -> Result<RangeInclusive<u64>, WireError> {
    let gap = reader.varint()?.saturating_add(2);
    let end = before.checked_sub(gap).ok_or(WireError::OutOfRange)?;
    let start = end.checked_sub(reader.varint()?).ok_or(WireError::OutOfRange)?;
    Ok(start..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_never_overstated_and_hardly_understated() {
        let all: Vec<Duration> = (0..=u8::MAX).map(|byte| AckDelay(byte).duration()).collect();
        assert!(all.is_sorted_by(|a, b| a < b), "each byte stands for a longer delay");
        assert_eq!(all.last(), Some(&Duration::from_millis(7_936)));
        for millis in 0..9_000 {
            let delay = Duration::from_millis(millis);
            let told = AckDelay::of(delay).duration();
            assert!(told <= delay);
            let error = delay.saturating_sub(told);
            let within = if millis < 32 { Duration::ZERO } else { delay.div_f64(16.0) };
            assert!(error <= within || millis > 8_192, "{delay:?} told as {told:?}");
        }
        for byte in 0..=u8::MAX {
            assert_eq!(AckDelay::of(AckDelay(byte).duration()), AckDelay(byte));
        }
    }

    #[test]
    fn only_ranges_in_order_with_gaps_can_be_laid_out() {
        let lay = |ranges: &[RangeInclusive<u64>]| {
            let mut scratch = Vec::new();
            AckRanges::of(AckDelay(0), None, ranges, &mut scratch)
                .map(|ack| ack.ranges().collect::<Vec<_>>())
        };
        let good = [90..=100, 80..=88, 3..=3, 0..=1];
        assert_eq!(lay(&good), Some(good.to_vec()));
        assert_eq!(lay(&[]), None);
        assert_eq!(lay(&[90..=100, 80..=89]), None, "no gap");
        assert_eq!(lay(&[80..=88, 90..=100]), None, "the wrong order");
        assert_eq!(lay(&[RangeInclusive::new(5, 4)]), None, "an empty range");
        assert_eq!(lay(&[0..=NUMBER_MAX.wrapping_add(1)]), None, "no packet number");
        let many: Vec<_> = (0..33).rev().map(|at| at * 2..=at * 2).collect();
        assert_eq!(lay(&many), None);
        assert!(lay(many.get(1..).expect("32")).is_some());
    }
}
