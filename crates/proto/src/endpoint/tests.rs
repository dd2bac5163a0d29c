//! Hosts and clients and what strangers do to them, on virtual time.

use std::collections::BTreeMap;

use moorline_link::{Ecn, RefusalCode};

use super::*;
use crate::recovery::ecn::EcnState;
use crate::wire::CLIENT_HELLO_LEN_MIN;

mod attacks;
mod continuity;
mod copied;
mod sizes;

const RTT_HALF: Duration = Duration::from_millis(25);

fn secret(byte: u8) -> Secret {
    Secret::new([byte; 32])
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 4_000))
}

const HOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 9_000);

/// A datagram on its way, and where it says that it comes from.
#[derive(Clone, Debug)]
struct OnWay {
    at: Time,
    from: SocketAddr,
    to: SocketAddr,
    ecn: Ecn,
    datagram: Vec<u8>,
}

/// A host, clients, and all that they sent.
struct World {
    now: Time,
    host: Endpoint,
    clients: BTreeMap<SocketAddr, Endpoint>,
    on_way: VecDeque<OnWay>,
    record: Vec<OnWay>,
    host_events: Vec<LinkEvent>,
    client_events: Vec<LinkEvent>,
    /// What the host's session layer says to those who ask.
    refusal: Option<Refusal>,
    is_cut: bool,
}

fn config() -> EndpointConfig {
    EndpointConfig::default()
}

fn host_key() -> HostKey {
    HostKey::new(secret(1))
}

impl World {
    fn new(config: EndpointConfig) -> Self {
        let host = Endpoint::host(config, &host_key(), secret(2)).expect("it can work");
        Self {
            now: Time::from_millis(1_000),
            host,
            clients: BTreeMap::new(),
            on_way: VecDeque::new(),
            record: Vec::new(),
            host_events: Vec::new(),
            client_events: Vec::new(),
            refusal: None,
            is_cut: false,
        }
    }

    fn client(&mut self, number: u16, config: EndpointConfig) -> LinkId {
        self.client_of(number, config, host_key().public())
    }

    fn client_of(&mut self, number: u16, config: EndpointConfig, host: HostPublicKey) -> LinkId {
        let entropy = Secret::new([number as u8 ^ (number >> 8) as u8 ^ 0x80; 32]);
        let mut client = Endpoint::client(config, host, entropy).expect("it can work");
        let link = client.dial(self.now, HOST, None).expect("a client dials");
        self.clients.insert(address(number), client);
        link
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step();
            self.now = self.now + Duration::from_millis(1);
        }
    }

    fn step(&mut self) {
        while self.on_way.front().is_some_and(|first| first.at <= self.now) {
            let Some(OnWay { from, to, ecn, mut datagram, .. }) = self.on_way.pop_front() else {
                break;
            };
            let endpoint =
                if to == HOST { Some(&mut self.host) } else { self.clients.get_mut(&to) };
            if let Some(endpoint) = endpoint {
                endpoint.handle_in_place(self.now, Port(0), Origin { from, ecn }, &mut datagram);
            }
        }
        self.host.handle_timeout(self.now);
        while let Some(event) = self.host.poll_event() {
            if let LinkEvent::Asked { link, .. } = event {
                match &self.refusal {
                    Some(refusal) => self.host.refuse(self.now, link, refusal),
                    None => self.host.accept(self.now, link),
                }
            }
            self.host_events.push(event);
        }
        let mut out = Vec::new();
        while let Some(transmit) = self.host.poll_transmit(self.now, &mut out) {
            self.carry(HOST, transmit, &out);
        }
        let mut clients = std::mem::take(&mut self.clients);
        for (from, client) in &mut clients {
            client.handle_timeout(self.now);
            while let Some(event) = client.poll_event() {
                if let LinkEvent::Up { link, resumes: None, .. } = event {
                    let login = Control::Login { identity: b"ada".to_vec(), payload: Vec::new() };
                    client.control(self.now, link, &login).expect("it is up");
                }
                self.client_events.push(event);
            }
            while let Some(transmit) = client.poll_transmit(self.now, &mut out) {
                self.carry(*from, transmit, &out);
            }
        }
        self.clients = clients;
    }

    fn carry(&mut self, from: SocketAddr, sent: Transmit, datagram: &[u8]) {
        let Transmit { to, ecn, .. } = sent;
        let on_way = OnWay { at: self.now + RTT_HALF, from, to, ecn, datagram: datagram.to_vec() };
        self.record.push(on_way.clone());
        if !self.is_cut {
            self.on_way.push_back(on_way);
        }
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.host.counters();
        counters.iter().find(|counter| counter.name == name).expect("a counter").value
    }

    fn ups(&self) -> usize {
        self.host_events.iter().filter(|event| matches!(event, LinkEvent::Up { .. })).count()
    }

    fn asked(&self) -> usize {
        self.host_events.iter().filter(|event| matches!(event, LinkEvent::Asked { .. })).count()
    }

    fn client_loss(&self) -> Option<&Reason> {
        self.client_events.iter().rev().find_map(|event| match event {
            LinkEvent::Lost { reason, .. } => Some(reason),
            _ => None,
        })
    }

    /// The hello that a client sent first.
    fn first_hello(&self) -> OnWay {
        self.record.iter().find(|sent| sent.to == HOST).expect("a hello").clone()
    }
}

