//! The words that both sides of Moorline's transport seam share.
//!
//! A *session* (in `moorline-session`) talks to whatever carries its bytes only through the types
//! here; a *transport* (`moorline-kcp`, and others) implements [`Transport`] and knows nothing of
//! sessions, users or sockets. This crate is a leaf: it reads no clock, opens no socket, starts no
//! thread and asks the operating system for no randomness.
//!
//! The modules, each using only those before it:
//!
//! * [`time`]: an integer time, given to every call that needs one.
//! * [`rng`]: random numbers from a seed that is passed in, and hash tables keyed by such a seed.
//! * [`ahead`]: memory that is asked for before it is needed.
//! * [`slots`]: a table whose keys cannot be mistaken for one another.
//! * [`index`]: finds places of such a table by keys that lie in it.
//! * [`wheel`]: a timing wheel, so that a quiet session or link costs nothing a tick.
//! * [`identity`]: who logged in, and how a stranger's bytes are printed.
//! * [`network`]: which addresses are one party's.
//! * [`ecn`]: what a datagram says of the congestion that it met.
//! * [`payload`]: the bytes of messages, whose memory is used again.
//! * [`lane`]: how a message travels, and which kinds of message travel how.
//! * [`reason`]: why something was refused, closed or lost.
//! * [`transport`]: the seam itself.
//! * [`memory`]: a transport without a protocol, for tests and measurements.

pub mod ahead;
pub mod ecn;
pub mod identity;
pub mod index;
pub mod lane;
pub mod memory;
pub mod network;
pub mod payload;
pub mod reason;
pub mod rng;
pub mod slots;
pub mod time;
pub mod transport;
pub mod wheel;

pub use ecn::Ecn;
pub use identity::Identity;
pub use lane::{Delivery, Lane, Overflow};
pub use payload::Payload;
pub use reason::{Reason, Refusal, RefusalCode};
pub use time::Time;
pub use transport::{
    Control, LinkEvent, LinkId, LinkStats, Message, Origin, Outgoing, Port, Resumes, SendError,
    Transmit, Transport,
};
