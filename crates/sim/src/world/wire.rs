//! The path between a client and the host, both ways, and the sockets at its ends.

use std::collections::VecDeque;
use std::net::SocketAddr;

use moorline_link::{Ecn, Origin, Port, Time, Transmit};

use crate::fault::{Fault, Faults, calm};
use crate::network::{Conditions, Direction, DirectionCounters, Loss};
use crate::record::sum;

/// The most datagrams that wait in a socket; more are dropped, as the kernel does.
const SOCKET_LEN_MAX: usize = 4_096;

/// A datagram on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Of the bytes as they were sent.
    sum: u64,
}

/// A datagram that arrived and was not read yet.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) port: Port,
    pub(crate) origin: Origin,
    pub(crate) bytes: Vec<u8>,
    /// Whether a stranger sends again what it overheard, whole.
    pub(crate) is_copy: bool,
}

/// What waits for a process to read it.
#[derive(Debug, Default)]
pub(crate) struct Socket(VecDeque<Arrived>);

impl Socket {
    pub(crate) fn put(&mut self, arrived: Arrived) {
        if self.0.len() < SOCKET_LEN_MAX {
            self.0.push_back(arrived);
        }
    }

    pub(crate) fn take(&mut self) -> Option<Arrived> {
        self.0.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// One direction, and what was seen of its faults.
#[derive(Debug)]
pub(crate) struct Way {
    direction: Direction<Label>,
    weather: Conditions,
    seen: DirectionCounters,
}

impl Way {
    pub(crate) fn new(seed: u64) -> Self {
        let direction = Direction::new(calm(), seed).expect("a calm path can be");
        Self { direction, weather: calm(), seen: DirectionCounters::default() }
    }

    pub(crate) fn send(&mut self, now: Time, from: SocketAddr, sent: Transmit, bytes: &[u8]) {
        let label = Label { from, to: sent.to, sum: sum(bytes) };
        self.direction.send_with(now, (label, sent.ecn), bytes);
    }

    /// What arrived, with its mark, and whether it is as it was sent.
    pub(crate) fn receive(&mut self, now: Time) -> Option<(Label, Ecn, Vec<u8>, bool)> {
        let (label, ecn, bytes) = self.direction.receive_with(now)?;
        let is_whole = sum(&bytes) == label.sum;
        Some((label, ecn, bytes, is_whole))
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.direction.poll_timeout()
    }

    /// The path is like this from now on, but stays cut if it is.
    pub(crate) fn set_weather(&mut self, weather: Conditions) {
        let is_cut = self.direction.conditions().is_cut;
        self.weather = weather;
        self.set(is_cut);
    }

    pub(crate) fn set_cut(&mut self, is_cut: bool) {
        self.set(is_cut);
    }

    fn set(&mut self, is_cut: bool) {
        let conditions = Conditions { is_cut, ..self.weather };
        self.direction.set(conditions).expect("what was drawn can be");
    }

    /// Notes which faults of the path something met since this was last asked.
    pub(crate) fn tell_fired(&mut self, cut: Fault, fired: &mut Faults) {
        let (now, before) = (self.direction.counters(), self.seen);
        self.seen = now;
        let was_used = now.sent > before.sent;
        let is_bursts = matches!(self.weather.loss, Loss::Bursts { .. });
        let lost = if is_bursts { Fault::LossBursts } else { Fault::LossEven };
        let is_narrow = self.weather.rate_bytes_per_second.is_some();
        let met = [
            (Fault::Delay, was_used && self.weather.delay != calm().delay),
            (Fault::Jitter, was_used && !self.weather.jitter.is_zero()),
            (lost, now.lost > before.lost),
            (Fault::Duplication, now.duplicated > before.duplicated),
            (Fault::Reordering, now.reordered > before.reordered),
            (Fault::Corruption, now.corrupted > before.corrupted),
            (Fault::Truncation, now.truncated > before.truncated),
            (Fault::Splicing, now.spliced > before.spliced),
            (Fault::Rate, was_used && is_narrow),
            (Fault::Mtu, now.too_large > before.too_large),
            (Fault::Routers, was_used && self.weather.routers != calm().routers),
            (cut, now.cut > before.cut),
        ];
        met.iter().filter(|(_, is_met)| *is_met).for_each(|(fault, _)| fired.add(*fault));
    }
}
