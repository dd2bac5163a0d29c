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
    /// Whether what was measured of a peer's beats makes the two silences shorter. Default: no.
    pub detector: Detector,
}

/// How the silences of a [`LivenessPolicy`] follow from what is known of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detector {
    /// They are as they are set.
    #[default]
    Fixed,
    /// The gaps between a peer's heartbeats are measured: a beat is overdue after their smoothed
    /// mean and four of their mean deviations, as a retransmission is in RFC 6298. The warning
    /// comes then, the timeout after twice as long, neither sooner than these bounds nor later
    /// than the policy says. A peer of regular beats is found lost sooner; one of irregular beats
    /// is given more time. What else a peer sends are signs of life, but are not measured: it may
    /// cease.
    Adaptive {
        /// No warning comes sooner.
        degraded_after_min: Duration,
        /// No timeout comes sooner.
        timeout_min: Duration,
    },
}

impl Default for LivenessPolicy {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(2),
            degraded_after: Duration::from_secs(4),
            timeout: Duration::from_secs(6),
            sleep_tolerance: Duration::from_secs(1),
            detector: Detector::Fixed,
        }
    }
}

impl LivenessPolicy {
    /// A policy with this beat and timeout; the warning comes at two thirds of the timeout.
    pub fn new(beat_interval: Duration, timeout: Duration) -> Self {
        let degraded_after = (timeout / 3 * 2).max(beat_interval);
        Self { beat_interval, degraded_after, timeout, ..Self::default() }
    }

    /// A policy with this beat, and a timeout that is found within these bounds by what is measured
    /// of the peer; the warning comes at half of it.
    pub fn adaptive(beat_interval: Duration, timeout_min: Duration, timeout: Duration) -> Self {
        let degraded_after_min = timeout_min / 2;
        let detector = Detector::Adaptive { degraded_after_min, timeout_min };
        let degraded_after = (timeout / 2).max(beat_interval);
        Self { beat_interval, degraded_after, timeout, detector, ..Self::default() }
    }

    /// Silence after which a peer with such beats is degraded.
    pub(crate) fn degraded_after(&self, gaps: BeatGaps) -> Duration {
        let Detector::Adaptive { degraded_after_min, .. } = self.detector else {
            return self.degraded_after;
        };
        let overdue = gaps.overdue().unwrap_or(self.degraded_after);
        overdue.max(degraded_after_min).min(self.degraded_after)
    }

    /// Silence after which a peer with such beats is timed out.
    pub(crate) fn timeout(&self, gaps: BeatGaps) -> Duration {
        let Detector::Adaptive { timeout_min, .. } = self.detector else { return self.timeout };
        let overdue = gaps.overdue().unwrap_or(self.timeout);
        (overdue * 2).max(timeout_min).min(self.timeout)
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
        if let Detector::Adaptive { degraded_after_min, timeout_min } = self.detector {
            ConfigError::unless(
                self.beat_interval < timeout_min && timeout_min <= self.timeout,
                "liveness.detector.timeout_min",
                "must be longer than beat_interval and not longer than timeout",
            )?;
            ConfigError::unless(
                !degraded_after_min.is_zero() && degraded_after_min <= self.degraded_after,
                "liveness.detector.degraded_after_min",
                "must be longer than zero and not longer than degraded_after",
            )?;
        }
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

/// What was measured of the gaps between a peer's heartbeats, in milliseconds; four bytes, as every
/// session has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BeatGaps {
    /// Zero before anything was measured.
    smoothed: u16,
    deviation: u16,
}

impl BeatGaps {
    /// Takes in another gap, with the weights of RFC 6298.
    pub(crate) fn on_gap(&mut self, gap: Duration) {
        let gap = u16::try_from(gap.as_millis()).unwrap_or(u16::MAX).max(1);
        if self.smoothed == 0 {
            *self = Self { smoothed: gap, deviation: gap / 4 };
            return;
        }
        let off = i32::from(gap) - i32::from(self.smoothed);
        let toward = |value: u16, by: i32| (i32::from(value) + by).clamp(1, 0xffff) as u16;
        self.deviation = toward(self.deviation, (off.abs() - i32::from(self.deviation)) / 4);
        self.smoothed = toward(self.smoothed, off / 8);
    }

    /// The silence after which a beat is overdue, once anything was measured.
    fn overdue(self) -> Option<Duration> {
        let millis = u64::from(self.smoothed) + 4 * u64::from(self.deviation);
        (self.smoothed > 0).then_some(Duration::from_millis(millis))
    }
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
    fn an_adaptive_policy_stays_within_its_bounds_and_names_those_that_make_no_sense() {
        let second = Duration::from_secs(1);
        let policy = LivenessPolicy::adaptive(second, 2 * second, 10 * second);
        assert!(policy.check().is_ok());
        let unknown = BeatGaps::default();
        assert_eq!(
            (policy.degraded_after(unknown), policy.timeout(unknown)),
            (5 * second, 10 * second)
        );
        let mut regular = BeatGaps::default();
        (0..50).for_each(|_| regular.on_gap(second));
        assert!(policy.timeout(regular) < Duration::from_millis(2_200), "{regular:?}");
        let mut irregular = BeatGaps::default();
        (0..50).for_each(|beat| irregular.on_gap(second * (1 + beat % 3)));
        assert!(policy.timeout(irregular) > 6 * second, "{irregular:?}");
        let mut slow = BeatGaps::default();
        slow.on_gap(Duration::from_secs(1_000_000));
        assert_eq!(policy.timeout(slow), 10 * second);
        for (timeout_min, timeout) in [(1, 10), (11, 10)] {
            let bad = LivenessPolicy::adaptive(second, timeout_min * second, timeout * second);
            let text = bad.check().expect_err("no sense").to_string();
            assert!(text.contains("liveness.detector.timeout_min"), "{text}");
        }
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
