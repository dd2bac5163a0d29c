//! Moorline's own protocol, behind the seam: encrypted, in its default settings.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::time::earliest;
use moorline_link::{Control, Lane, LinkEvent, LinkId, Outgoing, Port, SendError, Time, Transport};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::recovery::early::Repetition;
use moorline_proto::{Endpoint, EndpointConfig};

use super::contender::{Contender, End, Kind};

/// Which settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Default,
    NoRepetition,
    /// The same, and acknowledgements are not held back.
    NoRepetitionPrompt,
}

/// A client and a host.
#[derive(Debug)]
pub(super) struct Native {
    ends: [Endpoint; 2],
    link: Option<LinkId>,
    has_given_up: bool,
    is_ready: bool,
    delivered: VecDeque<Vec<u8>>,
}

const KIND: u16 = 7;

impl Native {
    pub(super) fn boxed(mode: Mode) -> Box<dyn Contender> {
        let mut config = EndpointConfig::default();
        if mode != Mode::Default {
            config.repetition = Repetition::Off;
        }
        if mode == Mode::NoRepetitionPrompt {
            config.ack_delay_max = Duration::ZERO;
        }
        let key = HostKey::new(Secret::new([1; 32]));
        let (one, two) = (Secret::new([2; 32]), Secret::new([3; 32]));
        let mut client = Endpoint::client(config.clone(), key.public(), one).expect("it can work");
        let host = Endpoint::host(config, &key, two).expect("it can work");
        let dialed = client.dial(Time::ZERO, address(End::Host), None);
        let link = Some(dialed.expect("a client dials"));
        let (has_given_up, is_ready, delivered) = (false, false, VecDeque::new());
        Box::new(Self { ends: [client, host], link, has_given_up, is_ready, delivered })
    }

    fn take_events(&mut self, now: Time) {
        let [client, host] = &mut self.ends;
        while let Some(event) = host.poll_event() {
            match event {
                LinkEvent::Asked { link, .. } => host.accept(now, link),
                LinkEvent::Control { link, control: Control::Login { .. } } => {
                    let payload = Vec::new();
                    let welcome = Control::LoginAccepted { server_tick: 0, payload };
                    host.control(now, link, &welcome).expect("it is up");
                }
                LinkEvent::Message { message, .. } => {
                    self.delivered.push_back(message.payload.into())
                }
                LinkEvent::Lost { .. } => self.has_given_up = true,
                _ => {}
            }
        }
        while let Some(event) = client.poll_event() {
            match event {
                LinkEvent::Up { link, .. } => {
                    let login = Control::Login { identity: b"it".to_vec(), payload: Vec::new() };
                    client.control(now, link, &login).expect("it is up");
                }
                LinkEvent::Control { control: Control::LoginAccepted { .. }, .. } => {
                    self.is_ready = true;
                }
                LinkEvent::Lost { .. } => self.has_given_up = true,
                _ => {}
            }
        }
    }
}

fn address(end: End) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + end as u8], 9_000))
}

impl Contender for Native {
    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    fn send(&mut self, now: Time, kind: Kind, payload: &[u8]) -> bool {
        let lane = match kind {
            Kind::Reliable => Lane::ReliableOrdered,
            Kind::State => Lane::Unreliable,
        };
        let message = Outgoing { kind: KIND, lane, key: 0, payload, notice: None };
        let Some(link) = self.link else { return false };
        match self.ends[0].send(now, link, message) {
            Ok(()) => true,
            Err(SendError::Full) => false,
            Err(error) => panic!("a link takes messages: {error}"),
        }
    }

    fn tick(&mut self, _: Time) {}

    fn receive(&mut self, now: Time, at: End, datagram: &[u8]) {
        let from = if at == End::Host { End::Client } else { End::Host };
        self.ends[at as usize].handle_datagram(now, Port(0), address(from), datagram);
        self.take_events(now);
    }

    fn transmit(&mut self, now: Time, from: End, out: &mut Vec<u8>) -> bool {
        self.ends[from as usize].poll_transmit(now, out).is_some()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.ends.iter().map(Transport::poll_timeout).fold(None, earliest)
    }

    fn handle_timeout(&mut self, now: Time) {
        self.ends.iter_mut().for_each(|end| end.handle_timeout(now));
        self.take_events(now);
    }

    fn delivered(&mut self) -> Option<Vec<u8>> {
        self.delivered.pop_front()
    }
}