#[test]
fn a_client_is_up_after_one_round_trip_and_its_login_arrives_with_its_first_packet() {
    let mut world = World::new(config());
    let link = world.client(1, config());
    world.run(Duration::from_millis(52));
    let up = LinkEvent::Up { link, address: HOST, resumes: None };
    assert_eq!(world.client_events, [up]);
    world.run(Duration::from_millis(28));
    assert!(matches!(
        world.host_events.as_slice(),
        [LinkEvent::Asked { .. }, LinkEvent::Up { .. }, LinkEvent::Control { .. }]
    ));
    let [hello, answer, ..] = world.record.as_slice() else { panic!("two datagrams") };
    assert_eq!(hello.datagram.len(), CLIENT_HELLO_LEN_MIN);
    assert!(answer.datagram.len() < 256, "{}", answer.datagram.len());
}

#[test]
fn what_is_told_of_ahead_names_its_link_one_later_and_garbage_none() {
    let mut world = World::new(config());
    world.client(1, config());
    world.run(Duration::from_millis(80));
    let to_host = |sent: &&OnWay| sent.to == HOST && sent.datagram.len() < CLIENT_HELLO_LEN_MIN;
    let packet = world.record.iter().find(to_host).expect("a login").datagram.clone();
    let link = world.host_events.first().expect("it asked").link();
    assert_eq!(world.host.expect(&packet), None);
    for garbage in [&[][..], &[0; 3], &[0xff; 40], &[0x40; 1_452]] {
        world.host.expect(garbage);
    }
    world.host.expect(&packet);
    assert_eq!(world.host.expect(&[]), Some(link));
    assert_eq!(world.host.expect(&[]), None);
    assert!(world.host.poll_event().is_none(), "nothing comes of it");
}

#[test]
fn what_begins_a_link_is_never_marked_and_what_follows_the_first_acknowledgement_may_be() {
    for ecn in [true, false] {
        let config = || EndpointConfig { hello_rate_max: 0, ecn, ..config() };
        let mut world = World::new(config());
        let link = world.client(1, config());
        world.run(Duration::from_millis(500));
        // The hello, its retry, the hello again, the answer, and the login.
        let first = world.record.iter().take(5);
        assert!(first.map(|sent| sent.ecn).all(|ecn| ecn == Ecn::NotCapable));
        let now = world.now;
        for number in 0..20 {
            let client = world.clients.get_mut(&address(1)).expect("a client");
            let beat = Control::Beat { beat: number };
            client.control(now, link, &beat).expect("it is up");
            world.run(Duration::from_millis(20));
        }
        let state = world.clients[&address(1)].native_stats(link).expect("up").sending.ecn.state;
        let expected = if ecn { EcnState::Capable } else { EcnState::Off };
        assert_eq!(state, expected);
        assert_eq!(world.record.iter().any(|sent| sent.ecn == Ecn::Capable), ecn);
        // A packet of nobody's link is answered with a reset.
        world.host.links = Slots::new(&mut Rng::new(5));
        let (client, before) = (world.clients.get_mut(&address(1)), world.record.len());
        client
            .expect("a client")
            .control(world.now, link, &Control::Beat { beat: 99 })
            .expect("up");
        world.run(Duration::from_millis(30));
        let reset = world.record.iter().skip(before).find(|sent| sent.from == HOST);
        assert_eq!(reset.map(|sent| sent.ecn), Some(Ecn::NotCapable));
    }
}

#[test]
fn a_client_that_is_told_no_hears_why() {
    let mut world = World::new(config());
    let refusal = Refusal::new(RefusalCode::Full, "the host is full");
    let refusal = refusal.retry_after(Duration::from_secs(5));
    world.refusal = Some(refusal.clone());
    world.client(1, config());
    world.run(Duration::from_millis(100));
    assert_eq!(world.client_loss(), Some(&Reason::Refused(refusal)));
    assert!(world.host.links.is_empty() && world.clients[&address(1)].links.is_empty());
}

