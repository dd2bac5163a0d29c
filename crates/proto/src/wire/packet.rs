//! What kind of packet a datagram holds, and the header of packets after the handshake.

use super::bytes::Reader;
use super::hello::{self, ClientHello, Retry, ServerHello, VersionList};
use super::{VERSION, WireError};
use crate::seq::{NumberLen, PacketNumber};

/// The bytes that the encryption adds to a packet.
pub const TAG_LEN: usize = 16;

/// The first byte of a packet with a long header: the form, the fixed bit, and the type below.
pub(super) const LONG: u8 = 0xc0;
/// The first byte of a packet with a short header: the fixed bit, and the flags below.
const SHORT: u8 = 0x40;
const FORM_MASK: u8 = 0xc0;
const PHASE_BIT: u8 = 0x20;
const SHORT_RESERVED: u8 = 0x1c;
const NUMBER_LEN_MASK: u8 = 0x03;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the host.
    ToHost,
    /// From the host to the client.
    ToClient,
}

/// Where a host finds the link of a packet: chosen by the host, opaque to everyone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub [u8; Self::LEN]);

impl ConnectionId {
    /// Its length in bytes.
    pub const LEN: usize = 8;
}

/// Which of two alternating generations of keys encrypts a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The first generation, the third, and so on.
    Even,
    /// The second generation, the fourth, and so on.
    Odd,
}

impl Phase {
    /// The phase of a generation, counted from zero.
    pub const fn of(generation: u64) -> Self {
        if generation.is_multiple_of(2) { Self::Even } else { Self::Odd }
    }
}

