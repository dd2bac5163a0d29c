//! Lanes that outlive their link: kept when it is lost, and put on the next one.
//!
//! A host knows a client again by the ticket of the earlier link, and the lanes go over when the
//! client's first packet on the new link opens: a hello alone, which anyone can repeat, moves
//! nothing. A link that still lives gives its lanes away as one that was lost does, so that nobody
//! waits for a ghost.

use std::net::SocketAddr;

use moorline_link::index::Index;
use moorline_link::slots::SlotKey;
use moorline_link::{Lane, LinkEvent, LinkId, Outgoing, Reason, Resumes, SendError, Time};

use super::dialing::Wish;
use super::entry::{Bare, Entry, Stage};
use super::greeting::Guest;
use super::{Endpoint, EndpointConfig, Side};
use crate::crypto::{Ticket, Verdict};
use crate::lanes::{Inbox, Lanes, Outbox, OutboxConfig, Push};
use crate::link::Link;
use crate::wire::{Claim, DATAGRAM_LEN_BASE, LanesState, Place, Positions, ResumeGrant, TicketId};

/// What a new link asked to go on with.
#[derive(Debug)]
pub(super) struct Resumption {
    /// The earlier link.
    pub(super) from: SlotKey,
    /// How often its lanes went over before.
    pub(super) epoch: u64,
    /// Client: the tickets before, by which the host may know the lanes.
    pub(super) before: Vec<Ticket>,
    /// Host: what the client has of this side's lanes, and takes.
    pub(super) lanes: LanesState,
    /// Whether nothing was on its way any more between the client and the host before.
    pub(super) is_settled: bool,
    /// Host: whether its lanes were known when the client was told so.
    pub(super) has_lanes: bool,
}

/// Whether the other side may come back after such a loss. Who left, lied or was thrown out does
/// not.
const fn is_survivable(reason: &Reason) -> bool {
    matches!(reason, Reason::Silence(_) | Reason::Unacknowledged | Reason::Forgotten)
}

impl Endpoint {
    /// Keeps the lanes of a link that is lost for this reason. Whether it does.
    pub(super) fn keep_lost(&mut self, now: Time, key: SlotKey, reason: &Reason) -> bool {
        let is_passed_on =
            matches!(reason, Reason::Refused(refusal) if refusal.moved_to().is_some());
        let entry = self.links.get_mut(key).filter(|_| is_passed_on);
        let pass = entry.and_then(|entry| entry.take_pass());
        let is_kept = (is_survivable(reason) || pass.is_some()) && self.set_aside(now, key);
        if let Some(entry) = self.links.get_mut(key).filter(|_| is_kept) {
            entry.rare_mut().pass = pass;
        }
        is_kept
    }

    /// Keeps the lanes of a link, which ends with that. Whether it does.
    pub(super) fn set_aside(&mut self, now: Time, key: SlotKey) -> bool {
        if self.config.keep_time.is_zero() {
            return false;
        }
        self.rouse(key);
        let Some(entry) = self.links.get_mut(key) else { return false };
        if entry.ticket.is_none() || !matches!(entry.stage, Stage::Linked(_)) {
            return false;
        }
        let stage = std::mem::replace(&mut entry.stage, Stage::Asked(None));
        let Stage::Linked(link) = stage else { return false };
        let lanes = link.into_inner().into_lanes();
        entry.is_parted = true;
        entry.began_at = now;
        self.kept_bytes += lanes.bytes();
        entry.stage = Stage::Kept(Box::new(lanes));
        let ip = entry.address.ip();
        match &mut self.side {
            // Nobody takes a client's lanes from it; it says itself when they are of no use.
            Side::Client(_) => self.wheel.clear(key.index),
            Side::Host(host) => {
                host.census.end(ip, false);
                self.wheel.set(now, key.index, now + self.config.keep_time);
            }
        }
        self.kept.push_back(key);
        self.make_room_for_kept(key);
        true
    }

    /// The longest kept make room, when all together take too much.
    fn make_room_for_kept(&mut self, newest: SlotKey) {
        while self.kept_bytes > self.config.keep_bytes_max {
            let takes_room = |key: &SlotKey| *key != newest && self.kept_len(*key) > 0;
            let Some(oldest) = self.kept.iter().copied().find(takes_room) else { return };
            self.counts.kept_evicted += 1;
            self.give_up_lanes(oldest, Reason::KeptTooMuch);
        }
    }

