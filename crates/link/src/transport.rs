//! The seam between sessions and what carries them.
//!
//! A transport is driven from outside with the same verbs as everything in Moorline. The drain rule
//! that every driver follows:
//!
//! 1. Hand over what arrived with [`handle_datagram`](Transport::handle_datagram), and the time
//!    with [`handle_timeout`](Transport::handle_timeout).
//! 2. Take events with [`poll_event`](Transport::poll_event) until there is none, and answer them.
//! 3. Take datagrams with [`poll_transmit`](Transport::poll_transmit) until there is none.
//! 4. Ask [`poll_timeout`](Transport::poll_timeout) when to call `handle_timeout` at the latest.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::ecn::Ecn;
use crate::lane::Lane;
use crate::payload::Payload;
use crate::reason::{Reason, Refusal};
use crate::slots::SlotKey;
use crate::time::Time;

/// One link of one transport. The number of a link that ended is not given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub SlotKey);

/// One of a transport's own UDP ports, numbered from zero. Most transports have one; KCP's sync
/// lane may have a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u8);

/// Where the datagram goes that [`Transport::poll_transmit`] just wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The own port it leaves from.
    pub port: Port,
    /// The address it goes to.
    pub to: SocketAddr,
    /// Whether routers may mark it.
    pub ecn: Ecn,
}

impl Transmit {
    /// One that routers may not mark.
    pub const fn unmarked(port: Port, to: SocketAddr) -> Self {
        Self { port, to, ecn: Ecn::NotCapable }
    }
}

/// Where a datagram comes from, and what happened to it on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it says that it comes from; a hint, not a proof.
    pub from: SocketAddr,
    /// Whether a router marked it.
    pub ecn: Ecn,
}

impl From<SocketAddr> for Origin {
    /// Nothing is known of a mark.
    fn from(from: SocketAddr) -> Self {
        Self { from, ecn: Ecn::NotCapable }
    }
}

/// A message to send; the bytes stay the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The application's number for what the payload is.
    pub kind: u16,
    /// How it travels, as the delivery policy says.
    pub lane: Lane,
    /// On [`Lane::Latest`], what it is the newest of. On [`Lane::ReliableOrdered`], a transport may
    /// keep the order of messages with one key only, so that none waits for those of another.
    pub key: u64,
    /// The encoded message.
    pub payload: &'a [u8],
    /// The sender's own number for this message, if it wants to be told that the peer has it:
    /// [`LinkEvent::Delivered`].
    pub notice: Option<u64>,
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The application's number for what the payload is, as the peer wrote it.
    pub kind: u16,
    /// The encoded message.
    pub payload: Payload,
}

/// What the session layers of both sides say to each other. Each transport has its own form for it
/// on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Client to host: who I am.
    Login {
        /// The name or credentials that the peer claims; unchecked.
        identity: Vec<u8>,
        /// Whatever else the application sends along.
        payload: Vec<u8>,
    },
    /// Host to client: welcome.
    LoginAccepted {
        /// The host's tick at that moment.
        server_tick: i64,
        /// Whatever the host's application sends along.
        payload: Vec<u8>,
    },
    /// Host to client: no.
    LoginRefused(Refusal),
    /// Client to host: who I still am, while the session goes on. It is answered as a login is.
    LoginAgain {
        /// The name or credentials that the peer claims; unchecked.
        identity: Vec<u8>,
        /// Whatever else the application sends along.
        payload: Vec<u8>,
    },
    /// Host to client: log in again, while the session goes on.
    LoginAsked {
        /// After this time the session ends without it.
        within: Duration,
    },
    /// Client to host: are you there?
    Beat {
        /// The client's number for this beat, so that the answer is matched to it.
        beat: u32,
    },
    /// Host to client: yes.
    BeatAnswer {
        /// The beat that is answered.
        beat: u32,
        /// The host's tick at that moment.
        server_tick: i64,
    },
}

