//! How long a packet and its acknowledgement take.

use std::time::Duration;

use moorline_link::time::Time;

use super::micros;
use crate::notes::Notes;

/// What is assumed before anything was measured.
const SMOOTHED_INITIAL_MICROS: u64 = 333_000;
/// The least that one path's variance and another's clock tick can hide.
const GRANULARITY_MICROS: u64 = 1_000;
/// Half of the time for which a smallest round trip is believed.
const BUCKET: Duration = Duration::from_secs(5);

/// Round trips of one path: smoothed, how much they vary, and the smallest of the last ten seconds.
#[derive(Clone, Debug)]
pub struct Rtt {
    smoothed: u64,
    variance: u64,
    latest: u64,
    jitter: u64,
    minimum: WindowedMin,
    samples: u64,
}

/// What was measured of round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RttStats {
    /// Smoothed over about eight samples.
    pub smoothed: Duration,
    /// How far a sample lies from the smoothed value, on average.
    pub variance: Duration,
    /// The last sample, without the peer's delay.
    pub latest: Duration,
    /// The smallest of the last ten seconds.
    pub min: Duration,
    /// How far two samples in a row lie apart, on average (RFC 3550, 6.4.1).
    pub jitter: Duration,
    /// How often was measured.
    pub samples: u64,
}

impl Rtt {
    /// A path of which nothing is known.
    pub const fn new() -> Self {
        Self {
            smoothed: SMOOTHED_INITIAL_MICROS,
            variance: SMOOTHED_INITIAL_MICROS / 2,
            latest: SMOOTHED_INITIAL_MICROS,
            jitter: 0,
            minimum: WindowedMin::new(BUCKET),
            samples: 0,
        }
    }

    /// Tells that a packet was acknowledged `elapsed` after it was sent, of which the peer says it
    /// held the acknowledgement back for `ack_delay`.
    ///
    /// What the peer says is believed only as far as the round trip stays above the smallest.
    pub fn on_ack(&mut self, now: Time, elapsed: Duration, ack_delay: Duration) {
        let elapsed = micros(elapsed).max(1);
        let minimum = self.minimum.on_sample(now, elapsed);
        let without_delay = elapsed.saturating_sub(micros(ack_delay));
        let sample = if without_delay >= minimum { without_delay } else { minimum };
        if self.samples == 0 {
            self.smoothed = sample;
            self.variance = sample / 2;
        } else {
            let error = self.smoothed.abs_diff(sample);
            self.variance = self.variance - self.variance / 4 + error / 4;
            self.smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
            let step = self.latest.abs_diff(sample);
            self.jitter = self.jitter - self.jitter / 16 + step / 16;
        }
        self.latest = sample;
        self.samples = self.samples.saturating_add(1);
    }

    /// Forgets everything: another path has other round trips, and an old minimum would make its
    /// whole length look like a queue.
    pub const fn on_migration(&mut self) {
        *self = Self::new();
    }

    /// Smoothed over about eight samples.
    pub const fn smoothed(&self) -> Duration {
        Duration::from_micros(self.smoothed)
    }

    /// The last sample, without the peer's delay.
    pub const fn latest(&self) -> Duration {
        Duration::from_micros(self.latest)
    }

    /// The smallest of the last ten seconds; what is assumed, before anything was measured.
    pub fn min(&self) -> Duration {
        Duration::from_micros(self.minimum.value().unwrap_or(SMOOTHED_INITIAL_MICROS))
    }

    /// How long an acknowledgement may take before something is wrong, if the peer holds it back
    /// for `ack_delay_max` at most.
    pub fn patience(&self, ack_delay_max: Duration) -> Duration {
        let spread = self.variance.saturating_mul(4).max(GRANULARITY_MICROS);
        let patience = self.smoothed.saturating_add(spread);
        Duration::from_micros(patience.saturating_add(micros(ack_delay_max)))
    }

    /// Whether anything was measured.
    pub const fn is_measured(&self) -> bool {
        self.samples > 0
    }

    /// What it knows, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        for value in [&mut self.smoothed, &mut self.variance, &mut self.latest, &mut self.jitter] {
            notes.number(value);
        }
        self.minimum.note(notes);
        notes.number(&mut self.samples);
    }

    /// What was measured.
    pub fn stats(&self) -> RttStats {
        RttStats {
            smoothed: self.smoothed(),
            variance: Duration::from_micros(self.variance),
            latest: self.latest(),
            min: self.min(),
            jitter: Duration::from_micros(self.jitter),
            samples: self.samples,
        }
    }
}

impl Default for Rtt {
    fn default() -> Self {
        Self::new()
    }
}

/// The smallest of the numbers of one to two buckets of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowedMin {
    bucket: Duration,
    started: Time,
    current: Option<u64>,
    previous: Option<u64>,
}

