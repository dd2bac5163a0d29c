//! A host whose address is served by several endpoints, each with links of its own: whoever arrives
//! at another one than before goes on where they were.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::transport::Counter;
use moorline_link::{Delivery, Lane, Outgoing, Port, Time, Transport};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{Endpoint, EndpointConfig, Sibling};
use moorline_session::{
    Dialer, DialerConfig, DialerEvent, EventKind, Host, HostConfig, HostEvent, Login, Redirect,
    SessionId, State,
};

const SIBLINGS: u16 = 3;
const HOSTS: [([u8; 4], u16); 2] = [([10, 0, 0, 1], 7_777), ([10, 0, 0, 2], 7_777)];
const KIND: u16 = 1;
/// Longer than the silence that is borne.
const SILENCE: Duration = Duration::from_secs(7);

/// The system leads a client's datagrams to one of the sockets by where they come from.
fn socket_of(at: SocketAddr) -> u8 {
    (at.port() % SIBLINGS) as u8
}

struct User {
    dialer: Dialer<Endpoint>,
    at: SocketAddr,
    is_cut: bool,
    told: Vec<EventKind>,
    heard: Vec<u8>,
}

struct World {
    now: Time,
    hosts: Vec<Host<Endpoint>>,
    users: Vec<User>,
    heard: Vec<u8>,
    /// Of one user, what the host is sent a second time.
    repeats: Vec<(SocketAddr, Vec<u8>)>,
    is_recording: bool,
}

fn secret(byte: u8) -> Secret {
    Secret::new([byte; Secret::LEN])
}

fn delivery() -> Delivery {
    Delivery::new().with(KIND, Lane::ReliableOrdered)
}

fn host(number: u8, native: &EndpointConfig, key: &HostKey) -> Host<Endpoint> {
    let family = Sibling::family(SIBLINGS as u8, secret(90 + number));
    let endpoint = |(sibling, entropy): (Sibling, u8)| {
        let config = EndpointConfig { sibling: Some(sibling), ..native.clone() };
        Endpoint::host(config, key, secret(entropy + 10 * number)).expect("it can work")
    };
    let transports = family.into_iter().zip(1..).map(endpoint).collect();
    let config = HostConfig { delivery: delivery(), ..HostConfig::default() };
    Host::new(config, transports, number.into()).expect("it can work")
}

impl World {
    fn new(users: u8, native: &EndpointConfig) -> Self {
        let now = Time::from_millis(1_000);
        let key = HostKey::new(secret(80));
        let hosts = (0..2).map(|number| host(number, native, &key)).collect();
        let users = (0..users).map(|number| {
            let login = Login { identity: vec![b'a' + number], payload: Vec::new() };
            let config = DialerConfig { login: Some(login), ..DialerConfig::default() };
            let config = DialerConfig { delivery: delivery(), ..config };
            let entropy = secret(120 + number);
            let endpoint = Endpoint::client(EndpointConfig::default(), key.public(), entropy);
            let endpoint = endpoint.expect("it can work");
            let mut dialer = Dialer::new(now, config, endpoint, 3).expect("it can work");
            dialer.connect(now, HOSTS[0].into()).expect("it never was anywhere");
            let at = SocketAddr::from(([10, 0, 1, number], 5_000 + u16::from(number)));
            User { dialer, at, is_cut: false, told: Vec::new(), heard: Vec::new() }
        });
        let (users, heard, repeats) = (users.collect(), Vec::new(), Vec::new());
        let mut world = Self { now, hosts, users, heard, repeats, is_recording: false };
        world.run(Duration::from_secs(2));
        assert_eq!(world.hosts[0].sessions().count(State::LoggedIn), world.users.len());
        world.users.iter_mut().for_each(|user| user.told.clear());
        world
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + Duration::from_millis(5);
            self.turn();
        }
    }

    fn turn(&mut self) {
        let (now, mut datagram) = (self.now, Vec::new());
        for user in &mut self.users {
            user.dialer.handle_timeout(now);
            while let Some(to) = user.dialer.poll_transmit(now, &mut datagram) {
                let host = usize::from(to.to == HOSTS[1].into());
                if !user.is_cut {
                    let way = (socket_of(user.at), Port(0));
                    self.hosts[host].handle_datagram(now, way, user.at, &datagram);
                    if self.is_recording && host == 1 {
                        self.repeats.push((user.at, datagram.clone()));
                    }
                }
            }
        }
        for host in 0..self.hosts.len() {
            self.turn_host(host);
        }
        for user in &mut self.users {
            while let Some(event) = user.dialer.poll_event() {
                match event {
                    DialerEvent::Session(event) => user.told.push(event.kind),
                    DialerEvent::Message { payload, .. } => user.heard.push(payload[0]),
                    _ => {}
                }
            }
        }
    }

    fn turn_host(&mut self, number: usize) {
        let (now, mut datagram) = (self.now, Vec::new());
        let host = &mut self.hosts[number];
        for sibling in 0..usize::from(SIBLINGS) {
            let siblings = host.transports_mut();
            while let Some(mut passed) = siblings[sibling].poll_passed_on() {
                let other = &mut siblings[usize::from(passed.to)];
                other.handle_passed_on(now, passed.from, &mut passed.datagram);
            }
        }
        host.handle_timeout(now);
        while let Some(event) = host.poll_event() {
            match event {
                HostEvent::Login { session, .. } => {
                    host.accept_login(now, session, None, Vec::new()).expect("it waits");
                }
                HostEvent::Message { payload, .. } => self.heard.push(payload[0]),
                _ => {}
            }
        }
        while let Some((_, to)) = host.poll_transmit(now, &mut datagram) {
            let user = self.users.iter_mut().find(|user| user.at == to.to && !user.is_cut);
            if let Some(user) = user {
                user.dialer.handle_datagram(now, Port(0), HOSTS[number].into(), &datagram);
            }
        }
    }

    fn session(&self, host: usize) -> SessionId {
        self.hosts[host].sessions().iter().next().expect("it is there").id()
    }

    /// Both sides send a number.
    fn talk(&mut self, host: usize, number: u8) {
        let (now, session, payload) = (self.now, self.session(host), [number]);
        let lane = Lane::ReliableOrdered;
        let message = Outgoing { kind: KIND, lane, key: 0, payload: &payload, notice: None };
        self.hosts[host].send(now, session, message).expect("there is room");
        self.users[0].dialer.send(now, message).expect("there is room");
    }

    fn counter(&self, host: usize, name: &str) -> u64 {
        let counters = self.hosts[host].transports().iter().flat_map(Transport::counters);
        let values = counters.filter(|Counter { name: own, .. }| *own == name);
        values.map(|Counter { value, .. }| value).sum()
    }
}

