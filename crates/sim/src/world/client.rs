//! A client's side: a process that comes and goes, and an application with a script.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use moorline_link::time::earliest;
use moorline_link::{Lane, Outgoing, Port, Reason, Time, Transmit, Transport};
use moorline_proto::wire::Direction;
use moorline_session::{Dialer, DialerConfig, DialerEvent, Event, EventKind, Side, State};

use super::wire::{Arrived, Socket};
use crate::carrier::{Carrier, Endpoint};
use crate::dice::Dice;
use crate::oracle::ledger::{EpochId, KEYS, LATEST, RELIABLE};
use crate::oracle::path::Path;
use crate::oracle::{Oracle, holds};
use crate::record::{Broken, Checked, Record, under};
use crate::setup::{self, Start};

#[derive(Debug)]
pub(crate) struct ClientSide<'a> {
    carrier: &'a dyn Carrier,
    endpoint: Endpoint,
    config: DialerConfig,
    number: usize,
    pub(crate) user: usize,
    pub(crate) ip: IpAddr,
    host_at: SocketAddr,
    pub(crate) process: Option<Dialer<Box<dyn Transport>>>,
    /// The ports that the world sees, of both lanes.
    pub(crate) ports: [u16; 2],
    /// Whether its user wants to be logged in, and when that changes.
    pub(crate) wants: bool,
    pub(crate) wants_at: Option<Time>,
    /// When the process is started again.
    pub(crate) up_at: Option<Time>,
    /// When the process ends without a word.
    pub(crate) gone_at: Option<Time>,
    pub(crate) asleep_until: Time,
    pub(crate) slow_until: Time,
    pub(crate) socket: Socket,
    send_gap: Option<Duration>,
    send_at: Time,
    /// When the application tries again by itself.
    retry_at: Option<Time>,
    pub(crate) epoch: Option<EpochId>,
    since: Option<Time>,
    /// When the link of its session was lost.
    lost_at: Option<Time>,
    path: Path,
    dice: Dice,
}

impl<'a> ClientSide<'a> {
    pub(crate) fn new(
        carrier: &'a dyn Carrier,
        endpoint: Endpoint,
        (number, start): (usize, Start),
        host_at: SocketAddr,
        send_gap: Duration,
    ) -> Self {
        Self {
            carrier,
            config: start.config,
            number,
            user: start.user,
            ip: start.ip,
            host_at,
            process: None,
            ports: [0; 2],
            wants: false,
            wants_at: None,
            up_at: None,
            gone_at: None,
            asleep_until: Time::ZERO,
            slow_until: Time::ZERO,
            socket: Socket::default(),
            send_gap: Some(send_gap),
            send_at: Time::ZERO,
            retry_at: None,
            epoch: None,
            since: None,
            lost_at: None,
            path: Path::default(),
            dice: Dice::new(endpoint.seed),
            endpoint,
        }
    }

    pub(crate) const fn at(&self, port: Port) -> SocketAddr {
        SocketAddr::new(self.ip, self.ports[port.0 as usize])
    }

    /// The next process logs in under the name of this user.
    pub(crate) fn take_name(&mut self, user: usize) {
        self.user = user;
        if let Some(login) = &mut self.config.login {
            login.identity = setup::name(user).into_bytes();
        }
    }

    /// A new process that wants in.
    pub(crate) fn start(&mut self, now: Time) {
        let endpoint = Endpoint { seed: self.dice.seed(), ..self.endpoint.clone() };
        let transport = self.carrier.client(endpoint);
        let dialer = Dialer::new(now, self.config.clone(), transport, self.dice.seed());
        self.process = Some(dialer.expect("the settings make sense"));
        self.path = Path::default();
        self.wants = true;
        self.up_at = None;
        self.retry_at = Some(now);
        self.send_at = now;
    }

    /// The process ends without a word.
    pub(crate) fn kill(&mut self, now: Time, record: &mut Record<'_>) {
        self.end_epoch(now, record);
        self.process = None;
        self.gone_at = None;
        self.socket.clear();
        self.asleep_until = Time::ZERO;
        self.slow_until = Time::ZERO;
    }

    pub(crate) const fn fall_silent(&mut self) {
        self.send_gap = None;
    }

    pub(crate) fn state(&self) -> State {
        self.process.as_ref().map_or(State::Disconnected, |dialer| dialer.session().state())
    }

    pub(crate) fn arrive(&mut self, arrived: Arrived) {
        if self.process.is_some() {
            self.socket.put(arrived);
        }
    }

