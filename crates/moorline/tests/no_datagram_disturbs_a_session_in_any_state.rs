//! Every datagram of one and two bytes, and every truncation of valid ones, at a host whose
//! sessions are in each state of the lifecycle. Virtual time, no sockets.

use std::net::SocketAddr;
use std::time::Duration;

use moorline::{
    Delivery, DialerConfig, HostConfig, Identity, Jitter, Lane, Login, ReconnectMode,
    ReconnectPolicy, Refusal, RefusalCode, SessionId, State, Time,
};
use moorline_kcp::{KcpConfig, KcpEndpoint};
use moorline_link::{Outgoing, Port};
use moorline_session::{Dialer, Host, HostEvent};

const CHAT: u16 = 100;
const RELIABLE: (u8, Port) = (0, Port(0));

/// A host, one client for each state that a peer can be in, and a witness who is logged in.
struct World {
    now: Time,
    host: Host<KcpEndpoint>,
    clients: Vec<Peer>,
    requests: Vec<(SessionId, Identity)>,
    messages: Vec<(SessionId, Vec<u8>)>,
    /// Every datagram that a client sent.
    sent: Vec<Vec<u8>>,
}

struct Peer {
    address: SocketAddr,
    dialer: Dialer<KcpEndpoint>,
    /// Whether its datagrams are lost.
    is_cut: bool,
}

fn address(number: usize) -> SocketAddr {
    let number = u8::try_from(number).expect("few clients");
    SocketAddr::from(([10, 0, 0, number], 1_000))
}

