//! A host or a client: all links over one UDP port, behind the seam that sessions use.
//!
//! A datagram's way into a host: its form; for a first packet the precheck, the cookie while the
//! host is loaded, the limits, the token, and only then the host's key; for all others the
//! connection id, which leads to its link without a look at any address.
//!
//! * `config`: what an endpoint may be told.
//! * `census`: how many links there are of each address.
//! * `greeting`: a host's side of the handshake.
//! * `dialing`: a client's side of it.
//! * `continuity`: lanes that outlive their link.
//! * `passing`: from one host to another.
//! * `parting`: how a link leaves.
//! * `upcoming`: links whose turn comes soon.
//! * `resting`: links that have nothing to do.
//! * `sending`: what goes over a link, or waits for the next one.
//! * `entry`: one link and its stages.
//! * `siblings`: endpoints that serve one address together.
//! * `links`: what carries a link through its life.

mod census;
mod config;
mod continuity;
mod counters;
mod dialing;
mod entry;
mod greeting;
mod links;
mod parting;
mod passing;
mod resting;
mod sending;
mod siblings;
#[cfg(test)]
mod tests;
mod upcoming;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::index::Index;
use moorline_link::rng::Rng;
use moorline_link::slots::{SlotKey, Slots};
use moorline_link::transport::{Counter, DialError};
use moorline_link::wheel::Wheel;
use moorline_link::{
    Control, Lane, LinkEvent, LinkId, LinkStats, Origin, Outgoing, Port, Reason, Refusal,
    SendError, Time, Transmit, Transport,
};

use crate::crypto::{
    Entropy, HostKey, HostPublicKey, Precheck, ResetKey, Secret, Vault, Verdict, is_reset,
};
use crate::lanes::Ready;
use crate::link::{NativeStats, Workbench};
use crate::notes::Paper;
use crate::wire::{ClientHello, ConnectionId, Datagram, Direction, ShortHeader};

use census::Census;
use counters::Counts;
use dialing::Dialing;
use entry::{Entry, Stage};
use greeting::{Circumstances, Door, Greeting};
use passing::UsedPasses;
use siblings::Via;
use upcoming::Upcoming;

pub use config::{Admission, Admitted, ConfigError, EndpointConfig, KeyLog, Token};
pub use siblings::{PassedOn, Sibling};

/// How many answers to first packets wait for the driver at most.
const ANSWERS_MAX: usize = 1_024;
/// Resets are sent no faster than one in this time.
const RESET_INTERVAL: Duration = Duration::from_millis(1);
/// How many packets of a link leave before another has its turn: the system takes a train of them
/// to one peer as one piece.
const TURN_LEN_MAX: usize = 16;
/// Somebody who was woken so much later than asked did not listen in between.
const LATE_MAX: Duration = Duration::from_secs(1);

/// All links of one host or one client. See the [module](self).
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    side: Side,
    entropy: Entropy,
    rng: Rng,
    links: Slots<Entry>,
    /// One timer for each link.
    wheel: Wheel,
    /// Links that may have a packet to send.
    ready: VecDeque<SlotKey>,
    /// How many packets of the first of them left in its turn.
    turn_len: usize,
    events: VecDeque<LinkEvent>,
    /// Answers to first packets.
    answers: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The last figures of links whose loss waits among the events, in the same order.
    lost: VecDeque<(LinkId, LinkStats)>,
    /// Those of the link whose loss was told of last.
    lost_last: Option<(LinkId, LinkStats)>,
    /// Since when arrivals are taken in without a pause.
    listened_since: Time,
    /// When that was looked at last.
    listened_at: Time,
    counts: Counts,
    bench: Workbench,
    ready_messages: Ready,
    /// Where packets are decrypted that cannot be where they lie.
    scratch: Vec<u8>,
    /// Where links are written down.
    paper: Paper,
    /// Links that are lost and kept, the first ones first, and what their lanes hold.
    kept: VecDeque<SlotKey>,
    kept_bytes: usize,
    /// Datagrams for siblings.
    passed_on: VecDeque<PassedOn>,
    /// Links of the datagrams that arrive next.
    upcoming: Upcoming,
}

