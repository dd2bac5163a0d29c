//! When to try again, and when to stop trying.

use std::time::Duration;

use moorline_link::Time;
use moorline_link::rng::Rng;

use crate::config_error::ConfigError;

/// What the wait before a second attempt and all later ones is drawn from at least.
const LATER_DELAY_MIN: Duration = Duration::from_millis(100);

/// How a client comes back. Plain data, checked once when the client is made.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconnectPolicy {
    /// Whether the session schedules attempts by itself. Default: automatic.
    pub mode: ReconnectMode,
    /// The longest wait before the first attempt. Default: 1 s. Zero is allowed.
    pub first_delay: Duration,
    /// By how much the longest wait grows with each attempt. Default: 1.5; at least 1.
    pub factor: f32,
    /// The wait stops growing here. Default: 15 s.
    pub delay_max: Duration,
    /// Whether waits are drawn at random. Default: full jitter; without it, clients that lost the
    /// same host come back in the same instant.
    pub jitter: Jitter,
    /// How long one attempt may take until its link is up. Default: 5 s.
    pub attempt_timeout: Duration,
    /// The longest that a host may ask to stay away. Default: 10 minutes.
    pub retry_after_max: Duration,
    /// Give up after this many attempts since the user was last logged in. Default: never.
    pub attempts_max: Option<u32>,
    /// Give up this long after the first attempt was scheduled. Default: never.
    pub time_max: Option<Duration>,
}

/// Who schedules an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconnectMode {
    /// The session itself, when its link is lost.
    Automatic,
    /// The application, by calling `reconnect`; until then the session stays where it is.
    Manual,
}

/// How the wait before an attempt is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Evenly from nothing to the longest wait ("full jitter", Brooker 2015).
    Full,
    /// Always the longest wait; for tests and for lone clients.
    None,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self {
            mode: ReconnectMode::Automatic,
            first_delay: Duration::from_secs(1),
            factor: 1.5,
            delay_max: Duration::from_secs(15),
            jitter: Jitter::Full,
            attempt_timeout: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(600),
            attempts_max: None,
            time_max: None,
        }
    }
}

impl ReconnectPolicy {
    /// Whether these settings can work together.
    ///
    /// # Errors
    /// Names the first field that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::unless(self.factor >= 1.0, "reconnect.factor", "must be at least 1")?;
        ConfigError::unless(
            !self.attempt_timeout.is_zero(),
            "reconnect.attempt_timeout",
            "must be longer than zero",
        )?;
        ConfigError::unless(
            self.delay_max >= self.first_delay,
            "reconnect.delay_max",
            "must not be shorter than first_delay",
        )
    }

    /// The longest wait before attempt number `attempt`, counted from zero.
    fn delay_longest(&self, attempt: u32) -> Duration {
        let growth = f64::from(self.factor).powi(i32::try_from(attempt).unwrap_or(i32::MAX));
        let seconds = self.first_delay.as_secs_f64() * growth.min(f64::MAX);
        // What is no duration has grown beyond the longest there is.
        Duration::try_from_secs_f64(seconds).map_or(self.delay_max, |wait| wait.min(self.delay_max))
    }
}

/// What a session remembers of its attempts since it was last logged in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    made: u32,
    since: Option<Time>,
}

impl Attempts {
    /// When the next attempt is due, or `None` when the budget is spent. A host's "retry after"
    /// comes before the drawn wait, so that a herd it sends away does not return in one instant.
    pub(crate) fn next(
        &mut self,
        now: Time,
        policy: &ReconnectPolicy,
        retry_after: Option<Duration>,
        rng: &mut Rng,
    ) -> Option<Time> {
        let since = *self.since.get_or_insert(now);
        if policy.attempts_max.is_some_and(|most| self.made >= most) {
            return None;
        }
        let longest = policy.delay_longest(self.made);
        // Without this, a first delay of zero would be one for ever.
        let longest = if self.made > 0 { longest.max(LATER_DELAY_MIN) } else { longest };
        let retry_after = retry_after.unwrap_or_default().min(policy.retry_after_max);
        let wait = match policy.jitter {
            Jitter::Full => rng.up_to(longest),
            Jitter::None => longest,
        };
        let at = now + retry_after + wait;
        if policy.time_max.is_some_and(|most| at > since + most) {
            return None;
        }
        self.made = self.made.saturating_add(1);
        Some(at)
    }

