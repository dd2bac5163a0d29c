//! A few UDP sockets that are used and waited for together.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::Ecn;
use quinn_udp::UdpSocketState;

use crate::arrivals::{Arrival, Arrivals};
use crate::bind::{self, BindError, Bound, Port};
use crate::buffers::{BufferReport, BufferSizes};
use crate::counters::Counters;
use crate::departures::{Call, Departures, send_run};
use crate::os;
use crate::wait::{Poller, Waker, Woken};

/// How often one call tries again. What the network said of earlier datagrams is used up by being
/// read, so whatever fails this often in a row is more than that.
const ATTEMPTS_MAX: usize = 16;

/// The longest sleep while a socket fails to receive: it may have something that is not told again,
/// and trying at once would spin.
const FAILING_SLEEP_MAX: Duration = Duration::from_millis(10);

/// What [`Sockets::recv`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Recv<'a> {
    /// A datagram, which may be empty.
    Datagram {
        /// Where it says that it comes from; a hint, not a proof.
        from: SocketAddr,
        /// Its bytes, for the receiver to change.
        datagram: &'a mut [u8],
        /// Whether a router could mark it, and whether one did, as its queue is growing.
        ecn: Ecn,
        /// How a datagram begins that is received soon: what it needs can be fetched meanwhile.
        /// Empty where none is known.
        ahead: &'a [u8],
    },
    /// Nothing is there.
    Empty,
    /// The socket failed many times in a row; see [`Counters::receive_errors`]. Datagrams may wait
    /// behind it: go on with the other sockets, and try again after the next [wait](Sockets::wait).
    Trouble(io::ErrorKind),
}

/// What became of a datagram given to [`Sockets::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The system has it.
    Yes,
    /// The system's queues are full: keep it and try later, a millisecond or so. Waiting does not
    /// tell when there is room again.
    Full,
    /// The system would not send it: it is lost, as if the network had lost it.
    Lost,
}

/// A few UDP sockets, numbered from zero, that are used and waited for together.
///
/// Each costs one open file. Waiting costs one more and a waker another, both from the first time
/// on; a program with a thousand clients that only polls never pays for them.
#[derive(Debug)]
pub struct Sockets {
    poller: Option<Poller>,
    sockets: Vec<Socket>,
    counters: Counters,
}

#[derive(Debug)]
struct Socket {
    bound: Bound,
    /// What the system can do with many datagrams at once.
    offload: UdpSocketState,
    arrivals: Arrivals,
    inbox: Inbox,
    /// What the system marks datagrams with that do not say it themselves.
    ecn: Ecn,
}

impl Socket {
    fn open(address: SocketAddr, buffers: BufferSizes, port: Port) -> Result<Self, BindError> {
        let bound = bind::open(address, buffers, port)?;
        let offload = UdpSocketState::new((&bound.io).into())
            .map_err(|error| BindError { address, error })?;
        // That forbade fragments, which is not for everyone.
        os::allow_fragments(&bound.io).ok();
        // Without it the datagrams are the same.
        os::ask_for_less(&bound.io).ok();
        let arrivals = Arrivals::new(buffers.pieces_max());
        let ecn = Ecn::NotCapable;
        Ok(Self { bound, offload, arrivals, inbox: Inbox::Read, ecn })
    }
}

/// What is known of a socket's queue. The system tells of a datagram only when it arrives, so a
/// sleep must not begin while one is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inbox {
    /// All that was told of has been received.
    Read,
    /// As before, but the last of it was not taken yet.
    Drained,
    /// Something may be left.
    Unread,
    /// Something may be left, but receiving fails.
    Failing,
}

impl Socket {
    /// Whether something may be there to be taken.
    fn is_unread(&self) -> bool {
        self.inbox == Inbox::Unread || !self.arrivals.is_empty()
    }