impl World {
    fn new() -> Self {
        let delivery = Delivery::new().with(CHAT, Lane::ReliableOrdered);
        let keep_time = Duration::from_secs(3_600);
        let mut config = HostConfig { delivery, keep_time, ..HostConfig::default() };
        // The test takes its time, and the states are to last.
        config.limits.login_time = Duration::from_secs(3_600);
        let kcp = KcpConfig { pending_time: Duration::from_secs(3_600), ..KcpConfig::default() };
        let endpoint = KcpEndpoint::host_plaintext_unauthenticated(kcp, 1).expect("valid");
        Self {
            now: Time::ZERO,
            host: Host::new(config, vec![endpoint], 1).expect("valid"),
            clients: Vec::new(),
            requests: Vec::new(),
            messages: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn join(&mut self, name: &str) -> usize {
        self.join_with(name, ReconnectPolicy::default())
    }

    fn join_with(&mut self, name: &str, reconnect: ReconnectPolicy) -> usize {
        let number = self.clients.len() + 1;
        let kcp = KcpEndpoint::client_plaintext_unauthenticated(KcpConfig::default(), 2);
        let login = (!name.is_empty())
            .then(|| Login { identity: name.as_bytes().to_vec(), payload: Vec::new() });
        let delivery = Delivery::new().with(CHAT, Lane::ReliableOrdered);
        let config = DialerConfig { login, delivery, reconnect, ..DialerConfig::default() };
        let dialer = Dialer::new(self.now, config, kcp.expect("valid"), 3).expect("valid");
        self.clients.push(Peer { address: address(number), dialer, is_cut: false });
        let client = &mut self.clients[number - 1].dialer;
        client.connect(self.now, address(0)).expect("a fresh client");
        self.run(Duration::from_millis(200));
        number - 1
    }

    /// Lets everybody do what is due for a while, in steps of a millisecond.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut datagram = Vec::new();
        while self.now < end {
            self.now = self.now + Duration::from_millis(1);
            let now = self.now;
            for client in &mut self.clients {
                client.dialer.handle_timeout(now);
                while client.dialer.poll_event().is_some() {}
                while client.dialer.poll_transmit(now, &mut datagram).is_some() {
                    if !client.is_cut {
                        self.sent.push(datagram.clone());
                        self.host.handle_datagram(now, RELIABLE, client.address, &datagram);
                    }
                }
            }
            self.host.handle_timeout(now);
            self.take_events();
            while let Some((_, transmit)) = self.host.poll_transmit(now, &mut datagram) {
                let to = self.clients.iter_mut().find(|client| client.address == transmit.to);
                if let Some(client) = to.filter(|client| !client.is_cut) {
                    client.dialer.handle_datagram(now, Port(0), address(0), &datagram);
                }
            }
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.host.poll_event() {
            match event {
                HostEvent::Login { session, identity, .. } => {
                    self.requests.push((session, identity));
                }
                HostEvent::Message { session, payload, .. } => {
                    self.messages.push((session, payload.into()));
                }
                HostEvent::Session(_) | HostEvent::Delivered { .. } => {}
            }
        }
    }

    fn accept(&mut self) {
        let (session, _) = self.requests.pop().expect("somebody asked");
        self.host.accept_login(self.now, session, None, Vec::new()).expect("it waits");
        self.run(Duration::from_millis(200));
    }

    fn counts(&self) -> [usize; 8] {
        State::ALL.map(|state| self.host.sessions().count(state))
    }

    /// Whether the witness can still say something, and is alone heard to.
    fn check_witness(&mut self, witness: usize, word: &str) {
        let message = Outgoing {
            kind: CHAT,
            lane: Lane::ReliableOrdered,
            key: 0,
            payload: word.as_bytes(),
            notice: None,
        };
        self.clients[witness].dialer.send(self.now, message).expect("logged in");
        self.run(Duration::from_millis(100));
        let heard: Vec<Vec<u8>> = self.messages.drain(..).map(|(_, payload)| payload).collect();
        assert_eq!(heard, [word.as_bytes()]);
    }
}

/// A world with a session of the host in each state that lasts, and the addresses to attack from.
/// `TimedOut` and `Reconnecting` are passed through within one call on a host, and `Disconnected`
/// is a session that was removed, so for these there are an address that vanished and one that
/// left.
fn every_state() -> (World, usize, Vec<SocketAddr>) {
    let mut world = World::new();
    let witness = world.join("witness");
    world.accept();
    let kept = world.join("kept");
    world.accept();
    world.clients[kept].is_cut = true;
    world.run(Duration::from_secs(7));
    let left = world.join("left");
    world.accept();
    let now = world.now;
    world.clients[left].dialer.close(now);
    world.run(Duration::from_millis(100));
    world.join("pending");
    world.requests.clear();
    world.join("refused");
    let (refused, _) = world.requests.pop().expect("somebody asked");
    let no = Refusal::new(RefusalCode::Banned, "no");
    world.host.refuse_login(world.now, refused, no).expect("it waits");
    world.run(Duration::from_millis(100));
    let raw = raw_link(&mut world);

    let expected = [
        (State::TransportConnected, 1),
        (State::LoginPending, 1),
        (State::LoggedIn, 1),
        (State::LoginFailed, 1),
        (State::ReconnectPending, 1),
    ];
    for (state, count) in expected {
        assert_eq!(world.host.sessions().count(state), count, "{state}");
    }
    let mut from: Vec<SocketAddr> = world.clients.iter().map(|client| client.address).collect();
    from.push(raw);
    from.push(address(200));
    (world, witness, from)
}

/// A peer whose link is up and who says nothing that would log it in.
fn raw_link(world: &mut World) -> SocketAddr {
    let from = address(100);
    let mut segment = vec![1, 0, 0, 0, 81, 0, 128, 0];
    segment.extend([0; 12]);
    segment.extend([3, 0, 0, 0, 8, CHAT as u8, 0]);
    world.host.handle_datagram(world.now, RELIABLE, from, &segment);
    world.run(Duration::from_millis(10));
    from
}

#[test]
fn a21_every_datagram_of_one_or_two_bytes_is_a_counter_and_nothing_else() {
    let (mut world, witness, from) = every_state();
    let before = world.counts();
    world.check_witness(witness, "before");
    for from in &from {
        for first in 0..=u8::MAX {
            world.host.handle_datagram(world.now, RELIABLE, *from, &[first]);
            for second in 0..=u8::MAX {
                world.host.handle_datagram(world.now, RELIABLE, *from, &[first, second]);
            }
        }
        world.host.handle_datagram(world.now, RELIABLE, *from, &[]);
        world.take_events();
        assert_eq!(world.counts(), before);
    }
    world.check_witness(witness, "after");
    let counters = world.host.transport_counters();
    let short = counters.iter().find(|counter| counter.name == "kcp_too_short").expect("there");
    assert_eq!(short.value, 65_793 * from.len() as u64);
}

#[test]
fn a21_every_truncation_of_a_valid_datagram_leaves_the_others_alone() {
    let (mut world, witness, from) = every_state();
    world.check_witness(witness, "before");
    let valid: Vec<Vec<u8>> = world.sent.iter().filter(|d| d.len() > 24).cloned().collect();
    assert!(valid.len() >= 5, "logins, a message, a good-bye");
    let attackers: Vec<SocketAddr> =
        from.into_iter().filter(|from| *from != world.clients[witness].address).collect();
    for datagram in &valid {
        for len in 0..datagram.len() {
            for from in &attackers {
                world.host.handle_datagram(world.now, RELIABLE, *from, &datagram[..len]);
            }
        }
        world.take_events();
    }
    world.messages.clear();
    world.check_witness(witness, "after");
    assert_eq!(world.clients[witness].dialer.session().state(), State::LoggedIn);
    assert_eq!(world.host.sessions().count(State::ReconnectPending), 1, "the kept one is kept");
}

/// A client in each of the eight states.
fn every_client_state() -> World {
    let mut world = World::new();
    // Attempts are far between and take long, so that the states last.
    let patient = || ReconnectPolicy {
        first_delay: Duration::from_secs(30),
        delay_max: Duration::from_secs(30),
        jitter: Jitter::None,
        attempt_timeout: Duration::from_secs(3_600),
        ..ReconnectPolicy::default()
    };
    let manual = || ReconnectPolicy { mode: ReconnectMode::Manual, ..patient() };
    let lost = [
        world.join_with("waits", patient()),
        world.join_with("tries", patient()),
        world.join_with("gave up", manual()),
    ];
    (0..3).for_each(|_| world.accept());
    lost.iter().for_each(|client| world.clients[*client].is_cut = true);
    world.run(Duration::from_secs(7));
    let now = world.now;
    world.clients[lost[1]].dialer.reconnect(now).expect("it waits for its next attempt");

    let left = world.join_with("left", patient());
    world.accept();
    let now = world.now;
    world.clients[left].dialer.close(now);
    world.join_with("", patient());
    world.join_with("pending", patient());
    world.requests.clear();
    world.join_with("refused", patient());
    let (refused, _) = world.requests.pop().expect("somebody asked");
    let no = Refusal::new(RefusalCode::Banned, "no");
    world.host.refuse_login(world.now, refused, no).expect("it waits");
    world.join_with("logged in", patient());
    world.accept();

    let mut states: Vec<State> = world.states();
    states.sort_unstable();
    assert_eq!(states, State::ALL, "one client in each state");
    world
}

impl World {
    fn states(&self) -> Vec<State> {
        self.clients.iter().map(|client| client.dialer.session().state()).collect()
    }
}

#[test]
fn a21_no_short_or_truncated_datagram_disturbs_a_client_in_any_of_the_eight_states() {
    let mut world = every_client_state();
    let before = world.states();
    let valid: Vec<Vec<u8>> = world.sent.iter().filter(|d| d.len() > 24).cloned().collect();
    let now = world.now;
    for client in &mut world.clients {
        let mut take = |datagram: &[u8]| {
            client.dialer.handle_datagram(now, Port(0), address(0), datagram);
            client.dialer.handle_datagram(now, Port(0), address(201), datagram);
            while client.dialer.poll_event().is_some() {}
        };
        take(&[]);
        for first in 0..=u8::MAX {
            take(&[first]);
            (0..=u8::MAX).for_each(|second| take(&[first, second]));
        }
        for datagram in &valid {
            // A whole segment of it would be valid, if it were for this client: all else is not.
            (0..datagram.len()).filter(|len| len % 24 != 0).for_each(|len| take(&datagram[..len]));
        }
    }
    assert_eq!(world.states(), before);
}
