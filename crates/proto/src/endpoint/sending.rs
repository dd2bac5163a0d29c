//! What is sent over a link, or waits for the next one.

use moorline_link::slots::SlotKey;
use moorline_link::{Control, Lane, LinkEvent, LinkId, Outgoing, Payload, SendError, Time};

use super::Endpoint;
use super::continuity::place_of;
use super::entry::{Entry, Stage};
use crate::lanes::Push;
use crate::link::Link;

impl Endpoint {
    pub(super) fn send_message(
        &mut self,
        now: Time,
        key: SlotKey,
        message: Outgoing<'_>,
    ) -> Result<(), SendError> {
        if self.is_kept(key) {
            return self.send_to_kept(now, key, message);
        }
        let Outgoing { kind, notice, .. } = message;
        let payload = Payload::pooled(message.payload);
        let link = self.living_link(key)?;
        let sent = link.send(now, Push { place: place_of(&message), kind, payload, notice });
        if let Some(is_high) = link.poll_backlog() {
            self.events.push_back(LinkEvent::Backlog { link: LinkId(key), is_high });
        }
        self.touch(key);
        sent
    }

    /// Drops what waits longest on a lane, until a message of `len` bytes has room; or nothing.
    pub(super) fn make_room_on(&mut self, key: SlotKey, lane: Lane, len: usize) -> bool {
        let Some(entry) = self.links.get_mut(key).filter(|entry| !entry.is_parted) else {
            return false;
        };
        match &mut entry.stage {
            Stage::Linked(link) => link.make_room(lane, len),
            Stage::Kept(lanes) => {
                let before = lanes.bytes();
                let has_dropped = lanes.outbox.make_room(lane, len);
                self.kept_bytes = (self.kept_bytes + lanes.bytes()).saturating_sub(before);
                has_dropped
            }
            Stage::Dialing(_) | Stage::Asked(_) | Stage::Answered(_) | Stage::Resting(_) => false,
        }
    }

    pub(super) fn send_control(
        &mut self,
        now: Time,
        key: SlotKey,
        control: &Control,
    ) -> Result<(), SendError> {
        self.living_link(key)?.control(now, control)?;
        self.touch(key);
        Ok(())
    }

    pub(super) fn living_link(&mut self, key: SlotKey) -> Result<&mut Link, SendError> {
        self.rouse(key);
        let entry = self.links.get_mut(key).filter(|entry| !entry.is_parted);
        entry.and_then(Entry::link_mut).ok_or(SendError::NotUp)
    }
}
