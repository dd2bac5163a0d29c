//! How a message travels, and the policy that says which kinds travel how.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

/// How a message travels. Its sequence belongs to the session, not to the link below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Every message arrives once, those of one key in the order in which they were sent. The
    /// native protocol has 24 channels, of which a key is given one; over KCP all of them are in
    /// one order.
    ReliableOrdered,
    /// Every message arrives once, as soon as it can.
    ReliableUnordered,
    /// The newest message of a key wins; an older one that was not sent yet is replaced, and one
    /// that arrives late is dropped.
    Latest,
    /// A message arrives once or never.
    Unreliable,
}

impl Lane {
    /// All lanes, in the order in which they are declared.
    pub const ALL: [Self; 4] =
        [Self::ReliableOrdered, Self::ReliableUnordered, Self::Latest, Self::Unreliable];

    /// Those on which what is sent arrives.
    pub const RELIABLE: [Self; 2] = [Self::ReliableOrdered, Self::ReliableUnordered];

    /// Whether what is sent here arrives, as long as the session lives.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::ReliableOrdered | Self::ReliableUnordered)
    }
}

/// What becomes of a message for which there is no room on its lane, as the peer takes what is sent
/// to it too slowly. On [`Lane::Latest`] a newer value replaces an older one of its key before it
/// comes to this, and [`Lane::Unreliable`] drops what is oldest by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It is not taken, and its sender is told so. Another try makes sense when there is room
    /// again, which is an event of the session.
    #[default]
    Refuse,
    /// The oldest messages of its lane that were not begun to be sent make room for it. The peer
    /// never gets those, also of a reliable lane; all others arrive. A transport that cannot do
    /// this refuses.
    DropOldest,
    /// The session ends: its peer is too slow for it.
    Close,
}

/// The delivery policy: which kinds of message exist, the lane of each, and what becomes of what
/// has no room there.
///
/// A kind that is not in the policy is refused when it is sent and dropped, with a counter, when it
/// arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    lanes: BTreeMap<u16, Lane>,
    overflows: [Overflow; Lane::ALL.len()],
}

impl Delivery {
    /// A policy that knows no kind.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same policy with `kind` on `lane`.
    ///
    /// # Panics
    /// When the kind was given another lane before: two parts of the program disagree.
    #[must_use]
    pub fn with(mut self, kind: u16, lane: Lane) -> Self {
        let before = self.lanes.insert(kind, lane);
        assert!(
            before.is_none_or(|before| before == lane),
            "kind {kind} was given the lanes {before:?} and {lane:?}"
        );
        self
    }

    /// The same policy with this answer to a lane without room.
    #[must_use]
    pub const fn with_overflow(mut self, lane: Lane, overflow: Overflow) -> Self {
        self.overflows[lane as usize] = overflow;
        self
    }

    /// What becomes of a message for which there is no room on this lane.
    pub const fn overflow(&self, lane: Lane) -> Overflow {
        self.overflows[lane as usize]
    }

    /// The lane of `kind`.
    ///
    /// # Errors
    /// When the policy does not know the kind.
    pub fn lane(&self, kind: u16) -> Result<Lane, UnknownKind> {
        self.lanes.get(&kind).copied().ok_or(UnknownKind(kind))
    }
}

/// A kind of message that the delivery policy does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind(pub u16);

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message kind {} is not in the delivery policy: register it first", self.0)
    }
}

impl Error for UnknownKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_without_a_policy_is_an_error() {
        let policy = Delivery::new().with(1, Lane::Latest);
        assert_eq!(policy.lane(1), Ok(Lane::Latest));
        assert_eq!(policy.lane(2), Err(UnknownKind(2)));
    }

    #[test]
    fn each_lane_has_its_own_answer_to_having_no_room() {
        let policy = Delivery::new().with_overflow(Lane::ReliableUnordered, Overflow::DropOldest);
        assert_eq!(policy.overflow(Lane::ReliableUnordered), Overflow::DropOldest);
        assert_eq!(policy.overflow(Lane::ReliableOrdered), Overflow::Refuse);
    }

    #[test]
    #[should_panic(expected = "kind 1 was given the lanes")]
    fn one_kind_cannot_travel_in_two_ways() {
        let _ = Delivery::new().with(1, Lane::Latest).with(1, Lane::ReliableOrdered);
    }
}
