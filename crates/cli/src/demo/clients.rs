//! The clients' side of the demo, all on one thread.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use moorline::{
    Carrier, Client, ClientConfig, ClientEvent, EventKind, Message, Reason, RefusalCode,
    StartError, State,
};

use super::script::{self, Cue, Role};
use crate::echo::{self, Echo, Sync};
use crate::load::{Account, Latencies, Stream};

/// How often each client sends on each lane.
const SEND_INTERVAL: Duration = Duration::from_millis(100);
const MESSAGE_LEN: usize = 64;

struct Actor {
    role: Role,
    name: String,
    /// None while the client has vanished.
    client: Option<Client>,
    life: Vec<EventKind>,
    last_reason: Option<Reason>,
    reliable: Stream,
    sync: Stream,
    next_send: Instant,
}

/// All clients of the demo.
pub(super) struct Clients {
    host: SocketAddr,
    carrier: Carrier,
    actors: Vec<Actor>,
    payload: Vec<u8>,
    failures: Vec<String>,
}

impl Clients {
    pub(super) fn start(
        host: SocketAddr,
        carrier: Carrier,
        sessions: u32,
    ) -> Result<Self, StartError> {
        let (actors, payload, failures) = (Vec::new(), Vec::new(), Vec::new());
        let mut clients = Self { host, carrier, actors, payload, failures };
        for number in 0..sessions {
            let role = Role::of(number);
            let name = role.session_name(number);
            let id = u64::from(number) * 2;
            clients.actors.push(Actor {
                role,
                client: Some(clients.connect(&name)?),
                name,
                life: Vec::new(),
                last_reason: None,
                reliable: Stream::new(id, MESSAGE_LEN),
                sync: Stream::new(id + 1, MESSAGE_LEN),
                next_send: Instant::now(),
            });
        }
        Ok(clients)
    }

    fn connect(&self, name: &str) -> Result<Client, StartError> {
        let mut config = ClientConfig::new(name, self.carrier.clone());
        config.dialer.liveness = script::liveness();
        Client::connect(self.host, config.with_delivery(echo::delivery()))
    }

    pub(super) fn on_cue(&mut self, cue: Cue) -> Result<(), StartError> {
        for actor in &mut self.actors {
            match (cue, actor.role) {
                (Cue::Vanish, Role::Vanishes | Role::Returns) => actor.client = None,
                (Cue::LogOut, Role::LogsOut) => {
                    if let Some(client) = &mut actor.client {
                        client.close();
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Brings back those who are to return, once the host has found them silent.
    pub(super) fn bring_back(&mut self, timed_out: &[String]) -> Result<(), StartError> {
        for number in 0..self.actors.len() {
            let actor = &self.actors[number];
            let is_due = actor.role == Role::Returns
                && actor.client.is_none()
                && timed_out.contains(&actor.name);
            if is_due {
                let client = self.connect(&actor.name)?;
                let actor = &mut self.actors[number];
                actor.client = Some(client);
                actor.life.clear();
            }
        }
        Ok(())
    }

    /// One look at every socket; sends what is due.
    pub(super) fn turn(&mut self, is_sending: bool) -> Result<(), StartError> {
        let now = Instant::now();
        for actor in &mut self.actors {
            actor.receive();
            if is_sending && actor.next_send <= now {
                actor.next_send = (actor.next_send + SEND_INTERVAL).max(now);
                actor.send(&mut self.payload);
                actor.receive();
            }
        }
        Ok(())
    }

    /// Whether everyone's last scene is over.
    pub(super) fn are_done(&self) -> bool {
        self.actors.iter().all(|actor| {
            let has_lived = actor.life.len() >= actor.role.client_life().len();
            has_lived && (actor.role != Role::Steady || actor.reliable.is_complete())
        })
    }

    pub(super) fn life(&self, number: u32) -> &[EventKind] {
        &self.actors[number as usize].life
    }

    /// Whether a client ended where its role says, for the reason that its role says.
    pub(super) fn check_end(&self, number: u32) -> Result<(), String> {
        let actor = &self.actors[number as usize];
        let name = &actor.name;
        let state = actor.client.as_ref().map(Client::state);
        let expected = match actor.role {
            Role::Steady | Role::Returns => Some(State::LoggedIn),
            Role::Vanishes => None,
            Role::LogsOut | Role::Intruder | Role::Evicted => Some(State::Disconnected),
        };
        if state != expected {
            return Err(format!("{name}: its client ended {state:?} instead of {expected:?}"));
        }
        let code = match &actor.last_reason {
            Some(Reason::Refused(refusal)) => Some(refusal.code),
            _ => None,
        };
        let expected = match actor.role {
            Role::Intruder => Some(RefusalCode::BadCredentials),
            Role::Evicted => Some(RefusalCode::Evicted),
            _ => None,
        };
        if expected.is_some() && code != expected {
            let told = &actor.last_reason;
            return Err(format!("{name}: its client was told {told:?} instead of {expected:?}"));
        }
        let account = actor.reliable.account();
        if actor.role == Role::Steady && !account.is_clean() {
            return Err(format!(
                "{name}: its reliable messages did not all come back: {account:?}"
            ));
        }
        Ok(())
    }

    /// What went wrong beside the scripts.
    pub(super) fn failures(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failures)
    }

    /// The account of all sessions that stayed.
    pub(super) fn account(&self) -> Account {
        let mut account = Account::default();
        let steady = self.actors.iter().filter(|actor| actor.role == Role::Steady);
        steady.for_each(|actor| account.add(&actor.reliable.account()));
        account
    }

    /// The newest heartbeat's round trip of each client.
    pub(super) fn round_trips(&mut self) -> Latencies {
        let mut latencies = Latencies::default();
        let clients = self.actors.iter().filter_map(|actor| actor.client.as_ref());
        clients
            .filter_map(|client| client.round_trip().last())
            .for_each(|round_trip| latencies.add(round_trip));
        latencies
    }
}

impl Actor {
    fn receive(&mut self) {
        let Some(client) = &mut self.client else { return };
        while let Some(event) = client.poll() {
            let now = client.now();
            match event {
                ClientEvent::Session(event) if script::is_scripted(event.kind) => {
                    self.life.push(event.kind);
                    let is_refused = event.kind == EventKind::LoginFailed;
                    // What it was told first is what counts, not the good-bye after it.
                    if self.last_reason.is_none() {
                        self.last_reason = event.reason;
                    }
                    if is_refused {
                        client.close();
                    }
                }
                ClientEvent::Message(message) if message.kind == Echo::KIND => {
                    self.reliable.on_received(now, &message.payload);
                }
                ClientEvent::Message(message) if message.kind == Sync::KIND => {
                    self.sync.on_received(now, &message.payload);
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, payload: &mut Vec<u8>) {
        let Some(client) = &mut self.client else { return };
        if client.state() != State::LoggedIn {
            return;
        }
        for (kind, stream) in [(Echo::KIND, &mut self.reliable), (Sync::KIND, &mut self.sync)] {
            stream.write(client.now(), payload);
            if client.send_bytes(kind, 0, payload).is_ok() {
                stream.on_sent();
            }
        }
    }
}
