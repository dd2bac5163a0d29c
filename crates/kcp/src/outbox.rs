//! Where datagrams wait for the driver, and how KCP puts them there.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_link::Transmit;
use moorline_link::transport::Volume;

use crate::segment::{Command, segments};

/// An endpoint's outbox, as all its conversations hold it.
///
/// KCP keeps its output to itself, so the outbox cannot be lent to it for a call. It is shared
/// behind a lock, not a cell, so that an endpoint can move to another thread; nobody ever waits for
/// the lock, as only the thread that drives the endpoint takes it.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Outbox>>);

impl Shared {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let outbox = Outbox {
            bytes: Vec::new(),
            datagrams: VecDeque::new(),
            bytes_max,
            dropped: 0,
            report: Report::default(),
        };
        Self(Arc::new(Mutex::new(outbox)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end that a conversation's KCP writes to.
    pub(crate) fn sink(&self, transmit: Transmit) -> Sink {
        Sink { shared: self.clone(), transmit }
    }
}

/// Datagrams that wait, one behind the other in one buffer.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Where each goes and where it ends; each begins where the one before ended.
    datagrams: VecDeque<Waiting>,
    bytes_max: usize,
    dropped: u64,
    report: Report,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    transmit: Transmit,
    start: usize,
    end: usize,
}

/// What a conversation sent since it last asked.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Its datagrams.
    pub(crate) sent: Volume,
    /// The numbers of its data segments.
    pub(crate) pushed: Vec<u32>,
}

impl Outbox {
    /// Puts a datagram at the end, or drops it if there is no room.
    pub(crate) fn put(&mut self, transmit: Transmit, datagram: &[u8]) {
        let start = self.bytes.len();
        let end = start.saturating_add(datagram.len());
        if end > self.bytes_max {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push_back(Waiting { transmit, start, end });
    }

    /// Writes the first datagram over `datagram`. The buffer begins anew when all are taken, and
    /// moves up when more than half of it was.
    pub(crate) fn take(&mut self, datagram: &mut Vec<u8>) -> Option<Transmit> {
        let waiting = self.datagrams.pop_front()?;
        datagram.clear();
        datagram.extend_from_slice(self.bytes.get(waiting.start..waiting.end)?);
        if self.datagrams.is_empty() {
            self.bytes.clear();
        } else if waiting.end > self.bytes_max / 2 {
            self.bytes.drain(..waiting.end);
            for other in &mut self.datagrams {
                other.start -= waiting.end;
                other.end -= waiting.end;
            }
        }
        Some(waiting.transmit)
    }

    /// How many datagrams were dropped.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What was sent since the last call, for the conversation that sent it.
    pub(crate) const fn report(&mut self) -> &mut Report {
        &mut self.report
    }
}

/// The end of an outbox that one conversation's KCP writes to, a datagram a call.
#[derive(Debug)]
pub(crate) struct Sink {
    shared: Shared,
    transmit: Transmit,
}

impl Write for Sink {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        let mut outbox = self.shared.lock();
        outbox.put(self.transmit, datagram);
        outbox.report.sent.add(datagram.len());
        let pushed = segments(datagram).filter(|segment| segment.command == Command::Push);
        outbox.report.pushed.extend(pushed.map(|segment| segment.number));
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use moorline_link::Port;

    use super::*;

    #[test]
    fn datagrams_leave_in_order_and_a_full_box_drops_the_newest() {
        let shared = Shared::new(10);
        let to = |port| Transmit::unmarked(Port(port), ([127, 0, 0, 1], 9).into());
        let mut taken = Vec::new();
        for _ in 0..2 {
            shared.lock().put(to(0), b"first");
            shared.lock().put(to(1), b"again");
            shared.lock().put(to(1), b"x");
            assert_eq!(shared.lock().take(&mut taken), Some(to(0)));
            assert_eq!(taken, b"first");
            assert_eq!(shared.lock().take(&mut taken), Some(to(1)));
            assert_eq!(taken, b"again");
            assert_eq!(shared.lock().take(&mut taken), None);
        }
        assert_eq!(shared.lock().dropped(), 2);
    }
}
