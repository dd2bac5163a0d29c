//! A link of a host that has nothing to do, written down in few bytes.
//!
//! Most links of a large host are idle but for a beat every few seconds. Such a link has nothing on
//! its way and nothing that waits: what is left of it are numbers, which are small, and its keys.
//! It is written down when it has sent all that it had, and made anew when a packet comes or
//! something is to be sent. Nothing that it knows is lost, but which packets arrived long before.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::Time;
use moorline_link::ahead::Ahead;
use moorline_link::transport::LinkStats;

use super::{Link, NativeStats, Setup, part_len};
use crate::crypto::RestingKeys;
use crate::lanes::Inbox;
use crate::notes::{Notes, Paper, Reader, Writer};
use crate::recovery::early::Repetition;

/// What all links of a host have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// As in [`Setup`](super::Setup).
    pub repetition: Repetition,
    /// As there.
    pub bytes_max: usize,
    /// As there.
    pub ack_delay_max: Duration,
    /// As there.
    pub idle: Duration,
    /// As there.
    pub linger: Duration,
    /// As there.
    pub key_packets_max: u32,
}

/// A link that rests.
#[derive(Debug)]
pub struct Rested {
    keys: RestingKeys,
    notes: Box<[u8]>,
}

impl Link {
    /// Whether nothing would be lost if the link were written down, and no message moved for so
    /// long: who plays is not written down between two ticks. To be asked when it has sent all that
    /// it has.
    pub fn may_rest(&self, now: Time, after: Duration) -> bool {
        now.since(self.moved_at) >= after
            && self.connection.is_none()
            && self.is_up()
            && self.forget_keys_at.is_none()
            && self.path.is_at_rest()
            && self.acks.due_at().is_none()
            && self.asked.is_at_rest()
            && self.sender.is_at_rest()
            && self.outbox.is_at_rest()
            && self.inbox.is_at_rest()
    }

    /// Writes the link down; not without having asked [`may_rest`](Self::may_rest). `paper` is kept
    /// for its memory.
    pub(crate) fn rest(&mut self, paper: &mut Paper) -> Rested {
        let mut notes = Writer::new(paper);
        let keys = self.keys.rest(&mut notes);
        self.note(&mut notes);
        Rested { keys, notes: notes.packed().into() }
    }

    /// All of it but its keys and what is the same while any link rests.
    fn note<N: Notes>(&mut self, notes: &mut N) {
        for time in [&mut self.heard_at, &mut self.sent_at, &mut self.moved_at] {
            notes.time(time);
        }
        notes.option(&mut self.pinged_at, N::time);
        self.path.note(notes);
        self.acks.note(notes);
        self.sender.note(notes);
        self.outbox.note(notes);
        self.inbox.note(notes);
        notes.option(&mut self.asked.pinged, N::small);
        notes.duration(&mut self.keep_alive);
        notes.small(&mut self.fitted_mtu);
        notes.small(&mut self.quiet);
        notes.option(&mut self.clock, |notes, clock| {
            notes.signed(&mut clock.ahead_micros);
            notes.duration(&mut clock.round_trip);
        });
        notes.volume(&mut self.received);
        notes.volume(&mut self.sent);
    }
}

impl Rested {
    /// The link as it was. Its peer is at `address`, where it was. `paper` is kept for its memory.
    pub(crate) fn wake(
        &self,
        address: SocketAddr,
        terms: &Terms,
        paper: &mut Paper,
    ) -> Box<Ahead<Link>> {
        let mut notes = Reader::new(&self.notes, paper);
        let setup = Setup {
            connection: None,
            keys: self.keys.wake(&mut notes),
            address,
            // All that follows from these is read.
            seed: 0,
            datagram_len_max: 0,
            window: 0,
            limit: 0,
            ecn: false,
            peer_ack_delay_max: Duration::ZERO,
            keep_alive: Duration::ZERO,
            repetition: terms.repetition,
            bytes_max: terms.bytes_max,
            ack_delay_max: terms.ack_delay_max,
            idle: terms.idle,
            linger: terms.linger,
            key_packets_max: terms.key_packets_max,
        };
        let mut link = Link::new(Time::ZERO, setup);
        link.is_confirmed = true;
        link.note(&mut notes);
        link.outbox.set_part_len(part_len(link.fitted_mtu, None));
        Box::new(Ahead::new(link))
    }

    /// Goes on resting, as a packet did not open on the link that it made.
    pub(crate) const fn rest_on(&mut self, made: &Link) {
        self.keys.rest_on(&made.keys);
    }

    /// The link to be looked at, but not to go on with.
    fn read(&self) -> Box<Ahead<Link>> {
        let nowhere = SocketAddr::from(([0; 4], 0));
        let zero = Duration::ZERO;
        let terms = Terms {
            repetition: Repetition::Off,
            bytes_max: 0,
            ack_delay_max: zero,
            idle: zero,
            linger: zero,
            key_packets_max: 0,
        };
        self.wake(nowhere, &terms, &mut Paper::default())
    }

    /// What arrived on its lanes, and what is still expected.
    pub fn inbox(&self) -> Inbox {
        let Link { inbox, .. } = self.read().into_inner();
        inbox
    }

    /// Figures for reports.
    pub fn link_stats(&self) -> LinkStats {
        self.read().link_stats()
    }

    /// Everything that is known.
    pub fn stats(&self) -> NativeStats {
        self.read().stats()
    }
}
