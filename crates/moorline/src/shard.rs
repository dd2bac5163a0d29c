//! Threads that serve a native listener together: each has a socket, an endpoint and the links that
//! were made there. The server's own thread has the sessions of all, so that a login, an identity
//! and the order of a session's events are decided in one place.
//!
//! What arrives is decrypted, and what leaves is encrypted, by the thread of its link; the two
//! sides meet at the endpoint, which is locked for one datagram or one command at a time.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use moorline_link::time::earliest;
use moorline_link::transport::{Counter, DialError};
use moorline_link::{
    Control, Lane, LinkEvent, LinkId, LinkStats, Outgoing, Port, Refusal, SendError, Time,
    Transmit, Transport,
};
use moorline_proto::{Endpoint, PassedOn};
use moorline_udp::{BufferReport, Sockets};

use crate::clock::Clock;
use crate::pipe::{Pipe, RETRY_AFTER, Traffic};
use crate::waker::Doorbell;

/// Datagrams that may wait to be taken over from siblings.
const PASSED_LEN_MAX: usize = 4_096;
/// The longest sleep of a thread that has nothing to do.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// One of the threads, as its server has it. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Shard {
    seam: Arc<Seam>,
    thread: Option<JoinHandle<()>>,
    buffers: Vec<BufferReport>,
}

/// Where a thread and the server meet.
struct Seam {
    core: Mutex<Core>,
    told: Mutex<VecDeque<Told>>,
    told_len: AtomicUsize,
    /// As many may wait for the server before nothing more is read.
    told_len_max: usize,
    /// Datagrams of this one's links that arrived at siblings.
    passed: Mutex<Vec<PassedOn>>,
    /// Whether the server did something that the thread has not seen yet.
    has_work: AtomicBool,
    is_over: AtomicBool,
    bell: Doorbell,
    traffic: Mutex<Traffic>,
}

/// What both sides use, each with its own look at the clock.
struct Core {
    endpoint: Endpoint,
    /// The latest look of either: time does not go back.
    now: Time,
}

/// An event, and of a link that is lost the last figures.
#[derive(Debug)]
struct Told(LinkEvent, Option<LinkStats>);

/// The seam as the server's host uses it.
#[derive(Debug)]
pub(crate) struct ShardTransport {
    seam: Arc<Seam>,
    told: VecDeque<Told>,
    /// The figures of the link whose loss was told of last.
    lost_last: Option<(LinkId, LinkStats)>,
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seam").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    fn at(&mut self, now: Time) -> (Time, &mut Endpoint) {
        self.now = self.now.max(now);
        (self.now, &mut self.endpoint)
    }
}

impl Seam {
    fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    /// Whatever the endpoint has to tell from now on is told after what it told before.
    fn take_events(&self, endpoint: &mut Endpoint) {
        let Some(first) = endpoint.poll_event() else { return };
        let mut told = lock(&self.told);
        let mut next = Some(first);
        while let Some(event) = next {
            let is_lost = matches!(event, LinkEvent::Lost { .. });
            let stats = if is_lost { endpoint.stats(event.link()) } else { None };
            told.push_back(Told(event, stats));
            next = endpoint.poll_event();
        }
        self.told_len.store(told.len(), Ordering::SeqCst);
    }

    fn is_full(&self) -> bool {
        self.told_len.load(Ordering::SeqCst) >= self.told_len_max
    }
}

