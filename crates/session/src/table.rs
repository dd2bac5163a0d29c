//! All sessions of a host, found by id, by address and by identity.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use moorline_link::index::Index;
use moorline_link::network::PerIp;
use moorline_link::rng::Rng;
use moorline_link::slots::{SlotKey, Slots};
use moorline_link::wheel::Wheel;
use moorline_link::{Identity, Reason, Time};

use crate::event::{Event, SessionId};
use crate::lifecycle::{Input, Misplaced, State};
use crate::session::{LinkRef, Session, Side};

/// One more than a place in the table.
pub(crate) type Place = NonZeroU32;

/// The session table. It keeps its indexes and counts true whatever happens to a session, so every
/// change goes through it.
#[derive(Debug)]
pub struct Table {
    sessions: Slots<Session>,
    /// The newest session with a link to each address.
    by_address: Index,
    by_identity: Index,
    linked_by_ip: PerIp<u32>,
    /// Kept sessions by when they end, and how many of each address there are.
    kept: BTreeSet<(Time, SessionId)>,
    kept_by_ip: PerIp<u32>,
    counts: [usize; State::ALL.len()],
    timers: Wheel,
}

impl Table {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            sessions: Slots::new(rng),
            by_address: Index::new(rng),
            by_identity: Index::new(rng),
            linked_by_ip: PerIp::new(rng),
            kept: BTreeSet::new(),
            kept_by_ip: PerIp::new(rng),
            counts: [0; State::ALL.len()],
            timers: Wheel::new(),
        }
    }

    /// How many sessions there are.
    pub const fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    pub const fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The session with this id, unless it was removed.
    pub fn by_id(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(key(id))
    }

    /// The newest session with a link to this address. Where two had one, and the newest ended, the
    /// older one is not found here: an address is a hint.
    pub fn by_address(&self, address: SocketAddr) -> Option<&Session> {
        let mut places = self.by_address.find(&address).filter_map(|place| self.at(place));
        places.find(|session| session.address == Some(address))
    }

    fn at(&self, place: u32) -> Option<&Session> {
        self.sessions.get(self.sessions.key_at(place)?)
    }

    /// The sessions that are logged in as this identity or kept for it, the oldest first.
    pub fn by_identity(&self, identity: &Identity) -> impl Iterator<Item = &Session> {
        let sessions = self.by_identity.find(identity).filter_map(|place| self.at(place));
        sessions.filter(move |session| session.identity.as_ref() == Some(identity))
    }

    /// All sessions, in an order that means nothing but is always the same.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().map(|(_, session)| session)
    }

    /// How many sessions are in `state`; counted as they change, not when asked.
    pub const fn count(&self, state: State) -> usize {
        self.counts[state as usize]
    }

    /// How many sessions have a link to an address of this host or household.
    pub(crate) fn linked_from(&self, ip: IpAddr) -> usize {
        self.linked_by_ip.get(ip) as usize
    }

    /// A session in four bytes, for who looks afterwards whether it is still the one that is meant.
    pub(crate) const fn place_of(id: SessionId) -> Option<Place> {
        NonZeroU32::new(key(id).index.wrapping_add(1))
    }

    pub(crate) fn id_at(&self, place: Place) -> Option<SessionId> {
        self.sessions.key_at(place.get() - 1).map(id)
    }

    /// Asks for the memory of the session at `place`.
    pub(crate) fn fetch(&self, place: Place) {
        self.sessions.fetch(place.get() - 1);
    }

    pub(crate) fn insert(&mut self, now: Time) -> SessionId {
        self.counts[State::Disconnected as usize] += 1;
        id(self.sessions.insert_with(|key| Session::new(now, id(key), Side::Host)))
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(key(id))
    }

    /// Puts `input` through the lifecycle of one session.
    pub(crate) fn apply(
        &mut self,
        now: Time,
        id: SessionId,
        input: Input,
        reason: Option<Reason>,
    ) -> Result<Option<Event>, Misplaced> {
        let session = self.sessions.get_mut(key(id)).ok_or(Misplaced::NotConnected)?;
        let before = session.state;
        let event = session.apply(now, input, reason)?;
        self.counts[before as usize] -= 1;
        self.counts[session.state as usize] += 1;
        Ok(event)
    }

    /// Puts the session on a link that leads to `address`.
    pub(crate) fn attach(&mut self, id: SessionId, link: LinkRef, address: SocketAddr) {
        self.detach(id);
        if let Some(older) = self.by_address(address).map(Session::id) {
            self.by_address.remove(&address, key(older).index);
        }
        let Some(session) = self.sessions.get_mut(key(id)) else { return };
        session.link = Some(link);
        session.address = Some(address);
        self.by_address.insert(&address, key(id).index);
        self.linked_by_ip.change(address.ip(), |count| *count += 1);
    }

    /// Takes the session off its link; the address it had stays readable.
    pub(crate) fn detach(&mut self, id: SessionId) -> Option<LinkRef> {
        let session = self.sessions.get_mut(key(id))?;
        let link = session.link.take()?;
        let address = session.address?;
        // It is not there where a newer one has the address.
        self.by_address.remove(&address, key(id).index);
        self.linked_by_ip.change(address.ip(), |count| *count -= 1);
        Some(link)
    }

    /// Notes that a session is kept until `until`.
    pub(crate) fn keep(&mut self, id: SessionId, until: Time) {
        let Some(session) = self.sessions.get_mut(key(id)) else { return };
        session.set_until(Some(until));
        self.kept.insert((until, id));
        if let Some(address) = session.address {
            self.kept_by_ip.change(address.ip(), |count| *count += 1);
        }
    }

    /// Notes that a session is kept no more, if it was.
    pub(crate) fn end_keep(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(key(id)) else { return };
        let Some(until) = session.until() else { return };
        if self.kept.remove(&(until, id))
            && let Some(address) = session.address
        {
            session.set_until(None);
            self.kept_by_ip.change(address.ip(), |count| *count -= 1);
        }
    }

    /// How many sessions are kept for users of an address.
    pub(crate) fn kept_from(&self, ip: IpAddr) -> usize {
        self.kept_by_ip.get(ip) as usize
    }

    /// The session that was kept for longest, if as many are kept as this.
    pub(crate) fn kept_longest(&self, most: usize) -> Option<SessionId> {
        self.kept.first().filter(|_| self.kept.len() >= most).map(|(_, id)| *id)
    }

    /// Enters the session's identity into the index: from now on it is confirmed.
    pub(crate) fn confirm_identity(&mut self, id: SessionId, identity: Identity) {
        let Some(session) = self.sessions.get_mut(key(id)) else { return };
        session.identity = Some(identity.clone());
        let place = key(id).index;
        if self.by_identity.find(&identity).all(|other| other != place) {
            self.by_identity.insert(&identity, place);
        }
    }

    /// Takes a session out of the table and every index.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.detach(id);
        self.end_keep(id);
        self.timers.clear(key(id).index);
        let session = self.sessions.remove(key(id))?;
        self.counts[session.state as usize] -= 1;
        if let Some(identity) = &session.identity {
            self.by_identity.remove(identity, key(id).index);
        }
        Some(session)
    }

    pub(crate) fn arm(&mut self, now: Time, id: SessionId, deadline: Option<Time>) {
        match deadline {
            Some(deadline) => self.timers.set(now, key(id).index, deadline),
            None => self.timers.clear(key(id).index),
        }
    }

    pub(crate) fn pop_due(&mut self, now: Time) -> Option<SessionId> {
        let index = self.timers.pop_due(now)?;
        self.sessions.key_at(index).map(id)
    }

    pub(crate) fn next_due(&self) -> Option<Time> {
        self.timers.next()
    }
}

