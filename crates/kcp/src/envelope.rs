//! The protobuf message around every payload: `Envelope { int32 type = 1; bytes payload = 2; }`.
//!
//! It is read by hand, as a view into the received bytes, because it is read for every message.
//! Field order, repeated fields (the last one counts) and unknown fields are taken as protobuf
//! says.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::error::Error;
use std::fmt;

/// Field 1, a varint.
const KIND_KEY: u64 = 1 << 3;
/// Field 2, a length and that many bytes.
const PAYLOAD_KEY: u64 = 2 << 3 | 2;
/// Field 15, of no meaning, a length and that many bytes.
const PADDING_KEY: u64 = 15 << 3 | 2;
/// How deep groups may nest in an unknown field: protobuf's own limit.
const DEPTH_MAX: u32 = 100;

/// A kind and its payload, which stays where it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the payload is.
    pub kind: u16,
    /// The encoded message.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// How many bytes an envelope adds to its payload at most.
    pub const OVERHEAD_MAX: usize = 10;

    /// The envelope in `bytes`.
    ///
    /// # Errors
    /// When the bytes are no protobuf message, or the kind is none that travels here.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut reader = Reader { rest: bytes };
        let (mut kind, mut payload) = (0, [].as_slice());
        // Bounded: each round takes at least one byte.
        while !reader.rest.is_empty() {
            let key = reader.key()?;
            match (key, key >> 3) {
                (KIND_KEY, _) => kind = reader.varint()? as i32,
                (PAYLOAD_KEY, _) => payload = reader.delimited()?,
                (_, 1 | 2) => return Err(EnvelopeError::Malformed),
                _ => reader.skip(key, DEPTH_MAX)?,
            }
        }
        let kind = u16::try_from(kind).map_err(|_| EnvelopeError::UnknownKind(kind))?;
        Ok(Self { kind, payload })
    }

    /// Appends the encoded envelope to `bytes`, as short as protobuf allows: a zero kind and an
    /// empty payload are left out.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        if self.kind != 0 {
            put_varint(bytes, KIND_KEY);
            put_varint(bytes, self.kind.into());
        }
        if !self.payload.is_empty() {
            put_varint(bytes, PAYLOAD_KEY);
            put_varint(bytes, self.payload.len() as u64);
            bytes.extend_from_slice(self.payload);
        }
    }
}

/// Appends a field that every reader skips to the envelope in `bytes`, so that it has at least
/// `len_min` bytes.
pub(crate) fn pad(bytes: &mut Vec<u8>, len_min: usize) {
    let missing = len_min.saturating_sub(bytes.len());
    if missing > 0 {
        let zeros = missing.saturating_sub(2);
        put_varint(bytes, PADDING_KEY);
        put_varint(bytes, zeros as u64);
        bytes.resize(bytes.len().saturating_add(zeros), 0);
    }
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// They are not a protobuf message with these fields.
    Malformed,
    /// The kind is negative or above 65,535.
    UnknownKind(i32),
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed envelope"),
            Self::UnknownKind(kind) => write!(f, "unknown kind {kind}"),
        }
    }
}

