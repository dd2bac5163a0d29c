//! A host: very many sessions behind one or more transports.

pub(crate) mod draining;
mod due;
mod links;
pub(crate) mod login;
mod reauth;
pub(crate) mod saved;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::time::earliest;
use moorline_link::transport::{Counter, Volume};
use moorline_link::{
    Control, Identity, Lane, Origin, Outgoing, Overflow, Payload, Port, Reason, Refusal,
    RefusalCode, SendError, Time, Transmit, Transport,
};

use crate::cause::Cause;
use crate::config::{HostConfig, Limits};
use crate::config_error::ConfigError;
use crate::event::{Event, Gap, ObserverId, Observers, SessionId, Totals, Watch};
use crate::guesses::Guesses;
use crate::lifecycle::{Input, Misplaced, State};
use crate::liveness::SleepWatch;
use crate::overflow::send_or_make_room;
use crate::session::{Due, Session};
use crate::table::{Place, Table};
use draining::Redirect;
use reauth::Reauth;

/// What a host tells its application, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// A session's life went on.
    Session(Event),
    /// Someone asks to be logged in; answer with [`Host::accept_login`] or [`Host::refuse_login`],
    /// now or within [`Limits::login_time`](crate::Limits::login_time).
    Login {
        /// The session that would be theirs.
        session: SessionId,
        /// Who they say they are; short printable text, otherwise unchecked.
        identity: Identity,
        /// What their application sent along.
        payload: Vec<u8>,
        /// Whether it is another login of a session that goes on meanwhile.
        again: bool,
    },
    /// A message of a kind that the delivery policy knows, from a session that is logged in.
    Message {
        /// Who sent it.
        session: SessionId,
        /// What it is.
        kind: u16,
        /// How it travelled.
        lane: Lane,
        /// The encoded message.
        payload: Payload,
    },
    /// A session's transport has all of a message that was sent with a notice.
    Delivered {
        /// To whom it was sent.
        session: SessionId,
        /// What [`Outgoing::notice`] said.
        notice: u64,
    },
}

/// What a host counted beside its transports' own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Sessions that began.
    pub sessions_created: u64,
    /// Sessions that were removed.
    pub sessions_closed: u64,
    /// Messages that sessions sent and that were accepted.
    pub received: Volume,
    /// Messages to sessions that their transports took.
    pub sent: Volume,
    /// The most sessions at one time.
    pub sessions_peak: u64,
    /// Peers turned away because of [`Limits::sessions_max`](crate::Limits::sessions_max).
    pub refused_full: u64,
    /// Peers turned away because their address has as many sessions as it may have.
    pub refused_address: u64,
    /// Peers turned away because the host is stopping.
    pub refused_stopping: u64,
    /// Sessions whose peer was not heard for the whole timeout.
    pub timed_out: u64,
    /// Sessions that were kept for a user who was lost, once for each time.
    pub kept: u64,
    /// Logins refused because of what they claim to be.
    pub refused_names: u64,
    /// Logins that nobody was asked about, as too many were refused before them.
    pub logins_delayed: u64,
    /// Logins refused because the identity has a session.
    pub refused_duplicates: u64,
    /// Logins that came while one was pending or accepted already.
    pub logins_misplaced: u64,
    /// Messages from peers that were not logged in; dropped.
    pub messages_before_login: u64,
    /// Messages of kinds that the delivery policy does not know; dropped.
    pub unknown_kinds: u64,
    /// Heartbeats from peers that were not logged in.
    pub beats_before_login: u64,
    /// Words of the session layer that only a host says, said by a peer; dropped.
    pub controls_misplaced: u64,
    /// Sessions that went on on another link without a login.
    pub resumed: u64,
    /// Sessions of an earlier run of this host that are kept for their users.
    pub restored: u64,
    /// Sessions that another host handed over to this one.
    pub taken_over: u64,
    /// How often this process was found to have slept.
    pub slept: u64,
}

