//! The server: one object that owns sockets, transports and sessions.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use moorline_link::{Outgoing, Port, Reason, Time, Transport};
use moorline_metrics::PeerLedger;
use moorline_session::{
    AnswerError, Event, Host, HostCounters, HostEvent, NoSession, ObserverId, Redirect,
    SavedSession, Session, SessionId, Table, Watch,
};

use crate::clock::{Clock, random_seed};
use crate::config::{Listener, SendError, ServerConfig, StartError};
use crate::listen::{self, Listeners, Owners};
use crate::login::{Answer, Answers, LoginRequest};
use crate::message::{Incoming, Message};
use crate::pipe::{LOOKS_MAX, Pipe, RETRY_AFTER};
use crate::shard::Shard;
use crate::state_file::StateFile;
use crate::waker::{Doorbell, Waker};

/// How long [`Server::stop`] goes on saying good-bye.
const STOP_LINGER: Duration = Duration::from_millis(250);

/// What a server tells its application, in the order in which it happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A session's life went on.
    Session(Event),
    /// Someone asks to be logged in.
    Login(LoginRequest),
    /// A session sent a message.
    Message {
        /// Who sent it.
        session: SessionId,
        /// The message.
        message: Incoming,
    },
    /// A message that was sent with [`Server::send_with_notice`] arrived.
    Delivered {
        /// To whom it was sent.
        session: SessionId,
        /// The number that was given with it.
        notice: u64,
    },
}

/// What became of a message to many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Broadcast {
    /// Sessions whose transport took it.
    pub sent: usize,
    /// Sessions whose queue was full, or whose link was gone.
    pub refused: usize,
}

/// Many sessions behind one or more listeners.
///
/// Call [`poll_until`](Self::poll_until) in a loop; everything happens in there, on the caller's
/// thread.
#[derive(Debug)]
pub struct Server {
    pub(crate) host: Host<Box<dyn Transport + Send>>,
    pub(crate) pipe: Pipe,
    pub(crate) clock: Clock,
    /// For each socket, the transport and port that it serves.
    routes: Vec<(u8, Port)>,
    pub(crate) shards: Vec<Shard>,
    addresses: Vec<SocketAddr>,
    owners: Owners,
    answers: Answers,
    bell: Doorbell,
    waker: Waker,
    /// When the last turn began, unless the deadline that it met was told of.
    turned_at: Option<Time>,
    /// The latest time that the host was told.
    told_at: Time,
    /// Looks at the sockets that are left of this round of [`poll`](Self::poll).
    looks_left: u32,
    encoded: Vec<u8>,
    state_file: Option<StateFile>,
    pub(crate) peers: PeerLedger,
}

impl Server {
    /// Starts a server. All its listeners are up when this returns, or none is.
    ///
    /// # Errors
    /// When a setting makes no sense or an address cannot be bound.
    pub fn bind(config: ServerConfig) -> Result<Self, StartError> {
        let ServerConfig { host, listeners, buffers, shards, state_file } = config;
        host.check()?;
        let clock = Clock::start();
        let key = listeners.iter().find_map(|listener| match listener {
            Listener::Native { key, .. } => Some(key),
            Listener::KcpPlaintextUnauthenticated { .. } => None,
        });
        let state_file = match (&state_file, key) {
            (None, _) => None,
            (Some(_), None) => return Err(StartError::StateWithoutKey),
            (Some(path), Some(key)) => Some(StateFile::open(path, key).map_err(StartError::State)?),
        };
        let listeners = listen::open(listeners, &host, (buffers, shards), clock)?;
        let Listeners { transports, sockets, routes, shards, bell, addresses, owners } = listeners;
        let mut host = Host::new(host, transports, random_seed())?;
        let state_file = match state_file {
            Some((file, sessions)) => {
                Some(restore(clock.now(), &mut host, file, (sessions, &owners))?)
            }
            None => None,
        };
        Ok(Self {
            host,
            pipe: Pipe::new(sockets),
            shards,
            addresses,
            owners,
            clock,
            state_file,
            routes,
            answers: Answers::new(bell.clone()),
            waker: Waker::new(bell.waker()),
            bell,
            turned_at: None,
            told_at: Time::ZERO,
            looks_left: LOOKS_MAX,
            encoded: Vec::new(),
            peers: PeerLedger::new(),
        })
    }

    /// Where the server listens, in the order of its listeners, each with its sync port after it.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Does what is due and returns the next event, waiting for one until `deadline` at the latest.
    /// `None`: the deadline passed, or a [`waker`](Self::waker) was used. However much peers send,
    /// it comes soon after the deadline.
    pub fn poll_until(&mut self, deadline: Instant) -> Option<ServerEvent> {
        self.poll_until_time(self.clock.at(deadline))
    }

