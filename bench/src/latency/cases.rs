//! What is sent, and what is made of it.

use std::time::Duration;

use moorline_link::Time;

use super::Make;
use super::path::{Bottleneck, Loss};
use super::world::{BULK_LEN, TICK, Traffic, World};

/// Half a round trip.
const ONE_WAY: Duration = Duration::from_millis(25);
/// 20 Mbit/s with a queue of 100 ms.
const BOTTLENECK: Bottleneck = Bottleneck { rate: 2_500_000, queue_max: 250_000 };
const BULK_BYTES: u64 = 10_000_000;
const NOTHING: Traffic = Traffic { message_len: 0, message_ticks: 1, state_len: 0, bulk_bytes: 0 };

/// Messages under loss.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    traffic: Traffic,
    losses: &'static [Loss],
    /// How many times as long as asked it runs, for rare messages.
    length: u32,
}

const LOSSES: &[Loss] = &[
    Loss::Even(0),
    Loss::Even(10),
    Loss::Even(50),
    Loss::Even(100),
    Loss::Even(200),
    Loss::Bursts(50),
];

/// All cases of messages.
pub const CASES: &[Case] = &[
    Case {
        name: "reliable-100",
        traffic: Traffic { message_len: 100, ..NOTHING },
        losses: LOSSES,
        length: 1,
    },
    Case {
        name: "reliable-1000",
        traffic: Traffic { message_len: 1_000, ..NOTHING },
        losses: LOSSES,
        length: 1,
    },
    Case {
        name: "mixed",
        traffic: Traffic { message_len: 24, message_ticks: 6, state_len: 200, bulk_bytes: 0 },
        losses: LOSSES,
        length: 4,
    },
    Case {
        name: "sparse",
        traffic: Traffic { message_len: 24, message_ticks: 60, ..NOTHING },
        losses: &[Loss::Even(100)],
        length: 30,
    },
];

/// How long messages took, and what they cost.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Milliseconds that so many did not exceed.
    pub p50: f64,
    /// See above.
    pub p99: f64,
    /// See above.
    pub p999: f64,
    /// Bytes on the wire, there and back, for each byte of payload.
    pub cost: f64,
}

impl Case {
    /// The losses that it is run with.
    pub const fn losses(&self) -> &'static [Loss] {
        self.losses
    }

    /// Runs it for one contender.
    ///
    /// # Errors
    /// When the contender breaks a promise or gives up.
    pub fn run(
        &self,
        make: Make,
        loss: Loss,
        seconds: u32,
        seed: u64,
    ) -> Result<Figures, &'static str> {
        let mut world = World::connect(vec![make()], ONE_WAY, seed)?;
        world.begin(loss, None, &[self.traffic]);
        world.run(Duration::from_secs(u64::from(seconds * self.length)));
        world.drain();
        let bytes: u64 = world.paths.iter().map(|path| path.bytes[0]).sum();
        let flow = &mut world.flows[0];
        if let Some(failure) = flow.failure {
            return Err(failure);
        }
        let [p50, p99, p999] = percentiles(&mut flow.latencies, [500, 990, 999]);
        let cost = bytes as f64 / flow.payload_bytes as f64;
        Ok(Figures { p50, p99, p999, cost })
    }
}

/// Milliseconds that so many thousandths did not exceed.
fn percentiles<const N: usize>(latencies: &mut [Duration], permilles: [usize; N]) -> [f64; N] {
    latencies.sort_unstable();
    permilles.map(|permille| {
        let rank = (latencies.len() * permille).div_ceil(1_000).max(1) - 1;
        latencies.get(rank).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
    })
}

/// What a transfer of 10 MB did.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// Payload that arrived, in hundredths of what the bottleneck carries.
    pub percent: f64,
    /// Milliseconds that datagrams waited in its queue.
    pub queue_p50: f64,
    /// See above.
    pub queue_p99: f64,
}

