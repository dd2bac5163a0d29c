//! What happened to a session, and who is told.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use moorline_link::transport::{LinkStats, Volume};
use moorline_link::{Identity, Lane, Reason, Time};

use crate::cause::Cause;
use crate::lifecycle::{EventKind, State};

/// A session of a host, or the one of a client. It is never given to another session, and proves
/// nothing by itself: its lower half is a place in the host's table, its upper half begins at a
/// random number for each place and counts its tenants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Sixteen hexadecimal digits.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Something happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// To which session.
    pub session: SessionId,
    /// What.
    pub kind: EventKind,
    /// Its state before.
    pub from: State,
    /// Its state now; the same where the event changes none.
    pub to: State,
    /// When.
    pub at: Time,
    /// What made it happen: which timer, which kind of packet, or which command.
    pub cause: Cause,
    /// Why, where there is a reason to name.
    pub reason: Option<Reason>,
    /// Whose session it is, as far as that is known.
    pub identity: Option<Identity>,
    /// Where the peer is, or was last.
    pub address: Option<SocketAddr>,
    /// What went over the session, where it or its link ended; on a host.
    pub totals: Option<Box<Totals>>,
    /// What may be lost, where something may: with [`Resumed`](EventKind::Resumed) at a host that
    /// was started again or is another one, with [`ContinuityLost`](EventKind::ContinuityLost), and
    /// with [`Disconnected`](EventKind::Disconnected) on a host, where a kept session ends with
    /// messages that were taken for it.
    pub gap: Option<Box<Gap>>,
}

/// What may be lost where a session goes on without its lanes, as this side knows it. What the peer
/// had sent is the peer's to tell: it has the same event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// Messages that were taken for sending on each reliable lane, in the order of
    /// [`Lane::RELIABLE`], and of which nobody knows whether they arrived. All others did. None
    /// where this side does not know how many: a host that was started again or took the session
    /// over, and one that kept its messages for shorter than the session.
    pub unsettled: Option<[u64; Lane::RELIABLE.len()]>,
}

/// `3 ReliableOrdered and 0 ReliableUnordered messages may be lost`, or that nobody knows how many.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some([ordered, unordered]) = self.unsettled else {
            return f.write_str("nobody knows how many messages may be lost");
        };
        let [one, other] = Lane::RELIABLE;
        write!(f, "{ordered} {one:?} and {unordered} {other:?} messages may be lost")
    }
}

/// What went over a session, and the last figures of its link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Application messages to the peer, with the bytes of their payloads.
    pub sent: Volume,
    /// Application messages from the peer, with the bytes of their payloads.
    pub received: Volume,
    /// Figures of the link, if there still was one.
    pub link: Option<LinkStats>,
}

/// `12.345s 0011223344556677 ann LoggedIn -> TimedOut: TimedOut (nothing heard for 6s)
/// [timer: silence]`
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.at, self.session)?;
        if let Some(identity) = &self.identity {
            write!(f, "{identity} ")?;
        }
        if self.from == self.to {
            write!(f, "{}: {:?}", self.to, self.kind)?;
        } else {
            write!(f, "{} -> {}: {:?}", self.from, self.to, self.kind)?;
        }
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        if let Some(gap) = &self.gap {
            write!(f, ": {gap}")?;
        }
        write!(f, " [{}]", self.cause)
    }
}

/// Someone who watches events beside the application's own queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObserverId(u32);

/// Whom an observer watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Every session.
    All,
    /// One session.
    One(SessionId),
}

/// Observers and what they did not take yet, and the latest events for those who begin to observe.
/// A slow observer loses its oldest events and is told how many; it never holds up the host.
#[derive(Debug)]
pub(crate) struct Observers {
    observers: BTreeMap<ObserverId, Observer>,
    next: u32,
    observers_max: usize,
    len_max: usize,
    /// The latest events but heartbeats, the oldest first.
    history: VecDeque<Event>,
    history_max: usize,
    /// When the latest event happened that is no longer in it.
    forgotten_at: Option<Time>,
}

#[derive(Debug)]
struct Observer {
    watch: Watch,
    events: VecDeque<Event>,
    missed: u64,
}

impl Observers {
    pub(crate) const fn new(observers_max: usize, len_max: usize, history_max: usize) -> Self {
        Self {
            observers: BTreeMap::new(),
            next: 0,
            observers_max,
            len_max,
            history: VecDeque::new(),
            history_max,
            forgotten_at: None,
        }
    }

    /// Begins with what is remembered of the time since `from`. `None` when there are as many
    /// observers as there may be.
    pub(crate) fn add(&mut self, watch: Watch, from: Time) -> Option<ObserverId> {
        if self.observers.len() >= self.observers_max {
            return None;
        }
        let id = ObserverId(self.next);
        self.next = self.next.wrapping_add(1);
        let mut observer = Observer { watch, events: VecDeque::new(), missed: 0 };
        for event in self.history.iter().filter(|event| event.at >= from) {
            observer.tell(event, self.len_max);
        }
        self.observers.insert(id, observer);
        Some(id)
    }

    pub(crate) fn remove(&mut self, id: ObserverId) {
        self.observers.remove(&id);
    }

    pub(crate) fn tell(&mut self, event: &Event) {
        for observer in self.observers.values_mut() {
            observer.tell(event, self.len_max);
        }
        let is_beat = matches!(event.kind, EventKind::HeartbeatSent | EventKind::HeartbeatReceived);
        if !is_beat {
            self.remember(event);
        }
    }

    fn remember(&mut self, event: &Event) {
        if self.history_max == 0 {
            self.forgotten_at = Some(event.at);
            return;
        }
        if self.history.len() >= self.history_max
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten_at = Some(oldest.at);
        }
        self.history.push_back(event.clone());
    }

    /// When the latest event happened that nobody is told of any more.
    pub(crate) const fn forgotten_at(&self) -> Option<Time> {
        self.forgotten_at
    }

    pub(crate) fn poll(&mut self, id: ObserverId) -> Option<Event> {
        self.observers.get_mut(&id)?.events.pop_front()
    }

    /// How many events the observer lost because it was slow.
    pub(crate) fn missed(&self, id: ObserverId) -> u64 {
        self.observers.get(&id).map_or(0, |observer| observer.missed)
    }
}

impl Observer {
    fn tell(&mut self, event: &Event, len_max: usize) {
        if self.watch != Watch::All && self.watch != Watch::One(event.session) {
            return;
        }
        if self.events.len() >= len_max {
            self.events.pop_front();
            self.missed = self.missed.saturating_add(1);
        }
        self.events.push_back(event.clone());
    }
}
