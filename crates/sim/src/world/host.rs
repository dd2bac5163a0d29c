//! The host's side: a process that comes and goes, and an application with a script.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::time::earliest;
use moorline_link::{
    Identity, Lane, LinkId, Outgoing, Reason, Refusal, RefusalCode, Time, Transmit, Transport,
};
use moorline_proto::wire::Direction;
use moorline_session::{
    Event, EventKind, Host, HostConfig, HostEvent, LoggedIn, SavedSession, Session, SessionId,
    Side, State,
};

use super::wire::{Arrived, Socket};
use crate::carrier::{Carrier, Endpoint};
use crate::dice::Dice;
use crate::fault::{Answers, Fault};
use crate::oracle::balance::Balance;
use crate::oracle::ledger::{EpochId, KEYS, LATEST, RELIABLE};
use crate::oracle::path::Path;
use crate::oracle::{Oracle, census, holds};
use crate::record::{Broken, Checked, Record, under};
use crate::setup;

/// A host's process, whichever transport it was given.
pub(crate) type Process = Host<Box<dyn Transport>>;

/// Who takes the datagrams that leave.
type Post<'p> = &'p mut dyn FnMut(&mut Record<'_>, Transmit, &[u8]);

/// The most datagrams of strangers that wait to be read.
const STRANGERS_LEN_MAX: usize = 256;
/// By how much one step may overshoot the limit of waiting events.
const OVERSHOOT_MAX: usize = 16;
/// Of this many rounds one looks at the whole table, where that is large.
const CENSUS_PER_SESSIONS: usize = 4;

#[derive(Debug)]
pub(crate) struct HostSide<'a> {
    carrier: &'a dyn Carrier,
    endpoint: Endpoint,
    config: HostConfig,
    /// Of each port.
    pub(crate) at: [SocketAddr; 2],
    pub(crate) process: Option<Process>,
    /// When it is started again.
    pub(crate) up_at: Option<Time>,
    pub(crate) asleep_until: Time,
    pub(crate) slow_until: Time,
    pub(crate) answers: Answers,
    pub(crate) socket: Socket,
    pub(crate) strangers: VecDeque<Arrived>,
    send_gap: Option<Duration>,
    send_at: Time,
    /// Logins that are answered later, and how.
    asked: BTreeSet<(Time, SessionId, bool)>,
    /// Who is logged in, by the events alone.
    pub(crate) users: BTreeMap<SessionId, EpochId>,
    paths: BTreeMap<SessionId, Path>,
    ended: BTreeSet<SessionId>,
    /// Sessions whose address changed.
    moved: BTreeSet<SessionId>,
    /// Every link that a user was logged in on.
    pub(crate) links: BTreeSet<LinkId>,
    pub(crate) balance: Balance,
    rounds: usize,
    /// Whether its sessions outlive the process, and as what.
    is_saving: bool,
    saved: BTreeMap<SessionId, SavedSession>,
    /// How many of them the new process took back, whose events wait.
    restored: usize,
    /// Sessions that are kept for their users without what waited for them.
    given_up: BTreeSet<SessionId>,
    dice: Dice,
}

impl<'a> HostSide<'a> {
    pub(crate) fn new(
        carrier: &'a dyn Carrier,
        endpoint: Endpoint,
        config: HostConfig,
        send_gap: Duration,
    ) -> Self {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let mut dice = Dice::new(endpoint.seed);
        Self {
            carrier,
            config,
            at: [address(8_080), address(endpoint.sync_port.unwrap_or(8_081))],
            process: None,
            up_at: None,
            asleep_until: Time::ZERO,
            slow_until: Time::ZERO,
            answers: Answers::default(),
            socket: Socket::default(),
            strangers: VecDeque::new(),
            send_gap: Some(send_gap),
            send_at: Time::ZERO,
            asked: BTreeSet::new(),
            users: BTreeMap::new(),
            paths: BTreeMap::new(),
            ended: BTreeSet::new(),
            moved: BTreeSet::new(),
            links: BTreeSet::new(),
            balance: Balance::default(),
            rounds: 0,
            is_saving: dice.permille(500),
            saved: BTreeMap::new(),
            restored: 0,
            given_up: BTreeSet::new(),
            dice,
            endpoint,
        }
    }

