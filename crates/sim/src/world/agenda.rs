//! Who is to be woken when.

use std::collections::{BTreeMap, BTreeSet};

use moorline_link::Time;

/// Something that happens at a time of its own. At one moment they happen in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    /// What the schedule says.
    Schedule,
    /// Something arrives at the host from the client of this number.
    Up(usize),
    /// Something arrives at the client of this number.
    Down(usize),
    Host,
    Client(usize),
}

/// One time for each actor that waits.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    queue: BTreeSet<(Time, Actor)>,
    times: BTreeMap<Actor, Time>,
}

impl Agenda {
    /// Wakes `actor` then and not before; never, if there is no time.
    pub(crate) fn set(&mut self, actor: Actor, at: Option<Time>) {
        if let Some(before) = self.times.remove(&actor) {
            self.queue.remove(&(before, actor));
        }
        if let Some(at) = at {
            self.times.insert(actor, at);
            self.queue.insert((at, actor));
        }
    }

    /// Wakes `actor` then at the latest.
    pub(crate) fn hurry(&mut self, actor: Actor, at: Time) {
        if self.times.get(&actor).is_none_or(|before| at < *before) {
            self.set(actor, Some(at));
        }
    }

    /// The next one, unless it is later than `until`.
    pub(crate) fn pop(&mut self, until: Time) -> Option<(Time, Actor)> {
        let (at, actor) = self.queue.first().copied().filter(|(at, _)| *at <= until)?;
        self.set(actor, None);
        Some((at, actor))
    }
}
