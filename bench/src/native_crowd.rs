//! A crowd on the native protocol: a host with sessions that are logged in, and their clients,
//! whose datagrams are real ones.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use moorline_link::{
    Control, Delivery, Lane, LinkEvent, LinkId, Outgoing, Port, Time, Transmit, Transport,
};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{Endpoint, EndpointConfig};
use moorline_session::{Host, HostConfig, HostEvent, Limits, SessionId, State};

use crate::{address, name};

/// What clients send at a fixed rate: the newest is what counts.
pub const INPUT: u16 = 1;
/// What the host sends at a fixed rate.
pub const STATE: u16 = 2;
/// What must arrive.
pub const WORD: u16 = 3;

/// How often a client's session layer beats by default, and how long acknowledgements wait at most.
const BEAT_INTERVAL: Duration = Duration::from_secs(2);
const ACK_DELAY: Duration = Duration::from_millis(30);

/// A datagram is told of so many before it, as by a socket.
const AHEAD: usize = 3;

/// A host and its clients, on virtual time and without a network in between.
#[derive(Debug)]
pub struct NativeCrowd {
    /// The host that is measured.
    pub host: Host<Endpoint>,
    /// Its sessions, in the order of their users.
    pub sessions: Vec<SessionId>,
    users: Vec<User>,
    key: HostKey,
    datagram: Vec<u8>,
}

#[derive(Debug)]
struct User {
    endpoint: Endpoint,
    link: LinkId,
    arrived: u64,
}

/// A datagram to the host, and who sent it.
pub type Arrival = (SocketAddr, Vec<u8>);

impl Default for NativeCrowd {
    fn default() -> Self {
        Self::new()
    }
}

impl NativeCrowd {
    /// A host without sessions that lets everybody in.
    ///
    /// # Panics
    /// Never; the settings make sense.
    pub fn new() -> Self {
        let limits = Limits { sessions_max: usize::MAX, ..Limits::default() };
        let delivery = Delivery::new()
            .with(INPUT, Lane::Unreliable)
            .with(STATE, Lane::Latest)
            .with(WORD, Lane::ReliableOrdered);
        let config = HostConfig { limits, delivery, ..HostConfig::default() };
        let key = HostKey::new(Secret::new([1; 32]));
        let native = EndpointConfig {
            links_max: usize::MAX,
            hello_rate_max: u32::MAX,
            half_open_max: 1 << 20,
            ..EndpointConfig::default()
        };
        let endpoint = Endpoint::host(native, &key, Secret::new([2; 32])).expect("it can work");
        let host = Host::new(config, vec![endpoint], 1).expect("a sensible policy");
        Self { host, sessions: Vec::new(), users: Vec::new(), key, datagram: Vec::new() }
    }

    /// Logs so many more users in, one after the other.
    ///
    /// # Panics
    /// When one of them is not logged in afterwards.
    pub fn log_in(&mut self, now: Time, count: u32) {
        for _ in 0..count {
            let user = self.users.len() as u32;
            let mut hello = self.dial(now, 1);
            self.arrive(now, &mut hello);
            self.exchange(now, user..user + 1);
        }
        assert_eq!(self.host.sessions().count(State::LoggedIn), self.users.len());
    }

    /// So many more clients ask in, with these datagrams.
    ///
    /// # Panics
    /// Never; they can dial.
    pub fn dial(&mut self, now: Time, count: u32) -> Vec<Arrival> {
        let first = self.users.len() as u32;
        for user in first..first + count {
            let mut entropy = [3; 32];
            entropy[..4].copy_from_slice(&user.to_be_bytes());
            let host = self.key.public();
            let mut endpoint =
                Endpoint::client(EndpointConfig::default(), host, Secret::new(entropy))
                    .expect("it can work");
            let link = endpoint.dial(now, host_address(), None).expect("a client dials");
            self.users.push(User { endpoint, link, arrived: 0 });
        }
        self.arrivals(now, first..first + count)
    }