    /// A new process at the same addresses, which knows nobody but whom the one before saved.
    pub(crate) fn start(&mut self, now: Time) {
        let endpoint = Endpoint { seed: self.dice.seed(), ..self.endpoint.clone() };
        let transports = vec![self.carrier.host(endpoint)];
        let host = Host::new(self.config.clone(), transports, self.dice.seed());
        let mut host = host.expect("the settings make sense");
        if self.is_saving {
            host.begin_saving();
        }
        for saved in std::mem::take(&mut self.saved).into_values() {
            self.restored += usize::from(host.restore(now, saved).is_some());
        }
        self.process = Some(host);
        self.up_at = None;
        self.send_at = now;
        self.balance.forget_all();
    }

    /// The process ends without a word; what it was sent goes with it.
    pub(crate) fn kill(&mut self, record: &mut Record<'_>) {
        self.process = None;
        self.socket.clear();
        self.asked.clear();
        self.paths.clear();
        self.ended.clear();
        self.moved.clear();
        self.links.clear();
        self.given_up.clear();
        self.asleep_until = Time::ZERO;
        self.slow_until = Time::ZERO;
        std::mem::take(&mut self.users).values().for_each(|epoch| record.ledger.end(*epoch));
    }

    /// Nothing more is said by the application.
    pub(crate) const fn fall_silent(&mut self) {
        self.send_gap = None;
    }

    pub(crate) fn arrive(&mut self, arrived: Arrived) {
        if self.process.is_some() {
            self.socket.put(arrived);
        }
    }

    pub(crate) fn arrive_from_stranger(&mut self, arrived: Arrived) {
        if self.process.is_some() && self.strangers.len() < STRANGERS_LEN_MAX {
            self.strangers.push_back(arrived);
        }
    }

    /// When something is to be done next.
    pub(crate) fn next(&self, now: Time) -> Option<Time> {
        let Some(process) = &self.process else { return self.up_at };
        let own = process.poll_timeout();
        let speaks_at = self.send_gap.map(|_| self.send_at);
        let asked_at = self.asked.first().map(|(at, _, _)| *at);
        let application = earliest(speaks_at, asked_at);
        let reads_at = process.has_events().then_some(self.slow_until);
        let application = earliest(reads_at, application.map(|at| at.max(self.slow_until)));
        let waiting = !self.socket.is_empty() && !process.is_backlogged();
        let next = earliest(earliest(own, application), waiting.then_some(now));
        next.map(|at| at.max(self.asleep_until).max(now))
    }

    /// One round of the drain rule, with the application's part.
    pub(crate) fn round(&mut self, now: Time, record: &mut Record<'_>, send: Post<'_>) -> Checked {
        let Some(host) = self.process.as_mut() else { return Ok(()) };
        // 1. What arrived, as long as there is room for what comes of it, and the time.
        while !host.is_backlogged()
            && let Some(Arrived { port, origin, mut bytes, .. }) = self.socket.take()
        {
            self.balance.receive(port, origin.from, bytes.len());
            host.handle_in_place(now, (0, port), origin, &mut bytes);
        }
        host.handle_timeout(now);
        // 2. Events, answered.
        if now >= self.slow_until {
            self.drain_waiting(now, record)?;
            self.answer_later(now, record)?;
            self.speak(now, record)?;
        }
        self.hear_strangers(now, record)?;
        // 3. What is to be sent.
        self.transmit(now, record, send)?;
        self.take_census()
    }

    /// How many encrypted packets were looked into.
    pub(crate) fn nonces(&self) -> u64 {
        self.endpoint.keys.checked()
    }

    fn transmit(&mut self, now: Time, record: &mut Record<'_>, send: Post<'_>) -> Checked {
        let Some(host) = self.process.as_mut() else { return Ok(()) };
        // What changed is saved before a peer hears of it.
        for id in host.take_unsaved() {
            match host.saved(id) {
                Some(saved) => self.saved.insert(id, saved),
                None => self.saved.remove(&id),
            };
        }
        let mut datagram = Vec::new();
        while let Some((_, sent)) = host.poll_transmit(now, &mut datagram) {
            let session = host.sessions().by_address(sent.to);
            if session.is_some_and(|session| session.state() == State::LoginFailed) {
                // The host itself says no to a name that is none.
                self.balance.answer(sent.to);
            }
            // A link that ends may move as well, when no session knows it any more; a stranger that
            // sends what it overheard is never followed.
            if self.carrier.promises().knows_peers_by_key && !is_stranger(sent.to) {
                self.balance.follow(sent.to);
            }
            let verdict = self.balance.send(sent.port, sent.to, datagram.len());
            if self.carrier.promises().never_amplifies {
                under(Oracle::Amplification, verdict)?;
            }
            self.endpoint.keys.see(Direction::ToClient, sent.to, &datagram);
            send(record, sent, &datagram);
        }
        under(Oracle::Nonces, self.endpoint.keys.verdict())
    }

