//! Applications, their contenders, and the link between their ends.

use std::time::Duration;

use moorline_link::Time;
use moorline_link::time::earliest;

use super::contender::{Contender, End, Kind};
use super::path::{Bottleneck, Loss, Path};

/// The applications' tick: 60 Hz.
pub const TICK: Duration = Duration::from_micros(16_667);
/// How long a contender has to connect, and to deliver what is left at the end.
const CONNECT_TIME: Duration = Duration::from_secs(10);
const DRAIN_TIME: Duration = Duration::from_secs(60);
/// How long a connection settles before it is measured.
const SETTLE_TIME: Duration = Duration::from_millis(500);

/// What one application sends.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Bytes of a reliable message; none is sent if it is 0.
    pub message_len: usize,
    /// A reliable message every so many ticks.
    pub message_ticks: u64,
    /// Bytes of the state of each tick; none is sent if it is 0.
    pub state_len: usize,
    /// Bytes of bulk to send as fast as they are taken, in messages of 16 KiB.
    pub bulk_bytes: u64,
}

/// Bulk is sent in messages of this length.
pub const BULK_LEN: usize = 16 * 1_024;
/// What a message begins with: its kind, its number and when it was sent.
const HEAD_LEN: usize = 17;

/// One connection and its account.
#[derive(Debug)]
pub struct Flow {
    contender: Box<dyn Contender>,
    traffic: Traffic,
    starts_at: Time,
    message_next: u64,
    message_expected: u64,
    state_next: u64,
    bulk_next: u64,
    bulk_expected: u64,
    /// Latencies of reliable messages and of states.
    pub latencies: Vec<Duration>,
    /// The same of states that arrived.
    pub state_latencies: Vec<Duration>,
    /// Payload bytes that were sent.
    pub payload_bytes: u64,
    /// Bulk bytes that arrived, with when each message did.
    pub bulk: Vec<Time>,
    /// Whether the connection was given up, or a promise broken.
    pub failure: Option<&'static str>,
}

/// Everything that moves.
#[derive(Debug)]
pub struct World {
    now: Time,
    tick_at: Time,
    ticks: u64,
    /// To the hosts, and back.
    pub paths: [Path; 2],
    /// The connections.
    pub flows: Vec<Flow>,
}

impl World {
    /// Connects all contenders over a link without loss.
    ///
    /// # Errors
    /// When one does not connect.
    pub fn connect(
        contenders: Vec<Box<dyn Contender>>,
        one_way: Duration,
        seed: u64,
    ) -> Result<Self, &'static str> {
        let now = Time::from_millis(1_000);
        let flow = |contender| Flow {
            contender,
            traffic: Traffic { message_len: 0, message_ticks: 1, state_len: 0, bulk_bytes: 0 },
            starts_at: now,
            message_next: 0,
            message_expected: 0,
            state_next: 0,
            bulk_next: 0,
            bulk_expected: 0,
            latencies: Vec::new(),
            state_latencies: Vec::new(),
            payload_bytes: 0,
            bulk: Vec::new(),
            failure: None,
        };
        let flows: Vec<_> = contenders.into_iter().map(flow).collect();
        let path = |seed| Path::new(one_way, flows.len(), seed);
        let paths = [path(seed * 2 + 1), path(seed * 2 + 2)];
        let mut world = Self { now, tick_at: now, ticks: 0, paths, flows };
        let end = now + CONNECT_TIME;
        while world.flows.iter().any(|flow| !flow.contender.is_ready()) {
            if world.now >= end {
                return Err("did not connect");
            }
            world.step(end);
        }
        world.run(SETTLE_TIME);
        Ok(world)
    }

    /// Begins to measure.
    pub fn begin(&mut self, loss: Loss, bottleneck: Option<Bottleneck>, traffic: &[Traffic]) {
        self.paths[0].change(loss, bottleneck);
        self.paths[1].change(loss, None);
        for (flow, traffic) in self.flows.iter_mut().zip(traffic) {
            flow.traffic = *traffic;
            flow.starts_at = self.now;
        }
    }

    /// A flow begins so much later.
    pub fn delay(&mut self, flow: usize, by: Duration) {
        self.flows[flow].starts_at = self.now + by;
    }

    /// The time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step(end);
        }
    }

    /// Nobody sends anything new; what is on its way arrives.
    pub fn drain(&mut self) {
        let end = self.now + DRAIN_TIME;
        self.flows.iter_mut().for_each(Flow::fall_silent);
        while self.now < end && !self.flows.iter().all(Flow::is_complete) {
            self.step(end);
        }
        for flow in &mut self.flows {
            if flow.contender.has_given_up() {
                flow.fail("gave up");
            } else if !flow.is_complete() {
                flow.fail("did not deliver all");
            }
        }
    }

    fn step(&mut self, until: Time) {
        self.transmit();
        let mut next = self.tick_at.min(until);
        for way in &self.paths {
            next = way.next().map_or(next, |at| next.min(at));
        }
        let timers = self.flows.iter().map(|flow| flow.contender.poll_timeout());
        let timer = timers.fold(None, earliest);
        // As a timer wheel does: no finer than a quarter of a millisecond.
        let soonest = self.now + Duration::from_micros(250);
        next = timer.map_or(next, |at| next.min(at.max(soonest)));
        self.now = next.max(self.now);
        for (way, at) in [(0, End::Host), (1, End::Client)] {
            while let Some(datagram) = self.paths[way].receive(self.now) {
                let contender = &mut self.flows[datagram.flow].contender;
                contender.receive(self.now, at, &datagram.bytes);
            }
        }
        for flow in &mut self.flows {
            if flow.contender.poll_timeout().is_some_and(|at| at <= self.now) {
                flow.contender.handle_timeout(self.now);
            }
            flow.collect(self.now);
        }
        if self.now >= self.tick_at {
            self.tick_at = self.tick_at + TICK;
            self.ticks += 1;
            for flow in &mut self.flows {
                flow.speak(self.now, self.ticks);
                flow.contender.tick(self.now);
            }
        }
        for flow in &mut self.flows {
            flow.pour(self.now);
        }
    }

    fn transmit(&mut self) {
        let mut out = Vec::new();
        for (number, flow) in self.flows.iter_mut().enumerate() {
            let overhead = flow.contender.datagram_overhead();
            for (way, from) in End::BOTH.into_iter().enumerate() {
                while flow.contender.transmit(self.now, from, &mut out) {
                    self.paths[way].send(self.now, number, &out, overhead);
                }
            }
        }
    }
}