    /// Asks the system for what arrived, as all before was taken; what to say if there is nothing.
    fn refill(&mut self, counters: &mut Counters) -> Option<Recv<'static>> {
        if self.inbox == Inbox::Drained {
            self.inbox = Inbox::Read;
            return Some(Recv::Empty);
        }
        let mut failure = io::ErrorKind::Interrupted;
        for _ in 0..ATTEMPTS_MAX {
            match self.arrivals.fill(&self.bound.io, &self.offload) {
                Ok(may_have_more) => {
                    self.inbox = if may_have_more { Inbox::Unread } else { Inbox::Drained };
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.inbox = Inbox::Read;
                    return Some(Recv::Empty);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    counters.receive_errors.count(&error);
                    failure = error.kind();
                }
            }
        }
        self.inbox = Inbox::Failing;
        Some(Recv::Trouble(failure))
    }

    /// Sends the next datagrams with one call: how many it was about, and how many are gone.
    fn send_next(&mut self, departures: &Departures) -> (usize, io::Result<usize>) {
        let ecn = departures.ecn();
        match departures.next(self.offload.max_gso_segments()) {
            None => (0, Ok(0)),
            Some((_, Call::One(datagram, to))) => (1, self.send_one(ecn, to, datagram)),
            Some((len, Call::Many(many))) => {
                self.mark_with(ecn);
                (len, many.send(&self.bound.io))
            }
            Some((len, Call::Run { bytes, len: each, to })) => {
                match send_run((&self.bound.io, &self.offload), (bytes, each), (to, ecn)) {
                    Ok(()) => (len, Ok(len)),
                    Err(error) if os::is_full(&error) => (len, Err(error)),
                    // One of them may be too long, or the system cannot cut after all.
                    Err(_) => (1, self.send_one(ecn, to, &bytes[..each])),
                }
            }
        }
    }

    fn send_one(&mut self, ecn: Ecn, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        self.mark_with(ecn);
        self.bound.io.send_to(datagram, to).map(|_| 1)
    }

    /// Has the system mark what leaves from now on. Where it cannot, nothing is marked.
    fn mark_with(&mut self, ecn: Ecn) {
        if self.ecn != ecn {
            self.ecn = ecn;
            os::mark_with(&self.bound.io, ecn).ok();
        }
    }
}

