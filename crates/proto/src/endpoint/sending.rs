//! What is sent over a link, or waits for the next one.

use moorline_link::slots::SlotKey;
use moorline_link::{Control, Outgoing, SendError, Time};

use super::Endpoint;
use super::continuity::place_of;
use super::links::Entry;
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
        let Outgoing { kind, payload, notice, .. } = message;
        let link = self.living_link(key)?;
        link.send(now, Push { place: place_of(&message), kind, payload, notice })?;
        self.touch(key);
        Ok(())
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
        let entry = self.links.get_mut(key).filter(|entry| !entry.is_parted);
        entry.and_then(Entry::link_mut).ok_or(SendError::NotUp)
    }
}
