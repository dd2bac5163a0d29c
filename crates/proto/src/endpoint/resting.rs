//! Links that rest: a host keeps of an idle client no more than a few hundred bytes.

use moorline_link::Time;
use moorline_link::slots::SlotKey;

use super::entry::Stage;
use super::{Endpoint, Side};
use crate::link::{Rested, Terms};

impl Endpoint {
    /// Lets a link rest that has sent all it had, if it has nothing to do. A client has few links,
    /// which do not.
    pub(super) fn let_rest(&mut self, now: Time, key: SlotKey) {
        let (Side::Host(_), Some(entry)) = (&self.side, self.links.get_mut(key)) else { return };
        let Stage::Linked(link) = &entry.stage else { return };
        if entry.is_parted || !link.may_rest(now, self.config.rest_after) {
            return;
        }
        let stage = std::mem::replace(&mut entry.stage, Stage::Asked(None));
        let Stage::Linked(mut link) = stage else { return };
        entry.stage = Stage::Resting(Box::new(link.rest(&mut self.paper)));
        // Its timer waits for as long as it is heard again and again.
        self.forget_hello(now, key);
    }

    /// Wakes a link that rests, and gives what it was made of.
    pub(super) fn rouse(&mut self, key: SlotKey) -> Option<Box<Rested>> {
        let config = &self.config;
        let terms = Terms {
            repetition: config.repetition,
            bytes_max: config.send_bytes_max,
            ack_delay_max: config.ack_delay_max,
            idle: config.idle,
            linger: config.linger,
            key_packets_max: config.key_packets_max,
        };
        let entry = self.links.get_mut(key)?;
        if !matches!(entry.stage, Stage::Resting(_)) {
            return None;
        }
        let stage = std::mem::replace(&mut entry.stage, Stage::Asked(None));
        let Stage::Resting(rested) = stage else { return None };
        entry.stage = Stage::Linked(rested.wake(entry.address, &terms, &mut self.paper));
        Some(rested)
    }

    /// Lets a link rest again that a packet woke which did not open: to write it down anew would
    /// be more work for whoever forges them.
    pub(super) fn let_rest_on(&mut self, key: SlotKey, mut rested: Box<Rested>) {
        let Some(entry) = self.links.get_mut(key) else { return };
        if let Stage::Linked(link) = &entry.stage {
            rested.rest_on(link);
            entry.stage = Stage::Resting(rested);
        }
    }
}
