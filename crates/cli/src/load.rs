//! Numbered messages there and back, and the account of what became of each.

use std::fmt;
use std::time::Duration;

use moorline::Time;
use serde::Serialize;

/// The account of one lane.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Account {
    /// Messages that were taken for sending.
    pub(crate) sent: u64,
    /// Different messages that came back.
    pub(crate) received: u64,
    /// Messages that did not come back.
    pub(crate) lost: u64,
    /// Messages that came back once more.
    pub(crate) duplicated: u64,
    /// Messages that came back after a later one.
    pub(crate) out_of_order: u64,
    /// Messages that came back with other bytes than they left with.
    pub(crate) corrupted: u64,
}

impl Account {
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.corrupted += other.corrupted;
    }

    /// Whether every message came back once, whole and in order.
    pub(crate) const fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0 && self.corrupted == 0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, lost, duplicated, out_of_order, corrupted } = self;
        write!(f, "{sent} sent, {received} received, {lost} lost, {duplicated} duplicated, ")?;
        write!(f, "{out_of_order} out of order")?;
        if *corrupted > 0 {
            write!(f, ", {corrupted} corrupted")?;
        }
        Ok(())
    }
}

/// One sender's messages on one lane: a number, the time, and bytes that follow from both.
#[derive(Debug)]
pub(crate) struct Stream {
    size: usize,
    /// Which stream it is, so that one cannot pass for another.
    id: u64,
    next: u64,
    /// Numbers that came back, a bit each.
    seen: Vec<u64>,
    highest: Option<u64>,
    account: Account,
}

/// Number, time and stream: eight bytes each.
const HEADER_LEN: usize = 24;

impl Stream {
    pub(crate) const fn new(id: u64, size: usize) -> Self {
        let size = if size < HEADER_LEN { HEADER_LEN } else { size };
        let account =
            Account { sent: 0, received: 0, lost: 0, duplicated: 0, out_of_order: 0, corrupted: 0 };
        Self { size, id, next: 0, seen: Vec::new(), highest: None, account }
    }

    /// Writes the next message over what `bytes` held. Say with [`on_sent`](Self::on_sent) when it
    /// was taken; if it was not, the same number is written again.
    pub(crate) fn write(&self, now: Time, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend(self.next.to_le_bytes());
        bytes.extend(now.as_micros().to_le_bytes());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend((HEADER_LEN..self.size).map(|at| filler(self.next, at)));
    }

    pub(crate) fn on_sent(&mut self) {
        self.next += 1;
        self.account.sent += 1;
    }

    /// A message came back: how long it took there and back, if it is one of this stream's and came
    /// for the first time.
    pub(crate) fn on_received(&mut self, now: Time, bytes: &[u8]) -> Option<Duration> {
        let Some((number, sent_at)) = self.read(bytes) else {
            self.account.corrupted += 1;
            return None;
        };
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.account.duplicated += 1;
            return None;
        }
        self.seen[word] |= bit;
        self.account.received += 1;
        if self.highest.is_some_and(|highest| number < highest) {
            self.account.out_of_order += 1;
        }
        self.highest = self.highest.max(Some(number));
        Some(now.since(sent_at))
    }

    /// Whether everything that was sent came back.
    pub(crate) const fn is_complete(&self) -> bool {
        self.account.received >= self.account.sent
    }

    /// The account, with everything that did not come back so far as lost.
    pub(crate) const fn account(&self) -> Account {
        let Account { sent, received, .. } = self.account;
        Account { lost: sent.saturating_sub(received), ..self.account }
    }

    fn read(&self, bytes: &[u8]) -> Option<(u64, Time)> {
        let number = read_u64(bytes, 0)?;
        let sent_at = Time::from_micros(read_u64(bytes, 8)?);
        let is_ours = bytes.len() == self.size
            && read_u64(bytes, 16)? == self.id
            && number < self.next
            && (HEADER_LEN..self.size).all(|at| bytes[at] == filler(number, at));
        is_ours.then_some((number, sent_at))
    }
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn filler(number: u64, at: usize) -> u8 {
    (number.wrapping_mul(31).wrapping_add(at as u64)) as u8
}

/// Latencies, kept one by one: a run's percentiles are exact.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

/// Percentiles in milliseconds; zero where nothing came back.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn percentiles(&mut self) -> Percentiles {
        self.0.sort_unstable();
        let at = |permille: usize| {
            let rank = (self.0.len() * permille).div_ceil(1_000).max(1) - 1;
            self.0.get(rank).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        Percentiles { p50: at(500), p99: at(990), max: at(1_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stream: &mut Stream) -> Vec<u8> {
        let mut bytes = Vec::new();
        stream.write(Time::from_millis(1), &mut bytes);
        stream.on_sent();
        bytes
    }

    #[test]
    fn lost_duplicated_late_and_corrupted_messages_are_told_apart() {
        let mut stream = Stream::new(7, 40);
        let messages: Vec<Vec<u8>> = (0..5).map(|_| written(&mut stream)).collect();
        let now = Time::from_millis(11);
        let first = stream.on_received(now, &messages[0]);
        assert_eq!(first, Some(Duration::from_millis(10)));
        stream.on_received(now, &messages[2]);
        stream.on_received(now, &messages[1]);
        stream.on_received(now, &messages[1]);
        let mut broken = messages[3].clone();
        broken[30] ^= 1;
        stream.on_received(now, &broken);
        stream.on_received(now, b"short");
        let account = stream.account();
        assert_eq!((account.sent, account.received, account.lost), (5, 3, 2));
        assert_eq!((account.duplicated, account.out_of_order, account.corrupted), (1, 1, 2));
        assert!(!account.is_clean());
    }

    #[test]
    fn a_message_of_another_stream_does_not_pass() {
        let mut one = Stream::new(1, 24);
        let mut two = Stream::new(2, 24);
        let foreign = written(&mut two);
        written(&mut one);
        assert_eq!(one.on_received(Time::ZERO, &foreign), None);
        assert_eq!(one.account().corrupted, 1);
    }

    #[test]
    fn percentiles_are_exact_and_survive_having_nothing() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles().max, 0.0);
        (1..=1_000).for_each(|ms| latencies.add(Duration::from_millis(ms)));
        let Percentiles { p50, p99, max } = latencies.percentiles();
        assert_eq!((p50, p99, max), (500.0, 990.0, 1_000.0));
    }
}