    /// As [`poll_until`](Self::poll_until), waiting for at most `time`.
    pub fn poll_for(&mut self, time: Duration) -> Option<ServerEvent> {
        self.poll_until_time(self.clock.now() + time)
    }

    /// As [`poll_until`](Self::poll_until), without waiting; for a game loop. `None` comes when all
    /// that had arrived is told of, or 4,096 datagrams of it, so `while let Some(event) =
    /// server.poll()` ends.
    pub fn poll(&mut self) -> Option<ServerEvent> {
        while !self.host.has_events() {
            if self.looks_left == 0 {
                self.looks_left = LOOKS_MAX;
                self.flush();
                return None;
            }
            let may_have_more = self.turn();
            self.looks_left = if may_have_more { self.looks_left - 1 } else { 0 };
        }
        let event = self.host.poll_event();
        event.map(|event| self.event(event))
    }

    /// Sends what waits to be sent now, and not when the server is polled next.
    pub fn flush(&mut self) {
        self.transmit(self.clock.now());
    }

    fn poll_until_time(&mut self, deadline: Time) -> Option<ServerEvent> {
        loop {
            if let Some(event) = self.host.poll_event() {
                return Some(self.event(event));
            }
            if self.turned_at.is_some_and(|at| at >= deadline) {
                self.turned_at = None;
                self.flush();
                return None;
            }
            self.turn();
            if let Some(event) = self.host.poll_event() {
                return Some(self.event(event));
            }
            if self.wait(deadline).is_break() {
                return None;
            }
        }
    }

    /// A handle that ends a wait from another thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Sends a message to a session.
    ///
    /// # Errors
    /// When the kind has no policy, the session is neither logged in nor kept with its lanes for a
    /// user who was lost, or its queue is full.
    pub fn send<M: Message>(&mut self, to: SessionId, message: &M) -> Result<(), SendError> {
        self.send_encoded(to, message, None)
    }

    /// Sends a message to a session, and asks to be told when its peer has it:
    /// [`ServerEvent::Delivered`] with this number. Nothing is told of a state that a newer one
    /// replaced, nor of what a link did not deliver before it was lost.
    ///
    /// # Errors
    /// As [`send`](Self::send), and over KCP and on the unreliable lane, where nobody can tell.
    pub fn send_with_notice<M: Message>(
        &mut self,
        to: SessionId,
        message: &M,
        notice: u64,
    ) -> Result<(), SendError> {
        self.send_encoded(to, message, Some(notice))
    }

    fn send_encoded<M: Message>(
        &mut self,
        to: SessionId,
        message: &M,
        notice: Option<u64>,
    ) -> Result<(), SendError> {
        let (kind, key) = (M::KIND, message.key());
        let lane = self.host.config().delivery.lane(kind)?;
        let now = self.about_now();
        self.encoded.clear();
        message.encode(&mut self.encoded);
        let message = Outgoing { kind, lane, key, payload: &self.encoded, notice };
        Ok(self.host.send(now, to, message)?)
    }

