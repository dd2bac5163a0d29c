//! What the transports report, turned into the lives of sessions.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::Time;
use moorline_link::slots::make_room;
use moorline_link::{
    Control, LinkEvent, LinkId, Message, Reason, Refusal, RefusalCode, Resumes, Transport,
};

use super::{Host, HostEvent, farewell};
use crate::cause::Cause;
use crate::event::{Gap, SessionId};
use crate::lifecycle::{Input, State};
use crate::session::{LinkRef, Parting, Session, Sign};
use crate::table::Table;

/// How long a peer is asked to stay away when the host is full.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);

impl<T: Transport> Host<T> {
    /// Takes what a transport has to tell, as long as there is room for what comes of it.
    pub(super) fn take_link_events(&mut self, now: Time, transport: u8) {
        while !self.is_backlogged() {
            let Some(event) = self.transports[usize::from(transport)].poll_event() else { return };
            self.on_link_event(now, transport, event);
        }
        self.left_behind_at = Some(now);
    }

    fn on_link_event(&mut self, now: Time, transport: u8, event: LinkEvent) {
        self.cause = Cause::of_link(&event);
        match event {
            LinkEvent::Asked { link, address, resumes } => {
                let returns = resumes.and_then(|old| self.resumable(transport, old)).is_some();
                self.on_asked(now, LinkRef { transport, link }, address, returns);
            }
            LinkEvent::HandedOver { link, address, peer } => {
                self.take_over(now, LinkRef { transport, link }, address, &peer);
            }
            LinkEvent::HandOverReady { link } => {
                let leaving = self.session_on(transport, link);
                let is_asked = |id: &SessionId| {
                    let parting = self.table.by_id(*id).and_then(Session::parting);
                    matches!(parting, Some(Parting::By(_)))
                };
                match leaving.filter(is_asked) {
                    Some(id) => self.send_away(now, id),
                    None => self.counters.controls_misplaced += 1,
                }
            }
            LinkEvent::LanesLost { link, unsettled, reason } => {
                if let Some(id) = self.session_of_kept(LinkRef { transport, link }) {
                    let gap = Gap { unsettled: Some(unsettled) };
                    self.step_with(now, id, Input::Lapse, (Some(reason), Some(gap))).ok();
                }
            }
            LinkEvent::Up { link, address, resumes: None } => {
                self.on_up(now, LinkRef { transport, link }, address);
            }
            LinkEvent::Up { link, address, resumes: Some(old) } => {
                self.on_resumed(now, LinkRef { transport, link }, address, old);
            }
            LinkEvent::Heard { link } => {
                if let Some(id) = self.session_on(transport, link) {
                    self.on_heard(now, id, Sign::Traffic);
                }
            }
            LinkEvent::Control { link, control } => {
                if let Some(id) = self.session_on(transport, link) {
                    self.on_control(now, id, control);
                }
            }
            LinkEvent::Message { link, message } => {
                if let Some(id) = self.session_of(LinkRef { transport, link }) {
                    self.on_message(now, id, message);
                }
            }
            LinkEvent::Delivered { link, notice } => {
                if let Some(id) = self.session_of(LinkRef { transport, link }) {
                    self.events.push_back(HostEvent::Delivered { session: id, notice });
                }
            }
            LinkEvent::Backlog { link, is_high } => {
                if let Some(id) = self.session_on(transport, link) {
                    let input = if is_high { Input::Backlog } else { Input::Relief };
                    self.step(now, id, input, None).ok();
                }
            }
            LinkEvent::AddressChanged { link, address } => {
                if let Some(id) = self.session_on(transport, link) {
                    self.table.attach(id, LinkRef { transport, link }, address);
                    self.step(now, id, Input::AddressChange, None).ok();
                }
            }
            LinkEvent::Lost { link, reason } => match self.session_on(transport, link) {
                Some(id) => self.on_lost(now, id, reason),
                None if self.session_of_kept(LinkRef { transport, link }).is_some() => {}
                None => self.transports[usize::from(transport)].release(now, link),
            },
        }
    }

    /// Whether sessions go on here.
    pub(super) const fn is_open(&self) -> bool {
        !self.is_stopped && self.redirect.is_none()
    }

