//! The load's process: many clients of one server.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::account::Account;
use super::ages::Ages;
use super::orders::{self, Order};
use super::payload::{self, From, Stream, Tally};
use super::seam::{Clients, Event, Lane, Peer};
use super::trial::{PHASES, ROOM_LEN, Scenario, Trial};

/// Clients that connect at a time, where it is no storm: so many, or this part of all, as those
/// that are in have to be looked at in between.
const CONNECTING_MAX: u32 = 64;
const CONNECTING_PART: u32 = 200;

/// How many of very many idle ones are opened at a time: a handshake costs as much as a hundred
/// of them.
const OPENED_PER_LOOK: usize = 4;

/// Ticks between two messages, reliable ones and those to a room.
const WORD_TICKS: u64 = 30;
const ROOM_TICKS: u64 = 3;

const WORD_LEN: usize = 64;

/// Without an answer for so long, what is under way counts as lost, where it may be.
const LOST_AFTER: Duration = Duration::from_millis(250);

const EVENTS_PER_LOOK: u32 = 64;

struct Client {
    stream: Stream,
    is_in: bool,
    /// Echoes that are awaited, and since when none came.
    awaited: u32,
    answered_at: Instant,
}

struct Load<'a> {
    trial: &'a Trial,
    ends: Box<dyn Clients>,
    clients: Vec<Client>,
    tally: Tally,
    connected: u32,
    gone: u32,
    /// When the first one was opened, and how long it took until the last one was in.
    opened_at: Instant,
    connect_seconds: f64,
    is_sending: bool,
    is_quiet: bool,
    phase: u64,
    payload: Vec<u8>,
}

/// Connects and sends until the harness says that it is enough.
///
/// # Errors
/// When clients cannot be made.
pub fn run(peer: &Peer, trial: &Trial, invitation: &str) -> Result<(), String> {
    let ends = (peer.join)(trial, invitation)?;
    let orders = orders::listen();
    let mut load = Load {
        trial,
        ends,
        clients: Vec::new(),
        tally: Tally { is_reliable: peer.is_reliable, ..Tally::default() },
        connected: 0,
        gone: 0,
        opened_at: Instant::now(),
        connect_seconds: 0.0,
        is_sending: false,
        is_quiet: false,
        phase: 0,
        payload: Vec::new(),
    };
    orders::answer("ready");
    load.drive(&orders)
}