/// What a datagram holds, as far as it can be told without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A client asks for a link.
    ClientHello(ClientHello<'a>),
    /// A client asks for a link in a version that is not ours. It is as long as a hello must be.
    UnknownVersion(hello::HelloId),
    /// A host asks a client to show that it is where it says.
    Retry(Retry<'a>),
    /// A host answers a hello.
    ServerHello(ServerHello<'a>),
    /// A host names the versions that it speaks.
    VersionList(VersionList<'a>),
    /// A packet of a link. The rest of the datagram after the header is encrypted.
    Short(ShortHeader),
}

impl<'a> Datagram<'a> {
    /// What a datagram that goes in `direction` holds. What only the other side may send is an
    /// error.
    ///
    /// # Errors
    /// When it is no packet, or its header is malformed. Such a datagram is counted and dropped.
    pub fn parse(direction: Direction, datagram: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(datagram);
        let first = reader.peek().ok_or(WireError::Truncated)?;
        if first & FORM_MASK == SHORT {
            return ShortHeader::parse(direction, datagram).map(Self::Short);
        }
        if first & FORM_MASK != LONG {
            return Err(WireError::UnknownType(first));
        }
        let kind = reader.u8()?;
        let version = reader.u32()?;
        match (direction, kind, version) {
            (Direction::ToHost, hello::CLIENT_HELLO, _)
                if datagram.len() < hello::CLIENT_HELLO_LEN_MIN =>
            {
                Err(WireError::Truncated)
            }
            (Direction::ToHost, hello::CLIENT_HELLO, VERSION) => {
                ClientHello::parse(datagram).map(Self::ClientHello)
            }
            (Direction::ToHost, hello::CLIENT_HELLO, _) => {
                reader.array().map(|id| Self::UnknownVersion(hello::HelloId(*id)))
            }
            (Direction::ToClient, hello::VERSION_LIST, 0) => {
                VersionList::parse(reader).map(Self::VersionList)
            }
            (Direction::ToClient, hello::RETRY, VERSION) => Retry::parse(reader).map(Self::Retry),
            (Direction::ToClient, hello::SERVER_HELLO, VERSION) => {
                ServerHello::parse(reader).map(Self::ServerHello)
            }
            _ => Err(WireError::UnknownType(kind)),
        }
    }
}

/// The header of a packet of a link. All of it is authenticated, none of it is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHeader {
    /// The link, on packets to the host; a client knows it by its socket.
    pub connection: Option<ConnectionId>,
    /// The generation of keys.
    pub phase: Phase,
    /// How many bytes of the packet number there are.
    pub number_len: NumberLen,
    /// The last bytes of the packet number.
    pub number: u32,
}

impl ShortHeader {
    /// The header of a packet. It goes to the host if there is a connection id.
    pub const fn new(
        connection: Option<ConnectionId>,
        phase: Phase,
        number: PacketNumber,
        number_len: NumberLen,
    ) -> Self {
        Self { connection, phase, number_len, number: number.truncated(number_len) }
    }

    /// The header of a datagram that goes in `direction`. At least one encrypted byte and its tag
    /// must follow.
    ///
    /// # Errors
    /// When the datagram is too short, not of this form, or has reserved bits set.
    pub fn parse(direction: Direction, datagram: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader(datagram);
        let first = reader.u8()?;
        if first & FORM_MASK != SHORT {
            return Err(WireError::UnknownType(first));
        }
        if first & SHORT_RESERVED != 0 {
            return Err(WireError::Reserved);
        }
        let phase = if first & PHASE_BIT == 0 { Phase::Even } else { Phase::Odd };
        let connection = match direction {
            Direction::ToHost => Some(ConnectionId(*reader.array()?)),
            Direction::ToClient => None,
        };
        let number_len = match first & NUMBER_LEN_MASK {
            0 => NumberLen::One,
            1 => NumberLen::Two,
            2 => NumberLen::Three,
            _ => NumberLen::Four,
        };
        let bytes = reader.take(number_len.bytes())?;
        let number = bytes.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte));
        if reader.0.len() <= TAG_LEN {
            return Err(WireError::Truncated);
        }
        Ok(Self { connection, phase, number_len, number })
    }

    /// Its length in bytes.
    pub const fn len(&self) -> usize {
        let connection = if self.connection.is_some() { ConnectionId::LEN } else { 0 };
        connection.saturating_add(self.number_len.bytes()).saturating_add(1)
    }

    /// Never: there is a first byte.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Appends it.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let phase = match self.phase {
            Phase::Even => 0,
            Phase::Odd => PHASE_BIT,
        };
        let number_len = match self.number_len {
            NumberLen::One => 0,
            NumberLen::Two => 1,
            NumberLen::Three => 2,
            NumberLen::Four => 3,
        };
        out.push(SHORT | phase | number_len);
        if let Some(connection) = &self.connection {
            out.extend_from_slice(&connection.0);
        }
        let bytes = self.number.to_be_bytes();
        let skipped = bytes.len().saturating_sub(self.number_len.bytes());
        out.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests cut what they made")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_short_header_comes_back(
            id in proptest::option::of(any::<[u8; 8]>()),
            is_odd in any::<bool>(),
            value in 0..=crate::seq::NUMBER_MAX,
            len in 0..4_usize,
        ) {
            let number = PacketNumber::new(value).expect("in range");
            let phase = if is_odd { Phase::Odd } else { Phase::Even };
            let connection = id.map(ConnectionId);
            let header = ShortHeader::new(connection, phase, number, NumberLen::ALL[len]);
            let direction = if id.is_some() { Direction::ToHost } else { Direction::ToClient };
            let mut out = Vec::new();
            header.emit(&mut out);
            prop_assert_eq!(out.len(), header.len());
            out.extend_from_slice(&[0; TAG_LEN + 1]);
            prop_assert_eq!(ShortHeader::parse(direction, &out), Ok(header));
            prop_assert_eq!(Datagram::parse(direction, &out), Ok(Datagram::Short(header)));
            for cut in 0..out.len() {
                let parsed = ShortHeader::parse(direction, &out[..cut]);
                prop_assert_eq!(parsed, Err(WireError::Truncated));
            }
        }
    }

    /// All datagrams of up to two bytes: no packet is that short.
    #[test]
    fn a21_no_datagram_of_up_to_two_bytes_is_a_packet() {
        for direction in [Direction::ToHost, Direction::ToClient] {
            assert_eq!(Datagram::parse(direction, &[]), Err(WireError::Truncated));
            for first in 0..=u8::MAX {
                assert!(Datagram::parse(direction, &[first]).is_err());
                for second in 0..=u8::MAX {
                    assert!(Datagram::parse(direction, &[first, second]).is_err());
                }
            }
        }
    }
}