impl HostCounters {
    /// The counters by name, for the operator. What sessions began, ended and carried is not among
    /// them: it has places of its own in a report.
    pub fn named(&self) -> Vec<Counter> {
        [
            ("refused_full", self.refused_full),
            ("refused_address", self.refused_address),
            ("refused_stopping", self.refused_stopping),
            ("refused_names", self.refused_names),
            ("refused_duplicates", self.refused_duplicates),
            ("logins_misplaced", self.logins_misplaced),
            ("logins_delayed", self.logins_delayed),
            ("messages_before_login", self.messages_before_login),
            ("unknown_kinds", self.unknown_kinds),
            ("beats_before_login", self.beats_before_login),
            ("controls_misplaced", self.controls_misplaced),
            ("timed_out", self.timed_out),
            ("kept", self.kept),
            ("resumed", self.resumed),
            ("restored", self.restored),
            ("taken_over", self.taken_over),
            ("slept", self.slept),
        ]
        .map(|(name, value)| Counter { name, value })
        .to_vec()
    }
}

/// Many sessions, their transports, and the one queue of what happens to them.
///
/// It is driven by the rule of [`moorline_link::transport`]: datagrams and time in, events out and
/// answered, datagrams out, and the next deadline asked for. While [`is_backlogged`] it should be
/// given no more datagrams.
///
/// [`is_backlogged`]: Self::is_backlogged
#[derive(Debug)]
pub struct Host<T> {
    config: HostConfig,
    transports: Vec<T>,
    /// For each transport, the session on each of its link slots.
    on_link: Vec<Vec<Option<Place>>>,
    table: Table,
    events: VecDeque<HostEvent>,
    observers: Observers,
    sleep: SleepWatch,
    /// When what a transport had to tell was left there because of the backlog: it is due again as
    /// soon as there is room, and no datagram may come to remind us.
    left_behind_at: Option<Time>,
    counters: HostCounters,
    /// How many sessions ended for each kind of reason, with the kind's name.
    ended: [(&'static str, u64); Reason::KINDS_LEN],
    /// The tick that heartbeats are answered with, where the application sets one.
    server_tick: Option<i64>,
    is_stopped: bool,
    /// Where everyone is sent, if the host drains.
    redirect: Option<Redirect>,
    /// Spreads those who are sent elsewhere over time.
    spread: Rng,
    /// Sessions that are to be saved anew, or are over, if anyone wants to know.
    unsaved: Option<BTreeSet<SessionId>>,
    /// Of sessions whose users are to log in again, or do.
    reauths: BTreeMap<SessionId, Reauth>,
    guesses: Guesses,
    /// What is being done.
    cause: Cause,
}

impl<T: Transport> Host<T> {
    /// A host on these transports. `seed` decides session ids and hash keys; take it from the
    /// operating system, except where a run is to be repeated.
    ///
    /// # Errors
    /// When a setting makes no sense.
    pub fn new(config: HostConfig, transports: Vec<T>, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let Limits { observers_max, observed_len_max, history_max, .. } = config.limits;
        Ok(Self {
            on_link: transports.iter().map(|_| Vec::new()).collect(),
            transports,
            table: Table::new(&mut Rng::new(seed)),
            events: VecDeque::new(),
            observers: Observers::new(observers_max, observed_len_max, history_max),
            sleep: SleepWatch::default(),
            left_behind_at: None,
            counters: HostCounters::default(),
            ended: [("", 0); Reason::KINDS_LEN],
            server_tick: None,
            is_stopped: false,
            redirect: None,
            spread: Rng::new(seed.rotate_left(32)),
            unsaved: None,
            reauths: BTreeMap::new(),
            cause: Cause::Connect,
            guesses: Guesses::new(&mut Rng::new(seed.rotate_left(16))),
            config,
        })
    }

    /// A datagram arrived on `port` of the transport with this number.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        (transport, port): (u8, Port),
        from: SocketAddr,
        datagram: &[u8],
    ) {
        if let Some(carrier) = self.transports.get_mut(usize::from(transport)) {
            carrier.handle_datagram(now, port, from, datagram);
            self.take_link_events(now, transport);
        }
    }

    /// The same, where nobody needs the datagram's bytes afterwards: it is decrypted where it lies.
    pub fn handle_in_place(
        &mut self,
        now: Time,
        (transport, port): (u8, Port),
        origin: Origin,
        datagram: &mut [u8],
    ) {
        if let Some(carrier) = self.transports.get_mut(usize::from(transport)) {
            carrier.handle_in_place(now, port, origin, datagram);
            self.take_link_events(now, transport);
        }
    }

    /// A datagram arrived and is handled after those that were told of before: the memory of its
    /// link and session is asked for [ahead](moorline_link::ahead).
    pub fn expect(&mut self, transport: u8, datagram: &[u8]) {
        let carrier = self.transports.get_mut(usize::from(transport));
        if let Some(link) = carrier.and_then(|carrier| carrier.expect(datagram))
            && let Some(sessions) = self.on_link.get(usize::from(transport))
            && let Some(Some(place)) = sessions.get(link.0.index as usize)
        {
            self.table.fetch(*place);
        }
    }

    /// The time is `now`: does what is due, and nothing for sessions that wait.
    pub fn handle_timeout(&mut self, now: Time) {
        if !self.is_backlogged() {
            self.sleep.wake(now, self.table.next_due(), &self.config.liveness);
        }
        self.left_behind_at = None;
        for transport in 0..self.transports.len() {
            self.transports[transport].handle_timeout(now);
            self.take_link_events(now, transport as u8);
        }
        while !self.is_backlogged() {
            let Some(id) = self.table.pop_due(now) else { break };
            self.do_due(now, id);
        }
    }

    /// Writes the next datagram over what `datagram` held; says where it goes and which transport
    /// sends it.
    pub fn poll_transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<(u8, Transmit)> {
        self.transports
            .iter_mut()
            .zip(0..)
            .find_map(|(transport, number)| Some((number, transport.poll_transmit(now, datagram)?)))
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    /// Whether [`poll_event`](Self::poll_event) would give an event.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next. While events are
    /// backlogged, sessions wait for the application and not for the time.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = earliest(self.table.next_due(), self.left_behind_at);
        let transports = self.transports.iter().map(Transport::poll_timeout);
        transports.fold(own.filter(|_| !self.is_backlogged()), earliest)
    }

    /// Whether so many events wait that the application must take some before more is read.
    pub fn is_backlogged(&self) -> bool {
        self.events.len() >= self.config.limits.events_max
    }

    /// All sessions: found by id, address or identity, enumerated, counted.
    pub const fn sessions(&self) -> &Table {
        &self.table
    }

    /// How the host was configured.
    pub const fn config(&self) -> &HostConfig {
        &self.config
    }

    /// The transports, numbered as given.
    pub fn transports(&self) -> &[T] {
        &self.transports
    }

    /// The transports, for what only their driver knows of them. What it changes on a link is for
    /// it to answer for.
    pub fn transports_mut(&mut self) -> &mut [T] {
        &mut self.transports
    }

    /// What was counted so far.
    pub fn counters(&self) -> HostCounters {
        HostCounters { slept: self.sleep.slept(), ..self.counters }
    }

    /// How many sessions ended, by the kind of reason; those that never occurred are left out.
    pub fn ended(&self) -> impl Iterator<Item = Counter> {
        let occurred = self.ended.iter().filter(|(_, value)| *value > 0);
        occurred.map(|(name, value)| Counter { name, value: *value })
    }

    /// What the transports counted so far, those of one name together.
    pub fn transport_counters(&self) -> Vec<Counter> {
        let mut sums: Vec<Counter> = Vec::new();
        for Counter { name, value } in self.transports.iter().flat_map(Transport::counters) {
            match sums.iter_mut().find(|sum| sum.name == name) {
                Some(sum) => sum.value += value,
                None => sums.push(Counter { name, value }),
            }
        }
        sums
    }

    /// Sets the tick that heartbeats and logins are answered with. Without it, it is the
    /// milliseconds since the start of the clock.
    pub const fn set_server_tick(&mut self, tick: i64) {
        self.server_tick = Some(tick);
    }

    /// Sends a message to a session on the lane that the delivery policy names. While the session
    /// is kept for its user, messages wait for the next link, if the transport keeps its lanes.
    ///
    /// # Errors
    /// When the session is not logged in, or its transport does not take the message.
    pub fn send(
        &mut self,
        now: Time,
        id: SessionId,
        message: Outgoing<'_>,
    ) -> Result<(), SendError> {
        self.cause = Cause::Send;
        let session = self.table.get_mut(id).ok_or(SendError::NotUp)?;
        let link = session.link.filter(|_| session.state == State::LoggedIn).or(session.kept());
        let link = link.ok_or(SendError::NotUp)?;
        let overflow = self.config.delivery.overflow(message.lane);
        let carrier = &mut self.transports[usize::from(link.transport)];
        let sent = send_or_make_room(carrier, now, link.link, message, overflow);
        self.take_link_events(now, link.transport);
        if sent == Err(SendError::Full) && overflow == Overflow::Close {
            self.remove(now, id, Reason::TooSlow(message.lane));
        }
        sent?;
        let session = self.table.get_mut(id).ok_or(SendError::NotUp)?;
        session.sent.add(message.payload.len());
        self.counters.sent.add(message.payload.len());
        Ok(())
    }

    /// Ends a session and tells its peer why. Every other session is left alone.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn close(&mut self, now: Time, id: SessionId, reason: Reason) -> Result<(), NoSession> {
        self.cause = Cause::Close;
        self.table.by_id(id).ok_or(NoSession(id))?;
        self.remove(now, id, reason);
        Ok(())
    }

