//! What carries a link through its life: asked or dialed, answered, up, parted, gone.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::ahead::Ahead;
use moorline_link::index::Index;
use moorline_link::slots::SlotKey;
use moorline_link::transport::DialError;
use moorline_link::{Ecn, LinkEvent, LinkId, Origin, Reason, Refusal, Resumes, Time};

use super::continuity::Resumption;
use super::dialing::{Answered, Dialing, Wish, limits};
use super::entry::{Entry, Stage};
use super::greeting::{self, Guest};
use super::siblings::Via;
use super::{Endpoint, Side, TURN_LEN_MAX};
use crate::crypto::{LinkSecrets, OpenError, PacketKeys, Ticket};
use crate::link::{Drop, Link, Setup, Sink};
use crate::wire::{
    Answer, ClientHello, ConnectionId, HelloId, HostParams, Limits, Notice, ShortHeader, Suite,
};

/// For how long a hello can come again that the network held back.
const HELLO_LIFETIME: Duration = Duration::from_secs(30);

impl Endpoint {
    pub(super) fn begin_dial(
        &mut self,
        now: Time,
        address: SocketAddr,
        from: Option<SlotKey>,
    ) -> Result<SlotKey, DialError> {
        let wish = from.and_then(|from| Some((from, self.wish(from)?)));
        let Side::Client(client) = &mut self.side else { return Err(DialError::HostOnly) };
        if self.links.len() >= self.config.links_max {
            return Err(DialError::Full);
        }
        let asked = wish.as_ref().map(|(_, asked)| asked);
        let dialing = Dialing::new(now, &self.config, &client.host, &mut self.entropy, asked)
            .map_err(|_| DialError::HostOnly)?;
        let mut entry = Entry::new(now, address, Stage::Dialing(Box::new(dialing)));
        entry.rare_mut().resumes = wish.map(|(from, wish)| {
            let (epoch, Wish { before, lanes, is_settled, .. }) = (wish.ticket.epoch(), wish);
            Box::new(Resumption { from, epoch, before, lanes, is_settled, has_lanes: true })
        });
        let key = self.links.insert_with(|_| entry);
        client.links.push(key);
        self.touch(key);
        Ok(key)
    }

    /// The link that began with this hello.
    pub(super) fn by_hello(&self, hellos: &Index, id: HelloId) -> Option<SlotKey> {
        let mut keys = hellos.find(&id).filter_map(|place| self.links.key_at(place));
        keys.find(|key| {
            let hello = self.links.get(*key).and_then(Entry::hello);
            hello.is_some_and(|(of, _)| of == id)
        })
    }

    /// A first packet came again: what was answered is answered again, wherever it came from now.
    pub(super) fn repeat_answer(
        &mut self,
        key: SlotKey,
        from: SocketAddr,
        hello: &ClientHello<'_>,
    ) {
        let Some(entry) = self.links.get(key) else { return };
        let is_same = entry.hello() == Some((hello.id, greeting::ephemeral(hello)));
        if let Stage::Answered(answered) = &entry.stage
            && is_same
        {
            let answer = answered.1.clone();
            self.answer(from, answer);
        }
    }

    /// Somebody asks in who may: the session layer decides.
    pub(super) fn open_door(
        &mut self,
        now: Time,
        (from, via): (SocketAddr, Via),
        guest: Box<Guest>,
        hello: &[u8],
    ) {
        let (id, ephemeral) = (guest.id, guest.ephemeral);
        let mut resumption = self.resumption_of(&guest);
        if resumption.is_none()
            && via == Via::Socket
            && let Some(sibling) = self.sibling_for(&guest)
        {
            self.pass_on(sibling, from, hello);
            return;
        }
        self.make_room();
        if resumption.is_none() && self.take_pass(now, from, &guest) {
            resumption = self.resumption_of(&guest);
        }
        let resumes = resumption.as_ref().map(|resumption| LinkId(resumption.from));
        let mut entry = Entry::new(now, from, Stage::Asked(Some(guest)));
        let rare = entry.rare_mut();
        rare.hello = Some((id, ephemeral));
        rare.resumes = resumption.map(Box::new);
        let key = self.links.insert_with(|_| entry);
        let Side::Host(host) = &mut self.side else { return };
        host.census.begin(from.ip());
        host.hellos.insert(&id, key.index);
        host.half_open.push_back(key);
        self.wheel.set(now, key.index, now + self.config.half_open_time);
        self.events.push_back(LinkEvent::Asked { link: LinkId(key), address: from, resumes });
    }