    /// Sends an encoded message to a session. `key` is as in [`Message::key`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(
        &mut self,
        to: SessionId,
        kind: u16,
        key: u64,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let lane = self.host.config().delivery.lane(kind)?;
        let now = self.about_now();
        let message = Outgoing { kind, lane, key, payload, notice: None };
        Ok(self.host.send(now, to, message)?)
    }

    /// Sends a message to every session that is logged in and that `to` picks; it is encoded once.
    /// Sessions that are kept for users who were lost are not among them: what these must have when
    /// they are back is sent to each by [`send`](Self::send).
    ///
    /// # Errors
    /// When the kind has no policy.
    pub fn broadcast<M: Message>(
        &mut self,
        message: &M,
        to: impl Fn(&Session) -> bool,
    ) -> Result<Broadcast, SendError> {
        let lane = self.host.config().delivery.lane(M::KIND)?;
        let now = self.about_now();
        self.encoded.clear();
        message.encode(&mut self.encoded);
        let (kind, key, payload) = (M::KIND, message.key(), self.encoded.as_slice());
        let mut outcome = Broadcast::default();
        let logged_in = |session: &&Session| session.state() == crate::State::LoggedIn;
        let chosen = self.host.sessions().iter().filter(logged_in).filter(|session| to(session));
        let ids: Vec<SessionId> = chosen.map(Session::id).collect();
        for id in ids {
            let message = Outgoing { kind, lane, key, payload, notice: None };
            match self.host.send(now, id, message) {
                Ok(()) => outcome.sent += 1,
                Err(_) => outcome.refused += 1,
            }
        }
        Ok(outcome)
    }

    /// Ends a session and tells its peer why.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn close(&mut self, session: SessionId, reason: Reason) -> Result<(), NoSession> {
        self.host.close(self.clock.now(), session, reason)
    }

    /// Asks a user to log in again, as credentials expire. The session goes on meanwhile, and ends
    /// when no other login of theirs was accepted within this time, whatever becomes of their
    /// connection. The answer is a [`ServerEvent::Login`] whose request is made
    /// [again](LoginRequest::again); a [`Client`](crate::Client) that has a login gives it by
    /// itself. A state file does not hold that somebody was asked.
    ///
    /// # Errors
    /// When the session is not logged in, or over KCP, which has no word for it.
    pub fn ask_login(&mut self, session: SessionId, within: Duration) -> Result<(), SendError> {
        Ok(self.host.ask_login(self.clock.now(), session, within)?)
    }

    /// Ends every session, tells the peers for up to a quarter of a second, and lets nobody in any
    /// more. The last events can still be polled. May be called twice.
    pub fn stop(&mut self) {
        self.host.stop(self.clock.now());
        let end = Instant::now() + STOP_LINGER;
        // Bounded by the linger; ends earlier when nothing is left to repeat.
        while Instant::now() < end {
            self.turn();
            let is_quiet = self.shards.iter().all(Shard::is_quiet);
            if is_quiet && self.host.poll_timeout().is_none() && !self.pipe.is_stuck() {
                return;
            }
            // A waker that was used before, as signal handlers do, does not cut this short.
            _ = self.wait(self.clock.at(end));
        }
    }

    /// Sends every user to another host, and whoever comes from now on; go on polling until a
    /// second after [`Redirect::within`], and for as long as late ones shall be told. Native
    /// clients follow by themselves, each at its own time within that, until which it plays on.
    /// The other host needs the same key, and lets those in without a login who come within five
    /// minutes. Messages come and go here until nothing of a session is on its way any more, and
    /// what its user sends after that reaches the other host: nothing is lost. Where that takes
    /// longer than a second, what was not acknowledged then may be lost, which the gap of
    /// [`Resumed`](crate::EventKind::Resumed) tells both the user and the other host.
    pub fn drain(&mut self, redirect: Redirect) {
        self.host.drain(self.clock.now(), redirect);
        self.flush();
    }

    /// What the operating system gives less of than was asked, in words that say what to do.
    pub fn warnings(&self) -> Vec<String> {
        let shards = self.shards.iter().flat_map(Shard::buffers);
        let reports = self.pipe.sockets.buffer_report().chain(shards);
        let buffers = reports.filter(|report| report.is_capped()).map(ToString::to_string);
        buffers.chain(self.state_file.as_ref().and_then(StateFile::failure)).collect()
    }

    /// All sessions: found by id, address or identity, enumerated, counted.
    pub const fn sessions(&self) -> &Table {
        self.host.sessions()
    }

    /// Watches all sessions or one, beside the events of [`poll_until`](Self::poll_until): first
    /// what is remembered of the time since `from`, which has no heartbeats, and then everything
    /// that happens. From [`now`](Self::now) there is nothing to remember, from `Time::ZERO` all
    /// that there is. `None` when there are as many observers as the limits allow.
    pub fn observe(&mut self, watch: Watch, from: Time) -> Option<ObserverId> {
        self.host.observe(watch, from)
    }

    /// When the latest event happened that is no longer remembered. An observation from a later
    /// time begins without a gap.
    pub const fn forgotten_at(&self) -> Option<Time> {
        self.host.forgotten_at()
    }

    /// The next event that an observer did not take yet.
    pub fn poll_observed(&mut self, observer: ObserverId) -> Option<Event> {
        self.host.poll_observed(observer)
    }

    /// How many events an observer lost because it took them too slowly.
    pub fn observer_missed(&self, observer: ObserverId) -> u64 {
        self.host.observer_missed(observer)
    }

    /// What the server counted so far.
    pub fn counters(&self) -> HostCounters {
        self.host.counters()
    }

    /// Ends an observation.
    pub fn stop_observing(&mut self, observer: ObserverId) {
        self.host.stop_observing(observer);
    }

    /// Sets the tick that heartbeats and logins are answered with. Without it, it is the
    /// milliseconds since the server started. Set it from the start or not at all: clients refuse
    /// a tick that is older than the newest they know.
    pub const fn set_server_tick(&mut self, tick: i64) {
        self.host.set_server_tick(tick);
    }

    /// The server's own clock: the time that its events carry.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Early by a few milliseconds at most, which is enough to know for how long something waits
    /// that is sent when the server turns next.
    fn about_now(&mut self) -> Time {
        self.told_at = self.told_at.max(self.clock.at_last_tick());
        self.told_at
    }

    /// One round of the drain rule: answers, datagrams and time in; datagrams out. Whether more may
    /// have arrived.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        self.turned_at = Some(now);
        self.told_at = now;
        self.shards.iter_mut().for_each(Shard::check);
        for (session, answer) in self.answers.take() {
            // A session that is gone, or was answered already, needs no answer.
            self.answer(now, session, answer).ok();
        }
        let Self { host, pipe, routes, .. } = self;
        let mut may_have_more = false;
        for (socket, route) in routes.iter().enumerate() {
            if host.is_backlogged() {
                may_have_more = true;
                break;
            }
            may_have_more |= pipe.receive(socket, |origin, datagram, ahead| {
                host.expect(route.0, ahead);
                host.handle_in_place(now, *route, origin, datagram);
                if host.is_backlogged() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        }
        host.handle_timeout(now);
        self.transmit(now);
        may_have_more
    }

    fn transmit(&mut self, now: Time) {
        self.save(now);
        let Self { host, pipe, routes, .. } = self;
        pipe.send(|datagram| {
            let (transport, transmit) = host.poll_transmit(now, datagram)?;
            let socket = routes.iter().position(|route| *route == (transport, transmit.port))?;
            Some((socket, (transmit.to, transmit.ecn)))
        });
        self.shards.iter().for_each(Shard::flush);
    }

    /// What changed is in the file before a peer hears of it.
    fn save(&mut self, now: Time) {
        let Self { host, owners, state_file: Some(file), .. } = self else { return };
        let changed = host.take_unsaved();
        if file.is_due(now, &changed) {
            let all = host.sessions().iter().map(Session::id);
            let saved = |id| host.saved(id).map(|saved| owners.saved(saved));
            file.note(now, &changed, saved, all);
        }
    }

    /// Waits until something is to be done. Breaks when the caller's deadline has passed or a waker
    /// was used.
    fn wait(&mut self, deadline: Time) -> ControlFlow<()> {
        let now = self.clock.now();
        if now >= deadline || self.waker.take_call() {
            return ControlFlow::Break(());
        }
        self.bell.set_waiting(true);
        let due = self.host.poll_timeout().unwrap_or(deadline).min(deadline);
        let due = if self.pipe.is_stuck() { due.min(now + RETRY_AFTER) } else { due };
        if !self.answers.has_any() {
            self.pipe.wait(due.since(now));
        }
        self.bell.set_waiting(false);
        if self.waker.take_call() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn answer(&mut self, now: Time, session: SessionId, answer: Answer) -> Result<(), AnswerError> {
        match answer {
            Answer::Accept { identity, payload } => {
                self.host.accept_login(now, session, identity, payload).map(drop)
            }
            Answer::Refuse(refusal) => self.host.refuse_login(now, session, refusal),
        }
    }

    fn event(&mut self, event: HostEvent) -> ServerEvent {
        match event {
            HostEvent::Session(event) => {
                self.note_peer(&event);
                ServerEvent::Session(event)
            }
            HostEvent::Login { session, identity, payload, again } => {
                let answers = self.answers.clone();
                ServerEvent::Login(LoginRequest { session, identity, payload, again, answers })
            }
            HostEvent::Message { session, kind, lane, payload } => {
                ServerEvent::Message { session, message: Incoming { kind, lane, payload } }
            }
            HostEvent::Delivered { session, notice } => ServerEvent::Delivered { session, notice },
        }
    }
}

/// Takes back the sessions of the run before.
fn restore<T: Transport>(
    now: Time,
    host: &mut Host<T>,
    mut file: StateFile,
    (sessions, owners): (Vec<SavedSession>, &Owners),
) -> Result<StateFile, StartError> {
    host.begin_saving();
    for (number, session) in sessions.into_iter().enumerate() {
        host.restore(now, owners.restored(number, session));
    }
    let restored = host.take_unsaved();
    let saved = |id: &SessionId| Some((*id, owners.saved(host.saved(*id)?)));
    let saved = restored.iter().filter_map(saved);
    file.begin(saved).map_err(StartError::State)?;
    Ok(file)
}
