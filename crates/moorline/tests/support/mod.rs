//! A server and clients on loopback, driven on one thread until something is so.

#![allow(dead_code, reason = "each test file uses its own part of the stage")]

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use moorline::{
    Client, ClientConfig, ClientEvent, DecodeError, EventKind, HostKey, Jitter, Lane, Listener,
    LivenessPolicy, Message, NativeConfig, Server, ServerConfig, ServerEvent, State, host_key,
};

/// No step of a test takes longer, or it has failed.
const STEP_TIME_MAX: Duration = Duration::from_secs(20);

/// Words on the reliable lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chat(pub(crate) String);

impl Message for Chat {
    const KIND: u16 = 100;
    const LANE: Lane = Lane::ReliableOrdered;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.0.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = str::from_utf8(bytes).map_err(|_| DecodeError::new("chat is not UTF-8"))?;
        Ok(Self(text.to_owned()))
    }
}

/// A number of which only the newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) u32);

impl Message for Position {
    const KIND: u16 = 101;
    const LANE: Lane = Lane::Latest;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes = bytes.try_into().map_err(|_| DecodeError::new("a position has four bytes"))?;
        Ok(Self(u32::from_le_bytes(bytes)))
    }
}

/// What carries the sessions of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Native,
    /// The same, where several threads of the server serve its port.
    Shards,
    Kcp,
}

thread_local! {
    /// A test has a thread of its own.
    static WIRE: Cell<Wire> = const { Cell::new(Wire::Native) };
}

impl Wire {
    /// What the test on this thread runs over.
    pub(crate) fn here() -> Self {
        WIRE.get()
    }

    pub(crate) fn run(self, test: fn()) {
        WIRE.set(self);
        test();
    }
}

/// Makes tests of functions, over the native protocol, on one thread of the server and on several.
#[allow(unused_macros, reason = "as above")]
macro_rules! over_native {
    ($($name:ident)*) => {
        mod native {
            $(#[test] fn $name() { crate::support::Wire::Native.run(super::$name) })*
        }
        mod shards {
            $(#[test] fn $name() { crate::support::Wire::Shards.run(super::$name) })*
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use over_native;

/// The same, over each wire.
#[allow(unused_macros, reason = "as above")]
macro_rules! over_all {
    ($($name:ident)*) => {
        crate::support::over_native! { $($name)* }
        mod kcp {
            $(#[test] fn $name() { crate::support::Wire::Kcp.run(super::$name) })*
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use over_all;

/// One key for all hosts of a run, so that one that is started again is known.
static KEY: LazyLock<Arc<HostKey>> =
    LazyLock::new(|| Arc::new(host_key::generate().expect("the system has randomness")));

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn server_config(address: SocketAddr) -> ServerConfig {
    let mut config = ServerConfig::kcp_plaintext_unauthenticated(address);
    if Wire::here() == Wire::Shards {
        config = config.with_shards(3);
    }
    if Wire::here() != Wire::Kcp {
        let (key, native) = (Arc::clone(&KEY), Box::<NativeConfig>::default());
        config.listeners = vec![Listener::Native { address, key, native }];
    }
    let mut config = config.with_message::<Chat>().with_message::<Position>();
    config.host.liveness = quick();
    config
}

pub(crate) fn client_config(name: &str) -> ClientConfig {
    let config = match Wire::here() {
        Wire::Native | Wire::Shards => ClientConfig::native(name, KEY.public()),
        Wire::Kcp => ClientConfig::kcp_plaintext_unauthenticated(name),
    };
    let mut config = config.with_message::<Chat>().with_message::<Position>();
    config.dialer.liveness = quick();
    config.dialer.reconnect.first_delay = Duration::from_millis(50);
    config.dialer.reconnect.jitter = Jitter::None;
    config
}

/// A test should not wait for the defaults' six seconds.
fn quick() -> LivenessPolicy {
    LivenessPolicy::new(Duration::from_millis(200), Duration::from_millis(1_000))
}

/// A server, its clients, and all that they told.
pub(crate) struct Stage {
    pub(crate) server: Option<Server>,
    pub(crate) clients: Vec<Client>,
    pub(crate) told_by_server: Vec<ServerEvent>,
    pub(crate) told_by_clients: Vec<Vec<ClientEvent>>,
    /// Whether logins are accepted as they come; otherwise they are told like everything else.
    pub(crate) lets_everyone_in: bool,
}

impl Stage {
    pub(crate) fn new(server: ServerConfig) -> Self {
        Self {
            server: Some(Server::bind(server).expect("a free port")),
            clients: Vec::new(),
            told_by_server: Vec::new(),
            told_by_clients: Vec::new(),
            lets_everyone_in: true,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("a server").local_addresses()[0]
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("a server")
    }

    /// Starts a client and says its number.
    pub(crate) fn join(&mut self, config: ClientConfig) -> usize {
        let client = Client::connect(self.address(), config).expect("a free port");
        self.clients.push(client);
        self.told_by_clients.push(Vec::new());
        self.clients.len() - 1
    }

    /// Starts a client and waits until it is logged in.
    pub(crate) fn log_in(&mut self, name: &str) -> usize {
        let number = self.join(client_config(name));
        self.drive_until(|stage| stage.clients[number].state() == State::LoggedIn);
        number
    }

    /// Lets everyone do what is due, until `is_so`.
    pub(crate) fn drive_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + STEP_TIME_MAX;
        while !is_so(self) {
            assert!(Instant::now() < end, "it did not come about: {:?}", self.told_by_clients);
            self.turn();
        }
    }

    /// Lets everyone do what is due for a while.
    pub(crate) fn drive_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
        }
    }

    fn turn(&mut self) {
        if let Some(server) = &mut self.server {
            while let Some(event) = server.poll_for(Duration::from_millis(1)) {
                match event {
                    ServerEvent::Login(request) if self.lets_everyone_in => request.accept(),
                    event => self.told_by_server.push(event),
                }
            }
        }
        for (client, told) in self.clients.iter_mut().zip(&mut self.told_by_clients) {
            while let Some(event) = client.poll() {
                told.push(event);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }

    /// What the lifecycle of a client told, heartbeats and warnings left out.
    pub(crate) fn life(&self, client: usize) -> Vec<EventKind> {
        let events = self.told_by_clients[client].iter().filter_map(|event| match event {
            ClientEvent::Session(event) => Some(event.kind),
            _ => None,
        });
        events.filter(is_scripted).collect()
    }

    /// The messages of one kind that a client was sent.
    pub(crate) fn received<M: Message>(&self, client: usize) -> Vec<M> {
        let events = self.told_by_clients[client].iter().filter_map(|event| match event {
            ClientEvent::Message(message) => message.decode().ok(),
            _ => None,
        });
        events.collect()
    }
}

fn is_scripted(kind: &EventKind) -> bool {
    !matches!(
        kind,
        EventKind::HeartbeatSent
            | EventKind::HeartbeatReceived
            | EventKind::Degraded
            | EventKind::Recovered
            | EventKind::Backlogged
            | EventKind::Relieved
    )
}