    /// The oldest link whose client did not answer makes room, if there are too many.
    fn make_room(&mut self) {
        let Side::Host(host) = &mut self.side else { return };
        let mut evicted = None;
        let is_full = host.census.half_open() >= self.config.half_open_max;
        while let Some(oldest) = host.half_open.front().copied() {
            let is_waiting = self.links.get(oldest).is_some_and(Entry::is_half_open);
            if is_waiting && !is_full {
                break;
            }
            host.half_open.pop_front();
            if is_waiting {
                evicted = Some(oldest);
                break;
            }
        }
        if let Some(key) = evicted {
            self.counts.half_open_evicted += 1;
            self.retract_events(LinkId(key));
            self.forget(key);
        }
    }

    /// Answers no. Nothing is kept: a copy of the hello is judged anew.
    pub(super) fn tell_no(&mut self, to: SocketAddr, guest: Guest, refusal: &Refusal) {
        self.counts.refused += 1;
        let mut out = Vec::new();
        let no = greeting::refused(Notice::of(refusal));
        if greeting::answer(guest, &no, &mut self.entropy, &mut out).is_some() {
            self.answer(to, out);
        }
    }

    pub(super) fn turn_away(&mut self, key: SlotKey, refusal: &Refusal) {
        if let Some(Entry { stage: Stage::Asked(Some(guest)), address, .. }) = self.forget(key) {
            self.tell_no(address, *guest, refusal);
        }
    }

    pub(super) fn let_in(&mut self, now: Time, key: SlotKey) {
        let connection = self.connection_of(key);
        let Side::Host(host) = &self.side else { return };
        let reset_token = host.resets.token(connection);
        let resumption = self.links.get(key).and_then(Entry::resumes);
        let grant = resumption.and_then(|resumption| self.grant(resumption));
        let Some(entry) = self.links.get_mut(key) else { return };
        if grant.is_none() {
            entry.rare_mut().resumes = None;
        }
        let Stage::Asked(guest) = &mut entry.stage else { return };
        let Some(guest) = guest.take() else { return };
        // The host decides: AES only where it is asked for and suits both.
        let suite = match self.config.suite {
            Suite::Aes => guest.suite,
            Suite::ChaCha => Suite::ChaCha,
        };
        let (limits, peer, resumed) = (limits(&self.config), guest.params.limits, grant);
        let yes = Answer::Accepted(HostParams { suite, connection, reset_token, limits, resumed });
        let mut answer = Vec::new();
        let made = greeting::answer(*guest, &yes, &mut self.entropy, &mut answer);
        let Some(secrets) = made else {
            self.forget(key);
            return;
        };
        let address = entry.address;
        if let Some(log) = &self.config.key_log {
            log.on_link(connection, suite, &secrets);
        }
        let epoch = resumed.map_or(0, |grant| grant.epoch);
        entry.ticket = Some(Box::new(Ticket::of(&secrets, epoch)));
        let keys = PacketKeys::host(suite, &secrets);
        let link = self.new_link(now, address, (None, keys), &peer);
        if let Some(entry) = self.links.get_mut(key) {
            entry.stage = Stage::Answered(Box::new((link, answer.clone())));
        }
        self.answer(address, answer);
    }

