//! Getting across what the network loses: what was sent, what arrived, what to send again and how
//! fast.
//!
//! Each part is a small machine that is told what happened (`on_sent`, `on_ack`,
//! `handle_timeout`), and says when it wants to be asked again (`poll_timeout`). None of them sees
//! a byte of a packet.
//!
//! * [`rtt`]: how long a round trip takes.
//! * [`sent`]: which packets are on their way, and what they carry.
//! * [`loss`]: which of them are lost, and when to ask.
//! * [`estimate`]: how likely a loss is, and how many copies that asks for.
//! * [`early`]: which frames are on their way, and which to send again before they are lost.
//! * [`congestion`] and [`pacer`]: how many bytes may be on their way, and how they are spread.
//! * [`ecn`]: whether routers may mark packets, and what their marks say.
//! * [`mtu`]: how long a packet may be.
//! * [`sender`]: all of these together.

pub mod congestion;
pub mod early;
pub mod ecn;
pub mod estimate;
pub mod loss;
pub mod mtu;
pub mod pacer;
pub mod rtt;
pub mod sender;
pub mod sent;

#[cfg(test)]
mod model;

use std::time::Duration;

/// A frame that is followed until it arrived. It is never mistaken for one that came before or
/// after it in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId {
    index: u32,
    generation: u32,
}

/// Whole microseconds, as many as there is room for.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