impl Shard {
    /// Starts a thread for each endpoint, with the socket of the same number. `server` is where
    /// what they have to tell is waited for, and so many events may wait of each.
    ///
    /// # Errors
    /// When the system gives no thread, or nothing to wake it with.
    pub(crate) fn start(
        clock: Clock,
        endpoints: Vec<Endpoint>,
        sockets: Vec<Sockets>,
        (server, told_len_max): (&Doorbell, usize),
    ) -> std::io::Result<Vec<(Self, ShardTransport)>> {
        let mut pairs = Vec::new();
        for (endpoint, mut sockets) in endpoints.into_iter().zip(sockets) {
            let seam = Seam {
                core: Mutex::new(Core { endpoint, now: Time::ZERO }),
                told: Mutex::default(),
                told_len: AtomicUsize::new(0),
                told_len_max,
                passed: Mutex::default(),
                has_work: AtomicBool::new(false),
                is_over: AtomicBool::new(false),
                bell: Doorbell::new(sockets.waker()?),
                traffic: Mutex::default(),
            };
            pairs.push((Arc::new(seam), sockets));
        }
        let all: Arc<[Arc<Seam>]> = pairs.iter().map(|(seam, _)| Arc::clone(seam)).collect();
        let mut shards = Vec::new();
        for (number, (seam, sockets)) in pairs.into_iter().enumerate() {
            let buffers = sockets.buffer_report().cloned().collect();
            let (siblings, server) = (Arc::clone(&all), server.clone());
            let pipe = Pipe::new(sockets);
            let worker = Worker { number, siblings, server, pipe, clock };
            let thread = thread::Builder::new().name(format!("moorline-{number}"));
            let thread = Some(thread.spawn(move || worker.run())?);
            let (told, lost_last) = (VecDeque::new(), None);
            let transport = ShardTransport { seam: Arc::clone(&seam), told, lost_last };
            shards.push((Self { seam, thread, buffers }, transport));
        }
        Ok(shards)
    }

    /// What the server did since it said so last is done by the thread.
    pub(crate) fn flush(&self) {
        if self.seam.has_work.load(Ordering::SeqCst) {
            self.seam.bell.ring();
        }
    }

    /// Whether nothing waits to be sent, now or again.
    pub(crate) fn is_quiet(&self) -> bool {
        let has_work = self.seam.has_work.load(Ordering::SeqCst);
        !has_work && self.seam.core().endpoint.poll_timeout().is_none()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        *lock(&self.seam.traffic)
    }

    pub(crate) fn buffers(&self) -> impl Iterator<Item = &BufferReport> {
        self.buffers.iter()
    }

    /// A thread that failed is the server's failure.
    ///
    /// # Panics
    /// As the thread did.
    pub(crate) fn check(&mut self) {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.seam.is_over.store(true, Ordering::SeqCst);
        self.seam.bell.ring();
        if let Some(thread) = self.thread.take() {
            // If it failed, there is nobody left to tell.
            thread.join().ok();
        }
    }
}

/// What a thread has for itself.
struct Worker {
    number: usize,
    siblings: Arc<[Arc<Seam>]>,
    server: Doorbell,
    pipe: Pipe,
    clock: Clock,
}

impl Worker {
    fn run(mut self) {
        let seam = Arc::clone(&self.siblings[self.number]);
        while !seam.is_over.load(Ordering::SeqCst) {
            let may_have_more = self.turn(&seam);
            if may_have_more {
                continue;
            }
            seam.bell.set_waiting(true);
            let is_idle = !seam.is_over.load(Ordering::SeqCst)
                && !seam.has_work.load(Ordering::SeqCst)
                && lock(&seam.passed).is_empty();
            if is_idle {
                self.wait(&seam);
            }
            seam.bell.set_waiting(false);
        }
        // The last words of links that were closed.
        self.turn(&seam);
    }

