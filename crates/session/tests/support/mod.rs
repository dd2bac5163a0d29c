//! A world for tests: one host, some clients, a network with switches, and virtual time.
//!
//! `World::drive_until` follows the drain rule of `moorline_link::transport` and checks on every
//! round what must always hold: counts and indexes agree with the sessions, and each session's
//! events are a path through the lifecycle table.
#![allow(dead_code, reason = "each test file uses its own part of the world")]

pub(crate) mod net;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::memory::Memory;
use moorline_link::{Delivery, Lane, Outgoing, Port, Reason, Refusal, Time};
use moorline_session::lifecycle::{Answer, answer};
use moorline_session::{
    Dialer, DialerConfig, DialerEvent, Event, EventKind, Host, HostConfig, HostEvent, Input,
    Jitter, Login, ReconnectPolicy, Session, SessionId, State,
};

use net::Net;

/// A kind of message that the delivery policy of these tests knows.
pub(crate) const KNOWN: u16 = 7;
/// One that it does not know.
pub(crate) const UNKNOWN: u16 = 99;

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn delivery() -> Delivery {
    Delivery::new().with(KNOWN, Lane::ReliableOrdered)
}

pub(crate) fn message(kind: u16) -> Outgoing<'static> {
    Outgoing { kind, lane: Lane::ReliableOrdered, key: 0, payload: b"hello", notice: None }
}

pub(crate) fn host_config() -> HostConfig {
    HostConfig { delivery: delivery(), ..HostConfig::default() }
}

/// Logs in as `name`, and waits exactly as long as its reconnect policy says.
pub(crate) fn client_config(name: &str) -> DialerConfig {
    DialerConfig {
        login: Some(login(name)),
        delivery: delivery(),
        reconnect: ReconnectPolicy { jitter: Jitter::None, ..ReconnectPolicy::default() },
        ..DialerConfig::default()
    }
}

pub(crate) fn login(name: &str) -> Login {
    Login { identity: name.as_bytes().to_vec(), payload: Vec::new() }
}

/// What the host's application says to logins.
#[derive(Clone, Debug)]
pub(crate) enum Answers {
    Yes,
    No(Refusal),
    /// Nothing yet: they wait in `World::asked`.
    Later,
}

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Host,
    Client(usize),
}

pub(crate) struct Client {
    pub(crate) dialer: Dialer<Memory>,
    pub(crate) at: SocketAddr,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: usize,
    asleep_until: Time,
    path: Path,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) host_at: SocketAddr,
    /// `None` while the host is not running.
    pub(crate) host: Option<Host<Memory>>,
    pub(crate) host_config: HostConfig,
    /// What happened at the host to sessions, of this host and those that ran before it.
    pub(crate) host_events: Vec<Event>,
    pub(crate) host_messages: usize,
    pub(crate) answers: Answers,
    /// Logins that wait for an answer.
    pub(crate) asked: Vec<SessionId>,
    pub(crate) clients: Vec<Client>,
    pub(crate) net: Net,
    paths: BTreeMap<SessionId, Path>,
    /// Sessions that ended at the host: nothing more may be heard of them.
    ended: BTreeSet<SessionId>,
    host_asleep_until: Time,
    seed: u64,
}

impl World {
    /// A running host and nobody else. The clock does not start at zero, as no clock does.
    pub(crate) fn new(seed: u64, host_config: HostConfig) -> Self {
        let mut world = Self {
            now: Time::from_millis(1_000_000),
            host_at: "10.0.0.1:8080".parse().expect("an address"),
            host: None,
            host_config,
            host_events: Vec::new(),
            host_messages: 0,
            answers: Answers::Yes,
            asked: Vec::new(),
            clients: Vec::new(),
            net: Net::new(seed),
            paths: BTreeMap::new(),
            ended: BTreeSet::new(),
            host_asleep_until: Time::ZERO,
            seed,
        };
        world.start_host();
        world
    }

