//! Sockets for those peers that bring none: a large one for a server, and one for each client.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::{Interest, Token};
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{Domain, SockAddr, Socket, Type};

use super::seam::told;

/// What every server asks for where it can.
const BUFFER_BYTES: usize = 4 << 20;

const CLIENTS_PER_ADDRESS: u32 = 20_000;

/// More than any datagram.
pub(super) const DATAGRAM_LEN_MAX: usize = 65_536;

/// A server's socket, which does not block.
pub(super) fn of_server() -> Result<UdpSocket, String> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).map_err(told)?;
    socket.set_recv_buffer_size(BUFFER_BYTES).map_err(told)?;
    socket.set_send_buffer_size(BUFFER_BYTES).map_err(told)?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&SockAddr::from(any)).map_err(told)?;
    socket.set_nonblocking(true).map_err(told)?;
    Ok(socket.into())
}

/// Where a client binds: one address has not enough ports for all.
pub(super) fn address_of(client: u32) -> SocketAddr {
    let host = 1 + client / CLIENTS_PER_ADDRESS;
    SocketAddr::from((Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() - 1 + host), 0))
}

/// A client's socket, which does not block either.
pub(super) fn of_client(client: u32) -> Result<UdpSocket, String> {
    let socket = UdpSocket::bind(address_of(client)).map_err(told)?;
    socket.set_nonblocking(true).map_err(told)?;
    Ok(socket)
}

/// Waits until a datagram is there; false at the deadline.
pub(super) fn wait(socket: &UdpSocket, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return false;
    }
    let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&left)).is_ok_and(|ready| ready > 0)
}

/// Sleeps until then.
pub(super) fn sleep_until(deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// The sockets of all clients.
#[derive(Debug)]
pub(super) struct Nest {
    first: u32,
    poll: mio::Poll,
    events: mio::Events,
    sockets: Vec<Rc<mio::net::UdpSocket>>,
    /// Who may have something to read.
    ready: VecDeque<u32>,
}

impl Nest {
    /// For clients of which this is the first.
    pub(super) fn new(first: u32) -> Result<Self, String> {
        let (poll, events) = (mio::Poll::new().map_err(told)?, mio::Events::with_capacity(1_024));
        Ok(Self { first, poll, events, sockets: Vec::new(), ready: VecDeque::new() })
    }

    /// A socket for the next client.
    pub(super) fn open(&mut self, to: SocketAddr) -> Result<(), String> {
        let socket = of_client(self.first + self.sockets.len() as u32)?;
        socket.connect(to).map_err(told)?;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let token = Token(self.sockets.len());
        let registry = self.poll.registry();
        registry.register(&mut socket, token, Interest::READABLE).map_err(told)?;
        self.sockets.push(Rc::new(socket));
        Ok(())
    }

    /// The client's socket, for who sends by itself.
    pub(super) fn sender(&self, client: u32) -> Rc<mio::net::UdpSocket> {
        Rc::clone(&self.sockets[client as usize])
    }

    pub(super) fn send(&self, client: u32, datagram: &[u8]) -> bool {
        self.sockets[client as usize].send(datagram).is_ok()
    }

    /// The next datagram, and whose it is; nothing at the deadline.
    pub(super) fn receive(&mut self, deadline: Instant, out: &mut [u8]) -> Option<(u32, usize)> {
        loop {
            while let Some(client) = self.ready.front().copied() {
                match self.sockets[client as usize].recv(out) {
                    Ok(len) => return Some((client, len)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.ready.pop_front();
                    }
                    // A server that is not there, or not yet.
                    Err(_) => {}
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.poll.poll(&mut self.events, Some(left)).is_err() {
                return None;
            }
            self.ready.extend(self.events.iter().map(|event| event.token().0 as u32));
            if self.ready.is_empty() && left < Duration::from_millis(1) {
                return None;
            }
        }
    }
}
