//! A datagram's way in: from bytes of a stranger to whole messages of somebody.

use std::mem;
use std::net::SocketAddr;

use moorline_link::slots::SlotKey;
use moorline_link::{LinkEvent, LinkId, Port, Reason, Time, Transmit};

use super::{KcpEndpoint, Side};
use crate::census::{Limit, Standing};
use crate::control;
use crate::conversation::{InputError, Owner, RELIABLE, Route, SYNC, SYNC_SILENCE};
use crate::envelope::{Envelope, EnvelopeError};
use crate::kinds;
use crate::link::{Phase, Sync};
use crate::segment::{Command, Datagram, Malformed, Segment};

impl KcpEndpoint {
    pub(super) fn receive(&mut self, now: Time, port: Port, from: SocketAddr, bytes: &[u8]) {
        self.listened.note(now);
        let datagram = match Datagram::check(bytes) {
            Ok(datagram) => datagram,
            Err(Malformed::TooShort) => return self.counts.too_short += 1,
            Err(Malformed::TooLong) => return self.counts.too_long += 1,
            Err(Malformed::Segment) => return self.counts.malformed_segment += 1,
        };
        let route = Route { port, address: from, number: datagram.conversation() };
        let known = self.routes.get(&route).copied();
        let known = known.filter(|key| !self.gives_way(*key, &datagram));
        if let Some(key) = known.or_else(|| self.greet(now, route, &datagram)) {
            self.take_in(now, key, &datagram);
        }
    }

    /// What lingers of a link that ended makes room for a client that dials anew from the same
    /// address: systems give a port that was just closed to the next one who asks.
    fn gives_way(&mut self, key: SlotKey, datagram: &Datagram<'_>) -> bool {
        let owner = self.conversations.get(key).map(|conversation| conversation.owner);
        let is_over = matches!(owner, Some(Owner::Parting | Owner::Parted));
        let gives_way = is_over && self.side == Side::Host && datagram.is_probe();
        if gives_way {
            self.forget(key);
        }
        gives_way
    }

    /// A datagram of no known conversation: a host answers a probe and keeps nothing, or opens a
    /// conversation if this is its very first data and the limits allow it.
    fn greet(&mut self, now: Time, route: Route, datagram: &Datagram<'_>) -> Option<SlotKey> {
        let listens = match route.port {
            RELIABLE => true,
            SYNC => self.config.sync.is_some(),
            _ => false,
        };
        if self.side == Side::Host && listens && datagram.is_probe() {
            self.counts.probes_answered += 1;
            self.answer_probe(route);
            return None;
        }
        if self.side == Side::Client || !listens || !datagram.opens() {
            self.counts.stray += 1;
            return None;
        }
        let Self { config, counts, census, .. } = self;
        let limit = census[usize::from(route.port.0)].admit(config, route.address.ip());
        match limit {
            Ok(()) => return Some(self.open_pending(now, route)),
            Err(Limit::Links) => counts.limit_links += 1,
            Err(Limit::Address) => counts.limit_address += 1,
            Err(Limit::Pending) => counts.limit_pending += 1,
        }
        None
    }

    /// One answer of the same size, which is never answered itself.
    fn answer_probe(&mut self, route: Route) {
        let mut datagram = Vec::new();
        Segment::probe(route.number, Command::Tell).emit(&mut datagram);
        let transmit = Transmit::unmarked(route.port, route.address);
        self.outbox.lock().put(transmit, &datagram);
    }

    fn open_pending(&mut self, now: Time, route: Route) -> SlotKey {
        let key = self.open(now, route, Owner::Nobody);
        if let Some(conversation) = self.conversations.get_mut(key) {
            conversation.standing = Standing::Pending;
            conversation.alarm = Some(now + self.config.pending_time);
        }
        if route.port == RELIABLE {
            let link = self.open_link(Phase::Asked { held: Vec::new() }, route.address, key);
            let (link, address) = (LinkId(link), route.address);
            self.events.push_back(LinkEvent::Asked { link, address, resumes: None });
        }
        key
    }