    fn new_link(
        &mut self,
        now: Time,
        address: SocketAddr,
        (connection, keys): (Option<ConnectionId>, PacketKeys),
        peer: &Limits,
    ) -> Link {
        let config = &self.config;
        let peer_len_max = u16::try_from(peer.datagram_len_max).unwrap_or(u16::MAX);
        let peer_delay = Duration::from_millis(peer.ack_delay_max_millis.min(1_000));
        let setup = Setup {
            connection,
            keys,
            address,
            seed: self.entropy.next_u64(),
            repetition: config.repetition,
            datagram_len_max: config.datagram_len_max.min(peer_len_max),
            window: config.data_max,
            limit: peer.data_max,
            bytes_max: config.send_bytes_max,
            ack_delay_max: config.ack_delay_max,
            peer_ack_delay_max: peer_delay,
            idle: config.idle,
            // A peer that gives up sooner must hear something sooner.
            keep_alive: config
                .keep_alive
                .min(Duration::from_millis(peer.idle_millis / 3).max(Duration::from_secs(1))),
            linger: config.linger,
            key_packets_max: config.key_packets_max,
            ecn: config.ecn,
        };
        Link::new(now, setup)
    }

    /// An answer to a first packet of this client. Whoever forges one is passed over.
    pub(super) fn on_answer_of_host(
        &mut self,
        now: Time,
        id: HelloId,
        judge: impl FnOnce(&mut Dialing) -> Option<Answered>,
    ) {
        let found = self.links.iter().find_map(|(key, entry)| match &entry.stage {
            Stage::Dialing(dialing) if dialing.id() == id => Some(key),
            _ => None,
        });
        let answered = found.and_then(|key| match &mut self.links.get_mut(key)?.stage {
            Stage::Dialing(dialing) => Some((key, judge(dialing))),
            _ => None,
        });
        match answered {
            None => self.counts.stray_answers += 1,
            Some((key, None)) => self.touch(key),
            Some((key, Some(Answered::Refused(refusal)))) => {
                self.lose(now, key, Reason::Refused(refusal));
            }
            Some((key, Some(Answered::Accepted(accepted)))) => self.come_up(now, key, &accepted),
        }
    }

    fn come_up(&mut self, now: Time, key: SlotKey, accepted: &(HostParams, LinkSecrets)) {
        let (params, secrets) = accepted;
        let Some(address) = self.links.get(key).map(|entry| entry.address) else { return };
        if let Some(log) = &self.config.key_log {
            log.on_link(params.connection, params.suite, secrets);
        }
        let keys = PacketKeys::client(params.suite, secrets);
        let mut link = self.new_link(now, address, (Some(params.connection), keys), &params.limits);
        let asked = self.links.get_mut(key).and_then(|entry| entry.rare.as_mut()?.resumes.take());
        let (mut resumes, mut tickets_before) = (None, Vec::new());
        if let Some(asked) = asked {
            let granted = params.resumed.as_ref();
            if let Some((grant, known)) =
                granted.and_then(|it| Some((it, self.granted(&asked, it)?)))
            {
                tickets_before = known;
                resumes = self.resume(&mut link, asked.from, grant.lanes.as_ref());
            }
        }
        if resumes.is_none() && params.resumed.is_some() {
            self.lose(now, key, Reason::Violation("the host goes on with what nobody asked for"));
            return;
        }
        if let Some(entry) = self.links.get_mut(key) {
            let epoch = params.resumed.map_or(0, |grant| grant.epoch);
            entry.ticket = Some(Box::new(Ticket::of(secrets, epoch)));
            entry.stage = Stage::Linked(Box::new(Ahead::new(link)));
            let rare = entry.rare_mut();
            rare.tickets_before = tickets_before;
            rare.reset_token = Some(params.reset_token);
        }
        self.events.push_back(LinkEvent::Up { link: LinkId(key), address, resumes });
        self.touch(key);
    }

