//! Moorline by its front door: the native protocol in its default settings.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use moorline::{
    Client, ClientConfig, ClientEvent, Detector, EventKind, HostPublicKey, Incoming,
    Lane as OurLane, Limits, Listener, LivenessPolicy, Server as OurServer, ServerConfig,
    ServerEvent, SessionId, State, host_key,
};

use super::seam::{Clients, Event, Lane, Pace, Peer, Server, told};
use super::sockets::sleep_until;
use super::trial::{Scenario, Trial};

/// Moorline.
pub(super) const MOORLINE: Peer = Peer {
    name: "moorline",
    settings: "native protocol in its defaults, always encrypted (AES-128-GCM or \
               ChaCha20-Poly1305, Noise handshake); poll_until the next tick, flush after it; \
               unreliable: its unreliable lane; limits raised for clients of one address; with \
               50,000 idle clients or more a heartbeat every 5 s instead of every 2 s",
    is_reliable: true,
    clients_max: u32::MAX,
    message_len_max: usize::MAX,
    serve: |trial| serve(trial, Pace::Arrival),
    join,
};

/// The same in a game loop.
pub(super) const TICKED: Peer = Peer {
    name: "moorline-ticked",
    settings: "as moorline, with poll() in a game loop once per tick, as often as it takes for two \
               datagrams of each client",
    is_reliable: true,
    clients_max: u32::MAX,
    message_len_max: usize::MAX,
    serve: |trial| serve(trial, Pace::Tick),
    join,
};

const RELIABLE: u16 = 100;
const UNRELIABLE: u16 = 101;

/// A look takes 256 datagrams and does not say whether there are more: so many clients may have
/// sent two each.
const CLIENTS_PER_LOOK: u32 = 128;

/// How long clients sleep for each of them after a look at all sockets that found nothing, so that
/// looking takes no more than a part of their time.
const NAP_PER_CLIENT: Duration = Duration::from_micros(5);
const NAP_MIN: Duration = Duration::from_micros(50);

/// Very many clients that have nothing to do are looked at this seldom, or the load would take the
/// processor from the server; and a few at a time, or all that they say would arrive at once.
const REST_PER_CLIENT: Duration = Duration::from_micros(20);
const RESTING_PER_PASS: u32 = 64;

/// So many that are idle say that they are there less often, as their host's owner would have it.
const CROWD: u32 = 50_000;

/// How often, and after what silence they are missed.
const PATIENCE: LivenessPolicy = LivenessPolicy {
    beat_interval: Duration::from_secs(5),
    degraded_after: Duration::from_secs(16),
    timeout: Duration::from_secs(28),
    sleep_tolerance: Duration::from_secs(1),
    detector: Detector::Fixed,
};

/// A client binds to no address, of which a family of addresses has as many as there are ports:
/// others dial the server's second listener.
const CLIENTS_PER_FAMILY: u32 = 60_000;
const LOCAL_V6: SocketAddr = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0));

const fn kind(lane: Lane) -> u16 {
    match lane {
        Lane::Reliable => RELIABLE,
        Lane::Unreliable => UNRELIABLE,
    }
}

/// A message for the harness.
fn message(client: u32, message: &Incoming, payload: &mut Vec<u8>) -> Event {
    payload.clear();
    payload.extend_from_slice(&message.payload);
    let lane = if message.kind == RELIABLE { Lane::Reliable } else { Lane::Unreliable };
    Event::Message(client, lane)
}

struct Moorline {
    server: OurServer,
    pace: Pace,
    /// Looks that a tick has, and those that are left of this one's.
    looks: u32,
    looks_left: u32,
    /// By place in the server's table, which is the lower half of a session's number.
    sessions: Vec<Option<SessionId>>,
}

fn is_crowd(trial: &Trial) -> bool {
    trial.scenario == Scenario::Idle && trial.all >= CROWD
}

fn serve(trial: &Trial, pace: Pace) -> Result<(Box<dyn Server>, String), String> {
    let key = host_key::generate().map_err(told)?;
    let public = key.public();
    let mut config = ServerConfig::native(SocketAddr::from(([127, 0, 0, 1], 0)), key)
        .with_kind(RELIABLE, OurLane::ReliableOrdered)
        .with_kind(UNRELIABLE, OurLane::Unreliable);
    let most = trial.clients as usize * 2 + 64;
    config.host.limits =
        Limits { sessions_max: most, sessions_per_address_max: most, ..Limits::default() };
    if is_crowd(trial) {
        config.host.liveness = PATIENCE;
    }
    if trial.clients > CLIENTS_PER_FAMILY {
        let more = config.listeners.first().cloned().map(|listener| match listener {
            Listener::Native { key, native, .. } => {
                Listener::Native { address: LOCAL_V6, key, native }
            }
            other => other,
        });
        config.listeners.extend(more);
    }
    let server = OurServer::bind(config).map_err(told)?;
    let addresses: Vec<String> = server.local_addresses().iter().map(ToString::to_string).collect();
    let looks = 2 + trial.clients / CLIENTS_PER_LOOK;
    let moorline = Moorline { server, pace, looks, looks_left: looks, sessions: Vec::new() };
    Ok((Box::new(moorline), format!("{public} {}", addresses.join(" "))))
}

impl Moorline {
    fn next(&mut self, deadline: Instant) -> Option<ServerEvent> {
        if self.pace == Pace::Arrival {
            return self.server.poll_until(deadline);
        }
        loop {
            if let Some(event) = self.server.poll() {
                return Some(event);
            }
            self.looks_left -= 1;
            if self.looks_left == 0 {
                self.looks_left = self.looks;
                sleep_until(deadline);
                return None;
            }
        }
    }

    fn place(session: SessionId) -> usize {
        session.0 as u32 as usize
    }
}

