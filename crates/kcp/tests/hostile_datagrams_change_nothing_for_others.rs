//! Every short datagram, every truncation and every flipped byte, in every state of both sides. The
//! session of somebody else goes on.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::{Control, Lane, LinkId, Port, Transport};
use support::{Flying, HEADER_LEN, HOST, Manner, Raw, World, counter, envelope, millis};

const VICTIM: usize = 1;
const BYSTANDER: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    None,
    Dialing,
    Asked,
    Up,
    LoggedIn,
    Closing,
}

const STATES: [State; 6] =
    [State::None, State::Dialing, State::Asked, State::Up, State::LoggedIn, State::Closing];

/// A world in which the victim's link is in a state and a bystander is logged in.
struct Scene {
    world: World,
    bystander: (LinkId, LinkId),
    said: u32,
}

impl Scene {
    fn new(state: State) -> Self {
        let mut world = World::with_clients(9, 2);
        let bystander = world.log_in(BYSTANDER, "bystander");
        match state {
            State::None => {}
            State::Dialing => {
                world.deaf = Some(world.host_address());
                world.dial(VICTIM);
                world.run(millis(30));
                world.deaf = None;
            }
            State::Asked | State::Up => {
                let manner = if state == State::Up { Manner::Accept } else { Manner::Watch };
                world.peers[HOST].manner = manner;
                let link = world.dial(VICTIM);
                world.run(millis(50));
                let login = Control::Login { identity: b"victim".into(), payload: Vec::new() };
                world.control(VICTIM, link, &login).expect("it is up");
                world.run(millis(50));
            }
            State::LoggedIn | State::Closing => {
                let (link, _) = world.log_in(VICTIM, "victim");
                world.send(VICTIM, link, (1, Lane::Latest), b"\x0a\x06victim\x10\x05").expect("up");
                world.run(millis(50));
                if state == State::Closing {
                    let now = world.now;
                    world.peers[VICTIM].endpoint.close(now, link, None);
                    world.run(millis(11));
                }
            }
        }
        Self { world, bystander, said: 0 }
    }

    /// Hands a datagram to both sides as if the other had sent it, on both ports.
    fn inject(&mut self, bytes: &[u8]) {
        let now = self.world.now;
        for (to, from) in [(HOST, VICTIM), (VICTIM, HOST)] {
            for (port, index) in [(0, 0), (1, 1)] {
                let from: SocketAddr = self.world.peers[from].addresses[index];
                self.world.peers[to].endpoint.handle_datagram(now, Port(port), from, bytes);
            }
        }
    }

    fn assert_bystander_is_served(&mut self) {
        let (link, at_host) = self.bystander;
        self.world.clear_events();
        self.said += 1;
        let said = self.said.to_le_bytes();
        let shot = (3, Lane::ReliableOrdered);
        self.world.send(BYSTANDER, link, shot, &said).expect("it is up");
        self.world.send(HOST, at_host, shot, &said).expect("it is up");
        self.world.run(millis(60));
        assert_eq!(self.world.messages(HOST, at_host), [(3, said.to_vec())]);
        assert_eq!(self.world.messages(BYSTANDER, link), [(3, said.to_vec())]);
    }
}

/// Every datagram of a session of the victim, from its dial to its end, both ways.
fn conversation() -> Vec<Flying> {
    let mut world = World::with_clients(9, 2);
    world.log_in(BYSTANDER, "bystander");
    world.tap = Some(Vec::new());
    let (link, at_host) = world.log_in(VICTIM, "victim");
    for tick in 5..7 {
        let (step, state) = (b"\x0a\x06victim\x10", b"\x0a\x06victim\x28");
        let step = [&step[..], &[tick]].concat();
        let state = [&state[..], &[tick]].concat();
        world.send(VICTIM, link, (1, Lane::Latest), &step).expect("it is up");
        world.send(VICTIM, link, (3, Lane::ReliableOrdered), b"bang").expect("it is up");
        world.run(millis(30));
        world.send(HOST, at_host, (2, Lane::Latest), &state).expect("it is up");
        world.send(HOST, at_host, (4, Lane::ReliableOrdered), b"\x08\x01").expect("it is up");
        world.control(VICTIM, link, &Control::Beat { beat: 1 }).expect("it is up");
        world.run(millis(100));
    }
    let now = world.now;
    world.host().close(now, at_host, Some(&support::full()));
    world.run(millis(100));
    world.tap.take().expect("tapped")
}

#[test]
fn every_datagram_of_one_and_two_bytes_in_every_state() {
    for state in STATES {
        let mut scene = Scene::new(state);
        let before = counter(scene.world.host(), "kcp_too_short");
        scene.inject(&[]);
        for first in 0..=255 {
            scene.inject(&[first]);
            (0..=255).for_each(|second| scene.inject(&[first, second]));
        }
        let counted = counter(scene.world.host(), "kcp_too_short") - before;
        assert_eq!(counted, 2 * (1 + 256 + 65_536), "{state:?}");
        scene.assert_bystander_is_served();
    }
}

#[test]
fn every_truncation_of_every_datagram_in_every_state() {
    for state in STATES {
        let mut scene = Scene::new(state);
        for flying in conversation() {
            (0..flying.bytes.len()).for_each(|len| scene.inject(&flying.bytes[..len]));
            scene.world.run(millis(5));
        }
        scene.assert_bystander_is_served();
    }
}