#[derive(Debug)]
enum Side {
    Host(Box<HostSide>),
    Client(Box<ClientSide>),
}

#[derive(Debug)]
struct HostSide {
    door: Door,
    resets: ResetKey,
    reset_at: Option<Time>,
    census: Census,
    /// Links by the hello that they began with, until it cannot come again.
    hellos: Index,
    /// Links whose lanes another may go on with, by their tickets.
    tickets: Index,
    /// Links whose client did not answer yet, the oldest first; some may have answered.
    half_open: VecDeque<SlotKey>,
    /// What hides the places of links in connection ids.
    mask: u64,
    /// Seals passes for hosts with the same key, and opens theirs.
    vault: Vault,
    used_passes: UsedPasses,
    /// Its place among those that serve its address together, if there are others.
    sibling: Option<Sibling>,
}

#[derive(Debug)]
struct ClientSide {
    host: HostPublicKey,
    precheck: Precheck,
    /// Links in the order in which they were dialed.
    links: Vec<SlotKey>,
}

impl Endpoint {
    /// An endpoint that clients dial. `entropy` are 32 bytes of the operating system's, for this
    /// endpoint alone.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn host(
        config: EndpointConfig,
        key: &HostKey,
        entropy: Secret,
    ) -> Result<Self, ConfigError> {
        let mut config = config;
        config.check()?;
        if config.sibling.is_some() {
            config.links_max = config.links_max.min(Sibling::LINKS_MAX);
        }
        let mut entropy = Entropy::new(entropy);
        let mut rng = Rng::new(entropy.next_u64());
        let side = Side::Host(Box::new(HostSide {
            resets: ResetKey::of(key, config.node),
            reset_at: None,
            door: Door::new(Time::ZERO, key.clone(), &mut entropy),
            census: Census::new(&mut rng),
            hellos: Index::new(&mut rng),
            tickets: Index::new(&mut rng),
            half_open: VecDeque::new(),
            mask: config.sibling.as_ref().map_or_else(|| entropy.next_u64(), Sibling::mask),
            sibling: config.sibling.clone(),
            vault: Vault::new(key),
            used_passes: UsedPasses::new(),
        }));
        Ok(Self::new(config, side, entropy, rng))
    }

    /// An endpoint that dials hosts with this key. `entropy` are 32 bytes of the operating
    /// system's, for this endpoint alone.
    ///
    /// # Errors
    /// When the settings cannot work, or the key is none that a host can have.
    pub fn client(
        config: EndpointConfig,
        host: HostPublicKey,
        entropy: Secret,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mut entropy = Entropy::new(entropy);
        let rng = Rng::new(entropy.next_u64());
        Dialing::new(Time::ZERO, &config, &host, &mut entropy, None)
            .map_err(|_| ConfigError::HostKey)?;
        let precheck = Precheck::of(&host);
        let side = Side::Client(Box::new(ClientSide { host, precheck, links: Vec::new() }));
        Ok(Self::new(config, side, entropy, rng))
    }

    fn new(config: EndpointConfig, side: Side, entropy: Entropy, mut rng: Rng) -> Self {
        Self {
            config,
            side,
            entropy,
            links: Slots::new(&mut rng),
            rng,
            wheel: Wheel::new(),
            ready: VecDeque::new(),
            turn_len: 0,
            events: VecDeque::new(),
            answers: VecDeque::new(),
            lost: VecDeque::new(),
            lost_last: None,
            listened_since: Time::ZERO,
            listened_at: Time::ZERO,
            counts: Counts::default(),
            bench: Workbench::default(),
            ready_messages: Ready::default(),
            scratch: Vec::new(),
            paper: Paper::default(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            passed_on: VecDeque::new(),
            upcoming: Upcoming::default(),
        }
    }

    /// Everything that is known of a link, if it is up.
    pub fn native_stats(&self, link: LinkId) -> Option<NativeStats> {
        match &self.links.get(link.0)?.stage {
            Stage::Resting(rested) => Some(rested.stats()),
            Stage::Linked(link) => Some(link.stats()),
            Stage::Answered(answered) => Some(answered.0.stats()),
            Stage::Dialing(_) | Stage::Asked(_) | Stage::Kept(_) => None,
        }
    }

    /// A process that slept, or whose driver was kept from running, heard nothing because it did
    /// not listen.
    fn note_listening(&mut self, now: Time) {
        // Most datagrams come with others.
        let is_same = std::mem::replace(&mut self.listened_at, now) == now;
        if !is_same && self.wheel.next().is_some_and(|due| now.since(due) >= LATE_MAX) {
            self.listened_since = now;
        }
    }

    fn answer(&mut self, to: SocketAddr, answer: Vec<u8>) {
        if self.answers.len() >= ANSWERS_MAX {
            self.counts.transmit_full += 1;
        } else {
            self.answers.push_back((to, answer));
        }
    }

    fn receive_as_host(&mut self, now: Time, origin: Origin, datagram: &mut [u8], via: Via) {
        let from = origin.from;
        match Datagram::parse(Direction::ToHost, datagram) {
            Ok(Datagram::ClientHello(hello)) => {
                self.on_hello(now, (from, via), &hello, datagram);
            }
            Ok(Datagram::UnknownVersion(id)) => {
                self.counts.unknown_version += 1;
                let mut answer = Vec::new();
                Door::list_versions(id, &mut answer);
                self.answer(from, answer);
            }
            Ok(Datagram::Short(header)) => self.on_packet(now, (origin, via), &header, datagram),
            _ => self.counts.malformed += 1,
        }
    }

    fn on_hello(
        &mut self,
        now: Time,
        (from, via): (SocketAddr, Via),
        hello: &ClientHello<'_>,
        datagram: &[u8],
    ) {
        let Side::Host(host) = &self.side else { return };
        if !host.door.is_prechecked(hello, datagram) {
            self.counts.precheck_failed += 1;
            return;
        }
        if let Some(key) = self.by_hello(&host.hellos, hello.id) {
            self.counts.hellos_repeated += 1;
            self.repeat_answer(key, from, hello);
            return;
        }
        let Side::Host(host) = &mut self.side else { return };
        let is_loaded = host.census.is_loaded(now, &self.config);
        let limit = host.census.check(&self.config, from.ip());
        let (config, counts) = (&self.config, &mut self.counts);
        let is_loaded = is_loaded && via == Via::Socket;
        let at = Circumstances { config, counts, from, is_loaded, limit };
        let mut answer = Vec::new();
        match host.door.greet(now, at, (hello, datagram), &mut answer) {
            Greeting::Dropped => {}
            Greeting::Answered => self.answer(from, answer),
            Greeting::Guest(mut guest) => match guest.refusal.take() {
                Some(refusal) => self.tell_no(from, *guest, &refusal),
                None => self.open_door(now, (from, via), guest, datagram),
            },
        }
    }

    /// Leads a packet to its link by what it says, and never by where it comes from.
    fn on_packet(
        &mut self,
        now: Time,
        (origin, via): (Origin, Via),
        header: &ShortHeader,
        datagram: &mut [u8],
    ) {
        let from = origin.from;
        let Some(connection) = header.connection else { return };
        if via == Via::Socket
            && let Some(sibling) = self.sibling_of(connection)
        {
            self.pass_on(sibling, from, datagram);
            return;
        }
        let key = self.key_of(connection);
        if key.is_some_and(|key| self.links.get(key).is_some_and(Entry::is_linked))
            && let Some(key) = key
        {
            self.take_in(now, key, origin, (header, datagram));
            return;
        }
        self.counts.stray += 1;
        let Side::Host(host) = &mut self.side else { return };
        if host.reset_at.is_some_and(|at| now.since(at) < RESET_INTERVAL) {
            return;
        }
        let (mut answer, random) = (Vec::new(), self.entropy.bytes());
        if host.resets.answer(connection, datagram.len(), &random, &mut answer) {
            host.reset_at = Some(now);
            self.counts.resets_sent += 1;
            self.answer(from, answer);
        }
    }

    fn receive_as_client(&mut self, now: Time, origin: Origin, datagram: &mut [u8]) {
        match Datagram::parse(Direction::ToClient, datagram) {
            Ok(Datagram::Short(header)) => self.on_packet_of_host(now, origin, &header, datagram),
            Ok(Datagram::Retry(retry)) => self.on_answer_of_host(now, retry.id, |dialing| {
                dialing.on_cookie(now, *retry.cookie);
                None
            }),
            Ok(Datagram::VersionList(list)) => self.on_answer_of_host(now, list.id, |dialing| {
                dialing.on_versions(now, &list);
                None
            }),
            Ok(Datagram::ServerHello(hello)) => {
                self.on_answer_of_host(now, hello.id, |dialing| dialing.on_answer(hello.noise));
            }
            _ => self.counts.malformed += 1,
        }
    }

    /// A client has few links; those of an address are told apart by their keys.
    fn on_packet_of_host(
        &mut self,
        now: Time,
        origin: Origin,
        header: &ShortHeader,
        datagram: &mut [u8],
    ) {
        let Side::Client(client) = &self.side else { return };
        let mut candidates = client.links.iter().rev().copied().filter(|key| {
            let entry = self.links.get(*key);
            entry.is_some_and(|entry| entry.address == origin.from && entry.link().is_some())
        });
        let Some(newest) = candidates.next() else {
            self.counts.stray += 1;
            return;
        };
        let older: Vec<SlotKey> = candidates.collect();
        let is_only = older.is_empty();
        for key in std::iter::once(newest).chain(older) {
            let entry = self.links.get(key);
            let token = entry.and_then(|entry| entry.rare.as_ref()?.reset_token);
            if token.is_some_and(|token| is_reset(&token, datagram) == Verdict::Valid) {
                self.lose(now, key, Reason::Forgotten);
                return;
            }
            // One that does not open is not what it was any more.
            let is_taken = if is_only {
                self.take_in(now, key, origin, (header, &mut *datagram))
            } else {
                self.take_in(now, key, origin, (header, &mut datagram.to_vec()))
            };
            if is_taken {
                return;
            }
        }
    }
}

