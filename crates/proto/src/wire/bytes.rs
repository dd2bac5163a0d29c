//! Reading from a slice without ever reaching past its end, and numbers of variable length.

use super::WireError;
use crate::seq::NUMBER_MAX;

/// The most bytes that a wide number takes.
pub const WIDE_LEN_MAX: usize = 16;

/// The rest of what is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, which stays where it is.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], WireError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(array)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().copied().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().copied().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().copied().map(u32::from_be_bytes)
    }

    /// A number of 1, 2, 4 or 8 bytes, in the shortest of these that holds it.
    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let first = self.peek().ok_or(WireError::Truncated)?;
        let len = 1_usize << (first >> 6);
        let bytes = self.take(len)?;
        let all = bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        let value = match len {
            1 => all & 0x3f,
            2 => all & 0x3fff,
            4 => all & 0x3fff_ffff,
            _ => all & NUMBER_MAX,
        };
        if varint_len(value) == len { Ok(value) } else { Err(WireError::Overlong) }
    }

    /// A number of variable length that a smaller type holds.
    pub(super) fn varint_as<T: TryFrom<u64>>(&mut self) -> Result<T, WireError> {
        T::try_from(self.varint()?).map_err(|_| WireError::OutOfRange)
    }

    /// A number of all 64 bits: a varint, or the largest varint and eight bytes.
    pub(super) fn wide(&mut self) -> Result<u64, WireError> {
        let value = self.varint()?;
        if value < NUMBER_MAX {
            return Ok(value);
        }
        let value = self.array().copied().map(u64::from_be_bytes)?;
        if value < NUMBER_MAX { Err(WireError::Overlong) } else { Ok(value) }
    }

    /// A length of variable length, at most `len_max`, and as many bytes.
    pub(super) fn block(&mut self, len_max: usize) -> Result<&'a [u8], WireError> {
        let len = self.varint_as::<usize>()?;
        if len > len_max { Err(WireError::OutOfRange) } else { self.take(len) }
    }
}

/// How many bytes a varint takes.
///
/// # Panics
/// When the number is larger than [`NUMBER_MAX`]: the caller's mistake.
pub const fn varint_len(value: u64) -> usize {
    assert!(value <= NUMBER_MAX, "a varint holds 62 bits");
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// How many bytes a wide number takes.
pub const fn wide_len(value: u64) -> usize {
    if value < NUMBER_MAX { varint_len(value) } else { WIDE_LEN_MAX }
}

/// How many bytes a block takes, its length included.
pub(super) const fn block_len(bytes: &[u8]) -> usize {
    varint_len(bytes.len() as u64).saturating_add(bytes.len())
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let len = varint_len(value);
    let start = out.len();
    out.extend_from_slice(bytes.get(bytes.len().saturating_sub(len)..).unwrap_or(&bytes));
    let form = match len {
        1 => 0x00,
        2 => 0x40,
        4 => 0x80,
        _ => 0xc0,
    };
    if let Some(first) = out.get_mut(start) {
        *first |= form;
    }
}

pub(super) fn put_wide(out: &mut Vec<u8>, value: u64) {
    put_varint(out, value.min(NUMBER_MAX));
    if value >= NUMBER_MAX {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A signed number as one that is small when it is near zero.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests cut what they made")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_rfc_9000_are_right() {
        let cases: [(&[u8], u64); 4] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ];
        for (bytes, value) in cases {
            assert_eq!(Reader(bytes).varint(), Ok(value));
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
        }
        assert_eq!(Reader(&[0x40, 0x25]).varint(), Err(WireError::Overlong));
    }

    #[test]
    fn every_beginning_of_a_number_is_a_number_or_an_error() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                for len in 0..=2 {
                    let bytes = [first, second];
                    let bytes = bytes.get(..len).expect("at most two");
                    let mut reader = Reader(bytes);
                    if let Ok(value) = reader.varint() {
                        let mut out = Vec::new();
                        put_varint(&mut out, value);
                        assert_eq!([&out, reader.rest()].concat(), bytes);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_number_comes_back_from_as_many_bytes_as_was_said(
            value in prop_oneof![any::<u64>(), 0..20_000_u64, NUMBER_MAX - 2..NUMBER_MAX + 2],
        ) {
            let mut out = Vec::new();
            put_wide(&mut out, value);
            prop_assert_eq!(out.len(), wide_len(value));
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.wide(), Ok(value));
            prop_assert!(reader.is_empty());
            prop_assert_eq!(zigzag(unzigzag(value)), value);
            for len in 0..out.len() {
                prop_assert_eq!(Reader(&out[..len]).wide(), Err(WireError::Truncated));
            }
        }
    }
}