#[test]
fn every_flipped_byte_of_every_datagram_in_every_state() {
    for state in STATES {
        let mut scene = Scene::new(state);
        for flying in conversation() {
            for at in 0..flying.bytes.len() {
                let every: Vec<u8> = (1..=255).collect();
                let flips = if at < HEADER_LEN { &every[..] } else { &[0xff, 0x01, 0x80] };
                for flip in flips {
                    let mut bytes = flying.bytes.clone();
                    bytes[at] ^= flip;
                    scene.inject(&bytes);
                }
                scene.world.run(millis(2));
            }
            scene.assert_bystander_is_served();
            scene = Scene { said: 0, ..Scene::new(state) };
        }
    }
}

#[test]
fn random_datagrams_in_every_state() {
    let mut rng = Rng::new(5);
    for state in STATES {
        let mut scene = Scene::new(state);
        for round in 0..20_000 {
            let len = rng.below(90) as usize;
            let mut bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
            // Half of them look like KCP for as long as possible.
            if round % 2 == 0 && len >= HEADER_LEN {
                bytes[..4].copy_from_slice(&[1, 0, 0, 0]);
                bytes[4] = 81 + rng.below(4) as u8;
                bytes[20..24].copy_from_slice(&[(len - HEADER_LEN) as u8, 0, 0, 0]);
                if round % 4 == 0 {
                    bytes[5] %= 130;
                    for number in [8, 12, 16] {
                        bytes[number + 1..number + 4].fill(0);
                    }
                }
            }
            scene.inject(&bytes);
            if round % 100 == 0 {
                scene.world.run(millis(3));
            }
        }
        scene.assert_bystander_is_served();
    }
}

#[test]
fn empty_and_huge_datagrams_in_every_state() {
    for state in STATES {
        let mut scene = Scene::new(state);
        for len in [0, 23, 24, 1_499, 1_500, 1_501, 9_000, 65_507] {
            scene.inject(&vec![0; len]);
            scene.inject(&vec![0xff; len]);
        }
        let full = Raw { data: &[1; 1_476], ..Raw::PUSH };
        scene.inject(&full.bytes());
        assert_eq!(counter(scene.world.host(), "kcp_too_long"), 2 * 6);
        scene.assert_bystander_is_served();
    }
}

#[test]
fn hostile_numbers_in_every_state() {
    let edges = [
        0,
        1,
        2,
        127,
        128,
        129,
        255,
        60_000,
        1 << 20,
        (1 << 30) - 1,
        1 << 30,
        (1 << 31) - (1 << 20) - 1,
        (1 << 31) - (1 << 20),
        (1 << 31) - 1,
        1 << 31,
        u32::MAX - 128,
        u32::MAX - 1,
        u32::MAX,
    ];
    let data = envelope(3, b"bang");
    for state in STATES {
        let mut scene = Scene::new(state);
        for cmd in 80..=85 {
            for frg in [0, 1, 126, 127, 128, 254, 255] {
                for sn in edges {
                    for other in edges {
                        let raw = Raw { cmd, frg, sn, data: &data, ..Raw::PUSH };
                        scene.inject(&Raw { ts: other, ..raw }.bytes());
                        scene.inject(&Raw { una: other, ..raw }.bytes());
                    }
                }
                scene.world.run(millis(7));
            }
        }
        scene.world.run(Duration::from_secs(2));
        scene.assert_bystander_is_served();
    }
}

#[test]
fn a_datagram_full_of_empty_segments_is_answered_with_no_more_bytes() {
    let mut scene = Scene::new(State::LoggedIn);
    scene.world.tap = Some(Vec::new());
    let mut sent = 0;
    for round in 0..200 {
        let segments: Vec<u8> =
            (0..62).flat_map(|n| Raw { sn: round + n, ..Raw::PUSH }.bytes()).collect();
        sent += segments.len();
        let now = scene.world.now;
        let from = scene.world.peers[VICTIM].addresses[0];
        scene.world.host().handle_datagram(now, Port(0), from, &segments);
    }
    scene.world.run(millis(100));
    let answers = scene.world.tap.take().expect("tapped");
    let to_victim = answers.iter().filter(|one| one.to == scene.world.peers[VICTIM].addresses[0]);
    assert!(to_victim.map(|one| one.bytes.len()).sum::<usize>() <= sent);
    scene.assert_bystander_is_served();
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_counted_and_dropped() {
    let mut scene = Scene::new(State::LoggedIn);
    let now = scene.world.now;
    let from = scene.world.peers[VICTIM].addresses[0];
    let before = scene.world.host().stats(scene.bystander.1);
    let lies = [
        Raw { una: 100, ..Raw::PUSH },
        Raw { cmd: support::ACK, ts: 1 << 20, ..Raw::PUSH },
        Raw { cmd: support::WINS, una: 1 << 30, ..Raw::PUSH },
    ];
    for lie in &lies {
        scene.world.host().handle_datagram(now, Port(0), from, &lie.bytes());
    }
    assert_eq!(counter(scene.world.host(), "kcp_bad_acknowledgement"), 3);
    // An echo of a minute ago, which was the present when the link was young.
    let echo = Raw { cmd: support::ACK, ts: 10, ..Raw::PUSH }.bytes();
    scene.world.host().handle_datagram(now, Port(0), from, &echo);
    assert_eq!(counter(scene.world.host(), "kcp_bad_acknowledgement"), 3);
    scene.world.run(Duration::from_secs(61));
    let now = scene.world.now;
    scene.world.host().handle_datagram(now, Port(0), from, &echo);
    assert_eq!(counter(scene.world.host(), "kcp_bad_acknowledgement"), 4);
    assert_eq!(scene.world.host().stats(scene.bystander.1), before);
}
