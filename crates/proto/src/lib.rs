//! Moorline's native protocol, without a socket and without a clock.
//!
//! What travels is written down to the bit in `PROTOCOL.md`. This crate holds the floors that the
//! protocol stands on: numbers, bytes and keys. It opens no socket, reads no clock and asks the
//! operating system for no randomness: time comes as [`Time`](moorline_link::Time), and every
//! secret begins as random bytes that the caller passes in.
//!
//! The modules, each using only those before it:
//!
//! * [`seq`]: packet numbers and sequence numbers, their short forms, and what was seen of them.
//! * [`wire`]: packets, frames and what they are made of, as bytes.
//! * [`crypto`]: who the host is, how two sides agree on keys, and what protects each packet.
//! * [`recovery`]: what was sent and lost, what to send again, and how fast.
//!
//! Two habits hold throughout. What a peer sent is *parsed*: it is checked in full and the result
//! is a small value or a view of the bytes; a bad byte is an error value and never a panic. And
//! nothing changes before a tag verifies: what judges a packet takes `&self`.

pub mod crypto;
pub mod lanes;
pub mod link;
pub mod recovery;
pub mod seq;
pub mod wire;
