//! What the transport reports, turned into the session's life.

use moorline_link::{Control, LinkEvent, Message, Reason, Refusal, Resumes, Time, Transport};

use super::{Dialer, DialerEvent, Login};
use crate::cause::Cause;
use crate::lifecycle::{Input, State};
use crate::reconnect::ReconnectMode;
use crate::session::Sign;

impl<T: Transport> Dialer<T> {
    pub(super) fn take_link_events(&mut self, now: Time) {
        while !self.is_backlogged() {
            let Some(event) = self.transport.poll_event() else { return };
            self.on_link_event(now, event);
        }
        self.left_behind_at = Some(now);
    }

    fn on_link_event(&mut self, now: Time, event: LinkEvent) {
        self.cause = Cause::of_link(&event);
        match event {
            LinkEvent::Asked { link, .. }
            | LinkEvent::HandedOver { link, .. }
            | LinkEvent::HandOverReady { link }
            | LinkEvent::LanesLost { link, .. } => {
                self.transport.abandon(now, link);
            }
            LinkEvent::Up { link, resumes, .. } if self.is_current(link) => {
                self.session.set_until(None);
                self.answered_at = None;
                self.step(now, Input::TransportUp, None).ok();
                let is_sent = self.sent_by.take().is_some();
                match resumes {
                    Some(resumes) => self.on_resumed(now, resumes, is_sent),
                    None => {
                        self.lapse(now);
                        self.send_login(now).ok();
                    }
                }
            }
            LinkEvent::Heard { link } if self.is_current(link) => {
                self.on_heard(now, Sign::Traffic);
            }
            LinkEvent::Control { link, control } if self.is_current(link) => {
                self.on_control(now, control);
            }
            LinkEvent::Message { link, message } if self.is_current(link) => {
                self.on_message(now, message);
            }
            LinkEvent::Delivered { link, notice } if self.is_current(link) => {
                self.events.push_back(DialerEvent::Delivered { notice });
            }
            LinkEvent::Backlog { link, is_high } if self.is_current(link) => {
                let input = if is_high { Input::Backlog } else { Input::Relief };
                self.step(now, input, None).ok();
            }
            LinkEvent::AddressChanged { link, address } if self.is_current(link) => {
                self.session.address = Some(address);
                self.step(now, Input::AddressChange, None).ok();
            }
            LinkEvent::Lost { link, reason } if self.is_current(link) => {
                let link = self.session.link.take();
                if self.session.state == State::LoggedIn
                    && link.is_some_and(|link| self.transport.keeps(link.link))
                {
                    self.session.set_kept(link);
                } else if let Some(link) = link {
                    self.transport.release(now, link.link);
                }
                self.on_lost(now, reason);
            }
            LinkEvent::Lost { link, .. } => self.transport.release(now, link),
            _ => self.counters.misplaced += 1,
        }
    }

    /// The host knows the session; if it was sent there, it is another host than before.
    fn on_resumed(&mut self, now: Time, resumes: Resumes, is_sent: bool) {
        self.attempts.forget();
        let (gap, reason) = match resumes {
            Resumes::Lanes(_) => {
                self.session.set_kept(None);
                (None, is_sent.then_some(Reason::HandedOver))
            }
            Resumes::Peer(_) if is_sent => (self.take_gap(now), Some(Reason::HandedOver)),
            Resumes::Peer(_) => (self.take_gap(now), Some(Reason::Forgotten)),
        };
        let is_new_to_host = reason.is_some();
        self.step_with(now, Input::Resume, reason, gap).ok();
        if is_new_to_host && self.is_reauthenticating {
            self.repeat_login_again(now);
        }
    }

    /// The host that was to answer another login is gone: the one that is there now hears of it.
    fn repeat_login_again(&mut self, now: Time) {
        let (Some(link), Some(login)) = (self.session.link, self.config.login.clone()) else {
            return;
        };
        let Login { identity, payload } = login;
        // A new link has room for a word.
        self.transport.control(now, link.link, &Control::LoginAgain { identity, payload }).ok();
    }

