//! Hosts and clients and what strangers do to them, on virtual time.

use std::collections::BTreeMap;

use moorline_link::RefusalCode;

use super::*;
use crate::crypto::CookieKeys;
use crate::wire::{CLIENT_HELLO_LEN_MIN, Retry, VERSION};

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
        let link = client.dial(self.now, HOST).expect("a client dials");
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
            let Some(OnWay { from, to, datagram, .. }) = self.on_way.pop_front() else { break };
            let endpoint =
                if to == HOST { Some(&mut self.host) } else { self.clients.get_mut(&to) };
            if let Some(endpoint) = endpoint {
                endpoint.handle_datagram(self.now, Port(0), from, &datagram);
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
            self.carry(HOST, transmit.to, &out);
        }
        let mut clients = std::mem::take(&mut self.clients);
        for (from, client) in &mut clients {
            client.handle_timeout(self.now);
            while let Some(event) = client.poll_event() {
                if let LinkEvent::Up { link, .. } = event {
                    let login = Control::Login { identity: b"ada".to_vec(), payload: Vec::new() };
                    client.control(self.now, link, &login).expect("it is up");
                }
                self.client_events.push(event);
            }
            while let Some(transmit) = client.poll_transmit(self.now, &mut out) {
                self.carry(*from, transmit.to, &out);
            }
        }
        self.clients = clients;
    }

    fn carry(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let on_way = OnWay { at: self.now + RTT_HALF, from, to, datagram: datagram.to_vec() };
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
    let up = LinkEvent::Up { link, address: HOST };
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

/// A loaded host keeps nothing and computes nothing with keys for who does not show an address.
#[test]
fn a1_a_flood_from_forged_addresses_makes_no_state_and_an_honest_client_gets_in() {
    let mut world = World::new(EndpointConfig { hello_rate_max: 0, ..config() });
    world.client(1, config());
    world.step();
    let hello = world.first_hello().datagram;
    let heap = world.host.links.len();
    for number in 0..20_000_u32 {
        let from = SocketAddr::from((number.to_be_bytes(), 7));
        world.host.handle_datagram(world.now, Port(0), from, &hello);
        let mut out = Vec::new();
        let answer = world.host.poll_transmit(world.now, &mut out);
        assert!(answer.is_some_and(|transmit| transmit.to == from));
        assert_eq!(out.len(), Retry::LEN);
    }
    assert_eq!((world.host.links.len(), world.asked()), (heap, 0));
    world.run(Duration::from_millis(160));
    assert_eq!(world.ups(), 1, "two round trips");
    // A cookie of another secret, address or time is as good as none.
    let stale =
        CookieKeys::new(world.now, &secret(77)).make(world.now, address(1), HelloId([1; 8]));
    assert_eq!(stale.len(), crate::wire::COOKIE_LEN);
}

#[test]
fn a2_no_answer_is_longer_than_what_it_answers_whatever_comes() {
    let mut world = World::new(config());
    world.client(1, config());
    world.run(Duration::from_millis(200));
    let recorded: Vec<_> = world.record.clone();
    let mut host = Endpoint::host(config(), &host_key(), secret(9)).expect("it can work");
    let mut out = Vec::new();
    for sent in recorded.iter().filter(|sent| sent.to == HOST) {
        for len in 0..=sent.datagram.len() {
            host.handle_datagram(world.now, Port(0), sent.from, &sent.datagram[..len]);
            while let Some(event) = host.poll_event() {
                if let LinkEvent::Asked { link, .. } = event {
                    host.accept(world.now, link);
                }
            }
            let mut answered = 0;
            while host.poll_transmit(world.now, &mut out).is_some() {
                answered += out.len();
            }
            assert!(answered <= len, "{answered} for {len}");
            world.now = world.now + Duration::from_millis(2);
        }
    }
}

#[test]
fn a6_all_recorded_handshakes_repeated_make_no_link() {
    let mut world = World::new(EndpointConfig { hello_rate_max: 0, ..config() });
    for number in 0..10 {
        world.client(number, config());
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.ups(), 10);
    let recorded: Vec<_> = world.record.iter().filter(|sent| sent.to == HOST).cloned().collect();
    let restarted = Endpoint::host(config(), &host_key(), secret(99)).expect("it can work");
    let living = std::mem::replace(&mut world.host, restarted);
    for host in [&mut world.host, &mut { living }] {
        let mut now = world.now;
        for sent in recorded.iter().chain(recorded.iter().rev()) {
            host.handle_datagram(now, Port(0), sent.from, &sent.datagram);
            while let Some(event) = host.poll_event() {
                match event {
                    LinkEvent::Asked { link, .. } => host.accept(now, link),
                    other => panic!("nothing comes of it: {other:?}"),
                }
            }
            now = now + Duration::from_millis(1);
        }
        host.handle_timeout(now + Duration::from_secs(6));
        assert!(
            host.links.iter().all(|(_, entry)| entry.link().is_some_and(|it| it.is_confirmed()))
        );
    }
}

#[test]
fn a7_links_whose_client_does_not_answer_are_few_and_gone_in_time() {
    let limits = EndpointConfig {
        half_open_max: 16,
        half_open_per_address_max: 4,
        hello_rate_max: u32::MAX,
        ..config()
    };
    let mut world = World::new(limits);
    world.is_cut = true;
    for number in 0..600 {
        world.client(number, config());
    }
    world.step();
    let hellos: Vec<_> = world.record.iter().filter(|sent| sent.to == HOST).cloned().collect();
    for (number, sent) in hellos.iter().enumerate() {
        // Sixteen of them from each address.
        let from = SocketAddr::from(([10, 9, 0, (number / 16) as u8], number as u16));
        world.host.handle_datagram(world.now, Port(0), from, &sent.datagram);
        while world.host.poll_event().is_some() {}
        assert!(world.host.links.len() <= 16);
    }
    assert!(world.counter("native_limit_half_open") + world.counter("native_retries") > 400);
    let late = world.now + Duration::from_millis(5_200);
    world.host.handle_timeout(late);
    assert!(world.host.links.is_empty(), "gone at the deadline");
}

/// Every datagram of one and of two bytes, and every packet cut short and with each byte changed,
/// to a host with a link: the link's next packets arrive as if nothing had been.
#[test]
fn a21_no_short_cut_or_changed_datagram_changes_a_link() {
    let mut world = World::new(config());
    world.client(1, config());
    world.run(Duration::from_millis(200));
    let from = address(1);
    let before = format!("{:?}", world.host.links);
    let mut bytes: Vec<Vec<u8>> = vec![vec![]];
    for first in 0..=u8::MAX {
        bytes.push(vec![first]);
        bytes.extend((0..=u8::MAX).map(|second| vec![first, second]));
    }
    let recorded: Vec<_> = world.record.iter().filter(|sent| sent.to == HOST).cloned().collect();
    for sent in &recorded {
        let datagram = &sent.datagram;
        bytes.extend((0..datagram.len().min(300)).map(|len| datagram[..len].to_vec()));
        for at in 0..datagram.len().min(300) {
            for flip in [1, 0x80, 0xff] {
                let mut changed = datagram.clone();
                changed[at] ^= flip;
                bytes.push(changed);
            }
        }
    }
    for datagram in &bytes {
        world.host.handle_datagram(world.now, Port(0), from, datagram);
        while world.host.poll_transmit(world.now, &mut Vec::new()).is_some() {}
    }
    assert!(world.host.poll_event().is_none());
    // What is forged is counted, and nothing else.
    let after = format!("{:?}", world.host.links);
    let (head, tail) = after.split_once("forged: ").expect("a count");
    let tail = tail.trim_start_matches(|it: char| it.is_ascii_digit());
    assert_eq!(format!("{head}forged: 0{tail}"), before);
}

#[test]
fn a19_a_reset_that_is_not_the_hosts_changes_nothing_and_the_hosts_ends_the_link_at_once() {
    let mut world = World::new(config());
    world.client(1, config());
    world.run(Duration::from_millis(200));
    let client = world.clients.get_mut(&address(1)).expect("a client");
    for number in 0..2_000_u32 {
        let mut forged = vec![0x40; 40];
        forged[20..24].copy_from_slice(&number.to_be_bytes());
        client.handle_datagram(world.now, Port(0), HOST, &forged);
    }
    assert!(client.poll_event().is_none());
    world.host = Endpoint::host(config(), &host_key(), secret(50)).expect("it can work");
    world.host.handle_timeout(world.now);
    let client = world.clients.get_mut(&address(1)).expect("a client");
    let (link, ..) = client.links.iter().next().expect("a link");
    client.control(world.now, LinkId(link), &Control::Beat { beat: 1 }).expect("up");
    world.run(Duration::from_millis(60));
    assert_eq!(world.client_loss(), Some(&Reason::Forgotten));
}

#[test]
fn a36_a_list_of_versions_is_believed_only_when_the_host_stays_silent() {
    let list = |id, versions: &[u32]| {
        let mut out = Vec::new();
        crate::wire::VersionList::emit(&mut out, id, versions);
        out
    };
    for (versions, is_believed) in [(vec![VERSION + 1], true), (vec![VERSION, 9], false)] {
        let mut world = World::new(config());
        world.is_cut = true;
        world.client(1, config());
        world.step();
        let hello = world.first_hello().datagram;
        let id = HelloId(*hello[5..].first_chunk().expect("an id"));
        let client = world.clients.get_mut(&address(1)).expect("a client");
        client.handle_datagram(world.now, Port(0), HOST, &list(HelloId([0; 8]), &versions));
        client.handle_datagram(world.now, Port(0), HOST, &list(id, &versions));
        world.run(Duration::from_millis(2_000));
        assert_eq!(world.client_loss().is_some(), is_believed);
    }
    // The true answer makes the list void.
    let mut world = World::new(config());
    world.client(1, config());
    world.step();
    let hello = world.first_hello().datagram;
    let id = HelloId(*hello[5..].first_chunk().expect("an id"));
    let client = world.clients.get_mut(&address(1)).expect("a client");
    client.handle_datagram(world.now, Port(0), HOST, &list(id, &[VERSION + 1]));
    world.run(Duration::from_secs(2));
    assert_eq!((world.ups(), world.client_loss()), (1, None));

    // A host names its versions to who asks in another.
    let mut other = hello;
    other[4] ^= 0x40;
    world.host.handle_datagram(world.now, Port(0), address(1), &other);
    let mut out = Vec::new();
    assert!(world.host.poll_transmit(world.now, &mut out).is_some());
    assert_eq!(out, list(id, &[VERSION]));
}

/// Two hosts that are wired to each other by a forged address fall silent.
#[test]
fn a3_nothing_that_a_host_says_keeps_two_hosts_talking() {
    let mut world = World::new(EndpointConfig { hello_rate_max: 0, ..config() });
    world.client(1, config());
    world.run(Duration::from_millis(300));
    let said: Vec<_> = world.record.iter().filter(|sent| sent.from == HOST).cloned().collect();
    let host = |byte| Endpoint::host(config(), &host_key(), secret(byte)).expect("it can work");
    let (mut one, mut two) = (host(3), host(4));
    for sent in said {
        let mut datagram = sent.datagram;
        let mut rounds = 0;
        loop {
            world.now = world.now + Duration::from_millis(5);
            let speaker = if rounds % 2 == 0 { &mut one } else { &mut two };
            speaker.handle_datagram(world.now, Port(0), HOST, &datagram);
            if speaker.poll_transmit(world.now, &mut datagram).is_none() {
                break;
            }
            rounds += 1;
            assert!(rounds < 20);
        }
    }
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