/// What a transport tells the session layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A peer asks in. Nothing else happens on the link until [`Transport::accept`] or
    /// [`Transport::refuse`] answers.
    Asked {
        /// The link that it would have.
        link: LinkId,
        /// Where it comes from; a hint, not a proof.
        address: SocketAddr,
        /// The earlier link whose lanes it would go on with; proven, unless somebody repeats what
        /// the peer said.
        resumes: Option<LinkId>,
    },
    /// A peer of another host comes with a pass that this host believes. Its link there is known
    /// here as one that was lost and is [kept](Transport::keeps), without its lanes; it asks in
    /// next, and goes on with that one.
    HandedOver {
        /// The link that it had.
        link: LinkId,
        /// Where it comes from.
        address: SocketAddr,
        /// Who it is, as the other host [said](Transport::hand_over).
        peer: Vec<u8>,
    },
    /// Host: the client of a link that is [handed over](Transport::hand_over) has nothing on its
    /// way any more, and begins nothing: the link can be closed without a loss.
    HandOverReady {
        /// Which link.
        link: LinkId,
    },
    /// Host: what waited on a link that is [kept](Transport::keeps) is given up, as it was kept for
    /// too long or with too much. Its peer is known still: what goes on with it is
    /// [`Resumes::Peer`]. Nothing is taken for it until then.
    LanesLost {
        /// Which link.
        link: LinkId,
        /// What is lost, or may be, as of [`Transport::unsettled`].
        unsettled: [u64; Lane::RELIABLE.len()],
        /// Which bound was passed.
        reason: Reason,
    },
    /// The link carries messages now.
    Up {
        /// Which link.
        link: LinkId,
        /// The peer's address.
        address: SocketAddr,
        /// The earlier link that it goes on with.
        resumes: Option<Resumes>,
    },
    /// The peer gave a sign of life that holds nothing for the session (an acknowledgement, say).
    Heard {
        /// Which link.
        link: LinkId,
    },
    /// The peer's session layer says something.
    Control {
        /// Which link.
        link: LinkId,
        /// What it says.
        control: Control,
    },
    /// A message of the application.
    Message {
        /// Which link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// The peer's transport has all of a message that was sent with a notice. Of a state that a
    /// newer one replaced, and of what a link did not deliver before it was lost, nothing is told.
    Delivered {
        /// Which link.
        link: LinkId,
        /// What [`Outgoing::notice`] said.
        notice: u64,
    },
    /// So much waits to be sent or to be acknowledged that soon nothing more is taken; or hardly
    /// anything does any more. They come in turns, the first one first.
    Backlog {
        /// Which link.
        link: LinkId,
        /// Whether much waits.
        is_high: bool,
    },
    /// The peer proved a new address.
    AddressChanged {
        /// Which link.
        link: LinkId,
        /// Where it is now.
        address: SocketAddr,
    },
    /// The link is gone; its number will mean nothing from here on.
    Lost {
        /// Which link.
        link: LinkId,
        /// Why.
        reason: Reason,
    },
}

impl LinkEvent {
    /// The link that it is about.
    pub const fn link(&self) -> LinkId {
        match self {
            Self::Asked { link, .. }
            | Self::HandedOver { link, .. }
            | Self::HandOverReady { link }
            | Self::LanesLost { link, .. }
            | Self::Up { link, .. }
            | Self::Heard { link }
            | Self::Control { link, .. }
            | Self::Message { link, .. }
            | Self::Delivered { link, .. }
            | Self::Backlog { link, .. }
            | Self::AddressChanged { link, .. }
            | Self::Lost { link, .. } => *link,
        }
    }
}

/// What a link goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumes {
    /// The earlier link's peer, and nothing was lost in between: with its lanes, or with new ones
    /// at another host, where nothing was on its way any more. The earlier link is gone with that,
    /// and no other event tells of it.
    Lanes(LinkId),
    /// Its peer alone, as the host has no lanes: it was started again, is another one, or gave them
    /// up. Nobody knows what arrived of what was on its way. On the client the earlier link is kept
    /// until it is [released](Transport::release).
    Peer(LinkId),
}

impl Resumes {
    /// The earlier link.
    pub const fn link(self) -> LinkId {
        match self {
            Self::Lanes(link) | Self::Peer(link) => link,
        }
    }
}