    /// The user is logged in: the next loss starts from the first delay again.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f32) -> Duration {
        Duration::from_secs_f32(seconds)
    }

    #[test]
    fn waits_grow_by_the_factor_up_to_the_longest() {
        let policy = ReconnectPolicy {
            factor: 2.0,
            delay_max: secs(5.0),
            jitter: Jitter::None,
            ..ReconnectPolicy::default()
        };
        let (mut attempts, mut rng) = (Attempts::default(), Rng::new(1));
        let waits: Vec<u64> = (0..5)
            .filter_map(|_| attempts.next(Time::ZERO, &policy, None, &mut rng))
            .map(Time::as_millis)
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 5_000, 5_000]);
    }

    #[test]
    fn waits_without_a_longest_grow_until_the_end_of_time() {
        let endless = ReconnectPolicy { delay_max: Duration::MAX, ..ReconnectPolicy::default() };
        assert_eq!(endless.delay_longest(u32::MAX), Duration::MAX);
        let at_once = ReconnectPolicy { first_delay: Duration::ZERO, ..endless };
        assert_eq!(at_once.delay_longest(u32::MAX), Duration::ZERO);
    }

    #[test]
    fn full_jitter_spreads_evenly_and_repeats_with_its_seed() {
        let policy = ReconnectPolicy::default();
        let draw = |seed| {
            Attempts::default().next(Time::ZERO, &policy, None, &mut Rng::new(seed)).expect("due")
        };
        assert_eq!(draw(5), draw(5));
        let mean = (0..1_000).map(|seed| draw(seed).as_millis()).sum::<u64>() / 1_000;
        assert!((450..550).contains(&mean), "{mean} ms");
    }

    #[test]
    fn a_first_delay_of_zero_is_not_one_for_ever() {
        let (first_delay, jitter) = (Duration::ZERO, Jitter::None);
        let policy = ReconnectPolicy { first_delay, jitter, ..ReconnectPolicy::default() };
        let mut attempts = Attempts::default();
        let mut next = || attempts.next(Time::ZERO, &policy, None, &mut Rng::new(1)).expect("due");
        assert_eq!((next(), next()), (Time::ZERO, Time::from_millis(100)));
    }

    #[test]
    fn a_host_cannot_send_a_client_away_for_ever() {
        let policy = ReconnectPolicy::default();
        let for_ever = Some(Duration::MAX);
        let at = Attempts::default().next(Time::ZERO, &policy, for_ever, &mut Rng::new(1));
        assert!(at.expect("due") <= Time::from_millis(601_000));
    }

    #[test]
    fn a_hosts_retry_after_is_waited_for_in_full() {
        let policy = ReconnectPolicy::default();
        for seed in 0..100 {
            let mut rng = Rng::new(seed);
            let at = Attempts::default().next(Time::ZERO, &policy, Some(secs(3.0)), &mut rng);
            let at = at.expect("due").as_millis();
            assert!((3_000..=4_000).contains(&at), "{at} ms");
        }
    }

    #[test]
    fn the_budget_of_attempts_and_of_time_ends_the_trying() {
        let by_count = ReconnectPolicy { attempts_max: Some(2), ..ReconnectPolicy::default() };
        let by_time = ReconnectPolicy {
            time_max: Some(secs(2.6)),
            jitter: Jitter::None,
            ..ReconnectPolicy::default()
        };
        let mut rng = Rng::new(1);
        let mut attempts = Attempts::default();
        let tries = (0..9).filter_map(|_| attempts.next(Time::ZERO, &by_count, None, &mut rng));
        assert_eq!(tries.count(), 2);

        let (mut attempts, mut now, mut tries) = (Attempts::default(), Time::ZERO, 0);
        while let Some(at) = attempts.next(now, &by_time, None, &mut rng) {
            now = at;
            tries += 1;
        }
        assert_eq!(tries, 2, "1 s and 1.5 s fit into 2.6 s");
        attempts.forget();
        assert!(attempts.next(now, &by_time, None, &mut rng).is_some());
    }

    #[test]
    fn a_zero_delay_is_allowed_and_a_shrinking_one_is_not() {
        let zero = ReconnectPolicy { first_delay: Duration::ZERO, ..ReconnectPolicy::default() };
        assert!(zero.check().is_ok());
        let shrinking = ReconnectPolicy { factor: 0.5, ..ReconnectPolicy::default() };
        assert!(shrinking.check().is_err());
        let nan = ReconnectPolicy { factor: f32::NAN, ..ReconnectPolicy::default() };
        assert!(nan.check().is_err());
    }
}