impl Flow {
    fn fail(&mut self, why: &'static str) {
        self.failure.get_or_insert(why);
    }

    fn fall_silent(&mut self) {
        (self.traffic.message_len, self.traffic.state_len) = (0, 0);
    }

    fn is_complete(&self) -> bool {
        let is_poured = self.bulk_next * BULK_LEN as u64 >= self.traffic.bulk_bytes;
        self.failure.is_some()
            || self.contender.has_given_up()
            || self.message_expected == self.message_next
                && self.bulk_expected == self.bulk_next
                && is_poured
    }

    fn speak(&mut self, now: Time, tick: u64) {
        if now < self.starts_at {
            return;
        }
        let Traffic { message_len, message_ticks, state_len, .. } = self.traffic;
        if message_len > 0 && tick.is_multiple_of(message_ticks) {
            let message = message(b'm', self.message_next, now, message_len);
            if self.contender.send(now, Kind::Reliable, &message) {
                self.message_next += 1;
                self.payload_bytes += message_len as u64;
            } else {
                self.fail("did not take a message");
            }
        }
        if state_len > 0 {
            let state = message(b's', self.state_next, now, state_len);
            if self.contender.send(now, Kind::State, &state) {
                self.state_next += 1;
                self.payload_bytes += state_len as u64;
            }
        }
    }

    /// As much bulk as is taken.
    fn pour(&mut self, now: Time) {
        while now >= self.starts_at && self.bulk_next * (BULK_LEN as u64) < self.traffic.bulk_bytes
        {
            let message = message(b'b', self.bulk_next, now, BULK_LEN);
            if !self.contender.send(now, Kind::Reliable, &message) {
                return;
            }
            self.bulk_next += 1;
            self.payload_bytes += BULK_LEN as u64;
        }
    }

    fn collect(&mut self, now: Time) {
        while let Some(payload) = self.contender.delivered() {
            let Some((kind, number, sent_at)) = read(&payload) else {
                self.fail("delivered what was not sent");
                return;
            };
            if payload != message(kind, number, sent_at, payload.len()) {
                self.fail("delivered what was not sent");
            }
            let latency = now.since(sent_at);
            let expected = match kind {
                b'm' => {
                    self.latencies.push(latency);
                    &mut self.message_expected
                }
                b'b' => {
                    self.bulk.push(now);
                    &mut self.bulk_expected
                }
                _ => {
                    self.state_latencies.push(latency);
                    continue;
                }
            };
            if *expected != number {
                self.fail("delivered out of order, twice or not at all");
                return;
            }
            *expected += 1;
        }
    }
}

fn message(kind: u8, number: u64, now: Time, len: usize) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(number.to_le_bytes());
    message.extend(now.as_micros().to_le_bytes());
    message.extend((HEAD_LEN..len.max(HEAD_LEN)).map(|at| (number as usize * 31 + at) as u8));
    message
}

fn read(payload: &[u8]) -> Option<(u8, u64, Time)> {
    let (kind, rest) = payload.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (micros, _) = rest.split_first_chunk()?;
    Some((*kind, u64::from_le_bytes(*number), Time::from_micros(u64::from_le_bytes(*micros))))
}