    /// How many bytes wait on a link that is kept.
    fn kept_len(&self, key: SlotKey) -> usize {
        match self.links.get(key).map(|entry| &entry.stage) {
            Some(Stage::Kept(lanes)) => lanes.bytes(),
            _ => 0,
        }
    }

    /// Gives up the lanes of a kept link; its peer is known still.
    fn give_up_lanes(&mut self, key: SlotKey, reason: Reason) {
        let unsettled = self.unsettled_of(key).unwrap_or_default();
        let empty = self.empty_lanes();
        let Some(entry) = self.links.get_mut(key) else { return };
        let Stage::Kept(lanes) = &mut entry.stage else { return };
        let given_up = std::mem::replace(&mut **lanes, empty);
        entry.bare = Some(Bare::GivenUp);
        self.kept_bytes = self.kept_bytes.saturating_sub(given_up.bytes());
        self.events.push_back(LinkEvent::LanesLost { link: LinkId(key), unsettled, reason });
    }

    /// A timer of a kept link fired, which may be one that was set before.
    pub(super) fn expire_kept(&mut self, now: Time, key: SlotKey) {
        let (Side::Host(_), Some(entry)) = (&self.side, self.links.get(key)) else { return };
        let until = entry.began_at + self.config.keep_time;
        let is_bare = entry.bare.is_some();
        if now < until {
            self.wheel.set(now, key.index, until);
            return;
        }
        self.counts.kept_expired += 1;
        if is_bare {
            self.forget(key);
            return;
        }
        self.give_up_lanes(key, Reason::KeepExpired(self.config.keep_time));
        // Whoever keeps its session releases it; it does not last for ever without that.
        if let Some(entry) = self.links.get_mut(key) {
            entry.began_at = now;
        }
        self.wheel.set(now, key.index, now + self.config.keep_time);
    }

    pub(super) fn is_kept(&self, key: SlotKey) -> bool {
        self.links.get(key).is_some_and(|entry| matches!(entry.stage, Stage::Kept(_)))
    }

    /// Forgets a link that was lost and kept.
    pub(super) fn release_kept(&mut self, key: SlotKey) {
        if self.is_kept(key) {
            self.forget(key);
        }
    }

    /// What leaves the tables no longer counts among what is kept.
    pub(super) fn on_forgotten(&mut self, key: SlotKey, entry: &Entry) {
        if let Stage::Kept(lanes) = &entry.stage {
            self.kept_bytes = self.kept_bytes.saturating_sub(lanes.bytes());
            self.kept.retain(|kept| *kept != key);
        }
    }

    /// Takes a message for the next link, as long as there is room.
    pub(super) fn send_to_kept(
        &mut self,
        now: Time,
        key: SlotKey,
        message: Outgoing<'_>,
    ) -> Result<(), SendError> {
        let entry = self.links.get_mut(key).ok_or(SendError::NotUp)?;
        if entry.bare == Some(Bare::GivenUp) {
            return Err(SendError::NotUp);
        }
        let Stage::Kept(lanes) = &mut entry.stage else { return Err(SendError::NotUp) };
        let Outgoing { kind, payload, notice, .. } = message;
        let (before, place) = (lanes.bytes(), place_of(&message));
        let payload = payload.into();
        let sent = lanes.outbox.push(now, Push { place, kind, payload, notice });
        self.kept_bytes = (self.kept_bytes + lanes.bytes()).saturating_sub(before);
        self.make_room_for_kept(key);
        sent
    }

    /// What a guest would go on with, if it proves that it may.
    pub(super) fn resumption_of(&self, guest: &Guest) -> Option<Resumption> {
        let Side::Host(host) = &self.side else { return None };
        let request = guest.params.resume.as_ref()?;
        let mut claims = std::iter::once(request.claim).chain(request.before.into_iter().flatten());
        claims.find_map(|claim| {
            let from = self.by_ticket(&host.tickets, claim.ticket)?;
            let entry = self.links.get(from)?;
            let ticket = entry.ticket.as_ref()?;
            // Without the host's lanes the client begins with empty ones, too.
            let limit = guest.params.limits.data_max;
            let empty = LanesState { positions: Positions::default(), limit };
            let is_proven = ticket.check(guest.id, &guest.ephemeral, &claim) == Verdict::Valid;
            let epoch = claim.epoch;
            (is_proven && self.lanes_of(from).is_some()).then_some(Resumption {
                from,
                epoch,
                before: Vec::new(),
                lanes: if entry.bare.is_some() { empty } else { request.lanes },
                is_settled: request.is_settled,
                has_lanes: entry.bare.is_none(),
            })
        })
    }

