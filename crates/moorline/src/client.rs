//! The client: one session over its own sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use moorline_kcp::{KcpEndpoint, check_ports};
use moorline_link::{Outgoing, Port, Time, Transport};
use moorline_proto::Endpoint;
use moorline_proto::crypto::Secret;
use moorline_session::{
    ClockSync, Dialer, DialerEvent, Event, Login, Misplaced, RoundTrip, Session, State,
};
use moorline_udp::{BufferSizes, Sockets};

use crate::clock::{Clock, random_bytes, random_seed};
use crate::config::{Carrier, ClientConfig, SendError, StartError};
use crate::message::{Incoming, Message};
use crate::pipe::{LOOKS_MAX, Pipe, RETRY_AFTER};
use crate::waker::Waker;

/// What a client tells its application, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The session's life went on.
    Session(Event),
    /// The host's application sent this along with its yes to the login.
    Welcome {
        /// The bytes it sent.
        payload: Vec<u8>,
    },
    /// The host sent a message.
    Message(Incoming),
    /// A message that was sent with [`Client::send_with_notice`] arrived.
    Delivered {
        /// The number that was given with it.
        notice: u64,
    },
}

/// One session, and the dialer that brings it back.
///
/// Call [`poll_until`](Self::poll_until) in a loop; everything happens in there, on the caller's
/// thread. A session that is lost is dialed again as its
/// [`ReconnectPolicy`](moorline_session::ReconnectPolicy) says.
#[derive(Debug)]
pub struct Client {
    pub(crate) dialer: Dialer<Box<dyn Transport + Send>>,
    pub(crate) pipe: Pipe,
    pub(crate) clock: Clock,
    remote: SocketAddr,
    local: Vec<SocketAddr>,
    buffers: BufferSizes,
    is_native: bool,
    /// Made when it is first asked for.
    waker: Option<Waker>,
    /// When the last turn began, unless the deadline that it met was told of.
    turned_at: Option<Time>,
    /// Looks at the sockets that are left of this round of [`poll`](Self::poll).
    looks_left: u32,
    encoded: Vec<u8>,
}

impl Client {
    /// Starts a client and begins to connect. Whether the host is there shows in the events.
    ///
    /// # Errors
    /// When a setting makes no sense or no socket can be had.
    pub fn connect(remote: SocketAddr, config: ClientConfig) -> Result<Self, StartError> {
        let ClientConfig { dialer, carrier, buffers } = config;
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let is_native = matches!(carrier, Carrier::Native { .. });
        let (transport, sockets_len) = open(remote, carrier)?;
        let local = vec![SocketAddr::new(any, 0); sockets_len];
        let clock = Clock::start();
        let mut client = Self {
            dialer: Dialer::new(clock.now(), dialer, transport, random_seed())?,
            pipe: Pipe::new(Sockets::bind(&local, buffers)?),
            clock,
            remote,
            local,
            buffers,
            is_native,
            waker: None,
            turned_at: None,
            looks_left: LOOKS_MAX,
            encoded: Vec::new(),
        };
        client.forbid_fragments();
        client.dialer.connect(clock.now(), remote).map_err(StartError::Connect)?;
        client.turn();
        Ok(client)
    }

    /// Does what is due and returns the next event, waiting for one until `deadline` at the latest.
    /// `None`: the deadline passed, or a [`waker`](Self::waker) was used. However much the host
    /// sends, it comes soon after the deadline.
    pub fn poll_until(&mut self, deadline: Instant) -> Option<ClientEvent> {
        self.poll_until_time(self.clock.at(deadline))
    }

    /// As [`poll_until`](Self::poll_until), waiting for at most `time`.
    pub fn poll_for(&mut self, time: Duration) -> Option<ClientEvent> {
        self.poll_until_time(self.clock.now() + time)
    }

    /// As [`poll_until`](Self::poll_until), without waiting; for a game loop. `None` comes when all
    /// that had arrived is told of, or much of it, so `while let Some(event) =
    /// client.poll()` ends.
    pub fn poll(&mut self) -> Option<ClientEvent> {
        while !self.dialer.has_events() {
            if self.looks_left == 0 {
                self.looks_left = LOOKS_MAX;
                self.flush();
                return None;
            }
            let may_have_more = self.turn();
            self.looks_left = if may_have_more { self.looks_left - 1 } else { 0 };
        }
        let event = self.dialer.poll_event();
        event.map(client_event)
    }

    /// Sends what waits to be sent now, and not when the client is polled next.
    pub fn flush(&mut self) {
        self.transmit(self.clock.now());
    }

