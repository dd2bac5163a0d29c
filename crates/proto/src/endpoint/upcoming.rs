//! Links whose turn comes soon: their memory is asked for [ahead](moorline_link::ahead), in steps,
//! as what a link points to is known only when the link itself is there.

use std::mem;

use moorline_link::slots::SlotKey;

use super::entry::Stage;
use super::{Endpoint, Side};
use crate::wire::{Datagram, Direction};

/// Links of the datagrams that arrive next, each a step further.
#[derive(Debug, Default)]
pub(super) struct Upcoming {
    /// Its place in the table was asked for.
    placed: Option<SlotKey>,
    /// The link was, too.
    found: Option<SlotKey>,
}

impl Endpoint {
    /// A host is told of a datagram ahead. Gives the link of the one before.
    pub(super) fn expect_packet(&mut self, datagram: &[u8]) -> Option<SlotKey> {
        let Side::Host(_) = &self.side else { return None };
        let key = match Datagram::parse(Direction::ToHost, datagram) {
            Ok(Datagram::Short(header)) => header.connection.map(|id| self.place_in(id)),
            _ => None,
        };
        let placed = mem::replace(&mut self.upcoming.placed, key);
        let found = mem::replace(&mut self.upcoming.found, placed);
        self.fetch_place(key);
        self.fetch_link(placed);
        self.fetch_parts(found);
        placed
    }

    /// Asks for what the next links need that may have something to send.
    pub(super) fn fetch_ready(&self) {
        if self.ready.len() > 1 {
            let [found, placed, next] = [1, 2, 3].map(|turn| self.ready.get(turn).copied());
            self.fetch_place(next);
            self.fetch_link(placed);
            self.fetch_parts(found);
        }
    }

    fn fetch_place(&self, key: Option<SlotKey>) {
        if let Some(key) = key {
            self.links.fetch(key.index);
        }
    }

    fn fetch_link(&self, key: Option<SlotKey>) {
        if let Some(Stage::Linked(link)) = self.stage_of(key) {
            link.fetch();
        }
    }

    fn fetch_parts(&self, key: Option<SlotKey>) {
        if let Some(Stage::Linked(link)) = self.stage_of(key) {
            link.fetch_parts();
        }
    }

    fn stage_of(&self, key: Option<SlotKey>) -> Option<&Stage> {
        Some(&self.links.get(key?)?.stage)
    }
}