    /// What this side has of the lanes of an earlier link, and takes; none if the earlier link has
    /// nothing to give any more.
    pub(super) fn lanes_of(&self, from: SlotKey) -> Option<LanesState> {
        let entry = self.links.get(from)?;
        let told = |inbox: &Inbox| {
            Some(LanesState { positions: inbox.positions(), limit: inbox.limit_now() })
        };
        match &entry.stage {
            Stage::Kept(lanes) => told(&lanes.inbox),
            Stage::Linked(link) if link.is_up() && !entry.is_parted => told(link.inbox()),
            Stage::Resting(rested) => told(&rested.inbox()),
            _ => None,
        }
    }

    /// What a host grants.
    pub(super) fn grant(&self, resumption: &Resumption) -> Option<ResumeGrant> {
        let lanes = self.lanes_of(resumption.from)?;
        let is_bare = self.links.get(resumption.from)?.bare.is_some();
        let epoch = resumption.epoch.saturating_add(1);
        Some(ResumeGrant { epoch, lanes: (!is_bare).then_some(lanes) })
    }

    /// The lanes of an earlier link, which is gone with that.
    pub(super) fn take_lanes(&mut self, from: SlotKey) -> Option<Lanes> {
        self.lanes_of(from)?;
        self.rouse(from);
        match self.forget(from)?.stage {
            Stage::Kept(lanes) => Some(*lanes),
            Stage::Linked(link) => Some(link.into_inner().into_lanes()),
            _ => None,
        }
    }

    /// Client: goes on with an earlier link, as the host granted.
    pub(super) fn resume(
        &mut self,
        link: &mut Link,
        from: SlotKey,
        theirs: Option<&LanesState>,
    ) -> Option<Resumes> {
        let is_settled = self.is_settled(from);
        let Some(theirs) = theirs else {
            link.go_on();
            if !is_settled {
                return Some(Resumes::Peer(LinkId(from)));
            }
            let is_all = link.take_over(self.take_lanes(from)?.outbox);
            let earlier = LinkId(from);
            return Some(if is_all { Resumes::Lanes(earlier) } else { Resumes::Peer(earlier) });
        };
        link.adopt(self.take_lanes(from)?, theirs);
        Some(Resumes::Lanes(LinkId(from)))
    }

    /// Host: the first packet of a link that was granted the lanes of an earlier one opens. What
    /// came of it: nothing to do, the earlier link, or that somebody else was quicker.
    pub(super) fn go_over(&mut self, key: SlotKey) -> Result<Option<Resumes>, Reason> {
        let Some(entry) = self.links.get_mut(key) else { return Ok(None) };
        let resumes = entry.rare.as_mut().and_then(|rare| rare.resumes.take());
        let Some(resumption) = resumes else { return Ok(None) };
        let from = resumption.from;
        let is_bare = self.links.get(from).is_some_and(|entry| entry.bare.is_some());
        // What the client was told of is gone, with the link or without it.
        let lanes = if is_bare == resumption.has_lanes { None } else { self.take_lanes(from) };
        let Some(mut lanes) = lanes else {
            return Err(Reason::Superseded);
        };
        if is_bare {
            // What the peer takes was not known when these lanes began.
            lanes.outbox.set_window(resumption.lanes.limit);
        }
        if let Some(Entry { stage: Stage::Answered(answered), .. }) = self.links.get_mut(key) {
            answered.0.adopt(lanes, &resumption.lanes);
        }
        Ok(Some(if is_bare && !resumption.is_settled {
            Resumes::Peer(LinkId(from))
        } else {
            Resumes::Lanes(LinkId(from))
        }))
    }

    /// What the next run of this host needs to know this link's peer again.
    pub(super) fn save_link(&self, key: SlotKey) -> Option<Vec<u8>> {
        let (Side::Host(host), Some(entry)) = (&self.side, self.links.get(key)) else {
            return None;
        };
        let ticket = entry.ticket.as_ref()?;
        (self.by_ticket(&host.tickets, ticket.id()) == Some(key)).then(|| ticket.to_bytes())
    }