    fn poll_until_time(&mut self, deadline: Time) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.dialer.poll_event() {
                return Some(client_event(event));
            }
            if self.turned_at.is_some_and(|at| at >= deadline) {
                self.turned_at = None;
                self.flush();
                return None;
            }
            self.turn();
            if let Some(event) = self.dialer.poll_event() {
                return Some(client_event(event));
            }
            if self.wait(deadline).is_break() {
                return None;
            }
        }
    }

    /// A handle that ends a wait from another thread.
    ///
    /// # Errors
    /// When the operating system has no more handles to give.
    pub fn waker(&mut self) -> std::io::Result<Waker> {
        if let Some(waker) = &self.waker {
            return Ok(waker.clone());
        }
        let waker = Waker::new(self.pipe.sockets.waker()?);
        Ok(self.waker.insert(waker).clone())
    }

    /// Sends a message to the host.
    ///
    /// # Errors
    /// When the kind has no policy, the session is not logged in, or the queue is full.
    pub fn send<M: Message>(&mut self, message: &M) -> Result<(), SendError> {
        self.send_encoded(message, None)
    }

    /// Sends a message to the host; where there is no room for it, waits for some until `deadline`
    /// at the latest. What happens meanwhile is told by [`poll_until`](Self::poll_until)
    /// afterwards. A server has no such call, as one slow peer would hold up all others.
    ///
    /// # Errors
    /// As [`send`](Self::send): when there is no room at the deadline either, it is full.
    pub fn send_by<M: Message>(&mut self, message: &M, deadline: Instant) -> Result<(), SendError> {
        let deadline = self.clock.at(deadline);
        loop {
            let sent = self.send_encoded(message, None);
            // While events wait for the application, nothing is read that could make room.
            let is_late = self.clock.now() >= deadline || self.dialer.is_backlogged();
            if sent != Err(SendError::Link(moorline_link::SendError::Full)) || is_late {
                return sent;
            }
            self.turn();
            if self.wait(deadline).is_break() {
                return self.send_encoded(message, None);
            }
        }
    }

    /// Sends a message to the host, and asks to be told when the host has it:
    /// [`ClientEvent::Delivered`] with this number. Nothing is told of a state that a newer one
    /// replaced, nor of what a link did not deliver before it was lost.
    ///
    /// # Errors
    /// As [`send`](Self::send), and over KCP and on the unreliable lane, where nobody can tell.
    pub fn send_with_notice<M: Message>(
        &mut self,
        message: &M,
        notice: u64,
    ) -> Result<(), SendError> {
        self.send_encoded(message, Some(notice))
    }

    /// Logs in again, as credentials expire or the host asked for it
    /// ([`ReauthAsked`](moorline_session::EventKind::ReauthAsked), to which a client with a login
    /// answers by itself). The session goes on meanwhile, whatever the answer. Later logins are
    /// made with this one as well.
    ///
    /// # Errors
    /// When the session is not logged in, another such login is not answered yet, or over KCP,
    /// which has no word for it.
    pub fn login_again(&mut self, login: Login) -> Result<(), SendError> {
        Ok(self.dialer.login_again(self.clock.now(), login)?)
    }

    fn send_encoded<M: Message>(
        &mut self,
        message: &M,
        notice: Option<u64>,
    ) -> Result<(), SendError> {
        let (kind, key) = (M::KIND, message.key());
        let lane = self.dialer.config().delivery.lane(kind)?;
        self.encoded.clear();
        message.encode(&mut self.encoded);
        let message = Outgoing { kind, lane, key, payload: &self.encoded, notice };
        Ok(self.dialer.send(self.clock.now(), message)?)
    }

    /// Sends an encoded message to the host. `key` is as in [`Message::key`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(&mut self, kind: u16, key: u64, payload: &[u8]) -> Result<(), SendError> {
        let lane = self.dialer.config().delivery.lane(kind)?;
        let message = Outgoing { kind, lane, key, payload, notice: None };
        Ok(self.dialer.send(self.clock.now(), message)?)
    }

    /// Logs in with something else after a login failed.
    ///
    /// # Errors
    /// When no link is up, or a login is under way or accepted.
    pub fn login(&mut self, login: Login) -> Result<(), Misplaced> {
        self.dialer.login(self.clock.now(), login)
    }

    /// Connects again: after a [`close`](Self::close) or a final no, or sooner than planned.
    ///
    /// # Errors
    /// When the session is connected or on its way.
    pub fn reconnect(&mut self) -> Result<(), Misplaced> {
        self.dialer.reconnect(self.clock.now())
    }

    /// Closes the sockets and goes on from new local ports, as after a change of network that the
    /// program knows of. The session goes on in the same link once the host has heard from there,
    /// but over KCP, which knows a client by its address: there it is lost, and comes back.
    ///
    /// # Errors
    /// When no new socket can be had; the old ones stay.
    pub fn rebind(&mut self) -> Result<(), StartError> {
        self.pipe.sockets.rebind(&self.local, self.buffers)?;
        self.forbid_fragments();
        self.turn();
        Ok(())
    }

    /// Ends the session and tells the host. Poll for a moment longer, and the good-bye is repeated
    /// should it get lost.
    pub fn close(&mut self) {
        self.dialer.close(self.clock.now());
        self.turn();
    }

    /// The session.
    pub const fn session(&self) -> &Session {
        self.dialer.session()
    }

    /// Where the session stands.
    pub const fn state(&self) -> State {
        self.dialer.session().state()
    }

    /// Round trips of the heartbeats.
    pub const fn round_trip(&self) -> &RoundTrip {
        self.dialer.round_trip()
    }

    /// What is known of the host's clock.
    pub const fn host_clock(&self) -> &ClockSync {
        self.dialer.clock()
    }

    /// The host's address.
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The client's own clock: the time that its events carry.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// One round of the drain rule: datagrams and time in, datagrams out. Whether more may have
    /// arrived.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        self.turned_at = Some(now);
        let Self { dialer, pipe, local, buffers, .. } = self;
        let mut may_have_more = false;
        for (socket, port) in (0..local.len()).zip(0..) {
            if dialer.is_backlogged() {
                may_have_more = true;
                break;
            }
            may_have_more |= pipe.receive(socket, |origin, datagram, _| {
                dialer.handle_in_place(now, Port(port), origin, datagram);
                if dialer.is_backlogged() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        }
        dialer.handle_timeout(now);
        if dialer.take_fresh_ports() {
            // Without new ports the old ones have to do.
            pipe.sockets.rebind(local, *buffers).ok();
            self.forbid_fragments();
        }
        self.transmit(now);
        may_have_more
    }

    /// Where it cannot be had, long datagrams may come in fragments: slower, but not wrong.
    fn forbid_fragments(&self) {
        if self.is_native {
            self.pipe.sockets.forbid_fragments(0).ok();
        }
    }

    fn transmit(&mut self, now: Time) {
        let Self { dialer, pipe, .. } = self;
        pipe.send(|datagram| {
            let transmit = dialer.poll_transmit(now, datagram)?;
            Some((usize::from(transmit.port.0), (transmit.to, transmit.ecn)))
        });
    }

    /// Waits until something is to be done. Breaks when the caller's deadline has passed or a waker
    /// was used.
    fn wait(&mut self, deadline: Time) -> ControlFlow<()> {
        let now = self.clock.now();
        if now >= deadline || self.take_call() {
            return ControlFlow::Break(());
        }
        let due = self.dialer.poll_timeout().unwrap_or(deadline).min(deadline);
        let due = if self.pipe.is_stuck() { due.min(now + RETRY_AFTER) } else { due };
        self.pipe.wait(due.since(now));
        if self.take_call() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn take_call(&self) -> bool {
        self.waker.as_ref().is_some_and(Waker::take_call)
    }
}

/// What carries the session, and how many sockets that takes.
fn open(
    remote: SocketAddr,
    carrier: Carrier,
) -> Result<(Box<dyn Transport + Send>, usize), StartError> {
    match carrier {
        Carrier::Native { host, native } => {
            let entropy = Secret::new(random_bytes().map_err(StartError::Io)?);
            Ok((Box::new(Endpoint::client(*native, host, entropy)?), 1))
        }
        Carrier::KcpPlaintextUnauthenticated { kcp } => {
            if let Some(sync) = kcp.sync {
                check_ports(remote.port(), sync.0)?;
            }
            let sockets_len = if kcp.sync.is_some() { 2 } else { 1 };
            let endpoint = KcpEndpoint::client_plaintext_unauthenticated(kcp, random_seed())?;
            Ok((Box::new(endpoint), sockets_len))
        }
    }
}

fn client_event(event: DialerEvent) -> ClientEvent {
    match event {
        DialerEvent::Session(event) => ClientEvent::Session(event),
        DialerEvent::Welcome { payload } => ClientEvent::Welcome { payload },
        DialerEvent::Message { kind, lane, payload } => {
            ClientEvent::Message(Incoming { kind, lane, payload })
        }
        DialerEvent::Delivered { notice } => ClientEvent::Delivered { notice },
    }
}