    /// A running host and these users, all logged in; the events until there are forgotten.
    pub(crate) fn logged_in(names: &[&str]) -> Self {
        let mut world = Self::new(1, host_config());
        for name in names {
            world.add_client(client_config(name));
        }
        world.connect_all();
        assert!(world.drive_until(secs(1), Self::is_all_logged_in), "everyone logs in");
        world.forget_events();
        world
    }

    /// A client at its own address, not connected yet.
    pub(crate) fn add_client(&mut self, config: DialerConfig) -> usize {
        let index = self.clients.len();
        let seed = self.next_seed();
        let dialer = Dialer::new(self.now, config, Memory::new(seed), seed).expect("a good config");
        self.clients.push(Client {
            dialer,
            at: format!("10.0.1.{}:{}", index + 1, 4_000 + index).parse().expect("an address"),
            events: Vec::new(),
            messages: 0,
            asleep_until: Time::ZERO,
            path: Path::default(),
        });
        index
    }

    /// Moves a client to this address before it connects.
    pub(crate) fn place(&mut self, client: usize, at: &str) {
        self.clients[client].at = at.parse().expect("an address");
    }

    pub(crate) fn connect(&mut self, client: usize) {
        let (now, host_at) = (self.now, self.host_at);
        self.clients[client].dialer.connect(now, host_at).expect("not connected yet");
    }

    pub(crate) fn connect_all(&mut self) {
        (0..self.clients.len()).for_each(|client| self.connect(client));
    }

    /// The client's process ends without a word and a new one starts at the same address.
    pub(crate) fn restart_client(&mut self, client: usize) {
        let seed = self.next_seed();
        let config = self.clients[client].dialer.config().clone();
        let dialer = Dialer::new(self.now, config, Memory::new(seed), seed).expect("a good config");
        self.clients[client].dialer = dialer;
        self.clients[client].path = Path::default();
        self.connect(client);
    }

    /// The host's process ends without a word.
    pub(crate) fn kill_host(&mut self) {
        self.host = None;
        self.paths.clear();
        self.asked.clear();
    }

    /// A new host starts at the same address and knows nobody.
    pub(crate) fn start_host(&mut self) {
        let seed = self.next_seed();
        let transports = vec![Memory::new(seed)];
        let host = Host::new(self.host_config.clone(), transports, seed).expect("a good config");
        self.host = Some(host);
    }

    /// The process is not scheduled for a while; what is sent to it waits in its socket.
    pub(crate) fn sleep(&mut self, who: Who, time: Duration) {
        let until = self.now + time;
        match who {
            Who::Host => self.host_asleep_until = until,
            Who::Client(client) => self.clients[client].asleep_until = until,
        }
    }

    pub(crate) fn host(&self) -> &Host<Memory> {
        self.host.as_ref().expect("the host runs")
    }

    pub(crate) fn host_mut(&mut self) -> &mut Host<Memory> {
        self.host.as_mut().expect("the host runs")
    }

    pub(crate) fn client(&mut self, client: usize) -> &mut Dialer<Memory> {
        &mut self.clients[client].dialer
    }

    pub(crate) fn state(&self, client: usize) -> State {
        self.clients[client].dialer.session().state()
    }

    /// The host's session with a link to the client's address.
    pub(crate) fn session_of(&self, client: usize) -> &Session {
        let at = self.clients[client].at;
        self.host().sessions().by_address(at).expect("the host has a session there")
    }

    pub(crate) fn id_of(&self, client: usize) -> SessionId {
        self.session_of(client).id()
    }

    pub(crate) fn is_all_logged_in(&self) -> bool {
        (0..self.clients.len()).all(|client| self.state(client) == State::LoggedIn)
    }

    pub(crate) fn send(&mut self, client: usize, kind: u16) {
        let now = self.now;
        self.client(client).send(now, message(kind)).expect("taken");
    }

    pub(crate) fn forget_events(&mut self) {
        self.host_events.clear();
        self.clients.iter_mut().for_each(|client| client.events.clear());
    }

