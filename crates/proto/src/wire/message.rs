//! Messages, and parts of messages, of all lanes.

use super::WireError;
use super::bytes::{Reader, put_varint, put_wide, varint_len, wide_len};
use crate::seq::Seq16;

pub(super) const MESSAGE: u8 = 0x80;
const FRAGMENT: u8 = 0x40;
const TO_END: u8 = 0x20;
const LANE_MASK: u8 = 0x1f;

const CONTROL: u8 = 24;
const UNORDERED: u8 = 25;
const LATEST: u8 = 26;
const UNRELIABLE: u8 = 27;

/// What a message counts for beside its bytes where reliable messages are limited, so that small
/// ones are not free.
pub const MESSAGE_CHARGE: u64 = 64;

/// Where a message belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Reliable and ordered, on one of [`Place::CHANNELS`] channels that do not wait for each
    /// other.
    Ordered(u8),
    /// Reliable and ordered, for the words of the session layers. Its kinds are those of
    /// [`ControlWord`](super::ControlWord).
    Control,
    /// Reliable, delivered as it comes.
    Unordered,
    /// The latest of this key. Of two, the one with the larger sequence number is later.
    Latest(u64),
    /// Once or never.
    Unreliable,
}

impl Place {
    /// How many ordered channels there are.
    pub const CHANNELS: u8 = 24;

    /// Whether it is sent again until it is acknowledged.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Ordered(_) | Self::Control | Self::Unordered)
    }

    /// Whether whole messages have a sequence number, and not only parts of messages.
    pub const fn is_numbered(self) -> bool {
        !matches!(self, Self::Unreliable)
    }

    /// Its lane's number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ordered(channel) => channel,
            Self::Control => CONTROL,
            Self::Unordered => UNORDERED,
            Self::Latest(_) => LATEST,
            Self::Unreliable => UNRELIABLE,
        }
    }
}

/// Which part of a message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Its place, from zero up to `last`.
    pub index: u16,
    /// The place of the last part: at least 1, below [`Fragment::COUNT_MAX`].
    pub last: u16,
}

impl Fragment {
    /// The most parts of a message.
    pub const COUNT_MAX: u16 = 1_024;
    /// The shortest that a part may be which is not the last.
    pub const LEN_MIN: usize = 256;
}

/// A message or a part of one.
///
/// All parts of a message but the last have equal lengths, of at least [`Fragment::LEN_MIN`], and
/// all repeat its kind and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageFrame<'a> {
    /// Where it belongs.
    pub place: Place,
    /// Which message of its lane it is. Only a whole unreliable message has none.
    pub seq: Option<Seq16>,
    /// The application's number for what the payload is.
    pub kind: u16,
    /// Which part it is, if it is not the whole.
    pub fragment: Option<Fragment>,
    /// How the end is told.
    pub extent: Extent,
    /// The bytes.
    pub payload: &'a [u8],
}

/// How the end of a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// By its length.
    Counted,
    /// By the end of the packet: it is the last frame.
    ToEnd,
}

impl<'a> MessageFrame<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let first = reader.u8()?;
        let lane = first & LANE_MASK;
        let has_seq = lane <= LATEST || first & FRAGMENT != 0;
        let seq = if has_seq { Some(Seq16(reader.u16()?)) } else { None };
        let place = match lane {
            0..Place::CHANNELS => Place::Ordered(lane),
            CONTROL => Place::Control,
            UNORDERED => Place::Unordered,
            LATEST => Place::Latest(reader.wide()?),
            UNRELIABLE => Place::Unreliable,
            _ => return Err(WireError::UnknownType(first)),
        };
        let kind = reader.varint_as()?;
        let fragment = if first & FRAGMENT == 0 { None } else { Some(Fragment::parse(reader)?) };
        let (extent, payload) = if first & TO_END == 0 {
            (Extent::Counted, reader.block(usize::MAX)?)
        } else {
            (Extent::ToEnd, reader.rest())
        };
        let len_min = match fragment {
            Some(fragment) if fragment.index < fragment.last => Fragment::LEN_MIN,
            Some(_) => 1,
            None => 0,
        };
        if payload.len() < len_min {
            return Err(WireError::OutOfRange);
        }
        Ok(Self { place, seq, kind, fragment, extent, payload })
    }

    /// Changes the first byte of a frame that was written with its length: it ends with the packet.
    pub const fn end_with_packet(first: &mut u8) {
        *first |= TO_END;
    }

    /// How many bytes it adds to its payload.
    pub const fn overhead(&self) -> usize {
        let seq = if self.seq.is_some() { 2 } else { 0 };
        let key = match self.place {
            Place::Latest(key) => wide_len(key),
            _ => 0,
        };
        let fragment = match self.fragment {
            Some(fragment) => {
                varint_len(fragment.index as u64).saturating_add(varint_len(fragment.last as u64))
            }
            None => 0,
        };
        let len = match self.extent {
            Extent::Counted => varint_len(self.payload.len() as u64),
            Extent::ToEnd => 0,
        };
        varint_len(self.kind as u64)
            .saturating_add(seq)
            .saturating_add(key)
            .saturating_add(fragment)
            .saturating_add(len)
            .saturating_add(1)
    }

    /// Its length in bytes.
    pub const fn len(&self) -> usize {
        self.overhead().saturating_add(self.payload.len())
    }

    /// Never: there is a first byte.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// # Panics
    /// When the channel or the fragment is out of range, or a sequence number is missing or too
    /// much: the caller's mistake.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let has_seq = self.place.is_numbered() || self.fragment.is_some();
        assert!(self.seq.is_some() == has_seq, "all but whole unreliable messages have a number");
        if let Place::Ordered(channel) = self.place {
            assert!(channel < Place::CHANNELS, "there is no channel {channel}");
        }
        let fragment = if self.fragment.is_some() { FRAGMENT } else { 0 };
        let extent = match self.extent {
            Extent::Counted => 0,
            Extent::ToEnd => TO_END,
        };
        out.push(MESSAGE | fragment | extent | self.place.number());
        if let Some(seq) = self.seq {
            out.extend_from_slice(&seq.0.to_be_bytes());
        }
        if let Place::Latest(key) = self.place {
            put_wide(out, key);
        }
        put_varint(out, self.kind.into());
        if let Some(fragment) = self.fragment {
            let len_min = if fragment.index < fragment.last { Fragment::LEN_MIN } else { 1 };
            assert!(self.payload.len() >= len_min, "a part of a message is not that short");
            fragment.emit(out);
        }
        if self.extent == Extent::Counted {
            put_varint(out, self.payload.len() as u64);
        }
        out.extend_from_slice(self.payload);
    }
}

impl Fragment {
    const fn is_possible(self) -> bool {
        self.index <= self.last && self.last > 0 && self.last < Self::COUNT_MAX
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let fragment = Self { index: reader.varint_as()?, last: reader.varint_as()? };
        if fragment.is_possible() { Ok(fragment) } else { Err(WireError::OutOfRange) }
    }

    fn emit(self, out: &mut Vec<u8>) {
        assert!(self.is_possible(), "{self:?} is not possible");
        put_varint(out, self.index.into());
        put_varint(out, self.last.into());
    }
}
