//! Datagrams between the sockets and the sans-IO core.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use moorline_link::Ecn;
use moorline_link::transport::{Origin, Volume};
use moorline_udp::{Departures, Recv, Sockets};

/// Longer datagrams are none of ours.
const RECEIVE_LEN_MAX: usize = 2_048;

/// Datagrams read from one socket before everything else has its turn.
const RECEIVE_BUDGET: usize = 256;

/// Looks at the sockets that a round of polling without waiting has at most, or who is sent more
/// than it can take would never come to its end.
pub(crate) const LOOKS_MAX: u32 = 16;

/// Datagrams that leave together at most, so that the first ones do not wait for the last ones.
const DEPARTURES_MAX: usize = 64;

/// How long to wait before a socket that was full is tried again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(1);

/// What went over sockets, and what went wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: Volume,
    pub(crate) received: Volume,
    pub(crate) send_errors: u64,
    pub(crate) receive_errors: u64,
    pub(crate) other_errors: u64,
}

impl Traffic {
    pub(crate) fn plus(self, other: Self) -> Self {
        let sum =
            |a: Volume, b: Volume| Volume { count: a.count + b.count, bytes: a.bytes + b.bytes };
        Self {
            sent: sum(self.sent, other.sent),
            received: sum(self.received, other.received),
            send_errors: self.send_errors + other.send_errors,
            receive_errors: self.receive_errors + other.receive_errors,
            other_errors: self.other_errors + other.other_errors,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) sockets: Sockets,
    transmit: Vec<u8>,
    departures: Departures,
    pub(crate) received: Volume,
    pub(crate) receive_errors: u64,
    pub(crate) other_errors: u64,
}

impl Pipe {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            transmit: Vec::with_capacity(RECEIVE_LEN_MAX),
            departures: Departures::new(),
            received: Volume::default(),
            receive_errors: 0,
            other_errors: 0,
        }
    }

    /// Gives what waits in a socket to `each`, and with it what follows soon, until it says stop or
    /// the budget is used. Whether something may be left.
    pub(crate) fn receive(
        &mut self,
        socket: usize,
        mut each: impl FnMut(Origin, &mut [u8], &[u8]) -> ControlFlow<()>,
    ) -> bool {
        for _ in 0..RECEIVE_BUDGET {
            match self.sockets.recv(socket) {
                Recv::Datagram { datagram, .. } if datagram.len() > RECEIVE_LEN_MAX => {
                    self.receive_errors += 1;
                }
                Recv::Datagram { from, datagram, ecn, ahead } => {
                    self.received.add(datagram.len());
                    if each(Origin { from, ecn }, datagram, ahead).is_break() {
                        return true;
                    }
                }
                Recv::Empty => return false,
                Recv::Trouble(_) => {
                    self.receive_errors += 1;
                    return false;
                }
            }
        }
        true
    }

    /// Sends what `next` writes, until there is no more or a socket is full.
    pub(crate) fn send(
        &mut self,
        mut next: impl FnMut(&mut Vec<u8>) -> Option<(usize, (SocketAddr, Ecn))>,
    ) {
        loop {
            while self.departures.len() < DEPARTURES_MAX {
                let Some((socket, to)) = next(&mut self.transmit) else {
                    self.sockets.flush(&mut self.departures);
                    return;
                };
                self.departures.push(socket, to, &self.transmit);
            }
            if !self.sockets.flush(&mut self.departures) {
                return;
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
        !self.departures.is_empty()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let counters = self.sockets.counters();
        Traffic {
            sent: Volume { count: counters.sent, bytes: counters.sent_bytes },
            received: self.received,
            send_errors: counters.send_errors.total(),
            receive_errors: self.receive_errors,
            other_errors: self.other_errors,
        }
    }
}
