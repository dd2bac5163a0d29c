//! One KCP conversation with what KCP leaves to its user: a clock, when to flush, and figures.

use std::net::SocketAddr;
use std::time::Duration;

use kcp::Kcp;
use moorline_link::slots::SlotKey;
use moorline_link::time::earliest;
use moorline_link::transport::Volume;
use moorline_link::{LinkStats, Port, Time, Transmit};

use crate::census::Standing;
use crate::outbox::{Shared, Sink};
use crate::segment::{Command, Datagram, MTU};
use crate::track::{INTERVAL, Inbound, Outbound, RoundTrip};

/// Send and receive windows in segments.
const WINDOW: u16 = 128;
/// Milliseconds, 19.9 days: KCP's clock must stay so far below 2^31 that timeouts can be added.
const AGE_MAX: u64 = 1_720_000_000;
/// No conversation sends or receives more segments, so that no number comes near 2^31.
const NUMBER_MAX: u32 = 1 << 30;
/// An acknowledgement's echoed time is at most this old, in milliseconds.
const ECHO_AGE_MAX: u32 = 60_000;
/// More answers than this are sent at once, so that they never pile up, in segments.
const OWED_MAX: u32 = 256;

/// The own port of the reliable lane.
pub(crate) const RELIABLE: Port = Port(0);
/// The own port of the sync lane.
pub(crate) const SYNC: Port = Port(1);
/// A sync conversation that was silent for this long has failed: on a host another may take its
/// place, and what it does not carry the reliable one does.
pub(crate) const SYNC_SILENCE: Duration = Duration::from_secs(6);

/// What a datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    /// The own port.
    pub(crate) port: Port,
    /// The peer's address.
    pub(crate) address: SocketAddr,
    /// The conversation's number.
    pub(crate) number: u32,
}

/// A reliable conversation that was silent for this long while a sync conversation goes on, to be
/// taken for dead: its peer's address may have changed before the sync conversation began.
pub(crate) const RELIABLE_SILENCE: Duration = Duration::from_secs(12);

/// When the driver handed datagrams over, of whomever: a process that slept, or whose application
/// is slow, hears nobody, and must not hold it against its peers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listened {
    from: Time,
    until: Time,
}

impl Listened {
    /// A longer pause than this is one of listening and not of the network: beats come more often.
    const PAUSE_MAX: Duration = Duration::from_secs(4);

    /// A datagram was handed over.
    pub(crate) fn note(&mut self, now: Time) {
        if now.since(self.until) > Self::PAUSE_MAX {
            self.from = now;
        }
        self.until = self.until.max(now);
    }

    /// For how long there was listening since then.
    pub(crate) fn since(self, then: Time) -> Duration {
        self.until.since(then.max(self.from))
    }
}

/// Whose a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A link's.
    Link(SlotKey),
    /// Nobody's yet: a sync endpoint that did not name a player that is logged in.
    Nobody,
    /// Nobody's any more: it only repeats its last words until they are acknowledged.
    Parting,
    /// Nobody's any more: it only acknowledges, until its alarm, so that late repeats of the peer
    /// are not taken for a new link.
    Parted,
}

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputError {
    /// It acknowledges what was never sent, or echoes a time that never was.
    BadAcknowledgement,
    /// The conversation carried as much as it can.
    Exhausted,
}

/// The conversation carried as much as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// A conversation. What it does to the network happens at once, in the shared outbox.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Where its datagrams go and come from.
    pub(crate) route: Route,
    /// Whose it is.
    pub(crate) owner: Owner,
    /// How it counts against the limits.
    pub(crate) standing: Standing,
    /// When whatever its owner waits for is over; what that is, the owner's state says.
    pub(crate) alarm: Option<Time>,
    /// When the peer was last heard.
    pub(crate) heard_at: Time,
    /// When the peer was last heard, or since when something waits for it.
    waits_since: Time,
    kcp: Kcp<Sink>,
    outbox: Shared,
    began: Time,
    /// The moment on KCP's own grid at which an update flushes, in milliseconds of its clock.
    flush_grid: Option<u32>,
    /// When to update, if anything waits.
    flush_at: Option<Time>,
    /// Acknowledgements and answers that wait for a flush.
    owed: u32,
    /// What the peer sent that was new, with headers, in bytes.
    taken_bytes: usize,
    inbound: Inbound,
    outbound: Outbound,
    round_trip: RoundTrip,
    received: Volume,
    sent: Volume,
}