/// What is known of a link's path and queues, for reports. A transport that cannot tell a figure
/// leaves it at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Smoothed round-trip time of the transport's own acknowledgements.
    pub rtt_smoothed: Option<Duration>,
    /// How long the transport waits before it repeats something.
    pub retransmission_timeout: Option<Duration>,
    /// Messages or segments that wait to be sent for the first time.
    pub send_queue_len: u64,
    /// Segments that were sent and are not acknowledged.
    pub in_flight_len: u64,
    /// Of these, how many were sent more than once.
    pub in_flight_repeated_len: u64,
    /// Messages that wait to be read by the session.
    pub receive_queue_len: u64,
    /// Segments that wait for an earlier one.
    pub receive_buffer_len: u64,
    /// Segments sent again, since the link began.
    pub repeats: u64,
    /// Losses that the transport concluded, since the link began.
    pub losses: u64,
    /// Datagrams and bytes from the peer.
    pub received: Volume,
    /// Datagrams and bytes to the peer.
    pub sent: Volume,
}

/// An amount of traffic one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many datagrams or messages, as the field says that holds it.
    pub count: u64,
    /// How many bytes they had together.
    pub bytes: u64,
}

impl Volume {
    /// Adds one of `bytes` bytes.
    pub const fn add(&mut self, bytes: usize) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

/// A named number that only grows, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What is counted, in `snake_case`.
    pub name: &'static str,
    /// How often so far.
    pub value: u64,
}

/// Why a message was not taken. It was not sent in part either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The link is gone, or not up yet.
    NotUp,
    /// The queue to this peer is full; try again when it has drained, or close the session.
    Full,
    /// The message is longer than the transport carries.
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The longest there is, in bytes.
        len_max: usize,
    },
    /// The transport keeps this kind for the words of the session layer.
    Reserved {
        /// The kind that was to be sent.
        kind: u16,
    },
    /// This transport has no such word of the session layer.
    NoWord,
    /// A notice was asked for that cannot be given: by this transport, or on a lane of which nobody
    /// knows what arrives.
    NoNotice,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp => f.write_str("the session has no link that is up"),
            Self::Full => f.write_str("the send queue to this peer is full"),
            Self::TooLarge { len, len_max } => {
                write!(f, "the message has {len} bytes, this transport carries {len_max}")
            }
            Self::Reserved { kind } => {
                write!(f, "message kind {kind} belongs to the session layer on this transport")
            }
            Self::NoWord => f.write_str("this transport cannot say that to its peer"),
            Self::NoNotice => f.write_str("nobody can tell here whether a message arrived"),
        }
    }
}

impl Error for SendError {}

/// Why a dial was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialError {
    /// This transport only answers.
    HostOnly,
    /// It has as many links as it may have.
    Full,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostOnly => f.write_str("this transport is a host and cannot dial"),
            Self::Full => f.write_str("this transport has as many links as it may have"),
        }
    }
}

impl Error for DialError {}

/// What a session layer needs of a transport, and nothing more. See the [module](self) for the rule
/// by which it is driven.
pub trait Transport: fmt::Debug {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Whether a host's words are known to be the host's, so that a client may go where they say.
    fn is_authentic(&self) -> bool {
        false
    }

    /// A datagram arrived on `port`, without a mark of a router. Whatever it holds, this only
    /// counts, or changes the link it belongs to.
    fn handle_datagram(&mut self, now: Time, port: Port, from: SocketAddr, datagram: &[u8]);

    /// The same, where nobody needs the datagram's bytes afterwards: it is decrypted where it lies.
    /// A transport that does not know what a router's mark means passes over it.
    fn handle_in_place(&mut self, now: Time, port: Port, origin: Origin, datagram: &mut [u8]) {
        self.handle_datagram(now, port, origin.from, datagram);
    }

    /// A datagram arrived and is handled after those that were told of before: its link's memory
    /// can be asked for [ahead](crate::ahead). Gives a link that was told of, so that what belongs
    /// to it can be asked for as well.
    fn expect(&mut self, _datagram: &[u8]) -> Option<LinkId> {
        None
    }

