//! Moorline's native protocol, without a socket and without a clock.
//!
//! What travels is written down to the bit in `PROTOCOL.md`. An [`Endpoint`] is a host or a client
//! behind the seam that sessions use. Nothing here opens a socket, reads a clock or asks the
//! operating system for randomness: time comes as [`Time`](moorline_link::Time), and every secret
//! begins as random bytes that the caller passes in.
//!
//! The modules, each using only those before it:
//!
//! * `notes`: what the parts of a link write down of themselves while it rests.
//! * [`seq`]: packet numbers and sequence numbers, their short forms, and what was seen of them.
//! * [`wire`]: packets, frames and what they are made of, as bytes.
//! * [`crypto`]: who the host is, how two sides agree on keys, and what protects each packet.
//! * [`recovery`]: what was sent and lost, what to send again, and how fast.
//! * [`lanes`]: from messages to frames and back, as often and in the order that was promised.
//! * [`link`]: one link after its handshake.
//! * [`endpoint`]: a host or a client, behind the seam that sessions use.
//!
//! Two habits hold throughout. What a peer sent is *parsed*: it is checked in full and the result
//! is a small value or a view of the bytes; a bad byte is an error value and never a panic. And
//! nothing changes before a tag verifies: what judges a packet takes `&self`.

pub mod crypto;
pub mod endpoint;
pub mod lanes;
pub mod link;
mod notes;
pub mod recovery;
pub mod seq;
pub mod wire;

pub use endpoint::{ConfigError, Endpoint, EndpointConfig, PassedOn, Sibling};