impl Conversation {
    pub(crate) fn new(now: Time, route: Route, owner: Owner, outbox: &Shared) -> Self {
        let transmit = Transmit::unmarked(route.port, route.address);
        let mut kcp = Kcp::new(route.number, outbox.sink(transmit));
        kcp.set_mtu(MTU).expect("the MTU is above the least");
        kcp.set_nodelay(true, INTERVAL as i32, 2, true);
        kcp.set_wndsize(WINDOW, WINDOW);
        Self {
            route,
            owner,
            standing: Standing::Own,
            alarm: None,
            heard_at: now,
            waits_since: now,
            kcp,
            outbox: outbox.clone(),
            began: now,
            flush_grid: None,
            flush_at: None,
            owed: 0,
            taken_bytes: 0,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            round_trip: RoundTrip::default(),
            received: Volume::default(),
            sent: Volume::default(),
        }
    }

    /// Takes a checked datagram in; messages may be whole then.
    pub(crate) fn input(&mut self, now: Time, datagram: &Datagram<'_>) -> Result<(), InputError> {
        let clock = self.clock(now).map_err(|Exhausted| InputError::Exhausted)?;
        if !self.acknowledges_truly(clock, datagram) {
            return Err(InputError::BadAcknowledgement);
        }
        self.heard_at = now;
        self.waits_since = now;
        self.received.add(datagram.bytes().len());
        if self.waiting() > 0 {
            // KCP measures round trips against the time of its last update.
            self.update(clock);
        }
        self.note(clock, datagram);
        // It can only fail on what was checked before.
        let _ = self.kcp.input(datagram.bytes());
        if self.owed > OWED_MAX {
            self.update(clock);
            let _ = self.kcp.flush();
            self.owed = 0;
            self.read_report();
        }
        self.schedule(now);
        Ok(())
    }

    /// Writes the next whole message over `message`.
    pub(crate) fn receive(&mut self, message: &mut Vec<u8>) -> bool {
        let Ok(len) = self.kcp.peeksize() else { return false };
        message.resize(len, 0);
        self.kcp.recv(message).is_ok()
    }

    /// Sends `message`, at once if nothing was sent in the last interval.
    pub(crate) fn send(&mut self, now: Time, message: &[u8]) -> Result<(), Exhausted> {
        let clock = self.clock(now)?;
        if self.waiting() == 0 {
            self.waits_since = now;
        }
        // It can only fail on a message that is too long, which the caller saw to.
        let sent = self.kcp.send(message);
        debug_assert!(sent.is_ok(), "{sent:?}");
        self.update(clock);
        self.schedule(now);
        Ok(())
    }

    /// Does what is due by KCP's own clock.
    pub(crate) fn tick(&mut self, now: Time) -> Result<(), Exhausted> {
        if self.flush_at.is_some_and(|at| at <= now) {
            let clock = self.clock(now)?;
            self.flush_at = None;
            self.update(clock);
            self.schedule(now);
        }
        Ok(())
    }

    /// When to call [`tick`](Self::tick) or see to the alarm.
    pub(crate) fn deadline(&self) -> Option<Time> {
        earliest(self.flush_at, self.alarm)
    }

    /// How many segments wait, in flight or not.
    pub(crate) fn waiting(&self) -> usize {
        self.kcp.wait_snd()
    }

