//! Who is let in, and as whom: decided in one step, so that two logins cannot both win.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use moorline_link::{Control, Identity, Reason, Refusal, RefusalCode, Time, Transport};

use super::reauth::{Awaited, Reauth};
use super::{Host, HostEvent};
use crate::cause::Cause;
use crate::config::DuplicatePolicy;
use crate::event::SessionId;
use crate::lifecycle::{Input, Misplaced, State};
use crate::session::Session;

/// What became of a login that the application accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedIn {
    /// The session that asked is logged in.
    New(SessionId),
    /// The user is back in the session that was kept; the one that asked is gone.
    Returned(SessionId),
    /// The user of this session, who was logged in, is so still.
    Again(SessionId),
    /// The policy on duplicates refused it, or it was another login of a session, for another user.
    Refused,
}

/// The answer to a login came for a session that does not wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// There is no such session any more: it left, was closed, or took too long.
    NoSession(SessionId),
    /// It does not wait for an answer.
    Misplaced(Misplaced),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession(id) => write!(f, "session {id} is gone, its login needs no answer"),
            Self::Misplaced(why) => write!(f, "the login cannot be answered: {why}"),
        }
    }
}

impl Error for AnswerError {}

impl<T: Transport> Host<T> {
    pub(super) fn on_login(&mut self, now: Time, id: SessionId, claimed: &[u8], payload: Vec<u8>) {
        if self.step(now, id, Input::LoginStart, None).is_err() {
            self.counters.logins_misplaced += 1;
            return;
        }
        match self.worth_asking(now, id, claimed) {
            Ok(identity) => {
                if let Some(session) = self.table.get_mut(id) {
                    session.identity = Some(identity.clone());
                }
                let again = false;
                self.events.push_back(HostEvent::Login { session: id, identity, payload, again });
            }
            Err(refusal) => self.fail_login(now, id, refusal),
        }
        self.arm(now, id);
    }

    /// Who somebody says they are, if the application is to be asked about it.
    pub(super) fn worth_asking(
        &mut self,
        now: Time,
        id: SessionId,
        claimed: &[u8],
    ) -> Result<Identity, Refusal> {
        let identity = Identity::from_peer(claimed).map_err(|error| {
            self.counters.refused_names += 1;
            Refusal::new(RefusalCode::InvalidLogin, error.to_string())
        })?;
        let address = self.table.by_id(id).and_then(Session::address);
        let wait = address.and_then(|from| self.guesses.judge(now, from.ip(), &identity));
        self.counters.logins_delayed += u64::from(wait.is_some());
        wait.map_or(Ok(identity), Err)
    }

    /// The application did not believe it.
    fn note_guess(&mut self, now: Time, id: SessionId, claimed: Option<&Identity>, no: &Refusal) {
        let address = self.table.by_id(id).and_then(Session::address);
        if let (Some(from), Some(name)) = (address, claimed) {
            self.guesses.on_refused(now, from.ip(), name, no);
        }
    }

    /// Logs a user in who asked for it. `identity` is who they are from now on, where the
    /// application knows better than they claimed; `payload` travels to their application.
    ///
    /// Where the identity has a kept session, the user is back in that one; where it has a living
    /// one, the policy on duplicates decides.
    ///
    /// # Errors
    /// When the session does not wait for an answer.
    pub fn accept_login(
        &mut self,
        now: Time,
        id: SessionId,
        identity: Option<Identity>,
        payload: Vec<u8>,
    ) -> Result<LoggedIn, AnswerError> {
        self.cause = Cause::AcceptLogin;
        let claimed = match self.awaits_answer(id)? {
            Awaited::Login(claimed) => claimed,
            Awaited::Reauth => return self.accept_reauth(now, id, identity, payload),
        };
        let identity = identity.or(claimed).ok_or(AnswerError::NoSession(id))?;
        let kept = self.holder(&identity, |session| session.state == State::ReconnectPending);
        if kept.is_none()
            && let Err(refusal) = self.make_room(now, &identity)
        {
            self.counters.refused_duplicates += 1;
            self.fail_login(now, id, refusal);
            return Ok(LoggedIn::Refused);
        }
        let (session, logged_in) = match kept {
            Some(kept) => {
                self.return_to(now, kept, id);
                (kept, LoggedIn::Returned(kept))
            }
            None => (id, LoggedIn::New(id)),
        };
        self.table.confirm_identity(session, identity);
        self.step(now, session, Input::LoginOk, None).map_err(AnswerError::Misplaced)?;
        self.reauths.remove(&session);
        if let Some(session) = self.table.get_mut(session) {
            session.set_until(None);
            session.heard_at = now;
        }
        let welcome = Control::LoginAccepted { server_tick: self.tick(now), payload };
        if self.control(now, session, &welcome).is_err() {
            let why = Reason::Evicted(Arc::from("the answer to its login could not be sent"));
            self.remove(now, session, why);
        }
        self.note_unsaved(session);
        self.arm(now, session);
        Ok(logged_in)
    }

