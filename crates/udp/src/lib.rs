//! UDP sockets for Moorline: the only room that talks to the operating system.
//!
//! [`Sockets`] owns a few UDP sockets, moves opaque datagrams through them and sleeps until one
//! arrives. It knows no link, no session and no clock. A program drives it with the drain rule of
//! Moorline's transports:
//!
//! 1. [`recv`](Sockets::recv) on every socket, until it says that it is [`Empty`](Recv::Empty).
//! 2. Act on what came in.
//! 3. [`send`](Sockets::send) what is to go out; or [`flush`](Sockets::flush) it, if it is much.
//! 4. [`wait`](Sockets::wait) until the next deadline, and begin again.
//!
//! ```
//! use moorline_udp::{BufferSizes, Recv, Sockets};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut host = Sockets::bind(&["127.0.0.1:0".parse()?], BufferSizes::HOST)?;
//! let mut client = Sockets::bind(&["127.0.0.1:0".parse()?], BufferSizes::SYSTEM)?;
//! client.send(0, host.local_addr(0), b"ahoy");
//!
//! let mut heard = Vec::new();
//! while heard.is_empty() {
//!     host.wait(Some(Duration::from_millis(100)))?;
//!     while let Recv::Datagram { datagram, .. } = host.recv(0) {
//!         heard.extend_from_slice(datagram);
//!     }
//! }
//! assert_eq!(heard, b"ahoy");
//! # Ok(())
//! # }
//! ```
//!
//! What the network reports is never the end of a socket: an ICMP message (a closed port, no route)
//! is counted and receiving goes on, because anyone on the path can forge one; a datagram that the
//! system would not send is lost, as datagrams are.
//!
//! The modules, each using only those before it:
//!
//! * `os`: what each system answers in its own way.
//! * `open_files`: how many sockets a process may have.
//! * `buffers`: the sizes of the kernel's queues, asked and granted.
//! * `bind`: opening sockets, all or none, and what to do when one cannot be had.
//! * `counters`: what happened, for the operator.
//! * `wait`: sleeping until something arrives.
//! * `arrivals`: many datagrams in with one call.
//! * `departures`: many datagrams out with one call.
//! * `sockets`: [`Sockets`], which is all of it together.

mod arrivals;
mod bind;
mod buffers;
mod counters;
mod departures;
mod open_files;
mod os;
mod sockets;
mod wait;

pub use bind::BindError;
pub use buffers::{BufferReport, BufferSizes, Granted};
pub use counters::{Counters, ErrorCounts};
pub use departures::Departures;
pub use open_files::raise_open_files_limit;
pub use sockets::{Recv, Sent, Sockets};
pub use wait::{Waker, Woken};
