//! A host or a client: all links and conversations of one pair of UDP ports.
//!
//! A datagram's way: length and format (`segment`), look-up, limits, then state. What a stranger
//! sends costs a check and a look-up until it holds the very first data of a conversation.

mod receive;
mod send;
mod timers;
mod words;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use moorline_link::rng::{KeyedState, Rng};
use moorline_link::slots::{SlotKey, Slots};
use moorline_link::transport::{Counter, DialError};
use moorline_link::wheel::Wheel;
use moorline_link::{
    Control, LinkEvent, LinkId, LinkStats, Outgoing, Port, Reason, Refusal, SendError, Time,
    Transmit, Transport,
};

use crate::census::Census;
use crate::config::{ConfigError, KcpConfig, SyncPort};
use crate::conversation::{Conversation, Listened, Owner, Route};
use crate::counters::Counts;
use crate::link::{Link, Phase, Sync};
use crate::outbox::Shared;

/// Which end of its links an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Host,
    Client,
}

/// All links of one host or client over KCP. See the [crate] for what it speaks.
///
/// [`Port(0)`](Port) is the own port of the reliable lane, `Port(1)` that of the sync lane.
#[derive(Debug)]
pub struct KcpEndpoint {
    side: Side,
    config: KcpConfig,
    rng: Rng,
    outbox: Shared,
    conversations: Slots<Conversation>,
    routes: HashMap<Route, SlotKey, KeyedState>,
    /// Of the reliable and of the sync port.
    census: [Census; 2],
    links: Slots<Link>,
    /// Host: the links of each player that is logged in, by IP address and the name it claimed,
    /// which the application may have let in several times.
    players: HashMap<(IpAddr, Vec<u8>), Vec<SlotKey>, KeyedState>,
    /// One timer for each conversation, if it waits for anything.
    wheel: Wheel,
    events: VecDeque<LinkEvent>,
    /// The last figures of the links whose loss waits among the events, in the same order.
    lost: VecDeque<(LinkId, LinkStats)>,
    /// Those of the link whose loss was told of last.
    lost_last: Option<(LinkId, LinkStats)>,
    counts: Counts,
    listened: Listened,
    /// Where received messages are put together and sent ones are wrapped.
    scratch: Vec<u8>,
    /// Client: the conversation number of the next dial.
    number_next: u32,
}

