//! Two links and a network between them, on virtual time.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use moorline_link::rng::Rng;
use moorline_link::slots::SlotKey;
use moorline_link::{Ecn, Origin, Refusal, RefusalCode};

use super::*;
use crate::crypto::{LinkSecrets, Secret};
use crate::wire::{Datagram, Direction, Suite};

mod ecn;
mod promises;
mod resting;

use promises::len_of;

/// What the network does to a datagram.
#[derive(Clone, Copy)]
struct Weather {
    delay: Duration,
    jitter: Duration,
    loss_permille: u64,
    twice_permille: u64,
    damage_permille: u64,
    /// Longer datagrams do not get through.
    mtu: usize,
    routers: Routers,
}

/// What routers do to datagrams that they may mark.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Routers {
    /// Nothing.
    Idle,
    /// They mark each of them.
    Mark,
    /// They mark one in so many.
    MarkSome(u64),
    /// They drop them.
    Drop,
    /// They take the permission to mark away.
    Bleach,
}

impl Weather {
    const FAIR: Self = Self {
        delay: Duration::from_millis(25),
        jitter: Duration::ZERO,
        loss_permille: 0,
        twice_permille: 0,
        damage_permille: 0,
        mtu: 1_500,
        routers: Routers::Idle,
    };
    const FOUL: Self = Self {
        jitter: Duration::from_millis(30),
        loss_permille: 100,
        twice_permille: 50,
        damage_permille: 50,
        ..Self::FAIR
    };
}

/// On its way: when it arrives, a number against ties, whether to the host, from where, its mark.
type OnWay = std::cmp::Reverse<(Time, u64, bool, SocketAddr, Vec<u8>, Ecn)>;

struct Pair {
    now: Time,
    rng: Rng,
    weather: Weather,
    links: [Link; 2],
    events: [VecDeque<LinkEvent>; 2],
    on_way: BinaryHeap<OnWay>,
    count: u64,
    entropy: Entropy,
    client_address: SocketAddr,
    bench: Workbench,
    ready: Ready,
    /// Datagrams and bytes from the client and from the host.
    carried: [Volume; 2],
    /// How many of them could be marked.
    markable: [u64; 2],
    lost: [Option<Reason>; 2],
}

const CLIENT: usize = 0;
const HOST: usize = 1;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn setup(side: usize, suite: Suite) -> Setup {
    let secret = |byte| Secret::new([byte; 32]);
    let secrets = LinkSecrets {
        to_host: secret(1),
        to_client: secret(2),
        resume: secret(3),
        exporter: secret(4),
    };
    let (keys, connection) = match side {
        CLIENT => (PacketKeys::client(suite, &secrets), Some(ConnectionId([7; 8]))),
        _ => (PacketKeys::host(suite, &secrets), None),
    };
    Setup {
        connection,
        keys,
        address: if side == CLIENT { address("10.0.0.1:1") } else { address("10.0.0.2:2") },
        seed: 5 + side as u64,
        repetition: Repetition::DEFAULT,
        datagram_len_max: 1_452,
        window: 512 * 1_024,
        limit: 512 * 1_024,
        bytes_max: 4 * 1_024 * 1_024,
        ack_delay_max: Duration::from_millis(20),
        key_packets_max: u32::MAX,
        peer_ack_delay_max: Duration::from_millis(20),
        idle: Duration::from_secs(30),
        keep_alive: Duration::from_secs(10),
        linger: Duration::from_secs(3),
        ecn: true,
    }
}

impl Pair {
    fn new(seed: u64, weather: Weather) -> Self {
        Self::with(seed, weather, |_| {})
    }

    fn with(seed: u64, weather: Weather, change: impl Fn(&mut Setup)) -> Self {
        let now = Time::from_millis(1_000);
        let links = [CLIENT, HOST].map(|side| {
            let mut setup = setup(side, Suite::ALL[(seed % 2) as usize]);
            change(&mut setup);
            Link::new(now, setup)
        });
        let mut pair = Self {
            now,
            rng: Rng::new(seed),
            weather,
            links,
            events: [VecDeque::new(), VecDeque::new()],
            on_way: BinaryHeap::new(),
            count: 0,
            entropy: Entropy::new(Secret::new([9; 32])),
            client_address: address("10.0.0.2:2"),
            bench: Workbench::default(),
            ready: Ready::default(),
            carried: [Volume::default(); 2],
            markable: [0; 2],
            lost: [None, None],
        };
        let login = Control::Login { identity: b"ada".to_vec(), payload: Vec::new() };
        pair.links[CLIENT].control(now, &login).expect("a client is up");
        pair.links[CLIENT].early = None;
        pair
    }