    /// Whether there is nothing to send, to repeat or to acknowledge.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting() == 0 && self.owed == 0
    }

    /// Whether a segment was repeated in vain as often as KCP repeats one.
    pub(crate) fn is_dead(&self) -> bool {
        self.kcp.is_dead_link()
    }

    /// For how long something has waited without a sign of life while there was listening; zero if
    /// nothing waits.
    pub(crate) fn stalled_for(&self, listened: Listened) -> Duration {
        if self.waiting() == 0 { Duration::ZERO } else { listened.since(self.waits_since) }
    }

    /// How many bytes of segments the peer made this side keep or pass on since the beginning.
    pub(crate) const fn taken_bytes(&self) -> usize {
        self.taken_bytes
    }

    /// Whether the peer sent as many bytes as it would have got with a datagram of this length.
    pub(crate) const fn is_worth(&self, len: usize) -> bool {
        self.sent.bytes.saturating_add(len as u64) <= self.received.bytes
    }

    /// The number after the highest that was sent.
    pub(crate) const fn outbound_next(&self) -> u32 {
        self.outbound.next()
    }

    /// The number after the last segment that was taken for sending.
    pub(crate) fn outbound_end(&self) -> u32 {
        let unsent = self.waiting().saturating_sub(self.outbound.in_flight_len());
        self.outbound.next().saturating_add(unsent as u32)
    }

    /// Whether every segment below this number was sent and has arrived.
    pub(crate) fn has_arrived_below(&self, number: u32) -> bool {
        self.outbound.next() >= number && self.outbound.oldest().is_none_or(|at| at >= number)
    }

    /// The number of the first segment that did not arrive.
    pub(crate) const fn inbound_next(&self) -> u32 {
        self.inbound.next()
    }

    /// Adds this conversation's figures to those of its link.
    pub(crate) fn add_stats(&self, stats: &mut LinkStats) {
        let in_flight = self.outbound.in_flight_len();
        stats.rtt_smoothed = stats.rtt_smoothed.or(self.round_trip.smoothed());
        stats.retransmission_timeout = stats.retransmission_timeout.or(self.round_trip.timeout());
        stats.send_queue_len += self.waiting().saturating_sub(in_flight) as u64;
        stats.in_flight_len += in_flight as u64;
        stats.in_flight_repeated_len += self.outbound.in_flight_repeated_len() as u64;
        stats.receive_buffer_len += u64::from(self.inbound.held_len());
        stats.repeats += self.outbound.repeats;
        stats.losses += self.outbound.losses;
        for (total, own) in [(&mut stats.received, self.received), (&mut stats.sent, self.sent)] {
            total.count += own.count;
            total.bytes += own.bytes;
        }
    }

    /// Milliseconds since the conversation began.
    fn clock(&self, now: Time) -> Result<u32, Exhausted> {
        let age = now.since(self.began).as_millis();
        let numbers = self.outbound.next().max(self.inbound.next());
        match u32::try_from(age) {
            Ok(clock) if u64::from(clock) < AGE_MAX && numbers < NUMBER_MAX => Ok(clock),
            _ => Err(Exhausted),
        }
    }

    /// Whether every acknowledgement is for something that was sent, at a time that was.
    fn acknowledges_truly(&self, clock: u32, datagram: &Datagram<'_>) -> bool {
        datagram.segments().all(|segment| {
            let age = clock.checked_sub(segment.timestamp);
            let echo = age.is_some_and(|age| age <= ECHO_AGE_MAX);
            segment.unacknowledged <= self.outbound.next()
                && (segment.command != Command::Ack || echo)
        })
    }

    /// Reads off a datagram what KCP will not tell.
    fn note(&mut self, clock: u32, datagram: &Datagram<'_>) {
        for segment in datagram.segments() {
            self.outbound.arrived_below(segment.unacknowledged);
            match segment.command {
                Command::Push => {
                    self.owed = self.owed.saturating_add(1);
                    let taken = self.inbound.take(&segment);
                    self.taken_bytes = self.taken_bytes.saturating_add(taken);
                }
                Command::Ack => {
                    self.outbound.arrived(segment.number);
                    self.round_trip.sample(clock.saturating_sub(segment.timestamp));
                }
                Command::Ask => self.owed = self.owed.saturating_add(1),
                Command::Tell => {}
            }
        }
    }

    /// Tells KCP the time; it flushes if its grid says so.
    fn update(&mut self, clock: u32) {
        let flushes = self.flush_grid.is_none_or(|at| clock >= at);
        // The sink never fails.
        let _ = self.kcp.update(clock);
        self.read_report();
        if flushes {
            self.owed = 0;
            let next = self.flush_grid.map_or(0, |at| at.saturating_add(INTERVAL));
            let next = if next > clock { next } else { clock.saturating_add(INTERVAL) };
            self.flush_grid = Some(next);
        }
    }

    /// Reads off what KCP just sent.
    fn read_report(&mut self) {
        let mut outbox = self.outbox.lock();
        let report = outbox.report();
        self.sent.count = self.sent.count.saturating_add(report.sent.count);
        self.sent.bytes = self.sent.bytes.saturating_add(report.sent.bytes);
        report.sent = Volume::default();
        for number in report.pushed.drain(..) {
            self.outbound.pushed(number);
        }
    }

    /// Plans the next update, if anything waits. A plan that stands is not put off, so that a
    /// steady stream cannot starve the acknowledgements.
    fn schedule(&mut self, now: Time) {
        if self.is_quiet() {
            self.flush_at = None;
            return;
        }
        let grid = self.flush_grid.map(|at| self.began + Duration::from_millis(at.into()));
        let next = grid.filter(|at| *at > now);
        let next = next.unwrap_or(now + Duration::from_millis(INTERVAL.into()));
        self.flush_at = Some(self.flush_at.map_or(next, |at| at.min(next)));
    }
}