    /// What the client's session lived through, without heartbeats and warnings.
    pub(crate) fn story(&self, client: usize) -> Vec<EventKind> {
        story(&self.clients[client].events)
    }

    /// What a session lived through at the host, without heartbeats and warnings.
    pub(crate) fn host_story(&self, id: SessionId) -> Vec<EventKind> {
        let events = self.host_events.iter().filter(|event| event.session == id);
        story(&events.cloned().collect::<Vec<_>>())
    }

    /// Why the session ended at the host.
    pub(crate) fn end_of(&self, id: SessionId) -> Option<Reason> {
        let mut events = self.host_events.iter().rev();
        let end = events.find(|e| e.session == id && e.kind == EventKind::Disconnected)?;
        end.reason.clone()
    }

    /// Goes on for `time`.
    pub(crate) fn drive(&mut self, time: Duration) {
        self.drive_until(time, |_| false);
    }

    /// Goes on until `is_there`, at most for `time`; says whether it got there.
    pub(crate) fn drive_until(
        &mut self,
        time: Duration,
        mut is_there: impl FnMut(&Self) -> bool,
    ) -> bool {
        let end = self.now + time;
        let mut rounds_at_once = 0;
        loop {
            self.round();
            if is_there(self) {
                return true;
            }
            let next = self.next_due().unwrap_or(end);
            if next >= end {
                self.now = end;
                self.round();
                return is_there(self);
            }
            rounds_at_once = if next > self.now { 0 } else { rounds_at_once + 1 };
            assert!(rounds_at_once < 100, "at {} a deadline stays in the past", self.now);
            self.now = self.now.max(next);
        }
    }

    fn next_due(&self) -> Option<Time> {
        let host = self.host.as_ref().and_then(|host| {
            let next = [host.poll_timeout(), self.net.next_to(self.host_at)];
            next.into_iter().flatten().min().map(|at| at.max(self.host_asleep_until))
        });
        let clients = self.clients.iter().filter_map(|client| {
            let next = [client.dialer.poll_timeout(), self.net.next_to(client.at)];
            next.into_iter().flatten().min().map(|at| at.max(client.asleep_until))
        });
        clients.chain(host).min()
    }

    /// One round of the drain rule for every process that is awake.
    fn round(&mut self) {
        if self.now >= self.host_asleep_until {
            self.host_round();
        }
        for client in 0..self.clients.len() {
            if self.now >= self.clients[client].asleep_until {
                self.client_round(client);
            }
        }
        self.check_host();
    }

    fn host_round(&mut self) {
        let now = self.now;
        let Some(host) = self.host.as_mut() else {
            while self.net.take(now, self.host_at).is_some() {}
            return;
        };
        // 1. What arrived, as long as there is room for what comes of it, and the time.
        while !host.is_backlogged()
            && let Some((from, datagram)) = self.net.take(now, self.host_at)
        {
            host.handle_datagram(now, (0, Port(0)), from, &datagram);
        }
        host.handle_timeout(now);
        // 2. Events, answered.
        while let Some(event) = host.poll_event() {
            let (HostEvent::Session(Event { session, .. })
            | HostEvent::Message { session, .. }
            | HostEvent::Delivered { session, .. }
            | HostEvent::Login { session, .. }) = &event;
            assert!(!self.ended.contains(session), "heard of after its end: {event:?}");
            match event {
                HostEvent::Session(event) => {
                    if event.kind == EventKind::Disconnected {
                        self.ended.insert(event.session);
                    }
                    self.paths.entry(event.session).or_default().walk(&event);
                    self.host_events.push(event);
                }
                HostEvent::Message { .. } => self.host_messages += 1,
                HostEvent::Delivered { .. } => panic!("nobody asked: {event:?}"),
                HostEvent::Login { session, .. } => match &self.answers {
                    Answers::Later => self.asked.push(session),
                    // It may be gone already; then no answer is right.
                    Answers::Yes => {
                        host.accept_login(now, session, None, b"hi".to_vec()).ok();
                    }
                    Answers::No(no) => {
                        host.refuse_login(now, session, no.clone()).ok();
                    }
                },
            }
        }
        // 3. What is to be sent.
        let mut datagram = Vec::new();
        while let Some((_, sent)) = host.poll_transmit(now, &mut datagram) {
            self.net.send(now, self.host_at, sent.to, &datagram);
        }
    }

