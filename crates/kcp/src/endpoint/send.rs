//! The way out: dials, messages, words of the session layer and good-byes.

use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::slots::SlotKey;
use moorline_link::transport::DialError;
use moorline_link::{Control, Lane, LinkId, Outgoing, Reason, Refusal, SendError, Time, Transmit};

use super::{KcpEndpoint, Side};
use crate::control;
use crate::conversation::{Owner, RELIABLE, Route, SYNC};
use crate::envelope::{self, Envelope};
use crate::kinds;
use crate::link::{BEATS_MAX, Link, Phase, Sync};
use crate::segment::{Command, SEGMENT_LEN_MAX, Segment};

/// A dial's first wait for an answer; it doubles up to [`PROBE_INTERVAL_MAX`].
const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The longest wait between the probes of a dial.
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(1);

impl KcpEndpoint {
    pub(super) fn begin_dial(
        &mut self,
        now: Time,
        address: SocketAddr,
    ) -> Result<SlotKey, DialError> {
        if self.side == Side::Host {
            return Err(DialError::HostOnly);
        }
        if self.links.len() >= self.config.links_max {
            return Err(DialError::Full);
        }
        // A number of its own for each dial, so that what a host still knows of an earlier link
        // cannot swallow this one. Bounded: fewer conversations than numbers.
        let route = loop {
            let number = self.number_next;
            self.number_next = number.wrapping_add(1);
            let route = Route { port: RELIABLE, address, number };
            if !self.routes.contains_key(&route) {
                break route;
            }
        };
        let reliable = self.open(now, route, Owner::Nobody);
        let key = self.open_link(Phase::Dialing { probes: 0 }, address, reliable);
        self.probe(now, key);
        self.arm(now, reliable);
        Ok(key)
    }