    /// Who returns to a session that is there needs no room for another.
    fn on_asked(&mut self, now: Time, link: LinkRef, address: SocketAddr, returns: bool) {
        let refusal = if returns && self.is_open() { None } else { self.turn_away(address) };
        let carrier = &mut self.transports[usize::from(link.transport)];
        match refusal {
            Some(refusal) => carrier.refuse(now, link.link, &refusal),
            None => carrier.accept(now, link.link),
        }
    }

    /// Whether there is no room for one more from `address`, and what they are told.
    fn turn_away(&mut self, address: SocketAddr) -> Option<Refusal> {
        if let Some(elsewhere) = self.sent_on() {
            return Some(elsewhere);
        }
        let limits = &self.config.limits;
        let refusal = if self.is_stopped {
            self.counters.refused_stopping += 1;
            Refusal::new(RefusalCode::Stopping, "the host is stopping")
        } else if self.table.len() >= limits.sessions_max {
            self.counters.refused_full += 1;
            Refusal::new(RefusalCode::Full, "the host is full")
        } else if self.table.linked_from(address.ip()) >= limits.sessions_per_address_max {
            self.counters.refused_address += 1;
            Refusal::new(RefusalCode::Full, "too many sessions from this address")
        } else {
            return None;
        };
        Some(refusal.retry_after(FULL_RETRY_AFTER))
    }

    fn on_up(&mut self, now: Time, link: LinkRef, address: SocketAddr) {
        // Others may have come in, or the host may have stopped, since this one was accepted.
        if let Some(refusal) = self.turn_away(address) {
            self.transports[usize::from(link.transport)].close(now, link.link, Some(&refusal));
            return;
        }
        let id = self.table.insert(now);
        self.put_on(id, link, address);
        self.counters.sessions_created += 1;
        self.counters.sessions_peak = self.counters.sessions_peak.max(self.table.len() as u64);
        self.step(now, id, Input::TransportUp, None).ok();
        if let Some(session) = self.table.get_mut(id) {
            session.set_until(Some(now + self.config.limits.login_time));
        }
        self.arm(now, id);
    }

    fn put_on(&mut self, id: SessionId, link: LinkRef, address: SocketAddr) {
        self.table.attach(id, link, address);
        self.note_link(id, link);
    }

    /// Notes whose link this is.
    pub(super) fn note_link(&mut self, id: SessionId, link: LinkRef) {
        let sessions = &mut self.on_link[usize::from(link.transport)];
        let slot = link.link.0.index as usize;
        while sessions.len() <= slot {
            make_room(sessions);
            sessions.push(None);
        }
        sessions[slot] = Table::place_of(id);
    }

    /// A link goes on with the lanes of an earlier one: so does the session, whether it was kept or
    /// its old link was taken for living still.
    fn on_resumed(&mut self, now: Time, link: LinkRef, address: SocketAddr, resumes: Resumes) {
        let old = resumes.link();
        let Some(id) = self.resumable(link.transport, old) else {
            // The session ended since the peer asked.
            let gone = Refusal::new(RefusalCode::Evicted, "the session is over");
            let gone = gone.retry_after(Duration::ZERO);
            self.transports[usize::from(link.transport)].close(now, link.link, Some(&gone));
            return;
        };
        // Where the session is from, if not from this run of this host.
        let adopted = |reason: &&Reason| matches!(reason, Reason::Restarted | Reason::HandedOver);
        let session = self.table.by_id(id);
        let origin = session.and_then(Session::failure).filter(adopted).cloned();
        self.table.detach(id);
        self.forget_link(link.transport, old);
        self.table.end_keep(id);
        if let Some(session) = self.table.get_mut(id) {
            session.set_kept(None);
        }
        let was_kept = self.table.by_id(id).is_some_and(|it| it.state == State::ReconnectPending);
        if was_kept {
            self.step(now, id, Input::AttemptStart, None).ok();
        }
        self.put_on(id, link, address);
        if was_kept {
            self.step(now, id, Input::TransportUp, None).ok();
        }
        self.counters.resumed += 1;
        let gap = match resumes {
            Resumes::Lanes(_) => None,
            // What was sent to it is lost with the host that had the session, or the run of this
            // one, and nobody knows how much that was. What was given up here is told already.
            Resumes::Peer(_) => origin.as_ref().map(|_| Gap { unsettled: None }),
        };
        self.step_with(now, id, Input::Resume, (origin, gap)).ok();
        self.note_unsaved(id);
        self.resume_reauth(now, id);
        self.arm(now, id);
    }