    fn push(&mut self, side: usize, place: Place, payload: &[u8]) -> Result<(), SendError> {
        let message = Push { place, kind: 7, payload: payload.into(), notice: None };
        self.links[side].send(self.now, message)
    }

    /// Goes on to the next thing that happens, at the latest at `until`.
    fn step(&mut self, until: Time) {
        for side in [CLIENT, HOST] {
            let mut out = Vec::new();
            loop {
                let sent = self.links[side].poll_transmit(self.now, &mut self.bench, &mut out);
                let Some(to) = sent.expect("not exhausted") else { break };
                self.carry(side, to, &out);
            }
        }
        let mut next = until;
        for link in &self.links {
            next = link.poll_timeout(self.now).map_or(next, |at| next.min(at));
        }
        if let Some(std::cmp::Reverse((at, ..))) = self.on_way.peek() {
            next = next.min(*at);
        }
        // As a wheel does: never early, and no two rounds within a millisecond.
        self.now = (self.now + Duration::from_millis(1)).min(until).max(next);
        while let Some(std::cmp::Reverse((at, ..))) = self.on_way.peek()
            && *at <= self.now
        {
            let Some(std::cmp::Reverse((_, _, to_host, from, datagram, ecn))) = self.on_way.pop()
            else {
                break;
            };
            self.arrive(to_host, Origin { from, ecn }, datagram);
        }
        for side in [CLIENT, HOST] {
            let reason = self.links[side].handle_timeout(self.now, Time::ZERO);
            self.lost[side] = self.lost[side].take().or(reason);
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step(until);
        }
    }

    fn carry(&mut self, side: usize, (to, ecn): (SocketAddr, Ecn), datagram: &[u8]) {
        self.carried[side].add(datagram.len());
        let Some(ecn) = self.routed(side, ecn) else { return };
        let weather = self.weather;
        let is_there = side == CLIENT || to == self.client_address;
        if datagram.len() > weather.mtu || !is_there {
            return;
        }
        let copies = 1 + u64::from(self.rng.below(1_000) < weather.twice_permille);
        for _ in 0..copies {
            if self.rng.below(1_000) < weather.loss_permille {
                continue;
            }
            let mut datagram = datagram.to_vec();
            if self.rng.below(1_000) < weather.damage_permille {
                let at = self.rng.below(datagram.len() as u64) as usize;
                datagram[at] ^= 1 << self.rng.below(8);
            }
            let at = self.now + weather.delay + self.rng.up_to(weather.jitter);
            self.count += 1;
            let from = if side == CLIENT { self.client_address } else { address("10.0.0.1:1") };
            self.on_way.push(std::cmp::Reverse((
                at,
                self.count,
                side == CLIENT,
                from,
                datagram,
                ecn,
            )));
        }
    }

    /// What routers make of a datagram's mark; none if they drop it.
    fn routed(&mut self, side: usize, ecn: Ecn) -> Option<Ecn> {
        if ecn == Ecn::NotCapable {
            return Some(ecn);
        }
        self.markable[side] += 1;
        match self.weather.routers {
            Routers::Idle => Some(ecn),
            Routers::MarkSome(each) if !self.markable[side].is_multiple_of(each) => Some(ecn),
            Routers::Mark | Routers::MarkSome(_) => Some(Ecn::Congested),
            Routers::Drop => None,
            Routers::Bleach => Some(Ecn::NotCapable),
        }
    }

    fn arrive(&mut self, to_host: bool, origin: Origin, mut datagram: Vec<u8>) {
        let direction = if to_host { Direction::ToHost } else { Direction::ToClient };
        let side = usize::from(to_host);
        let Ok(Datagram::Short(header)) = Datagram::parse(direction, &datagram) else { return };
        let link = LinkId(SlotKey { index: 0, generation: 0 });
        let (events, ready) = (&mut self.events[side], &mut self.ready);
        let mut sink = Sink { link, resumes: None, events, ready };
        let packet = (&header, datagram.as_mut_slice());
        let reason = self.links[side].receive(self.now, origin, packet, &mut sink);
        self.lost[side] = self.lost[side].take().or(reason.ok().flatten());
        if self.links[side].entropy_needed() {
            self.links[side].challenge_with(&mut self.entropy);
        }
    }

