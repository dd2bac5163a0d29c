//! What the operating system and the harness know of a process.

use std::fs;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::payload::Tally;

/// A process between its start and now. What happened between two marks is their difference.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Processor time of all its threads, in nanoseconds.
    pub cpu_nanos: u64,
    /// Resident memory of its own, in bytes. It is what the allocator holds: counting every
    /// allocation would cost the peers that allocate most.
    pub resident_bytes: u64,
    /// What it was when the process began, before the peer's server was made.
    pub first_resident_bytes: u64,
    /// The most that was ever resident.
    pub peak_bytes: u64,
    /// UDP datagrams that were sent in the network namespace, by whomever.
    pub datagrams: u64,
    /// When it was, on the clock of all processes.
    pub at_nanos: u64,
    /// Clients that are in.
    pub connected: u32,
    /// Clients that were lost.
    pub gone: u32,
    /// From the first client that was opened until the last one was in; the load's.
    pub connect_seconds: f64,
    /// Messages that were sent, reliable and unreliable.
    pub sent: [u64; 2],
    /// Messages that came.
    pub received: [u64; 2],
    /// Messages with other bytes than they were sent with.
    pub corrupt: u64,
    /// Messages that came twice, or out of order where order is owed.
    pub out_of_order: u64,
    /// Messages that were not taken for sending.
    pub refused: u64,
    /// Ages of messages that came since the last `begin`, in milliseconds: p50 and p99 of reliable
    /// and of unreliable ones.
    pub ages: [[Option<f64>; 2]; 2],
}

impl Account {
    /// The process that asks, and its messages.
    pub(super) fn of_process(tally: &Tally) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_nanos: cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64,
            resident_bytes: kilobytes(&status, "RssAnon:") * 1_024,
            peak_bytes: kilobytes(&status, "VmHWM:") * 1_024,
            datagrams: datagrams(),
            at_nanos: super::payload::now(),
            sent: tally.sent,
            received: tally.received,
            corrupt: tally.corrupt,
            out_of_order: tally.out_of_order,
            refused: tally.refused,
            ages: [0, 1].map(|lane: usize| {
                [500, 990].map(|permille| tally.ages[lane].percentile(permille))
            }),
            ..Self::default()
        }
    }

    /// Adds what another process of the load has to tell. Ages stay those of the first.
    pub(super) fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.gone += other.gone;
        self.connect_seconds = self.connect_seconds.max(other.connect_seconds);
        for lane in 0..2 {
            self.sent[lane] += other.sent[lane];
            self.received[lane] += other.received[lane];
        }
        self.corrupt += other.corrupt;
        self.out_of_order += other.out_of_order;
        self.refused += other.refused;
    }

    /// Application messages in and out.
    pub fn messages(&self) -> u64 {
        self.sent.iter().chain(&self.received).sum()
    }
}

/// Bytes that the machine can still give.
pub(super) fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kilobytes(&text, "MemAvailable:") * 1_024
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// `OutDatagrams` of the `Udp:` lines, the first of which has the names.
fn datagrams() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let at = names.split_whitespace().position(|name| name == "OutDatagrams");
    at.and_then(|at| values.split_whitespace().nth(at)?.parse().ok()).unwrap_or(0)
}