    fn client_round(&mut self, index: usize) {
        let (now, host_at) = (self.now, self.host_at);
        let Client { dialer, at, events, messages, path, .. } = &mut self.clients[index];
        while let Some((from, datagram)) = self.net.take(now, *at) {
            dialer.handle_datagram(now, Port(0), from, &datagram);
        }
        dialer.handle_timeout(now);
        while let Some(event) = dialer.poll_event() {
            match event {
                DialerEvent::Session(event) => {
                    path.walk(&event);
                    events.push(event);
                }
                DialerEvent::Message { .. } => *messages += 1,
                DialerEvent::Welcome { .. } => {}
                DialerEvent::Delivered { .. } => panic!("nobody asked: {event:?}"),
            }
        }
        let mut datagram = Vec::new();
        while let Some(sent) = dialer.poll_transmit(now, &mut datagram) {
            assert_eq!(sent.to, host_at);
            self.net.send(now, *at, sent.to, &datagram);
        }
    }

    /// What must hold of the host's table at any time.
    fn check_host(&self) {
        let Some(host) = self.host.as_ref() else { return };
        let table = host.sessions();
        for state in State::ALL {
            let there = table.iter().filter(|session| session.state() == state).count();
            assert_eq!(table.count(state), there, "{state}");
        }
        assert_eq!(table.len(), table.iter().count());
        assert!(table.len() <= host.config().limits.sessions_max);
        assert_eq!(table.count(State::Disconnected) + table.count(State::TimedOut), 0);
        for session in table.iter() {
            assert_eq!(table.by_id(session.id()).map(Session::id), Some(session.id()));
            assert_eq!(session.link().is_some(), session.state().is_connected(), "{session:?}");
            let address = session.address().expect("every session of a host had a link");
            if let Some(found) = table.by_address(address) {
                assert_eq!((found.address(), found.link().is_some()), (Some(address), true));
            }
            let has_user = matches!(session.state(), State::LoggedIn | State::ReconnectPending);
            if has_user {
                let user = session.identity().expect("who is logged in has an identity");
                assert!(table.by_identity(user).any(|other| other.id() == session.id()));
            }
        }
    }

    fn next_seed(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed
    }
}

/// Where a session stands on its way through the lifecycle table, as its events tell it.
#[derive(Clone, Copy, Debug, Default)]
struct Path(State);

impl Path {
    fn walk(&mut self, event: &Event) {
        assert_eq!(event.from, self.0, "events are chained: {event}");
        let is_legal = Input::ALL.into_iter().any(|input| match answer(event.from, input) {
            Answer::Go(to, kind) => (to, kind) == (event.to, event.kind),
            Answer::Tell(kind) => (event.from, kind) == (event.to, event.kind),
            Answer::Ignore | Answer::Refuse(_) => false,
        });
        assert!(is_legal, "not in the table: {event}");
        self.0 = event.to;
    }
}

/// Without heartbeats and warnings.
pub(crate) fn story(events: &[Event]) -> Vec<EventKind> {
    use EventKind::{Degraded, HeartbeatReceived, HeartbeatSent, Recovered};
    let kinds = events.iter().map(|event| event.kind);
    let noise = [HeartbeatSent, HeartbeatReceived, Degraded, Recovered];
    kinds.filter(|kind| !noise.contains(kind)).collect()
}

/// The first event of this kind.
pub(crate) fn first(events: &[Event], kind: EventKind) -> &Event {
    let found = events.iter().find(|event| event.kind == kind);
    found.unwrap_or_else(|| panic!("no {kind:?} in {events:#?}"))
}
