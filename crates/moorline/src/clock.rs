//! The one place that reads clocks and asks the operating system for randomness.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant, SystemTime};

use moorline_link::Time;

/// The process's monotonic clock, as the time that the rest of Moorline is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall_start: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), wall_start: SystemTime::now() }
    }

    pub(crate) fn now(&self) -> Time {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, instant: Instant) -> Time {
        Time::ZERO + instant.saturating_duration_since(self.start)
    }

    /// What the calendar says at the start of this clock, as the time since 1970.
    pub(crate) fn unix_at_zero(&self) -> Duration {
        self.wall_start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// A moment of this clock on the calendar, for reports.
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        self.wall_start + time.since(Time::ZERO)
    }
}

/// Bytes of the operating system's randomness, for keys.
///
/// # Errors
/// When it has none to give.
pub(crate) fn random_bytes() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    Ok(bytes)
}

/// A number that differs from process to process and from call to call.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().hash_one("moorline")
}
