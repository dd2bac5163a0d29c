//! Sessions of Moorline.
//!
//! A *session* is the relationship between a user and a host. It logs in, stays alive, gets lost,
//! comes back and ends, and every step can be observed. This crate decides all of that and touches
//! nothing: no socket, clock, thread or operating-system randomness. Time, seed and datagrams are
//! arguments; links are reached through [`moorline_link::Transport`] alone.
//!
//! Two owners share one [`Session`] and one [`lifecycle`]: a [`Host`] has very many sessions in a
//! [`Table`], a [`Dialer`] has one and brings it back. Both are driven with the same verbs:
//!
//! ```
//! use moorline_link::{Port, Time, memory::Memory};
//! use moorline_session::{Dialer, DialerConfig, Host, HostConfig, HostEvent, Login, State};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (host_at, client_at) = ("10.0.0.1:1".parse()?, "10.0.0.2:2".parse()?);
//! let login = Some(Login { identity: b"ann".to_vec(), payload: vec![] });
//! let config = DialerConfig { login, ..DialerConfig::default() };
//! let mut now = Time::ZERO;
//! let mut host = Host::new(HostConfig::default(), vec![Memory::new(1)], 1)?;
//! let mut client = Dialer::new(now, config, Memory::new(2), 2)?;
//! client.connect(now, host_at)?;
//!
//! while client.session().state() != State::LoggedIn {
//!     now = now + std::time::Duration::from_millis(1);
//!     // 1. What arrived, and the time.
//!     let mut datagram = Vec::new();
//!     while let Some(sent) = client.poll_transmit(now, &mut datagram) {
//!         host.handle_datagram(now, (0, sent.port), client_at, &datagram);
//!     }
//!     client.handle_timeout(now);
//!     host.handle_timeout(now);
//!     // 2. Events out, and answered.
//!     while let Some(event) = host.poll_event() {
//!         if let HostEvent::Login { session, .. } = event {
//!             host.accept_login(now, session, None, vec![])?;
//!         }
//!     }
//!     // 3. What is to be sent. (4., waiting until `poll_timeout`, is left out here.)
//!     while let Some((_, sent)) = host.poll_transmit(now, &mut datagram) {
//!         client.handle_datagram(now, sent.port, host_at, &datagram);
//!     }
//! }
//! assert_eq!(host.sessions().count(State::LoggedIn), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The modules, each using only those before it: [`lifecycle`], `config_error`, `reconnect`,
//! `liveness`, `clock_sync`, `config`, `overflow`, `guesses`, `cause`, `event`, `session`, `table`,
//! `host` and `dialer`.

mod cause;
mod clock_sync;
mod config;
mod config_error;
mod dialer;
mod event;
mod guesses;
mod host;
pub mod lifecycle;
mod liveness;
mod overflow;
mod reconnect;
mod session;
mod table;

pub use cause::Cause;
pub use clock_sync::{ClockSync, RoundTrip};
pub use config::{DuplicatePolicy, HostConfig, Limits};
pub use config_error::ConfigError;
pub use dialer::{ConnectError, Dialer, DialerConfig, DialerCounters, DialerEvent, Login};
pub use event::{Event, Gap, ObserverId, SessionId, Totals, Watch};
pub use host::draining::Redirect;
pub use host::login::{AnswerError, LoggedIn};
pub use host::saved::SavedSession;
pub use host::{Host, HostCounters, HostEvent, NoSession};
pub use lifecycle::{EventKind, Input, Misplaced, State};
pub use liveness::{Detector, LivenessPolicy, Phase};
pub use reconnect::{Jitter, ReconnectMode, ReconnectPolicy};
pub use session::{LinkRef, Session, Side};
pub use table::Table;
