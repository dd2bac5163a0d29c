//! Sessions that go from one host to another, while both live.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::{Identity, Reason, Refusal, Time, Transport};

use super::Host;
use crate::cause::Cause;
use crate::event::SessionId;
use crate::lifecycle::State;
use crate::session::{LinkRef, Parting, Session};

/// How long a session that is handed over may take until nothing of it is on its way any more.
const HAND_OVER_TIME: Duration = Duration::from_secs(1);

/// The shortest wait of those whom the host does not spread over time itself: none at all is for
/// whom it does.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Where a host that drains sends its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Another host, which has the same key where hosts have keys.
    pub to: SocketAddr,
    /// They come there at different times within this, or all would at once.
    pub within: Duration,
}

impl<T: Transport> Host<T> {
    /// Sends everyone to another host, now and whoever comes from now on. Whom the other host will
    /// know goes on here as before until its own time, and then goes there at once; everyone else
    /// is sent away now, and told to wait until then. Of whom it will know the session ends here
    /// when nothing is on its way any more, a second after its time at the latest; until then
    /// messages come and go. Clients follow where they know that it is the host that says so, which
    /// is not over KCP; they need no login there, and bring what they could not send before.
    pub fn drain(&mut self, now: Time, redirect: Redirect) {
        self.cause = Cause::Drain;
        self.redirect = Some(redirect);
        let ids: Vec<SessionId> = self.table.iter().map(Session::id).collect();
        for id in ids {
            let is_here = self.table.by_id(id).is_some_and(|it| it.state == State::LoggedIn);
            if !is_here || self.saved(id).is_none() {
                let refusal = self.moved_later(redirect);
                self.remove(now, id, Reason::Refused(refusal));
                continue;
            }
            let at = now + self.spread.up_to(redirect.within);
            let session = self.table.get_mut(id);
            // Who is on its way already follows the latest word on where to.
            let is_leaving = |it: &Session| matches!(it.parting(), Some(Parting::By(_)));
            if let Some(session) = session.filter(|session| !is_leaving(session)) {
                session.part(Parting::From(at));
            }
            self.arm(now, id);
        }
    }

    /// Gives a session's client what another host will know it by.
    pub(super) fn hand_over(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.table.get_mut(id) else { return };
        let (Some(link), Some(identity)) = (session.link, &session.identity) else { return };
        let carrier = &mut self.transports[usize::from(link.transport)];
        if carrier.hand_over(now, link.link, identity.as_bytes()).is_ok() {
            session.part(Parting::By(now + HAND_OVER_TIME));
        } else {
            self.send_away(now, id);
        }
    }

    /// Ends a session here whose user goes on at another host at once.
    pub(super) fn send_away(&mut self, now: Time, id: SessionId) {
        let Some(redirect) = self.redirect else { return };
        let refusal = Refusal::moved(redirect.to).retry_after(Duration::ZERO);
        self.remove(now, id, Reason::Refused(refusal));
    }

    /// What somebody is told who comes to a host that drains; None if it does not.
    pub(super) fn sent_on(&mut self) -> Option<Refusal> {
        self.redirect.map(|redirect| self.moved_later(redirect))
    }

    fn moved_later(&mut self, redirect: Redirect) -> Refusal {
        let wait = self.spread.up_to(redirect.within).max(WAIT_MIN);
        Refusal::moved(redirect.to).retry_after(wait)
    }

    /// Takes in a session that another host handed over, if there is room for it.
    pub(super) fn take_over(&mut self, now: Time, link: LinkRef, address: SocketAddr, peer: &[u8]) {
        let identity = Identity::new(peer).ok();
        let id = identity.and_then(|it| self.adopt(now, (link, address), it, Reason::HandedOver));
        match id {
            Some(_) => self.counters.taken_over += 1,
            None => self.transports[usize::from(link.transport)].release(now, link.link),
        }
    }
}
