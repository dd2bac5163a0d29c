//! A host, clients and a network between them, in virtual time and from one seed.

#![allow(dead_code, reason = "each test file uses another part")]
#![allow(unreachable_pub, missing_docs, reason = "it is part of each test, not a library")]

pub mod bare;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use moorline_kcp::{KcpConfig, KcpEndpoint, SyncPort};
use moorline_link::rng::Rng;
use moorline_link::{
    Control, Lane, LinkEvent, LinkId, Outgoing, Port, Reason, SendError, Time, Transport,
};

/// Datagram header, as the wire has it.
pub const HEADER_LEN: usize = 24;
pub const PUSH: u8 = 81;
pub const ACK: u8 = 82;
pub const WASK: u8 = 83;
pub const WINS: u8 = 84;

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the network does to a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay: Duration,
    pub jitter: Duration,
    pub loss_permille: u64,
    pub duplicate_permille: u64,
}

impl Weather {
    pub const FAIR: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss_permille: 0,
        duplicate_permille: 0,
    };
    pub const STORM: Self = Self {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(40),
        loss_permille: 200,
        duplicate_permille: 100,
    };
}

/// What a peer of the test does on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    Watch,
    /// It lets everybody in.
    Accept,
    /// It lets everybody in, says yes to every login with tick 77 and answers beats with tick 78.
    Welcome,
    /// It turns everybody away.
    Refuse,
}

#[derive(Debug)]
pub struct Peer {
    /// Of the reliable and of the sync port.
    pub addresses: [SocketAddr; 2],
    pub endpoint: KcpEndpoint,
    pub manner: Manner,
    pub events: Vec<LinkEvent>,
}

#[derive(Clone, Debug)]
pub struct Flying {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// All peers; the first is the host.
#[derive(Debug)]
pub struct World {
    pub now: Time,
    pub weather: Weather,
    pub peers: Vec<Peer>,
    /// Everything that was sent, where the test wants to see it.
    pub tap: Option<Vec<Flying>>,
    /// Datagrams to this address are swallowed.
    pub deaf: Option<SocketAddr>,
    rng: Rng,
    flying: BTreeMap<(Time, u64), Flying>,
    flown: u64,
}

pub const HOST: usize = 0;

pub fn host_config() -> KcpConfig {
    KcpConfig { sync: Some(SyncPort(8_081)), ..KcpConfig::default() }
}

impl World {
    /// A host and no client yet.
    pub fn new(seed: u64, config: KcpConfig) -> Self {
        let endpoint =
            KcpEndpoint::host_plaintext_unauthenticated(config, seed).expect("valid settings");
        let ip = IpAddr::from([10, 0, 0, 1]);
        let host = Peer {
            addresses: [SocketAddr::new(ip, 8_080), SocketAddr::new(ip, 8_081)],
            endpoint,
            manner: Manner::Welcome,
            events: Vec::new(),
        };
        Self {
            now: Time::from_millis(5_000),
            weather: Weather::FAIR,
            peers: vec![host],
            tap: None,
            deaf: None,
            rng: Rng::new(seed),
            flying: BTreeMap::new(),
            flown: 0,
        }
    }

    /// A host with a sync port, and `clients` that know it.
    pub fn with_clients(seed: u64, clients: u8) -> Self {
        let mut world = Self::new(seed, host_config());
        for _ in 0..clients {
            world.add_client(host_config());
        }
        world
    }

    pub fn add_client(&mut self, config: KcpConfig) -> usize {
        let index = self.peers.len();
        let ip = IpAddr::from([10, 0, 1, u8::try_from(index).expect("few clients")]);
        let seed = self.rng.next_u64();
        let endpoint =
            KcpEndpoint::client_plaintext_unauthenticated(config, seed).expect("valid settings");
        self.peers.push(Peer {
            addresses: [SocketAddr::new(ip, 5_000), SocketAddr::new(ip, 5_001)],
            endpoint,
            manner: Manner::Watch,
            events: Vec::new(),
        });
        index
    }

    pub fn host(&mut self) -> &mut KcpEndpoint {
        &mut self.peers[HOST].endpoint
    }

    pub fn host_address(&self) -> SocketAddr {
        self.peers[HOST].addresses[0]
    }

    pub fn dial(&mut self, client: usize) -> LinkId {
        let (now, host) = (self.now, self.host_address());
        self.peers[client].endpoint.dial(now, host, None).expect("room for a link")
    }

    /// Dials and logs in as `name`; gives the link at the client and at the host.
    pub fn log_in(&mut self, client: usize, name: &str) -> (LinkId, LinkId) {
        let link = self.dial(client);
        self.run(millis(100));
        let login = Control::Login { identity: name.into(), payload: Vec::new() };
        self.control(client, link, &login).expect("a link");
        self.run(millis(200));
        let address = self.peers[client].addresses[0];
        let up = |event: &LinkEvent| match event {
            LinkEvent::Up { link, address: from, .. } if *from == address => Some(*link),
            _ => None,
        };
        let at_host = self.peers[HOST].events.iter().rev().find_map(up).expect("it was let in");
        self.clear_events();
        (link, at_host)
    }

    pub fn clear_events(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.events.clear());
    }

    pub fn control(
        &mut self,
        peer: usize,
        link: LinkId,
        control: &Control,
    ) -> Result<(), SendError> {
        self.peers[peer].endpoint.control(self.now, link, control)
    }

    pub fn send(
        &mut self,
        peer: usize,
        link: LinkId,
        (kind, lane): (u16, Lane),
        payload: &[u8],
    ) -> Result<(), SendError> {
        let message = Outgoing { kind, lane, key: 0, payload, notice: None };
        self.peers[peer].endpoint.send(self.now, link, message)
    }

