//! A peer that shares no code with us: the `kcp` crate, and protobuf bytes written by hand.

mod support;

use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kcp::Kcp;
use moorline::kcp::{CombatEvent, MoveInput, PlayerState, ShootInput, Vector3, delivery};
use moorline::{
    EventKind, KcpConfig, Listener, Message, Server, ServerConfig, ServerEvent, SessionId,
};
use support::any_port;

const MOVE_INPUT: u8 = 1;
const PLAYER_STATE: u8 = 2;
const SHOOT_INPUT: u8 = 3;
const COMBAT_EVENT: u8 = 4;
const LOGIN_REQUEST: u8 = 21;
const LOGIN_RESPONSE: u8 = 22;
const HEARTBEAT: u8 = 40;
const HEARTBEAT_RESPONSE: u8 = 41;

const STEP_TIME_MAX: Duration = Duration::from_secs(10);

/// Where KCP leaves its datagrams.
#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Outbox {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One KCP conversation of the peer, on a socket of its own.
struct Conversation {
    kcp: Kcp<Outbox>,
    outbox: Outbox,
    socket: UdpSocket,
    started: Instant,
    received: Vec<(u8, Vec<u8>)>,
}

impl Conversation {
    fn new(host: SocketAddr) -> Self {
        let socket = UdpSocket::bind(any_port()).expect("a free port");
        socket.connect(host).expect("an address");
        socket.set_nonblocking(true).expect("supported");
        let outbox = Outbox::default();
        let mut kcp = Kcp::new(1, outbox.clone());
        kcp.set_nodelay(true, 10, 2, true);
        kcp.set_wndsize(128, 128);
        kcp.set_mtu(1200).expect("valid");
        Self { kcp, outbox, socket, started: Instant::now(), received: Vec::new() }
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        self.kcp.send(&envelope(kind, payload)).expect("short");
    }

    fn turn(&mut self) {
        let mut buffer = [0; 2_048];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            self.kcp.input(&buffer[..len]).expect("the host speaks KCP");
        }
        while let Ok(len) = self.kcp.recv(&mut buffer) {
            self.received.push(open_envelope(&buffer[..len]));
        }
        let millis = self.started.elapsed().as_millis();
        self.kcp.update(u32::try_from(millis).expect("a short test")).expect("no IO here");
        for datagram in self.outbox.0.lock().expect("one thread").drain(..) {
            self.socket.send(&datagram).ok();
        }
    }

    fn first(&self, kind: u8) -> Option<&[u8]> {
        let found = self.received.iter().find(|(other, _)| *other == kind);
        found.map(|(_, payload)| payload.as_slice())
    }
}

// Protobuf by hand: tag = field number * 8 + wire type.

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn bytes_field(bytes: &mut Vec<u8>, number: u8, value: &[u8]) {
    bytes.push(number << 3 | 2);
    varint(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

fn number_field(bytes: &mut Vec<u8>, number: u8, value: u64) {
    bytes.push(number << 3);
    varint(bytes, value);
}

fn float_field(bytes: &mut Vec<u8>, number: u8, value: f32) {
    bytes.push(number << 3 | 5);
    bytes.extend(value.to_le_bytes());
}

fn envelope(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    number_field(&mut bytes, 1, kind.into());
    bytes_field(&mut bytes, 2, payload);
    bytes
}

fn read_varint(bytes: &[u8]) -> (u64, &[u8]) {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0).expect("ends") + 1;
    let value =
        bytes[..len].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, &bytes[len..])
}

fn open_envelope(bytes: &[u8]) -> (u8, Vec<u8>) {
    assert_eq!(bytes[0], 1 << 3, "the kind comes first");
    let (kind, rest) = read_varint(&bytes[1..]);
    let payload = match rest {
        [] => Vec::new(),
        [tag, rest @ ..] => {
            assert_eq!(*tag, 2 << 3 | 2);
            let (len, payload) = read_varint(rest);
            assert_eq!(len, payload.len() as u64);
            payload.to_vec()
        }
    };
    (kind as u8, payload)
}

/// The value of a number field that every other field before it lets us skip.
fn find_number(mut bytes: &[u8], number: u8) -> Option<u64> {
    while let [tag, rest @ ..] = bytes {
        bytes = match tag & 7 {
            0 => {
                let (value, rest) = read_varint(rest);
                if tag >> 3 == number {
                    return Some(value);
                }
                rest
            }
            2 => {
                let (len, rest) = read_varint(rest);
                &rest[len as usize..]
            }
            5 => &rest[4..],
            other => panic!("wire type {other}"),
        };
    }
    None
}

