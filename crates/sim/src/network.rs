//! One direction of a path between two ends.
//!
//! ```
//! use std::time::Duration;
//! use moorline_link::Time;
//! use moorline_sim::network::{Conditions, Direction};
//!
//! # fn main() -> Result<(), moorline_sim::network::ConditionsError> {
//! let conditions = Conditions { delay: Duration::from_millis(20), ..Conditions::default() };
//! let mut there = Direction::new(conditions, 1)?;
//! there.send(Time::ZERO, "ann", b"ahoy");
//! assert_eq!(there.receive(Time::from_millis(19)), None);
//! assert_eq!(there.poll_timeout(), Some(Time::from_millis(20)));
//! assert_eq!(there.receive(Time::from_millis(20)), Some(("ann", b"ahoy".to_vec())));
//! # Ok(())
//! # }
//! ```

mod conditions;

use std::collections::BTreeMap;
use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::{Ecn, Time};

pub use conditions::{Conditions, ConditionsError, Loss, PERMILLE_MAX, Routers};

/// The most datagrams that are under way in one direction; more are dropped and counted.
pub const IN_FLIGHT_MAX: usize = 64 * 1024;

/// The most bytes that are under way in one direction; more are dropped and counted.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest datagram that splicing makes: what UDP can carry.
pub const SPLICED_BYTES_MAX: usize = 65_507;

/// The most neighbouring bytes that corruption changes.
const CORRUPTED_BYTES_MAX: usize = 4;

/// One direction of a path: what is [sent](Self::send) at one end is [received](Self::receive) at
/// the other, later, or damaged, or not at all.
///
/// The same seed and the same calls give every datagram the same fate. Unless the
/// [`Conditions`] say otherwise, nothing overtakes anything.
#[derive(Clone, Debug)]
pub struct Direction<T> {
    conditions: Conditions,
    rng: Rng,
    /// Whether the datagram before this one was lost in a burst.
    is_in_burst: bool,
    queue: Queue,
    /// Nothing that keeps its place arrives before this: what was sent before it is there then.
    in_order_from: Time,
    /// What splicing takes its second half from; kept only while there is splicing.
    previous: Vec<u8>,
    /// By when they arrive, and those of one moment by when they were sent.
    in_flight: BTreeMap<(Time, u64), (T, Ecn, Vec<u8>)>,
    in_flight_bytes: usize,
    serial: u64,
    counters: DirectionCounters,
}

/// What became of the datagrams of one [`Direction`].
///
/// Each that was sent, and each copy that was made of one, is in exactly one of `delivered`,
/// `lost`, `cut`, `too_large`, `queue_dropped`, `mark_dropped` and `overflowed`, or still under
/// way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounters {
    /// Datagrams that were given to the path.
    pub sent: u64,
    /// Datagrams that came out of it, copies and damaged ones included.
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Sent while the path was cut.
    pub cut: u64,
    /// Longer than the path allows.
    pub too_large: u64,
    /// Came to a full queue.
    pub queue_dropped: u64,
    /// Dropped as routers might have marked it.
    pub mark_dropped: u64,
    /// One more than [`IN_FLIGHT_MAX`] or [`IN_FLIGHT_BYTES_MAX`].
    pub overflowed: u64,
    /// Marked by a router.
    pub marked: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Sent on a detour.
    pub reordered: u64,
    /// Changed in some bytes.
    pub corrupted: u64,
    /// Cut short.
    pub truncated: u64,
    /// Continued with a part of the one before.
    pub spliced: u64,
}

impl<T: Clone> Direction<T> {
    /// A path under these conditions, with nothing under way.
    ///
    /// # Errors
    /// When no path can be like that.
    pub fn new(conditions: Conditions, seed: u64) -> Result<Self, ConditionsError> {
        conditions.check()?;
        Ok(Self {
            conditions,
            rng: Rng::new(seed),
            is_in_burst: false,
            queue: Queue::default(),
            in_order_from: Time::ZERO,
            previous: Vec::new(),
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            serial: 0,
            counters: DirectionCounters::default(),
        })
    }

