//! What is compared, as the harness sees it: a server, and the clients of one load process.

use std::time::Instant;

use super::trial::Trial;

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Reliable and in order.
    Reliable,
    /// Once or never, where there is such a way; reliable otherwise.
    Unreliable,
}

/// What an end tells. Clients have small numbers: at the server those that it gives them, in the
/// load those with which they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client is in: from now on messages can be sent.
    Connected(u32),
    /// A client is gone that should not be.
    Gone(u32),
    /// A message came; it is in the buffer that was given.
    Message(u32, Lane),
}

/// The measured side.
pub trait Server {
    /// The next event, waiting until the deadline at the latest. A message is written over what
    /// `payload` held.
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event>;

    /// Sends a message; false if it is not taken now.
    fn send(&mut self, to: u32, lane: Lane, payload: &[u8]) -> bool;

    /// The application's tick is over: what it sent should leave.
    fn tick(&mut self) {}
}

/// The load.
pub trait Clients {
    /// Begins to connect.
    ///
    /// # Errors
    /// When no socket or no connection can be had.
    fn open(&mut self, client: u32) -> Result<(), String>;

    /// As [`Server::poll`].
    fn poll(&mut self, deadline: Instant, payload: &mut Vec<u8>) -> Option<Event>;

    /// As [`Server::send`].
    fn send(&mut self, from: u32, lane: Lane, payload: &[u8]) -> bool;

    /// As [`Server::tick`], for one client.
    fn tick(&mut self, _client: u32) {}
}

/// Starts a server, and says what its clients have to know.
pub type Serve = fn(&Trial) -> Result<(Box<dyn Server>, String), String>;

/// Makes the clients of a server that said this.
pub type Join = fn(&Trial, &str) -> Result<Box<dyn Clients>, String>;

/// A library, set up as its authors intend.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// What it is called.
    pub name: &'static str,
    /// How it is set up: a line under each table.
    pub settings: &'static str,
    /// Whether its reliable lane is one.
    pub is_reliable: bool,
    /// So many clients are all that it can have.
    pub clients_max: u32,
    /// So many bytes are the longest message that it takes.
    pub message_len_max: usize,
    /// Its server.
    pub serve: Serve,
    /// Its clients.
    pub join: Join,
}

/// When a server looks at its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// When something arrives.
    Arrival,
    /// Once a tick, as a game loop does: the processor wakes up less often, and messages wait.
    Tick,
}

/// Text for an error of any kind.
pub(super) fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
