//! A client: one session, and the dialer that brings it back.

mod links;

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::time::earliest;
use moorline_link::transport::DialError;
use moorline_link::{
    Control, Delivery, Identity, Lane, LinkId, Origin, Outgoing, Overflow, Payload, Port, Reason,
    SendError, Time, Transmit, Transport,
};

use crate::cause::Cause;
use crate::clock_sync::{ClockSync, RoundTrip};
use crate::config_error::ConfigError;
use crate::event::{Event, Gap, SessionId};
use crate::lifecycle::{Input, Misplaced, State};
use crate::liveness::{LivenessPolicy, SleepWatch};
use crate::overflow::send_or_make_room;
use crate::reconnect::{Attempts, ReconnectMode, ReconnectPolicy};
use crate::session::{Due, LinkRef, Session, Side};

/// How a client treats its session. Plain data, checked once when the client is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DialerConfig {
    /// How often it beats and when the host counts as gone.
    pub liveness: LivenessPolicy,
    /// When it tries again.
    pub reconnect: ReconnectPolicy,
    /// Which kinds of message exist, and their lanes.
    pub delivery: Delivery,
    /// What it logs in with whenever a link is up, and again when the host asks for that; without
    /// it, the application calls [`Dialer::login`] and [`Dialer::login_again`].
    pub login: Option<Login>,
}

/// Events that may wait for the application before nothing more is read; up to 10 MB.
const EVENTS_MAX: usize = 65_536;

/// What a client logs in with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The name or credentials; the host decides what they are worth.
    pub identity: Vec<u8>,
    /// Whatever else the application sends along.
    pub payload: Vec<u8>,
}

/// What a client tells its application, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialerEvent {
    /// The session's life went on.
    Session(Event),
    /// The host's application sent this along with its yes to the login.
    Welcome {
        /// The bytes it sent.
        payload: Vec<u8>,
    },
    /// A message of a kind that the delivery policy knows.
    Message {
        /// What it is.
        kind: u16,
        /// How it travelled.
        lane: Lane,
        /// The encoded message.
        payload: Payload,
    },
    /// The host's transport has all of a message that was sent with a notice.
    Delivered {
        /// What [`Outgoing::notice`] said.
        notice: u64,
    },
}

/// Why a client cannot connect now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The session is somewhere else than it would have to be.
    Misplaced(Misplaced),
    /// The transport cannot dial.
    Dial(DialError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misplaced(why) => write!(f, "cannot connect: {why}"),
            Self::Dial(why) => write!(f, "cannot connect: {why}"),
        }
    }
}

impl Error for ConnectError {}

/// What a client counted beside its transport's own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialerCounters {
    /// Dials, the first one included.
    pub dials: u64,
    /// Messages of kinds that the delivery policy does not know; dropped.
    pub unknown_kinds: u64,
    /// Messages and words of the session layer that came when they made no sense; dropped.
    pub misplaced: u64,
    /// How often this process was found to have slept.
    pub slept: u64,
}

/// One session and its transport; driven as a [`Host`](crate::Host) is.
#[derive(Debug)]
pub struct Dialer<T> {
    config: DialerConfig,
    transport: T,
    session: Session,
    round_trip: RoundTrip,
    clock: ClockSync,
    remote: Option<SocketAddr>,
    /// The host that sent it there, until that one answers.
    sent_by: Option<SocketAddr>,
    attempts: Attempts,
    rng: Rng,
    events: VecDeque<DialerEvent>,
    sleep: SleepWatch,
    /// When what the transport had to tell was left there because of the backlog.
    left_behind_at: Option<Time>,
    counters: DialerCounters,
    wants_fresh_ports: bool,
    /// Whether another login of the session that goes on is not answered yet.
    is_reauthenticating: bool,
    /// When a heartbeat was last answered on this link.
    answered_at: Option<Time>,
    /// What is being done.
    cause: Cause,
}

impl<T: Transport> Dialer<T> {
    /// A client that is not connected yet. `seed` decides the waits before attempts; take it from
    /// the operating system, except where a run is to be repeated.
    ///
    /// # Errors
    /// When a setting makes no sense.
    pub fn new(
        now: Time,
        config: DialerConfig,
        transport: T,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        config.liveness.check()?;
        config.reconnect.check()?;
        let mut rng = Rng::new(seed);
        Ok(Self {
            config,
            transport,
            session: Session::new(now, SessionId(rng.next_u64()), Side::Client),
            round_trip: RoundTrip::default(),
            clock: ClockSync::default(),
            remote: None,
            sent_by: None,
            attempts: Attempts::default(),
            rng,
            events: VecDeque::new(),
            sleep: SleepWatch::default(),
            left_behind_at: None,
            counters: DialerCounters::default(),
            wants_fresh_ports: false,
            is_reauthenticating: false,
            answered_at: None,
            cause: Cause::Connect,
        })
    }

