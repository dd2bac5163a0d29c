//! The longest packet that the path carries.
//!
//! A search tries the longest first, as most paths carry it, and halves what is left otherwise
//! (RFC 8899). When only long packets get lost, one after another, the path has changed and the
//! search begins anew from what every path carries.

use std::time::Duration;

use moorline_link::time::Time;

use crate::notes::Notes;

/// What every path carries.
pub const MTU_BASE: u16 = 1_200;
/// A search is over when it can gain no more than this.
const GAIN_MIN: u16 = 16;
/// A length is too long when so many probes of it are lost.
const PROBES_LOST_MAX: u8 = 3;
/// So many long packets lost, with none arriving and no short one lost in between, are a black
/// hole.
const LARGE_LOST_MAX: u8 = 6;
/// How long after a search another begins: the path may carry more by then.
const SEARCH_AGAIN: Duration = Duration::from_secs(600);
/// The same after a black hole.
const SEARCH_AFTER_HOLE: Duration = Duration::from_secs(60);

/// The search for the longest packet.
#[derive(Clone, Debug)]
pub struct Mtu {
    current: u16,
    /// The longest that was not found to be too long.
    limit: u16,
    limit_max: u16,
    probe: Probe,
    probes_lost: u8,
    large_lost: u8,
    stats: MtuStats,
}

/// What was counted of the search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MtuStats {
    /// Probes that were sent.
    pub probes: u64,
    /// Black holes that were found.
    pub black_holes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// One may be sent.
    Due,
    /// One is on its way.
    Sent(u16),
    /// The search is over until then.
    Rests(Time),
}

impl Mtu {
    /// A search up to `limit_max` bytes: 1,472 over IPv4 and 1,452 over IPv6, where the path is an
    /// Ethernet.
    pub fn new(limit_max: u16) -> Self {
        let limit_max = limit_max.max(MTU_BASE);
        Self {
            current: MTU_BASE,
            limit: limit_max,
            limit_max,
            probe: Probe::Due,
            probes_lost: 0,
            large_lost: 0,
            stats: MtuStats::default(),
        }
    }

    /// The longest packet that is known to pass.
    pub const fn current(&self) -> u16 {
        self.current
    }

    /// The length of the probe to send now, if one is due.
    pub fn poll_probe(&self) -> Option<u16> {
        (self.probe == Probe::Due && self.can_gain()).then(|| self.candidate())
    }

    /// The longest at first, then the middle of what is left.
    fn candidate(&self) -> u16 {
        match self.limit == self.limit_max {
            true => self.limit,
            false => self.current.midpoint(self.limit),
        }
    }

    const fn can_gain(&self) -> bool {
        self.limit.saturating_sub(self.current) >= GAIN_MIN
    }

    /// Tells that a probe left.
    pub const fn on_probe_sent(&mut self, len: u16) {
        self.probe = Probe::Sent(len);
        self.stats.probes = self.stats.probes.saturating_add(1);
    }

    /// Tells that a packet of `len` bytes arrived, a probe or not.
    pub fn on_ack(&mut self, now: Time, len: u16) {
        if len > MTU_BASE {
            self.large_lost = 0;
        }
        if self.probe == Probe::Sent(len) {
            self.current = self.current.max(len);
            self.limit = self.limit.max(len);
            self.probes_lost = 0;
            self.go_on(now);
        }
    }

    /// Tells that a probe was lost.
    pub fn on_probe_lost(&mut self, now: Time, len: u16) {
        if self.probe != Probe::Sent(len) {
            return;
        }
        self.probes_lost += 1;
        if self.probes_lost >= PROBES_LOST_MAX {
            self.probes_lost = 0;
            self.limit = len.saturating_sub(1).max(self.current);
        }
        self.go_on(now);
    }

    fn go_on(&mut self, now: Time) {
        let rests = Probe::Rests(now + SEARCH_AGAIN);
        self.probe = if self.can_gain() { Probe::Due } else { rests };
    }

    /// Tells that a packet of `len` bytes that was no probe was lost. True if this makes it a black
    /// hole: packets are [`MTU_BASE`] long at most from now on.
    pub fn on_lost(&mut self, now: Time, len: u16) -> bool {
        if len <= MTU_BASE {
            self.large_lost = 0;
            return false;
        }
        self.large_lost += 1;
        if self.large_lost < LARGE_LOST_MAX {
            return false;
        }
        self.large_lost = 0;
        self.stats.black_holes = self.stats.black_holes.saturating_add(1);
        self.current = MTU_BASE;
        self.limit = self.limit_max;
        self.probe = Probe::Rests(now + SEARCH_AFTER_HOLE);
        true
    }