    fn messages(&mut self, side: usize) -> Vec<Vec<u8>> {
        let events = std::mem::take(&mut self.events[side]);
        let payload = |event| match event {
            LinkEvent::Message { message, .. } => Some(message.payload.into()),
            _ => None,
        };
        events.into_iter().filter_map(payload).collect()
    }
}

/// A message that can be told from all others, of any length from eight bytes on.
fn message(number: u64, len: usize) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend((8..len).map(|at| (number as usize + at) as u8));
    message
}

fn number_of(message: &[u8]) -> u64 {
    u64::from_be_bytes(*message.first_chunk().expect("a number"))
}

#[test]
fn a_login_and_an_answer_cross() {
    let mut pair = Pair::new(1, Weather::FAIR);
    assert_eq!(pair.push(HOST, Place::Ordered(0), b"early"), Err(SendError::NotUp));
    pair.run(Duration::from_millis(30));
    let link = LinkId(SlotKey { index: 0, generation: 0 });
    let login = Control::Login { identity: b"ada".to_vec(), payload: Vec::new() };
    let events: Vec<_> = pair.events[HOST].drain(..).collect();
    let up = LinkEvent::Up { link, address: address("10.0.0.2:2"), resumes: None };
    assert_eq!(events, [up, LinkEvent::Control { link, control: login }]);
    let accepted = Control::LoginAccepted { server_tick: -5, payload: b"hi".to_vec() };
    pair.links[HOST].control(pair.now, &accepted).expect("up");
    pair.run(Duration::from_millis(200));
    let event = LinkEvent::Control { link, control: accepted };
    assert!(pair.events[CLIENT].contains(&event));
    assert!(pair.links[HOST].outbox.is_settled() && pair.links[CLIENT].outbox.is_settled());
    let beat = Control::Beat { beat: 3 };
    pair.links[CLIENT].control(pair.now, &beat).expect("up");
    pair.run(Duration::from_millis(30));
    assert!(pair.events[HOST].contains(&LinkEvent::Control { link, control: beat }));
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.lost, [None, None], "keep-alive keeps a quiet link");
    let clock = pair.links[CLIENT].stats().clock.expect("a sample");
    assert_eq!(clock.ahead_micros / 1_000, 0);
}

#[test]
fn a_long_message_crosses_with_many_lost_packets() {
    let mut pair = Pair::new(3, Weather { loss_permille: 200, ..Weather::FAIR });
    pair.run(Duration::from_millis(500));
    let long = message(9, 400_000);
    pair.push(CLIENT, Place::Ordered(2), &long).expect("it fits");
    pair.push(CLIENT, Place::Unordered, &message(10, 100_000)).expect("it fits");
    pair.run(Duration::from_secs(60));
    let came = pair.messages(HOST);
    assert_eq!(came.len(), 2);
    assert!(came.contains(&long));
    let too_long = message(9, 1_100_000);
    let refused = pair.push(CLIENT, Place::Ordered(0), &too_long);
    assert!(matches!(refused, Err(SendError::TooLarge { .. })), "{refused:?}");
}

#[test]
fn a_close_sends_first_what_was_taken_and_then_tells_why() {
    for weather in [Weather::FAIR, Weather { loss_permille: 300, ..Weather::FAIR }] {
        let mut pair = Pair::new(4, weather);
        pair.run(Duration::from_secs(2));
        for number in 0..50 {
            pair.push(HOST, Place::Ordered(0), &message(number, 100)).expect("up");
        }
        let farewell = Refusal::new(RefusalCode::Evicted, "enough");
        pair.links[HOST].close(pair.now, Some(&farewell));
        assert_eq!(pair.push(HOST, Place::Unordered, b"late"), Err(SendError::NotUp));
        pair.run(Duration::from_secs(20));
        assert_eq!(pair.messages(CLIENT).len(), 50);
        assert_eq!(pair.lost, [Some(Reason::Refused(farewell)), None]);
        assert!(pair.links.iter().all(Link::is_over));
    }
}

