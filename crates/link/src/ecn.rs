//! What a datagram's IP header says of congestion (RFC 3168).

/// The mark of a datagram: whether routers may mark it where their queues grow, and whether one
/// did. ECT(1), which is for experiments, counts as [`Capable`](Self::Capable) where it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecn {
    /// Routers drop it where a queue is full, and say nothing before.
    #[default]
    NotCapable,
    /// Routers may mark it instead, ECT(0).
    Capable,
    /// A router did, CE.
    Congested,
}