    fn take_in(&mut self, now: Time, key: SlotKey, datagram: &Datagram<'_>) {
        let Some(conversation) = self.conversations.get_mut(key) else { return };
        match conversation.input(now, datagram) {
            Ok(()) => {}
            Err(InputError::BadAcknowledgement) => return self.counts.bad_acknowledgement += 1,
            Err(InputError::Exhausted) => return self.end(key, Reason::Exhausted),
        }
        let pending = conversation.standing == Standing::Pending;
        if pending && conversation.taken_bytes() > self.config.pending_bytes_max {
            self.counts.limit_pending_bytes += 1;
            return self.end(key, Reason::Violation("too much was sent before the login"));
        }
        let events_before = self.events.len();
        self.come_up(key);
        let mut message = mem::take(&mut self.scratch);
        // Bounded: a conversation holds at most a window of messages.
        while self.conversations.get_mut(key).is_some_and(|other| other.receive(&mut message)) {
            self.on_envelope(now, key, &message);
        }
        self.scratch = message;
        if self.events.len() == events_before {
            self.on_nothing(key);
        }
        self.settle(now, key);
    }

    /// A dialled host answered.
    fn come_up(&mut self, key: SlotKey) {
        let Some(conversation) = self.conversations.get_mut(key) else { return };
        let Owner::Link(link_key) = conversation.owner else { return };
        let Some(link) = self.links.get_mut(link_key) else { return };
        if matches!(link.phase, Phase::Dialing { .. }) {
            link.phase = Phase::Up;
            conversation.alarm = None;
            let (link, address) = (LinkId(link_key), link.address);
            self.events.push_back(LinkEvent::Up { link, address, resumes: None });
        }
    }

    /// A datagram held nothing for the session layer, which is a sign of life all the same.
    fn on_nothing(&mut self, key: SlotKey) {
        let Some(conversation) = self.conversations.get(key) else { return };
        let Owner::Link(link) = conversation.owner else { return };
        if self.links.get(link).is_some_and(|other| other.is_up()) {
            self.events.push_back(LinkEvent::Heard { link: LinkId(link) });
        }
    }

    /// A whole message arrived on a conversation.
    fn on_envelope(&mut self, now: Time, key: SlotKey, message: &[u8]) {
        let Some(conversation) = self.conversations.get(key) else { return };
        let (owner, port) = (conversation.owner, conversation.route.port);
        if matches!(owner, Owner::Parting | Owner::Parted) {
            return;
        }
        let envelope = match Envelope::parse(message) {
            Ok(envelope) => envelope,
            Err(EnvelopeError::Malformed) => return self.counts.malformed_envelope += 1,
            Err(EnvelopeError::UnknownKind(_)) => return self.counts.unknown_kind += 1,
        };
        if envelope.payload.len() > self.config.message_len_max {
            return self.counts.message_too_long += 1;
        }
        let link = match owner {
            Owner::Link(link) => Some(link),
            _ => self.bind(now, key, envelope),
        };
        let Some(link_key) = link else { return self.counts.sync_refused += 1 };
        let Some(link) = self.links.get_mut(link_key) else { return };
        if let Phase::Asked { held } = &mut link.phase {
            return held.push((envelope.kind, envelope.payload.to_vec()));
        }
        self.on_message(now, link_key, port, envelope);
    }

    /// Gives a sync endpoint to the link of the player that it names, if that one is logged in from
    /// the same IP address and has none, or one that fell silent. Where two links there claimed the
    /// same name nobody can tell whose it is, and it has to fall back to the reliable lane.
    fn bind(&mut self, now: Time, key: SlotKey, envelope: Envelope<'_>) -> Option<SlotKey> {
        if envelope.kind != kinds::MOVE_INPUT {
            return None;
        }
        let named = control::read_move(envelope.payload).ok()?;
        let address = self.conversations.get(key)?.route.address;
        let links = self.players.get(&(address.ip(), named.player))?;
        let &[link_key] = links.as_slice() else {
            // Without acknowledgements the client soon gives its sync lane up.
            self.forget(key);
            return None;
        };
        let bound = self.links.get(link_key)?.sync_conversation();
        if let Some(other) = bound {
            let heard_at = self.conversations.get(other).map(|other| other.heard_at);
            if heard_at.is_some_and(|at| now.since(at) < SYNC_SILENCE) {
                return None;
            }
            self.forget(other);
        }
        self.links.get_mut(link_key)?.sync = Sync::Bound(key);
        self.settle_standing(key);
        let conversation = self.conversations.get_mut(key)?;
        conversation.owner = Owner::Link(link_key);
        conversation.alarm = None;
        Some(link_key)
    }
}
