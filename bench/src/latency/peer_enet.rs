//! `rusty_enet`, a port of ENet 1.3.18: defaults, two channels, no limits of bandwidth, `service`
//! until it has nothing and `flush` each tick; no encryption.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use moorline_link::Time;
use rusty_enet::{Event, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerState, Socket};

use super::contender::{Contender, End, Kind};

#[derive(Debug, Default)]
struct Queues {
    arrived: VecDeque<Vec<u8>>,
    leaving: VecDeque<Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
struct Port(Rc<RefCell<Queues>>);

impl Socket for Port {
    type Address = ();
    type Error = std::io::Error;

    fn send(&mut self, (): (), buffer: &[u8]) -> Result<usize, Self::Error> {
        self.0.borrow_mut().leaving.push_back(buffer.to_vec());
        Ok(buffer.len())
    }

    fn receive(
        &mut self,
        buffer: &mut [u8; MTU_MAX],
    ) -> Result<Option<((), PacketReceived)>, Self::Error> {
        let Some(datagram) = self.0.borrow_mut().arrived.pop_front() else { return Ok(None) };
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(Some(((), PacketReceived::Complete(datagram.len()))))
    }
}

/// Two hosts, one of which connects to the other.
pub(super) struct Enet {
    ends: [Host<Port>; 2],
    ports: [Port; 2],
    clock: Rc<Cell<Duration>>,
    is_ready: bool,
    has_given_up: bool,
    delivered: VecDeque<Vec<u8>>,
}

impl std::fmt::Debug for Enet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enet").field("is_ready", &self.is_ready).finish_non_exhaustive()
    }
}

impl Enet {
    pub(super) fn boxed() -> Box<dyn Contender> {
        let clock = Rc::new(Cell::new(Duration::from_secs(1)));
        let ports = [Port::default(), Port::default()];
        let mut ends = [0, 1].map(|end: usize| {
            let clock = Rc::clone(&clock);
            let settings = HostSettings {
                peer_limit: 1,
                channel_limit: 2,
                time: Box::new(move || clock.get()),
                seed: Some(end as u32 + 1),
                ..HostSettings::default()
            };
            Host::new(ports[end].clone(), settings).expect("a host")
        });
        ends[0].connect((), 2, 0).expect("a free peer");
        let (is_ready, has_given_up, delivered) = (false, false, VecDeque::new());
        Box::new(Self { ends, ports, clock, is_ready, has_given_up, delivered })
    }

    fn service(&mut self, now: Time) {
        self.clock.set(now.since(Time::ZERO));
        for end in 0..2 {
            loop {
                let is_served = match self.ends[end].service().expect("no error of a socket") {
                    Some(Event::Connect { .. }) if end == 0 => {
                        self.is_ready = true;
                        true
                    }
                    Some(Event::Disconnect { .. }) => {
                        self.has_given_up = true;
                        true
                    }
                    Some(Event::Receive { packet, .. }) => {
                        self.delivered.push_back(packet.data().to_vec());
                        true
                    }
                    Some(Event::Connect { .. }) => true,
                    None => !self.ports[end].0.borrow().arrived.is_empty(),
                };
                if !is_served {
                    break;
                }
            }
        }
    }
}

impl Contender for Enet {
    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    fn send(&mut self, _: Time, kind: Kind, payload: &[u8]) -> bool {
        let Some(peer) = self.ends[0].peers_mut().next() else { return false };
        if peer.state() != PeerState::Connected {
            return false;
        }
        let (channel, packet) = match kind {
            Kind::Reliable => (0, Packet::reliable(payload)),
            Kind::State => (1, Packet::unreliable(payload)),
        };
        peer.send(channel, &packet).is_ok()
    }

    fn tick(&mut self, now: Time) {
        self.service(now);
        self.ends.iter_mut().for_each(Host::flush);
    }

    fn receive(&mut self, now: Time, at: End, datagram: &[u8]) {
        self.ports[at as usize].0.borrow_mut().arrived.push_back(datagram.to_vec());
        self.service(now);
    }

    fn transmit(&mut self, _: Time, from: End, out: &mut Vec<u8>) -> bool {
        let next = self.ports[from as usize].0.borrow_mut().leaving.pop_front();
        next.is_some_and(|datagram| {
            *out = datagram;
            true
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    fn handle_timeout(&mut self, _: Time) {}

    fn delivered(&mut self) -> Option<Vec<u8>> {
        self.delivered.pop_front()
    }
}
