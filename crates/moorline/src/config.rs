//! What a server and a client can be told, and what can go wrong when they start.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use moorline_kcp::{KcpConfig, SyncPort};
use moorline_link::{Delivery, Lane, Overflow};
use moorline_proto::EndpointConfig;
use moorline_proto::crypto::{HostKey, HostPublicKey};
use moorline_session::{ConnectError, DialerConfig, HostConfig, Login};
use moorline_udp::{BindError, BufferSizes};

use crate::message::{DeliverMessage, Message};
use crate::state_file::StateFileError;

/// Where a server listens and how it treats its sessions.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Lifecycle, limits, duplicates and delivery policy of all sessions.
    pub host: HostConfig,
    /// Where it listens; all of it is up before [`Server::bind`](crate::Server::bind) succeeds.
    pub listeners: Vec<Listener>,
    /// Sizes of each socket's buffers. Default: [`BufferSizes::HOST`], as the bursts of a tick have
    /// to fit.
    pub buffers: BufferSizes,
    /// How many threads serve each native listener, each with a socket and links of its own; up to
    /// 64. With 1, the default, everything happens on the thread that polls, and none of this costs
    /// anything. Sessions, and whatever the application does, stay on that thread in any case.
    pub shards: usize,
    /// Where sessions are kept beyond the life of this process; nowhere by default. See
    /// [`with_state_file`](Self::with_state_file).
    pub state_file: Option<PathBuf>,
}

/// One place where a server can be reached.
#[derive(Clone, Debug)]
pub enum Listener {
    /// For clients that know the host's key: encrypted, as everything native is.
    Native {
        /// Where it listens.
        address: SocketAddr,
        /// Who the host is; see [`host_key`](crate::host_key).
        key: Arc<HostKey>,
        /// The protocol's own settings. How many links there may be follows from
        /// [`Limits`](moorline_session::Limits), whatever is set here.
        native: Box<EndpointConfig>,
    },
    /// For existing KCP peers: in the clear, and anyone can claim to be anyone. What a stranger can
    /// cost is bounded by [`Limits`](moorline_session::Limits).
    KcpPlaintextUnauthenticated {
        /// Where the reliable lane arrives, and all else without a sync port.
        reliable: SocketAddr,
        /// Where the sync lane arrives.
        sync: Option<SocketAddr>,
        /// The protocol's own settings. How many links there may be follows from
        /// [`Limits`](moorline_session::Limits), whatever is set here.
        kcp: KcpConfig,
    },
}

impl ServerConfig {
    /// A server with this key on one port, for clients that know its public key.
    pub fn native(address: SocketAddr, key: HostKey) -> Self {
        let (key, native) = (Arc::new(key), Box::default());
        let listeners = vec![Listener::Native { address, key, native }];
        Self::with_listeners(listeners)
    }

    fn with_listeners(listeners: Vec<Listener>) -> Self {
        let (host, buffers) = (HostConfig::default(), BufferSizes::HOST);
        Self { host, listeners, buffers, shards: 1, state_file: None }
    }

    /// The same server, reached in one more way. All sessions are in one table.
    #[must_use]
    pub fn with_listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// A server for KCP peers on one port: plaintext, and anyone can claim to be anyone.
    pub fn kcp_plaintext_unauthenticated(reliable: SocketAddr) -> Self {
        let kcp = KcpConfig::default();
        let listener = Listener::KcpPlaintextUnauthenticated { reliable, sync: None, kcp };
        Self::with_listeners(vec![listener])
    }

    /// The same server, whose native sessions are in the file at `path` as well: a server that is
    /// started again with the same key, file and listeners keeps them for their users, who go on
    /// without a login, however its process ended. What was on its way between them may be lost
    /// then, which [`Resumed`](moorline_session::EventKind::Resumed) tells both
    /// sides. The file is small, bounded, sealed with the key of the first native listener, and
    /// for one server at a time. It outlives the process; after a power cut its end may be missing,
    /// and those sessions come back by a login.
    #[must_use]
    pub fn with_state_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_file = Some(path.into());
        self
    }

    /// The same server, each native listener of which is served by so many threads: they receive,
    /// decrypt, encrypt and send. They share a port by `SO_REUSEPORT`, which Windows has not. By it
    /// another program of the same user could join them, and get a part of what arrives.
    /// Beside a [state file](Self::with_state_file), who was let in within a millisecond of the end
    /// of the process may have to log in again.
    #[must_use]
    pub const fn with_shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// The same server with `M` in its delivery policy.
    #[must_use]
    pub fn with_message<M: Message>(mut self) -> Self {
        self.host.delivery = self.host.delivery.with_message::<M>();
        self
    }

    /// The same server with a kind in its delivery policy.
    #[must_use]
    pub fn with_kind(mut self, kind: u16, lane: Lane) -> Self {
        self.host.delivery = self.host.delivery.with(kind, lane);
        self
    }

    /// The same server with this answer to a peer that takes what is sent to it too slowly.
    #[must_use]
    pub fn with_overflow(mut self, lane: Lane, overflow: Overflow) -> Self {
        self.host.delivery = self.host.delivery.with_overflow(lane, overflow);
        self
    }

    /// The same server with this delivery policy.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.host.delivery = delivery;
        self
    }
}

/// How a client reaches its host and treats its session.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Lifecycle, reconnect and delivery policy, and what it logs in with.
    pub dialer: DialerConfig,
    /// What carries the session.
    pub carrier: Carrier,
    /// Sizes of the socket's buffers. Default: what the system gives.
    pub buffers: BufferSizes,
}