const fn id(key: SlotKey) -> SessionId {
    SessionId((key.generation as u64) << 32 | key.index as u64)
}

const fn key(id: SessionId) -> SlotKey {
    SlotKey { index: id.0 as u32, generation: (id.0 >> 32) as u32 }
}

#[cfg(test)]
mod tests {
    use moorline_link::LinkId;

    use super::*;

    const NOW: Time = Time::ZERO;

    fn linked(table: &mut Table, address: &str) -> SessionId {
        let id = table.insert(NOW);
        let link = LinkRef { transport: 0, link: LinkId(SlotKey { index: 0, generation: 0 }) };
        table.attach(id, link, address.parse().expect("an address"));
        table.apply(NOW, id, Input::TransportUp, None).expect("from disconnected");
        id
    }

    #[test]
    fn removing_one_session_leaves_the_other_queryable_and_unchanged() {
        let mut table = Table::new(&mut Rng::new(1));
        let name = Identity::new("same").expect("a name");
        let one = linked(&mut table, "10.0.0.1:1");
        let two = linked(&mut table, "10.0.0.1:2");
        table.confirm_identity(one, name.clone());
        table.confirm_identity(two, name.clone());
        assert_eq!(table.linked_from("10.0.0.1".parse().expect("an address")), 2);

        assert!(table.remove(one).is_some());
        assert!(table.by_id(one).is_none() && table.remove(one).is_none());
        assert!(table.by_address("10.0.0.1:1".parse().expect("an address")).is_none());
        assert_eq!(table.by_identity(&name).map(Session::id).collect::<Vec<_>>(), [two]);
        assert_eq!(table.by_id(two).expect("there").state(), State::TransportConnected);
        assert_eq!(table.count(State::TransportConnected), 1);

        table.remove(two);
        assert!(table.is_empty() && table.by_identity.is_empty() && table.by_address.is_empty());
        assert!(table.linked_by_ip.is_empty());
        assert_eq!(table.counts, [0; 8]);
    }

    #[test]
    fn an_id_is_not_given_again_when_its_place_is() {
        let mut table = Table::new(&mut Rng::new(1));
        let old = table.insert(NOW);
        table.remove(old);
        let new = table.insert(NOW);
        assert_ne!(old, new);
        assert!(table.by_id(old).is_none());
    }

    #[test]
    fn an_address_names_the_newest_session_there() {
        let mut table = Table::new(&mut Rng::new(1));
        let old = linked(&mut table, "10.0.0.1:1");
        let new = linked(&mut table, "10.0.0.1:1");
        let address = "10.0.0.1:1".parse().expect("an address");
        assert_eq!(table.by_address(address).map(Session::id), Some(new));
        table.remove(old);
        assert_eq!(table.by_address(address).map(Session::id), Some(new));
    }
}
