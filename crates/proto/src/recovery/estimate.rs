//! How likely a packet is lost, how often the application sends, and how many copies that asks for.

use std::time::Duration;

use moorline_link::time::Time;

use super::micros;
use crate::notes::Notes;

/// A certain loss, in the unit of [`Estimate::loss`].
pub const CERTAIN: u64 = 1 << 32;

/// What is assumed before enough packets were judged: one in a hundred.
const PRIOR: u64 = CERTAIN / 100;
/// How many packets are enough.
const PRIOR_PACKETS: u64 = 100;
/// How fast the quick and the slow estimate follow, as shifts: 1/16 and 1/256.
const QUICK_SHIFT: u32 = 4;
const SLOW_SHIFT: u32 = 8;
/// How many copies of a frame are sent at most before it is overdue.
const COPIES_MAX: u8 = 5;
/// A pause longer than this says nothing about the interval between two ticks.
const FLUSH_INTERVAL_MAX_MICROS: u64 = 250_000;

/// How much it matters that a frame arrives soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// It is not repeated before it is lost.
    Bulk,
    /// One in a thousand may wait for a round trip.
    Interactive,
    /// One in ten thousand may.
    Critical,
}

impl Urgency {
    /// The share of frames that may wait for a round trip, in parts of [`CERTAIN`].
    const fn residual(self) -> u64 {
        match self {
            Self::Bulk => CERTAIN,
            Self::Interactive => CERTAIN / 1_000,
            Self::Critical => CERTAIN / 10_000,
        }
    }
}

/// Estimates of one path and of the application above it.
#[derive(Clone, Debug)]
pub struct Estimate {
    quick: u64,
    slow: u64,
    packets: u64,
    flushed_at: Option<Time>,
    flush_interval_micros: Option<u64>,
}

impl Estimate {
    /// Nothing was judged.
    pub const fn new() -> Self {
        Self {
            quick: PRIOR,
            slow: PRIOR,
            packets: 0,
            flushed_at: None,
            flush_interval_micros: None,
        }
    }

    /// Tells that a packet arrived.
    pub const fn on_ack(&mut self) {
        self.quick -= self.quick >> QUICK_SHIFT;
        self.slow -= self.slow >> SLOW_SHIFT;
        self.packets = self.packets.saturating_add(1);
    }

    /// Tells that a packet was lost.
    pub const fn on_lost(&mut self) {
        self.quick += (CERTAIN - self.quick) >> QUICK_SHIFT;
        self.slow += (CERTAIN - self.slow) >> SLOW_SHIFT;
        self.packets = self.packets.saturating_add(1);
    }

    /// Tells that a packet that was taken for lost arrived after all: takes back what its loss
    /// added.
    pub const fn on_spurious(&mut self) {
        self.quick = self.quick.saturating_sub(CERTAIN >> QUICK_SHIFT);
        self.slow = self.slow.saturating_sub(CERTAIN >> SLOW_SHIFT);
    }

    /// Tells that the application's messages are sent now, once a tick.
    pub fn on_flush(&mut self, now: Time) {
        let before = self.flushed_at.replace(now);
        let Some(before) = before.filter(|before| *before < now) else { return };
        let interval = micros(now.since(before)).min(FLUSH_INTERVAL_MAX_MICROS);
        self.flush_interval_micros = Some(match self.flush_interval_micros {
            None => interval,
            Some(smoothed) => smoothed - smoothed / 8 + interval / 8,
        });
    }

