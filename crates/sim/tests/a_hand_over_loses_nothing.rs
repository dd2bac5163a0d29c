//! Hosts that hand their users over in the middle of play, over paths that lose and reorder: every
//! message is at one host or the other, once and in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::{Delivery, Lane, Outgoing, Port, Reason, Time};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{Endpoint, EndpointConfig};
use moorline_session::{
    Dialer, DialerConfig, DialerEvent, Event, EventKind, Host, HostConfig, HostEvent, Login,
    Redirect, SessionId, State,
};

const A: usize = 0;
const B: usize = 1;
const CLIENTS: usize = 6;
const ORDERED: u16 = 1;
const UNORDERED: u16 = 2;
const TICK: Duration = Duration::from_millis(10);

/// What a side got of another's numbered messages, by kind.
type Got = BTreeMap<u16, Vec<u32>>;

struct Client {
    dialer: Dialer<Endpoint>,
    at: SocketAddr,
    sent: u32,
    got: Got,
    told: Vec<Event>,
}

impl Client {
    /// The latest event of a kind.
    fn latest(&self, kind: EventKind) -> &Event {
        let mut told = self.told.iter().rev();
        told.find(|event| event.kind == kind).unwrap_or_else(|| panic!("{kind:?}: {:?}", self.told))
    }
}

struct World {
    now: Time,
    rng: Rng,
    key: HostKey,
    hosts: [Host<Endpoint>; 2],
    /// By host and client: what came, and how many messages the host sent.
    got: [Vec<Got>; 2],
    sent: [Vec<u32>; 2],
    sessions: [BTreeMap<SessionId, usize>; 2],
    /// By host: who is back without a login.
    resumed: [Vec<Event>; 2],
    /// Whether nobody answers logins that are made again.
    is_thinking: bool,
    clients: Vec<Client>,
    on_way: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    posted: u64,
    loss_permille: u64,
}

fn host_at(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + host as u8], 7_777))
}

fn delivery() -> Delivery {
    Delivery::new().with(ORDERED, Lane::ReliableOrdered).with(UNORDERED, Lane::ReliableUnordered)
}

fn secret(rng: &mut Rng) -> Secret {
    let mut bytes = [0; Secret::LEN];
    bytes.iter_mut().for_each(|byte| *byte = rng.below(256) as u8);
    Secret::new(bytes)
}

fn host(key: &HostKey, rng: &mut Rng) -> Host<Endpoint> {
    let config = HostConfig { delivery: delivery(), ..HostConfig::default() };
    let endpoint = Endpoint::host(EndpointConfig::default(), key, secret(rng));
    Host::new(config, vec![endpoint.expect("it can work")], rng.below(1 << 32)).expect("so can it")
}

/// A number, and now and then so much after it that it comes in parts.
fn message(number: u32) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(if number.is_multiple_of(25) { 6_000 } else { 40 }, 7);
    bytes
}

fn note(got: &mut Got, kind: u16, payload: &[u8]) {
    let number = u32::from_be_bytes(*payload.first_chunk().expect("a number"));
    assert_eq!(payload, message(number));
    got.entry(kind).or_default().push(number);
}

impl World {
    fn new(seed: u64, loss_permille: u64) -> Self {
        let now = Time::from_millis(1_000);
        let mut rng = Rng::new(seed);
        let key = HostKey::new(secret(&mut rng));
        let native = EndpointConfig::default();
        let hosts = [A, B].map(|_| host(&key, &mut rng));
        let clients = (0..CLIENTS).map(|number| {
            let identity = format!("user {number}").into_bytes();
            let login = Some(Login { identity, payload: Vec::new() });
            let config = DialerConfig { login, delivery: delivery(), ..DialerConfig::default() };
            let endpoint = Endpoint::client(native.clone(), key.public(), secret(&mut rng));
            let endpoint = endpoint.expect("it can work");
            let mut dialer = Dialer::new(now, config, endpoint, seed).expect("it can work");
            dialer.connect(now, host_at(A)).expect("it never was anywhere");
            let at = SocketAddr::from(([10, 0, 1, number as u8], 5_000));
            Client { dialer, at, sent: 0, got: Got::new(), told: Vec::new() }
        });
        let clients = clients.collect();
        Self {
            now,
            clients,
            key,
            hosts,
            got: [vec![Got::new(); CLIENTS], vec![Got::new(); CLIENTS]],
            sent: [vec![0; CLIENTS], vec![0; CLIENTS]],
            sessions: [BTreeMap::new(), BTreeMap::new()],
            resumed: [Vec::new(), Vec::new()],
            is_thinking: false,
            on_way: BTreeMap::new(),
            posted: 0,
            loss_permille,
            rng,
        }
    }

