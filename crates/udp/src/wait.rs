//! Sleeping until a datagram arrives, somebody calls, or the time is up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

/// The longest sleep that is asked of the system; some refuse longer ones. Who wants to sleep for
/// longer is woken once an hour for nothing.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Events taken at once; the rest is taken by the next wait. Sockets are few.
const EVENTS_MAX: usize = 64;

/// The waker's place among the sockets' indexes.
const WAKER: Token = Token(usize::MAX);

/// Why a [wait](crate::Sockets::wait) is over. Both may be true, and neither is when the time was
/// up or a signal cut the sleep short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// A socket has something to receive.
    pub readable: bool,
    /// A [`Waker`] was used since the last wait.
    pub called: bool,
}

/// Ends another thread's [wait](crate::Sockets::wait), the current or else the next one. Many calls
/// before one wait are one call.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Calls.
    ///
    /// # Errors
    /// When the system does not pass the call on; it has no reason to as long as the
    /// [`Sockets`](crate::Sockets) are there.
    pub fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}

/// The system's readiness queue.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    waker: Option<Waker>,
}

impl Poller {
    /// A queue for these sockets. What waits in them already is reported by the first sleep.
    pub(crate) fn new<'a>(sockets: impl Iterator<Item = &'a mut UdpSocket>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let poller = Self { poll, events: Events::with_capacity(EVENTS_MAX), waker: None };
        for (index, socket) in sockets.enumerate() {
            poller.watch(index, socket)?;
        }
        Ok(poller)
    }

    /// Reports on this socket as well.
    pub(crate) fn watch(&self, index: usize, socket: &mut UdpSocket) -> io::Result<()> {
        self.poll.registry().register(socket, Token(index), Interest::READABLE)
    }

    /// Reports on this socket by another number from now on. What is there already is told again.
    pub(crate) fn renumber(&self, index: usize, socket: &mut UdpSocket) -> io::Result<()> {
        self.poll.registry().reregister(socket, Token(index), Interest::READABLE)
    }

    pub(crate) fn waker(&mut self) -> io::Result<Waker> {
        if let Some(waker) = &self.waker {
            return Ok(waker.clone());
        }
        let waker = Waker(Arc::new(mio::Waker::new(self.poll.registry(), WAKER)?));
        Ok(self.waker.insert(waker).clone())
    }

    /// Sleeps, and tells `on_readable` the index of every socket that changed.
    ///
    /// # Errors
    /// When the system cannot sleep on these sockets; a signal is no error.
    pub(crate) fn sleep(
        &mut self,
        timeout: Option<Duration>,
        mut on_readable: impl FnMut(usize),
    ) -> io::Result<Woken> {
        let mut woken = Woken::default();
        match self.poll.poll(&mut self.events, timeout.map(whole_milliseconds)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(woken),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            if event.token() == WAKER {
                woken.called = true;
            } else {
                // An error is received as well, so it is something to receive.
                woken.readable = true;
                on_readable(event.token().0);
            }
        }
        Ok(woken)
    }
}

/// The system counts in milliseconds. Rounded down, a sleep of 0.3 ms would be none at all, and its
/// caller would spin until the time has come.
fn whole_milliseconds(timeout: Duration) -> Duration {
    let below_one = timeout.subsec_nanos() % 1_000_000;
    let missing = if below_one == 0 { 0 } else { 1_000_000 - below_one };
    timeout.saturating_add(Duration::from_nanos(u64::from(missing))).min(SLEEP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_rounded_up_to_whole_milliseconds_and_bounded() {
        let rounded = |nanos| whole_milliseconds(Duration::from_nanos(nanos)).as_nanos();
        assert_eq!(rounded(0), 0);
        assert_eq!(rounded(1), 1_000_000);
        assert_eq!(rounded(300_000), 1_000_000);
        assert_eq!(rounded(1_000_000), 1_000_000);
        assert_eq!(rounded(1_000_001), 2_000_000);
        assert_eq!(whole_milliseconds(Duration::MAX), SLEEP_MAX);
    }
}