impl Sockets {
    /// Opens a socket for each address, in that order: all of them, or none. Port 0 takes any free
    /// port, an IPv6 address takes IPv6 alone.
    ///
    /// # Errors
    /// When one of them cannot be had. Those before it are closed again.
    pub fn bind(addresses: &[SocketAddr], buffers: BufferSizes) -> Result<Self, BindError> {
        let open = |&address| Socket::open(address, buffers, Port::Alone);
        let sockets = addresses.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { poller: None, sockets, counters: Counters::default() })
    }

    /// Opens so many sockets with one address, each by itself: the system leads the datagrams of
    /// one peer to one of them. Port 0 takes any free port for all.
    ///
    /// # Errors
    /// When one of them cannot be had, or where the system has no sockets that share an address, as
    /// on Windows. Those before it are closed again.
    pub fn bind_shared(
        address: SocketAddr,
        buffers: BufferSizes,
        count: usize,
    ) -> Result<Vec<Self>, BindError> {
        // Another program that shares its port would have a part of what arrives.
        let alone = bind::open(address, BufferSizes::SYSTEM, Port::Alone)?;
        let address = alone.buffers.local;
        drop(alone);
        let open = |_| {
            let sockets = vec![Socket::open(address, buffers, Port::Shared)?];
            Ok(Self { poller: None, sockets, counters: Counters::default() })
        };
        (0..count).map(open).collect()
    }

    /// Replaces every socket by a new one, all or none; wakers stay good. A client that comes back
    /// does so from a new port: the old one may lead through a path that is dead.
    ///
    /// # Errors
    /// When one cannot be had. The old ones are then still there.
    pub fn rebind(
        &mut self,
        addresses: &[SocketAddr],
        buffers: BufferSizes,
    ) -> Result<(), BindError> {
        let mut fresh = Self::bind(addresses, buffers)?;
        if let Some(poller) = &self.poller {
            for (index, socket) in fresh.sockets.iter_mut().enumerate() {
                let address = socket.bound.buffers.local;
                poller
                    .watch(index, &mut socket.bound.io)
                    .map_err(|error| BindError { address, error })?;
            }
        }
        // The old ones leave the system's readiness queue as they are closed.
        self.sockets = fresh.sockets;
        Ok(())
    }

    /// Opens one more socket, which is waited for together with the others, and gives its number.
    ///
    /// # Errors
    /// When it cannot be had. The others are still there.
    pub fn open(&mut self, address: SocketAddr, buffers: BufferSizes) -> Result<usize, BindError> {
        let mut socket = Socket::open(address, buffers, Port::Alone)?;
        let index = self.sockets.len();
        if let Some(poller) = &self.poller {
            let io = &mut socket.bound.io;
            poller.watch(index, io).map_err(|error| BindError { address, error })?;
        }
        self.sockets.push(socket);
        Ok(index)
    }

    /// From now on a datagram that is longer than the path carries is lost and not cut into
    /// fragments, of which each may be lost; for transports that find the length out themselves.
    ///
    /// # Errors
    /// When the system has no such setting, as all but Linux here.
    ///
    /// # Panics
    /// When there is no such socket.
    pub fn forbid_fragments(&self, index: usize) -> io::Result<()> {
        os::forbid_fragments(&self.sockets[index].bound.io)
    }

    /// Closes a socket. The last one takes over its number, as in [`Vec::swap_remove`].
    ///
    /// # Errors
    /// When the system cannot wait for the last one under its new number. The other one is closed
    /// all the same.
    ///
    /// # Panics
    /// When there is no such socket.
    pub fn close(&mut self, index: usize) -> io::Result<()> {
        // It leaves the system's readiness queue as it is closed.
        self.sockets.swap_remove(index);
        match (&self.poller, self.sockets.get_mut(index)) {
            (Some(poller), Some(moved)) => poller.renumber(index, &mut moved.bound.io),
            _ => Ok(()),
        }
    }

    /// The sockets that may have something to receive: the last [wait](Self::wait) said so, or they
    /// were left before they were [`Empty`](Recv::Empty). Whoever has many asks only these.
    pub fn unread(&self) -> impl Iterator<Item = usize> {
        let sockets = self.sockets.iter().enumerate();
        let has_any = |socket: &Socket| socket.is_unread() || socket.inbox == Inbox::Failing;
        sockets.filter(move |(_, socket)| has_any(socket)).map(|(index, _)| index)
    }

    /// How many sockets there are.
    #[must_use]
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// The address of a socket, with its real port.
    ///
    /// # Panics
    /// When there is no such socket.
    #[must_use]
    pub fn local_addr(&self, index: usize) -> SocketAddr {
        self.sockets[index].bound.buffers.local
    }

    /// Takes the next datagram that arrived, without waiting. The system is asked for many at once,
    /// so that few calls are one.
    ///
    /// # Panics
    /// When there is no such socket.
    pub fn recv(&mut self, index: usize) -> Recv<'_> {
        let socket = &mut self.sockets[index];
        if socket.arrivals.is_empty()
            && let Some(nothing) = socket.refill(&mut self.counters)
        {
            return nothing;
        }
        match socket.arrivals.next() {
            Some(Arrival { from, ecn, datagram, ahead }) => {
                self.counters.received += 1;
                self.counters.received_bytes += datagram.len() as u64;
                Recv::Datagram { from, datagram, ecn, ahead }
            }
            None => Recv::Empty,
        }
    }

    /// Sends a datagram, without waiting; routers may not mark it.
    ///
    /// # Panics
    /// When there is no such socket.
    pub fn send(&mut self, index: usize, to: SocketAddr, datagram: &[u8]) -> Sent {
        for _ in 0..ATTEMPTS_MAX {
            match self.sockets[index].send_one(Ecn::NotCapable, to, datagram) {
                Ok(_) => {
                    self.counters.sent += 1;
                    self.counters.sent_bytes += datagram.len() as u64;
                    return Sent::Yes;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if os::is_full(&error) => break,
                Err(error) => {
                    self.counters.send_errors.count(&error);
                    return Sent::Lost;
                }
            }
        }
        self.counters.send_would_block += 1;
        Sent::Full
    }

    /// Sends what waits to leave, without waiting: datagrams to one peer as one piece where the
    /// system cuts it, those to many with one call. Whether all are gone; those that are not stay,
    /// to be tried again a millisecond later or so, as with [`Sent::Full`].
    ///
    /// # Panics
    /// When a datagram was to leave by a socket that does not exist.
    pub fn flush(&mut self, departures: &mut Departures) -> bool {
        let mut attempts = 0;
        // Every turn but a few interrupted ones takes datagrams away.
        while let Some(index) = departures.socket() {
            let (len, sent) = self.sockets[index].send_next(departures);
            let sent = match sent {
                Ok(sent) => sent.clamp(1, len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    attempts += 1;
                    if attempts > ATTEMPTS_MAX {
                        return false;
                    }
                    continue;
                }
                Err(error) if os::is_full(&error) => {
                    self.counters.send_would_block += 1;
                    return false;
                }
                Err(error) => {
                    self.counters.send_errors.count(&error);
                    departures.go(1);
                    continue;
                }
            };
            self.counters.sent += sent as u64;
            self.counters.sent_bytes += departures.bytes_of(sent) as u64;
            departures.go(sent);
        }
        true
    }

    /// Sleeps until a socket has something to receive, a [`Waker`] calls, or `timeout` is over; for
    /// as long as it takes, if there is none. Returns at once while a socket was left before it was
    /// [`Empty`](Recv::Empty), and may return early: on a signal, and once an hour. A timeout is
    /// rounded up to the next millisecond.
    ///
    /// # Errors
    /// When the system cannot wait, which is so when no more files may be opened at the first wait.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Woken> {
        let unread = self.sockets.iter().any(Socket::is_unread);
        let failing = self.sockets.iter().any(|socket| socket.inbox == Inbox::Failing);
        let timeout = if unread {
            // The sleep takes what the system has to tell all the same, so that a busy socket hides
            // neither the others nor the waker.
            Some(Duration::ZERO)
        } else if failing {
            Some(timeout.map_or(FAILING_SLEEP_MAX, |timeout| timeout.min(FAILING_SLEEP_MAX)))
        } else {
            timeout
        };
        let (poller, sockets) = self.poller()?;
        let mut woken = poller.sleep(timeout, |index| {
            // One that was closed and could not be renumbered is none.
            if let Some(socket) = sockets.get_mut(index) {
                socket.inbox = Inbox::Unread;
            }
        })?;
        woken.readable |= unread || failing;
        Ok(woken)
    }

    /// What another thread ends a [`wait`](Self::wait) with. Every waker ends the same waits.
    ///
    /// # Errors
    /// When no more files may be opened.
    pub fn waker(&mut self) -> io::Result<Waker> {
        self.poller()?.0.waker()
    }

    /// What happened so far, on all sockets together.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The kernel's queues of each socket, in order.
    pub fn buffer_report(&self) -> impl Iterator<Item = &BufferReport> {
        self.sockets.iter().map(|socket| &socket.bound.buffers)
    }

    fn poller(&mut self) -> io::Result<(&mut Poller, &mut [Socket])> {
        let poller = match self.poller.take() {
            Some(poller) => poller,
            None => Poller::new(self.sockets.iter_mut().map(|socket| &mut socket.bound.io))?,
        };
        Ok((self.poller.insert(poller), &mut self.sockets))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// A socket whose peer is gone: every datagram to it comes back as an ICMP error, which the
    /// system reports because the socket is connected.
    fn with_a_dead_peer() -> (Sockets, SocketAddr) {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        // Not the address that other tests are on: one of them could be given the closed port.
        let peer = SocketAddr::from(([127, 0, 0, 2], 0));
        let peer = UdpSocket::bind(peer).unwrap().local_addr().unwrap();
        let sockets = Sockets::bind(&[address], BufferSizes::SYSTEM).unwrap();
        sockets.sockets[0].bound.io.connect(peer).unwrap();
        (sockets, peer)
    }

    /// Whether it is a datagram from there, with so many bytes.
    fn is_from(found: Recv<'_>, expected: SocketAddr, len: usize) -> bool {
        matches!(found, Recv::Datagram { from, datagram, .. }
            if from == expected && datagram.len() == len)
    }

    #[test]
    fn a_rebound_socket_has_a_new_port_and_is_waited_for_and_the_waker_stays_good() {
        let any = [SocketAddr::from(([127, 0, 0, 1], 0))];
        let mut sockets = Sockets::bind(&any, BufferSizes::SYSTEM).unwrap();
        let waker = sockets.waker().unwrap();
        let before = sockets.local_addr(0);
        sockets.rebind(&any, BufferSizes::SYSTEM).unwrap();
        assert_ne!(sockets.local_addr(0), before);

        let peer = UdpSocket::bind(any[0]).unwrap();
        peer.send_to(b"here", sockets.local_addr(0)).unwrap();
        assert!(sockets.wait(Some(Duration::from_secs(5))).unwrap().readable);
        let from = peer.local_addr().unwrap();
        assert!(is_from(sockets.recv(0), from, 4));
        assert_eq!(sockets.recv(0), Recv::Empty);

        waker.wake().unwrap();
        assert!(sockets.wait(Some(Duration::from_secs(5))).unwrap().called);
    }

    #[test]
    fn sockets_that_share_a_port_get_a_part_each_and_nobody_else_does() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut all = Sockets::bind_shared(any, BufferSizes::SYSTEM, 3).unwrap();
        let address = all[0].local_addr(0);
        assert!(all.iter().all(|one| one.local_addr(0) == address));
        for _ in 0..60 {
            UdpSocket::bind(any).unwrap().send_to(b"here", address).unwrap();
        }
        let mut counts = [0; 3];
        for (one, count) in all.iter_mut().zip(&mut counts) {
            one.wait(Some(Duration::ZERO)).unwrap();
            while matches!(one.recv(0), Recv::Datagram { .. }) {
                *count += 1;
            }
        }
        assert_eq!(counts.iter().sum::<i32>(), 60);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        let other = Sockets::bind_shared(address, BufferSizes::SYSTEM, 1).unwrap_err();
        assert_eq!(other.error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn sockets_come_and_go_while_others_are_waited_for() {
        // Not the address that other tests are on: one of them could be given the closed port.
        let any = SocketAddr::from(([127, 0, 0, 3], 0));
        let mut sockets = Sockets::bind(&[any], BufferSizes::SYSTEM).unwrap();
        sockets.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(sockets.open(any, BufferSizes::SYSTEM).unwrap(), 1);
        assert_eq!(sockets.open(any, BufferSizes::SYSTEM).unwrap(), 2);
        let (closed, last) = (sockets.local_addr(1), sockets.local_addr(2));
        sockets.close(1).unwrap();
        assert_eq!((sockets.socket_count(), sockets.local_addr(1)), (2, last));
        assert!(UdpSocket::bind(closed).is_ok(), "its port is free again");

        sockets.send(0, last, b"to the last one");
        assert!(sockets.wait(Some(Duration::from_secs(5))).unwrap().readable);
        assert_eq!(sockets.unread().collect::<Vec<_>>(), [1]);
        let from = sockets.local_addr(0);
        assert!(is_from(sockets.recv(1), from, 15));
        assert_eq!(sockets.recv(1), Recv::Empty);
        assert_eq!(sockets.unread().count(), 0);

        sockets.send(0, last, b"before it moves");
        sockets.close(0).unwrap();
        assert!(sockets.wait(Some(Duration::from_secs(5))).unwrap().readable);
        assert!(is_from(sockets.recv(0), from, 15));
        sockets.close(0).unwrap();
        assert_eq!(sockets.socket_count(), 0);
    }

    #[test]
    fn what_icmp_says_is_counted_and_receiving_goes_on() {
        let (mut sockets, peer) = with_a_dead_peer();
        assert_eq!(sockets.send(0, peer, b"anyone?"), Sent::Yes);
        assert!(sockets.wait(Some(Duration::from_secs(5))).unwrap().readable);
        assert_eq!(sockets.recv(0), Recv::Empty);
        assert_eq!(sockets.counters().receive_errors.refused, 1);

        let back = UdpSocket::bind(peer).unwrap();
        back.send_to(b"here", sockets.local_addr(0)).unwrap();
        sockets.wait(Some(Duration::from_secs(5))).unwrap();
        assert!(is_from(sockets.recv(0), peer, 4));
    }

    #[test]
    fn a_send_that_the_system_refuses_is_loss_by_its_cause() {
        let (mut sockets, peer) = with_a_dead_peer();
        assert_eq!(sockets.send(0, peer, b"anyone?"), Sent::Yes);
        assert!(sockets.wait(Some(Duration::from_secs(5))).unwrap().readable);
        assert_eq!(sockets.send(0, peer, b"anyone?"), Sent::Lost, "the first one's ICMP error");
        assert_eq!(sockets.send(0, peer, &vec![0; 70_000]), Sent::Lost);
        let Counters { sent, send_errors, .. } = sockets.counters();
        assert_eq!((sent, send_errors.refused, send_errors.too_large), (1, 1, 1));
    }

    #[test]
    fn a_failing_socket_is_tried_again_after_a_pause_and_never_slept_over() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sockets = Sockets::bind(&[address], BufferSizes::SYSTEM).unwrap();
        sockets.sockets[0].inbox = Inbox::Failing;
        let before = std::time::Instant::now();
        assert!(sockets.wait(None).unwrap().readable);
        assert!(before.elapsed() >= FAILING_SLEEP_MAX);
        assert_eq!(sockets.recv(0), Recv::Empty);
        assert_eq!(sockets.wait(Some(Duration::ZERO)).unwrap(), Woken::default());
    }

    #[test]
    fn a_socket_that_receives_again_fails_no_longer_and_is_read_to_its_end() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sockets = Sockets::bind(&[address], BufferSizes::SYSTEM).unwrap();
        sockets.send(0, sockets.local_addr(0), b"to myself");
        sockets.sockets[0].inbox = Inbox::Failing;
        assert!(matches!(sockets.recv(0), Recv::Datagram { .. }));
        assert_eq!(sockets.sockets[0].inbox, Inbox::Unread);
    }

    #[test]
    fn no_file_is_opened_for_waiting_before_the_first_wait() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sockets = Sockets::bind(&[address], BufferSizes::SYSTEM).unwrap();
        let to = sockets.local_addr(0);
        assert_eq!(sockets.send(0, to, b"to myself"), Sent::Yes);
        assert!(matches!(sockets.recv(0), Recv::Datagram { .. }));
        assert!(sockets.poller.is_none());
    }
}