impl WindowedMin {
    pub(super) const fn new(bucket: Duration) -> Self {
        Self { bucket, started: Time::ZERO, current: None, previous: None }
    }

    /// Takes a number and gives the smallest.
    pub(super) fn on_sample(&mut self, now: Time, value: u64) -> u64 {
        let age = now.since(self.started);
        if self.current.is_none() || age >= self.bucket.saturating_mul(2) {
            (self.previous, self.current, self.started) = (None, None, now);
        } else if age >= self.bucket {
            self.previous = self.current.take();
            self.started = now;
        }
        let current = self.current.map_or(value, |current| current.min(value));
        self.current = Some(current);
        self.previous.map_or(current, |previous| previous.min(current))
    }

    /// The smallest, if there is one.
    pub(super) fn value(&self) -> Option<u64> {
        self.current.into_iter().chain(self.previous).min()
    }

    /// What it knows but the length of its buckets, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.time(&mut self.started);
        notes.option(&mut self.current, N::number);
        notes.option(&mut self.previous, N::number);
    }

    /// How long a bucket is.
    pub(super) const fn bucket(&self) -> Duration {
        self.bucket
    }

    /// Sets how long a bucket is from now on.
    pub(super) const fn resize(&mut self, bucket: Duration) {
        self.bucket = bucket;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn the_first_sample_replaces_what_was_assumed() {
        let mut rtt = Rtt::new();
        assert!(!rtt.is_measured());
        rtt.on_ack(at(50), ms(50), ms(0));
        let stats = rtt.stats();
        assert_eq!((stats.smoothed, stats.variance, stats.min), (ms(50), ms(25), ms(50)));
        assert_eq!(rtt.patience(ms(10)), ms(160));
    }

    #[test]
    fn a_steady_path_ends_with_a_millisecond_of_patience_to_spare() {
        let mut rtt = Rtt::new();
        for tick in 0..100 {
            rtt.on_ack(at(tick * 16), ms(50), ms(0));
        }
        let spare = rtt.patience(ms(0)).saturating_sub(rtt.smoothed());
        assert_eq!(spare, ms(1));
        assert!(rtt.smoothed().abs_diff(ms(50)) < Duration::from_micros(20));
    }

    #[test]
    fn a_told_delay_never_brings_a_sample_below_the_minimum() {
        let mut rtt = Rtt::new();
        rtt.on_ack(at(0), ms(50), ms(0));
        rtt.on_ack(at(10), ms(60), ms(10));
        assert_eq!(rtt.latest(), ms(50));
        for lie in [ms(11), ms(1_000), Duration::MAX] {
            rtt.on_ack(at(20), ms(60), lie);
            assert_eq!(rtt.latest(), ms(50));
            assert_eq!(rtt.min(), ms(50));
        }
    }

    #[test]
    fn the_minimum_is_forgotten_after_ten_seconds_and_not_before_five() {
        let mut rtt = Rtt::new();
        rtt.on_ack(at(0), ms(20), ms(0));
        for tick in 1..=120 {
            let now = at(tick * 100);
            rtt.on_ack(now, ms(80), ms(0));
            if now <= at(5_000) {
                assert_eq!(rtt.min(), ms(20));
            }
            if now >= at(10_000) {
                assert_eq!(rtt.min(), ms(80));
            }
        }
    }

    #[test]
    fn after_a_long_silence_only_the_new_sample_counts() {
        let mut rtt = Rtt::new();
        rtt.on_ack(at(0), ms(20), ms(0));
        rtt.on_ack(at(60_000), ms(90), ms(0));
        assert_eq!(rtt.min(), ms(90));
    }

    #[test]
    fn migration_does_not_poison_the_minimum() {
        let mut rtt = Rtt::new();
        rtt.on_ack(at(0), ms(5), ms(0));
        rtt.on_migration();
        assert!(!rtt.is_measured());
        rtt.on_ack(at(100), ms(120), ms(0));
        assert_eq!(rtt.min(), ms(120));
    }

    #[test]
    fn jitter_is_what_neighbours_differ_by() {
        let mut rtt = Rtt::new();
        for tick in 0..400 {
            rtt.on_ack(at(tick * 16), ms(50 + 8 * (tick % 2)), ms(0));
        }
        assert!(rtt.stats().jitter.abs_diff(ms(8)) < Duration::from_micros(100));
    }

    #[test]
    fn the_longest_and_the_shortest_times_overflow_nothing() {
        let mut rtt = Rtt::new();
        for elapsed in [Duration::MAX, Duration::ZERO, Duration::MAX] {
            rtt.on_ack(Time::from_micros(u64::MAX), elapsed, Duration::ZERO);
            assert!(rtt.patience(Duration::MAX) >= rtt.smoothed());
        }
    }
}
