//! A network that can be repeated: what happens to datagrams between two ends, from a seed.
//!
//! It reads no clock and opens no socket: a simulation drives it with virtual time, the relay of
//! the `moorline` program with the real one.
//!
//! The modules, each using only those before it:
//!
//! * [`network`]: one direction of a path, with its delay, loss and other conditions.

pub mod network;
