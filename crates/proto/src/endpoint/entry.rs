//! One link and its stages.

use std::net::SocketAddr;

use moorline_link::ahead::Ahead;
use moorline_link::{LinkStats, Time};

use super::continuity::Resumption;
use super::dialing::Dialing;
use super::greeting::Guest;
use crate::crypto::Ticket;
use crate::lanes::Lanes;
use crate::link::{Link, Rested};
use crate::wire::{HelloId, KEY_LEN, PASS_LEN, RESET_TOKEN_LEN};

/// One link, whatever became of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) address: SocketAddr,
    pub(super) stage: Stage,
    /// What another link needs to go on with this one's lanes.
    pub(super) ticket: Option<Box<Ticket>>,
    /// None for a host's link that lives for a while.
    pub(super) rare: Option<Box<Rare>>,
    /// Whether nobody above the seam knows it any more.
    pub(super) is_parted: bool,
    /// Host: why it has the peer of a link that was lost, and not its lanes.
    pub(super) bare: Option<Bare>,
    /// Whether it is among those that may have a packet to send.
    pub(super) is_ready: bool,
    pub(super) began_at: Time,
}

/// Why a host has a link's peer alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    /// Another host had the lanes, or an earlier run of this one.
    Elsewhere,
    /// The lanes were given up: nothing more is taken until the peer is back.
    GivenUp,
}

/// What only a client's links have, or a host's at their beginning.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Client: the tickets before, the latest first, as long as nothing was heard of the host on
    /// this link.
    pub(super) tickets_before: Vec<Ticket>,
    /// Client: what the host gave it for another one.
    pub(super) pass: Option<Box<[u8; PASS_LEN]>>,
    /// What this one goes on with, until it does.
    pub(super) resumes: Option<Box<Resumption>>,
    /// Client: what a datagram ends with that says the host lost the link.
    pub(super) reset_token: Option<[u8; RESET_TOKEN_LEN]>,
    /// Host: the hello that it began with, and the client's key in it.
    pub(super) hello: Option<(HelloId, [u8; KEY_LEN])>,
}

/// Where a link is in its life.
#[derive(Debug)]
pub(super) enum Stage {
    /// A client asks.
    Dialing(Box<Dialing>),
    /// A host thinks about it; without a guest only while it is answered.
    Asked(Option<Box<Guest>>),
    /// A host said yes; its answer is repeated until the client's first packet comes.
    Answered(Box<(Link, Vec<u8>)>),
    /// Both sides have the keys.
    Linked(Box<Ahead<Link>>),
    /// Both sides have the keys, and there is nothing to do.
    Resting(Box<Rested>),
    /// It is lost, and its lanes wait for another link.
    Kept(Box<Lanes>),
}

impl Entry {
    pub(super) const fn new(now: Time, address: SocketAddr, stage: Stage) -> Self {
        Self {
            address,
            stage,
            ticket: None,
            rare: None,
            is_parted: false,
            bare: None,
            is_ready: false,
            began_at: now,
        }
    }

    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What it goes on with, if it did not yet.
    pub(super) fn resumes(&self) -> Option<&Resumption> {
        self.rare.as_ref()?.resumes.as_deref()
    }

    /// The hello that it began with, if that can come again.
    pub(super) fn hello(&self) -> Option<(HelloId, [u8; KEY_LEN])> {
        self.rare.as_ref()?.hello
    }

    /// Whether it has keys with which a packet may open.
    pub(super) const fn is_linked(&self) -> bool {
        matches!(self.stage, Stage::Answered(_) | Stage::Linked(_) | Stage::Resting(_))
    }

    /// The link, unless it rests.
    pub(super) fn link(&self) -> Option<&Link> {
        match &self.stage {
            Stage::Linked(link) => Some(link),
            Stage::Answered(answered) => Some(&answered.0),
            Stage::Dialing(_) | Stage::Asked(_) | Stage::Resting(_) | Stage::Kept(_) => None,
        }
    }

    pub(super) fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.stage {
            Stage::Linked(link) => Some(link),
            Stage::Answered(answered) => Some(&mut answered.0),
            Stage::Dialing(_) | Stage::Asked(_) | Stage::Resting(_) | Stage::Kept(_) => None,
        }
    }

    pub(super) fn take_pass(&mut self) -> Option<Box<[u8; PASS_LEN]>> {
        self.link_mut()?.take_pass()
    }

    pub(super) const fn is_half_open(&self) -> bool {
        matches!(self.stage, Stage::Asked(_) | Stage::Answered(_))
    }

    pub(super) fn figures(&self) -> LinkStats {
        match &self.stage {
            Stage::Resting(rested) => rested.link_stats(),
            _ => self.link().map(Link::link_stats).unwrap_or_default(),
        }
    }
}