#[test]
fn users_are_spread_and_all_get_in() {
    let world = World::new(12, &EndpointConfig::default());
    let mut links = [0; SIBLINGS as usize];
    for session in world.hosts[0].sessions().iter() {
        links[usize::from(session.link().expect("a link").transport)] += 1;
    }
    assert_eq!(links, [4; SIBLINGS as usize]);
    assert_eq!(world.counter(0, "native_passed_on"), 0);
}

#[test]
fn whose_address_changes_goes_on_in_the_same_link() {
    let mut world = World::new(1, &EndpointConfig::default());
    for number in 0..9 {
        let port = world.users[0].at.port();
        world.users[0].at.set_port(port + 1);
        world.talk(0, number);
        world.run(Duration::from_millis(300));
    }
    let expected: Vec<u8> = (0..9).collect();
    assert_eq!((&world.heard, &world.users[0].heard), (&expected, &expected));
    let is_other =
        |kind: &EventKind| !matches!(kind, EventKind::HeartbeatSent | EventKind::HeartbeatReceived);
    assert!(!world.users[0].told.iter().any(is_other), "{:?}", world.users[0].told);
    assert!(world.counter(0, "native_passed_on") > 0);
    assert_eq!(world.counter(0, "native_stray"), 0);
}

#[test]
fn who_comes_back_to_another_socket_resumes_without_a_gap() {
    let mut world = World::new(1, &EndpointConfig::default());
    for number in 0..6 {
        let port = world.users[0].at.port();
        world.users[0].is_cut = true;
        world.talk(0, number);
        world.run(SILENCE);
        world.users[0].at.set_port(port + 1);
        world.users[0].is_cut = false;
        world.run(Duration::from_secs(15));
    }
    let expected: Vec<u8> = (0..6).collect();
    assert_eq!((&world.heard, &world.users[0].heard), (&expected, &expected));
    let told = &world.users[0].told;
    assert_eq!(told.iter().filter(|kind| **kind == EventKind::Resumed).count(), 6, "{told:?}");
    assert!(!told.contains(&EventKind::LoginStarted), "{told:?}");
    assert_eq!(world.hosts[0].counters().resumed, 6);
}

#[test]
fn a15_a_pass_is_of_use_once_whichever_socket_it_comes_to() {
    let mut world = World::new(1, &EndpointConfig::default());
    world.is_recording = true;
    let redirect = Redirect { to: HOSTS[1].into(), within: Duration::ZERO };
    let now = world.now;
    world.hosts[0].drain(now, redirect);
    world.run(Duration::from_secs(2));
    world.talk(1, 5);
    world.run(Duration::from_secs(1));
    assert_eq!(world.hosts[1].counters().taken_over, 1);
    assert_eq!((&world.heard, &world.users[0].heard), (&vec![5], &vec![5]));
    // All that the user sent comes again, to every socket.
    for (from, datagram) in world.repeats.clone() {
        for sibling in 0..SIBLINGS as u8 {
            let now = world.now;
            world.hosts[1].handle_datagram(now, (sibling, Port(0)), from, &datagram);
            world.turn();
        }
    }
    world.run(SILENCE);
    assert_eq!(world.hosts[1].counters().taken_over, 1);
    assert_eq!(world.hosts[1].sessions().count(State::LoggedIn), 1);
    assert_eq!(world.heard, [5]);
}
