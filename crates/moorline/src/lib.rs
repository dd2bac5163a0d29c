//! Sessions for real-time programs over UDP.
//!
//! A *session* is the relationship between a user and a host. It logs in, stays alive, gets lost,
//! comes back and ends, and everything about that can be observed, session by session. A
//! [`Server`] has very many of them, a [`Client`] has one; both live by the same
//! [lifecycle](moorline_session::lifecycle) and are used in the same way: call `poll_until` in a
//! loop and look at what happened.
//!
//! ```
//! use std::time::Duration;
//! use moorline::{
//!     Client, ClientConfig, ClientEvent, Lane, Server, ServerConfig, ServerEvent, host_key,
//! };
//!
//! const CHAT: u16 = 100;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = host_key::generate()?;
//! let config = ClientConfig::native("ann", key.public());
//! let config = config.with_kind(CHAT, Lane::ReliableOrdered);
//! let host = ServerConfig::native("127.0.0.1:0".parse()?, key);
//! let mut server = Server::bind(host.with_kind(CHAT, Lane::ReliableOrdered))?;
//! let mut client = Client::connect(server.local_addresses()[0], config)?;
//!
//! let echo = loop {
//!     match server.poll_for(Duration::from_millis(1)) {
//!         Some(ServerEvent::Login(request)) => request.accept(),
//!         Some(ServerEvent::Message { session, message }) => {
//!             server.send_bytes(session, message.kind, 0, &message.payload)?;
//!         }
//!         _ => {}
//!     }
//!     match client.poll_for(Duration::from_millis(1)) {
//!         Some(ClientEvent::Welcome { .. }) => client.send_bytes(CHAT, 0, b"hello")?,
//!         Some(ClientEvent::Message(message)) => break message.payload,
//!         _ => {}
//!     }
//! };
//! assert_eq!(echo, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! A client knows its host by its key: a server that is to be found again keeps it in a file, see
//! [`host_key`]. The native protocol is always encrypted; [`NativeConfig`] has its settings, among
//! them who may come in at all ([`Admission`]). KCP serves clients that exist already.
//!
//! Messages are bytes with a kind, as above, or typed: see [`Message`] and [`Router`]. What a peer
//! may cost is set in [`Limits`]; when it counts as gone in [`LivenessPolicy`]; when a client tries
//! again in [`ReconnectPolicy`]. [`Server::snapshot`] and [`Client::snapshot`] give the figures of
//! a run, of which `moorline-metrics` makes a report.
//!
//! The modules, each using only those before it: `clock`, `waker`, `message`, `router`,
//! [`host_key`], `state_file`, `config`, `login`, [`kcp`], `pipe`, `shard`, `listen`, `server`,
//! `client` and `snapshot`.

mod client;
mod clock;
mod config;
pub mod host_key;
pub mod kcp;
mod listen;
mod login;
mod message;
mod pipe;
mod router;
mod server;
mod shard;
mod snapshot;
mod state_file;
mod waker;

pub use client::{Client, ClientEvent};
pub use config::{Carrier, ClientConfig, Listener, SendError, ServerConfig, StartError};
pub use host_key::{HostKey, HostPublicKey, KeyFileError};
pub use login::LoginRequest;
pub use message::{DecodeError, DeliverMessage, Incoming, Message};
pub use moorline_kcp::{KcpConfig, SyncPort};
pub use moorline_link::identity::Printable;
pub use moorline_link::{
    Delivery, Identity, Lane, Overflow, Payload, Reason, Refusal, RefusalCode,
    SendError as LinkSendError, Time,
};
pub use moorline_metrics::RunSnapshot;
pub use moorline_proto::EndpointConfig as NativeConfig;
pub use moorline_proto::endpoint::{Admission, Admitted, Token};
pub use moorline_session::{
    Cause, ClockSync, ConfigError, Detector, DialerConfig, DuplicatePolicy, Event, EventKind, Gap,
    HostConfig, HostCounters, Jitter, Limits, LivenessPolicy, Login, Misplaced, NoSession,
    ObserverId, Phase, ReconnectMode, ReconnectPolicy, Redirect, RoundTrip, Session, SessionId,
    State, Table, Totals, Watch,
};
pub use moorline_udp::BufferSizes;
pub use router::{Dispatch, Drained, Fault, HandlerError, RouteError, Router};
pub use server::{Broadcast, Server, ServerEvent};
pub use state_file::StateFileError;
pub use waker::Waker;
