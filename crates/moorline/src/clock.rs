//! The one place that reads clocks and asks the operating system for randomness.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant, SystemTime};

use moorline_link::Time;
#[cfg(target_os = "linux")]
use rustix::time::ClockId;

/// The process's monotonic clock, as the time that the rest of Moorline is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall_start: SystemTime,
    ticks: Ticks,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), wall_start: SystemTime::now(), ticks: Ticks::start() }
    }

    pub(crate) fn now(&self) -> Time {
        self.at(Instant::now())
    }

    /// What time it was when the system's clock ticked last, a few milliseconds ago at most: that
    /// is known for a part of what it takes to ask for the time.
    pub(crate) fn at_last_tick(&self) -> Time {
        self.ticks.since_start().map_or_else(|| self.now(), |since| Time::ZERO + since)
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

/// The ticks of the system's clock, where it tells them.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    #[cfg(target_os = "linux")]
    start: Duration,
}

#[cfg(target_os = "linux")]
impl Ticks {
    fn start() -> Self {
        Self { start: monotonic(ClockId::Monotonic) }
    }

    fn since_start(self) -> Option<Duration> {
        Some(monotonic(ClockId::MonotonicCoarse).saturating_sub(self.start))
    }
}

#[cfg(target_os = "linux")]
fn monotonic(clock: ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
impl Ticks {
    const fn start() -> Self {
        Self {}
    }

    const fn since_start(self) -> Option<Duration> {
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tick_was_not_long_ago() {
        let clock = Clock::start();
        std::thread::sleep(Duration::from_millis(30));
        let (ticked, now) = (clock.at_last_tick(), clock.now());
        assert!(ticked <= now && ticked > Time::ZERO, "{ticked}, and it is {now}");
    }
}
