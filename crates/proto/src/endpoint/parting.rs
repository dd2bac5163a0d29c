//! How a link leaves: with a good-bye, lost, or forgotten.

use moorline_link::slots::SlotKey;
use moorline_link::{LinkEvent, LinkId, Reason, Refusal, Time};

use super::entry::{Entry, Stage};
use super::{Endpoint, Side};
use crate::link::Link;

impl Endpoint {
    pub(super) fn say_goodbye(&mut self, now: Time, key: SlotKey, farewell: Option<&Refusal>) {
        self.rouse(key);
        let Some(entry) = self.links.get_mut(key) else { return };
        entry.is_parted = true;
        match &mut entry.stage {
            Stage::Linked(link) => {
                link.close(now, farewell);
                self.touch(key);
            }
            Stage::Asked(_) if farewell.is_some() => {
                if let Some(refusal) = farewell {
                    self.turn_away(key, refusal);
                }
            }
            // A dial is not answered yet, and an answer not yet heard: there is nobody to tell.
            _ => drop(self.forget(key)),
        }
    }

    /// Tells that a link is gone, and lets it say its last words if it has any.
    pub(super) fn lose(&mut self, now: Time, key: SlotKey, reason: Reason) {
        let was_parted = self.links.get(key).is_some_and(|entry| entry.is_parted);
        self.tell_lost(key, reason.clone());
        if !was_parted && self.keep_lost(now, key, &reason) {
            return;
        }
        let is_leaving = self.links.get(key).and_then(Entry::link).is_some_and(Link::is_leaving);
        if is_leaving {
            self.touch(key);
        } else {
            self.forget(key);
        }
    }

    pub(super) fn tell_lost(&mut self, key: SlotKey, reason: Reason) {
        let Some(entry) = self.links.get_mut(key) else { return };
        if std::mem::replace(&mut entry.is_parted, true) {
            return;
        }
        let link = LinkId(key);
        self.lost.push_back((link, entry.figures()));
        self.events.push_back(LinkEvent::Lost { link, reason });
    }

    /// Takes a link out of every table.
    pub(super) fn forget(&mut self, key: SlotKey) -> Option<Entry> {
        let entry = self.links.remove(key)?;
        self.wheel.clear(key.index);
        self.on_forgotten(key, &entry);
        match &mut self.side {
            Side::Host(host) => {
                if !matches!(entry.stage, Stage::Kept(_)) {
                    host.census.end(entry.address.ip(), entry.is_half_open());
                }
                // The ticket of a link that nobody confirmed is in no index.
                if let Some(ticket) = &entry.ticket {
                    host.forget_ticket(ticket.id(), key);
                }
                if let Some((id, _)) = entry.hello() {
                    host.hellos.remove(&id, key.index);
                }
            }
            Side::Client(client) => client.links.retain(|other| *other != key),
        }
        Some(entry)
    }
}