    /// A link of an earlier run, which is kept with empty lanes.
    pub(super) fn restore_link(
        &mut self,
        now: Time,
        address: SocketAddr,
        saved: &[u8],
    ) -> Option<SlotKey> {
        let ticket = Ticket::from_bytes(saved)?;
        let id = ticket.id();
        let Side::Host(host) = &self.side else { return None };
        let is_allowed =
            !self.config.keep_time.is_zero() && self.links.len() < self.config.links_max;
        if !is_allowed || self.by_ticket(&host.tickets, id).is_some() {
            return None;
        }
        let lanes = self.empty_lanes();
        let mut entry = Entry::new(now, address, Stage::Kept(Box::new(lanes)));
        (entry.ticket, entry.is_parted) = (Some(Box::new(ticket)), true);
        entry.bare = Some(Bare::Elsewhere);
        let key = self.links.insert_with(|_| entry);
        if let Side::Host(host) = &mut self.side {
            host.note_ticket(id, key);
        }
        self.wheel.set(now, key.index, now + self.config.keep_time);
        self.kept.push_back(key);
        Some(key)
    }

    fn empty_lanes(&self) -> Lanes {
        let EndpointConfig { data_max: limit, send_bytes_max: bytes_max, .. } = self.config;
        let part_len = DATAGRAM_LEN_BASE;
        let outbox = Outbox::new(OutboxConfig { bytes_max, limit, part_len });
        Lanes { outbox, inbox: Inbox::new(limit), is_settled: false }
    }

    /// The link that another may go on with by this ticket.
    fn by_ticket(&self, tickets: &Index, id: TicketId) -> Option<SlotKey> {
        let mut keys = tickets.find(&id).filter_map(|place| self.links.key_at(place));
        keys.find(|key| {
            let ticket = self.links.get(*key).and_then(|entry| entry.ticket.as_ref());
            ticket.is_some_and(|ticket| ticket.id() == id)
        })
    }

    /// How many messages of each reliable lane are not known to have arrived.
    pub(super) fn unsettled_of(&self, key: SlotKey) -> Option<[u64; Lane::RELIABLE.len()]> {
        match &self.links.get(key)?.stage {
            // It rests as all that it sent has arrived.
            Stage::Resting(_) => Some([0; Lane::RELIABLE.len()]),
            Stage::Kept(lanes) => Some(lanes.outbox.unsettled()),
            Stage::Linked(link) => Some(link.outbox().unsettled()),
            Stage::Dialing(_) | Stage::Asked(_) | Stage::Answered(_) => Some([0, 0]),
        }
    }

    /// Client: what it asks a host for, to go on with a kept link.
    pub(super) fn wish(&self, from: SlotKey) -> Option<Wish> {
        let lanes = self.lanes_of(from).filter(|_| self.is_kept(from))?;
        let entry = self.links.get(from)?;
        let ticket = entry.ticket.as_deref()?.clone();
        let rare = entry.rare.as_deref();
        let pass = rare.and_then(|rare| rare.pass.as_deref().copied());
        // The host of a pass knows no earlier ticket.
        let before = rare.filter(|_| pass.is_none()).map(|rare| rare.tickets_before.clone());
        let before = before.unwrap_or_default();
        let is_settled = pass.is_some() && self.is_settled(from);
        Some(Wish { ticket, before, lanes, pass, is_settled })
    }

    /// Client: whether all that it and the host had sent each other arrived before they parted.
    fn is_settled(&self, from: SlotKey) -> bool {
        let entry = self.links.get(from);
        entry.is_some_and(|entry| matches!(&entry.stage, Stage::Kept(lanes) if lanes.is_settled))
    }

    /// Client: the tickets by which a host may know the lanes still that it goes on with. That is
    /// the one that the epoch of its answer tells of, and also those after it: a packet that was
    /// late may have let one of them in meanwhile.
    pub(super) fn granted(&self, asked: &Resumption, grant: &ResumeGrant) -> Option<Vec<Ticket>> {
        let is_of = |epoch: u64| grant.epoch == epoch.saturating_add(1);
        let latest = self.links.get(asked.from)?.ticket.as_deref().cloned()?;
        let mut known = vec![latest];
        known.extend(asked.before.iter().cloned());
        // Several may have one epoch.
        let last = known.iter().rposition(|ticket| is_of(ticket.epoch()))?;
        known.truncate(last + 1);
        // The one that the host named is worth most.
        while known.len() > Claim::BEFORE_MAX {
            known.remove(known.len() - 2);
        }
        Some(known)
    }
}

/// Where a message travels.
pub(super) fn place_of(message: &Outgoing<'_>) -> Place {
    match message.lane {
        // Messages of one key keep their order; those of others need not wait for them.
        Lane::ReliableOrdered => Place::Ordered((message.key % u64::from(Place::CHANNELS)) as u8),
        Lane::ReliableUnordered => Place::Unordered,
        Lane::Latest => Place::Latest(message.key),
        Lane::Unreliable => Place::Unreliable,
    }
}