impl Server for Moorline {
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        loop {
            match self.next(deadline)? {
                ServerEvent::Message { session, message: it } => {
                    return Some(message(session.0 as u32, &it, payload));
                }
                ServerEvent::Login(request) => request.accept(),
                ServerEvent::Session(event) => {
                    let (place, client) = (Self::place(event.session), event.session.0 as u32);
                    if event.kind == EventKind::LoginSucceeded {
                        if self.sessions.len() <= place {
                            self.sessions.resize(place + 1, None);
                        }
                        self.sessions[place] = Some(event.session);
                        return Some(Event::Connected(client));
                    }
                    if event.from == State::LoggedIn && event.to != State::LoggedIn {
                        self.sessions[place] = None;
                        return Some(Event::Gone(client));
                    }
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, to: u32, lane: Lane, payload: &[u8]) -> bool {
        let Some(session) = self.sessions[to as usize] else { return false };
        self.server.send_bytes(session, kind(lane), 0, payload).is_ok()
    }

    fn tick(&mut self) {
        self.server.flush();
    }
}

struct MoorlineClients {
    first: u32,
    to: Vec<SocketAddr>,
    key: HostPublicKey,
    clients: Vec<Client>,
    /// Whether each has something to flush.
    has_sent: Vec<bool>,
    is_idle: bool,
    is_crowd: bool,
    /// Who is looked at now, and when the next pass begins.
    pass: VecDeque<u32>,
    look_at: Instant,
    /// With whom that one begins, and whether anything was found in this one.
    next: u32,
    is_found: bool,
    /// Who waits for answers, in every pass.
    connecting: VecDeque<u32>,
}

fn join(trial: &Trial, invitation: &str) -> Result<Box<dyn Clients>, String> {
    let mut words = invitation.split(' ');
    let key = words.next().ok_or("no key")?.parse().map_err(told)?;
    let to: Result<Vec<SocketAddr>, _> = words.map(str::parse).collect();
    Ok(Box::new(MoorlineClients {
        first: trial.first,
        is_idle: trial.scenario == Scenario::Idle,
        is_crowd: is_crowd(trial),
        look_at: Instant::now(),
        to: to.map_err(told)?,
        key,
        clients: Vec::new(),
        has_sent: Vec::new(),
        pass: VecDeque::new(),
        next: 0,
        is_found: false,
        connecting: VecDeque::new(),
    }))
}

impl MoorlineClients {
    /// What a client has to tell.
    fn look(&mut self, client: u32, payload: &mut Vec<u8>) -> Option<Event> {
        while let Some(event) = self.clients[client as usize].poll() {
            let event = Self::event(client, event, payload);
            if let Some(Event::Connected(client)) = event {
                self.connecting.retain(|other| *other != client);
            }
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Chooses who is looked at now, and when others are.
    fn begin_pass(&mut self, deadline: Instant) {
        let (now, all) = (Instant::now(), self.clients.len() as u32);
        let mut some = all;
        if self.is_idle {
            self.pass.extend(&self.connecting);
            // More of them where what was done meanwhile took longer than they are left alone for.
            let late =
                now.saturating_duration_since(self.look_at).div_duration_f64(REST_PER_CLIENT);
            some = all.min(RESTING_PER_PASS + late as u32);
        }
        self.pass.extend((self.next..self.next + some).map(|client| client % all));
        self.next = (self.next + some).checked_rem(all).unwrap_or(0);
        self.look_at = match (self.is_idle, std::mem::take(&mut self.is_found)) {
            (true, _) => self.look_at.max(now) + REST_PER_CLIENT * some,
            (false, true) => now,
            (false, false) => deadline.min(now + (NAP_PER_CLIENT * some).max(NAP_MIN)),
        };
    }

    fn event(client: u32, event: ClientEvent, payload: &mut Vec<u8>) -> Option<Event> {
        match event {
            ClientEvent::Message(it) => Some(message(client, &it, payload)),
            ClientEvent::Session(event) => {
                if event.kind == EventKind::LoginSucceeded {
                    return Some(Event::Connected(client));
                }
                let is_lost = event.from == State::LoggedIn && event.to != State::LoggedIn;
                is_lost.then_some(Event::Gone(client))
            }
            _ => None,
        }
    }
}

impl Clients for MoorlineClients {
    fn open(&mut self, client: u32) -> Result<(), String> {
        let client = self.first + client;
        let mut config = ClientConfig::native(format!("client-{client}"), self.key)
            .with_kind(RELIABLE, OurLane::ReliableOrdered)
            .with_kind(UNRELIABLE, OurLane::Unreliable);
        if self.is_crowd {
            config.dialer.liveness = PATIENCE;
        }
        let to = self.to.get((client / CLIENTS_PER_FAMILY) as usize).ok_or("no ports are left")?;
        self.has_sent.push(false);
        self.connecting.push_back(self.clients.len() as u32);
        self.clients.push(Client::connect(*to, config).map_err(told)?);
        Ok(())
    }

    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event> {
        loop {
            while let Some(client) = self.pass.front() {
                if let Some(event) = self.look(*client, payload) {
                    self.is_found = true;
                    return Some(event);
                }
                self.pass.pop_front();
            }
            let now = Instant::now();
            if now < self.look_at {
                sleep_until(deadline.min(self.look_at));
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.begin_pass(deadline);
        }
    }

    fn send(&mut self, from: u32, lane: Lane, payload: &[u8]) -> bool {
        self.has_sent[from as usize] = true;
        self.clients[from as usize].send_bytes(kind(lane), 0, payload).is_ok()
    }

    fn tick(&mut self, client: u32) {
        if std::mem::take(&mut self.has_sent[client as usize]) {
            self.clients[client as usize].flush();
        }
    }
}