/// Sends 10 MB through the bottleneck.
///
/// # Errors
/// As [`Case::run`].
pub fn bulk(make: Make, loss: Loss, seed: u64) -> Result<Bulk, &'static str> {
    let mut world = World::connect(vec![make()], ONE_WAY, seed)?;
    world.begin(loss, Some(BOTTLENECK), &[Traffic { bulk_bytes: BULK_BYTES, ..NOTHING }]);
    let began = world.now();
    world.run(Duration::from_millis(1));
    world.drain();
    let flow = &world.flows[0];
    if let Some(failure) = flow.failure {
        return Err(failure);
    }
    let ended = flow.bulk.last().copied().ok_or("nothing arrived")?;
    let percent = share(flow.bulk.len(), ended.since(began));
    let [queue_p50, queue_p99] = percentiles(&mut world.paths[0].waits, [500, 990]);
    Ok(Bulk { percent, queue_p50, queue_p99 })
}

/// Bulk messages in a time, in hundredths of the bottleneck's rate.
fn share(messages: usize, time: Duration) -> f64 {
    let bytes = messages as f64 * BULK_LEN as f64;
    bytes / time.as_secs_f64() / BOTTLENECK.rate as f64 * 100.0
}

/// How much later states arrive beside bulk on the same connection: p50 and p99 in milliseconds,
/// without the path's own delay.
///
/// # Errors
/// As [`Case::run`].
pub fn beside_bulk(make: Make, seed: u64) -> Result<[f64; 2], &'static str> {
    let mut world = World::connect(vec![make()], ONE_WAY, seed)?;
    let traffic = Traffic { state_len: 60, bulk_bytes: 4 * BULK_BYTES, ..NOTHING };
    world.begin(Loss::Even(0), Some(BOTTLENECK), &[traffic]);
    world.run(Duration::from_secs(10));
    let flow = &mut world.flows[0];
    if let Some(failure) = flow.failure {
        return Err(failure);
    }
    let own = ONE_WAY.as_secs_f64() * 1_000.0;
    Ok(percentiles(&mut flow.state_latencies, [500, 990]).map(|latency| latency - own))
}

/// What two transfers get of one bottleneck, the second of which begins two seconds later: the
/// lesser share for the greater one, over the last ten seconds.
///
/// # Errors
/// As [`Case::run`].
pub fn fairness(make: Make, seed: u64) -> Result<f64, &'static str> {
    let mut world = World::connect(vec![make(), make()], ONE_WAY, seed)?;
    let traffic = Traffic { bulk_bytes: 100 * BULK_BYTES, ..NOTHING };
    world.begin(Loss::Even(0), Some(BOTTLENECK), &[traffic; 2]);
    world.delay(1, Duration::from_secs(2));
    world.run(Duration::from_secs(7));
    let from = world.now();
    world.run(Duration::from_secs(10));
    let counted = |arrivals: &[Time]| arrivals.iter().filter(|at| **at >= from).count() as f64;
    let [one, two] = [0, 1].map(|flow| counted(&world.flows[flow].bulk));
    if let Some(failure) = world.flows.iter().find_map(|flow| flow.failure) {
        return Err(failure);
    }
    Ok(one.min(two) / one.max(two))
}

/// UDP payload bytes there and back for each reliable message of 64 bytes at 60 Hz, without loss.
///
/// # Errors
/// As [`Case::run`].
pub fn overhead(make: Make, seed: u64) -> Result<[f64; 2], &'static str> {
    let mut world = World::connect(vec![make()], ONE_WAY, seed)?;
    world.begin(Loss::Even(0), None, &[Traffic { message_len: 64, ..NOTHING }]);
    let seconds = 20;
    world.run(Duration::from_secs(seconds));
    let messages = Duration::from_secs(seconds).as_secs_f64() / TICK.as_secs_f64();
    if let Some(failure) = world.flows[0].failure {
        return Err(failure);
    }
    let overhead = super::path::DATAGRAM_OVERHEAD as f64;
    let per_message = |way: usize| {
        let path = &world.paths[way];
        (path.bytes[0] as f64 - path.datagrams as f64 * overhead) / messages
    };
    Ok([per_message(0), per_message(1)])
}