    /// A client's application sends a message.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn say(&mut self, now: Time, user: u32, kind: u16, payload: &[u8]) {
        let User { endpoint, link, .. } = &mut self.users[user as usize];
        endpoint.send(now, *link, outgoing(kind, payload)).expect("it is up");
    }

    /// A client's session layer asks whether the host is there.
    ///
    /// # Panics
    /// When it is not up.
    pub fn beat(&mut self, now: Time, user: u32) {
        let User { endpoint, link, .. } = &mut self.users[user as usize];
        endpoint.control(now, *link, &Control::Beat { beat: 1 }).expect("it is up");
    }

    /// The host's application sends a message.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn tell(&mut self, now: Time, user: u32, kind: u16, payload: &[u8]) {
        let session = self.sessions[user as usize];
        self.host.send(now, session, outgoing(kind, payload)).expect("it is logged in");
    }

    /// What these clients send now.
    pub fn arrivals(&mut self, now: Time, users: Range<u32>) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for user in users {
            let endpoint = &mut self.users[user as usize].endpoint;
            endpoint.handle_timeout(now);
            while endpoint.poll_transmit(now, &mut self.datagram).is_some() {
                arrivals.push((address(user), self.datagram.clone()));
            }
        }
        arrivals
    }

    /// The host takes these in, and its application takes the events; says how many messages there
    /// were.
    pub fn arrive(&mut self, now: Time, arrivals: &mut [Arrival]) -> u32 {
        let mut messages = 0;
        for at in 0..arrivals.len() {
            let ahead = arrivals.get(at + AHEAD).map_or(&[][..], |(_, datagram)| datagram);
            self.host.expect(0, ahead);
            let (from, datagram) = &mut arrivals[at];
            self.host.handle_in_place(now, (0, Port(0)), (*from).into(), datagram);
            while let Some(event) = self.host.poll_event() {
                match event {
                    HostEvent::Login { session, .. } => {
                        self.sessions.push(session);
                        self.host.accept_login(now, session, None, Vec::new()).expect("it asked");
                    }
                    HostEvent::Message { .. } => messages += 1,
                    HostEvent::Session(_) | HostEvent::Delivered { .. } => {}
                }
            }
        }
        messages
    }

    /// The host sends what it has, which reaches nobody yet; says how many datagrams there were.
    pub fn send(&mut self, now: Time, mut each: impl FnMut(SocketAddr, &[u8])) -> u32 {
        let mut datagrams = 0;
        while let Some((_, Transmit { to, .. })) = self.host.poll_transmit(now, &mut self.datagram)
        {
            each(to, &self.datagram);
            datagrams += 1;
        }
        datagrams
    }

    /// Datagrams go to and fro until nobody has one.
    pub fn exchange(&mut self, now: Time, users: Range<u32>) {
        // A handshake and a login take three; nobody has more to say.
        for _ in 0..8 {
            let mut arrivals = self.arrivals(now, users.clone());
            self.host.handle_timeout(now);
            self.arrive(now, &mut arrivals);
            let mut answers = Vec::new();
            let sent = self.send(now, |to, datagram| answers.push((to, datagram.to_vec())));
            for (to, datagram) in answers {
                self.reach(now, to, &datagram);
            }
            if arrivals.is_empty() && sent == 0 {
                return;
            }
        }
    }

    /// For so long nobody has anything to say but beats, every two seconds. Says what time it is
    /// then.
    pub fn idle(&mut self, start: Time, time: Duration) -> Time {
        let (mut now, users) = (start, self.users.len() as u32);
        while now.since(start) < time {
            now = now + BEAT_INTERVAL;
            (0..users).for_each(|user| self.beat(now, user));
            self.exchange(now, 0..users);
            // The acknowledgements of the answers.
            self.exchange(now + ACK_DELAY, 0..users);
        }
        now + ACK_DELAY
    }

    /// A client takes in what the host sent.
    pub fn reach(&mut self, now: Time, to: SocketAddr, datagram: &[u8]) {
        let SocketAddr::V4(to) = to else { return };
        let user = to.ip().to_bits() & 0x00ff_ffff;
        let User { endpoint, link, arrived } = &mut self.users[user as usize];
        endpoint.handle_datagram(now, Port(0), host_address(), datagram);
        while let Some(event) = endpoint.poll_event() {
            match event {
                LinkEvent::Up { .. } => {
                    let identity = name(user).into_bytes();
                    let login = Control::Login { identity, payload: Vec::new() };
                    endpoint.control(now, *link, &login).expect("it is up");
                }
                LinkEvent::Message { .. } => *arrived += 1,
                _ => {}
            }
        }
    }

    /// The host alone: what it costs is counted without its clients.
    pub fn into_host(self) -> Host<Endpoint> {
        self.host
    }

    /// How many messages a client got.
    pub fn arrived(&self, user: u32) -> u64 {
        self.users[user as usize].arrived
    }
}

fn host_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 7_000).into()
}

const fn outgoing(kind: u16, payload: &[u8]) -> Outgoing<'_> {
    let lane = match kind {
        INPUT => Lane::Unreliable,
        STATE => Lane::Latest,
        _ => Lane::ReliableOrdered,
    };
    Outgoing { kind, lane, key: 0, payload, notice: None }
}
