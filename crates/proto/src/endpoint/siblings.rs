//! Endpoints that serve one address together, each with links of its own, so that each can have a
//! thread and a socket of its own.
//!
//! The system leads a client's datagrams to one of them by where they come from. A link is made
//! where its first packet arrives, and stays there: its connection id names its endpoint, and what
//! arrives at another one, as the client's address changed, is passed on. So is the first packet of
//! a client that goes on with a link of another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use moorline_link::Time;
use moorline_link::slots::SlotKey;

use super::greeting::Guest;
use super::{Endpoint, HostSide, Side};
use crate::crypto::{Entropy, Secret};
use crate::wire::{ConnectionId, TicketId};

/// How many bits of a link's place name it within its endpoint.
const INDEX_BITS: u32 = 24;
/// How many datagrams wait for the driver to pass them on at most.
const PASSED_LEN_MAX: usize = 4_096;

/// One endpoint's place among those that serve an address together.
#[derive(Clone, Debug)]
pub struct Sibling {
    number: u8,
    all: Arc<Siblings>,
}

/// What all of them know.
#[derive(Debug)]
struct Siblings {
    count: u8,
    /// What hides the places of links in connection ids.
    mask: u64,
    /// Which of them has the link of a ticket.
    tickets: Mutex<BTreeMap<TicketId, u8>>,
}

/// A datagram that belongs to another sibling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOn {
    /// To which one.
    pub to: u8,
    /// Where it comes from.
    pub from: SocketAddr,
    /// All of it.
    pub datagram: Vec<u8>,
}

/// How a datagram came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Socket,
    /// A sibling passed it on, which has checked that its sender is where it says.
    Sibling,
}

impl Sibling {
    /// The most links that one of several may have.
    pub const LINKS_MAX: usize = 1 << INDEX_BITS;

    /// So many siblings, in the order of their numbers. `entropy` are 32 bytes of the operating
    /// system's, for these alone.
    pub fn family(count: u8, entropy: Secret) -> Vec<Self> {
        let mask = Entropy::new(entropy).next_u64();
        let all = Arc::new(Siblings { count, mask, tickets: Mutex::default() });
        (0..count).map(|number| Self { number, all: Arc::clone(&all) }).collect()
    }

    pub(super) fn mask(&self) -> u64 {
        self.all.mask
    }

    fn tickets(&self) -> std::sync::MutexGuard<'_, BTreeMap<TicketId, u8>> {
        self.all.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_another(&self, number: u8) -> bool {
        number != self.number && number < self.all.count
    }
}

impl HostSide {
    /// From now on another link may go on with this one's lanes.
    pub(super) fn note_ticket(&mut self, id: TicketId, key: SlotKey) {
        self.tickets.insert(&id, key.index);
        if let Some(sibling) = &self.sibling {
            sibling.tickets().insert(id, sibling.number);
        }
    }

    pub(super) fn forget_ticket(&mut self, id: TicketId, key: SlotKey) {
        self.tickets.remove(&id, key.index);
        if let Some(sibling) = &self.sibling {
            let mut tickets = sibling.tickets();
            if tickets.get(&id) == Some(&sibling.number) {
                tickets.remove(&id);
            }
        }
    }
}

impl Endpoint {
    /// The next datagram that is to be [handled](Self::handle_passed_on) by a sibling.
    pub fn poll_passed_on(&mut self) -> Option<PassedOn> {
        self.passed_on.pop_front()
    }

    /// A sibling [passed on](Self::poll_passed_on) a datagram. Whether a router had marked it is
    /// not told: most datagrams arrive where they belong, and the next of them tells as much.
    pub fn handle_passed_on(&mut self, now: Time, from: SocketAddr, datagram: &mut [u8]) {
        self.note_listening(now);
        self.receive_as_host(now, from.into(), datagram, Via::Sibling);
    }

    pub(super) fn pass_on(&mut self, to: u8, from: SocketAddr, datagram: &[u8]) {
        if self.passed_on.len() >= PASSED_LEN_MAX {
            self.counts.passed_on_full += 1;
            return;
        }
        self.counts.passed_on += 1;
        self.passed_on.push_back(PassedOn { to, from, datagram: datagram.to_vec() });
    }

    fn sibling(&self) -> Option<&Sibling> {
        match &self.side {
            Side::Host(host) => host.sibling.as_ref(),
            Side::Client(_) => None,
        }
    }

    /// The number of a link among those of all siblings.
    pub(super) fn place_of(&self, key: SlotKey) -> u64 {
        let sibling = self.sibling().map_or(0, |sibling| u32::from(sibling.number) << INDEX_BITS);
        u64::from(sibling | key.index) << 32 | u64::from(key.generation)
    }

    /// The sibling whose packet this is, if it is another's.
    pub(super) fn sibling_of(&self, connection: ConnectionId) -> Option<u8> {
        let sibling = self.sibling()?;
        let place = u64::from_be_bytes(connection.0) ^ sibling.mask();
        let number = (place >> (32 + INDEX_BITS)) as u8;
        sibling.is_another(number).then_some(number)
    }

    /// The link of a connection id, as this endpoint counts its own.
    pub(super) fn key_at(&self, place: u64) -> SlotKey {
        let index = (place >> 32) as u32;
        let own = if self.sibling().is_some() { index & ((1 << INDEX_BITS) - 1) } else { index };
        SlotKey { index: own, generation: place as u32 }
    }

    /// The sibling where a guest can go on who cannot here. A pass is judged by one of them alone,
    /// so that it is of use once.
    pub(super) fn sibling_for(&self, guest: &Guest) -> Option<u8> {
        let sibling = self.sibling()?;
        let request = guest.params.resume.as_ref()?;
        let mut claims = std::iter::once(&request.claim).chain(request.before.iter().flatten());
        let tickets = sibling.tickets();
        let known = claims.find_map(|claim| tickets.get(&claim.ticket).copied());
        let [first, ..] = request.claim.ticket.0;
        let home = request.pass.map(|_| first % sibling.all.count);
        known.or(home).filter(|number| sibling.is_another(*number))
    }
}