    /// The time is `now`; does what is due.
    fn handle_timeout(&mut self, now: Time);

    /// Writes the next datagram to send over what `datagram` held, and says where it goes.
    fn poll_transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<Transmit>;

    /// The next event, in the order in which they happened.
    fn poll_event(&mut self) -> Option<LinkEvent>;

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next.
    fn poll_timeout(&self) -> Option<Time>;

    /// Begins a link to `address`. [`LinkEvent::Up`] or [`LinkEvent::Lost`] follows; whoever dials
    /// sets the time after which it gives up. With `resumes`, a link that was lost and is
    /// [kept](Self::keeps), it asks to go on with that one's lanes; whether it does, `Up` says. If
    /// not, the earlier link is still kept, until it is [released](Self::release).
    ///
    /// # Errors
    /// When this transport cannot dial.
    fn dial(
        &mut self,
        now: Time,
        address: SocketAddr,
        resumes: Option<LinkId>,
    ) -> Result<LinkId, DialError>;

    /// Whether a link that was lost is kept with its lanes, so that another can go on with them.
    /// Messages for it are taken meanwhile, within the same bounds. Whoever is told of a loss
    /// [releases](Self::release) the link sooner or later.
    fn keeps(&self, link: LinkId) -> bool {
        let _ = link;
        false
    }

    /// Forgets a link at once, tells the peer nothing, and keeps its lanes, so that another link
    /// can go on with them; no event of this link follows. Or does nothing of this and says so.
    fn keep(&mut self, now: Time, link: LinkId) -> bool {
        let _ = (now, link);
        false
    }

    /// Forgets a link that was lost and kept.
    fn release(&mut self, now: Time, link: LinkId) {
        let _ = (now, link);
    }

    /// How many messages of a link's reliable lanes, in the order of [`Lane::RELIABLE`], are not
    /// known to have arrived; of one that is kept as well, but for what was [given
    /// up](LinkEvent::LanesLost). None of one that is not known, and where a transport does not
    /// count them.
    fn unsettled(&self, link: LinkId) -> Option<[u64; Lane::RELIABLE.len()]> {
        let _ = link;
        None
    }

    /// What a host that is started again needs, to know the peer of a link that is up by its next
    /// link: secret, of few bytes, and of no meaning to anyone else. None where a transport cannot.
    fn save(&self, link: LinkId) -> Option<Vec<u8>> {
        let _ = link;
        None
    }

    /// Gives the peer of a link a pass, with which another host that has the same key knows it as
    /// `peer`. It is to be followed by a [close](Self::close) that says where the other host is.
    ///
    /// # Errors
    /// When the link is not up, or the transport cannot.
    fn hand_over(&mut self, now: Time, link: LinkId, peer: &[u8]) -> Result<(), SendError> {
        let _ = (now, link, peer);
        Err(SendError::NotUp)
    }

    /// Takes back what an earlier run of this host [saved](Self::save): a link that was lost and is
    /// kept, without its lanes. None if that is no use here.
    fn restore(&mut self, now: Time, address: SocketAddr, saved: &[u8]) -> Option<LinkId> {
        let _ = (now, address, saved);
        None
    }

    /// Lets a peer in that asked; [`LinkEvent::Up`] follows.
    fn accept(&mut self, now: Time, link: LinkId);

    /// Turns a peer away that asked, telling it why if the protocol can. The link is gone with it.
    fn refuse(&mut self, now: Time, link: LinkId, refusal: &Refusal);

