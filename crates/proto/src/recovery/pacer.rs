//! When the next packet may leave, so that a window is spread over a round trip.

use std::time::Duration;

use moorline_link::time::Time;

use crate::notes::Notes;

/// A window leaves in four fifths of a round trip.
const RATE_PERCENT: u64 = 125;
/// What may leave at once: three packets, or two milliseconds' worth.
const BURST_PACKETS: u64 = 3;
const BURST_NANOS: u64 = 2_000_000;
/// The longest time that one packet may cost, however small the window.
const PACKET_NANOS_MAX: u64 = 1_000_000_000;

/// Spaces packets. It says when bulk may go on; what cannot wait goes at once and is paid later.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// When all that left would have left at an even rate, in nanoseconds.
    paid_until_nanos: u64,
    /// What a thousand bytes cost.
    kilobyte_nanos: u64,
    packet_len: u64,
}

impl Pacer {
    /// A pacer of packets of `packet_len` bytes, before anything is known of the path.
    pub const fn new(packet_len: u16) -> Self {
        Self { paid_until_nanos: 0, kilobyte_nanos: 0, packet_len: packet_len as u64 }
    }

    /// Sets the rate: a window in a smoothed round trip, and a quarter more.
    pub fn set_rate(&mut self, window_bytes: u64, rtt_smoothed: Duration, packet_len: u16) {
        let nanos = u64::try_from(rtt_smoothed.as_nanos()).unwrap_or(u64::MAX);
        let nanos = nanos.min(u64::MAX / 100_000).saturating_mul(1_000 * 100 / RATE_PERCENT);
        self.kilobyte_nanos = (nanos / window_bytes.max(1)).min(PACKET_NANOS_MAX);
        self.packet_len = packet_len.into();
    }

    /// Tells that a packet left, whether it waited or not.
    pub fn on_sent(&mut self, now: Time, len: u16) {
        let cost = self.kilobyte_nanos.saturating_mul(len.into()) / 1_000;
        self.paid_until_nanos = self.paid_until_nanos.max(nanos(now)).saturating_add(cost);
    }

    /// When the next packet of bulk may leave; none if it may leave now.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        let ready = self.paid_until_nanos.saturating_sub(self.burst_nanos());
        let ready = Time::from_micros(ready.div_ceil(1_000));
        (now < ready).then_some(ready)
    }

    /// Whether more than `tick` of what left is not paid.
    pub fn is_behind(&self, now: Time, tick: Duration) -> bool {
        self.poll_timeout(now).is_some_and(|ready| ready > now + tick)
    }

    /// What it knows, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        for value in [&mut self.paid_until_nanos, &mut self.kilobyte_nanos, &mut self.packet_len] {
            notes.number(value);
        }
    }

    /// The burst is what was saved while less was sent than the rate allows.
    fn burst_nanos(&self) -> u64 {
        let packets = self.kilobyte_nanos.saturating_mul(self.packet_len * BURST_PACKETS) / 1_000;
        packets.max(BURST_NANOS)
    }
}

fn nanos(time: Time) -> u64 {
    time.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    fn paced() -> Pacer {
        let mut pacer = Pacer::new(1_200);
        pacer.set_rate(120_000, Duration::from_millis(50), 1_200);
        pacer
    }

    #[test]
    fn a_window_leaves_in_four_fifths_of_a_round_trip() {
        let mut pacer = paced();
        let mut now = at(1_000_000);
        for _ in 0..1_000 {
            now = pacer.poll_timeout(now).unwrap_or(now);
            pacer.on_sent(now, 1_200);
        }
        let took = now.since(at(1_000_000));
        assert!(took.abs_diff(Duration::from_millis(400)) < Duration::from_millis(4), "{took:?}");
    }

    #[test]
    fn no_burst_is_longer_than_two_milliseconds_or_three_packets() {
        let mut pacer = paced();
        let now = at(5_000_000);
        let sent = (0..100).take_while(|_| {
            let may = pacer.poll_timeout(now).is_none();
            pacer.on_sent(now, 1_200);
            may
        });
        assert!((5..=7).contains(&sent.count()));
        pacer.set_rate(4_800, Duration::from_millis(200), 1_200);
        let later = at(60_000_000);
        let sent = (0..100).take_while(|_| {
            let may = pacer.poll_timeout(later).is_none();
            pacer.on_sent(later, 1_200);
            may
        });
        assert_eq!(sent.count(), 4);
    }

    #[test]
    fn what_goes_at_once_is_paid_later() {
        let mut pacer = paced();
        let now = at(1_000_000);
        for _ in 0..50 {
            pacer.on_sent(now, 1_200);
        }
        assert!(pacer.is_behind(now, Duration::from_millis(16)));
        let ready = pacer.poll_timeout(now).expect("it must wait");
        assert!(ready.since(now).abs_diff(Duration::from_millis(18)) < Duration::from_millis(1));
    }

    #[test]
    fn the_end_of_time_and_empty_windows_overflow_nothing() {
        let mut pacer = Pacer::new(u16::MAX);
        pacer.set_rate(0, Duration::MAX, u16::MAX);
        pacer.on_sent(at(u64::MAX), u16::MAX);
        assert!(pacer.poll_timeout(at(0)).is_some());
        assert!(!pacer.is_behind(at(u64::MAX), Duration::MAX));
    }
}
