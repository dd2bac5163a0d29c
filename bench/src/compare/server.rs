//! The server's process: an application on top of a peer's server.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::account::Account;
use super::orders::{self, Order};
use super::payload::{self, From, Stream, Tally};
use super::seam::{Event, Lane, Peer, Server};
use super::trial::{ROOM_LEN, Scenario, Trial};

/// So many events are taken before the clock is looked at: it is not for free.
const EVENTS_PER_LOOK: u32 = 64;

/// Bytes of a state, and of whatever else is sent to one client.
const STATE_LEN: usize = 200;
const WORD_LEN: usize = 64;

/// Ticks between two reliable messages to a client.
const WORD_TICKS: u64 = 30;

struct App<'a> {
    trial: &'a Trial,
    server: Box<dyn Server>,
    tally: Tally,
    /// By the number that the server gave.
    clients: Vec<Option<Stream>>,
    /// Who is in which room.
    rooms: Vec<Vec<u32>>,
    /// What a client's queue had no room for.
    backlog: Vec<(u32, Vec<u8>)>,
    connected: u32,
    gone: u32,
    is_sending: bool,
    is_quiet: bool,
    tick: u64,
    first_resident_bytes: u64,
}

/// Serves until the harness says that it is enough.
///
/// # Errors
/// When the server does not start.
pub fn run(peer: &Peer, trial: &Trial) -> Result<(), String> {
    let tally = Tally { is_reliable: peer.is_reliable, ..Tally::default() };
    let first_resident_bytes = Account::of_process(&tally).resident_bytes;
    let (server, invitation) = (peer.serve)(trial)?;
    let orders = orders::listen();
    orders::answer(&format!("ready {invitation}"));
    let mut app = App {
        trial,
        server,
        tally,
        clients: Vec::new(),
        rooms: Vec::new(),
        backlog: Vec::new(),
        connected: 0,
        gone: 0,
        is_sending: false,
        is_quiet: false,
        tick: 0,
        first_resident_bytes,
    };
    app.serve(&orders);
    Ok(())
}

impl App<'_> {
    fn serve(&mut self, orders: &Receiver<Order>) {
        let mut payload = Vec::new();
        let mut deadline = Instant::now() + self.trial.tick();
        loop {
            let mut looked = 0;
            while let Some(event) = self.server.poll(deadline, &mut payload) {
                self.on_event(event, &payload);
                looked += 1;
                if looked % EVENTS_PER_LOOK == 0 && Instant::now() >= deadline {
                    break;
                }
            }
            self.on_tick(&mut payload);
            self.server.tick();
            for order in orders.try_iter() {
                if self.obey(order).is_none() {
                    return;
                }
            }
            // A server that is late has one tick for all that it missed.
            deadline = (deadline + self.trial.tick()).max(Instant::now());
        }
    }

    fn obey(&mut self, order: Order) -> Option<()> {
        match order {
            Order::Begin => self.tally.ages.iter_mut().for_each(super::ages::Ages::clear),
            Order::Quiet => self.is_quiet = true,
            Order::End => return None,
            Order::Go => self.is_sending = true,
            Order::Mark => {}
        }
        let mut account = Account::of_process(&self.tally);
        (account.connected, account.gone) = (self.connected, self.gone);
        account.first_resident_bytes = self.first_resident_bytes;
        orders::answer(&serde_json::to_string(&account).unwrap_or_default());
        Some(())
    }

    fn on_event(&mut self, event: Event, payload: &[u8]) {
        match event {
            Event::Connected(client) => {
                let at = client as usize;
                if self.clients.len() <= at {
                    self.clients.resize(at + 1, None);
                }
                self.clients[at] = Some(Stream::new(From::One));
                self.connected += 1;
            }
            Event::Gone(client) => {
                if let Some(stream) = self.clients.get_mut(client as usize) {
                    *stream = None;
                }
                self.gone += 1;
            }
            Event::Message(client, lane) => self.on_message(client, lane, payload),
        }
    }

    fn on_message(&mut self, client: u32, lane: Lane, payload: &[u8]) {
        let Some(Some(stream)) = self.clients.get_mut(client as usize) else {
            self.tally.corrupt += 1;
            return;
        };
        let was_known = stream.writer.is_some();
        stream.on_message(lane, payload, From::One, &mut self.tally);
        let writer = stream.writer;
        match self.trial.scenario {
            Scenario::Echo => self.echo(client, payload),
            Scenario::Room => {
                let Some(writer) = writer else { return };
                let room = (writer / ROOM_LEN) as usize;
                if self.rooms.len() <= room {
                    self.rooms.resize(room + 1, Vec::new());
                }
                if !was_known {
                    self.rooms[room].push(client);
                }
                for to in &self.rooms[room] {
                    if self.server.send(*to, lane, payload) {
                        self.tally.sent[lane as usize] += 1;
                    } else {
                        self.tally.refused += 1;
                    }
                }
            }
            _ => {}
        }
    }

    /// Sends a message back, after those that wait already.
    fn echo(&mut self, client: u32, payload: &[u8]) {
        let waits = self.backlog.iter().any(|(waiting, _)| *waiting == client);
        if !waits && self.server.send(client, Lane::Reliable, payload) {
            self.tally.sent[Lane::Reliable as usize] += 1;
        } else {
            self.backlog.push((client, payload.to_vec()));
        }
    }

    fn on_tick(&mut self, payload: &mut Vec<u8>) {
        self.tick += 1;
        let mut refused = Vec::new();
        for (client, payload) in std::mem::take(&mut self.backlog) {
            let waits = refused.iter().any(|(waiting, _)| *waiting == client);
            if !waits && self.server.send(client, Lane::Reliable, &payload) {
                self.tally.sent[Lane::Reliable as usize] += 1;
            } else {
                refused.push((client, payload));
            }
        }
        self.backlog = refused;
        if self.trial.scenario == Scenario::State && self.is_sending && !self.is_quiet {
            self.send_states(payload);
        }
    }

    fn send_states(&mut self, payload: &mut Vec<u8>) {
        for (client, stream) in (0..).zip(&mut self.clients) {
            let Some(stream) = stream else { continue };
            let mut send = |lane, len| {
                payload::write(payload, len, client, lane, stream.next(lane));
                if self.server.send(client, lane, payload) {
                    stream.on_sent(lane, &mut self.tally);
                } else {
                    self.tally.refused += 1;
                }
            };
            send(Lane::Unreliable, STATE_LEN);
            if self.tick % WORD_TICKS == u64::from(client) % WORD_TICKS {
                send(Lane::Reliable, WORD_LEN);
            }
        }
    }
}
