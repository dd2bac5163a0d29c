//! What KCP does not tell: round trips, what is in flight and which segments arrived. All of it is
//! read off the segments that pass.

use std::collections::VecDeque;
use std::time::Duration;

use crate::segment::Segment;

/// The least time after which KCP repeats a segment in its fast mode, in milliseconds.
const RTO_MIN: u32 = 30;
/// The most, in milliseconds.
const RTO_MAX: u32 = 60_000;
/// How often KCP flushes, in milliseconds; an answer may wait that long at the peer.
pub(crate) const INTERVAL: u32 = 10;
/// KCP's receive window in segments.
const WINDOW: u32 = u128::BITS;

/// Smoothed round-trip time by the formula of KCP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    /// Smoothed time and its variation in milliseconds, after the first sample.
    estimate: Option<(u32, u32)>,
}

impl RoundTrip {
    /// An acknowledgement came `rtt` milliseconds after what it is for; at most a minute.
    pub(crate) fn sample(&mut self, rtt: u32) {
        let rtt = rtt.min(RTO_MAX);
        self.estimate = Some(match self.estimate {
            Some((smoothed, variation)) if smoothed > 0 => {
                let variation = (3 * variation + rtt.abs_diff(smoothed)) / 4;
                (((7 * smoothed + rtt) / 8).max(1), variation)
            }
            _ => (rtt, rtt / 2),
        });
    }

    /// The smoothed round-trip time.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|(smoothed, _)| Duration::from_millis(smoothed.into()))
    }

    /// After how long KCP repeats a segment for the first time.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let (smoothed, variation) = self.estimate?;
        let timeout = smoothed + INTERVAL.max(4 * variation);
        Some(Duration::from_millis(timeout.clamp(RTO_MIN, RTO_MAX).into()))
    }
}

/// What this side sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbound {
    /// The number after the highest that was sent.
    next: u32,
    /// What is not acknowledged, in order; at most a window.
    flights: VecDeque<Flight>,
    /// Segments sent again.
    pub(crate) repeats: u64,
    /// Segments that had to be sent again, each once.
    pub(crate) losses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    number: u32,
    repeated: bool,
}

impl Outbound {
    /// The number after the highest that was sent.
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    /// The lowest number that was sent and not acknowledged.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.flights.front().map(|flight| flight.number)
    }

    /// How many segments are not acknowledged.
    pub(crate) fn in_flight_len(&self) -> usize {
        self.flights.len()
    }

    /// How many of them were sent more than once.
    pub(crate) fn in_flight_repeated_len(&self) -> usize {
        self.flights.iter().filter(|flight| flight.repeated).count()
    }

    /// Segment `number` was sent.
    pub(crate) fn pushed(&mut self, number: u32) {
        if number >= self.next {
            self.next = number.saturating_add(1);
            self.flights.push_back(Flight { number, repeated: false });
            return;
        }
        self.repeats = self.repeats.saturating_add(1);
        let Ok(index) = self.flights.binary_search_by_key(&number, |flight| flight.number) else {
            return;
        };
        if let Some(flight) = self.flights.get_mut(index)
            && !flight.repeated
        {
            flight.repeated = true;
            self.losses = self.losses.saturating_add(1);
        }
    }

    /// Everything below `number` has arrived.
    pub(crate) fn arrived_below(&mut self, number: u32) {
        while self.flights.front().is_some_and(|flight| flight.number < number) {
            self.flights.pop_front();
        }
    }

    /// Segment `number` has arrived.
    pub(crate) fn arrived(&mut self, number: u32) {
        if let Ok(index) = self.flights.binary_search_by_key(&number, |flight| flight.number) {
            self.flights.remove(index);
        }
    }
}

/// What arrived here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inbound {
    /// The lowest number that did not arrive.
    next: u32,
    /// Bit n: number `next + n` arrived.
    held: u128,
}

impl Inbound {
    /// The lowest number that did not arrive.
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    /// How many segments wait for an earlier one.
    pub(crate) const fn held_len(&self) -> u32 {
        self.held.count_ones()
    }

    /// How many bytes a data segment makes KCP keep, its header included: none if it has the
    /// segment already or its number is out of the window.
    pub(crate) const fn take(&mut self, segment: &Segment<'_>) -> usize {
        let Some(ahead) = segment.number.checked_sub(self.next) else { return 0 };
        if ahead >= WINDOW || self.held & (1 << ahead) != 0 {
            return 0;
        }
        self.held |= 1 << ahead;
        let run = self.held.trailing_ones();
        self.next = self.next.saturating_add(run);
        self.held = if run < WINDOW { self.held >> run } else { 0 };
        segment.data.len().saturating_add(crate::segment::HEADER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_path_settles_at_its_round_trip_time() {
        let mut path = RoundTrip::default();
        assert_eq!(path.smoothed(), None);
        (0..100).for_each(|_| path.sample(40));
        assert_eq!(path.smoothed(), Some(Duration::from_millis(40)));
        assert_eq!(path.timeout(), Some(Duration::from_millis(50)));
        (0..100).for_each(|_| path.sample(u32::MAX));
        assert!(path.timeout() <= Some(Duration::from_secs(60)));
    }

    #[test]
    fn repeats_are_counted_each_time_and_losses_once() {
        let mut sent = Outbound::default();
        [0, 1, 2, 1, 1].into_iter().for_each(|number| sent.pushed(number));
        assert_eq!((sent.repeats, sent.losses), (2, 1));
        assert_eq!((sent.in_flight_len(), sent.in_flight_repeated_len()), (3, 1));
        sent.arrived(2);
        sent.arrived(2);
        sent.arrived_below(1);
        assert_eq!((sent.in_flight_len(), sent.in_flight_repeated_len()), (1, 1));
        sent.arrived_below(u32::MAX);
        assert_eq!(sent.in_flight_len(), 0);
    }

    #[test]
    fn what_arrives_twice_or_out_of_the_window_is_not_kept() {
        let mut got = Inbound::default();
        let mut take = |number| got.take(&Segment { number, ..Segment::first_push(1, 0, b"abc") });
        assert_eq!([1, 1, 127, 128, u32::MAX].map(&mut take), [27, 0, 27, 0, 0]);
        assert_eq!([0, 0, 1].map(&mut take), [27, 0, 0]);
        assert_eq!((got.next(), got.held_len()), (2, 1));
        for number in 2..=129 {
            got.take(&Segment { number, ..Segment::first_push(1, 0, b"") });
        }
        assert_eq!((got.next(), got.held_len()), (130, 0));
    }
}
