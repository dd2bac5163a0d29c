//! What is compared, as the harness sees it.

use std::fmt;

use moorline_link::Time;

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where messages are sent.
    Client,
    /// Where they arrive.
    Host,
}

impl End {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Host];
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reliable and in order.
    Reliable,
    /// Once or never, where there is such a way; reliable otherwise.
    State,
}

/// A client and a host of one library, connected with each other.
pub trait Contender: fmt::Debug {
    /// Whether the connection is there.
    fn is_ready(&self) -> bool;

    /// Whether the connection was given up.
    fn has_given_up(&self) -> bool;

    /// Sends a message from the client; false if it is not taken now.
    fn send(&mut self, now: Time, kind: Kind, payload: &[u8]) -> bool;

    /// The tick of both applications is over: what they sent should leave.
    fn tick(&mut self, now: Time);

    /// A datagram arrived.
    fn receive(&mut self, now: Time, at: End, datagram: &[u8]);

    /// Writes the next datagram over what `out` held; false if there is none.
    fn transmit(&mut self, now: Time, from: End, out: &mut Vec<u8>) -> bool;

    /// When it wants to be woken, beside the ticks.
    fn poll_timeout(&self) -> Option<Time>;

    /// It is time.
    fn handle_timeout(&mut self, now: Time);

    /// The next message that the host's application got.
    fn delivered(&mut self) -> Option<Vec<u8>>;

    /// Bytes of each datagram that a layer below it would add.
    fn datagram_overhead(&self) -> usize {
        0
    }
}
