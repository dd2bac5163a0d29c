//! The limit with fewer system calls: datagrams in batches, or in segments of one call.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::time::Instant;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::peer_bare::{HELLO, Roll, join};
use super::seam::{Event, Lane, Peer, Server, told};
use super::sockets::{self, DATAGRAM_LEN_MAX};

/// With a call for many datagrams.
pub(super) const BATCHED: Peer = Peer {
    name: "bare-batched",
    settings: "as bare, with recvmmsg in batches of 32 and sendmmsg in batches of 64 before each \
               wait; clients as those of bare",
    is_reliable: false,
    clients_max: u32::MAX,
    message_len_max: SEGMENT_LEN_MAX,
    serve: |_| serve(Way::Batched),
    join,
};

/// With a call for many segments to one peer.
pub(super) const SEGMENTED: Peer = Peer {
    name: "bare-segmented",
    settings: "as bare-batched, with what goes to one client in one call of up to 64 segments \
               (GSO), and GRO on receiving, by quinn-udp; clients as those of bare",
    is_reliable: false,
    clients_max: u32::MAX,
    message_len_max: SEGMENT_LEN_MAX,
    serve: |_| serve(Way::Segmented),
    join,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Batched,
    Segmented,
}

/// Datagrams of a call. The kernel takes no more segments than these.
const SEND_MAX: usize = 64;

/// What fits into a packet: quinn-udp forbids fragments.
const SEGMENT_LEN_MAX: usize = 1_472;

struct Batched {
    way: Way,
    socket: UdpSocket,
    state: UdpSocketState,
    roll: Roll,
    buffers: Vec<Vec<u8>>,
    metas: [RecvMeta; BATCH_SIZE],
    /// What was received and not given yet: buffer, offset and length.
    received: VecDeque<(usize, usize, usize)>,
    /// What is to be sent: to whom, and the bytes one after the other.
    waiting: Vec<(u32, usize)>,
    bytes: Vec<u8>,
}

fn serve(way: Way) -> Result<(Box<dyn Server>, String), String> {
    let socket = sockets::of_server()?;
    let address = socket.local_addr().map_err(told)?.to_string();
    let state = UdpSocketState::new((&socket).into()).map_err(told)?;
    let batched = Batched {
        way,
        socket,
        state,
        roll: Roll::default(),
        buffers: vec![vec![0; DATAGRAM_LEN_MAX]; BATCH_SIZE],
        metas: [RecvMeta::default(); BATCH_SIZE],
        received: VecDeque::new(),
        waiting: Vec::new(),
        bytes: Vec::new(),
    };
    Ok((Box::new(batched), address))
}

impl Batched {
    fn receive(&mut self) -> bool {
        let mut slices: Vec<IoSliceMut<'_>> =
            self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let Ok(len) = self.state.recv((&self.socket).into(), &mut slices, &mut self.metas) else {
            return false;
        };
        for (buffer, meta) in self.metas[..len].iter().enumerate() {
            for at in (0..meta.len).step_by(meta.stride.max(1)) {
                self.received.push_back((buffer, at, meta.stride.min(meta.len - at)));
            }
        }
        len > 0
    }

    fn flush(&mut self) {
        if self.way == Way::Batched {
            self.flush_batches();
        } else {
            self.flush_segments();
        }
        self.waiting.clear();
        self.bytes.clear();
    }

    fn flush_batches(&mut self) {
        let mut at = 0;
        for batch in self.waiting.chunks(SEND_MAX) {
            let mut parts = Vec::with_capacity(SEND_MAX);
            for (to, len) in batch {
                let to = SocketAddrAny::from(self.roll.addresses[*to as usize]);
                parts.push((to, [IoSlice::new(&self.bytes[at..at + len])]));
                at += len;
            }
            let mut controls: Vec<_> =
                parts.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let mut messages: Vec<MMsgHdr<'_>> = parts
                .iter()
                .zip(&mut controls)
                .map(|((to, bytes), control)| MMsgHdr::new_with_addr(to, bytes, control))
                .collect();
            let mut sent = 0;
            // What a full socket does not take is lost, as with bare; each turn sends some.
            while sent < messages.len() {
                match sendmmsg(&self.socket, &mut messages[sent..], SendFlags::empty()) {
                    Ok(count) if count > 0 => sent += count,
                    _ => break,
                }
            }
        }
    }

    /// Datagrams to one client that are as long as each other leave together.
    fn flush_segments(&mut self) {
        let mut at = 0;
        let is_with = |one: &(u32, usize), two: &(u32, usize)| one == two;
        for run in self.waiting.chunk_by(is_with) {
            let (to, len) = run[0];
            let most = SEND_MAX.min(65_000 / len.max(1));
            for group in run.chunks(most) {
                let end = at + group.len() * len;
                let transmit = Transmit {
                    destination: self.roll.addresses[to as usize],
                    ecn: None,
                    contents: &self.bytes[at..end],
                    segment_size: (group.len() > 1).then_some(len),
                    src_ip: None,
                };
                _ = self.state.try_send((&self.socket).into(), &transmit);
                at = end;
            }
        }
    }
}

impl Server for Batched {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        loop {
            while let Some((buffer, at, len)) = self.received.pop_front() {
                let datagram = &self.buffers[buffer][at..at + len];
                let from = self.metas[buffer].addr;
                if datagram == HELLO {
                    _ = self.socket.send_to(HELLO, from);
                }
                if let Some(event) = self.roll.event(from, datagram) {
                    payload.clear();
                    payload.extend_from_slice(datagram);
                    return Some(event);
                }
            }
            if self.waiting.len() >= SEND_MAX {
                self.flush();
            }
            if !self.receive() {
                self.flush();
                if !sockets::wait(&self.socket, deadline) {
                    return None;
                }
            }
        }
    }

    fn send(&mut self, to: u32, _: Lane, payload: &[u8]) -> bool {
        self.waiting.push((to, payload.len()));
        self.bytes.extend_from_slice(payload);
        true
    }

    fn tick(&mut self) {
        self.flush();
    }
}