    /// One round of the drain rule. Whether more may have arrived.
    fn turn(&mut self, seam: &Seam) -> bool {
        let now = self.clock.now();
        seam.has_work.store(false, Ordering::SeqCst);
        let passed = std::mem::take(&mut *lock(&seam.passed));
        for PassedOn { from, mut datagram, .. } in passed {
            let mut core = seam.core();
            let (now, endpoint) = core.at(now);
            endpoint.handle_passed_on(now, from, &mut datagram);
        }
        let may_have_more = !seam.is_full() && self.receive(now, seam);
        let mut core = seam.core();
        let (now, endpoint) = core.at(now);
        endpoint.handle_timeout(now);
        seam.take_events(endpoint);
        let passed_on: Vec<PassedOn> = std::iter::from_fn(|| endpoint.poll_passed_on()).collect();
        drop(core);
        if seam.told_len.load(Ordering::SeqCst) > 0 {
            self.server.ring();
        }
        passed_on.into_iter().for_each(|datagram| self.pass_on(datagram));
        self.transmit(now, seam);
        may_have_more
    }

    fn receive(&mut self, now: Time, seam: &Seam) -> bool {
        self.pipe.receive(0, |origin, datagram, ahead| {
            let mut core = seam.core();
            let (now, endpoint) = core.at(now);
            endpoint.expect(ahead);
            endpoint.handle_in_place(now, Port(0), origin, datagram);
            ControlFlow::Continue(())
        })
    }

    fn transmit(&mut self, now: Time, seam: &Seam) {
        self.pipe.send(|datagram| {
            let mut core = seam.core();
            let (now, endpoint) = core.at(now);
            let transmit = endpoint.poll_transmit(now, datagram)?;
            Some((0, (transmit.to, transmit.ecn)))
        });
        *lock(&seam.traffic) = self.pipe.traffic();
    }

    /// A datagram too many is lost, as on any path.
    fn pass_on(&self, datagram: PassedOn) {
        let Some(sibling) = self.siblings.get(usize::from(datagram.to)) else { return };
        let mut passed = lock(&sibling.passed);
        if passed.len() < PASSED_LEN_MAX {
            passed.push(datagram);
        }
        drop(passed);
        sibling.bell.ring();
    }

    fn wait(&mut self, seam: &Seam) {
        if seam.is_full() {
            // The server holds up the reading; a wait for the sockets would end at once.
            thread::sleep(RETRY_AFTER);
            return;
        }
        let now = self.clock.now();
        let due = seam.core().endpoint.poll_timeout();
        let due = earliest(due, self.pipe.is_stuck().then(|| now + RETRY_AFTER));
        let time = due.map_or(SLEEP_MAX, |due| due.since(now).min(SLEEP_MAX));
        self.pipe.wait(time);
    }
}

impl ShardTransport {
    /// Does something at the endpoint, of which the thread has to know.
    fn act<R>(&mut self, now: Time, act: impl FnOnce(Time, &mut Endpoint) -> R) -> R {
        let mut core = self.seam.core();
        let (now, endpoint) = core.at(now);
        let result = act(now, endpoint);
        self.seam.take_events(endpoint);
        drop(core);
        self.seam.has_work.store(true, Ordering::SeqCst);
        result
    }

    /// Of a link, only such events are told from now on.
    fn retract(&mut self, link: LinkId, is_told: impl Fn(&LinkEvent) -> bool) {
        let mut told = lock(&self.seam.told);
        for told in [&mut *told, &mut self.told] {
            told.retain(|Told(event, _)| event.link() != link || is_told(event));
        }
        self.seam.told_len.store(told.len(), Ordering::SeqCst);
    }
}

