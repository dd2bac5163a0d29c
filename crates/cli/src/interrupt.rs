//! SIGINT and SIGTERM, as a flag that a loop can look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moorline::Waker;

/// Whether the user or the system asked the program to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for signals from now on, and ends the wait of `waker` when one comes.
    pub(crate) fn listen(waker: Option<Waker>) -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        ctrlc::set_handler(move || {
            flag.0.store(true, Ordering::SeqCst);
            if let Some(waker) = &waker {
                // If the wait cannot be ended, it is over at its deadline.
                waker.wake().ok();
            }
        })?;
        Ok(interrupt)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
