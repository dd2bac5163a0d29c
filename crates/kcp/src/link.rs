//! One link: a reliable conversation, maybe a sync conversation, and how far it got.

use std::collections::VecDeque;
use std::net::SocketAddr;

use moorline_link::rng::KeyedState;
use moorline_link::slots::SlotKey;

use crate::latest::{LatestQueue, NewestTicks};

/// The most beats of a client that wait for their answers.
pub(crate) const BEATS_MAX: usize = 64;

/// How far a link got.
#[derive(Debug)]
pub(crate) enum Phase {
    /// A client's: probes were sent, and nothing came back yet. The alarm sends the next one.
    Dialing {
        /// How many were sent.
        probes: u32,
    },
    /// A host's: the session layer has not answered. The alarm is the login deadline.
    Asked {
        /// Kinds and payloads that arrived meanwhile, bounded by what a pending link may send.
        held: Vec<(u16, Vec<u8>)>,
    },
    /// It carries messages. On a host the alarm is the login deadline.
    Up,
    /// The host let the peer in.
    LoggedIn,
}

/// How far a link's sync conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// There is none (yet).
    None,
    /// This one.
    Bound(SlotKey),
    /// A client's that the host never answered; the reliable lane carries everything.
    Failed,
}

/// A link between this endpoint and one peer.
#[derive(Debug)]
pub(crate) struct Link {
    /// How far it got.
    pub(crate) phase: Phase,
    /// The peer's address of the reliable lane.
    pub(crate) address: SocketAddr,
    /// The conversation of the reliable lane.
    pub(crate) reliable: SlotKey,
    /// The conversation of the sync lane.
    pub(crate) sync: Sync,
    /// Client: the name in the last login that was sent. Host: the first that was received and not
    /// refused. Empty before.
    pub(crate) identity: Vec<u8>,
    /// Newest-wins messages that wait for room.
    pub(crate) latest: LatestQueue,
    /// The number after the last segment of such a message on the reliable conversation.
    pub(crate) latest_end: u32,
    /// The newest ticks that arrived.
    pub(crate) ticks: NewestTicks,
    /// Client: beats in the order in which they were sent, which is that of their answers.
    pub(crate) beats: VecDeque<u32>,
    /// Host: how many beats arrived.
    pub(crate) beats_heard: u32,
}

impl Link {
    pub(crate) fn new(
        phase: Phase,
        address: SocketAddr,
        reliable: SlotKey,
        hash: KeyedState,
    ) -> Self {
        Self {
            phase,
            address,
            reliable,
            sync: Sync::None,
            identity: Vec::new(),
            latest: LatestQueue::default(),
            latest_end: 0,
            ticks: NewestTicks::new(hash),
            beats: VecDeque::new(),
            beats_heard: 0,
        }
    }

    /// Whether it takes messages for sending.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up | Phase::LoggedIn)
    }

    /// The sync conversation, if there is one.
    pub(crate) const fn sync_conversation(&self) -> Option<SlotKey> {
        match self.sync {
            Sync::Bound(conversation) => Some(conversation),
            Sync::None | Sync::Failed => None,
        }
    }
}