impl Load<'_> {
    fn drive(&mut self, orders: &Receiver<Order>) -> Result<(), String> {
        let period = self.trial.tick() / self.trial.phases();
        let mut deadline = Instant::now() + period;
        let mut payload = Vec::new();
        loop {
            self.open_some()?;
            self.send_phase();
            let mut looked = 0;
            while let Some(event) = self.ends.poll(deadline, &mut payload) {
                self.on_event(event, &payload);
                looked += 1;
                if looked % EVENTS_PER_LOOK == 0 && Instant::now() >= deadline {
                    break;
                }
            }
            for order in orders.try_iter() {
                if self.obey(order).is_none() {
                    return Ok(());
                }
            }
            deadline = (deadline + period).max(Instant::now());
        }
    }

    fn obey(&mut self, order: Order) -> Option<()> {
        match order {
            Order::Go => self.is_sending = true,
            Order::Begin => self.tally.ages.iter_mut().for_each(Ages::clear),
            Order::Quiet => self.is_quiet = true,
            Order::End => return None,
            Order::Mark => {}
        }
        let mut account = Account::of_process(&self.tally);
        (account.connected, account.gone) = (self.connected, self.gone);
        account.connect_seconds = self.connect_seconds;
        orders::answer(&serde_json::to_string(&account).unwrap_or_default());
        Some(())
    }

    fn open_some(&mut self) -> Result<(), String> {
        let most = match self.trial.scenario {
            Scenario::Storm => u32::MAX,
            _ => CONNECTING_MAX.max(self.trial.clients / CONNECTING_PART),
        };
        let is_held = self.trial.scenario == Scenario::Storm && !self.is_sending;
        if self.clients.is_empty() {
            self.opened_at = Instant::now();
        }
        let opened = self.clients.len();
        let enough = match self.trial.scenario {
            Scenario::Idle => opened + OPENED_PER_LOOK,
            _ => usize::MAX,
        };
        while !is_held
            && self.clients.len() < enough
            && (self.clients.len() as u32) < self.trial.clients
            && (self.clients.len() as u32).saturating_sub(self.connected + self.gone) < most
        {
            let client = self.clients.len() as u32;
            let from = self.from(client);
            self.clients.push(Client {
                stream: Stream::new(from),
                is_in: false,
                awaited: 0,
                answered_at: Instant::now(),
            });
            self.ends.open(client)?;
        }
        Ok(())
    }

    fn from(&self, client: u32) -> From {
        match self.trial.scenario {
            Scenario::Room => From::Room(client / ROOM_LEN),
            _ => From::One,
        }
    }

    fn on_event(&mut self, event: Event, payload: &[u8]) {
        match event {
            Event::Connected(client) => {
                self.clients[client as usize].is_in = true;
                self.connected += 1;
                if self.connected == self.trial.clients {
                    self.connect_seconds = self.opened_at.elapsed().as_secs_f64();
                }
            }
            Event::Gone(client) => {
                self.clients[client as usize].is_in = false;
                self.gone += 1;
            }
            Event::Message(client, lane) => {
                let from = self.from(client);
                let it = &mut self.clients[client as usize];
                it.stream.on_message(lane, payload, from, &mut self.tally);
                if self.trial.scenario == Scenario::Echo {
                    it.awaited = it.awaited.saturating_sub(1);
                    it.answered_at = Instant::now();
                    self.fill_window(client);
                }
            }
        }
    }

    /// The clients of this part of the tick send what is due, and look around.
    fn send_phase(&mut self) {
        let phases = u64::from(self.trial.phases());
        let (phase, tick) = (self.phase % phases, self.phase / phases);
        self.phase += 1;
        let mine = (phase as u32..self.clients.len() as u32).step_by(phases as usize);
        for client in mine {
            if self.is_sending && !self.is_quiet && self.clients[client as usize].is_in {
                self.send_tick(client, tick);
            }
            self.ends.tick(client);
        }
    }

    fn send_tick(&mut self, client: u32, tick: u64) {
        // Those of one phase are not all due at once.
        let turn = u64::from(client / PHASES);
        match self.trial.scenario {
            Scenario::State => {
                self.send(client, Lane::Unreliable, WORD_LEN);
                if tick % WORD_TICKS == turn % WORD_TICKS {
                    self.send(client, Lane::Reliable, WORD_LEN);
                }
            }
            Scenario::Room if tick % ROOM_TICKS == turn % ROOM_TICKS => {
                self.send(client, Lane::Unreliable, WORD_LEN);
            }
            Scenario::Echo => {
                let it = &mut self.clients[client as usize];
                let is_stuck = it.awaited > 0 && it.answered_at.elapsed() > LOST_AFTER;
                if is_stuck && !self.tally.is_reliable {
                    it.awaited = 0;
                }
                self.fill_window(client);
            }
            _ => {}
        }
    }

    fn fill_window(&mut self, client: u32) {
        while !self.is_quiet && self.clients[client as usize].awaited < self.trial.window {
            if !self.send(client, Lane::Reliable, self.trial.message_len) {
                break;
            }
            let it = &mut self.clients[client as usize];
            if it.awaited == 0 {
                it.answered_at = Instant::now();
            }
            it.awaited += 1;
        }
    }

    fn send(&mut self, client: u32, lane: Lane, len: usize) -> bool {
        let stream = &mut self.clients[client as usize].stream;
        payload::write(&mut self.payload, len, client, lane, stream.next(lane));
        let is_taken = self.ends.send(client, lane, &self.payload);
        if is_taken {
            stream.on_sent(lane, &mut self.tally);
        } else {
            self.tally.refused += 1;
        }
        is_taken
    }
}