    /// When something is to be done next.
    pub(crate) fn next(&self, now: Time) -> Option<Time> {
        let Some(dialer) = &self.process else { return self.up_at };
        let says_at = self.send_gap.map(|_| self.send_at);
        let says_at = says_at.filter(|_| self.state() == State::LoggedIn);
        let application = earliest(earliest(says_at, self.retry_at), self.wants_at);
        let reads_at = dialer.has_events().then_some(self.slow_until);
        let application = earliest(reads_at, application.map(|at| at.max(self.slow_until)));
        let waiting = !self.socket.is_empty() && !dialer.is_backlogged();
        let next = earliest(earliest(dialer.poll_timeout(), application), waiting.then_some(now));
        let awake = next.map(|at| at.max(self.asleep_until).max(now));
        earliest(awake, self.gone_at)
    }

    /// One round of the drain rule, with the application's part. Says whether the process wants to
    /// leave from new ports.
    pub(crate) fn round(&mut self, now: Time, record: &mut Record<'_>) -> Checked<bool> {
        if self.gone_at.is_some_and(|at| at <= now) {
            self.kill(now, record);
        }
        if now < self.asleep_until {
            return Ok(false);
        }
        let Some(dialer) = self.process.as_mut() else { return Ok(false) };
        while !dialer.is_backlogged()
            && let Some(Arrived { port, origin, mut bytes, .. }) = self.socket.take()
        {
            dialer.handle_in_place(now, port, origin, &mut bytes);
        }
        dialer.handle_timeout(now);
        if now >= self.slow_until {
            self.drain(now, record)?;
            self.decide(now);
            self.drain(now, record)?;
            if self.send_gap.is_some() && now >= self.send_at && self.epoch.is_some() {
                self.send_at = now + self.send_gap.unwrap_or_default();
                self.say(now, record);
            }
        }
        Ok(self.process.as_mut().is_some_and(Dialer::take_fresh_ports))
    }

