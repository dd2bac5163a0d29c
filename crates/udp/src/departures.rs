//! What is to leave: many datagrams with one call of the system.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use mio::net::UdpSocket;
use moorline_link::Ecn;
use quinn_udp::{Transmit, UdpSocketState};

use crate::os;

/// How many datagrams to different peers one call sends.
#[cfg(target_os = "linux")]
const CALL_LEN: usize = 32;
/// The most bytes that the system cuts into datagrams.
const RUN_LEN_MAX: usize = 65_000;

/// Datagrams that wait to be sent together, in the order in which they leave.
#[derive(Debug, Default)]
pub struct Departures {
    bytes: Vec<u8>,
    datagrams: Vec<Departure>,
    /// How many of them are gone.
    gone: usize,
}

#[derive(Clone, Debug)]
struct Departure {
    socket: usize,
    to: SocketAddr,
    ecn: Ecn,
    bytes: Range<usize>,
}

/// What is sent with one call.
pub(crate) enum Call<'a> {
    /// One datagram.
    One(&'a [u8], SocketAddr),
    /// Datagrams of one length to one peer, of which the last may be shorter.
    Run { bytes: &'a [u8], len: usize, to: SocketAddr },
    /// Datagrams to many peers.
    Many(Many<'a>),
}

/// Datagrams of one socket to many peers.
pub(crate) struct Many<'a> {
    datagrams: &'a [Departure],
    bytes: &'a [u8],
}

impl Departures {
    /// Nothing to send.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), datagrams: Vec::new(), gone: 0 }
    }

    /// Adds a datagram, which leaves by this socket, and which routers may mark or not. Only
    /// those that are marked alike leave with one call.
    pub fn push(&mut self, socket: usize, (to, ecn): (SocketAddr, Ecn), datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push(Departure { socket, to, ecn, bytes: start..self.bytes.len() });
    }

    /// How many datagrams wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.datagrams.len() - self.gone
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By which socket the next datagrams leave.
    pub(crate) fn socket(&self) -> Option<usize> {
        Some(self.datagrams.get(self.gone)?.socket)
    }

    /// The mark of the next datagrams.
    pub(crate) fn ecn(&self) -> Ecn {
        self.datagrams.get(self.gone).map_or(Ecn::NotCapable, |first| first.ecn)
    }

    /// The next datagram alone.
    pub(crate) fn first(&self) -> Option<(&[u8], SocketAddr)> {
        let first = self.datagrams.get(self.gone)?;
        Some((&self.bytes[first.bytes.clone()], first.to))
    }

    /// What the next call sends, and how many datagrams that is; `run_max` is how many to one peer
    /// the system cuts out of one piece.
    pub(crate) fn next(&self, run_max: usize) -> Option<(usize, Call<'_>)> {
        let waiting = &self.datagrams[self.gone..];
        let first = waiting.first()?;
        let run = run_len(waiting, run_max);
        if run > 1 {
            let bytes = first.bytes.start..waiting[run - 1].bytes.end;
            let (len, to) = (first.bytes.len(), first.to);
            return Some((run, Call::Run { bytes: &self.bytes[bytes], len, to }));
        }
        let many = many_len(waiting, run_max);
        if many > 1 {
            let datagrams = &waiting[..many];
            return Some((many, Call::Many(Many { datagrams, bytes: &self.bytes })));
        }
        self.first().map(|(bytes, to)| (1, Call::One(bytes, to)))
    }

    /// The bytes of the first so many.
    pub(crate) fn bytes_of(&self, len: usize) -> usize {
        self.datagrams[self.gone..].iter().take(len).map(|datagram| datagram.bytes.len()).sum()
    }

    /// The first so many are gone.
    pub(crate) fn go(&mut self, len: usize) {
        self.gone += len;
        if self.is_empty() {
            self.bytes.clear();
            self.datagrams.clear();
            self.gone = 0;
        }
    }
}

/// How many of the first datagrams go to one peer as one piece.
fn run_len(datagrams: &[Departure], run_max: usize) -> usize {
    let Some(first) = datagrams.first() else { return 0 };
    let (len, mut bytes, mut run) = (first.bytes.len(), 0, 0);
    for datagram in datagrams.iter().take(run_max.max(1)) {
        bytes += datagram.bytes.len();
        let is_alike =
            datagram.socket == first.socket && datagram.to == first.to && datagram.ecn == first.ecn;
        // An empty datagram cannot be cut out of anything.
        let fits = (1..=len).contains(&datagram.bytes.len()) && bytes <= RUN_LEN_MAX;
        if !is_alike || !fits {
            break;
        }
        run += 1;
        if datagram.bytes.len() < len {
            break;
        }
    }
    run.max(1)
}

/// How many of the first datagrams leave by one socket, marked alike, and begin no run.
#[cfg(target_os = "linux")]
fn many_len(datagrams: &[Departure], run_max: usize) -> usize {
    let Some(first) = datagrams.first() else { return 0 };
    let is_alone = |index: usize| {
        datagrams[index].socket == first.socket
            && datagrams[index].ecn == first.ecn
            && (index == 0 || run_len(&datagrams[index..], run_max.min(2)) == 1)
    };
    (0..datagrams.len().min(CALL_LEN)).take_while(|index| is_alone(*index)).count()
}

#[cfg(not(target_os = "linux"))]
const fn many_len(_: &[Departure], _: usize) -> usize {
    1
}

/// Sends one piece that the system cuts into datagrams.
pub(crate) fn send_run(
    (socket, state): (&UdpSocket, &UdpSocketState),
    (bytes, len): (&[u8], usize),
    (to, ecn): (SocketAddr, Ecn),
) -> io::Result<()> {
    let run = Transmit {
        destination: to,
        ecn: os::ecn_codepoint(ecn),
        contents: bytes,
        segment_size: Some(len),
        src_ip: None,
    };
    state.try_send(socket.into(), &run)
}

#[cfg(target_os = "linux")]
impl Many<'_> {
    /// Sends them in their order, until one cannot be sent; how many were.
    pub(crate) fn send(&self, socket: &UdpSocket) -> io::Result<usize> {
        // What the call is made of costs something, whether it is sent or not.
        match self.datagrams.len() {
            ..=4 => self.send_up_to::<4>(socket),
            5..=12 => self.send_up_to::<12>(socket),
            _ => self.send_up_to::<CALL_LEN>(socket),
        }
    }

    fn send_up_to<const LEN: usize>(&self, socket: &UdpSocket) -> io::Result<usize> {
        use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
        use std::array::from_fn;
        use std::io::IoSlice;

        // What is beyond the last one is not sent.
        let datagram = |index: usize| &self.datagrams[index.min(self.datagrams.len() - 1)];
        let peers: [SocketAddrAny; LEN] = from_fn(|index| datagram(index).to.into());
        let parts: [[IoSlice<'_>; 1]; LEN] =
            from_fn(|index| [IoSlice::new(&self.bytes[datagram(index).bytes.clone()])]);
        let mut control: [_; LEN] = from_fn(|_| SendAncillaryBuffer::default());
        let mut control = control.iter_mut();
        let mut messages: [_; LEN] = from_fn(|index| {
            let control = control.next().expect("there are as many");
            MMsgHdr::new_with_addr(&peers[index], &parts[index], control)
        });
        Ok(sendmmsg(socket, &mut messages[..self.datagrams.len()], SendFlags::empty())?)
    }
}

#[cfg(not(target_os = "linux"))]
impl Many<'_> {
    pub(crate) fn send(&self, _: &UdpSocket) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