    /// What it knows, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        for value in [&mut self.quick, &mut self.slow, &mut self.packets] {
            notes.number(value);
        }
        notes.option(&mut self.flushed_at, N::time);
        notes.option(&mut self.flush_interval_micros, N::number);
    }

    /// How likely a packet is lost, in parts of [`CERTAIN`]: quick to rise and slow to fall.
    pub fn loss(&self) -> u64 {
        let measured = self.quick.max(self.slow);
        if self.packets < PRIOR_PACKETS { measured.max(PRIOR) } else { measured }
    }

    /// The same in parts of a million.
    pub fn loss_ppm(&self) -> u32 {
        u32::try_from((self.loss() * 1_000_000) >> 32).unwrap_or(u32::MAX)
    }

    /// The time between two flushes, if the application flushes again and again.
    pub fn flush_interval(&self) -> Option<Duration> {
        self.flush_interval_micros.map(Duration::from_micros)
    }

    /// When the application flushed last.
    pub const fn flushed_at(&self) -> Option<Time> {
        self.flushed_at
    }

    /// How many copies of a frame to send, the first included: so many that all are lost as seldom
    /// as its urgency asks.
    pub fn copies(&self, urgency: Urgency) -> u8 {
        let loss = self.loss();
        let mut all_lost = loss;
        let mut copies = 1;
        while copies < COPIES_MAX && all_lost > urgency.residual() {
            all_lost = (all_lost * loss) >> 32;
            copies += 1;
        }
        copies
    }
}

impl Default for Estimate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_link::rng::Rng;

    fn after(packets: u64, lost_percent: u64) -> Estimate {
        let mut estimate = Estimate::new();
        let mut rng = Rng::new(5);
        for _ in 0..packets {
            if rng.below(100) < lost_percent { estimate.on_lost() } else { estimate.on_ack() }
        }
        estimate
    }

    #[test]
    fn before_a_hundred_packets_one_percent_is_assumed() {
        assert_eq!(Estimate::new().loss(), PRIOR);
        assert_eq!(after(99, 0).loss(), PRIOR);
        assert!(after(100, 0).loss() < PRIOR);
        assert_eq!(Estimate::new().copies(Urgency::Interactive), 2);
    }

    #[test]
    fn copies_are_as_many_as_keep_all_but_the_residual_from_waiting() {
        let cases = [(0, 1, 1), (5, 3, 4), (10, 3, 4), (20, 5, 5), (60, 5, 5)];
        for (percent, interactive, critical) in cases {
            let mut estimate = Estimate::new();
            estimate.packets = 1_000;
            (estimate.quick, estimate.slow) = (0, CERTAIN * percent / 100);
            assert_eq!(estimate.copies(Urgency::Interactive), interactive, "{percent} %");
            assert_eq!(estimate.copies(Urgency::Critical), critical, "{percent} %");
            assert_eq!(estimate.copies(Urgency::Bulk), 1);
        }
    }

    #[test]
    fn a_clean_path_repeats_nothing_interactive() {
        assert_eq!(after(700, 0).copies(Urgency::Interactive), 1);
    }

    #[test]
    fn a_burst_is_felt_at_once_and_forgotten_slowly() {
        let mut estimate = after(2_000, 0);
        for _ in 0..3 {
            estimate.on_lost();
        }
        assert!(estimate.loss_ppm() > 170_000);
        for _ in 0..100 {
            estimate.on_ack();
        }
        assert!((5_000..20_000).contains(&estimate.loss_ppm()), "{}", estimate.loss_ppm());
    }

    #[test]
    fn spurious_losses_are_taken_back() {
        let mut estimate = after(2_000, 0);
        let before = estimate.loss_ppm();
        for _ in 0..50 {
            estimate.on_lost();
            estimate.on_spurious();
        }
        assert!(estimate.loss_ppm() <= before);
    }

    #[test]
    fn nothing_overflows_when_everything_is_lost() {
        let mut estimate = after(100_000, 100);
        assert!(estimate.loss() <= CERTAIN);
        assert_eq!(estimate.copies(Urgency::Critical), COPIES_MAX);
        estimate.on_spurious();
        assert!(estimate.loss() < CERTAIN);
    }

    #[test]
    fn the_flush_interval_follows_ticks_and_is_not_drawn_out_by_a_pause() {
        let mut estimate = Estimate::new();
        assert_eq!(estimate.flush_interval(), None);
        for tick in 0..100 {
            estimate.on_flush(Time::from_micros(tick * 16_667));
            estimate.on_flush(Time::from_micros(tick * 16_667));
        }
        let interval = estimate.flush_interval().expect("a hundred ticks");
        assert!(interval.abs_diff(Duration::from_micros(16_667)) < Duration::from_micros(20));
        estimate.on_flush(Time::from_millis(100_000));
        assert!(estimate.flush_interval() < Some(Duration::from_millis(50)));
    }
}
