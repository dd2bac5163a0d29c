//! One link after its handshake: packets in, packets out, and what happens in between.
//!
//! A link owns its keys, what is on its way, its lanes and its path. It is told what arrived and
//! what time it is; it gives events, and packets when it is asked for them.
//!
//! * `acks`: which packets arrived.
//! * `path`: where the peer is, and whether a new address is really its own.
//! * `receive`: a packet's way in.
//! * `send`: what goes into the next packet.
//! * `ending`: how a link says good-bye.
//! * `rested`: a link that has nothing to do, in few bytes.

mod acks;
mod ending;
mod path;
mod receive;
mod rested;
mod send;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::time::{Time, earliest};
use moorline_link::transport::{LinkStats, Volume};
use moorline_link::{
    Control, Lane, LinkEvent, LinkId, Message, Payload, Reason, Resumes, SendError,
};

use crate::crypto::{Entropy, PacketKeys};
use crate::lanes::outbox::OutboxConfig;
use crate::lanes::{Inbox, InboxStats, Lanes, Outbox, OutboxStats, Push, Ready};
use crate::recovery::early::Repetition;
use crate::recovery::sender::{Permit, Sender, SenderConfig, SenderStats};
use crate::seq::{NUMBER_MAX, PacketNumber};
use crate::wire::{
    ConnectionId, ControlWord, LanesState, Notice, PASS_LEN, Place, ShortHeader, TAG_LEN,
};

use acks::Acks;
use ending::Ending;
use path::Path;
use send::Asked;

pub use receive::Drop;
pub use rested::{Rested, Terms};
pub use send::Workbench;

/// What a packet takes beside a part of a message: the first byte of its header, three of its
/// number, its tag, and what stands before a part. On packets to a host the connection id as well.
const PACKET_RESERVE: usize = 1 + 3 + TAG_LEN + 10;
/// How many round trips and more the keys before an update are kept, for packets that come late.
const KEPT_PATIENCES: u32 = 3;
/// How much a client keeps that overtook the answer to its login.
const EARLY_BYTES_MAX: usize = 1_024 * 1_024;

/// What arrived before the answer to a client's login.
#[derive(Debug, Default)]
struct Early {
    messages: VecDeque<Message>,
    bytes: usize,
}

/// What a link begins with.
#[derive(Debug)]
pub struct Setup {
    /// What goes on packets to a host; none on a host.
    pub connection: Option<ConnectionId>,
    /// Both directions' keys.
    pub keys: PacketKeys,
    /// Where the peer is.
    pub address: SocketAddr,
    /// Where numbers that are left out come from.
    pub seed: u64,
    /// Whether small messages are repeated early.
    pub repetition: Repetition,
    /// The longest datagram that both sides take.
    pub datagram_len_max: u16,
    /// How much of reliable messages this side takes at once.
    pub window: u64,
    /// How much the peer takes.
    pub limit: u64,
    /// How much this side holds to be sent.
    pub bytes_max: usize,
    /// How long this side holds an acknowledgement back at most.
    pub ack_delay_max: Duration,
    /// The same of the peer.
    pub peer_ack_delay_max: Duration,
    /// The silence after which the link is lost.
    pub idle: Duration,
    /// After how much silence of its own this side says something.
    pub keep_alive: Duration,
    /// How long the last messages may take after the end.
    pub linger: Duration,
    /// Packets that one key seals before the next takes its place.
    pub key_packets_max: u32,
    /// Whether routers may mark packets.
    pub ecn: bool,
}

