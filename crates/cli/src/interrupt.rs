//! SIGINT and SIGTERM, as a flag that a loop can look at.

use std::process;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use moorline::Waker;

/// A second signal ends the program on the spot, but not before this has passed: some supervisors
/// send the same one twice.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the user or the system asked the program to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<OnceLock<Instant>>);

impl Interrupt {
    /// Listens for signals from now on, and ends the wait of `waker` when one comes.
    pub(crate) fn listen(waker: Option<Waker>) -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let first = Arc::clone(&interrupt.0);
        ctrlc::set_handler(move || {
            if first.get_or_init(Instant::now).elapsed() >= PATIENCE {
                // 128 and the signal's number, as shells count.
                process::exit(130);
            }
            if let Some(waker) = &waker {
                // If the wait cannot be ended, it is over at its deadline.
                waker.wake().ok();
            }
        })?;
        Ok(interrupt)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }
}