    /// Begins to connect to `remote`, and keeps at it as the policy says.
    ///
    /// # Errors
    /// When the session is connected or on its way already.
    pub fn connect(&mut self, now: Time, remote: SocketAddr) -> Result<(), ConnectError> {
        self.cause = Cause::Connect;
        let misplaced = match self.session.state {
            State::Disconnected if self.session.link.is_none() => None,
            State::Disconnected | State::Reconnecting => Some(Misplaced::AttemptUnderWay),
            State::ReconnectPending | State::TimedOut => Some(Misplaced::AlreadyScheduled),
            _ => Some(Misplaced::AlreadyConnected),
        };
        if let Some(misplaced) = misplaced {
            return Err(ConnectError::Misplaced(misplaced));
        }
        (self.remote, self.sent_by) = (Some(remote), None);
        self.attempts.forget();
        self.dial(now).map_err(ConnectError::Dial)
    }

    /// Tries again now: from a loss that waits for its next attempt, after the end, or where the
    /// policy is manual.
    ///
    /// # Errors
    /// When the session is connected or on its way, or was never told where to connect to.
    pub fn reconnect(&mut self, now: Time) -> Result<(), Misplaced> {
        self.cause = Cause::Reconnect;
        if self.session.state.is_connected() {
            return Err(Misplaced::AlreadyConnected);
        }
        if self.session.link.is_some() {
            return Err(Misplaced::AttemptUnderWay);
        }
        if self.remote.is_none() {
            return Err(Misplaced::NothingScheduled);
        }
        if self.session.state != State::ReconnectPending {
            self.step(now, Input::Schedule, None)?;
        }
        self.session.set_until(Some(now));
        self.do_due(now);
        Ok(())
    }

    /// Logs in, or tries again with something else after a login failed.
    ///
    /// # Errors
    /// When no link is up or a login is under way or accepted; the new login is kept for the next
    /// link all the same.
    pub fn login(&mut self, now: Time, login: Login) -> Result<(), Misplaced> {
        self.cause = Cause::Login;
        self.config.login = Some(login);
        self.send_login(now)
    }

    /// Logs in again, as credentials expire or the host asks for it: the session goes on meanwhile,
    /// whatever the answer, which is [`Reauthenticated`](crate::EventKind::Reauthenticated) or
    /// [`ReauthFailed`](crate::EventKind::ReauthFailed). Later logins are made with this one too.
    ///
    /// # Errors
    /// When the session is not logged in, another such login is not answered yet, or its transport
    /// has no word for it, as KCP.
    pub fn login_again(&mut self, now: Time, login: Login) -> Result<(), SendError> {
        self.cause = Cause::Login;
        self.send_login_again(now, login)
    }

    fn send_login_again(&mut self, now: Time, login: Login) -> Result<(), SendError> {
        self.config.login = Some(login.clone());
        let link = self.session.link.filter(|_| self.session.state == State::LoggedIn);
        let link = link.ok_or(SendError::NotUp)?.link;
        if self.is_reauthenticating {
            return Err(SendError::Full);
        }
        let Login { identity, payload } = login;
        self.transport.control(now, link, &Control::LoginAgain { identity, payload })?;
        self.is_reauthenticating = true;
        self.step(now, Input::ReauthStart, None).ok();
        Ok(())
    }

    /// Ends the session and tells the host. Nothing happens if it is over already.
    pub fn close(&mut self, now: Time) {
        self.cause = Cause::Close;
        self.close_with(now, Reason::Requested);
    }

    /// Ends the session because its owner stops.
    pub fn stop(&mut self, now: Time) {
        self.cause = Cause::Stop;
        self.close_with(now, Reason::Stopped);
    }

    /// Sends a message on the lane that the delivery policy names. While the link is lost and a new
    /// one is sought, messages wait for it, if the transport keeps the lanes.
    ///
    /// # Errors
    /// When the session is not logged in, or its transport does not take the message.
    pub fn send(&mut self, now: Time, message: Outgoing<'_>) -> Result<(), SendError> {
        self.cause = Cause::Send;
        let link = self.session.link.filter(|_| self.session.state == State::LoggedIn);
        let link = link.or(self.session.kept()).ok_or(SendError::NotUp)?.link;
        let overflow = self.config.delivery.overflow(message.lane);
        let sent = send_or_make_room(&mut self.transport, now, link, message, overflow);
        self.take_link_events(now);
        if sent == Err(SendError::Full) && overflow == Overflow::Close {
            self.close_with(now, Reason::TooSlow(message.lane));
        }
        sent?;
        self.session.sent.add(message.payload.len());
        Ok(())
    }