impl Transport for ShardTransport {
    fn name(&self) -> &'static str {
        "native"
    }

    fn is_authentic(&self) -> bool {
        true
    }

    /// What arrives goes to the thread.
    fn handle_datagram(&mut self, _: Time, _: Port, _: SocketAddr, _: &[u8]) {}

    fn handle_timeout(&mut self, _: Time) {}

    fn poll_transmit(&mut self, _: Time, _: &mut Vec<u8>) -> Option<Transmit> {
        None
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        if self.told.is_empty() {
            if self.seam.told_len.load(Ordering::SeqCst) == 0 {
                return None;
            }
            let mut told = lock(&self.seam.told);
            std::mem::swap(&mut self.told, &mut told);
            self.seam.told_len.store(0, Ordering::SeqCst);
        }
        let Told(event, stats) = self.told.pop_front()?;
        if let Some(stats) = stats {
            self.lost_last = Some((event.link(), stats));
        }
        Some(event)
    }

    /// What the thread tells is due at once; all else is the thread's.
    fn poll_timeout(&self) -> Option<Time> {
        let has_any = !self.told.is_empty() || self.seam.told_len.load(Ordering::SeqCst) > 0;
        has_any.then_some(Time::ZERO)
    }

    fn dial(&mut self, _: Time, _: SocketAddr, _: Option<LinkId>) -> Result<LinkId, DialError> {
        Err(DialError::HostOnly)
    }

    fn keeps(&self, link: LinkId) -> bool {
        self.seam.core().endpoint.keeps(link)
    }

    /// What has arrived and was acknowledged is still told: its sender will not send it again.
    fn keep(&mut self, now: Time, link: LinkId) -> bool {
        let mut core = self.seam.core();
        let (now, endpoint) = core.at(now);
        self.seam.take_events(endpoint);
        let is_kept = endpoint.keep(now, link);
        drop(core);
        if is_kept {
            let arrived = |event: &LinkEvent| {
                matches!(event, LinkEvent::Message { .. } | LinkEvent::Delivered { .. })
            };
            self.retract(link, arrived);
        }
        is_kept
    }

    fn release(&mut self, now: Time, link: LinkId) {
        self.act(now, |now, endpoint| endpoint.release(now, link));
    }

    fn unsettled(&self, link: LinkId) -> Option<[u64; Lane::RELIABLE.len()]> {
        self.seam.core().endpoint.unsettled(link)
    }

    fn save(&self, link: LinkId) -> Option<Vec<u8>> {
        self.seam.core().endpoint.save(link)
    }

    fn restore(&mut self, now: Time, address: SocketAddr, saved: &[u8]) -> Option<LinkId> {
        self.act(now, |now, endpoint| endpoint.restore(now, address, saved))
    }

    fn hand_over(&mut self, now: Time, link: LinkId, peer: &[u8]) -> Result<(), SendError> {
        self.act(now, |now, endpoint| endpoint.hand_over(now, link, peer))
    }

    fn accept(&mut self, now: Time, link: LinkId) {
        self.act(now, |now, endpoint| endpoint.accept(now, link));
    }

    fn refuse(&mut self, now: Time, link: LinkId, refusal: &Refusal) {
        self.act(now, |now, endpoint| endpoint.refuse(now, link, refusal));
    }

    fn send(&mut self, now: Time, link: LinkId, message: Outgoing<'_>) -> Result<(), SendError> {
        self.act(now, |now, endpoint| endpoint.send(now, link, message))
    }

    fn make_room(&mut self, link: LinkId, lane: Lane, len: usize) -> bool {
        self.seam.core().endpoint.make_room(link, lane, len)
    }

    fn control(&mut self, now: Time, link: LinkId, control: &Control) -> Result<(), SendError> {
        self.act(now, |now, endpoint| endpoint.control(now, link, control))
    }

    fn close(&mut self, now: Time, link: LinkId, farewell: Option<&Refusal>) {
        self.act(now, |now, endpoint| endpoint.close(now, link, farewell));
        self.retract(link, |_| false);
    }

    fn abandon(&mut self, now: Time, link: LinkId) {
        self.act(now, |now, endpoint| endpoint.abandon(now, link));
        self.retract(link, |_| false);
    }

    fn stats(&self, link: LinkId) -> Option<LinkStats> {
        let lost = self.lost_last.as_ref().filter(|(lost, _)| *lost == link);
        lost.map(|(_, stats)| stats.clone()).or_else(|| self.seam.core().endpoint.stats(link))
    }

    fn counters(&self) -> Vec<Counter> {
        self.seam.core().endpoint.counters()
    }
}