    /// Leads a packet into its link. Whether it opened.
    pub(super) fn take_in(
        &mut self,
        now: Time,
        key: SlotKey,
        origin: Origin,
        (header, datagram): (&ShortHeader, &mut [u8]),
    ) -> bool {
        let Ok(resumes) = self.first_packet(key, header, datagram) else {
            // The lanes went over to another link meanwhile.
            self.counts.superseded += 1;
            self.forget(key);
            return true;
        };
        let rested = self.rouse(key);
        let Some(entry) = self.links.get_mut(key) else { return false };
        let Some(link) = entry.link_mut() else { return false };
        let (events, ready) = (&mut self.events, &mut self.ready_messages);
        let mut sink = Sink { link: LinkId(key), resumes, events, ready };
        let outcome = link.receive(now, origin, (header, datagram), &mut sink);
        while let Some(notice) = link.poll_arrived() {
            self.events.push_back(LinkEvent::Delivered { link: LinkId(key), notice });
        }
        if let Some(is_high) = link.poll_backlog() {
            self.events.push_back(LinkEvent::Backlog { link: LinkId(key), is_high });
        }
        if link.entropy_needed() {
            link.challenge_with(&mut self.entropy);
        }
        let address = link.address();
        let reason = match outcome {
            Ok(reason) => reason,
            Err(Drop::NotOpened(error)) => {
                match error {
                    OpenError::Seen | OpenError::TooOld | OpenError::Forgotten => {
                        self.counts.replayed += 1;
                    }
                    OpenError::Truncated | OpenError::Number => self.counts.malformed += 1,
                    OpenError::Forged => self.counts.forged += 1,
                }
                if let Some(rested) = rested {
                    self.let_rest_on(key, rested);
                }
                return false;
            }
        };
        self.confirm(key, address);
        if let Some(reason) = reason {
            let was_parted = self.links.get(key).is_some_and(|entry| entry.is_parted);
            self.tell_lost(key, reason.clone());
            if !was_parted {
                self.keep_lost(now, key, &reason);
            }
        }
        self.touch(key);
        true
    }

    /// Moves the lanes of an earlier link before the first packet of one that goes on with them is
    /// read.
    fn first_packet(
        &mut self,
        key: SlotKey,
        header: &ShortHeader,
        datagram: &[u8],
    ) -> Result<Option<Resumes>, Reason> {
        let entry = self.links.get(key);
        let answered = entry.filter(|entry| entry.resumes().is_some()).and_then(Entry::link);
        if answered.is_some_and(|link| link.is_of_peer(header, datagram)) {
            self.go_over(key)
        } else {
            Ok(None)
        }
    }

    /// A packet of the client opened: it has the keys, so the answer need not be repeated.
    fn confirm(&mut self, key: SlotKey, address: SocketAddr) {
        let Some(entry) = self.links.get_mut(key) else { return };
        if let Some(rare) = &mut entry.rare {
            rare.tickets_before = Vec::new();
        }
        if matches!(entry.stage, Stage::Answered(_)) {
            let placeholder = Stage::Asked(None);
            if let Stage::Answered(answered) = std::mem::replace(&mut entry.stage, placeholder) {
                entry.stage = Stage::Linked(Box::new(Ahead::new(answered.0)));
            }
            let Side::Host(host) = &mut self.side else { return };
            host.census.confirm(entry.address.ip());
            if let Some(ticket) = &entry.ticket {
                host.note_ticket(ticket.id(), key);
            }
        }
        let before = std::mem::replace(&mut entry.address, address);
        if before.ip() != address.ip()
            && let Side::Host(host) = &mut self.side
        {
            host.census.moved(before.ip(), address.ip());
        }
    }

    /// The link may have something to send, or another deadline.
    pub(super) fn touch(&mut self, key: SlotKey) {
        if let Some(entry) = self.links.get_mut(key)
            && !std::mem::replace(&mut entry.is_ready, true)
        {
            self.ready.push_back(key);
        }
    }