    /// Takes what waits, which the network alone has brought about.
    fn drain_waiting(&mut self, now: Time, record: &mut Record<'_>) -> Checked {
        let waiting = self.take_events();
        let bound = self.config.limits.events_max + OVERSHOOT_MAX;
        let (count, most) = (waiting.len(), bound + std::mem::take(&mut self.restored));
        under(Oracle::Census, holds(count <= most, || format!("{count} events waited")))?;
        waiting.into_iter().try_for_each(|event| self.on_told(now, record, event))?;
        self.drain(now, record)
    }

    /// Takes what the application's own doing has brought about.
    fn drain(&mut self, now: Time, record: &mut Record<'_>) -> Checked {
        while let Some(event) = self.process.as_mut().and_then(Host::poll_event) {
            self.on_told(now, record, event)?;
        }
        Ok(())
    }

    fn take_events(&mut self) -> Vec<HostEvent> {
        let host = self.process.as_mut();
        host.map(|host| std::iter::from_fn(|| host.poll_event()).collect()).unwrap_or_default()
    }

    fn on_told(&mut self, now: Time, record: &mut Record<'_>, event: HostEvent) -> Checked {
        match event {
            HostEvent::Session(event) => self.on_event(now, record, &event),
            HostEvent::Login { session, identity, .. } => {
                record.note(now, format_args!("host {session} asks as {identity}"));
                self.check_alive(session, "a login")?;
                self.on_login(now, record, session)
            }
            HostEvent::Message { session, kind, lane, payload } => {
                self.check_alive(session, "a message")?;
                self.on_message(now, record, session, ((kind, lane), &payload))
            }
            HostEvent::Delivered { session, notice } => {
                Err(Broken(Oracle::Delivery, format!("{session} is told of {notice}")))
            }
        }
    }

