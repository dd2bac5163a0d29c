//! Sessions that outlive the host's process: what its next run has to know of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use moorline_link::{Identity, Reason, Time, Transport};

use super::Host;
use crate::cause::Cause;
use crate::event::SessionId;
use crate::lifecycle::{Input, State};
use crate::session::LinkRef;

/// A session that is logged in, or kept for its user, as it is saved.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedSession {
    /// Whose it is.
    pub identity: Identity,
    /// Where the peer was last.
    pub address: SocketAddr,
    /// Which of the host's transports carried it.
    pub transport: u8,
    /// What that transport [saved](Transport::save) of its link: secret.
    pub link: Vec<u8>,
}

impl std::fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SavedSession").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl<T: Transport> Host<T> {
    /// From now on, [`take_unsaved`](Self::take_unsaved) tells which sessions changed.
    pub fn begin_saving(&mut self) {
        self.unsaved.get_or_insert_default();
    }

    /// The sessions whose [`saved`](Self::saved) form changed since this was asked last, each once.
    /// Of those that have none any more, the earlier form is void.
    pub fn take_unsaved(&mut self) -> BTreeSet<SessionId> {
        self.unsaved.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A session as its host's next run has to know it. None if it is over, if nobody is logged in,
    /// or where its transport cannot go on with it.
    pub fn saved(&self, id: SessionId) -> Option<SavedSession> {
        let session = self.table.by_id(id)?;
        let link = match session.state {
            State::LoggedIn => session.link?,
            State::ReconnectPending => session.kept()?,
            _ => return None,
        };
        let identity = session.identity.clone()?;
        let address = session.address?;
        let saved = self.transports.get(usize::from(link.transport))?.save(link.link)?;
        Some(SavedSession { identity, address, transport: link.transport, link: saved })
    }

    /// Takes back a session of an earlier run of this host: it is kept for its user, who goes on
    /// without a login, for as long as any user is waited for. What that run had not delivered is
    /// lost, and the gap of [`Resumed`](crate::EventKind::Resumed) says so then. None where that
    /// cannot be, or where there are as many as the limits allow.
    pub fn restore(&mut self, now: Time, saved: SavedSession) -> Option<SessionId> {
        self.cause = Cause::Restore;
        let SavedSession { identity, address, transport, link } = saved;
        let carrier = self.transports.get_mut(usize::from(transport))?;
        let link = LinkRef { transport, link: carrier.restore(now, address, &link)? };
        let id = self.adopt(now, (link, address), identity, Reason::Restarted);
        match id {
            Some(_) => self.counters.restored += 1,
            None => self.transports[usize::from(transport)].release(now, link.link),
        }
        id
    }

    /// Makes a session of a link that is kept, for its user, where limits and the policy on
    /// duplicates leave room. It ends no other session for it: nobody has proven to be back yet,
    /// and what a user said to one host can be repeated to another.
    pub(super) fn adopt(
        &mut self,
        now: Time,
        (link, address): (LinkRef, SocketAddr),
        identity: Identity,
        reason: Reason,
    ) -> Option<SessionId> {
        let (keep, limits) = (self.config.keep_time, &self.config.limits);
        let is_room = self.table.len() < limits.sessions_max
            && self.table.count(State::ReconnectPending) < limits.kept_max
            && self.table.kept_from(address.ip()) < limits.sessions_per_address_max;
        if keep.is_zero() || !is_room || !self.is_open() {
            return None;
        }
        if self.table.by_identity(&identity).count() >= self.config.duplicate.allowed() {
            return None;
        }
        let id = self.table.insert(now);
        if let Some(session) = self.table.get_mut(id) {
            session.address = Some(address);
            session.set_kept(Some(link));
        }
        self.note_link(id, link);
        self.table.confirm_identity(id, identity);
        self.counters.sessions_created += 1;
        self.step(now, id, Input::Schedule, Some(reason)).ok();
        self.table.keep(id, now + keep);
        self.arm(now, id);
        self.note_unsaved(id);
        Some(id)
    }

    pub(super) fn note_unsaved(&mut self, id: SessionId) {
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.insert(id);
        }
    }
}
