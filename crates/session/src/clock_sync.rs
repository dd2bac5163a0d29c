//! What heartbeats measure: round trips and the host's clock. They decide nothing.

use std::time::Duration;

use moorline_link::Time;

/// Beats that wait for their answer, and the round trips of those that had one.
#[derive(Clone, Debug, Default)]
pub struct RoundTrip {
    waiting: [Option<(u32, Time)>; Self::WAITING_LEN],
    next: u32,
    last: Option<Duration>,
    smoothed: Option<Duration>,
}

impl RoundTrip {
    /// How many beats may wait for an answer; older ones are given up.
    pub const WAITING_LEN: usize = 4;

    /// Numbers a beat that leaves now.
    pub(crate) fn on_sent(&mut self, now: Time) -> u32 {
        let beat = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting[beat as usize % Self::WAITING_LEN] = Some((beat, now));
        beat
    }

    /// The answer to `beat` arrived: its round trip, or `None` for an answer to no beat that waits
    /// (a second one, or one made up).
    pub(crate) fn on_answered(&mut self, now: Time, beat: u32) -> Option<Duration> {
        let slot = &mut self.waiting[beat as usize % Self::WAITING_LEN];
        let (_, sent_at) = slot.take_if(|(number, _)| *number == beat)?;
        let sample = now.since(sent_at);
        self.last = Some(sample);
        self.smoothed = Some(self.smoothed.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
        Some(sample)
    }

    /// Beats of the old link are not answered on the new one.
    pub(crate) fn on_new_link(&mut self) {
        self.waiting = [None; Self::WAITING_LEN];
    }

    /// The newest round trip.
    pub const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// The smoothed round trip (weight 1/8 for the newest, RFC 6298).
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }
}

/// What a client knows of its host's clock.
///
/// Of the last [`ClockSync::WINDOW_LEN`] samples the one with the shortest round trip tells the
/// offset, as in NTP's clock filter (RFC 5905, section 10); a sample that is older than the newest
/// is refused.
#[derive(Clone, Debug, Default)]
pub struct ClockSync {
    newest: Option<(i64, Time)>,
    window: [Option<Sample>; Self::WINDOW_LEN],
    samples: u32,
    refused: u32,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    round_trip: Duration,
    tick: i64,
    /// When the host's clock stood at `tick`, by our clock, if both ways took equally long.
    at: Time,
}

impl ClockSync {
    /// How many samples the offset is chosen from.
    pub const WINDOW_LEN: usize = 4;

    /// The host's tick was `tick` when it answered; `round_trip` is unknown for a tick that came
    /// with a login.
    pub(crate) fn on_sample(&mut self, now: Time, tick: i64, round_trip: Option<Duration>) {
        if self.newest.is_some_and(|(newest, _)| tick < newest) {
            self.refused = self.refused.saturating_add(1);
            return;
        }
        self.newest = Some((tick, now));
        if let Some(round_trip) = round_trip {
            let back = u64::try_from((round_trip / 2).as_micros()).unwrap_or(u64::MAX);
            let at = Time::from_micros(now.as_micros().saturating_sub(back));
            let slot = self.samples as usize % Self::WINDOW_LEN;
            self.window[slot] = Some(Sample { round_trip, tick, at });
            self.samples = self.samples.wrapping_add(1);
        }
    }

    /// A new link may lead to a host that was started again and counts from zero.
    pub(crate) fn on_new_link(&mut self) {
        *self = Self { refused: self.refused, ..Self::default() };
    }

    /// The newest tick that the host told.
    pub fn newest_tick(&self) -> Option<i64> {
        self.newest.map(|(tick, _)| tick)
    }

    /// How many samples were refused because they were older than the newest.
    pub const fn refused(&self) -> u32 {
        self.refused
    }

    /// The host's tick now, if one of its ticks takes `tick_length`; `None` before the first
    /// sample.
    pub fn tick_at(&self, now: Time, tick_length: Duration) -> Option<i64> {
        let (tick, at) = match self.best() {
            Some(sample) => (sample.tick, sample.at),
            None => self.newest?,
        };
        let length = tick_length.as_micros().max(1);
        let elapsed = i64::try_from(now.since(at).as_micros() / length).unwrap_or(i64::MAX);
        Some(tick.saturating_add(elapsed))
    }

    /// What has to be added to our clock to read the host's, in microseconds, if one tick takes
    /// `tick_length`. Off by at most half the shortest round trip seen.
    pub fn offset_micros(&self, tick_length: Duration) -> Option<i128> {
        let sample = self.best()?;
        let host = i128::from(sample.tick) * i128::try_from(tick_length.as_micros()).ok()?;
        Some(host - i128::from(sample.at.as_micros()))
    }

    fn best(&self) -> Option<&Sample> {
        self.window.iter().flatten().min_by_key(|sample| sample.round_trip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_round_trip_is_matched_to_the_beat_that_it_answers() {
        let mut rtt = RoundTrip::default();
        let first = rtt.on_sent(Time::from_millis(0));
        let second = rtt.on_sent(Time::from_millis(100));
        assert_eq!(rtt.on_answered(Time::from_millis(130), second), Some(30 * MS));
        assert_eq!(rtt.on_answered(Time::from_millis(140), second), None, "answered twice");
        assert_eq!(rtt.on_answered(Time::from_millis(150), first), Some(150 * MS));
        assert_eq!(rtt.on_answered(Time::from_millis(160), 77), None, "never sent");
        assert_eq!(rtt.last(), Some(150 * MS));
        assert_eq!(rtt.smoothed(), Some(45 * MS));
    }

    #[test]
    fn beats_that_are_never_answered_are_given_up() {
        let mut rtt = RoundTrip::default();
        let beats: Vec<u32> = (0..6).map(|i| rtt.on_sent(Time::from_millis(i))).collect();
        let answered = beats.iter().filter_map(|b| rtt.on_answered(Time::from_millis(9), *b));
        assert_eq!(answered.count(), RoundTrip::WAITING_LEN);
    }

    #[test]
    fn the_newest_server_tick_is_kept_and_older_samples_are_refused() {
        let mut clock = ClockSync::default();
        clock.on_sample(Time::from_millis(10), 500, Some(4 * MS));
        clock.on_sample(Time::from_millis(20), 499, Some(4 * MS));
        assert_eq!((clock.newest_tick(), clock.refused()), (Some(500), 1));
        clock.on_sample(Time::from_millis(30), 501, None);
        assert_eq!(clock.newest_tick(), Some(501));
    }

    #[test]
    fn the_offset_comes_from_the_shortest_round_trip() {
        let mut clock = ClockSync::default();
        assert_eq!(clock.tick_at(Time::ZERO, MS), None);
        // The host's clock is 1,000 ms ahead; the second sample was held up on its way back.
        clock.on_sample(Time::from_millis(12), 1_010, Some(4 * MS));
        clock.on_sample(Time::from_millis(150), 1_050, Some(100 * MS));
        assert_eq!(clock.offset_micros(MS), Some(1_000_000));
        assert_eq!(clock.tick_at(Time::from_millis(200), MS), Some(1_200));
    }
}
