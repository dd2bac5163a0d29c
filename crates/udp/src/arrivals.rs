//! What arrived on one socket: many datagrams with one call of the system.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use mio::net::UdpSocket;
use moorline_link::Ecn;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};

/// Room for the most that the system joins into one piece, 65,535 bytes, and some: most pieces are
/// short, and those that begin at one place of their pages drive each other out of the processor's
/// cache.
const PIECE_ROOM: usize = 65_536 + 320;

/// A piece is told of so many pieces before it is taken.
const AHEAD: usize = 3;

/// How many pieces are asked for at least, where a call may give so many.
const ASKED_MIN: usize = 4;

/// Room for what one call receives, and what of it was not taken yet.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// How many pieces one call may give.
    pieces_max: usize,
    /// How many are asked for next: twice what came last, as each costs something to ask for.
    asked: usize,
    /// Made by the first call: a socket that only sends costs nothing.
    bytes: Vec<u8>,
    pieces: Vec<RecvMeta>,
    /// How many of them came with the last call.
    len: usize,
    /// The piece that is being taken, and where in it the next datagram begins.
    at: (usize, usize),
}

/// A datagram that arrived.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) ecn: Ecn,
    pub(crate) datagram: &'a mut [u8],
    pub(crate) ahead: &'a [u8],
}

impl Arrivals {
    pub(crate) fn new(pieces_max: usize) -> Self {
        let pieces_max = pieces_max.clamp(1, BATCH_SIZE);
        let asked = pieces_max.min(ASKED_MIN);
        Self { pieces_max, asked, bytes: Vec::new(), pieces: Vec::new(), len: 0, at: (0, 0) }
    }

    /// Whether a datagram waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.at.0 >= self.len
    }

    /// Receives as much as one call gives, over what was taken. Whether there may be more.
    pub(crate) fn fill(&mut self, socket: &UdpSocket, state: &UdpSocketState) -> io::Result<bool> {
        (self.at, self.len) = ((0, 0), 0);
        self.bytes.resize(self.pieces_max * PIECE_ROOM, 0);
        self.pieces.resize(self.pieces_max, RecvMeta::default());
        let mut room = self.bytes.chunks_mut(PIECE_ROOM).take(self.asked);
        let mut room: [_; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(room.next().unwrap_or_default()));
        let asked = ..self.asked;
        self.len = state.recv(socket.into(), &mut room[asked], &mut self.pieces[asked])?;
        let is_full = self.len == self.asked;
        self.asked = (self.len * 2).clamp(ASKED_MIN.min(self.pieces_max), self.pieces_max);
        Ok(is_full)
    }

    /// Takes the next datagram; none when all are taken.
    pub(crate) fn next(&mut self) -> Option<Arrival<'_>> {
        let (index, start) = self.at;
        let piece = self.pieces[..self.len].get(index)?;
        // Datagrams of one sender that were joined have one length, but the last may be shorter.
        let len = piece.stride.min(piece.len - start);
        let end = start + len;
        self.at = if end < piece.len && len > 0 { (index, end) } else { (index + 1, 0) };
        // Those that were joined to another are of the same sender.
        let is_first = start == 0;
        let later = self.pieces[..self.len].get(index + AHEAD).filter(|_| is_first);
        let later_len = later.map_or(0, |piece| piece.stride.min(piece.len));
        let base = index * PIECE_ROOM;
        let (taken, left) = self.bytes.split_at_mut(base + PIECE_ROOM);
        let later_at = (AHEAD - 1) * PIECE_ROOM;
        Some(Arrival {
            from: piece.addr,
            ecn: ecn_of(piece.ecn),
            datagram: &mut taken[base + start..base + end],
            ahead: left.get(later_at..later_at + later_len).unwrap_or_default(),
        })
    }
}

const fn ecn_of(codepoint: Option<EcnCodepoint>) -> Ecn {
    match codepoint {
        None => Ecn::NotCapable,
        Some(EcnCodepoint::Ect0 | EcnCodepoint::Ect1) => Ecn::Capable,
        Some(EcnCodepoint::Ce) => Ecn::Congested,
    }
}
