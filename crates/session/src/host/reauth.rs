//! Users who prove again who they are, while their session goes on.

use std::time::Duration;

use moorline_link::{Control, Identity, Reason, Refusal, RefusalCode, SendError, Time, Transport};

use super::login::{AnswerError, LoggedIn};
use super::{Host, HostEvent};
use crate::cause::Cause;
use crate::event::SessionId;
use crate::lifecycle::{Input, Misplaced, State};
use crate::session::Due;

/// What is open between a host and a user who is logged in.
#[derive(Clone, Debug, Default)]
pub(super) struct Reauth {
    /// When the session ends without another login, and how long its user had for it.
    asked: Option<(Time, Duration)>,
    /// Who the user says they are, while the application thinks about it.
    claimed: Option<Identity>,
}

impl Reauth {
    /// Who the user says they are, while the application thinks about it.
    pub(super) const fn claimed(&self) -> Option<&Identity> {
        self.claimed.as_ref()
    }
}

impl<T: Transport> Host<T> {
    /// Asks a user to log in again, as credentials expire: their session goes on meanwhile, and
    /// ends when nobody accepted another login of theirs within this time, whatever becomes of
    /// their connection. A client that has a login does so by itself. The answer comes as a
    /// [`HostEvent::Login`]. Asked twice, the later time counts.
    ///
    /// # Errors
    /// When the session is not logged in, or its transport has no word for it, as KCP.
    pub fn ask_login(
        &mut self,
        now: Time,
        id: SessionId,
        within: Duration,
    ) -> Result<(), SendError> {
        self.cause = Cause::AskLogin;
        let session = self.table.by_id(id).ok_or(SendError::NotUp)?;
        match session.state {
            State::LoggedIn => self.tell_asked(now, id, within)?,
            // Told when they are back.
            State::ReconnectPending if session.kept().is_some() => {}
            _ => return Err(SendError::NotUp),
        }
        self.reauths.entry(id).or_default().asked = Some((now + within, within));
        self.arm(now, id);
        Ok(())
    }

    fn tell_asked(&mut self, now: Time, id: SessionId, within: Duration) -> Result<(), SendError> {
        self.control(now, id, &Control::LoginAsked { within })?;
        self.step(now, id, Input::ReauthAsk, None).ok();
        Ok(())
    }

    /// A user is back who was asked, and may not have heard it, or whose login may have been
    /// answered while they were away.
    pub(super) fn resume_reauth(&mut self, now: Time, id: SessionId) {
        if self.is_reauthenticating(id) {
            let text = "the connection was lost meanwhile";
            self.fail_reauth(now, id, Refusal::new(RefusalCode::TooSlow, text));
        }
        if let Some((by, _)) = self.reauths.get(&id).and_then(|reauth| reauth.asked) {
            self.tell_asked(now, id, by.since(now)).ok();
        }
    }

    /// What a session waits for next: for another login of its user, or for `due`.
    #[cold]
    pub(super) fn reauth_or(&self, id: SessionId, due: Option<(Time, Due)>) -> Option<(Time, Due)> {
        let Some((by, _)) = self.reauths.get(&id).and_then(|reauth| reauth.asked) else {
            return due;
        };
        // Who was asleep heard nobody.
        let awake_since = self.sleep.awake_since();
        let fair = awake_since.map(|since| since + self.config.liveness.timeout);
        let by = fair.map_or(by, |fair| by.max(fair));
        match due {
            Some((at, _)) if at <= by => due,
            _ => Some((by, Due::ReauthDeadline)),
        }
    }

    pub(super) fn on_reauth_deadline(&mut self, now: Time, id: SessionId) {
        let asked = self.reauths.get(&id).and_then(|reauth| reauth.asked);
        if let Some((_, within)) = asked {
            self.remove(now, id, Reason::LoginDeadline(within));
        }
    }

    pub(super) fn on_login_again(
        &mut self,
        now: Time,
        id: SessionId,
        claimed: &[u8],
        payload: Vec<u8>,
    ) {
        if self.is_reauthenticating(id) || self.step(now, id, Input::ReauthStart, None).is_err() {
            self.counters.logins_misplaced += 1;
            return;
        }
        match self.worth_asking(now, id, claimed) {
            Ok(identity) => {
                self.reauths.entry(id).or_default().claimed = Some(identity.clone());
                let again = true;
                self.events.push_back(HostEvent::Login { session: id, identity, payload, again });
            }
            Err(refusal) => self.fail_reauth(now, id, refusal),
        }
    }

    /// Whether a user who is logged in waits for an answer to another login.
    pub(super) fn is_reauthenticating(&self, id: SessionId) -> bool {
        self.reauths.get(&id).is_some_and(|reauth| reauth.claimed.is_some())
    }

    pub(super) fn accept_reauth(
        &mut self,
        now: Time,
        id: SessionId,
        identity: Option<Identity>,
        payload: Vec<u8>,
    ) -> Result<LoggedIn, AnswerError> {
        let claimed = self.reauths.get(&id).and_then(|reauth| reauth.claimed.clone());
        let own = self.table.by_id(id).and_then(|session| session.identity.clone());
        if identity.or(claimed) != own {
            let text = "the session is another user's";
            self.fail_reauth(now, id, Refusal::new(RefusalCode::BadCredentials, text));
            return Ok(LoggedIn::Refused);
        }
        self.step(now, id, Input::ReauthOk, None).map_err(AnswerError::Misplaced)?;
        self.reauths.remove(&id);
        // A queue too full for the answer is a peer about to be lost.
        let welcome = Control::LoginAccepted { server_tick: self.tick(now), payload };
        self.control(now, id, &welcome).ok();
        self.arm(now, id);
        Ok(LoggedIn::Again(id))
    }

    /// Says no to another login; the session goes on, as long as it may.
    pub(super) fn fail_reauth(&mut self, now: Time, id: SessionId, refusal: Refusal) {
        if let Some(reauth) = self.reauths.get_mut(&id) {
            reauth.claimed = None;
            if reauth.asked.is_none() {
                self.reauths.remove(&id);
            }
        }
        self.control(now, id, &Control::LoginRefused(refusal.clone())).ok();
        self.step(now, id, Input::ReauthFail, Some(Reason::Refused(refusal))).ok();
    }

    /// Whether the login of a session waits for an answer: its first one, or another.
    pub(super) fn awaits_answer(&self, id: SessionId) -> Result<Awaited, AnswerError> {
        let session = self.table.by_id(id).ok_or(AnswerError::NoSession(id))?;
        match session.state {
            State::LoginPending => Ok(Awaited::Login(session.identity.clone())),
            State::LoggedIn if self.is_reauthenticating(id) => Ok(Awaited::Reauth),
            State::LoggedIn => Err(AnswerError::Misplaced(Misplaced::AlreadyLoggedIn)),
            _ => Err(AnswerError::Misplaced(Misplaced::NoLogin)),
        }
    }
}

/// What waits for an answer.
#[derive(Clone, Debug)]
pub(super) enum Awaited {
    /// A login, with who they say they are.
    Login(Option<Identity>),
    /// Another one of a user who is logged in.
    Reauth,
}
