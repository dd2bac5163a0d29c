//! Where the peer is, and whether a new address is really its own.
//!
//! Packets go to the address that was proven last. A client whose packets come from another one is
//! asked there, with no more bytes than came from there, and followed when it answers from there
//! (after RFC 9000, section 9). Until then the old address gets what is sent: whoever copies
//! packets of a client from an address of its own cannot take the client's place.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::Time;

use crate::notes::Notes;

/// How long to wait for an answer before asking again, and how often to ask.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
const ASKS_MAX: u8 = 10;
/// Who was asked so often is left in peace for so long.
const REASK_INTERVAL: Duration = Duration::from_secs(1);
/// Another new address is asked no sooner than this after the last.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Path {
    address: SocketAddr,
    /// Whether the peer is known to be there: it got there what it speaks with.
    is_proven: bool,
    probe: Option<Probe>,
    probed_at: Option<Time>,
}

/// An address that is not proven.
#[derive(Debug)]
struct Probe {
    address: SocketAddr,
    challenge: Option<[u8; 8]>,
    /// Bytes that came from there and that went there.
    received: u64,
    sent: u64,
    asks: u8,
    ask_at: Time,
}

/// What to ask where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) to: SocketAddr,
    pub(super) bytes: [u8; 8],
    /// The longest datagram that may go there.
    pub(super) len_max: u64,
}

impl Path {
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self { address, is_proven: true, probe: None, probed_at: None }
    }

    /// Whether anything may be sent there but questions.
    pub(super) const fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether the peer is where it is known to be.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.is_proven && self.probe.is_none()
    }

    /// When another address was asked last, while the link rests at one that is proven.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.option(&mut self.probed_at, N::time);
    }

    /// The first packet came. If it came from elsewhere than the hello, the answer may have reached
    /// the peer anywhere, and nobody knows yet where it is.
    pub(super) fn on_first(&mut self, from: SocketAddr) {
        self.is_proven = from == self.address;
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// An authentic packet with the largest number so far came from an address.
    pub(super) fn on_newest(&mut self, now: Time, from: SocketAddr, len: usize) {
        if from == self.address {
            self.is_proven = true;
            self.probe = None;
            return;
        }
        match &mut self.probe {
            Some(probe) if probe.address == from => {
                probe.received += len as u64;
                // Who goes on speaking from there is asked again.
                if probe.asks >= ASKS_MAX && now.since(probe.ask_at) >= REASK_INTERVAL {
                    (probe.asks, probe.ask_at) = (0, now);
                }
            }
            _ if self.probed_at.is_some_and(|at| now.since(at) < PROBE_INTERVAL) => {}
            _ => {
                self.probed_at = Some(now);
                let (received, sent, asks, ask_at) = (len as u64, 0, 0, now);
                let challenge = None;
                self.probe = Some(Probe { address: from, challenge, received, sent, asks, ask_at });
            }
        }
    }

    pub(super) const fn is_challenge_due(&self) -> bool {
        matches!(&self.probe, Some(Probe { challenge: None, .. }))
    }

    /// Whether a new address is being asked.
    pub(super) const fn is_asking(&self) -> bool {
        self.probe.is_some()
    }

    pub(super) const fn set_challenge(&mut self, bytes: [u8; 8]) {
        if let Some(probe) = &mut self.probe {
            probe.challenge = Some(bytes);
        }
    }

    /// An authentic answer came from an address. Whether the peer is there from now on.
    pub(super) fn on_response(&mut self, from: SocketAddr, bytes: &[u8; 8]) -> bool {
        let is_answer = self
            .probe
            .as_ref()
            .is_some_and(|probe| probe.address == from && probe.challenge.as_ref() == Some(bytes));
        if is_answer {
            self.address = from;
            self.is_proven = true;
            self.probe = None;
        }
        is_answer
    }

    /// What to ask now, if anything.
    pub(super) fn poll_challenge(&self, now: Time) -> Option<Challenge> {
        let probe = self.probe.as_ref()?;
        let bytes = probe.challenge?;
        let len_max = probe.received.saturating_sub(probe.sent);
        let is_due = now >= probe.ask_at && probe.asks < ASKS_MAX;
        is_due.then_some(Challenge { to: probe.address, bytes, len_max })
    }

    /// Tells that a datagram went to the address in question, or that it could not.
    pub(super) fn on_asked(&mut self, now: Time, len: usize) {
        if let Some(probe) = &mut self.probe {
            probe.sent += len as u64;
            probe.asks += 1;
            probe.ask_at = now + ASK_INTERVAL;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let probe = self.probe.as_ref()?;
        (probe.challenge.is_some() && probe.asks < ASKS_MAX).then_some(probe.ask_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a18_an_address_that_is_not_proven_is_asked_with_no_more_bytes_than_came_from_there() {
        let [old, new] = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let now = Time::from_millis(1_000);
        let mut path = Path::new(old);
        path.on_newest(now, new, 40);
        path.set_challenge([7; 8]);
        let len_max = |path: &Path, at| path.poll_challenge(at).map(|ask| (ask.to, ask.len_max));
        assert_eq!(len_max(&path, now), Some((new, 40)));
        path.on_asked(now, 30);
        assert_eq!(len_max(&path, now), None, "not twice at once");
        let later = now + ASK_INTERVAL;
        assert_eq!(len_max(&path, later), Some((new, 10)));
        path.on_newest(later, new, 40);
        assert_eq!(len_max(&path, later), Some((new, 50)));
        assert_eq!(path.address(), old);
    }
}
