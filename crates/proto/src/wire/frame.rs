//! Frames: what a packet of a link holds once it is decrypted.

use super::WireError;
use super::ack::{self, AckCompact, AckRanges};
use super::bytes::{
    Reader, block_len, put_block, put_varint, put_wide, unzigzag, varint_len, wide_len, zigzag,
};
use super::message::{self, MessageFrame, Place};
use super::notice::Notice;

const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const PONG: u8 = 0x02;
const ACK_NOW: u8 = 0x03;
const PATH_CHALLENGE: u8 = 0x04;
const PATH_RESPONSE: u8 = 0x05;
const BEAT: u8 = 0x06;
const BEAT_ANSWER: u8 = 0x07;
const MAX_DATA: u8 = 0x08;
const SETTLED: u8 = 0x09;
const CLOSE: u8 = 0x0a;
const CLOSE_NOTICE: u8 = 0x0b;
const EXTENSION: u8 = 0x60;
const EXTENSION_LAST: u8 = 0x7f;

/// How soon the receiver of a packet has to acknowledge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// Never for its own sake.
    Nothing,
    /// With the next packet that leaves anyway: nothing is sent again for it.
    Eventually,
    /// Within the time that the receiver told in the handshake.
    Soon,
    /// Now.
    Now,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Bytes that mean nothing.
    Padding {
        /// How many there are.
        len: usize,
    },
    /// Asks for a [`Pong`](Self::Pong).
    Ping {
        /// When it was sent, on the sender's clock, in units of 16 µs that wrap.
        sent: u32,
    },
    /// Answers a [`Ping`](Self::Ping).
    Pong {
        /// What the ping said.
        sent: u32,
        /// When the ping arrived, on the answerer's clock.
        received: u32,
        /// When this was sent, on the answerer's clock.
        answered: u32,
    },
    /// Asks that this packet is acknowledged at once.
    AckNow,
    /// Asks whoever is at the address for the same bytes.
    PathChallenge([u8; 8]),
    /// Answers a [`PathChallenge`](Self::PathChallenge).
    PathResponse([u8; 8]),
    /// A client's session asks its host's for a sign of life.
    Beat {
        /// The client's number for it.
        beat: u32,
    },
    /// The host's sign of life.
    BeatAnswer {
        /// The beat that is answered.
        beat: u32,
        /// The host's tick at that moment.
        server_tick: i64,
    },
    /// How much of reliable messages the sender of this takes in all, since the link began: their
    /// bytes, and [`MESSAGE_CHARGE`](super::MESSAGE_CHARGE) for each.
    MaxData {
        /// The sum so far.
        bytes: u64,
    },
    /// Before a [`Close`](Self::Close) of a host that had [`Ready`](super::ControlWord::Ready): all
    /// that both sides had begun to send arrived.
    Settled,
    /// Good-bye; nothing more comes. With a reason where there is one to give.
    Close(Option<Notice<'a>>),
    /// Which packets were received, in the short form.
    AckCompact(AckCompact),
    /// Which packets were received, as ranges.
    AckRanges(AckRanges<'a>),
    /// Something of a later version, which is passed over.
    Extension(Extension<'a>),
    /// A message or a part of one.
    Message(MessageFrame<'a>),
}

/// A frame of a type that this version does not know but can pass over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    kind: u8,
    body: &'a [u8],
}

impl<'a> Extension<'a> {
    /// An extension of this type, if types of extensions reach so far.
    pub const fn new(kind: u8, body: &'a [u8]) -> Option<Self> {
        match kind {
            EXTENSION..=EXTENSION_LAST => Some(Self { kind, body }),
            _ => None,
        }
    }
}

impl<'a> Frame<'a> {
    /// How soon the peer has to acknowledge a packet with it.
    pub const fn asks(&self) -> Asks {
        match self {
            Self::Padding { .. }
            | Self::AckCompact(_)
            | Self::AckRanges(_)
            | Self::Settled
            | Self::Close(_) => Asks::Nothing,
            Self::Pong { .. } | Self::BeatAnswer { .. } => Asks::Eventually,
            Self::Message(message) if matches!(message.place, Place::Unreliable) => {
                Asks::Eventually
            }
            Self::AckNow => Asks::Now,
            _ => Asks::Soon,
        }
    }

    fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        match reader.peek().ok_or(WireError::Truncated)? {
            PADDING => return Ok(Self::parse_padding(reader)),
            ack::COMPACT..=ack::COMPACT_LAST => {
                return AckCompact::parse(reader).map(Self::AckCompact);
            }
            ack::RANGES | ack::RANGES_ECN => return AckRanges::parse(reader).map(Self::AckRanges),
            message::MESSAGE.. => return MessageFrame::parse(reader).map(Self::Message),
            _ => {}
        }
        Ok(match reader.u8()? {
            PING => Self::Ping { sent: reader.u32()? },
            PONG => {
                Self::Pong { sent: reader.u32()?, received: reader.u32()?, answered: reader.u32()? }
            }
            ACK_NOW => Self::AckNow,
            PATH_CHALLENGE => Self::PathChallenge(*reader.array()?),
            PATH_RESPONSE => Self::PathResponse(*reader.array()?),
            BEAT => Self::Beat { beat: reader.varint_as()? },
            BEAT_ANSWER => Self::BeatAnswer {
                beat: reader.varint_as()?,
                server_tick: unzigzag(reader.wide()?),
            },
            MAX_DATA => Self::MaxData { bytes: reader.varint()? },
            SETTLED => Self::Settled,
            CLOSE => Self::Close(None),
            CLOSE_NOTICE => Self::Close(Some(Notice::parse(reader)?)),
            kind @ EXTENSION..=EXTENSION_LAST => {
                Self::Extension(Extension { kind, body: reader.block(usize::MAX)? })
            }
            unknown => return Err(WireError::UnknownType(unknown)),
        })
    }

    fn parse_padding(reader: &mut Reader<'a>) -> Self {
        let end = reader.0.iter().position(|byte| *byte != PADDING);
        let (padding, rest) = reader.0.split_at(end.unwrap_or(reader.0.len()));
        reader.0 = rest;
        Self::Padding { len: padding.len() }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        let body = match self {
            Self::Padding { len } => return *len,
            Self::AckCompact(ack) => return ack.len(),
            Self::AckRanges(ack) => return ack.len(),
            Self::Message(message) => return message.len(),
            Self::AckNow | Self::Settled | Self::Close(None) => 0,
            Self::Ping { .. } => 4,
            Self::Pong { .. } => 12,
            Self::PathChallenge(_) | Self::PathResponse(_) => 8,
            Self::Beat { beat } => varint_len(u64::from(*beat)),
            Self::BeatAnswer { beat, server_tick } => {
                varint_len(u64::from(*beat)).saturating_add(wide_len(zigzag(*server_tick)))
            }
            Self::MaxData { bytes } => varint_len(*bytes),
            Self::Close(Some(notice)) => notice.len(),
            Self::Extension(extension) => block_len(extension.body),
        };
        body.saturating_add(1)
    }

    /// Whether it has no bytes: padding of no length.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends it.
    ///
    /// # Panics
    /// When a field is beyond its limit: the caller's mistake.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Padding { len } => out.resize(out.len().saturating_add(*len), PADDING),
            Self::AckCompact(ack) => ack.emit(out),
            Self::AckRanges(ack) => ack.emit(out),
            Self::Message(message) => message.emit(out),
            Self::Ping { sent } => {
                out.push(PING);
                out.extend_from_slice(&sent.to_be_bytes());
            }
            Self::Pong { sent, received, answered } => {
                out.push(PONG);
                for time in [sent, received, answered] {
                    out.extend_from_slice(&time.to_be_bytes());
                }
            }
            Self::AckNow => out.push(ACK_NOW),
            Self::PathChallenge(bytes) => {
                out.push(PATH_CHALLENGE);
                out.extend_from_slice(bytes);
            }
            Self::PathResponse(bytes) => {
                out.push(PATH_RESPONSE);
                out.extend_from_slice(bytes);
            }
            Self::Beat { beat } => {
                out.push(BEAT);
                put_varint(out, (*beat).into());
            }
            Self::BeatAnswer { beat, server_tick } => {
                out.push(BEAT_ANSWER);
                put_varint(out, (*beat).into());
                put_wide(out, zigzag(*server_tick));
            }
            Self::MaxData { bytes } => {
                out.push(MAX_DATA);
                put_varint(out, *bytes);
            }
            Self::Settled => out.push(SETTLED),
            Self::Close(None) => out.push(CLOSE),
            Self::Close(Some(notice)) => {
                out.push(CLOSE_NOTICE);
                notice.emit(out);
            }
            Self::Extension(extension) => {
                out.push(extension.kind);
                put_block(out, extension.body);
            }
        }
    }
}

/// The frames of a decrypted packet, one after the other. After an error there is none.
#[derive(Clone, Debug)]
pub struct Frames<'a>(Reader<'a>);

impl<'a> Frames<'a> {
    /// The frames of these bytes.
    pub const fn new(plaintext: &'a [u8]) -> Self {
        Self(Reader(plaintext))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let frame = Frame::parse(&mut self.0);
        if frame.is_err() {
            self.0.rest();
        }
        Some(frame)
    }
}