/// What carries a client's session.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// The native protocol, with the one host that has this key.
    Native {
        /// The host's public key.
        host: HostPublicKey,
        /// The protocol's own settings.
        native: Box<EndpointConfig>,
    },
    /// As existing KCP peers do: in the clear, and the host may be anyone.
    KcpPlaintextUnauthenticated {
        /// The protocol's own settings; [`KcpConfig::sync`] names the host's sync port.
        kcp: KcpConfig,
    },
}

impl ClientConfig {
    /// A client of the host with this key, logging in under this name.
    pub fn native(name: impl AsRef<[u8]>, host: HostPublicKey) -> Self {
        Self::new(name, Carrier::Native { host, native: Box::default() })
    }

    /// A client of a KCP host, logging in under this name: plaintext, and the host may be anyone.
    pub fn kcp_plaintext_unauthenticated(name: impl AsRef<[u8]>) -> Self {
        Self::new(name, Carrier::KcpPlaintextUnauthenticated { kcp: KcpConfig::default() })
    }

    /// A client over this carrier, logging in under this name.
    pub fn new(name: impl AsRef<[u8]>, carrier: Carrier) -> Self {
        let login = Login { identity: name.as_ref().to_vec(), payload: Vec::new() };
        let dialer = DialerConfig { login: Some(login), ..DialerConfig::default() };
        Self { dialer, carrier, buffers: BufferSizes::SYSTEM }
    }

    /// The same client, sending its latest lane to this port of a KCP host. The native protocol
    /// needs no second port.
    #[must_use]
    pub fn with_sync_port(mut self, port: u16) -> Self {
        if let Carrier::KcpPlaintextUnauthenticated { kcp } = &mut self.carrier {
            kcp.sync = Some(SyncPort(port));
        }
        self
    }

    /// The same client with `M` in its delivery policy.
    #[must_use]
    pub fn with_message<M: Message>(mut self) -> Self {
        self.dialer.delivery = self.dialer.delivery.with_message::<M>();
        self
    }

    /// The same client with a kind in its delivery policy.
    #[must_use]
    pub fn with_kind(mut self, kind: u16, lane: Lane) -> Self {
        self.dialer.delivery = self.dialer.delivery.with(kind, lane);
        self
    }

    /// The same client with this answer to a host that takes what is sent to it too slowly.
    #[must_use]
    pub fn with_overflow(mut self, lane: Lane, overflow: Overflow) -> Self {
        self.dialer.delivery = self.dialer.delivery.with_overflow(lane, overflow);
        self
    }

    /// The same client with this delivery policy.
    #[must_use]
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.dialer.delivery = delivery;
        self
    }
}

/// Why a server or a client did not start. Nothing of it is left running.
#[derive(Debug)]
pub enum StartError {
    /// A setting of the sessions makes no sense.
    Config(moorline_session::ConfigError),
    /// A setting of the native protocol makes no sense.
    Native(moorline_proto::ConfigError),
    /// A setting of KCP makes no sense.
    Kcp(moorline_kcp::ConfigError),
    /// There is nowhere to listen.
    NoListener,
    /// There are more listeners, with all their shards, than a server can have, which is 255.
    TooManyListeners {
        /// How many there are.
        len: usize,
    },
    /// A listener cannot be served by so many threads.
    Shards {
        /// How many there were to be.
        len: usize,
    },
    /// A socket could not be bound.
    Bind(BindError),
    /// The state file is of no use.
    State(StateFileError),
    /// There is a state file, and no native listener: others cannot go on with a session.
    StateWithoutKey,
    /// The client cannot dial.
    Connect(ConnectError),
    /// The operating system refused something else.
    Io(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "bad setting: {error}"),
            Self::Native(error) => write!(f, "bad setting: {error}"),
            Self::Kcp(error) => write!(f, "bad setting: {error}"),
            Self::NoListener => f.write_str("the server has no listener: name an address"),
            Self::TooManyListeners { len } => {
                write!(f, "{len} listeners are too many: 255 are the most")
            }
            Self::Shards { len } => write!(f, "{len} shards cannot be: choose 1 to 64"),
            Self::Bind(error) => fmt::Display::fmt(error, f),
            Self::State(error) => fmt::Display::fmt(error, f),
            Self::StateWithoutKey => {
                f.write_str("a state file is of use with a native listener only")
            }
            Self::Connect(error) => fmt::Display::fmt(error, f),
            Self::Io(error) => write!(f, "the operating system refused: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Native(error) => Some(error),
            Self::Kcp(error) => Some(error),
            Self::NoListener
            | Self::TooManyListeners { .. }
            | Self::Shards { .. }
            | Self::StateWithoutKey => None,
            Self::State(error) => Some(error),
            Self::Bind(error) => Some(error),
            Self::Connect(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<moorline_session::ConfigError> for StartError {
    fn from(error: moorline_session::ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<moorline_proto::ConfigError> for StartError {
    fn from(error: moorline_proto::ConfigError) -> Self {
        Self::Native(error)
    }
}

impl From<moorline_kcp::ConfigError> for StartError {
    fn from(error: moorline_kcp::ConfigError) -> Self {
        Self::Kcp(error)
    }
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

/// Why a message was not sent. It was not sent in part either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The delivery policy does not know the kind.
    UnknownKind(moorline_link::lane::UnknownKind),
    /// The session or its transport did not take it.
    Link(moorline_link::SendError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(error) => fmt::Display::fmt(error, f),
            Self::Link(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for SendError {}

impl From<moorline_link::lane::UnknownKind> for SendError {
    fn from(error: moorline_link::lane::UnknownKind) -> Self {
        Self::UnknownKind(error)
    }
}

impl From<moorline_link::SendError> for SendError {
    fn from(error: moorline_link::SendError) -> Self {
        Self::Link(error)
    }
}
