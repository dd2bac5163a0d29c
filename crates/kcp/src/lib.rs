//! Links for existing KCP peers, behind the seam of [`moorline_link::Transport`].
//!
//! [`KcpEndpoint`] is a host or a client. It opens no socket and reads no clock: a driver hands it
//! datagrams and the time, and takes events and datagrams from it.
//!
//! ```
//! use moorline_kcp::{KcpConfig, KcpEndpoint};
//! use moorline_link::{LinkEvent, Port, Time, Transport};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut host = KcpEndpoint::host_plaintext_unauthenticated(KcpConfig::default(), 1)?;
//! let mut client = KcpEndpoint::client_plaintext_unauthenticated(KcpConfig::default(), 2)?;
//! let (host_address, client_address) = ("192.0.2.1:8080".parse()?, "192.0.2.2:5000".parse()?);
//! let link = client.dial(Time::ZERO, host_address, None)?;
//!
//! let mut datagram = Vec::new();
//! let now = Time::from_millis(1);
//! while client.poll_transmit(now, &mut datagram).is_some() {
//!     host.handle_datagram(now, Port(0), client_address, &datagram);
//! }
//! while host.poll_transmit(now, &mut datagram).is_some() {
//!     client.handle_datagram(now, Port(0), host_address, &datagram);
//! }
//! let up = LinkEvent::Up { link, address: host_address, resumes: None };
//! assert_eq!(client.poll_event(), Some(up));
//! # Ok(())
//! # }
//! ```
//!
//! # What it speaks
//!
//! KCP as in the C original (fast mode: a flush each 10 ms, repeats after two skips, no congestion
//! window, windows of 128 segments, datagrams of 1,200 bytes), one conversation for each peer and
//! lane. Every message is an [`Envelope`](envelope::Envelope) of one of the [`kinds`]. Messages of
//! which only the newest counts use a second UDP port where both sides have one; all others are
//! reliable and ordered, whatever lane was asked for. A host gives a sync endpoint to the player
//! that a `MoveInput` names first, so a client whose first such message is another sends a
//! `MoveInput` of tick 0 before it, which the host's application sees like any other. A sync lane
//! that is silent for six seconds while something waits on it, and others are heard, is given up
//! for the reliable one; a reliable lane that is silent for twelve while the sync lane goes on ends
//! the link. A state goes over the sync lane only when none before it is still under way on the
//! reliable one.
//!
//! KCP has no handshake. A client probes until the host answers, with KCP's own question for the
//! window; a host answers a probe without keeping anything, and makes a link only for the very
//! first data of a conversation.
//!
//! # What it does not do
//!
//! There is no encryption, no authentication and no proof of an address: whoever can guess a
//! peer's address and conversation number can speak for it, and whoever is behind the same address
//! can claim a player's sync endpoint while it has none. That is the protocol of the existing
//! peers; the constructors say it in their names. Before a login a host sends no more bytes than it
//! got, but its answer to a login from a forged address goes to that address, and is repeated until
//! the time to log in is over.
//!
//! Nothing tells one link from another but address, number and, on the sync lane, a name. So the
//! first datagram of a link, repeated to a host that was started anew, begins a link there in whose
//! middle the client already is: what was sent meanwhile may be lost or come twice, until either
//! side finds the other silent.
//!
//! # The modules, each using only those before it
//!
//! * [`envelope`] and [`kinds`]: what a message is on the wire.
//! * `control`: the words of the session layer as such messages.
//! * `segment`: a checked walk over a datagram before KCP sees it.
//! * [`config`]: the limits.
//! * `track`, `outbox`, `latest`, `census`, `counters`: bookkeeping, each on its own.
//! * `conversation`: one KCP and its clock.
//! * `link`: what belongs to one peer.
//! * [`endpoint`]: all of them together.

pub mod config;
pub mod endpoint;
pub mod envelope;
pub mod kinds;

mod census;
mod control;
mod conversation;
mod counters;
mod latest;
mod link;
mod outbox;
mod segment;
mod track;

pub use config::{ConfigError, KcpConfig, SyncPort, check_ports};
pub use endpoint::KcpEndpoint;
pub use kinds::{delivery, lane_of};