#[test]
fn another_application_is_told_no_and_the_key_of_another_host_gets_no_answer() {
    let mut world = World::new(EndpointConfig { application: 5, ..config() });
    world.client(1, EndpointConfig { application: 6, ..config() });
    world.run(Duration::from_millis(100));
    let Some(Reason::Refused(refusal)) = world.client_loss() else { panic!("a no") };
    assert_eq!(refusal.code, RefusalCode::WrongVersion);
    assert_eq!(world.asked(), 0, "the session layer is not asked");

    let mut world = World::new(config());
    world.client_of(1, config(), HostKey::new(secret(7)).public());
    world.run(Duration::from_secs(2));
    assert!(world.record.iter().all(|sent| sent.to == HOST), "no answer");
    assert_eq!(world.counter("native_precheck_failed"), world.record.len() as u64);
}

#[derive(Debug)]
struct Letters;

impl Admission for Letters {
    fn admit(&self, token: &[u8], _from: SocketAddr) -> Admitted {
        match token {
            b"friend" => Admitted::Yes { secret: secret(8) },
            b"enemy" => Admitted::No {
                secret: secret(8),
                refusal: Refusal::new(RefusalCode::Banned, "not you"),
            },
            _ => Admitted::Unknown,
        }
    }
}

#[test]
fn a_token_lets_in_who_knows_what_it_stands_for() {
    let hosting = || EndpointConfig { admission: Some(std::sync::Arc::new(Letters)), ..config() };
    let asking = |bytes: &[u8], byte| {
        let token = Token { bytes: bytes.to_vec(), secret: secret(byte) };
        EndpointConfig { token: Some(token), ..config() }
    };
    let run = |config| {
        let mut world = World::new(hosting());
        world.client(1, config);
        world.run(Duration::from_millis(400));
        world
    };
    assert_eq!(run(asking(b"friend", 8)).ups(), 1);
    let stolen = run(asking(b"friend", 9));
    assert_eq!((stolen.ups(), stolen.asked()), (0, 0));
    assert!(stolen.counter("native_hello_forged") > 0);
    let banned = run(asking(b"enemy", 8));
    let refusal = Refusal::new(RefusalCode::Banned, "not you");
    assert_eq!(banned.client_loss(), Some(&Reason::Refused(refusal)));
    assert_eq!(banned.asked(), 0);
    let unknown = run(asking(b"other", 8));
    assert!(unknown.counter("native_unknown_token") > 0);
    assert!(unknown.record.iter().all(|sent| sent.to == HOST));
    let none = run(config());
    let Some(Reason::Refused(refusal)) = none.client_loss() else { panic!("a no") };
    assert_eq!(refusal.code, RefusalCode::BadCredentials);
}

#[test]
fn a_close_frees_both_sides_and_an_abandoned_link_is_told_by_a_reset() {
    let mut world = World::new(config());
    let link = world.client(1, config());
    world.run(Duration::from_millis(200));
    let client = world.clients.get_mut(&address(1)).expect("a client");
    client.close(world.now, link, None);
    world.run(Duration::from_secs(3));
    assert!(matches!(world.host_events.last(), Some(LinkEvent::Lost { reason, .. })
        if *reason == Reason::PeerLeft));
    eprintln!("{:?} {:?}", world.host.links, world.clients[&address(1)].links);
    assert!(world.host.links.is_empty() && world.clients[&address(1)].links.is_empty());

    world.client(2, config());
    world.run(Duration::from_millis(200));
    let (key, _) = world.host.links.iter().next().expect("a link");
    world.host.abandon(world.now, LinkId(key));
    world.run(Duration::from_secs(11));
    assert_eq!(world.client_loss(), Some(&Reason::Forgotten), "with the next keep-alive");
    assert_eq!(world.host.wheel.len(), 0);
}

#[test]
fn a_client_that_leaves_before_its_login_is_answered_takes_it_along() {
    let mut world = World::new(config());
    let link = world.client(1, config());
    world.run(RTT_HALF + RTT_HALF / 2);
    // The answer is on its way; what the client says to it is lost, its login first.
    world.is_cut = true;
    world.run(RTT_HALF * 2);
    assert!(world.client_events.iter().any(|event| matches!(event, LinkEvent::Up { .. })));
    let now = world.now;
    world.clients.get_mut(&address(1)).expect("it is there").close(now, link, None);
    world.is_cut = false;
    world.run(Duration::from_secs(10));
    let is_login = |event: &LinkEvent| matches!(event, LinkEvent::Control { .. });
    assert!(!world.host_events.iter().any(is_login), "{:?}", world.host_events);
}

#[test]
fn a_lossy_beginning_only_takes_longer() {
    let mut world = World::new(config());
    world.is_cut = true;
    world.client(1, config());
    world.run(Duration::from_millis(1_000));
    let hellos = world.record.len();
    assert!((5..=7).contains(&hellos), "{hellos} hellos in a second");
    world.is_cut = false;
    world.run(Duration::from_millis(1_000));
    assert_eq!((world.ups(), world.asked()), (1, 1));
}
