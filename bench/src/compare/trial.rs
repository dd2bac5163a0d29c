//! What is asked of a peer: the scenarios, and one trial of one of them.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What clients and server do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Inputs of 64 bytes up and states of 200 bytes down at 30 Hz, and a reliable message of 64
    /// bytes a second each way.
    State,
    /// Reliable messages come back, with so many of each connection under way.
    Echo,
    /// Messages of 64 bytes at 10 Hz, relayed to all 50 of a room.
    Room,
    /// Nothing is sent.
    Idle,
    /// All clients connect at once.
    Storm,
    /// The simulator's latency under loss, on virtual time.
    Latency,
}

impl Scenario {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 6] =
        [Self::State, Self::Echo, Self::Room, Self::Idle, Self::Storm, Self::Latency];

    /// How it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Echo => "echo",
            Self::Room => "room",
            Self::Idle => "idle",
            Self::Storm => "storm",
            Self::Latency => "latency",
        }
    }

    /// What happens in it, for a reader of its table.
    pub const fn story(self) -> &'static str {
        match self {
            Self::State => {
                "64-byte inputs at 30 Hz up, 200-byte states at 30 Hz down, one reliable 64-byte \
                 message a second each way"
            }
            Self::Echo => "reliable messages come back; a window of each connection is under way",
            Self::Room => "64-byte messages at 10 Hz, relayed to all 50 of a room",
            Self::Idle => "connected clients without traffic of their own",
            Self::Storm => "all clients connect at once",
            Self::Latency => "latency under loss in the simulator",
        }
    }
}

/// Clients in a room.
pub const ROOM_LEN: u32 = 50;

/// Sends of all clients are spread over so many parts of a tick, so that they are no burst that
/// overflows a buffer.
pub const PHASES: u32 = 10;

/// One run of one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// The peer's name.
    pub peer: String,
    /// What is done.
    pub scenario: Scenario,
    /// By how many clients.
    pub clients: u32,
    /// How many there are in all, where these are one load's.
    pub all: u32,
    /// Which of all is the first of these: a process has not enough files for very many.
    pub first: u32,
    /// Bytes of a message, in [`Scenario::Echo`].
    pub message_len: usize,
    /// Messages under way for each connection, there as well.
    pub window: u32,
    /// How long it is measured.
    pub seconds: f64,
}

impl Trial {
    /// How often both applications look around and send.
    pub const fn tick(&self) -> Duration {
        match self.scenario {
            Scenario::Echo | Scenario::Storm => Duration::from_millis(1),
            // Many clients have to be looked at.
            Scenario::Idle => Duration::from_millis(100),
            _ => Duration::from_nanos(33_333_333),
        }
    }

    /// Into how many parts the load divides a tick.
    pub const fn phases(&self) -> u32 {
        match self.scenario {
            Scenario::Echo | Scenario::Storm => 1,
            _ => PHASES,
        }
    }

    /// Whether a server may hold back nothing: the load waits for it.
    pub const fn is_bulk(&self) -> bool {
        matches!(self.scenario, Scenario::Echo)
    }

    /// What it is called in its table.
    pub fn label(&self) -> String {
        match self.scenario {
            Scenario::Echo => {
                let len = match self.message_len {
                    len if len >= 1_024 => format!("{} KB", len / 1_024),
                    len => format!("{len} B"),
                };
                format!("{} x {len}", self.clients)
            }
            _ => self.clients.to_string(),
        }
    }

    /// Whether it is the same question, asked of any peer.
    pub fn asks_as(&self, other: &Self) -> bool {
        (self.scenario, self.clients, self.message_len)
            == (other.scenario, other.clients, other.message_len)
    }
}

/// The trials of a scenario, for a peer yet to be named.
pub fn trials(scenario: Scenario, clients: &[u32], seconds: f64, is_quick: bool) -> Vec<Trial> {
    let all: &[u32] = match (scenario, is_quick) {
        (Scenario::State, false) => &[10, 100, 500, 1_000, 2_000, 4_000],
        (Scenario::State, true) => &[10, 100],
        (Scenario::Echo, false) => &[1, 8, 64],
        (Scenario::Echo, true) => &[8],
        (Scenario::Room, false) => &[50, 200],
        (Scenario::Room, true) => &[50],
        (Scenario::Idle, false) => &[1_000, 10_000, 100_000],
        (Scenario::Idle, true) => &[1_000],
        (Scenario::Storm, false) => &[1_000],
        (Scenario::Storm, true) => &[200],
        (Scenario::Latency, _) => &[],
    };
    let lens: &[(usize, u32)] = match scenario {
        Scenario::Echo => &[(64, 64), (1_024, 32), (16_384, 8)],
        _ => &[(64, 0)],
    };
    let trial = |clients, (message_len, window)| Trial {
        peer: String::new(),
        scenario,
        clients,
        all: clients,
        first: 0,
        message_len,
        window,
        seconds,
    };
    let clients = if clients.is_empty() { all } else { clients };
    let of = |clients: &u32| {
        let clients = *clients;
        lens.iter().map(move |len| trial(clients, *len))
    };
    if scenario == Scenario::Latency { vec![] } else { clients.iter().flat_map(of).collect() }
}