    /// Changes the conditions for what is sent from now on. What is under way arrives when it would
    /// have, and a shorter delay lets nothing overtake it.
    ///
    /// # Errors
    /// When no path can be like that; then nothing changes.
    pub fn set(&mut self, conditions: Conditions) -> Result<(), ConditionsError> {
        conditions.check()?;
        self.conditions = conditions;
        if conditions.splice_permille == 0 {
            self.previous = Vec::new();
        }
        Ok(())
    }

    /// What the path does at present.
    #[must_use]
    pub const fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub const fn counters(&self) -> DirectionCounters {
        self.counters
    }

    /// How many datagrams are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Sends a datagram that routers may not mark; `tag` arrives with it.
    pub fn send(&mut self, now: Time, tag: T, datagram: &[u8]) {
        self.send_with(now, (tag, Ecn::NotCapable), datagram);
    }

    /// Sends a datagram with a mark; `tag` arrives with it.
    pub fn send_with(&mut self, now: Time, (tag, ecn): (T, Ecn), datagram: &[u8]) {
        self.counters.sent += 1;
        // Every datagram has dice of its own, so that what happens to one shifts no other's fate.
        let mut dice = Rng::new(self.rng.next_u64());
        let conditions = self.conditions;
        if conditions.is_cut {
            self.counters.cut += 1;
            return;
        }
        if conditions.mtu.is_some_and(|mtu| datagram.len() > mtu) {
            self.counters.too_large += 1;
            return;
        }
        let Some(leaves) = self.queue.pass(now, datagram.len(), &conditions) else {
            self.counters.queue_dropped += 1;
            return;
        };
        if self.is_lost(&mut dice) {
            self.counters.lost += 1;
            return;
        }
        let Some(ecn) = self.routed(ecn) else {
            self.counters.mark_dropped += 1;
            return;
        };
        if chance(&mut dice, conditions.duplicate_permille) {
            self.counters.duplicated += 1;
            self.carry(leaves, &mut dice, (tag.clone(), ecn), datagram);
        }
        self.carry(leaves, &mut dice, (tag, ecn), datagram);
        if conditions.splice_permille > 0 {
            datagram.clone_into(&mut self.previous);
        }
    }

    /// The next datagram that has arrived by now.
    pub fn receive(&mut self, now: Time) -> Option<(T, Vec<u8>)> {
        self.receive_with(now).map(|(tag, _, datagram)| (tag, datagram))
    }

    /// The same with its mark.
    pub fn receive_with(&mut self, now: Time) -> Option<(T, Ecn, Vec<u8>)> {
        let next = self.in_flight.first_entry()?;
        if next.key().0 > now {
            return None;
        }
        let (tag, ecn, datagram) = next.remove();
        self.in_flight_bytes -= datagram.len();
        self.counters.delivered += 1;
        Some((tag, ecn, datagram))
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.in_flight.first_key_value().map(|((arrives, _), _)| *arrives)
    }

    fn is_lost(&mut self, dice: &mut Rng) -> bool {
        match self.conditions.loss {
            Loss::None => self.is_in_burst = false,
            Loss::Even { permille } => {
                self.is_in_burst = false;
                return chance(dice, permille);
            }
            Loss::Bursts { permille, burst_len } => {
                // A burst ends after each datagram with one chance in `burst_len`, and begins as
                // often as makes the long run right.
                let (burst_len, lost) = (u64::from(burst_len), u64::from(permille));
                let arrived = u64::from(PERMILLE_MAX) - lost;
                self.is_in_burst = if self.is_in_burst {
                    lost > 0 && dice.below(burst_len) != 0
                } else {
                    dice.below(arrived * burst_len) < lost
                };
            }
        }
        self.is_in_burst
    }

    /// What routers make of a datagram's mark; none if they drop it. The queue has it already.
    fn routed(&mut self, ecn: Ecn) -> Option<Ecn> {
        let is_long = |bytes: usize| self.queue.backlog > bytes as u128 * Queue::UNIT;
        let marks = match self.conditions.routers {
            _ if ecn == Ecn::NotCapable => false,
            Routers::Idle => false,
            Routers::MarkQueue { bytes } => is_long(bytes),
            Routers::MarkAll => true,
            Routers::Bleach => return Some(Ecn::NotCapable),
            Routers::Drop => return None,
        };
        self.counters.marked += u64::from(marks);
        Some(if marks { Ecn::Congested } else { ecn })
    }

