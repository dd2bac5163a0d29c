//! The `kcp` crate in turbo mode: nodelay 1, interval 10 ms, fast resend after 2, no congestion
//! control, windows of 128, MTU 1,400; no handshake and no encryption.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::rc::Rc;

use moorline_link::Time;

use super::contender::{Contender, End, Kind};

/// When datagrams leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// With `update` each tick.
    EveryTick,
    /// After each message that is sent and each datagram that comes.
    AtOnce,
}

#[derive(Clone, Debug, Default)]
struct Outbox(Rc<RefCell<VecDeque<Vec<u8>>>>);

impl Write for Outbox {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two conversations.
pub(super) struct Kcp {
    ends: [kcp::Kcp<Outbox>; 2],
    outboxes: [Outbox; 2],
    flush: Flush,
    updated_at: Time,
    delivered: VecDeque<Vec<u8>>,
}

impl std::fmt::Debug for Kcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kcp").field("flush", &self.flush).finish_non_exhaustive()
    }
}

/// So many segments may wait; more would only wait longer.
const WAITING_MAX: usize = 256;

impl Kcp {
    pub(super) fn boxed(flush: Flush) -> Box<dyn Contender> {
        let outboxes = [Outbox::default(), Outbox::default()];
        let ends = [0, 1].map(|end| {
            let mut kcp = kcp::Kcp::new(1, outboxes[end].clone());
            kcp.set_nodelay(true, 10, 2, true);
            kcp.set_wndsize(128, 128);
            kcp.set_mtu(1_400).expect("an MTU");
            kcp
        });
        let (updated_at, delivered) = (Time::ZERO, VecDeque::new());
        Box::new(Self { ends, outboxes, flush, updated_at, delivered })
    }

    fn update(&mut self, now: Time) {
        self.updated_at = now;
        for end in &mut self.ends {
            end.update(now.as_millis() as u32).expect("an update");
        }
        self.take_delivered();
    }

    fn take_delivered(&mut self) {
        while let Ok(len) = self.ends[1].peeksize() {
            let mut payload = vec![0; len];
            self.ends[1].recv(&mut payload).expect("a message");
            self.delivered.push_back(payload);
        }
    }
}

impl Contender for Kcp {
    fn is_ready(&self) -> bool {
        self.updated_at > Time::ZERO
    }

    fn has_given_up(&self) -> bool {
        self.ends.iter().any(kcp::Kcp::is_dead_link)
    }

    fn send(&mut self, _: Time, _: Kind, payload: &[u8]) -> bool {
        if self.ends[0].wait_snd() > WAITING_MAX {
            return false;
        }
        self.ends[0].send(payload).expect("a message");
        if self.flush == Flush::AtOnce {
            self.ends[0].flush().expect("a flush");
        }
        true
    }

    fn tick(&mut self, now: Time) {
        self.update(now);
    }

    fn receive(&mut self, _: Time, at: End, datagram: &[u8]) {
        let end = &mut self.ends[at as usize];
        end.input(datagram).expect("a datagram of the other end");
        if self.flush == Flush::AtOnce {
            end.flush().expect("a flush");
        }
        self.take_delivered();
    }

    fn transmit(&mut self, _: Time, from: End, out: &mut Vec<u8>) -> bool {
        let next = self.outboxes[from as usize].0.borrow_mut().pop_front();
        next.is_some_and(|datagram| {
            *out = datagram;
            true
        })
    }

    /// `update` is for the interval that was set, and the tick is longer than that.
    fn poll_timeout(&self) -> Option<Time> {
        let now = self.updated_at.as_millis() as u32;
        let wait = self.ends.iter().map(|end| end.check(now)).min().unwrap_or(10);
        Some(self.updated_at + std::time::Duration::from_millis(wait.max(1).into()))
    }

    fn handle_timeout(&mut self, now: Time) {
        self.update(now);
    }

    fn delivered(&mut self) -> Option<Vec<u8>> {
        self.delivered.pop_front()
    }
}