    /// Another path carries other lengths.
    pub fn on_migration(&mut self) {
        let stats = self.stats;
        *self = Self { stats, ..Self::new(self.limit_max) };
    }

    /// Begins another search when it is time.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Probe::Rests(until) = self.probe
            && now >= until
        {
            self.limit = self.limit_max;
            self.probes_lost = 0;
            self.probe =
                if self.can_gain() { Probe::Due } else { Probe::Rests(now + SEARCH_AGAIN) };
        }
    }

    /// When another search begins.
    pub const fn poll_timeout(&self) -> Option<Time> {
        match self.probe {
            Probe::Rests(until) => Some(until),
            Probe::Due | Probe::Sent(_) => None,
        }
    }

    /// Whether no probe is on its way.
    pub(super) const fn is_at_rest(&self) -> bool {
        !matches!(self.probe, Probe::Sent(_))
    }

    /// What it knows, while the link rests.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        for value in [&mut self.current, &mut self.limit, &mut self.limit_max] {
            notes.small(value);
        }
        let mut rests_until = self.poll_timeout();
        notes.option(&mut rests_until, N::time);
        self.probe = rests_until.map_or(Probe::Due, Probe::Rests);
        notes.small(&mut self.probes_lost);
        notes.small(&mut self.large_lost);
        notes.number(&mut self.stats.probes);
        notes.number(&mut self.stats.black_holes);
    }

    /// What was counted.
    pub const fn stats(&self) -> MtuStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a path that carries `carries` bytes, and gives how many probes that took.
    fn search(mtu: &mut Mtu, carries: u16) -> u64 {
        let before = mtu.stats().probes;
        for _ in 0..100 {
            let Some(len) = mtu.poll_probe() else { break };
            mtu.on_probe_sent(len);
            assert_eq!(mtu.poll_probe(), None, "one probe at a time");
            if len <= carries {
                mtu.on_ack(Time::ZERO, len);
            } else {
                mtu.on_probe_lost(Time::ZERO, len);
            }
        }
        mtu.stats().probes - before
    }

    #[test]
    fn an_ethernet_is_found_with_one_probe() {
        let mut mtu = Mtu::new(1_472);
        assert_eq!(search(&mut mtu, 1_472), 1);
        assert_eq!(mtu.current(), 1_472);
    }

    #[test]
    fn every_path_is_found_to_within_sixteen_bytes_and_never_overstated() {
        for carries in 1_200..=1_472 {
            let mut mtu = Mtu::new(1_472);
            let probes = search(&mut mtu, carries);
            assert!(mtu.current() <= carries);
            assert!(carries - mtu.current() <= GAIN_MIN, "{carries}: {}", mtu.current());
            assert!(probes <= 16, "{carries}: {probes}");
        }
    }

    #[test]
    fn a_black_hole_is_left_for_the_base_and_searched_again_a_minute_later() {
        let mut mtu = Mtu::new(1_472);
        search(&mut mtu, 1_472);
        let holes = (0..6).filter(|_| mtu.on_lost(Time::ZERO, 1_472)).count();
        assert_eq!((holes, mtu.current(), mtu.poll_probe()), (1, MTU_BASE, None));
        let again = mtu.poll_timeout().expect("another search");
        assert_eq!(again, Time::from_millis(60_000));
        mtu.handle_timeout(again);
        search(&mut mtu, 1_300);
        assert!((1_284..=1_300).contains(&mtu.current()));
    }

    #[test]
    fn loss_of_everything_and_loss_now_and_then_are_no_black_holes() {
        let mut mtu = Mtu::new(1_472);
        search(&mut mtu, 1_472);
        for _ in 0..100 {
            assert!((0..5).all(|_| !mtu.on_lost(Time::ZERO, 1_472)));
            mtu.on_lost(Time::ZERO, 60);
            assert!((0..5).all(|_| !mtu.on_lost(Time::ZERO, 1_472)));
            mtu.on_ack(Time::ZERO, 1_472);
        }
        assert_eq!(mtu.current(), 1_472);
    }

    #[test]
    fn another_path_begins_at_the_base() {
        let mut mtu = Mtu::new(1_452);
        search(&mut mtu, 1_452);
        mtu.on_migration();
        assert_eq!((mtu.current(), mtu.poll_probe()), (MTU_BASE, Some(1_452)));
    }
}
