//! What is remembered of each remote address, within a bound.
//!
//! The ledger costs nothing per packet: it is told when a link opens, closes or moves, and it looks
//! at a link when a snapshot is taken, or once more before the link closes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::SystemTime;

use moorline_link::transport::{Counter, LinkStats, Volume};
use moorline_session::lifecycle::State;

use crate::snapshot::{LinkPeaks, PeerSnapshot};

/// The history of remote addresses. At most [`PeerLedger::PEERS_MAX`] are remembered; to make room,
/// those without a link go first, then the one that was inactive for longest.
#[derive(Clone, Debug, Default)]
pub struct PeerLedger {
    peers: BTreeMap<SocketAddr, Entry>,
    /// The same peers, in the order in which they would be forgotten.
    order: BTreeSet<Rank>,
    peaks: LinkPeaks,
    forgotten: u64,
}

/// What is seen of a peer when somebody looks. Amounts count since the link was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerObservation {
    /// Where its session stands.
    pub state: Option<State>,
    /// When it was last heard of.
    pub last_activity: Option<SystemTime>,
    /// Messages to it.
    pub payload_sent: Volume,
    /// Messages from it.
    pub payload_received: Volume,
    /// Figures of its link; the amounts of datagrams come from here. `None` leaves those that are
    /// known.
    pub link: Option<LinkStats>,
}

impl PeerLedger {
    /// How many peers are remembered at most: about half a megabyte, and a report that opens in an
    /// editor.
    pub const PEERS_MAX: usize = 1024;

    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// A link to `remote` came up. Only this adds a peer; what the other calls say of a peer that
    /// is forgotten is dropped, so that more links than the bound do not push each other out at
    /// every snapshot.
    pub fn opened(&mut self, remote: SocketAddr, at: SystemTime) {
        if !self.peers.contains_key(&remote) {
            self.make_room();
            let entry = Entry::new(remote, at);
            self.order.insert(entry.rank());
            self.peers.insert(remote, entry);
        }
        self.update(remote, |entry| {
            entry.end_link();
            entry.past.opens = entry.past.opens.saturating_add(1);
            entry.heard(at);
        });
    }

    /// What is to be seen of the link to `remote` now.
    pub fn observe(&mut self, remote: SocketAddr, seen: &PeerObservation) {
        // Also of peers that are forgotten: the run's peaks are the run's.
        if let Some(link) = &seen.link {
            self.peaks.note(link);
        }
        self.update(remote, |entry| {
            if let Some(link) = &seen.link {
                entry.past.peaks.note(link);
            }
            if let Some(at) = seen.last_activity {
                entry.heard(at);
            }
            let link_before = entry.now.link.take();
            entry.now = PeerObservation { link: seen.link.clone().or(link_before), ..seen.clone() };
        });
    }

    /// The link to `remote` is gone. [`observe`](Self::observe) it before, or what happened since
    /// the last snapshot is missing.
    pub fn closed(&mut self, remote: SocketAddr, at: SystemTime) {
        self.update(remote, |entry| {
            entry.past.closes = entry.past.closes.saturating_add(1);
            entry.heard(at);
            if !entry.is_here() {
                entry.empty_queues();
            }
        });
    }

    /// The link to `from` goes on as a link to `to`. Its figures go with it, or they would be added
    /// up twice.
    pub fn moved(&mut self, from: SocketAddr, to: SocketAddr, at: SystemTime) {
        self.update(from, |entry| entry.now = PeerObservation::default());
        self.closed(from, at);
        self.opened(to, at);
    }

    /// Something failed with `remote` in the step `stage`.
    pub fn failed(&mut self, remote: SocketAddr, stage: &'static str) {
        self.update(remote, |entry| {
            let errors = &mut entry.past.errors_by_stage;
            match errors.iter_mut().find(|(name, _)| *name == stage) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => errors.push((stage, 1)),
            }
        });
    }

    /// How many peers are remembered.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether no peer is remembered.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// All that is remembered, in the order of the addresses.
    pub fn snapshots(&self) -> Vec<PeerSnapshot> {
        self.peers.values().map(Entry::snapshot).collect()
    }

    /// The worst of all links that were ever looked at.
    pub const fn peaks(&self) -> LinkPeaks {
        self.peaks
    }

    /// What the ledger counted.
    pub fn counters(&self) -> Vec<Counter> {
        vec![Counter { name: "peers_forgotten", value: self.forgotten }]
    }

    fn make_room(&mut self) {
        if self.peers.len() < Self::PEERS_MAX {
            return;
        }
        if let Some((_, _, remote)) = self.order.pop_first() {
            self.peers.remove(&remote);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// Changes an entry and keeps its place in the order right.
    fn update(&mut self, remote: SocketAddr, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.peers.get_mut(&remote) else { return };
        let before = entry.rank();
        change(entry);
        let after = entry.rank();
        if before != after {
            self.order.remove(&before);
            self.order.insert(after);
        }
    }
}

/// Whether a link is up, since when nothing was heard, and of whom: least is forgotten first.
type Rank = (bool, SystemTime, SocketAddr);

#[derive(Clone, Debug)]
struct Entry {
    /// What is over; its amounts are of earlier links only, and its link is unused.
    past: PeerSnapshot,
    /// The link that is up, or the last one.
    now: PeerObservation,
}

impl Entry {
    fn new(remote: SocketAddr, at: SystemTime) -> Self {
        Self { past: PeerSnapshot::new(remote, at), now: PeerObservation::default() }
    }

    const fn is_here(&self) -> bool {
        self.past.opens > self.past.closes
    }

    const fn rank(&self) -> Rank {
        (self.is_here(), self.past.last_activity, self.past.remote)
    }

    fn heard(&mut self, at: SystemTime) {
        self.past.last_activity = self.past.last_activity.max(at);
    }

    /// Nothing waits on a link that is gone.
    fn empty_queues(&mut self) {
        if let Some(link) = &mut self.now.link {
            link.send_queue_len = 0;
            link.in_flight_len = 0;
            link.in_flight_repeated_len = 0;
            link.receive_queue_len = 0;
            link.receive_buffer_len = 0;
        }
    }

    /// Adds what the link did to what is over.
    fn end_link(&mut self) {
        let mut past = self.snapshot();
        if let Some(link) = past.link.take() {
            past.repeats_earlier = past.repeats_earlier.saturating_add(link.repeats);
            past.losses_earlier = past.losses_earlier.saturating_add(link.losses);
        }
        self.now = PeerObservation { state: past.state, ..PeerObservation::default() };
        self.past = past;
    }

    fn snapshot(&self) -> PeerSnapshot {
        let link = self.now.link.clone().unwrap_or_default();
        let past = &self.past;
        PeerSnapshot {
            payload_sent: sum(past.payload_sent, self.now.payload_sent),
            payload_received: sum(past.payload_received, self.now.payload_received),
            datagrams_sent: sum(past.datagrams_sent, link.sent),
            datagrams_received: sum(past.datagrams_received, link.received),
            state: self.now.state,
            link: self.now.link.clone(),
            ..past.clone()
        }
    }
}

const fn sum(a: Volume, b: Volume) -> Volume {
    Volume { count: a.count.saturating_add(b.count), bytes: a.bytes.saturating_add(b.bytes) }
}