#[test]
fn a_silent_peer_is_given_up_and_a_sleep_is_not_its_silence() {
    let mut pair = Pair::new(5, Weather::FAIR);
    pair.run(Duration::from_secs(1));
    pair.weather.loss_permille = 1_000;
    pair.run(Duration::from_secs(40));
    let silence = Some(Reason::Silence(Duration::from_secs(30)));
    assert_eq!(pair.lost, [silence.clone(), silence]);
    let mut pair = Pair::new(5, Weather::FAIR);
    pair.run(Duration::from_secs(1));
    let late = pair.now + Duration::from_secs(100);
    assert_eq!(pair.links[HOST].handle_timeout(late, late), None);
}

#[test]
fn keys_go_on_and_nothing_is_lost_by_it() {
    let mut pair = Pair::new(6, Weather::FOUL);
    pair.run(Duration::from_secs(1));
    let mut came = Vec::new();
    for number in 0..400 {
        if number % 40 == 39 {
            let acked = pair.links[HOST].sender.largest_acked();
            pair.links[HOST].keys.update(acked);
        }
        pair.push(HOST, Place::Ordered(0), &message(number, 30)).expect("up");
        pair.push(CLIENT, Place::Ordered(0), &message(number, 30)).expect("up");
        pair.run(Duration::from_millis(20));
        came.extend(pair.messages(CLIENT));
    }
    pair.run(Duration::from_secs(2));
    came.extend(pair.messages(CLIENT));
    let numbers: Vec<_> = came.iter().map(|message| number_of(message)).collect();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
    assert_eq!(pair.messages(HOST).len(), 400);
}

/// Of every message that was sent with a notice, once, whatever the path does; of states, of those
/// that were not replaced.
#[test]
fn who_asks_is_told_once_what_the_peer_has() {
    let mut pair = Pair::new(3, Weather::FOUL);
    pair.run(Duration::from_secs(1));
    pair.messages(HOST);
    let places = [Place::Ordered(3), Place::Unordered, Place::Latest(5)];
    for notice in 0..300_u64 {
        let place = places[notice as usize % 3];
        let payload = message(notice, len_of(notice));
        let push = Push { place, kind: 7, payload: payload[..].into(), notice: Some(notice) };
        pair.links[CLIENT].send(pair.now, push).expect("there is room");
        pair.run(Duration::from_millis(20));
    }
    let push = Push {
        place: Place::Unreliable,
        kind: 7,
        payload: b"who knows"[..].into(),
        notice: Some(1),
    };
    assert_eq!(pair.links[CLIENT].send(pair.now, push), Err(SendError::NoNotice));
    pair.run(Duration::from_secs(20));
    let mut came: Vec<u64> = pair.messages(HOST).iter().map(|payload| number_of(payload)).collect();
    let mut told: Vec<u64> = std::iter::from_fn(|| pair.links[CLIENT].poll_arrived()).collect();
    came.sort_unstable();
    told.sort_unstable();
    let reliable = |numbers: &[u64]| numbers.iter().filter(|it| **it % 3 != 2).count();
    assert_eq!((reliable(&told), reliable(&came)), (200, 200));
    // A state that came may have been replaced before that was known.
    assert!(told.iter().all(|notice| came.contains(notice)));
    assert!(told.contains(&299), "the newest is told");
    told.dedup();
    assert!(told.len() > 200 && told.is_sorted());
}

/// What one link took counts on the next one, on both sides: much more than one window crosses.
#[test]
fn lanes_go_over_with_their_limits() {
    let mut first = Pair::new(4, Weather::FAIR);
    first.run(Duration::from_secs(1));
    for number in 0..300 {
        first.push(CLIENT, Place::Ordered(0), &message(number, 1_024)).expect("there is room");
    }
    first.run(Duration::from_secs(5));
    assert_eq!(first.messages(HOST).len(), 300);
    let told = setup(HOST, Suite::Aes).window;
    let [client, host] = first.links.map(Link::into_lanes);

    let mut next = Pair::new(5, Weather::FAIR);
    next.run(Duration::from_secs(1));
    next.messages(HOST);
    let (of_client, of_host) = (client.inbox.positions(), host.inbox.positions());
    let state = |positions| LanesState { positions, limit: told };
    next.links[CLIENT].adopt(client, &state(of_host));
    next.links[HOST].adopt(host, &state(of_client));
    for number in 300..700 {
        next.push(CLIENT, Place::Ordered(0), &message(number, 1_024)).expect("there is room");
    }
    next.run(Duration::from_secs(10));
    let came: Vec<u64> = next.messages(HOST).iter().map(|payload| number_of(payload)).collect();
    assert_eq!(came, (300..700).collect::<Vec<_>>());
}
