//! One trial: what a server cost for what it did.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::account::{Account, available_bytes};
use super::calls::Calls;
use super::orders::Order;
use super::process::{Load, Process};
use super::seam::{Lane, Peer};
use super::trial::{Scenario, Trial};

/// After the load began to send, before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long all have to connect: this, and more for many.
const CONNECT_TIME: Duration = Duration::from_secs(20);
const CONNECT_TIME_PER_CLIENT: Duration = Duration::from_millis(3);

/// How long what is under way has to come in, and the least that is waited for repeats.
const DRAIN_TIME: Duration = Duration::from_secs(5);
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// What is left of the machine's memory for others.
const MEMORY_LEFT: u64 = 4 << 30;

const LOOK: Duration = Duration::from_millis(20);

/// What a trial came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Processor time of the server between the marks, in microseconds.
    pub cpu_micros: f64,
    /// Seconds between the marks.
    pub seconds: f64,
    /// Application messages in and out of the server between the marks.
    pub messages: u64,
    /// Messages that came in and out of each hundred unreliable ones sent, over the whole run.
    pub delivered_percent: Option<f64>,
    /// Messages that were sent on a reliable lane and did not come.
    pub lost: u64,
    /// Messages with other bytes, both ends.
    pub corrupt: u64,
    /// Messages out of order or repeated, both ends.
    pub out_of_order: u64,
    /// Messages that were not taken for sending, both ends.
    pub refused: u64,
    /// Clients that were lost.
    pub gone: u32,
    /// Milliseconds, p50 and p99, of what the server got.
    pub age_up: [Option<f64>; 2],
    /// Of what the clients got; in `echo`, there and back.
    pub age_down: [Option<f64>; 2],
    /// The server's resident memory at its highest, in bytes.
    pub peak_bytes: u64,
    /// What it grew by for each client, from before there was a server to when all were in.
    pub client_bytes: f64,
    /// Datagrams in the network namespace between the marks, both ways.
    pub datagrams: u64,
    /// System calls of the server between the marks, where they were counted.
    pub calls: Option<u64>,
    /// Seconds until all clients were in.
    pub connect_seconds: f64,
    /// Processor time of the server until then, in microseconds.
    pub connect_cpu_micros: f64,
}

/// Runs a trial.
///
/// # Errors
/// When one of its ends fails; with a reason for the reader of a table.
pub fn measure(peer: &Peer, trial: &Trial, counts_calls: bool) -> Result<Figures, String> {
    if trial.clients > peer.clients_max {
        return Err(format!("cannot: {} clients at most", peer.clients_max));
    }
    if trial.message_len > peer.message_len_max {
        return Err(format!("cannot: {} bytes at most", peer.message_len_max));
    }
    let (mut server, invitation) = Process::start("server", trial, "")?;
    let mut load = Load::start(trial, &invitation)?;
    let empty = server.order(Order::Mark)?;
    let is_storm = trial.scenario == Scenario::Storm;
    if is_storm {
        load.order(Order::Go)?;
    }
    connect(&mut server, &mut load, trial)?;
    let full = server.order(Order::Mark)?;
    if !is_storm {
        // Not before: those that are not in yet would have to share the processor with states.
        server.order(Order::Go)?;
        load.order(Order::Go)?;
        std::thread::sleep(WARM_UP);
    }
    let calls = counts_calls.then(|| Calls::count(server.id())).flatten();
    load.order(Order::Begin)?;
    let begin = server.order(Order::Begin)?;
    if !is_storm {
        std::thread::sleep(Duration::from_secs_f64(trial.seconds));
    }
    let end = server.order(Order::Mark)?;
    let calls = calls.and_then(Calls::end);
    let ages = load.order(Order::Mark)?.ages;
    let [server, load] = drain(&mut server, &mut load)?;
    let lane = match trial.scenario {
        Scenario::Echo => Lane::Reliable as usize,
        _ => Lane::Unreliable as usize,
    };
    Ok(Figures {
        cpu_micros: (end.cpu_nanos - begin.cpu_nanos) as f64 / 1e3,
        seconds: (end.at_nanos - begin.at_nanos) as f64 / 1e9,
        messages: end.messages() - begin.messages(),
        delivered_percent: delivered(&server, &load),
        lost: lost(&server, &load),
        corrupt: server.corrupt + load.corrupt,
        out_of_order: server.out_of_order + load.out_of_order,
        refused: server.refused + load.refused,
        gone: server.gone.max(load.gone),
        age_up: end.ages[lane],
        age_down: ages[lane],
        peak_bytes: server.peak_bytes,
        client_bytes: full.resident_bytes.saturating_sub(full.first_resident_bytes) as f64
            / f64::from(trial.clients),
        datagrams: end.datagrams - begin.datagrams,
        calls,
        connect_seconds: load.connect_seconds,
        connect_cpu_micros: (full.cpu_nanos - empty.cpu_nanos) as f64 / 1e3,
    })
}

fn connect(server: &mut Process, load: &mut Load, trial: &Trial) -> Result<(), String> {
    let end = Instant::now() + CONNECT_TIME + CONNECT_TIME_PER_CLIENT * trial.clients;
    loop {
        let (at_load, at_server) = (load.order(Order::Mark)?, server.order(Order::Mark)?);
        let connected = at_load.connected.min(at_server.connected);
        if connected >= trial.clients {
            return Ok(());
        }
        if available_bytes() < MEMORY_LEFT {
            return Err(format!("no memory for more than {connected} of {}", trial.clients));
        }
        if Instant::now() >= end || at_load.gone + at_server.gone > 0 {
            let (all, gone) = (trial.clients, at_load.gone.max(at_server.gone));
            return Err(format!("{connected} of {all} connected, {gone} lost"));
        }
        std::thread::sleep(LOOK);
    }
}

/// Nothing more is sent; the last accounts are those of when everything reliable came, or will not.
fn drain(server: &mut Process, load: &mut Load) -> Result<[Account; 2], String> {
    // Clients first: a server that echoes has nothing of its own.
    load.order(Order::Quiet)?;
    server.order(Order::Quiet)?;
    let began = Instant::now();
    loop {
        std::thread::sleep(LOOK);
        let accounts = [server.order(Order::Mark)?, load.order(Order::Mark)?];
        let is_in = lost(&accounts[0], &accounts[1]) == 0;
        let elapsed = began.elapsed();
        if elapsed > SETTLE_TIME && is_in || elapsed > DRAIN_TIME {
            return Ok(accounts);
        }
    }
}

fn lost(server: &Account, load: &Account) -> u64 {
    let lane = Lane::Reliable as usize;
    let sent = server.sent[lane] + load.sent[lane];
    sent.saturating_sub(server.received[lane] + load.received[lane])
}

fn delivered(server: &Account, load: &Account) -> Option<f64> {
    let lane = Lane::Unreliable as usize;
    let sent = server.sent[lane] + load.sent[lane];
    let received = server.received[lane] + load.received[lane];
    (sent > 0).then(|| received as f64 / sent as f64 * 100.0)
}