impl Transport for Endpoint {
    fn name(&self) -> &'static str {
        "native"
    }

    fn is_authentic(&self) -> bool {
        true
    }

    fn handle_datagram(&mut self, now: Time, port: Port, from: SocketAddr, datagram: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(datagram);
        self.handle_in_place(now, port, from.into(), &mut scratch);
        self.scratch = scratch;
    }

    fn handle_in_place(&mut self, now: Time, port: Port, origin: Origin, datagram: &mut [u8]) {
        self.note_listening(now);
        if port != Port(0) {
            self.counts.malformed += 1;
            return;
        }
        match &self.side {
            Side::Host(_) => self.receive_as_host(now, origin, datagram, Via::Socket),
            Side::Client(_) => self.receive_as_client(now, origin, datagram),
        }
    }

    fn expect(&mut self, datagram: &[u8]) -> Option<LinkId> {
        self.expect_packet(datagram).map(LinkId)
    }

    fn handle_timeout(&mut self, now: Time) {
        self.note_listening(now);
        while let Some(index) = self.wheel.pop_due(now) {
            if let Some(key) = self.links.key_at(index) {
                self.wake(now, key);
            }
        }
    }

    fn poll_transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        let port = Port(0);
        if let Some((to, answer)) = self.answers.pop_front() {
            *datagram = answer;
            return Some(Transmit::unmarked(port, to));
        }
        // Once in a turn: who comes next stays the same meanwhile.
        if self.turn_len == 0 {
            self.fetch_ready();
        }
        while let Some(key) = self.ready.pop_front() {
            if let Some((to, ecn)) = self.transmit_of(now, key, datagram) {
                return Some(Transmit { port, to, ecn });
            }
        }
        None
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        let event = self.events.pop_front()?;
        if matches!(event, LinkEvent::Lost { .. }) {
            self.lost_last = self.lost.pop_front();
        }
        Some(event)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.wheel.next()
    }

    fn dial(
        &mut self,
        now: Time,
        address: SocketAddr,
        resumes: Option<LinkId>,
    ) -> Result<LinkId, DialError> {
        self.begin_dial(now, address, resumes.map(|link| link.0)).map(LinkId)
    }

    fn keeps(&self, link: LinkId) -> bool {
        self.is_kept(link.0)
    }

    fn keep(&mut self, now: Time, link: LinkId) -> bool {
        let is_known = self.links.get(link.0).is_some_and(|entry| !entry.is_parted);
        let is_kept = is_known && self.set_aside(now, link.0);
        if is_kept {
            self.retract_events(link);
        }
        is_kept
    }

    fn release(&mut self, _now: Time, link: LinkId) {
        self.release_kept(link.0);
    }

    fn unsettled(&self, link: LinkId) -> Option<[u64; Lane::RELIABLE.len()]> {
        self.unsettled_of(link.0)
    }

    fn save(&self, link: LinkId) -> Option<Vec<u8>> {
        self.save_link(link.0)
    }

    fn restore(&mut self, now: Time, address: SocketAddr, saved: &[u8]) -> Option<LinkId> {
        self.restore_link(now, address, saved).map(LinkId)
    }

    fn hand_over(&mut self, now: Time, link: LinkId, peer: &[u8]) -> Result<(), SendError> {
        self.give_pass(now, link, peer)
    }

    fn accept(&mut self, now: Time, link: LinkId) {
        self.let_in(now, link.0);
    }

    fn refuse(&mut self, _now: Time, link: LinkId, refusal: &Refusal) {
        self.turn_away(link.0, refusal);
    }

    fn send(&mut self, now: Time, link: LinkId, message: Outgoing<'_>) -> Result<(), SendError> {
        self.send_message(now, link.0, message)
    }

    fn make_room(&mut self, link: LinkId, lane: Lane, len: usize) -> bool {
        self.make_room_on(link.0, lane, len)
    }

    fn control(&mut self, now: Time, link: LinkId, control: &Control) -> Result<(), SendError> {
        self.send_control(now, link.0, control)
    }

    fn close(&mut self, now: Time, link: LinkId, farewell: Option<&Refusal>) {
        self.retract_events(link);
        self.say_goodbye(now, link.0, farewell);
    }

    fn abandon(&mut self, _now: Time, link: LinkId) {
        self.retract_events(link);
        self.forget(link.0);
    }

    fn stats(&self, link: LinkId) -> Option<LinkStats> {
        let entry = self.links.get(link.0).filter(|entry| !entry.is_parted);
        let lost = self.lost_last.as_ref().filter(|(lost, _)| *lost == link);
        entry.map(Entry::figures).or_else(|| lost.map(|(_, stats)| stats.clone()))
    }

    fn counters(&self) -> Vec<Counter> {
        self.counts.list()
    }
}

impl Endpoint {
    /// The id of a link: its place, hidden from strangers.
    fn connection_of(&self, key: SlotKey) -> ConnectionId {
        ConnectionId((self.place_of(key) ^ self.mask()).to_be_bytes())
    }

    fn key_of(&self, connection: ConnectionId) -> Option<SlotKey> {
        let key = self.place_in(connection);
        self.links.get(key).map(|_| key)
    }

    /// Where the link of an id is, if it is one of this endpoint's.
    fn place_in(&self, connection: ConnectionId) -> SlotKey {
        self.key_at(u64::from_be_bytes(connection.0) ^ self.mask())
    }

    fn mask(&self) -> u64 {
        match &self.side {
            Side::Host(host) => host.mask,
            Side::Client(_) => 0,
        }
    }

    /// Takes back the events of a link that nobody wants to hear of any more.
    fn retract_events(&mut self, link: LinkId) {
        if self.events.is_empty() {
            return;
        }
        self.events.retain(|event| event.link() != link);
        self.lost.retain(|(lost, _)| *lost != link);
    }
}