    /// Puts one datagram under way, with what happens to it there.
    fn carry(&mut self, leaves: Time, dice: &mut Rng, (tag, ecn): (T, Ecn), datagram: &[u8]) {
        let datagram = self.damage(dice, datagram);
        let mut arrives = self.arrival(leaves, dice);
        if chance(dice, self.conditions.reorder_permille) {
            self.counters.reordered += 1;
            arrives = arrives + self.conditions.reorder_by;
        } else {
            self.in_order_from = self.in_order_from.max(arrives);
        }
        let bytes = self.in_flight_bytes + datagram.len();
        if self.in_flight.len() >= IN_FLIGHT_MAX || bytes > IN_FLIGHT_BYTES_MAX {
            self.counters.overflowed += 1;
            return;
        }
        self.in_flight_bytes = bytes;
        self.serial += 1;
        self.in_flight.insert((arrives, self.serial), (tag, ecn, datagram));
    }

    fn arrival(&self, leaves: Time, dice: &mut Rng) -> Time {
        let Conditions { delay, jitter, .. } = self.conditions;
        let arrives = leaves + delay;
        if jitter.is_zero() {
            arrives.max(self.in_order_from)
        } else {
            arrives + dice.up_to(jitter)
        }
    }

    fn damage(&mut self, dice: &mut Rng, datagram: &[u8]) -> Vec<u8> {
        let mut bytes = datagram.to_vec();
        let conditions = &self.conditions;
        if chance(dice, conditions.splice_permille) && !self.previous.is_empty() {
            let (head, tail) = (index(dice, bytes.len() + 1), index(dice, self.previous.len()));
            bytes.truncate(head);
            bytes.extend_from_slice(&self.previous[tail..]);
            bytes.truncate(SPLICED_BYTES_MAX);
            self.counters.spliced += 1;
        }
        if chance(dice, conditions.truncate_permille) && !bytes.is_empty() {
            bytes.truncate(index(dice, bytes.len()));
            self.counters.truncated += 1;
        }
        if chance(dice, conditions.corrupt_permille) && !bytes.is_empty() {
            let (from, len) = (index(dice, bytes.len()), 1 + index(dice, CORRUPTED_BYTES_MAX));
            for byte in bytes.iter_mut().skip(from).take(len) {
                // Never zero, or the byte would stay as it is.
                *byte ^= 1 + index(dice, 255) as u8;
            }
            self.counters.corrupted += 1;
        }
        if bytes == self.previous && bytes != datagram && !bytes.is_empty() {
            // They begin alike: it would be a copy of the other, and no damage.
            bytes.remove(0);
        }
        bytes
    }
}

/// What waits for its turn where the rate is limited.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    /// In bytes times microseconds of a second, so that no rounding adds up.
    backlog: u128,
    /// When the backlog was so long.
    at: Time,
}

impl Queue {
    const UNIT: u128 = 1_000_000;

    /// When a datagram that comes now has passed; `None` where there is no room for it.
    fn pass(&mut self, now: Time, len: usize, conditions: &Conditions) -> Option<Time> {
        let elapsed = now.since(self.at).as_micros();
        self.at = self.at.max(now);
        let Some(rate) = conditions.rate_bytes_per_second.map(u128::from) else {
            self.backlog = 0;
            return Some(now);
        };
        self.backlog = self.backlog.saturating_sub(elapsed.saturating_mul(rate));
        let backlog = self.backlog + len as u128 * Self::UNIT;
        if self.backlog > 0 && backlog > conditions.queue_bytes_max as u128 * Self::UNIT {
            return None;
        }
        self.backlog = backlog;
        let micros = u64::try_from(backlog.div_ceil(rate)).unwrap_or(u64::MAX);
        Some(self.at + Duration::from_micros(micros))
    }
}

fn chance(dice: &mut Rng, permille: u32) -> bool {
    dice.below(PERMILLE_MAX.into()) < permille.into()
}

/// A place below `len`.
fn index(dice: &mut Rng, len: usize) -> usize {
    dice.below(len as u64) as usize
}