fn login_request(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes_field(&mut bytes, 1, name.as_bytes());
    number_field(&mut bytes, 2, 5);
    bytes
}

fn move_input(name: &str, tick: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes_field(&mut bytes, 1, name.as_bytes());
    number_field(&mut bytes, 2, tick);
    float_field(&mut bytes, 4, 1.0);
    bytes
}

fn shoot_input(name: &str, tick: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes_field(&mut bytes, 1, name.as_bytes());
    number_field(&mut bytes, 2, tick);
    bytes_field(&mut bytes, 5, b"target");
    bytes
}

/// A host, and what its application was told.
struct Host {
    server: Server,
    messages: Vec<(SessionId, moorline::Incoming)>,
    beats: usize,
}

impl Host {
    fn new(has_sync_port: bool) -> Self {
        let mut config = ServerConfig::kcp_plaintext_unauthenticated(any_port());
        config.host.delivery = delivery();
        config.listeners = vec![Listener::KcpPlaintextUnauthenticated {
            reliable: any_port(),
            sync: has_sync_port.then(any_port),
            kcp: KcpConfig::default(),
        }];
        let mut server = Server::bind(config).expect("free ports");
        server.set_server_tick(4_711);
        Self { server, messages: Vec::new(), beats: 0 }
    }

    fn turn(&mut self) {
        while let Some(event) = self.server.poll() {
            match event {
                ServerEvent::Login(request) => request.accept(),
                ServerEvent::Message { session, message } => self.messages.push((session, message)),
                ServerEvent::Session(event) => {
                    self.beats += usize::from(event.kind == EventKind::HeartbeatReceived);
                }
                _ => {}
            }
        }
    }

    fn received<M: Message>(&self) -> Vec<M> {
        self.messages.iter().filter_map(|(_, message)| message.decode().ok()).collect()
    }
}

