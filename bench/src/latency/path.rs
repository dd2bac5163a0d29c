//! One way of a link: delay, loss, and a bottleneck with a queue.

use std::collections::VecDeque;
use std::time::Duration;

use moorline_link::Time;
use moorline_link::rng::Rng;

/// What IPv4 and UDP add to a datagram.
pub const DATAGRAM_OVERHEAD: usize = 28;
/// The delay varies by this much, without overtaking.
const JITTER: Duration = Duration::from_micros(500);

/// How datagrams are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Each by itself, so many in a thousand.
    Even(u64),
    /// In bursts of three on average, so many in a thousand (Gilbert's model).
    Bursts(u64),
}

/// The mean length of a burst.
const BURST_LEN: u64 = 3;

/// A bottleneck.
#[derive(Clone, Copy, Debug)]
pub struct Bottleneck {
    /// Bytes a second, with IP and UDP headers.
    pub rate: u64,
    /// How many bytes wait at most; what comes beyond is dropped.
    pub queue_max: u64,
}

/// What travels, and for whom.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Which connection's.
    pub flow: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// One way.
#[derive(Debug)]
pub struct Path {
    delay: Duration,
    loss: Loss,
    bottleneck: Option<Bottleneck>,
    rng: Rng,
    is_in_burst: bool,
    free_at: Time,
    last_at: Time,
    on_way: VecDeque<(Time, Datagram)>,
    /// Bytes that were sent, with IP and UDP headers, of each flow.
    pub bytes: Vec<u64>,
    /// How many datagrams were sent.
    pub datagrams: u64,
    /// How long each datagram waited in the queue.
    pub waits: Vec<Duration>,
}

impl Path {
    /// A way that loses nothing yet.
    pub fn new(delay: Duration, flows: usize, seed: u64) -> Self {
        Self {
            delay,
            loss: Loss::Even(0),
            bottleneck: None,
            rng: Rng::new(seed),
            is_in_burst: false,
            free_at: Time::ZERO,
            last_at: Time::ZERO,
            on_way: VecDeque::new(),
            bytes: vec![0; flows],
            datagrams: 0,
            waits: Vec::new(),
        }
    }

    /// From now on it is like this, and counts from zero.
    pub fn change(&mut self, loss: Loss, bottleneck: Option<Bottleneck>) {
        (self.loss, self.bottleneck) = (loss, bottleneck);
        self.bytes.iter_mut().for_each(|bytes| *bytes = 0);
        self.datagrams = 0;
        self.waits.clear();
    }

    /// Sends a datagram; `overhead` is what layers below the contender add.
    pub fn send(&mut self, now: Time, flow: usize, bytes: &[u8], overhead: usize) {
        let carried = (bytes.len() + overhead + DATAGRAM_OVERHEAD) as u64;
        self.bytes[flow] += carried;
        self.datagrams += 1;
        let mut leaves = now;
        if let Some(Bottleneck { rate, queue_max }) = self.bottleneck {
            let starts = self.free_at.max(now);
            let wait = starts.since(now);
            if wait.as_micros() as u64 * rate / 1_000_000 > queue_max {
                return;
            }
            self.waits.push(wait);
            leaves = starts + Duration::from_nanos(carried * 1_000_000_000 / rate);
            self.free_at = leaves;
        }
        if self.is_lost() {
            return;
        }
        let arrives = (leaves + self.delay + self.rng.up_to(JITTER)).max(self.last_at);
        self.last_at = arrives;
        self.on_way.push_back((arrives, Datagram { flow, bytes: bytes.to_vec() }));
    }

    fn is_lost(&mut self) -> bool {
        match self.loss {
            Loss::Even(permille) => self.rng.below(1_000) < permille,
            Loss::Bursts(permille) => {
                // In a burst all is lost; it ends with one chance in its mean length.
                let begins = permille * 1_000 / (BURST_LEN * (1_000 - permille));
                self.is_in_burst = if self.is_in_burst {
                    self.rng.below(BURST_LEN) != 0
                } else {
                    self.rng.below(1_000) < begins
                };
                self.is_in_burst
            }
        }
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<Time> {
        self.on_way.front().map(|(at, _)| *at)
    }

    /// What has arrived.
    pub fn receive(&mut self, now: Time) -> Option<Datagram> {
        self.on_way.pop_front_if(|(at, _)| *at <= now).map(|(_, datagram)| datagram)
    }
}