    /// Ends every session, telling each peer, and lets nobody in any more. May be called twice.
    pub fn stop(&mut self, now: Time) {
        self.cause = Cause::Stop;
        self.is_stopped = true;
        let ids: Vec<SessionId> = self.table.iter().map(Session::id).collect();
        for id in ids {
            self.remove(now, id, Reason::Stopped);
        }
    }

    /// Watches all sessions or one, beside the application's own queue: first what is remembered of
    /// the time since `from`, which has no heartbeats, and then everything that happens. Sessions
    /// that ended are remembered, too. `None` when there are as many observers as
    /// [`Limits::observers_max`] allows.
    pub fn observe(&mut self, watch: Watch, from: Time) -> Option<ObserverId> {
        self.observers.add(watch, from)
    }

    /// When the latest event happened that is no longer remembered, as there were more than
    /// [`Limits::history_max`] after it.
    pub const fn forgotten_at(&self) -> Option<Time> {
        self.observers.forgotten_at()
    }

    /// The next event that an observer did not take yet.
    pub fn poll_observed(&mut self, observer: ObserverId) -> Option<Event> {
        self.observers.poll(observer)
    }

    /// How many events an observer lost because it took them too slowly.
    pub fn observer_missed(&self, observer: ObserverId) -> u64 {
        self.observers.missed(observer)
    }