    /// The session that is kept with the lanes of this link.
    fn session_of_kept(&self, link: LinkRef) -> Option<SessionId> {
        let sessions = self.on_link.get(usize::from(link.transport))?;
        let id = self.table.id_at((*sessions.get(link.link.0.index as usize)?)?)?;
        (self.table.by_id(id)?.kept() == Some(link)).then_some(id)
    }

    /// The session on this link, or the one that is kept with its lanes: what had arrived is told,
    /// though the link was found silent meanwhile.
    fn session_of(&self, link: LinkRef) -> Option<SessionId> {
        self.session_on(link.transport, link.link).or_else(|| self.session_of_kept(link))
    }

    /// The session on this link, living or kept, if it was logged in.
    fn resumable(&self, transport: u8, link: LinkId) -> Option<SessionId> {
        let sessions = self.on_link.get(usize::from(transport))?;
        let id = self.table.id_at((*sessions.get(link.0.index as usize)?)?)?;
        let session = self.table.by_id(id)?;
        let link = Some(LinkRef { transport, link });
        let is_alive = session.link == link && session.state == State::LoggedIn;
        let is_kept = session.kept() == link && session.state == State::ReconnectPending;
        (is_alive || is_kept).then_some(id)
    }

    fn on_control(&mut self, now: Time, id: SessionId, control: Control) {
        match control {
            Control::Login { identity, payload } => {
                self.on_heard(now, id, Sign::Traffic);
                self.on_login(now, id, &identity, payload);
            }
            Control::LoginAgain { identity, payload } => {
                self.on_heard(now, id, Sign::Accepted);
                self.on_login_again(now, id, &identity, payload);
            }
            Control::Beat { beat } => {
                let state = self.table.by_id(id).map(|session| session.state);
                if state != Some(State::LoggedIn) {
                    self.counters.beats_before_login += 1;
                    self.on_heard(now, id, Sign::Traffic);
                    return;
                }
                self.on_heard(now, id, Sign::Accepted);
                self.step(now, id, Input::BeatHeard, None).ok();
                if let Some(session) = self.table.get_mut(id) {
                    let before = session.beat_at.replace(now);
                    session.on_beat(now, before, &self.config.liveness);
                }
                let answer = Control::BeatAnswer { beat, server_tick: self.tick(now) };
                // A queue too full for the answer is a session about to time out on its own.
                self.control(now, id, &answer).ok();
            }
            Control::LoginAccepted { .. }
            | Control::LoginRefused(_)
            | Control::LoginAsked { .. }
            | Control::BeatAnswer { .. } => {
                self.counters.controls_misplaced += 1;
                self.on_heard(now, id, Sign::Traffic);
            }
        }
    }

    fn on_message(&mut self, now: Time, id: SessionId, message: Message) {
        let Ok(lane) = self.config.delivery.lane(message.kind) else {
            self.counters.unknown_kinds += 1;
            self.on_heard(now, id, Sign::Traffic);
            return;
        };
        let Some(session) = self.table.get_mut(id) else { return };
        if session.state != State::LoggedIn && session.kept().is_none() {
            self.counters.messages_before_login += 1;
            self.on_heard(now, id, Sign::Traffic);
            return;
        }
        session.received.add(message.payload.len());
        self.counters.received.add(message.payload.len());
        self.on_heard(now, id, Sign::Accepted);
        let Message { kind, payload } = message;
        self.events.push_back(HostEvent::Message { session: id, kind, lane, payload });
    }

    fn on_heard(&mut self, now: Time, id: SessionId, sign: Sign) {
        // The timer is left alone: when its old time comes, it moves on by itself.
        if self.table.get_mut(id).is_some_and(|session| session.on_heard(now, sign)) {
            self.step(now, id, Input::Recover, None).ok();
            self.arm(now, id);
        }
    }