    /// A link's deadline passed.
    pub(super) fn wake(&mut self, now: Time, key: SlotKey) {
        let Some(entry) = self.links.get_mut(key) else { return };
        if entry.is_half_open() {
            if now.since(entry.began_at) >= self.config.half_open_time {
                self.counts.half_open_expired += 1;
                self.retract_events(LinkId(key));
                self.forget(key);
            } else {
                self.wheel.set(now, key.index, entry.began_at + self.config.half_open_time);
            }
            return;
        }
        if self.is_kept(key) {
            self.expire_kept(now, key);
            return;
        }
        self.rouse(key);
        let Some(entry) = self.links.get_mut(key) else { return };
        let reason = match &mut entry.stage {
            Stage::Dialing(dialing) => dialing.given_up(now).map(Reason::Refused),
            Stage::Linked(link) => link.handle_timeout(now, self.listened_since),
            Stage::Asked(_) | Stage::Answered(_) | Stage::Resting(_) | Stage::Kept(_) => None,
        };
        self.forget_hello(now, key);
        match reason {
            Some(reason) => self.lose(now, key, reason),
            None => self.touch(key),
        }
    }

    /// The network holds no copy of the link's hello any more.
    pub(super) fn forget_hello(&mut self, now: Time, key: SlotKey) {
        let (Some(entry), Side::Host(host)) = (self.links.get_mut(key), &mut self.side) else {
            return;
        };
        if now.since(entry.began_at) < HELLO_LIFETIME {
            return;
        }
        if let Some((id, _)) = entry.hello() {
            host.hellos.remove(&id, key.index);
        }
        // There is nothing else in it on a host, once the client answered.
        if entry.is_half_open() {
            entry.rare_mut().hello = None;
        } else {
            entry.rare = None;
        }
    }

    /// Writes the next datagram of a link and says where it goes and its mark. If there is none, or
    /// none after it, the link rests until its next deadline.
    pub(super) fn transmit_of(
        &mut self,
        now: Time,
        key: SlotKey,
        out: &mut Vec<u8>,
    ) -> Option<(SocketAddr, Ecn)> {
        let entry = self.links.get_mut(key)?;
        let (address, mut sent) = (entry.address, None);
        let next = match &mut entry.stage {
            Stage::Dialing(dialing) => {
                let Side::Client(client) = &self.side else { return None };
                if dialing.poll_hello(now, &client.precheck, &mut self.rng, out) {
                    sent = Some((address, Ecn::NotCapable));
                }
                Some(dialing.poll_timeout())
            }
            Stage::Linked(link) => match link.poll_transmit(now, &mut self.bench, out) {
                Ok(Some(to)) if link.may_have_more(now) => {
                    self.take_turns(key);
                    return Some(to);
                }
                Ok(None) if link.is_over() => {
                    self.forget(key);
                    return None;
                }
                Ok(to) => {
                    sent = to;
                    link.poll_timeout(now)
                }
                Err(reason) => {
                    self.lose(now, key, reason);
                    return None;
                }
            },
            Stage::Asked(_) | Stage::Answered(_) => {
                Some(entry.began_at + self.config.half_open_time)
            }
            // Its timer is set already.
            Stage::Resting(_) => {
                entry.is_ready = false;
                return None;
            }
            Stage::Kept(_) => match &self.side {
                Side::Host(_) => Some(entry.began_at + self.config.keep_time),
                Side::Client(_) => None,
            },
        };
        entry.is_ready = false;
        self.turn_len = 0;
        match next {
            Some(at) => self.wheel.set(now, key.index, at),
            None => self.wheel.clear(key.index),
        }
        self.let_rest(now, key);
        sent
    }

    /// A link that may have more to send goes on, or lets the others have their turns.
    fn take_turns(&mut self, key: SlotKey) {
        self.turn_len += 1;
        if self.turn_len < TURN_LEN_MAX {
            self.ready.push_front(key);
        } else {
            self.turn_len = 0;
            self.ready.push_back(key);
        }
    }
}