/// Drives a host and its peers until something is so.
fn drive_until(
    host: &mut Host,
    peers: &mut [&mut Conversation],
    is_so: impl Fn(&Host, &[&mut Conversation]) -> bool,
) {
    let end = Instant::now() + STEP_TIME_MAX;
    while !is_so(host, peers) {
        assert!(Instant::now() < end, "it did not come about");
        host.turn();
        peers.iter_mut().for_each(|peer| peer.turn());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn log_in(host: &mut Host, peer: &mut Conversation, name: &str) {
    peer.send(LOGIN_REQUEST, &login_request(name));
    drive_until(host, &mut [peer], |_, peers| peers[0].first(LOGIN_RESPONSE).is_some());
    let response = peer.first(LOGIN_RESPONSE).expect("just seen");
    assert_eq!(find_number(response, 5), Some(1), "result = true");
    assert_eq!(find_number(response, 4), Some(4_711), "server_tick");
}

fn broadcast(host: &mut Host) {
    let position = Some(Vector3 { x: 1.0, y: 2.0, z: 3.0 });
    let state = PlayerState {
        player_id: "ann".into(),
        position,
        tick: 77,
        hp: 100,
        ..PlayerState::default()
    };
    let event =
        CombatEvent { tick: 78, attacker_id: "ann".into(), damage: 12, ..CombatEvent::default() };
    host.server.broadcast(&state, |_| true).expect("a known kind");
    host.server.broadcast(&event, |_| true).expect("a known kind");
}

#[test]
fn a_peer_logs_in_beats_moves_shoots_and_is_told_on_one_port() {
    let mut host = Host::new(false);
    let at = host.server.local_addresses()[0];
    let (mut ann, mut bob) = (Conversation::new(at), Conversation::new(at));
    log_in(&mut host, &mut ann, "ann");
    log_in(&mut host, &mut bob, "bob");

    ann.send(HEARTBEAT, &[]);
    drive_until(&mut host, &mut [&mut ann], |_, peers| {
        peers[0].first(HEARTBEAT_RESPONSE).is_some()
    });
    let answer = ann.first(HEARTBEAT_RESPONSE).expect("just seen");
    assert_eq!((find_number(answer, 1), host.beats), (Some(4_711), 1));

    for tick in [10, 9, 11] {
        ann.send(MOVE_INPUT, &move_input("ann", tick));
    }
    bob.send(MOVE_INPUT, &move_input("bob", 3));
    ann.send(SHOOT_INPUT, &shoot_input("ann", 12));
    drive_until(&mut host, &mut [&mut ann, &mut bob], |host, _| {
        host.received::<ShootInput>().len() == 1 && host.received::<MoveInput>().len() >= 3
    });
    check_moves(&host);

    broadcast(&mut host);
    drive_until(&mut host, &mut [&mut ann, &mut bob], |_, peers| {
        peers.iter().all(|peer| peer.first(COMBAT_EVENT).is_some())
    });
    for peer in [&ann, &bob] {
        check_broadcast(peer.first(PLAYER_STATE), peer.first(COMBAT_EVENT));
    }
}

#[test]
fn with_a_sync_port_moves_and_states_travel_there_and_all_else_does_not() {
    let mut host = Host::new(true);
    let [reliable_at, sync_at] = host.server.local_addresses()[..] else { panic!("two ports") };
    let mut ann = Conversation::new(reliable_at);
    let mut bob = Conversation::new(reliable_at);
    let (mut ann_sync, mut bob_sync) = (Conversation::new(sync_at), Conversation::new(sync_at));
    log_in(&mut host, &mut ann, "ann");
    log_in(&mut host, &mut bob, "bob");

    for tick in [10, 9, 11] {
        ann_sync.send(MOVE_INPUT, &move_input("ann", tick));
    }
    bob_sync.send(MOVE_INPUT, &move_input("bob", 3));
    ann.send(SHOOT_INPUT, &shoot_input("ann", 12));
    let everyone = &mut [&mut ann, &mut bob, &mut ann_sync, &mut bob_sync];
    drive_until(&mut host, everyone, |host, _| {
        host.received::<ShootInput>().len() == 1 && host.received::<MoveInput>().len() >= 3
    });
    check_moves(&host);
    let sessions: Vec<SessionId> = host.server.sessions().iter().map(|s| s.id()).collect();
    assert_eq!(sessions.len(), 2, "two endpoints of a player are one session");
    let whose: Vec<SessionId> = host.messages.iter().map(|(session, _)| *session).collect();
    assert!(whose.iter().all(|session| sessions.contains(session)));

    broadcast(&mut host);
    let everyone = &mut [&mut ann, &mut bob, &mut ann_sync, &mut bob_sync];
    drive_until(&mut host, everyone, |_, peers| {
        peers.iter().filter(|peer| peer.first(COMBAT_EVENT).is_some()).count() == 2
            && peers.iter().filter(|peer| peer.first(PLAYER_STATE).is_some()).count() == 2
    });
    for (reliable, sync) in [(&ann, &ann_sync), (&bob, &bob_sync)] {
        assert!(reliable.first(PLAYER_STATE).is_none() && sync.first(COMBAT_EVENT).is_none());
        check_broadcast(sync.first(PLAYER_STATE), reliable.first(COMBAT_EVENT));
    }
}

#[test]
fn a_sync_endpoint_that_names_someone_who_is_not_logged_in_is_refused() {
    let mut host = Host::new(true);
    let [reliable_at, sync_at] = host.server.local_addresses()[..] else { panic!("two ports") };
    let mut ann = Conversation::new(reliable_at);
    let mut stranger = Conversation::new(sync_at);
    log_in(&mut host, &mut ann, "ann");
    stranger.send(MOVE_INPUT, &move_input("mallory", 1));
    ann.send(SHOOT_INPUT, &shoot_input("ann", 1));
    drive_until(&mut host, &mut [&mut ann, &mut stranger], |host, _| {
        let run = host.server.sessions().len();
        run == 1 && host.received::<ShootInput>().len() == 1
    });
    let refused = |host: &mut Host| {
        let run = host.server.snapshot("test");
        run.counters.iter().any(|c| c.name == "kcp_sync_refused" && c.value > 0)
    };
    let end = Instant::now() + STEP_TIME_MAX;
    while !refused(&mut host) {
        assert!(Instant::now() < end, "the stranger was not counted");
        host.turn();
        stranger.turn();
    }
    assert!(host.received::<MoveInput>().is_empty());
}

fn check_moves(host: &Host) {
    let moves = host.received::<MoveInput>();
    let of = |name: &str| -> Vec<i64> {
        moves.iter().filter(|m| m.player_id == name).map(|m| m.tick).collect()
    };
    assert_eq!(of("ann"), [10, 11], "the stale one is dropped");
    assert_eq!(of("bob"), [3], "and the other player's is not");
    let shot = &host.received::<ShootInput>()[0];
    assert_eq!((shot.target_id.as_str(), shot.tick), ("target", 12));
}

fn check_broadcast(state: Option<&[u8]>, event: Option<&[u8]>) {
    let (state, event) = (state.expect("sent"), event.expect("sent"));
    assert_eq!((find_number(state, 5), find_number(state, 6)), (Some(77), Some(100)));
    assert_eq!((find_number(event, 1), find_number(event, 5)), (Some(78), Some(12)));
}