impl KcpEndpoint {
    /// An endpoint that peers dial. Nothing on its wire is secret, and nobody proves who they are.
    ///
    /// `seed` should be unknown to peers: it keys the hash tables.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn host_plaintext_unauthenticated(
        config: KcpConfig,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        Self::new(Side::Host, config, seed)
    }

    /// An endpoint that dials hosts. Nothing on its wire is secret, and nobody proves who they are.
    ///
    /// `seed` should be unknown to peers: it keys the hash tables.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn client_plaintext_unauthenticated(
        config: KcpConfig,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        if config.sync == Some(SyncPort(0)) {
            return Err(ConfigError::NoSyncPort);
        }
        Self::new(Side::Client, config, seed)
    }

    fn new(side: Side, config: KcpConfig, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = Rng::new(seed);
        Ok(Self {
            side,
            outbox: Shared::new(config.transmit_bytes_max),
            conversations: Slots::new(&mut rng),
            routes: HashMap::with_hasher(KeyedState::new(&mut rng)),
            census: [Census::new(&mut rng), Census::new(&mut rng)],
            links: Slots::new(&mut rng),
            players: HashMap::with_hasher(KeyedState::new(&mut rng)),
            wheel: Wheel::new(),
            events: VecDeque::new(),
            lost: VecDeque::new(),
            lost_last: None,
            counts: Counts::default(),
            listened: Listened::default(),
            scratch: Vec::new(),
            number_next: config.conversation,
            config,
            rng,
        })
    }

    /// Makes a conversation; whose it is may be set afterwards.
    fn open(&mut self, now: Time, route: Route, owner: Owner) -> SlotKey {
        let outbox = &self.outbox;
        let key = self.conversations.insert_with(|_| Conversation::new(now, route, owner, outbox));
        self.routes.insert(route, key);
        key
    }

    /// Makes a link of a conversation.
    fn open_link(&mut self, phase: Phase, address: SocketAddr, reliable: SlotKey) -> SlotKey {
        let hash = KeyedState::new(&mut self.rng);
        let key = self.links.insert_with(|_| Link::new(phase, address, reliable, hash));
        if let Some(conversation) = self.conversations.get_mut(reliable) {
            conversation.owner = Owner::Link(key);
        }
        key
    }

    /// Takes a conversation out of every table.
    fn forget(&mut self, key: SlotKey) {
        let Some(conversation) = self.conversations.remove(key) else { return };
        self.wheel.clear(key.index);
        self.routes.remove(&conversation.route);
        let Route { port, address, .. } = conversation.route;
        self.census_of(port).release(conversation.standing, address.ip());
    }

    /// Takes a link out of every table; its conversations stay.
    fn take_link(&mut self, key: SlotKey) -> Option<Link> {
        let link = self.links.remove(key)?;
        if self.side == Side::Host {
            let player = (link.address.ip(), link.identity);
            if let Some(links) = self.players.get_mut(&player) {
                links.retain(|other| *other != key);
                if links.is_empty() {
                    self.players.remove(&player);
                }
            }
            return Some(Link { identity: player.1, ..link });
        }
        Some(link)
    }

    /// Ends a link and its conversations at once, without an event.
    fn drop_link(&mut self, key: SlotKey) {
        let Some(link) = self.take_link(key) else { return };
        self.forget(link.reliable);
        if let Some(sync) = link.sync_conversation() {
            self.forget(sync);
        }
    }

    /// Ends a link and its conversations at once.
    fn lose(&mut self, key: SlotKey, reason: Reason) {
        self.tell_lost(key, reason);
        self.drop_link(key);
    }

    /// Tells that a link is gone, and keeps its figures until that was heard.
    fn tell_lost(&mut self, key: SlotKey, reason: Reason) {
        let link = LinkId(key);
        self.lost.extend(self.figures(key).map(|stats| (link, stats)));
        self.events.push_back(LinkEvent::Lost { link, reason });
    }

    fn figures(&self, key: SlotKey) -> Option<LinkStats> {
        let link = self.links.get(key)?;
        let mut stats = LinkStats::default();
        for key in [Some(link.reliable), link.sync_conversation()].into_iter().flatten() {
            if let Some(conversation) = self.conversations.get(key) {
                conversation.add_stats(&mut stats);
            }
        }
        stats.send_queue_len += link.latest.len() as u64;
        if let Phase::Asked { held } = &link.phase {
            stats.receive_queue_len += held.len() as u64;
        }
        Some(stats)
    }

    /// Ends a link; its conversations linger in `role`.
    fn part(&mut self, now: Time, key: SlotKey, role: Owner) {
        let Some(link) = self.take_link(key) else { return };
        for key in [Some(link.reliable), link.sync_conversation()].into_iter().flatten() {
            self.settle_standing(key);
            if let Some(conversation) = self.conversations.get_mut(key) {
                conversation.owner = role;
                conversation.alarm = Some(now + self.config.linger);
            }
            self.arm(now, key);
        }
    }

    /// Ends a conversation that can go on no more, and with a reliable one its link.
    fn end(&mut self, key: SlotKey, reason: Reason) {
        let owner = self.conversations.get(key).map(|conversation| conversation.owner);
        if let Some(Owner::Link(link_key)) = owner
            && let Some(link) = self.links.get_mut(link_key)
        {
            if link.reliable == key {
                return self.lose(link_key, reason);
            }
            // Without a sync lane the reliable one carries everything.
            link.sync = match self.side {
                Side::Host => Sync::None,
                Side::Client => Sync::Failed,
            };
        }
        self.forget(key);
    }

    /// A conversation belongs to somebody who is logged in, or to nobody any more.
    fn settle_standing(&mut self, key: SlotKey) {
        if let Some(conversation) = self.conversations.get_mut(key) {
            let port = usize::from(conversation.route.port.0.min(1));
            self.census[port].settle(&mut conversation.standing);
        }
    }

    fn census_of(&mut self, port: Port) -> &mut Census {
        &mut self.census[usize::from(port.0.min(1))]
    }

    /// Takes back the events of a link that nobody wants to hear of any more.
    fn retract_events(&mut self, link: LinkId) {
        self.events.retain(|event| event.link() != link);
        self.lost.retain(|(lost, _)| *lost != link);
    }
}

impl Transport for KcpEndpoint {
    fn name(&self) -> &'static str {
        "kcp"
    }

    fn handle_datagram(&mut self, now: Time, port: Port, from: SocketAddr, datagram: &[u8]) {
        self.receive(now, port, from, datagram);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.run_timers(now);
    }

    fn poll_transmit(&mut self, _now: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        self.outbox.lock().take(datagram)
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
        _: Option<LinkId>,
    ) -> Result<LinkId, DialError> {
        self.begin_dial(now, address).map(LinkId)
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

    fn control(&mut self, now: Time, link: LinkId, control: &Control) -> Result<(), SendError> {
        self.send_control(now, link.0, control)
    }

    fn close(&mut self, now: Time, link: LinkId, farewell: Option<&Refusal>) {
        self.retract_events(link);
        self.say_goodbye(now, link.0, farewell);
    }

    fn abandon(&mut self, _now: Time, link: LinkId) {
        self.retract_events(link);
        self.drop_link(link.0);
    }

    fn stats(&self, link: LinkId) -> Option<LinkStats> {
        let lost = self.lost_last.as_ref().filter(|(lost, _)| *lost == link);
        self.figures(link.0).or_else(|| lost.map(|(_, stats)| stats.clone()))
    }

    fn counters(&self) -> Vec<Counter> {
        let dropped = self.outbox.lock().dropped();
        self.counts.list(dropped)
    }
}
