//! Whether the peer is there: phases instead of one cliff, and a look at ourselves first.

use std::time::Duration;

use moorline_link::Time;

use crate::config_error::ConfigError;

/// How silence is judged. Plain data, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivenessPolicy {
    /// A logged-in client sends a heartbeat this often. Default: 2 s.
    pub beat_interval: Duration,
    /// Silence after which the session is [`Degraded`](crate::EventKind::Degraded), an early
    /// warning. Default: 4 s, a beat and its answer missed.
    pub degraded_after: Duration,
    /// Silence after which the session is timed out. Default: 6 s.
    pub timeout: Duration,
    /// How late this process may be for its own deadlines before it takes itself, and not its
    /// peers, for the one that was away. Default: 1 s. Peers then have a whole `timeout` to be
    /// heard.
    pub sleep_tolerance: Duration,
}

impl Default for LivenessPolicy {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(2),
            degraded_after: Duration::from_secs(4),
            timeout: Duration::from_secs(6),
            sleep_tolerance: Duration::from_secs(1),
        }
    }
}

impl LivenessPolicy {
    /// A policy with this beat and timeout; the warning comes at two thirds of the timeout.
    pub fn new(beat_interval: Duration, timeout: Duration) -> Self {
        let degraded_after = (timeout / 3 * 2).max(beat_interval);
        Self { beat_interval, degraded_after, timeout, ..Self::default() }
    }

    /// Whether these settings can work together.
    ///
    /// # Errors
    /// Names the first field that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let positive = "must be longer than zero";
        ConfigError::unless(!self.beat_interval.is_zero(), "liveness.beat_interval", positive)?;
        ConfigError::unless(!self.timeout.is_zero(), "liveness.timeout", positive)?;
        ConfigError::unless(!self.sleep_tolerance.is_zero(), "liveness.sleep_tolerance", positive)?;
        ConfigError::unless(
            self.beat_interval < self.timeout,
            "liveness.timeout",
            "must be longer than beat_interval, or a healthy session times out between two beats",
        )?;
        ConfigError::unless(
            !self.degraded_after.is_zero() && self.degraded_after <= self.timeout,
            "liveness.degraded_after",
            "must be longer than zero and not longer than timeout",
        )
    }
}

/// How well the peer is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Within the expected beat.
    #[default]
    Alive,
    /// Beats are missing.
    Degraded,
}

/// Notices that this process itself was not running: it is back far later than it had asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct SleepWatch {
    awake_since: Option<Time>,
    slept: u64,
}

impl SleepWatch {
    /// The driver is back, and was asked to be back at `due`.
    pub(crate) fn wake(&mut self, now: Time, due: Option<Time>, policy: &LivenessPolicy) {
        if due.is_some_and(|due| now.since(due) > policy.sleep_tolerance) {
            self.awake_since = Some(now);
            self.slept = self.slept.saturating_add(1);
        }
    }

    /// The end of the last sleep. Silence from before it is held against ourselves.
    pub(crate) const fn awake_since(&self) -> Option<Time> {
        self.awake_since
    }

    /// How often this process was found to have slept.
    pub(crate) const fn slept(&self) -> u64 {
        self.slept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_intervals_are_refused_when_the_policy_is_checked() {
        let second = Duration::from_secs(1);
        assert!(LivenessPolicy::default().check().is_ok());
        assert!(LivenessPolicy::new(second, 3 * second).check().is_ok());
        assert!(LivenessPolicy::new(Duration::ZERO, second).check().is_err());
        assert!(LivenessPolicy::new(second, Duration::ZERO).check().is_err());
        assert!(LivenessPolicy::new(second, second).check().is_err());
        let late = LivenessPolicy { degraded_after: 7 * second, ..LivenessPolicy::default() };
        let text = late.check().expect_err("a warning after the end").to_string();
        assert!(text.contains("liveness.degraded_after"), "{text}");
    }

    #[test]
    fn only_being_late_for_an_own_deadline_counts_as_sleep() {
        let policy = LivenessPolicy::default();
        let mut watch = SleepWatch::default();
        watch.wake(Time::from_millis(60_000), None, &policy);
        assert_eq!(watch.slept(), 0, "nothing was due, so waking late is no sleep");

        watch.wake(Time::from_millis(62_000), Some(Time::from_millis(61_000)), &policy);
        assert_eq!((watch.slept(), watch.awake_since()), (0, None), "within the tolerance");

        let now = Time::from_millis(93_000);
        watch.wake(now, Some(Time::from_millis(63_000)), &policy);
        assert_eq!((watch.slept(), watch.awake_since()), (1, Some(now)));
    }
}