    fn run(&mut self, time: Duration, plays: bool) {
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + Duration::from_millis(1);
            if plays && self.now.as_micros().is_multiple_of(TICK.as_micros() as u64) {
                self.play();
            }
            self.turn();
        }
    }

    /// Everyone sends a message on each reliable lane.
    fn play(&mut self) {
        let now = self.now;
        let both = [(ORDERED, Lane::ReliableOrdered), (UNORDERED, Lane::ReliableUnordered)];
        for client in &mut self.clients {
            let payload = message(client.sent);
            for (kind, lane) in both {
                let outgoing = Outgoing { kind, lane, key: 0, payload: &payload, notice: None };
                client.dialer.send(now, outgoing).expect("there is room, also on the way");
            }
            client.sent += 1;
        }
        for host in [A, B] {
            for (session, client) in &self.sessions[host] {
                let payload = message(self.sent[host][*client]);
                for (kind, lane) in both {
                    let outgoing = Outgoing { kind, lane, key: 0, payload: &payload, notice: None };
                    let sent = self.hosts[host].send(now, *session, outgoing);
                    sent.expect("there is room as long as it is there");
                }
                self.sent[host][*client] += 1;
            }
        }
    }

    fn turn(&mut self) {
        let now = self.now;
        while let Some(first) = self.on_way.first_entry().filter(|first| first.key().0 <= now) {
            let (from, to, datagram) = first.remove();
            if let Some(host) = [A, B].into_iter().find(|host| host_at(*host) == to) {
                self.hosts[host].handle_datagram(now, (0, Port(0)), from, &datagram);
            } else if let Some(client) = self.clients.iter_mut().find(|client| client.at == to) {
                client.dialer.handle_datagram(now, Port(0), from, &datagram);
            }
        }
        let mut sent = Vec::new();
        let mut datagram = Vec::new();
        for host in [A, B] {
            self.hosts[host].handle_timeout(now);
            self.take_events(host);
            while let Some((_, to)) = self.hosts[host].poll_transmit(now, &mut datagram) {
                sent.push((host_at(host), to.to, datagram.clone()));
            }
        }
        for client in &mut self.clients {
            client.dialer.handle_timeout(now);
            while let Some(event) = client.dialer.poll_event() {
                match event {
                    DialerEvent::Session(event) => client.told.push(event),
                    DialerEvent::Message { kind, payload, .. } => {
                        note(&mut client.got, kind, &payload);
                    }
                    _ => {}
                }
            }
            while let Some(to) = client.dialer.poll_transmit(now, &mut datagram) {
                sent.push((client.at, to.to, datagram.clone()));
            }
        }
        for datagram in sent {
            let at = now + Duration::from_millis(15 + self.rng.below(30));
            self.posted += 1;
            if self.rng.below(1_000) >= self.loss_permille {
                self.on_way.insert((at, self.posted), datagram);
            }
        }
    }

    fn take_events(&mut self, host: usize) {
        while let Some(event) = self.hosts[host].poll_event() {
            match event {
                HostEvent::Login { again: true, .. } if self.is_thinking => {}
                HostEvent::Login { session, .. } => {
                    self.hosts[host].accept_login(self.now, session, None, Vec::new()).ok();
                }
                HostEvent::Session(event) => {
                    if event.kind == EventKind::Resumed {
                        self.resumed[host].push(event.clone());
                    }
                    let is_over = event.kind == EventKind::Disconnected;
                    let there = self.hosts[host].sessions().by_id(event.session);
                    let is_in = there.is_some_and(|session| session.state() == State::LoggedIn);
                    if is_over {
                        self.sessions[host].remove(&event.session);
                    } else if let Some(name) = there.filter(|_| is_in).and_then(|it| it.identity())
                    {
                        let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                        let user = name.trim_start_matches("user ").parse().expect("a number");
                        self.sessions[host].insert(event.session, user);
                    }
                }
                HostEvent::Message { session, kind, payload, .. } => {
                    let client = self.sessions[host][&session];
                    note(&mut self.got[host][client], kind, &payload);
                }
                HostEvent::Delivered { .. } => {}
            }
        }
    }
}

/// The numbers from zero on, once each; in order if the lane keeps it.
fn assert_whole(kind: u16, mut numbers: Vec<u32>, sent: u32, whose: &str) {
    if kind == UNORDERED {
        numbers.sort_unstable();
    }
    let is_whole = numbers.iter().copied().eq(0..sent);
    assert!(is_whole, "{whose}, kind {kind}: {} of {sent}: {numbers:?}", numbers.len());
}

