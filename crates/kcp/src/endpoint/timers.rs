//! What happens when time passes, and what a conversation waits for after anything happened to it.

use moorline_link::slots::SlotKey;
use moorline_link::{Reason, Time};

use super::KcpEndpoint;
use crate::conversation::{Owner, RELIABLE_SILENCE, SYNC, SYNC_SILENCE};
use crate::link::Phase;

impl KcpEndpoint {
    /// Does what is due.
    pub(super) fn run_timers(&mut self, now: Time) {
        // Bounded: each timer fires once; one that is armed anew waits for the next millisecond.
        while let Some(index) = self.wheel.pop_due(now) {
            let Some(key) = self.conversations.key_at(index) else { continue };
            self.on_timer(now, key);
        }
    }

    /// To be called after anything happened to a conversation: notes its end, moves newest-wins
    /// messages into the room there is, and plans its next timer.
    pub(super) fn settle(&mut self, now: Time, key: SlotKey) {
        let Some(conversation) = self.conversations.get(key) else { return };
        if conversation.is_dead() {
            return self.end(key, Reason::Unacknowledged);
        }
        match conversation.owner {
            Owner::Parting if conversation.is_quiet() => return self.forget(key),
            Owner::Link(link) => self.send_waiting(now, link),
            Owner::Nobody | Owner::Parting | Owner::Parted => {}
        }
        self.arm(now, key);
    }

    /// Plans a conversation's next timer.
    pub(super) fn arm(&mut self, now: Time, key: SlotKey) {
        let Some(conversation) = self.conversations.get(key) else { return };
        match conversation.deadline() {
            Some(deadline) => self.wheel.set(now, key.index, deadline),
            None => self.wheel.clear(key.index),
        }
    }

    fn on_timer(&mut self, now: Time, key: SlotKey) {
        let Some(conversation) = self.conversations.get_mut(key) else { return };
        if conversation.tick(now).is_err() {
            return self.end(key, Reason::Exhausted);
        }
        if conversation.route.port == SYNC
            && conversation.stalled_for(self.listened) >= SYNC_SILENCE
        {
            self.counts.sync_failed += 1;
            return self.end(key, Reason::Unacknowledged);
        }
        if conversation.stalled_for(self.listened) >= RELIABLE_SILENCE
            && let Owner::Link(link) = conversation.owner
            && self.links.get(link).is_some_and(|other| other.sync_conversation().is_some())
        {
            // Without a sync lane the session layer finds out by itself.
            return self.end(key, Reason::Unacknowledged);
        }
        if conversation.alarm.is_some_and(|alarm| alarm <= now) {
            conversation.alarm = None;
            let owner = conversation.owner;
            self.on_alarm(now, key, owner);
        }
        self.settle(now, key);
    }

    /// What a conversation's owner waited for is over.
    fn on_alarm(&mut self, now: Time, key: SlotKey, owner: Owner) {
        match owner {
            Owner::Link(link) => self.on_link_alarm(now, link),
            Owner::Nobody => {
                self.counts.pending_expired += 1;
                self.forget(key);
            }
            Owner::Parting | Owner::Parted => self.forget(key),
        }
    }

    fn on_link_alarm(&mut self, now: Time, key: SlotKey) {
        let Some(link) = self.links.get(key) else { return };
        match link.phase {
            Phase::Dialing { .. } => self.probe(now, key),
            Phase::Asked { .. } | Phase::Up => {
                self.counts.pending_expired += 1;
                self.lose(key, Reason::LoginDeadline(self.config.pending_time));
            }
            Phase::LoggedIn => {}
        }
    }
}