    pub(crate) fn transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        let sent = self.process.as_mut()?.poll_transmit(now, datagram)?;
        self.endpoint.keys.see(Direction::ToHost, sent.to, datagram);
        Some(sent)
    }

    pub(crate) fn drain(&mut self, now: Time, record: &mut Record<'_>) -> Checked {
        while let Some(event) = self.process.as_mut().and_then(Dialer::poll_event) {
            match event {
                DialerEvent::Session(event) => self.on_event(now, record, &event)?,
                DialerEvent::Welcome { payload } => {
                    let is_whole = payload == b"welcome";
                    let what = || format!("client {} was greeted with {payload:?}", self.number);
                    under(Oracle::Delivery, holds(is_whole, what))?;
                }
                DialerEvent::Message { kind, lane, payload } => {
                    let (number, len) = (self.number, payload.len());
                    record.note(now, format_args!("client {number} heard {kind}: {len} bytes"));
                    let nobody =
                        || Broken(Oracle::Delivery, format!("client {number} is not logged in"));
                    let epoch = self.epoch.ok_or_else(nobody)?;
                    let verdict = record.ledger.receive(epoch, (kind, lane), &payload);
                    under(Oracle::Delivery, verdict)?;
                }
                DialerEvent::Delivered { notice } => {
                    let what = format!("client {} is told of {notice}", self.number);
                    return Err(Broken(Oracle::Delivery, what));
                }
            }
        }
        Ok(())
    }

    fn on_event(&mut self, now: Time, record: &mut Record<'_>, event: &Event) -> Checked {
        record.note(now, format_args!("client {} {event}", self.number));
        under(Oracle::Path, self.path.walk(event))?;
        if event.from == State::LoggedIn && event.to != State::LoggedIn {
            self.pause(now, record);
            let was_told = matches!(event.reason, Some(Reason::Refused(_)));
            if event.to != State::Disconnected && !was_told {
                let heard_at = self.process.as_ref().map_or(now, |it| it.session().heard_at());
                record.detected_after.push(event.at.since(heard_at));
                self.lost_at = Some(event.at);
            }
            if !self.carrier.promises().continues {
                self.end_epoch(now, record);
            }
        }
        match event.kind {
            EventKind::LoginSucceeded => {
                self.end_epoch(now, record);
                self.epoch = Some(record.ledger.begin(Side::Client, self.user));
                self.go_on(now);
                record.logins += 1;
            }
            EventKind::Resumed => {
                let goes_on = self.epoch.is_some();
                let what = || format!("client {} goes on with nothing", self.number);
                under(Oracle::Delivery, holds(goes_on, what))?;
                // The host knows the user still, and not what was on its way.
                if event.gap.is_some() {
                    self.end_epoch(now, record);
                    record.lapses += 1;
                    record.renewals += 1;
                    self.epoch = Some(record.ledger.begin(Side::Client, self.user));
                }
                self.go_on(now);
                record.resumes += 1;
                let lost_at = self.lost_at.take();
                record.resumed_after.extend(lost_at.map(|at| event.at.since(at)));
            }
            EventKind::ContinuityLost => {
                self.end_epoch(now, record);
                record.lapses += 1;
            }
            EventKind::Disconnected => self.end_epoch(now, record),
            _ => {}
        }
        Ok(())
    }

    fn go_on(&mut self, now: Time) {
        self.since = Some(now);
        self.send_at = now;
    }

    fn pause(&mut self, now: Time, record: &mut Record<'_>) {
        if let Some(since) = self.since.take() {
            record.session_time += now.since(since);
        }
    }

    fn end_epoch(&mut self, now: Time, record: &mut Record<'_>) {
        self.pause(now, record);
        if let Some(epoch) = self.epoch.take() {
            record.ledger.end(epoch);
        }
    }

    /// What the application does about the state it finds: it tries again after a while.
    fn decide(&mut self, now: Time) {
        if self.wants_at.is_some_and(|at| at <= now) {
            self.wants_at = None;
            self.wants = true;
        }
        let Some(dialer) = self.process.as_mut() else { return };
        let state = dialer.session().state();
        let is_idle = match state {
            State::Disconnected => dialer.session().link().is_none(),
            State::LoginFailed | State::TimedOut => true,
            _ => false,
        };
        if !self.wants || !is_idle {
            self.retry_at = None;
            return;
        }
        let Some(at) = self.retry_at else {
            self.retry_at = Some(now + self.dice.millis(100, 3_000));
            return;
        };
        if at > now {
            return;
        }
        self.retry_at = None;
        match state {
            State::TimedOut => {
                dialer.reconnect(now).ok();
            }
            _ => {
                // A login that failed leaves a link.
                dialer.close(now);
                dialer.connect(now, self.host_at).ok();
            }
        }
    }

    /// Says something on both lanes.
    pub(crate) fn say(&mut self, now: Time, record: &mut Record<'_>) {
        let (Some(dialer), Some(epoch)) = (self.process.as_mut(), self.epoch) else { return };
        for (kind, lane) in [(RELIABLE, Lane::ReliableOrdered), (LATEST, Lane::Latest)] {
            let key = if kind == LATEST { self.dice.index(KEYS) as u8 } else { 0 };
            let payload = record.ledger.next(epoch, kind, key);
            let message = Outgoing { kind, lane, key: key.into(), payload: &payload, notice: None };
            if dialer.send(now, message).is_ok() {
                record.ledger.sent(epoch, kind, key);
            }
        }
    }

    /// Nothing goes wrong any more: its user wants in, and whoever slept wakes.
    pub(crate) fn calm_down(&mut self, now: Time) {
        self.asleep_until = self.asleep_until.min(now);
        self.slow_until = self.slow_until.min(now);
        self.up_at = self.up_at.map(|at| at.min(now));
        self.wants_at = Some(now);
    }

    /// The user leaves, and comes back when it says so.
    pub(crate) fn leave(&mut self, now: Time, back_at: Option<Time>) {
        self.wants = false;
        self.wants_at = back_at;
        if let Some(dialer) = self.process.as_mut() {
            dialer.close(now);
        }
    }

    /// A stranger sent this: nothing may change.
    pub(crate) fn hear_stranger(&mut self, now: Time, arrived: &Arrived) -> Checked {
        let Some(dialer) = self.process.as_mut().filter(|dialer| !dialer.has_events()) else {
            return Ok(());
        };
        let before = format!("{:?}", dialer.session());
        if arrived.is_copy && self.carrier.promises().knows_peers_by_key {
            dialer.handle_in_place(now, arrived.port, arrived.origin, &mut arrived.bytes.clone());
            return Ok(());
        }
        dialer.handle_in_place(now, arrived.port, arrived.origin, &mut arrived.bytes.clone());
        let after = format!("{:?}", dialer.session());
        // A reset counts by its end alone, so one that was damaged before it may be true.
        if self.carrier.promises().knows_peers_by_key && dialer.session().link().is_none() {
            return Ok(());
        }
        let is_same = before == after && !dialer.has_events();
        under(Oracle::Isolation, holds(is_same, || format!("{before} became {after}")))
    }
}