    /// Ends an observation.
    pub fn stop_observing(&mut self, observer: ObserverId) {
        self.observers.remove(observer);
    }

    /// Puts `input` through a session's lifecycle and tells of what came of it.
    fn step(
        &mut self,
        now: Time,
        id: SessionId,
        input: Input,
        reason: Option<Reason>,
    ) -> Result<(), Misplaced> {
        let gap = if input == Input::Close { self.gap_of_kept(id) } else { None };
        self.step_with(now, id, input, (reason, gap))
    }

    /// The same, with what may be lost because of it.
    fn step_with(
        &mut self,
        now: Time,
        id: SessionId,
        input: Input,
        (reason, gap): (Option<Reason>, Option<Gap>),
    ) -> Result<(), Misplaced> {
        let is_end = matches!(input, Input::Silence | Input::Schedule | Input::Close);
        let totals = if is_end { self.totals(id) } else { None };
        if let Some(mut event) = self.table.apply(now, id, input, reason)? {
            (event.totals, event.gap) = (totals, gap.map(Box::new));
            event.cause = self.cause;
            self.tell(event);
        }
        Ok(())
    }

    /// What a kept session that ends had been given for its peer, unless all of it arrived.
    fn gap_of_kept(&self, id: SessionId) -> Option<Gap> {
        let kept = self.table.by_id(id)?.kept()?;
        let carrier = self.transports.get(usize::from(kept.transport))?;
        let unsettled = carrier.unsettled(kept.link);
        (unsettled != Some([0; Lane::RELIABLE.len()])).then_some(Gap { unsettled })
    }