#[test]
fn all_that_was_sent_reliably_is_at_one_host_or_the_other_once_and_in_order() {
    for seed in 0..12 {
        let loss_permille = [0, 20, 80][seed as usize % 3];
        let mut world = World::new(seed, loss_permille);
        world.run(Duration::from_secs(2), false);
        world.run(Duration::from_secs(2), true);
        let redirect = Redirect { to: host_at(B), within: Duration::from_millis(500) };
        world.hosts[A].drain(world.now, redirect);
        world.run(Duration::from_secs(4), true);
        world.run(Duration::from_secs(4), false);
        assert_eq!(world.hosts[B].counters().taken_over, CLIENTS as u64, "seed {seed}");
        assert_eq!(world.resumed[B].len(), CLIENTS, "seed {seed}");
        let from_a = Some(&Reason::HandedOver);
        for event in &world.resumed[B] {
            assert_eq!(
                (event.reason.as_ref(), &event.gap),
                (from_a, &None),
                "seed {seed}: {event}"
            );
        }
        for (number, client) in world.clients.iter().enumerate() {
            let whose = format!("seed {seed}, client {number}");
            let resumed = client.latest(EventKind::Resumed);
            assert_eq!((resumed.reason.as_ref(), &resumed.gap), (from_a, &None), "{whose}");
            assert!(client.told.iter().all(|it| it.kind != EventKind::ContinuityLost), "{whose}");
            for kind in [ORDERED, UNORDERED] {
                let at = |host: usize| world.got[host][number].get(&kind).cloned();
                let all = [A, B].into_iter().filter_map(at).flatten().collect();
                assert_whole(kind, all, client.sent, &whose);
                assert!(at(A).is_some() && at(B).is_some(), "{whose}");
                let got = client.got.get(&kind).cloned().unwrap_or_default();
                let from_a = world.sent[A][number] as usize;
                let (from_a, from_b) = got.split_at(from_a.min(got.len()));
                assert_whole(kind, from_a.to_vec(), world.sent[A][number], &format!("to {whose}"));
                assert_whole(kind, from_b.to_vec(), world.sent[B][number], &format!("to {whose}"));
            }
        }
    }
}

/// They play on until their own time, and are without a link for a round trip or two.
#[test]
fn everyone_goes_at_their_own_time_and_is_there_at_once() {
    let mut world = World::new(3, 0);
    world.run(Duration::from_secs(2), false);
    let (began_at, within) = (world.now, Duration::from_secs(10));
    world.hosts[A].drain(world.now, Redirect { to: host_at(B), within });
    world.run(within + Duration::from_secs(2), true);
    let mut times: Vec<Duration> = Vec::new();
    for client in &world.clients {
        let left_at = client.latest(EventKind::ReconnectScheduled).at;
        let pause = client.latest(EventKind::Resumed).at.since(left_at);
        assert!(pause < Duration::from_millis(150), "{pause:?} for two round trips of 45 ms");
        times.push(left_at.since(began_at));
    }
    times.sort();
    let spread = times[CLIENTS - 1] - times[0];
    assert!(spread > within / 3, "all at once: {times:?}");
}

#[test]
fn a_login_that_was_made_again_is_answered_by_the_host_that_takes_over() {
    let mut world = World::new(4, 20);
    world.run(Duration::from_secs(2), false);
    world.is_thinking = true;
    let within = Duration::from_secs(60);
    for session in world.sessions[A].keys() {
        world.hosts[A].ask_login(world.now, *session, within).expect("it is logged in");
    }
    world.run(Duration::from_secs(1), true);
    let redirect = Redirect { to: host_at(B), within: Duration::from_millis(500) };
    world.hosts[A].drain(world.now, redirect);
    world.is_thinking = false;
    world.run(Duration::from_secs(4), true);
    assert_eq!(world.sessions[B].len(), CLIENTS);
    for client in &mut world.clients {
        let resumed_at = client.latest(EventKind::Resumed).at;
        assert!(client.latest(EventKind::ReauthStarted).at < resumed_at);
        assert!(client.latest(EventKind::Reauthenticated).at > resumed_at);
        let login = client.dialer.config().login.clone().expect("it has one");
        client.dialer.login_again(world.now, login).expect("none is under way");
    }
}

#[test]
fn who_is_sent_where_nobody_answers_comes_back_to_where_it_was() {
    let mut world = World::new(1, 20);
    world.run(Duration::from_secs(3), false);
    let nowhere = SocketAddr::from(([10, 0, 0, 9], 7_777));
    world.hosts[A].drain(world.now, Redirect { to: nowhere, within: Duration::from_millis(100) });
    world.run(Duration::from_secs(4), false);
    assert!(world.hosts[A].sessions().is_empty());
    world.hosts[A] = host(&world.key, &mut world.rng);
    world.run(Duration::from_secs(30), false);
    assert_eq!(world.hosts[A].sessions().count(State::LoggedIn), CLIENTS);
}

#[test]
fn a_host_that_drains_waits_for_nobody_who_falls_silent_meanwhile() {
    let mut world = World::new(2, 0);
    world.run(Duration::from_secs(2), false);
    world.run(Duration::from_secs(1), true);
    world.loss_permille = 1_000;
    // Half a second less than a silence may take.
    world.run(Duration::from_millis(5_500), false);
    assert_eq!(world.hosts[A].sessions().count(State::LoggedIn), CLIENTS);
    world.hosts[A].drain(world.now, Redirect { to: host_at(B), within: Duration::ZERO });
    world.run(Duration::from_secs(2), false);
    assert!(world.hosts[A].sessions().is_empty());
}
