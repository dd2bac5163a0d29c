//! Ending a wait from another thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the wait of a [`Server`](crate::Server) or [`Client`](crate::Client) from another thread:
/// the current one, or else the next. Many calls before one wait are one call.
#[derive(Clone, Debug)]
pub struct Waker {
    sockets: moorline_udp::Waker,
    /// Whether it was the application that called, and not an answer to a login.
    was_called: Arc<AtomicBool>,
}

impl Waker {
    pub(crate) fn new(sockets: moorline_udp::Waker) -> Self {
        Self { sockets, was_called: Arc::new(AtomicBool::new(false)) }
    }

    /// Ends the wait.
    ///
    /// # Errors
    /// When the operating system does not pass the call on; the wait then ends at its deadline.
    pub fn wake(&self) -> io::Result<()> {
        self.was_called.store(true, Ordering::SeqCst);
        self.sockets.wake()
    }

    /// Whether it was used since this was last asked.
    pub(crate) fn take_call(&self) -> bool {
        self.was_called.swap(false, Ordering::SeqCst)
    }
}