    /// A datagram arrived on `port`.
    pub fn handle_datagram(&mut self, now: Time, port: Port, from: SocketAddr, datagram: &[u8]) {
        self.transport.handle_datagram(now, port, from, datagram);
        self.take_link_events(now);
    }

    /// The same, where nobody needs the datagram's bytes afterwards: it is decrypted where it lies.
    pub fn handle_in_place(&mut self, now: Time, port: Port, origin: Origin, datagram: &mut [u8]) {
        self.transport.handle_in_place(now, port, origin, datagram);
        self.take_link_events(now);
    }

    /// The time is `now`: does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if !self.is_backlogged() {
            self.sleep.wake(now, self.next_due().map(|(at, _)| at), &self.config.liveness);
        }
        self.left_behind_at = None;
        self.transport.handle_timeout(now);
        self.take_link_events(now);
        self.do_due(now);
    }

    /// Writes the next datagram over what `datagram` held, and says where it goes.
    pub fn poll_transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        self.transport.poll_transmit(now, datagram)
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<DialerEvent> {
        self.events.pop_front()
    }

    /// Whether [`poll_event`](Self::poll_event) would give an event.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next. While events are
    /// backlogged, the session waits for the application and not for the time.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = earliest(self.next_due().map(|(at, _)| at), self.left_behind_at);
        earliest(own.filter(|_| !self.is_backlogged()), self.transport.poll_timeout())
    }

    /// Whether so many events wait that the application must take some before more is read.
    pub fn is_backlogged(&self) -> bool {
        self.events.len() >= EVENTS_MAX
    }

    /// Says once, after a redial, that it should leave from new local ports: the old ones may lead
    /// through a path that is dead, or to a host that still knows them as someone else.
    pub fn take_fresh_ports(&mut self) -> bool {
        std::mem::take(&mut self.wants_fresh_ports)
    }

    /// The session.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Round trips of the heartbeats.
    pub const fn round_trip(&self) -> &RoundTrip {
        &self.round_trip
    }

    /// What is known of the host's clock.
    pub const fn clock(&self) -> &ClockSync {
        &self.clock
    }

    /// The transport.
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// How it was configured.
    pub const fn config(&self) -> &DialerConfig {
        &self.config
    }

    /// What was counted so far.
    pub fn counters(&self) -> DialerCounters {
        DialerCounters { slept: self.sleep.slept(), ..self.counters }
    }

    fn dial(&mut self, now: Time) -> Result<(), DialError> {
        let Some(remote) = self.remote else { return Ok(()) };
        let kept = self.session.kept().map(|kept| kept.link);
        let link = self.transport.dial(now, remote, kept)?;
        self.session.link = Some(LinkRef { transport: 0, link });
        self.session.address = Some(remote);
        self.session.set_until(Some(now + self.config.reconnect.attempt_timeout));
        self.session.beat_at = None;
        self.round_trip.on_new_link();
        self.clock.on_new_link();
        self.wants_fresh_ports = self.counters.dials > 0;
        self.counters.dials += 1;
        Ok(())
    }

    fn send_login(&mut self, now: Time) -> Result<(), Misplaced> {
        let Some(Login { identity, payload }) = self.config.login.clone() else { return Ok(()) };
        self.step(now, Input::LoginStart, None)?;
        self.is_reauthenticating = false;
        self.session.identity = Identity::new(&identity).ok();
        if let Some(link) = self.session.link {
            self.session.heard_at = now;
            let control = Control::Login { identity, payload };
            // A link that cannot take it is found silent soon enough.
            self.transport.control(now, link.link, &control).ok();
        }
        Ok(())
    }

    fn close_with(&mut self, now: Time, reason: Reason) {
        self.session.set_until(None);
        self.release_kept(now);
        let Some(link) = self.session.link.take() else {
            if self.session.state != State::Disconnected {
                self.step(now, Input::Close, Some(reason)).ok();
            }
            return;
        };
        self.transport.close(now, link.link, None);
        self.step(now, Input::Close, Some(reason)).ok();
    }

    /// Plans the next attempt, as far as the policy goes.
    fn schedule(&mut self, now: Time, reason: Reason, retry_after: Option<Duration>) {
        self.session.set_until(None);
        if self.config.reconnect.mode == ReconnectMode::Manual {
            if self.session.state != State::TimedOut {
                self.release_kept(now);
                self.step(now, Input::Close, Some(reason)).ok();
            }
            return;
        }
        let policy = &self.config.reconnect;
        match self.attempts.next(now, policy, retry_after, &mut self.rng) {
            Some(at) => {
                // It was sent elsewhere at its own time.
                let at = if is_moved_now(&reason) { now } else { at };
                self.step(now, Input::Schedule, Some(reason)).ok();
                self.session.set_until(Some(at));
            }
            None => {
                self.release_kept(now);
                self.step(now, Input::Close, Some(Reason::BudgetSpent)).ok();
            }
        }
    }

    fn next_due(&self) -> Option<(Time, Due)> {
        self.session.next_due(&self.config.liveness, self.sleep.awake_since())
    }

    /// Bounded: each round moves the session's next deadline into the future, or ends it.
    fn do_due(&mut self, now: Time) {
        while !self.is_backlogged() {
            let Some((_, due)) = self.next_due().filter(|(at, _)| *at <= now) else { break };
            self.on_due(now, due);
        }
    }

    fn on_due(&mut self, now: Time, due: Due) {
        self.cause = due.cause();
        match due {
            Due::Beat => self.beat(now),
            Due::Degrade => {
                self.step(now, Input::Degrade, None).ok();
            }
            Due::Silence => {
                let reason = Reason::Silence(self.session.timeout(&self.config.liveness));
                let was_logged_in = self.session.state == State::LoggedIn;
                self.step(now, Input::Silence, Some(reason.clone())).ok();
                if let Some(link) = self.session.link.filter(|_| was_logged_in) {
                    self.session.link = None;
                    if self.transport.keep(now, link.link) {
                        self.session.set_kept(Some(link));
                    } else {
                        self.transport.abandon(now, link.link);
                    }
                } else {
                    self.abandon(now);
                }
                self.schedule(now, reason, None);
            }
            Due::AttemptStart => {
                self.session.set_until(None);
                self.step(now, Input::AttemptStart, None).ok();
                if self.dial(now).is_err() {
                    let reason = Reason::NoAnswer(Duration::ZERO);
                    self.schedule(now, reason, Some(self.config.reconnect.attempt_timeout));
                }
            }
            Due::AttemptTimeout => {
                self.abandon(now);
                self.turn_back();
                let reason = Reason::NoAnswer(self.config.reconnect.attempt_timeout);
                self.schedule(now, reason, None);
            }
            Due::LoginDeadline
            | Due::ReauthDeadline
            | Due::KeepExpired
            | Due::HandOver
            | Due::SendAway => {
                debug_assert!(false, "{due:?} is the host's");
                self.session.set_until(None);
            }
        }
    }

    /// Where it was sent nobody answers: it asks by turns there and where it came from.
    const fn turn_back(&mut self) {
        if self.sent_by.is_some() {
            std::mem::swap(&mut self.remote, &mut self.sent_by);
        }
    }

    fn beat(&mut self, now: Time) {
        let beat = self.round_trip.on_sent(now);
        if let Some(link) = self.session.link {
            // A queue too full for a beat is told by the answer that does not come.
            self.transport.control(now, link.link, &Control::Beat { beat }).ok();
        }
        self.step(now, Input::BeatSent, None).ok();
    }

    /// The session goes on without the lanes of its earlier link, if it had any.
    fn lapse(&mut self, now: Time) {
        self.is_reauthenticating = false;
        if let Some(gap) = self.take_gap(now) {
            self.step_with(now, Input::Lapse, Some(Reason::Forgotten), Some(gap)).ok();
        }
    }

    /// What may be lost of what an earlier link had left, which is given up with that.
    fn take_gap(&mut self, now: Time) -> Option<Gap> {
        let kept = self.session.take_kept()?;
        let unsettled = self.transport.unsettled(kept.link);
        self.transport.release(now, kept.link);
        Some(Gap { unsettled })
    }

    /// Gives up what an earlier link had left.
    fn release_kept(&mut self, now: Time) {
        if let Some(kept) = self.session.take_kept() {
            self.transport.release(now, kept.link);
        }
    }

    fn abandon(&mut self, now: Time) {
        if let Some(link) = self.session.link.take() {
            self.transport.abandon(now, link.link);
        }
    }

    fn is_current(&self, link: LinkId) -> bool {
        self.session.link == Some(LinkRef { transport: 0, link })
    }

    fn step(&mut self, now: Time, input: Input, reason: Option<Reason>) -> Result<(), Misplaced> {
        self.step_with(now, input, reason, None)
    }

    fn step_with(
        &mut self,
        now: Time,
        input: Input,
        reason: Option<Reason>,
        gap: Option<Gap>,
    ) -> Result<(), Misplaced> {
        if let Some(mut event) = self.session.apply(now, input, reason)? {
            event.gap = gap.map(Box::new);
            event.cause = self.cause;
            self.events.push_back(DialerEvent::Session(event));
        }
        Ok(())
    }
}

/// Whether a host says that its user is to be at another one without a wait: it spreads its users
/// over time itself.
fn is_moved_now(reason: &Reason) -> bool {
    match reason {
        Reason::Refused(no) => no.moved_to().is_some() && no.retry_after == Some(Duration::ZERO),
        _ => false,
    }
}