    fn on_control(&mut self, now: Time, control: Control) {
        self.on_heard(now, Sign::Traffic);
        match control {
            Control::LoginAccepted { server_tick, payload } => {
                let input = self.answered(Input::LoginOk, Input::ReauthOk);
                if self.step(now, input, None).is_err() {
                    self.counters.misplaced += 1;
                    return;
                }
                self.session.heard_at = now;
                self.clock.on_sample(now, server_tick, None);
                self.attempts.forget();
                self.events.push_back(DialerEvent::Welcome { payload });
            }
            Control::LoginRefused(refusal) if self.is_reauthenticating => {
                let input = self.answered(Input::LoginFail, Input::ReauthFail);
                self.step(now, input, Some(Reason::Refused(refusal))).ok();
            }
            Control::LoginAsked { .. } => {
                if self.step(now, Input::ReauthAsk, None).is_err() {
                    self.counters.misplaced += 1;
                } else if let Some(login) = self.config.login.clone() {
                    // Where one is under way already, that is the answer.
                    self.send_login_again(now, login).ok();
                }
            }
            Control::LoginRefused(refusal) => {
                self.follow(&refusal);
                let retry_after = refusal.retry_after;
                let reason = Reason::Refused(refusal);
                if self.step(now, Input::LoginFail, Some(reason.clone())).is_err() {
                    self.counters.misplaced += 1;
                } else if retry_after.is_some()
                    && self.config.reconnect.mode == ReconnectMode::Automatic
                {
                    if let Some(link) = self.session.link.take() {
                        self.transport.close(now, link.link, None);
                    }
                    self.schedule(now, reason, retry_after);
                }
            }
            Control::BeatAnswer { beat, server_tick } => {
                if self.step(now, Input::BeatHeard, None).is_err() {
                    self.counters.misplaced += 1;
                    return;
                }
                self.on_heard(now, Sign::Accepted);
                let before = self.answered_at.replace(now);
                self.session.on_beat(now, before, &self.config.liveness);
                let round_trip = self.round_trip.on_answered(now, beat);
                self.clock.on_sample(now, server_tick, round_trip);
            }
            Control::Login { .. } | Control::LoginAgain { .. } | Control::Beat { .. } => {
                self.counters.misplaced += 1;
            }
        }
    }

    /// What an answer to a login is to the lifecycle: of the first one, or of another.
    fn answered(&mut self, first: Input, again: Input) -> Input {
        if std::mem::take(&mut self.is_reauthenticating) { again } else { first }
    }

    fn on_message(&mut self, now: Time, message: Message) {
        self.on_heard(now, Sign::Traffic);
        let Message { kind, payload } = message;
        match self.config.delivery.lane(kind) {
            Err(_) => self.counters.unknown_kinds += 1,
            Ok(_) if self.session.state != State::LoggedIn => self.counters.misplaced += 1,
            Ok(lane) => {
                self.session.received.add(payload.len());
                self.on_heard(now, Sign::Accepted);
                self.events.push_back(DialerEvent::Message { kind, lane, payload });
            }
        }
    }

    fn on_heard(&mut self, now: Time, sign: Sign) {
        if self.session.on_heard(now, sign) {
            self.step(now, Input::Recover, None).ok();
        }
    }

    /// A host sends its users elsewhere: from now on that is where to go. It is followed only where
    /// it is known to be the host that says so, and where this client's sockets can reach.
    fn follow(&mut self, refusal: &Refusal) {
        if let (Some(to), Some(before)) = (refusal.moved_to(), self.remote)
            && self.transport.is_authentic()
            && to.is_ipv4() == before.is_ipv4()
        {
            (self.remote, self.sent_by) = (Some(to), Some(before));
        }
    }

    /// The link is gone already.
    fn on_lost(&mut self, now: Time, reason: Reason) {
        if let Reason::Refused(refusal) = &reason {
            self.follow(refusal);
        }
        let retry_after = match &reason {
            Reason::Refused(refusal) => refusal.retry_after,
            _ => None,
        };
        let is_final = match &reason {
            // The same login would fail again: it is the application's turn.
            _ if self.session.state == State::LoginFailed => true,
            Reason::Refused(_) => retry_after.is_none(),
            reason => *reason == Reason::PeerLeft,
        };
        if is_final {
            self.session.set_until(None);
            self.release_kept(now);
            self.step(now, Input::Close, Some(reason)).ok();
        } else {
            self.schedule(now, reason, retry_after);
        }
    }
}