/// One link.
#[derive(Debug)]
pub struct Link {
    connection: Option<ConnectionId>,
    keys: PacketKeys,
    path: Path,
    acks: Acks,
    sender: Sender,
    outbox: Outbox,
    inbox: Inbox,
    asked: Asked,
    /// Whether the peer's first packet came: only then it has the keys for certain.
    is_confirmed: bool,
    /// Client: messages that overtook the answer to the login, which comes first.
    early: Option<Early>,
    /// Client: what the host gave it for another one.
    pass: Option<Box<[u8; PASS_LEN]>>,
    /// Whether the client of a link that is handed over has nothing on its way any more, and told
    /// the host so before the link ended.
    is_ready: bool,
    /// Whether the peer said that all it sent arrived.
    is_peer_settled: bool,
    ending: Ending,
    /// Kept until then: the keys before the last update.
    forget_keys_at: Option<Time>,
    heard_at: Time,
    sent_at: Time,
    /// When a message was last taken for sending, or a part of one came: what plays does not rest.
    moved_at: Time,
    pinged_at: Option<Time>,
    idle: Duration,
    keep_alive: Duration,
    linger: Duration,
    key_packets_max: u32,
    /// The longest packet when messages were last split.
    fitted_mtu: u16,
    /// Packets that needed no acknowledgement, since the last one that did.
    quiet: u32,
    clock: Option<ClockSample>,
    received: Volume,
    sent: Volume,
}

/// How the peer's clock differs from this one, by the exchange that took least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockSample {
    /// How far the peer's clock is ahead of this one, in microseconds, both counted from the start
    /// of their own [`Time`] and without full turns of 2^32 times 16 µs.
    pub ahead_micros: i64,
    /// How long the exchange took without the peer's part; the sample is wrong by at most half.
    pub round_trip: Duration,
}

/// Everything that is known of a link, as plain data.
#[derive(Clone, Copy, Debug)]
pub struct NativeStats {
    /// Round trips, losses, repetition, congestion and the search for the longest packet.
    pub sending: SenderStats,
    /// Queue times of lanes, and what was shed.
    pub outbox: OutboxStats,
    /// Duplicates and stale values that arrived.
    pub inbox: InboxStats,
    /// Packets of the peer that did not arrive, in parts of a million: the numbers that are missing
    /// below the largest. Peers leave out about two in a thousand on purpose.
    pub loss_in_ppm: u32,
    /// Packets of the peer that came with a router's mark.
    pub marks_in: u64,
    /// The peer's clock.
    pub clock: Option<ClockSample>,
    /// Datagrams and bytes from the peer.
    pub received: Volume,
    /// Datagrams and bytes to the peer.
    pub sent: Volume,
}

/// Where a link's events go.
#[derive(Debug)]
pub struct Sink<'a> {
    /// The link's number.
    pub link: LinkId,
    /// The earlier link that it just went on with.
    pub resumes: Option<Resumes>,
    /// All events of an endpoint.
    pub events: &'a mut VecDeque<LinkEvent>,
    /// What messages that arrive are put into.
    pub ready: &'a mut Ready,
}

/// The longest payload of a part that fits into any packet.
fn part_len(mtu: u16, connection: Option<ConnectionId>) -> usize {
    let id_len = connection.map_or(0, |_| ConnectionId::LEN);
    usize::from(mtu).saturating_sub(PACKET_RESERVE + id_len)
}

impl Sink<'_> {
    fn up(&mut self, address: SocketAddr) {
        let (link, resumes) = (self.link, self.resumes);
        self.events.push_back(LinkEvent::Up { link, address, resumes });
    }

    fn heard(&mut self) {
        self.events.push_back(LinkEvent::Heard { link: self.link });
    }

    fn control(&mut self, control: Control) {
        self.events.push_back(LinkEvent::Control { link: self.link, control });
    }

    fn message(&mut self, kind: u16, payload: Payload) {
        let message = Message { kind, payload };
        self.events.push_back(LinkEvent::Message { link: self.link, message });
    }

    fn ready_to_go(&mut self) {
        self.events.push_back(LinkEvent::HandOverReady { link: self.link });
    }

    fn moved(&mut self, address: SocketAddr) {
        self.events.push_back(LinkEvent::AddressChanged { link: self.link, address });
    }
}