    fn on_lost(&mut self, now: Time, id: SessionId, reason: Reason) {
        let has_left =
            matches!(reason, Reason::PeerLeft | Reason::Violation(_) | Reason::Refused(_));
        let state = self.table.by_id(id).map(|session| session.state);
        if state == Some(State::LoggedIn) && !has_left {
            self.keep(now, id, reason);
        } else {
            self.remove(now, id, reason);
        }
    }

    /// Keeps a session that was logged in for its user, as far as the limits allow, or ends it.
    pub(super) fn keep(&mut self, now: Time, id: SessionId, reason: Reason) {
        let (keep, limits) = (self.config.keep_time, &self.config.limits);
        let address = self.table.by_id(id).and_then(|session| session.address);
        let kept_there = address.map_or(0, |address| self.table.kept_from(address.ip()));
        let is_allowed =
            !keep.is_zero() && self.is_open() && kept_there < limits.sessions_per_address_max;
        if !is_allowed || limits.kept_max == 0 {
            self.remove(now, id, reason);
            return;
        }
        if let Some(longest) = self.table.kept_longest(limits.kept_max) {
            let why = "as many users as may be are waited for, and this one for longest";
            self.remove(now, longest, Reason::Evicted(why.into()));
        }
        self.counters.kept += 1;
        let farewell = farewell(&reason);
        self.step(now, id, Input::Schedule, Some(reason)).ok();
        self.set_link_aside(now, id, farewell.as_ref());
        self.table.keep(id, now + keep);
        self.arm(now, id);
    }

    /// Takes a session off its link, which is lost or silent. If the transport keeps the lanes, the
    /// session remembers whose they are; otherwise the peer is told why, should it hear it.
    fn set_link_aside(&mut self, now: Time, id: SessionId, farewell: Option<&Refusal>) {
        let Some(link) = self.table.detach(id) else { return };
        let carrier = &mut self.transports[usize::from(link.transport)];
        if carrier.keeps(link.link) || carrier.keep(now, link.link) {
            if let Some(session) = self.table.get_mut(id) {
                session.set_kept(Some(link));
            }
        } else {
            carrier.close(now, link.link, farewell);
            self.forget_link(link.transport, link.link);
        }
    }

    /// Gives up what a session's earlier link had left; what of it, if there was something.
    pub(super) fn release_kept(&mut self, now: Time, id: SessionId) -> Option<Gap> {
        let link = self.table.get_mut(id)?.take_kept()?;
        // Its place may be another link's by now, if the transport gave it up before.
        let slots = &mut self.on_link[usize::from(link.transport)];
        let slot = slots.get_mut(link.link.0.index as usize);
        if let Some(slot) = slot.filter(|slot| **slot == Table::place_of(id)) {
            *slot = None;
        }
        let carrier = &mut self.transports[usize::from(link.transport)];
        let unsettled = carrier.unsettled(link.link);
        carrier.release(now, link.link);
        Some(Gap { unsettled })
    }

    pub(super) fn session_on(&self, transport: u8, link: LinkId) -> Option<SessionId> {
        let sessions = self.on_link.get(usize::from(transport))?;
        let id = self.table.id_at((*sessions.get(link.0.index as usize)?)?)?;
        let session = self.table.by_id(id)?;
        (session.link == Some(LinkRef { transport, link })).then_some(id)
    }

    pub(super) fn forget_link(&mut self, transport: u8, link: LinkId) {
        if let Some(slot) = self.on_link[usize::from(transport)].get_mut(link.0.index as usize) {
            *slot = None;
        }
    }

    /// Puts another session on a link that is up already.
    pub(super) fn move_link(&mut self, from: SessionId, to: SessionId) {
        let address = self.table.by_id(from).and_then(|session| session.address);
        if let (Some(address), Some(link)) = (address, self.table.detach(from)) {
            self.table.attach(to, link, address);
            if let Some(slot) =
                self.on_link[usize::from(link.transport)].get_mut(link.link.0.index as usize)
            {
                *slot = Table::place_of(to);
            }
        }
    }
}