    /// Turns a login down. The session stays for another try until its time to log in is over. One
    /// that is logged in and was to log in again goes on.
    ///
    /// # Errors
    /// When the session does not wait for an answer.
    pub fn refuse_login(
        &mut self,
        now: Time,
        id: SessionId,
        refusal: Refusal,
    ) -> Result<(), AnswerError> {
        self.cause = Cause::RefuseLogin;
        match self.awaits_answer(id)? {
            Awaited::Login(claimed) => {
                self.note_guess(now, id, claimed.as_ref(), &refusal);
                self.fail_login(now, id, refusal);
            }
            Awaited::Reauth => {
                let claimed = self.reauths.get(&id).and_then(Reauth::claimed).cloned();
                self.note_guess(now, id, claimed.as_ref(), &refusal);
                self.fail_reauth(now, id, refusal);
            }
        }
        Ok(())
    }

    fn fail_login(&mut self, now: Time, id: SessionId, refusal: Refusal) {
        // If the answer cannot be sent, the peer's own time to log in runs out.
        self.control(now, id, &Control::LoginRefused(refusal.clone())).ok();
        self.step(now, id, Input::LoginFail, Some(Reason::Refused(refusal))).ok();
        if let Some(session) = self.table.get_mut(id) {
            session.identity = None;
        }
        self.arm(now, id);
    }

    /// Applies the policy on duplicates to the living sessions of an identity.
    fn make_room(&mut self, now: Time, identity: &Identity) -> Result<(), Refusal> {
        if self.config.duplicate == DuplicatePolicy::Supersede {
            while let Some(old) = self.holder(identity, |_| true) {
                self.remove(now, old, Reason::Superseded);
            }
        }
        if self.table.by_identity(identity).count() < self.config.duplicate.allowed() {
            return Ok(());
        }
        // Should the one that is there be a ghost, this is when it will be known.
        let liveness = &self.config.liveness;
        let awake_since = self.sleep.awake_since();
        let left = |session: &Session| session.silence_left(now, liveness, awake_since);
        let wait = self.table.by_identity(identity).map(left).min().unwrap_or_default();
        let text = "this identity has a session already";
        Err(Refusal::new(RefusalCode::Duplicate, text).retry_after(wait))
    }

    fn holder(&self, identity: &Identity, which: impl Fn(&Session) -> bool) -> Option<SessionId> {
        self.table.by_identity(identity).find(|session| which(session)).map(Session::id)
    }

    /// Moves the link of the session that asked to the kept one, which so is back.
    fn return_to(&mut self, now: Time, kept: SessionId, asked: SessionId) {
        self.table.end_keep(kept);
        self.step(now, kept, Input::AttemptStart, None).ok();
        let gap = self.release_kept(now, kept);
        self.move_link(asked, kept);
        if let Some(session) = self.table.get_mut(asked) {
            session.identity = None;
        }
        self.remove(now, asked, Reason::ReturnedToKept);
        self.step(now, kept, Input::TransportUp, None).ok();
        if let Some(gap) = gap {
            let why = (Some(Reason::NewLogin), Some(gap));
            self.step_with(now, kept, Input::Lapse, why).ok();
        }
        self.step(now, kept, Input::LoginStart, None).ok();
    }
}