impl Link {
    /// A link whose handshake is done. A client's is confirmed by the host's answer.
    pub fn new(now: Time, setup: Setup) -> Self {
        let sender = Sender::new(SenderConfig {
            seed: setup.seed,
            first: PacketNumber::FIRST,
            repetition: setup.repetition,
            mtu_max: setup.datagram_len_max,
            ack_delay_max: setup.peer_ack_delay_max,
            ecn: setup.ecn,
        });
        let fitted_mtu = sender.mtu();
        let part_len = part_len(fitted_mtu, setup.connection);
        let outbox = OutboxConfig { bytes_max: setup.bytes_max, limit: setup.limit, part_len };
        Self {
            is_confirmed: setup.connection.is_some(),
            connection: setup.connection,
            keys: setup.keys,
            path: Path::new(setup.address),
            acks: Acks::new(setup.ack_delay_max),
            sender,
            outbox: Outbox::new(outbox),
            inbox: Inbox::new(setup.window),
            asked: Asked::default(),
            pass: None,
            is_ready: false,
            is_peer_settled: false,
            early: setup.connection.is_some().then(Early::default),
            ending: Ending::No,
            forget_keys_at: None,
            heard_at: now,
            sent_at: now,
            moved_at: now,
            pinged_at: None,
            idle: setup.idle,
            keep_alive: setup.keep_alive,
            linger: setup.linger,
            key_packets_max: setup.key_packets_max,
            fitted_mtu,
            quiet: 0,
            clock: None,
            received: Volume::default(),
            sent: Volume::default(),
        }
    }

    /// Goes on with the lanes of an earlier link. `theirs` is what the peer said of what it has and
    /// takes.
    pub fn adopt(&mut self, lanes: Lanes, theirs: &LanesState) {
        let Lanes { outbox, inbox, .. } = lanes;
        (self.outbox, self.inbox) = (outbox, inbox);
        self.outbox.set_part_len(part_len(self.fitted_mtu, self.connection));
        self.outbox.set_limit(theirs.limit);
        self.outbox.go_on(&theirs.positions);
        // What was told in the handshake may be less than what arrived since made of it.
        self.inbox.on_limit_told(self.inbox.limit_now());
        self.asked.is_limit = true;
        self.early = None;
        self.asked.is_flush = true;
    }

    /// Goes on with the peer of an earlier link, whose lanes the host does not have: no login comes
    /// before the messages.
    pub fn go_on(&mut self) {
        self.early = None;
        // The host waits for the first packet.
        self.asked.is_limit = true;
    }

    /// Goes on with a peer that has nothing of an earlier link which ended in order: what waited
    /// there is sent here, under new numbers. Whether that is all of it.
    pub fn take_over(&mut self, earlier: Outbox) -> bool {
        self.asked.is_flush = true;
        self.outbox.take_over(earlier)
    }

    /// Asks for the memory that the link points to and that its packets need; see
    /// [`ahead`](moorline_link::ahead).
    pub fn fetch_parts(&self) {
        self.acks.fetch_parts();
        self.sender.fetch_parts();
        self.outbox.fetch_parts();
        self.inbox.fetch_parts();
    }

    /// Gives its lanes away: it is over, whatever the peer thinks.
    pub fn into_lanes(self) -> Lanes {
        let is_settled = self.is_peer_settled && self.is_ready;
        Lanes { outbox: self.outbox, inbox: self.inbox, is_settled }
    }

    /// What waits to be sent or acknowledged.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What arrived on its lanes, and what is still expected.
    pub const fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Whether the peer sealed this packet. It is not read, and nothing changes.
    pub fn is_of_peer(&self, header: &ShortHeader, packet: &[u8]) -> bool {
        self.keys.opener.open(header, &mut packet.to_vec()).is_ok()
    }

    /// Where the peer is.
    pub const fn address(&self) -> SocketAddr {
        self.path.address()
    }