    /// Lets the time pass, with all that happens in it.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drive();
            let flying = self.flying.keys().next().map(|(time, _)| *time);
            let timers = self.peers.iter().filter_map(|peer| peer.endpoint.poll_timeout());
            let Some(next) = timers.chain(flying).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.flying.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let flying = entry.remove();
                self.deliver(&flying);
            }
            let now = self.now;
            self.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
        }
        self.now = end;
    }

    /// Hands a datagram over at once.
    pub fn deliver(&mut self, flying: &Flying) {
        if self.deaf == Some(flying.to) {
            return;
        }
        let now = self.now;
        for peer in &mut self.peers {
            for (address, port) in peer.addresses.into_iter().zip(0..) {
                if address == flying.to {
                    peer.endpoint.handle_datagram(now, Port(port), flying.from, &flying.bytes);
                }
            }
        }
    }

    /// Takes events and datagrams from all peers.
    pub fn drive(&mut self) {
        for index in 0..self.peers.len() {
            self.take_events(index);
            let mut bytes = Vec::new();
            while let Some(transmit) =
                self.peers[index].endpoint.poll_transmit(self.now, &mut bytes)
            {
                let from = self.peers[index].addresses[usize::from(transmit.port.0)];
                self.fly(Flying { from, to: transmit.to, bytes: bytes.clone() });
            }
        }
    }

    fn take_events(&mut self, index: usize) {
        let now = self.now;
        while let Some(event) = self.peers[index].endpoint.poll_event() {
            let Peer { endpoint, manner, events, .. } = &mut self.peers[index];
            match (&*manner, &event) {
                (Manner::Accept | Manner::Welcome, LinkEvent::Asked { link, .. }) => {
                    endpoint.accept(now, *link);
                }
                (Manner::Refuse, LinkEvent::Asked { link, .. }) => {
                    endpoint.refuse(now, *link, &full());
                }
                (Manner::Welcome, LinkEvent::Control { link, control }) => match control {
                    Control::Login { .. } => {
                        let yes = Control::LoginAccepted { server_tick: 77, payload: Vec::new() };
                        // The link may be gone already.
                        let _ = endpoint.control(now, *link, &yes);
                    }
                    Control::Beat { beat } => {
                        let answer = Control::BeatAnswer { beat: *beat, server_tick: 78 };
                        let _ = endpoint.control(now, *link, &answer);
                    }
                    _ => {}
                },
                _ => {}
            }
            events.push(event);
        }
    }

    fn fly(&mut self, flying: Flying) {
        if let Some(tap) = &mut self.tap {
            tap.push(flying.clone());
        }
        let Weather { delay, jitter, loss_permille, duplicate_permille } = self.weather;
        let copies = if self.rng.below(1_000) < duplicate_permille { 2 } else { 1 };
        for _ in 0..copies {
            if self.rng.below(1_000) >= loss_permille {
                let arrival = self.now + delay + self.rng.up_to(jitter);
                self.flown += 1;
                self.flying.insert((arrival, self.flown), flying.clone());
            }
        }
    }

    /// Kind and payload of the application's messages that reached a peer on `link`.
    pub fn messages(&self, peer: usize, link: LinkId) -> Vec<(u16, Vec<u8>)> {
        let message = |event: &LinkEvent| match event {
            LinkEvent::Message { link: of, message } if *of == link => {
                Some((message.kind, message.payload.to_vec()))
            }
            _ => None,
        };
        self.peers[peer].events.iter().filter_map(message).collect()
    }

    pub fn controls(&self, peer: usize, link: LinkId) -> Vec<Control> {
        let control = |event: &LinkEvent| match event {
            LinkEvent::Control { link: of, control } if *of == link => Some(control.clone()),
            _ => None,
        };
        self.peers[peer].events.iter().filter_map(control).collect()
    }

    pub fn losses(&self, peer: usize) -> Vec<(LinkId, Reason)> {
        let lost = |event: &LinkEvent| match event {
            LinkEvent::Lost { link, reason } => Some((*link, reason.clone())),
            _ => None,
        };
        self.peers[peer].events.iter().filter_map(lost).collect()
    }
}

pub fn full() -> moorline_link::Refusal {
    moorline_link::Refusal::new(moorline_link::RefusalCode::Full, "no room for more players")
        .retry_after(Duration::from_secs(3))
}

pub fn counter(endpoint: &KcpEndpoint, name: &str) -> u64 {
    let counters = endpoint.counters();
    counters.iter().find(|counter| counter.name == name).expect("a known counter").value
}

/// A segment by hand.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    pub conv: u32,
    pub cmd: u8,
    pub frg: u8,
    pub ts: u32,
    pub sn: u32,
    pub una: u32,
    pub data: &'a [u8],
}

impl Raw<'_> {
    pub const PUSH: Self = Self { conv: 1, cmd: PUSH, frg: 0, ts: 0, sn: 0, una: 0, data: &[] };

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.conv.to_le_bytes());
        bytes.extend([self.cmd, self.frg, 128, 0]);
        for number in [self.ts, self.sn, self.una] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(u32::try_from(self.data.len()).expect("short").to_le_bytes());
        bytes.extend(self.data);
        bytes
    }
}

/// An envelope by hand.
pub fn envelope(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x08];
    varint(&mut bytes, kind.into());
    bytes.push(0x12);
    varint(&mut bytes, payload.len() as u64);
    bytes.extend(payload);
    bytes
}

pub fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