    /// Takes a message for sending.
    ///
    /// # Errors
    /// When the link is not up, its queue is full or the message is too long.
    fn send(&mut self, now: Time, link: LinkId, message: Outgoing<'_>) -> Result<(), SendError>;

    /// Drops the oldest messages of a lane that were not begun to be sent, until one of `len` bytes
    /// has room. False, and nothing is dropped, where that is not enough or the transport cannot.
    fn make_room(&mut self, link: LinkId, lane: Lane, len: usize) -> bool {
        let _ = (link, lane, len);
        false
    }

    /// Takes a word of the session layer for sending.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn control(&mut self, now: Time, link: LinkId, control: &Control) -> Result<(), SendError>;

    /// Says good-bye, with the reason where there is one to give, and ends the link. What was taken
    /// for sending before is still sent, for a bounded time. No event of this link follows.
    fn close(&mut self, now: Time, link: LinkId, farewell: Option<&Refusal>);

    /// Forgets a link at once and tells the peer nothing: it is not leaving, it could not be heard.
    /// No event of this link follows.
    fn abandon(&mut self, now: Time, link: LinkId);

    /// Figures of a link, if it is there or its loss is the event that was taken last.
    fn stats(&self, link: LinkId) -> Option<LinkStats>;

    /// What the transport counted: datagrams dropped, by cause, and limits that were reached.
    fn counters(&self) -> Vec<Counter>;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn is_authentic(&self) -> bool {
        (**self).is_authentic()
    }
    fn handle_datagram(&mut self, now: Time, port: Port, from: SocketAddr, datagram: &[u8]) {
        (**self).handle_datagram(now, port, from, datagram);
    }
    fn handle_in_place(&mut self, now: Time, port: Port, origin: Origin, datagram: &mut [u8]) {
        (**self).handle_in_place(now, port, origin, datagram);
    }
    fn expect(&mut self, datagram: &[u8]) -> Option<LinkId> {
        (**self).expect(datagram)
    }
    fn handle_timeout(&mut self, now: Time) {
        (**self).handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        (**self).poll_transmit(now, datagram)
    }
    fn poll_event(&mut self) -> Option<LinkEvent> {
        (**self).poll_event()
    }
    fn poll_timeout(&self) -> Option<Time> {
        (**self).poll_timeout()
    }
    fn dial(
        &mut self,
        now: Time,
        address: SocketAddr,
        resumes: Option<LinkId>,
    ) -> Result<LinkId, DialError> {
        (**self).dial(now, address, resumes)
    }
    fn keeps(&self, link: LinkId) -> bool {
        (**self).keeps(link)
    }
    fn keep(&mut self, now: Time, link: LinkId) -> bool {
        (**self).keep(now, link)
    }
    fn release(&mut self, now: Time, link: LinkId) {
        (**self).release(now, link);
    }
    fn unsettled(&self, link: LinkId) -> Option<[u64; Lane::RELIABLE.len()]> {
        (**self).unsettled(link)
    }
    fn save(&self, link: LinkId) -> Option<Vec<u8>> {
        (**self).save(link)
    }
    fn hand_over(&mut self, now: Time, link: LinkId, peer: &[u8]) -> Result<(), SendError> {
        (**self).hand_over(now, link, peer)
    }
    fn restore(&mut self, now: Time, address: SocketAddr, saved: &[u8]) -> Option<LinkId> {
        (**self).restore(now, address, saved)
    }
    fn accept(&mut self, now: Time, link: LinkId) {
        (**self).accept(now, link);
    }
    fn refuse(&mut self, now: Time, link: LinkId, refusal: &Refusal) {
        (**self).refuse(now, link, refusal);
    }
    fn send(&mut self, now: Time, link: LinkId, message: Outgoing<'_>) -> Result<(), SendError> {
        (**self).send(now, link, message)
    }
    fn make_room(&mut self, link: LinkId, lane: Lane, len: usize) -> bool {
        (**self).make_room(link, lane, len)
    }
    fn control(&mut self, now: Time, link: LinkId, control: &Control) -> Result<(), SendError> {
        (**self).control(now, link, control)
    }
    fn close(&mut self, now: Time, link: LinkId, farewell: Option<&Refusal>) {
        (**self).close(now, link, farewell);
    }
    fn abandon(&mut self, now: Time, link: LinkId) {
        (**self).abandon(now, link);
    }
    fn stats(&self, link: LinkId) -> Option<LinkStats> {
        (**self).stats(link)
    }
    fn counters(&self) -> Vec<Counter> {
        (**self).counters()
    }
}
