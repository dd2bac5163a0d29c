//! The bytes that travel, as `PROTOCOL.md` lays them out.
//!
//! Everything here is parsed from a slice and emitted to the end of a vector, and knows its length
//! beforehand. What is parsed is checked in full; what parses emits to the same bytes, as every
//! number has one encoding only. Nothing here knows a key or remembers anything.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod ack;
mod bytes;
mod control;
mod frame;
mod hello;
mod message;
mod notice;
mod packet;
mod params;

use std::error::Error;
use std::fmt;

pub use ack::{AckCompact, AckDelay, AckRanges, EcnCount};
pub use bytes::{WIDE_LEN_MAX, varint_len, wide_len};
pub use control::ControlWord;
pub use frame::{Asks, Extension, Frame, Frames};
pub use hello::{
    CLIENT_HELLO_LEN_MIN, COOKIE_LEN, ClientHello, HelloId, KEY_LEN, MAC_LEN, Retry, ServerHello,
    TOKEN_LEN_MAX, TokenKind, VersionList,
};
pub use message::{Extent, Fragment, MESSAGE_CHARGE, MessageFrame, Place};
pub use notice::Notice;
pub use packet::{ConnectionId, Datagram, Direction, Phase, ShortHeader, TAG_LEN};
pub use params::{
    Answer, Claim, ClientParams, HostParams, LanesState, Limits, PASS_LEN, Positions,
    RESET_TOKEN_LEN, ResumeGrant, ResumeRequest, Suite, TicketId,
};

/// The version of the protocol that this crate speaks: `ML` and a number.
pub const VERSION: u32 = 0x4d4c_0001;

/// The longest datagram that every path carries, and the shortest that a first packet may be.
pub const DATAGRAM_LEN_BASE: usize = 1_200;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// They end too early.
    Truncated,
    /// A number takes more bytes than it needs.
    Overlong,
    /// A number, a length or a count is larger than the limit of its field.
    OutOfRange,
    /// Bits are set that have no meaning in this version.
    Reserved,
    /// The type is not known, and may not be skipped.
    UnknownType(u8),
    /// Text is not UTF-8.
    NotText,
    /// A parameter is missing, comes twice or is out of order.
    Parameters,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end too early"),
            Self::Overlong => f.write_str("a number takes more bytes than it needs"),
            Self::OutOfRange => f.write_str("a number is larger than its field allows"),
            Self::Reserved => f.write_str("reserved bits are set"),
            Self::UnknownType(kind) => write!(f, "type {kind:#04x} is unknown"),
            Self::NotText => f.write_str("text is not UTF-8"),
            Self::Parameters => f.write_str("a parameter is missing or out of order"),
        }
    }
}

impl Error for WireError {}