impl Error for EnvelopeError {}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A field's number and wire type; the number is not zero and fits in 29 bits.
    fn key(&mut self) -> Result<u64, EnvelopeError> {
        let key = self.varint()?;
        let valid = key <= u32::MAX.into() && key >> 3 != 0;
        if valid { Ok(key) } else { Err(EnvelopeError::Malformed) }
    }

    fn varint(&mut self) -> Result<u64, EnvelopeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(EnvelopeError::Malformed)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            value |= bits << shift;
            if byte < 0x80 {
                // The tenth byte has room for one bit.
                let fits = shift < 63 || bits <= 1;
                return if fits { Ok(value) } else { Err(EnvelopeError::Malformed) };
            }
        }
        Err(EnvelopeError::Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], EnvelopeError> {
        let len = usize::try_from(len).map_err(|_| EnvelopeError::Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(EnvelopeError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn delimited(&mut self) -> Result<&'a [u8], EnvelopeError> {
        let len = self.varint()?;
        self.take(len)
    }

    /// Passes over the value of an unknown field; `depth` bounds the nesting of groups.
    fn skip(&mut self, key: u64, depth: u32) -> Result<(), EnvelopeError> {
        let depth = depth.checked_sub(1).ok_or(EnvelopeError::Malformed)?;
        match key & 7 {
            0 => self.varint().map(drop),
            1 => self.take(8).map(drop),
            2 => self.delimited().map(drop),
            5 => self.take(4).map(drop),
            3 => loop {
                // Bounded: each round takes at least one byte.
                let inner = self.key()?;
                match (inner & 7, inner >> 3 == key >> 3) {
                    (4, true) => return Ok(()),
                    (4, false) => return Err(EnvelopeError::Malformed),
                    _ => self.skip(inner, depth)?,
                }
            },
            _ => Err(EnvelopeError::Malformed),
        }
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f | 0x80) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Oracle {
        #[prost(int32, tag = "1")]
        r#type: i32,
        #[prost(bytes = "vec", tag = "2")]
        payload: Vec<u8>,
    }

    fn expected(bytes: &[u8]) -> Result<(u16, Vec<u8>), EnvelopeError> {
        let oracle = Oracle::decode(bytes).map_err(|_| EnvelopeError::Malformed)?;
        let kind =
            u16::try_from(oracle.r#type).map_err(|_| EnvelopeError::UnknownKind(oracle.r#type))?;
        Ok((kind, oracle.payload))
    }

    fn actual(bytes: &[u8]) -> Result<(u16, Vec<u8>), EnvelopeError> {
        Envelope::parse(bytes).map(|envelope| (envelope.kind, envelope.payload.to_vec()))
    }

    /// A field as a stranger may write it: mostly well formed, of any number and wire type.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![4 => 1u64..4, 1 => any::<u32>().prop_map(u64::from)];
        (number, 0u64..8, any::<u64>(), prop::collection::vec(any::<u8>(), 0..12)).prop_map(
            |(number, wire, value, data)| {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, number << 3 | wire);
                match wire {
                    0 => put_varint(&mut bytes, if value % 3 == 0 { value } else { value % 50 }),
                    2 => {
                        put_varint(&mut bytes, data.len() as u64);
                        bytes.extend(data);
                    }
                    3 => put_varint(&mut bytes, number << 3 | 4),
                    _ => bytes.extend(data),
                }
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_emitted_reads_the_same_here_and_in_prost(
            kind: u16, payload in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = Vec::new();
            Envelope { kind, payload: &payload }.emit(&mut bytes);
            prop_assert!(bytes.len().saturating_sub(payload.len()) <= Envelope::OVERHEAD_MAX);
            let oracle = Oracle { r#type: kind.into(), payload: payload.clone() };
            prop_assert_eq!(&bytes, &oracle.encode_to_vec());
            prop_assert_eq!(actual(&bytes), Ok((kind, payload)));
        }

        #[test]
        fn any_bytes_read_as_in_prost(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            prop_assert_eq!(actual(&bytes), expected(&bytes));
        }

        #[test]
        fn any_fields_read_as_in_prost(
            fields in prop::collection::vec(field(), 0..6), cut in 0usize..8,
        ) {
            let mut bytes = fields.concat();
            bytes.truncate(bytes.len().saturating_sub(cut / 4));
            prop_assert_eq!(actual(&bytes), expected(&bytes));
        }
    }

    #[test]
    fn groups_nest_as_deep_as_in_prost_and_no_deeper() {
        for depth in [1, 50, 99, 100, 101, 102, 5_000] {
            let mut bytes = vec![7 << 3 | 3; depth];
            bytes.extend(vec![7 << 3 | 4; depth]);
            assert_eq!(actual(&bytes), expected(&bytes), "{depth} groups");
        }
    }

    #[test]
    fn padding_is_skipped_and_makes_a_message_as_long_as_wanted() {
        for len in [0, 1, 9, 126, 127, 128, 129, 130, 131, 300] {
            let mut bytes = Vec::new();
            Envelope { kind: 21, payload: b"name" }.emit(&mut bytes);
            pad(&mut bytes, len);
            assert!(bytes.len() >= len && bytes.len() <= len.max(8).saturating_add(1));
            assert_eq!(actual(&bytes), Ok((21, b"name".to_vec())));
            assert_eq!(actual(&bytes), expected(&bytes));
        }
    }

    #[test]
    fn a_negative_or_large_kind_is_unknown() {
        for kind in [-1, i32::MIN, 65_536, i32::MAX] {
            let bytes = Oracle { r#type: kind, payload: vec![1] }.encode_to_vec();
            assert_eq!(Envelope::parse(&bytes), Err(EnvelopeError::UnknownKind(kind)));
        }
    }
}
