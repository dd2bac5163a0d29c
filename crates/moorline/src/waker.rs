//! Ending a wait from another thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells a server that something waits for it, if it would not look by itself.
#[derive(Clone, Debug)]
pub(crate) struct Doorbell(Arc<Door>);

#[derive(Debug)]
struct Door {
    sockets: moorline_udp::Waker,
    /// Whether whoever lives here waits for the sockets.
    is_waiting: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new(sockets: moorline_udp::Waker) -> Self {
        Self(Arc::new(Door { sockets, is_waiting: AtomicBool::new(false) }))
    }

    /// What the system is told with.
    pub(crate) fn waker(&self) -> moorline_udp::Waker {
        self.0.sockets.clone()
    }

    /// A wait begins, or is over. Announce it first and take what is there second, or what comes
    /// between the two is slept over.
    pub(crate) fn set_waiting(&self, is_waiting: bool) {
        self.0.is_waiting.store(is_waiting, Ordering::SeqCst);
    }

    /// Something was put there. One ring ends one wait.
    pub(crate) fn ring(&self) {
        if self.0.is_waiting.swap(false, Ordering::SeqCst) {
            // A wait that cannot be ended early ends at its next deadline.
            self.0.sockets.wake().ok();
        }
    }
}

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