    fn tell(&mut self, event: Event) {
        self.observers.tell(&event);
        self.events.push_back(HostEvent::Session(event));
    }

    /// The one way in which a session leaves the table.
    fn remove(&mut self, now: Time, id: SessionId, reason: Reason) {
        let farewell = farewell(&reason);
        let (kind, name) = reason.kind();
        let closed = self.step(now, id, Input::Close, Some(reason));
        debug_assert!(closed.is_ok(), "every state can be closed");
        self.drop_link(now, id, farewell.as_ref());
        self.release_kept(now, id);
        self.reauths.remove(&id);
        if self.table.remove(id).is_some() {
            self.note_unsaved(id);
            self.counters.sessions_closed += 1;
            self.ended[kind] = (name, self.ended[kind].1 + 1);
        }
    }

    fn totals(&self, id: SessionId) -> Option<Box<Totals>> {
        let session = self.table.by_id(id)?;
        let link = session
            .link
            .and_then(|link| self.transports.get(usize::from(link.transport))?.stats(link.link));
        Some(Box::new(Totals { sent: session.sent, received: session.received, link }))
    }

    /// Ends a session's link, if it has one, with a word to the peer.
    fn drop_link(&mut self, now: Time, id: SessionId, farewell: Option<&Refusal>) {
        if let Some(link) = self.table.detach(id) {
            self.forget_link(link.transport, link.link);
            self.transports[usize::from(link.transport)].close(now, link.link, farewell);
        }
    }

    fn control(&mut self, now: Time, id: SessionId, control: &Control) -> Result<(), SendError> {
        let link = self.table.by_id(id).and_then(Session::link).ok_or(SendError::NotUp)?;
        self.transports[usize::from(link.transport)].control(now, link.link, control)
    }

    /// Sets the session's one timer to what it waits for next.
    fn arm(&mut self, now: Time, id: SessionId) {
        let deadline = self.next_due(id).map(|(at, _)| at);
        self.table.arm(now, id, deadline);
    }

    fn next_due(&self, id: SessionId) -> Option<(Time, Due)> {
        let session = self.table.by_id(id)?;
        let due = session.next_due(&self.config.liveness, self.sleep.awake_since());
        if self.reauths.is_empty() { due } else { self.reauth_or(id, due) }
    }

    fn tick(&self, now: Time) -> i64 {
        self.server_tick.unwrap_or_else(|| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }
}

/// When a peer that is welcome back may come: not so soon that it meets the host still saying
/// good-bye to others.
const COMEBACK_AFTER: Duration = Duration::from_millis(500);

/// What a peer is told of a reason; `None` is a plain good-bye.
fn farewell(reason: &Reason) -> Option<Refusal> {
    let (code, again) = match reason {
        Reason::Refused(refusal) => return Some(refusal.clone()),
        Reason::Evicted(text) => return Some(Refusal::new(RefusalCode::Evicted, text.clone())),
        Reason::Superseded => (RefusalCode::Superseded, false),
        Reason::Violation(_) | Reason::HandlerFailed(_) => (RefusalCode::Violation, false),
        Reason::Stopped => (RefusalCode::Stopping, true),
        // It may be the application that answered too slowly.
        Reason::LoginDeadline(_) => (RefusalCode::TooSlow, true),
        Reason::TooSlow(_) => (RefusalCode::TooSlow, true),
        // The peer may have been heard of again a moment too late: it is welcome back.
        Reason::Silence(_) => (RefusalCode::TooSlow, true),
        _ => return None,
    };
    let refusal = Refusal::new(code, reason.to_string());
    Some(if again { refusal.retry_after(COMEBACK_AFTER) } else { refusal })
}

/// There is no session with this id (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSession(pub SessionId);

impl std::fmt::Display for NoSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no session {}", self.0)
    }
}

impl std::error::Error for NoSession {}