    /// Whether messages can be sent.
    pub const fn is_up(&self) -> bool {
        self.is_confirmed && self.ending.is_no()
    }

    /// Whether the peer's first packet came.
    pub const fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// Takes a message for sending.
    ///
    /// # Errors
    /// When the link is not up, or the message is too long, or there is no room for it.
    pub fn send(&mut self, now: Time, message: Push) -> Result<(), SendError> {
        if !self.is_up() {
            return Err(SendError::NotUp);
        }
        self.outbox.push(now, message)?;
        self.asked.is_flush = true;
        self.moved_at = now;
        Ok(())
    }

    /// Drops the oldest messages of a lane that were not begun to be sent, until one of `len` bytes
    /// has room; or none, and says so.
    pub fn make_room(&mut self, lane: Lane, len: usize) -> bool {
        self.outbox.make_room(lane, len)
    }

    /// Takes a word of the session layer for sending.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn control(&mut self, now: Time, control: &Control) -> Result<(), SendError> {
        if !self.is_up() {
            return Err(SendError::NotUp);
        }
        let word = match control {
            Control::Login { identity, payload } => ControlWord::Login { identity, payload },
            Control::LoginAccepted { server_tick, payload } => {
                ControlWord::LoginAccepted { server_tick: *server_tick, payload }
            }
            Control::LoginRefused(refusal) => ControlWord::LoginRefused(Notice::of(refusal)),
            Control::LoginAsked { within } => {
                let within_millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                ControlWord::LoginAsked { within_millis: within_millis.min(NUMBER_MAX) }
            }
            Control::LoginAgain { identity, payload } => {
                ControlWord::LoginAgain { identity, payload }
            }
            Control::Beat { beat } => {
                self.asked.beat(*beat);
                return Ok(());
            }
            Control::BeatAnswer { beat, server_tick } => {
                self.asked.beat_answer(*beat, *server_tick);
                return Ok(());
            }
        };
        let mut payload = Vec::new();
        word.emit(&mut payload);
        let (place, kind, notice) = (Place::Control, word.kind(), None);
        self.send(now, Push { place, kind, payload: payload.into(), notice })
    }

    /// Host: gives the client what another host with the same key will know it by.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn give_pass(&mut self, now: Time, pass: &[u8; PASS_LEN]) -> Result<(), SendError> {
        let (place, kind, notice) = (Place::Control, ControlWord::Pass(pass).kind(), None);
        self.send(now, Push { place, kind, payload: pass.as_slice().into(), notice })
    }

    /// Client: tells the host that hands it over when there is nothing more to wait for.
    fn tell_ready(&mut self, now: Time) {
        if self.pass.is_some() && !self.is_ready && self.is_up() && self.outbox.has_settled_begun()
        {
            let (place, kind, notice) = (Place::Control, ControlWord::Ready.kind(), None);
            let word = Push { place, kind, payload: Payload::default(), notice };
            self.is_ready = self.send(now, word).is_ok();
        }
    }

    /// Client: what the host gave it for another one.
    pub const fn take_pass(&mut self) -> Option<Box<[u8; PASS_LEN]>> {
        self.pass.take()
    }

    /// Acts on deadlines that passed. `listened_since` is since when arrivals are taken in without
    /// a pause: a process that slept heard nothing because it did not listen. The reason if the
    /// link is lost.
    pub fn handle_timeout(&mut self, now: Time, listened_since: Time) -> Option<Reason> {
        self.sender.handle_timeout(now);
        self.take_done();
        self.outbox.expire(now);
        if self.forget_keys_at.is_some_and(|at| now >= at) {
            self.forget_keys_at = None;
            self.keys.forget_previous();
        }
        let silence = now.since(self.heard_at.max(listened_since));
        if silence >= self.idle && self.ending.is_no() {
            self.ending = Ending::Over;
            return Some(Reason::Silence(self.idle));
        }
        if now.since(self.sent_at) >= self.keep_alive {
            self.asked.is_ping = true;
        }
        self.ending.handle_timeout(now);
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work, or a packet is to be asked for.
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        if let Some(at) = self.ending.poll_timeout() {
            return Some(at);
        }
        if !self.path.is_proven() {
            return earliest(self.path.poll_timeout(), Some(self.heard_at + self.idle));
        }
        let mut next = earliest(self.sender.poll_timeout(now), self.acks.due_at());
        next = earliest(next, self.path.poll_timeout());
        next = earliest(next, self.forget_keys_at);
        next = earliest(next, self.ending.linger_until());
        next = earliest(next, Some(self.heard_at + self.idle));
        next = earliest(next, Some(self.sent_at + self.keep_alive));
        if self.outbox.is_waiting() || self.sender.has_lost() {
            next = earliest(next, self.blocked_until(now));
        }
        next
    }

    /// When the pacer or the window lets go of what waits now.
    fn blocked_until(&self, now: Time) -> Option<Time> {
        match self.sender.permit(now, self.sender.mtu()) {
            Permit::Now => None,
            Permit::Paced(at) | Permit::Full(at) => Some(at),
        }
    }

    /// Whether there is a good-bye to say before the link can be forgotten.
    pub const fn is_leaving(&self) -> bool {
        !self.ending.is_no() && !self.ending.is_over()
    }

    /// Whether nothing is left to do: the link can be forgotten.
    pub const fn is_over(&self) -> bool {
        self.ending.is_over()
    }

    /// Tells the lanes what arrived at the peer.
    fn take_done(&mut self) {
        while let Some(bits) = self.sender.poll_done() {
            self.outbox.on_acked(crate::lanes::Tag::from_bits(bits));
        }
    }

    /// What is asked of a peer about the way to it.
    pub(crate) const fn entropy_needed(&self) -> bool {
        self.path.is_challenge_due()
    }

    /// Chooses what a new address has to answer.
    pub(crate) fn challenge_with(&mut self, entropy: &mut Entropy) {
        self.path.set_challenge(entropy.bytes());
    }

    /// The notice of a message that arrived at the peer.
    pub fn poll_arrived(&mut self) -> Option<u64> {
        self.outbox.poll_arrived()
    }

    /// Whether much waits to be sent or acknowledged, if that changed since it was told last.
    pub fn poll_backlog(&mut self) -> Option<bool> {
        self.outbox.poll_backlog()
    }

    /// Figures for reports.
    pub fn link_stats(&self) -> LinkStats {
        let sending = self.sender.stats();
        let rtt = self.sender.rtt();
        LinkStats {
            rtt_smoothed: rtt.is_measured().then(|| rtt.smoothed()),
            retransmission_timeout: Some(rtt.patience(Duration::ZERO)),
            send_queue_len: self.outbox.waiting_len() as u64,
            in_flight_len: self.outbox.unsettled_len() as u64,
            in_flight_repeated_len: 0,
            receive_queue_len: 0,
            receive_buffer_len: self.inbox.waiting_len() as u64,
            repeats: sending.early.frames_lost,
            losses: sending.loss.lost,
            received: self.received,
            sent: self.sent,
        }
    }

    /// Everything that is known.
    pub fn stats(&self) -> NativeStats {
        let numbers = self.acks.largest().map_or(0, |largest| largest + 1);
        let missing = numbers.saturating_sub(self.acks.received);
        let loss_in_ppm = (missing * 1_000_000).checked_div(numbers).unwrap_or(0);
        NativeStats {
            sending: self.sender.stats(),
            outbox: self.outbox.stats(),
            inbox: self.inbox.stats(),
            loss_in_ppm: u32::try_from(loss_in_ppm).unwrap_or(u32::MAX),
            marks_in: self.acks.marks,
            clock: self.clock,
            received: self.received,
            sent: self.sent,
        }
    }
}