    /// Asks the dialled host for a sign of life, and plans the next time.
    pub(super) fn probe(&mut self, now: Time, key: SlotKey) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Phase::Dialing { probes } = &mut link.phase else { return };
        let interval = PROBE_INTERVAL_MIN.saturating_mul(1 << (*probes).min(4));
        *probes = probes.saturating_add(1);
        let Some(conversation) = self.conversations.get_mut(link.reliable) else { return };
        conversation.alarm = Some(now + interval.min(PROBE_INTERVAL_MAX));
        let Route { port, address, number } = conversation.route;
        let mut datagram = Vec::new();
        Segment::probe(number, Command::Ask).emit(&mut datagram);
        self.outbox.lock().put(Transmit::unmarked(port, address), &datagram);
    }

    pub(super) fn send_message(
        &mut self,
        now: Time,
        key: SlotKey,
        message: Outgoing<'_>,
    ) -> Result<(), SendError> {
        let Outgoing { kind, lane, key: latest_key, payload, notice } = message;
        if notice.is_some() {
            return Err(SendError::NoNotice);
        }
        if kinds::is_control(kind) {
            return Err(SendError::Reserved { kind });
        }
        match lane {
            Lane::Latest => self.send_latest(now, key, (kind, latest_key), payload),
            Lane::ReliableOrdered | Lane::ReliableUnordered | Lane::Unreliable => {
                self.send_reliable(now, key, Envelope { kind, payload })
            }
        }
    }

    pub(super) fn send_control(
        &mut self,
        now: Time,
        key: SlotKey,
        control: &Control,
    ) -> Result<(), SendError> {
        let link = self.up_link(key)?;
        let (kind, payload) = match control {
            Control::Login { identity, payload } => {
                (kinds::LOGIN_REQUEST, control::login(identity, payload))
            }
            Control::LoginAccepted { server_tick, payload } => {
                let welcome = control::login_accepted(&link.identity, *server_tick, payload);
                (kinds::LOGIN_RESPONSE, welcome)
            }
            Control::LoginRefused(refusal) => {
                (kinds::LOGIN_RESPONSE, control::login_refused(refusal))
            }
            Control::LoginAsked { .. } | Control::LoginAgain { .. } => {
                return Err(SendError::NoWord);
            }
            Control::Beat { .. } if link.beats.len() >= BEATS_MAX => return Err(SendError::Full),
            Control::Beat { .. } => (kinds::HEARTBEAT, Vec::new()),
            Control::BeatAnswer { server_tick, .. } => {
                (kinds::HEARTBEAT_RESPONSE, control::beat_answer(*server_tick))
            }
        };
        self.send_reliable(now, key, Envelope { kind, payload: &payload })?;
        self.said(now, key, control);
        Ok(())
    }

    /// A word is on its way: what the link remembers of it.
    fn said(&mut self, now: Time, key: SlotKey, control: &Control) {
        let Some(link) = self.links.get_mut(key) else { return };
        match control {
            Control::Login { identity, .. } => link.identity.clone_from(identity),
            Control::Beat { beat } => link.beats.push_back(*beat),
            Control::LoginAccepted { .. } => {
                link.phase = Phase::LoggedIn;
                let (player, reliable) =
                    ((link.address.ip(), link.identity.clone()), link.reliable);
                let links = self.players.entry(player).or_default();
                if !links.contains(&key) {
                    links.push(key);
                }
                self.settle_standing(reliable);
                if let Some(conversation) = self.conversations.get_mut(reliable) {
                    conversation.alarm = None;
                }
                self.arm(now, reliable);
            }
            // The peer may try another name.
            Control::LoginRefused(_) => link.identity.clear(),
            Control::BeatAnswer { .. }
            | Control::LoginAsked { .. }
            | Control::LoginAgain { .. } => {}
        }
    }

    fn send_reliable(
        &mut self,
        now: Time,
        key: SlotKey,
        envelope: Envelope<'_>,
    ) -> Result<(), SendError> {
        let link = self.up_link(key)?;
        self.fits(envelope.payload)?;
        let reliable = link.reliable;
        let waiting = self.conversations.get(reliable).map_or(0, |other| other.waiting());
        let len = envelope.payload.len().saturating_add(Envelope::OVERHEAD_MAX);
        let segments = len.div_ceil(SEGMENT_LEN_MAX);
        if waiting.saturating_add(segments) > self.config.send_queue_len_max {
            return Err(SendError::Full);
        }
        self.transmit(now, reliable, envelope)
    }

    fn send_latest(
        &mut self,
        now: Time,
        key: SlotKey,
        latest_key: (u16, u64),
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.up_link(key)?;
        self.fits(payload)?;
        let chosen = self.latest_conversation(now, key, latest_key.0)?;
        let keys_max = self.config.latest_keys_max;
        let link = self.links.get_mut(key).ok_or(SendError::NotUp)?;
        let waiting = self.conversations.get(chosen).map_or(0, |other| other.waiting());
        let has_room = waiting < self.config.latest_waiting_len_max;
        if link.latest.is_empty() && has_room && self.may_overtake(key, chosen) {
            return self.transmit_latest(now, key, chosen, (latest_key.0, payload));
        }
        let link = self.links.get_mut(key).ok_or(SendError::NotUp)?;
        let taken = link.latest.put(latest_key, payload, keys_max);
        self.send_waiting(now, key);
        if taken { Ok(()) } else { Err(SendError::Full) }
    }

    /// Sends newest-wins messages that waited, as far as there is room.
    pub(super) fn send_waiting(&mut self, now: Time, key: SlotKey) {
        // Bounded: each round takes one message out of a bounded queue.
        while let Some(link) = self.links.get(key) {
            let chosen = link.sync_conversation().unwrap_or(link.reliable);
            let waiting = self.conversations.get(chosen).map_or(0, |other| other.waiting());
            let has_room = waiting < self.config.latest_waiting_len_max;
            if link.latest.is_empty() || !has_room || !self.may_overtake(key, chosen) {
                return;
            }
            let popped = self.links.get_mut(key).and_then(|link| link.latest.pop());
            let Some((kind, payload)) = popped else { return };
            // A link that can send no more is lost by this, with an event.
            let _ = self.transmit_latest(now, key, chosen, (kind, &payload));
        }
    }

    /// Whether a newest-wins message on this conversation cannot come before an older one: what
    /// went over the reliable lane must have arrived before the sync lane is used.
    fn may_overtake(&self, key: SlotKey, chosen: SlotKey) -> bool {
        let Some(link) = self.links.get(key) else { return false };
        let reliable = self.conversations.get(link.reliable);
        chosen == link.reliable
            || reliable.is_some_and(|other| other.has_arrived_below(link.latest_end))
    }

    fn transmit_latest(
        &mut self,
        now: Time,
        key: SlotKey,
        chosen: SlotKey,
        (kind, payload): (u16, &[u8]),
    ) -> Result<(), SendError> {
        self.transmit(now, chosen, Envelope { kind, payload })?;
        if let Some(link) = self.links.get_mut(key)
            && chosen == link.reliable
            && let Some(conversation) = self.conversations.get(chosen)
        {
            link.latest_end = conversation.outbound_end();
        }
        Ok(())
    }

    /// The conversation for newest-wins messages of a link that is up. A client opens its sync
    /// conversation with the first one after its login.
    fn latest_conversation(
        &mut self,
        now: Time,
        key: SlotKey,
        kind: u16,
    ) -> Result<SlotKey, SendError> {
        let link = self.links.get(key).ok_or(SendError::NotUp)?;
        let begins = self.side == Side::Client
            && link.sync == Sync::None
            && matches!(link.phase, Phase::LoggedIn);
        let Some(port) = self.config.sync.filter(|_| begins) else {
            return Ok(link.sync_conversation().unwrap_or(link.reliable));
        };
        let number = self.conversations.get(link.reliable).map_or(0, |other| other.route.number);
        let mut address = link.address;
        address.set_port(port.0);
        let naming = control::naming_move(&link.identity);
        let route = Route { port: SYNC, address, number };
        let sync = self.open(now, route, Owner::Link(key));
        if let Some(link) = self.links.get_mut(key) {
            link.sync = Sync::Bound(sync);
        }
        if kind != kinds::MOVE_INPUT {
            // The host gives the sync lane to the player that a move names first.
            self.transmit(now, sync, Envelope { kind: kinds::MOVE_INPUT, payload: &naming })?;
        }
        Ok(sync)
    }

    /// Puts a message on a conversation; what cannot go on is ended.
    fn transmit(
        &mut self,
        now: Time,
        key: SlotKey,
        envelope: Envelope<'_>,
    ) -> Result<(), SendError> {
        let mut bytes = mem::take(&mut self.scratch);
        bytes.clear();
        envelope.emit(&mut bytes);
        if envelope.kind == kinds::LOGIN_REQUEST {
            // A host that has no room answers with no more bytes than it got.
            envelope::pad(&mut bytes, control::REFUSAL_LEN_MAX);
        }
        let sent = self.conversations.get_mut(key).map(|other| other.send(now, &bytes));
        self.scratch = bytes;
        match sent {
            Some(Ok(())) => {
                self.arm(now, key);
                Ok(())
            }
            Some(Err(_)) => {
                self.end(key, Reason::Exhausted);
                Err(SendError::NotUp)
            }
            None => Err(SendError::NotUp),
        }
    }

    /// Turns a peer away that asked. The answer is one datagram that is never repeated and not
    /// longer than what the peer sent, as its address may be forged. It acknowledges, so that it
    /// opens nothing at another host. A peer that misses it repeats its first datagram and is
    /// turned away again.
    pub(super) fn turn_away(&mut self, key: SlotKey, refusal: &Refusal) {
        let Some(link) = self.links.get(key) else { return };
        if !matches!(link.phase, Phase::Asked { .. }) {
            return;
        }
        // A client of ours sent enough for the reason; an existing peer cannot read it anyway.
        let (reason, plain) = (control::login_refused(refusal), Vec::new());
        self.say_once(link.reliable, kinds::LOGIN_RESPONSE, [&reason, &plain]);
        self.retract_events(LinkId(key));
        self.drop_link(key);
    }

    /// Says the first of `payloads` that fits, in one datagram that is never repeated and not
    /// longer than all that the peer sent. It is for a peer to whom nothing was said yet.
    fn say_once(&self, key: SlotKey, kind: u16, payloads: [&[u8]; 2]) {
        let Some(conversation) = self.conversations.get(key) else { return };
        let Route { port, address, number } = conversation.route;
        for payload in payloads {
            let (mut message, mut datagram) = (Vec::new(), Vec::new());
            Envelope { kind, payload }.emit(&mut message);
            let arrived = conversation.inbound_next();
            Segment::first_push(number, arrived, &message).emit(&mut datagram);
            if conversation.is_worth(datagram.len()) {
                self.outbox.lock().put(Transmit::unmarked(port, address), &datagram);
                return;
            }
        }
    }

    pub(super) fn say_goodbye(&mut self, now: Time, key: SlotKey, farewell: Option<&Refusal>) {
        let Some(link) = self.links.get(key) else { return };
        match (&link.phase, farewell) {
            (Phase::Dialing { .. }, _) => return self.drop_link(key),
            (Phase::Asked { .. }, Some(refusal)) => return self.turn_away(key, refusal),
            (Phase::Asked { .. }, None) => {}
            (Phase::Up, _) if self.side == Side::Host && self.is_unanswered(link.reliable) => {
                let (reason, plain) = (
                    control::logout(&link.identity, farewell),
                    control::logout(&link.identity, None),
                );
                self.say_once(link.reliable, kinds::LOGOUT_REQUEST, [&reason, &plain]);
            }
            (Phase::Up | Phase::LoggedIn, _) => {
                let payload = control::logout(&link.identity, farewell);
                let reliable = link.reliable;
                let envelope = Envelope { kind: kinds::LOGOUT_REQUEST, payload: &payload };
                if self.transmit(now, reliable, envelope).is_err() {
                    return self.retract_events(LinkId(key));
                }
            }
        }
        let role = match self.side {
            Side::Client => Owner::Parting,
            Side::Host => Owner::Parted,
        };
        self.part(now, key, role);
    }

    /// Whether nothing was said on a conversation yet, beyond acknowledgements.
    fn is_unanswered(&self, key: SlotKey) -> bool {
        let conversation = self.conversations.get(key);
        conversation.is_some_and(|other| other.outbound_next() == 0 && other.waiting() == 0)
    }

    fn up_link(&self, key: SlotKey) -> Result<&Link, SendError> {
        self.links.get(key).filter(|link| link.is_up()).ok_or(SendError::NotUp)
    }

    fn fits(&self, payload: &[u8]) -> Result<(), SendError> {
        let (len, len_max) = (payload.len(), self.config.message_len_max);
        if len > len_max { Err(SendError::TooLarge { len, len_max }) } else { Ok(()) }
    }
}