    fn on_event(&mut self, now: Time, record: &mut Record<'_>, event: &Event) -> Checked {
        record.note(now, format_args!("host {event}"));
        let id = event.session;
        self.check_alive(id, "an event")?;
        under(Oracle::Path, self.paths.entry(id).or_default().walk(event))?;
        let goes_on = self.carrier.promises().continues && event.to != State::Disconnected;
        let has_left = event.from == State::LoggedIn && event.to != State::LoggedIn && !goes_on;
        let is_over = matches!(
            event.kind,
            EventKind::Disconnected | EventKind::ContinuityLost | EventKind::LoginSucceeded
        );
        if (has_left || is_over)
            && let Some(epoch) = self.users.remove(&id)
        {
            record.ledger.end(epoch);
        }
        match event.kind {
            EventKind::ReconnectScheduled if event.from == State::Disconnected => {
                let user = user_of(event)?;
                self.users.insert(id, record.ledger.begin(Side::Host, user));
            }
            EventKind::ContinuityLost if event.to == State::ReconnectPending => {
                self.given_up.insert(id);
                record.given_up += 1;
            }
            EventKind::LoginSucceeded => {
                self.given_up.remove(&id);
                let user = user_of(event)?;
                self.users.insert(id, record.ledger.begin(Side::Host, user));
                let session = self.process.as_ref().and_then(|host| host.sessions().by_id(id));
                self.links.extend(session.and_then(Session::link).map(|link| link.link));
            }
            EventKind::Resumed => {
                if self.given_up.remove(&id) {
                    let user = user_of(event)?;
                    self.users.insert(id, record.ledger.begin(Side::Host, user));
                }
                let goes_on = self.users.contains_key(&id);
                under(Oracle::Delivery, holds(goes_on, || format!("{id} goes on with nothing")))?;
                // It has proven who it is without a login.
                if let Some(address) = event.address {
                    self.balance.answer(address);
                }
                let session = self.process.as_ref().and_then(|host| host.sessions().by_id(id));
                self.links.extend(session.and_then(Session::link).map(|link| link.link));
                // Who was let in once is let in at its next address as well.
                self.moved.insert(id);
            }
            EventKind::AddressChanged => drop(self.moved.insert(id)),
            EventKind::Disconnected => {
                self.paths.remove(&id);
                self.ended.insert(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn check_alive(&self, id: SessionId, what: &str) -> Checked {
        let is_over = self.ended.contains(&id);
        under(Oracle::Path, holds(!is_over, || format!("{what} of {id} after its end")))
    }

    fn on_message(
        &self,
        now: Time,
        record: &mut Record<'_>,
        id: SessionId,
        ((kind, lane), payload): ((u16, Lane), &[u8]),
    ) -> Checked {
        record.note(now, format_args!("host {id} said {kind}: {} bytes", payload.len()));
        let nobody = || Broken(Oracle::Delivery, format!("a message of {id}, not logged in"));
        let epoch = self.users.get(&id).ok_or_else(nobody)?;
        under(Oracle::Delivery, record.ledger.receive(*epoch, (kind, lane), payload))
    }

    fn on_login(&mut self, now: Time, record: &mut Record<'_>, id: SessionId) -> Checked {
        let session = self.process.as_ref().and_then(|host| host.sessions().by_id(id));
        let Some(address) = session.and_then(Session::address) else { return Ok(()) };
        let is_refused = self.dice.permille(self.answers.refused_permille);
        let late = if self.answers.late.is_zero() {
            Duration::ZERO
        } else {
            record.fire(Fault::LateAnswer);
            self.dice.millis(0, self.answers.late.as_millis() as u64)
        };
        // An application that knows its users by more than what they say.
        if is_stranger(address) {
            return self.answer(now, record, id, false);
        }
        if is_refused {
            record.fire(Fault::Refusal);
        }
        if late.is_zero() {
            return self.answer(now, record, id, !is_refused);
        }
        self.asked.insert((now + late, id, !is_refused));
        Ok(())
    }

    fn answer_later(&mut self, now: Time, record: &mut Record<'_>) -> Checked {
        while let Some((_, id, is_welcome)) =
            self.asked.first().copied().filter(|(at, _, _)| *at <= now)
        {
            self.asked.pop_first();
            self.answer(now, record, id, is_welcome)?;
        }
        self.drain(now, record)
    }

    fn answer(
        &mut self,
        now: Time,
        record: &mut Record<'_>,
        id: SessionId,
        is_welcome: bool,
    ) -> Checked {
        let Some(host) = self.process.as_mut() else { return Ok(()) };
        if let Some(session) = host.sessions().by_id(id)
            && let Some(address) = session.address()
        {
            self.balance.answer(address);
        }
        if !is_welcome {
            let refusal = Refusal::new(RefusalCode::BadCredentials, "not now");
            let again = self.dice.permille(500);
            let refusal = if again { refusal.retry_after(Duration::from_secs(1)) } else { refusal };
            // It may be gone already; then no answer is right.
            host.refuse_login(now, id, refusal).ok();
            return Ok(());
        }
        let asked = host.sessions().by_id(id).and_then(Session::identity).cloned();
        let Ok(logged_in) = host.accept_login(now, id, None, b"welcome".to_vec()) else {
            return Ok(());
        };
        record.note(now, format_args!("host {id} accepted: {logged_in:?}"));
        if let LoggedIn::New(id) | LoggedIn::Returned(id) = logged_in {
            let session = host.sessions().by_id(id);
            let owner = session.and_then(Session::identity).cloned();
            let is_same = session.is_none() || owner == asked;
            under(Oracle::Path, holds(is_same, || format!("{asked:?} became {owner:?}")))?;
        }
        Ok(())
    }

    /// The application says something to everyone.
    fn speak(&mut self, now: Time, record: &mut Record<'_>) -> Checked {
        let Some(gap) = self.send_gap.filter(|_| now >= self.send_at) else { return Ok(()) };
        self.send_at = now + gap;
        self.say_all(now, record)
    }

    pub(crate) fn say_all(&mut self, now: Time, record: &mut Record<'_>) -> Checked {
        let Some(host) = self.process.as_mut() else { return Ok(()) };
        for (id, epoch) in &self.users {
            for (kind, lane) in [(RELIABLE, Lane::ReliableOrdered), (LATEST, Lane::Latest)] {
                let key = if kind == LATEST { self.dice.index(KEYS) as u8 } else { 0 };
                let payload = record.ledger.next(*epoch, kind, key);
                let key_of = u64::from(key);
                let message = Outgoing { kind, lane, key: key_of, payload: &payload, notice: None };
                if host.send(now, *id, message).is_ok() {
                    record.ledger.sent(*epoch, kind, key);
                }
            }
        }
        Ok(())
    }

    /// What strangers sent, one by one: nothing of anybody else may change.
    fn hear_strangers(&mut self, now: Time, record: &mut Record<'_>) -> Checked {
        while let Some(host) = self.process.as_mut().filter(|host| !host.is_backlogged())
            && let Some(Arrived { port, origin, mut bytes, is_copy }) = self.strangers.pop_front()
        {
            let from = origin.from;
            self.balance.receive(port, from, bytes.len());
            // What others left lying would be told now.
            let is_clean = !host.has_events() && host.poll_timeout().is_none_or(|at| at > now);
            let may_count = is_copy && self.carrier.promises().knows_peers_by_key;
            let before = (is_clean && !may_count).then(|| others(host));
            host.handle_in_place(now, (0, port), origin, &mut bytes);
            if let Some(before) = before {
                let after = others(host);
                let is_same = after == before;
                let changed = after.iter().find(|session| !before.contains(session));
                let told = || format!("{} bytes of {from} changed {changed:?}", bytes.len());
                under(Oracle::Isolation, holds(is_same, told))?;
            }
            if now >= self.slow_until {
                self.drain(now, record)?;
            }
        }
        Ok(())
    }

    fn take_census(&mut self) -> Checked {
        let Some(host) = &self.process else { return Ok(()) };
        self.rounds += 1;
        if self.rounds.is_multiple_of(1 + host.sessions().len() / CENSUS_PER_SESSIONS) {
            under(Oracle::Census, census::check(host, &self.moved))?;
        }
        Ok(())
    }

    /// The application throws out whoever is in this place of the table.
    pub(crate) fn evict(&mut self, now: Time, place: u64) -> bool {
        let Some((host, id)) = self.chosen(place) else { return false };
        host.close(now, id, Reason::Evicted("at random".into())).is_ok()
    }

    /// The application wants whoever is in this place of the table to log in again.
    pub(crate) fn ask_login(&mut self, now: Time, place: u64, within: Duration) -> bool {
        let Some((host, id)) = self.chosen(place) else { return false };
        host.ask_login(now, id, within).is_ok()
    }

    fn chosen(&mut self, place: u64) -> Option<(&mut Process, SessionId)> {
        let host = self.process.as_mut()?;
        let count = host.sessions().len().max(1) as u64;
        let id = host.sessions().iter().nth((place % count) as usize).map(Session::id)?;
        Some((host, id))
    }

    /// The process stops in order: everyone is told, and what that takes is sent.
    pub(crate) fn stop(&mut self, now: Time, record: &mut Record<'_>, send: Post<'_>) -> Checked {
        self.drain(now, record)?;
        if let Some(host) = self.process.as_mut() {
            host.stop(now);
        }
        // Each session that is stopped tells of it, whatever the limit.
        let told = self.take_events();
        told.into_iter().try_for_each(|event| self.on_told(now, record, event))?;
        self.transmit(now, record, send)
    }
}

/// Everything about the sessions of those who are no strangers.
fn others(host: &Process) -> Vec<String> {
    let sessions = host.sessions().iter();
    let others = sessions.filter(|session| !session.address().is_some_and(is_stranger));
    others.map(|session| format!("{session:?}")).collect()
}

/// Addresses from which no user comes.
pub(crate) fn is_stranger(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V4(v4) if v4.ip().octets()[0] == 203)
}

fn user_of(event: &Event) -> Result<usize, Broken> {
    let identity = event.identity.as_ref().map(Identity::as_bytes).unwrap_or_default();
    setup::user(identity).ok_or_else(|| stranger_inside(event))
}

fn stranger_inside(event: &Event) -> Broken {
    Broken(Oracle::Isolation, format!("someone that is nobody is logged in: {event}"))
}
