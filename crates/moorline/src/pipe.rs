//! Datagrams between the sockets and the sans-IO core.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use moorline_link::transport::Volume;
use moorline_udp::{Recv, Sent, Sockets};

/// Longer datagrams are none of ours; one more byte tells them from those that just fit.
const RECEIVE_LEN_MAX: usize = 2_048;

/// Datagrams read from one socket before everything else has its turn.
const RECEIVE_BUDGET: usize = 256;

/// How long to wait before a socket that was full is tried again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) sockets: Sockets,
    receive: Vec<u8>,
    transmit: Vec<u8>,
    /// A datagram that a full socket did not take.
    stuck: Option<(usize, SocketAddr)>,
    pub(crate) received: Volume,
    pub(crate) sent: Volume,
    pub(crate) receive_errors: u64,
    pub(crate) send_errors: u64,
    pub(crate) other_errors: u64,
}

impl Pipe {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            receive: vec![0; RECEIVE_LEN_MAX],
            transmit: Vec::with_capacity(RECEIVE_LEN_MAX),
            stuck: None,
            received: Volume::default(),
            sent: Volume::default(),
            receive_errors: 0,
            send_errors: 0,
            other_errors: 0,
        }
    }

    /// Gives what waits in a socket to `each`, until it says stop or the budget is used.
    pub(crate) fn receive(
        &mut self,
        socket: usize,
        mut each: impl FnMut(SocketAddr, &[u8]) -> ControlFlow<()>,
    ) {
        for _ in 0..RECEIVE_BUDGET {
            match self.sockets.recv(socket, &mut self.receive) {
                Recv::Datagram { len, from } => {
                    self.received.add(len);
                    if each(from, &self.receive[..len]).is_break() {
                        return;
                    }
                }
                Recv::Empty => return,
                Recv::Truncated { .. } | Recv::Trouble(_) => self.receive_errors += 1,
            }
        }
    }

    /// Sends what `next` writes, until there is no more or a socket is full.
    pub(crate) fn send(
        &mut self,
        mut next: impl FnMut(&mut Vec<u8>) -> Option<(usize, SocketAddr)>,
    ) {
        loop {
            let waiting = self.stuck.take();
            let Some((socket, to)) = waiting.or_else(|| next(&mut self.transmit)) else { return };
            match self.sockets.send(socket, to, &self.transmit) {
                Sent::Yes => self.sent.add(self.transmit.len()),
                Sent::Lost => self.send_errors += 1,
                Sent::Full => {
                    self.stuck = Some((socket, to));
                    return;
                }
            }
        }
    }

    /// Waits until a datagram arrives, a waker is used or the time is up.
    pub(crate) fn wait(&mut self, time: Duration) {
        if self.sockets.wait(Some(time)).is_err() {
            // Without readiness there is still the clock; it must not become a busy loop.
            self.other_errors += 1;
            std::thread::sleep(time.min(RETRY_AFTER));
        }
    }

    pub(crate) const fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }
}
