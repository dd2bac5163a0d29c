//! What a peer can do that has keys: end its own link, and cost no more than the limits say.

use std::alloc::System;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_link::{Lane, LinkEvent, LinkId, Outgoing, Port, Reason, Time, Transport};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::seq::Seq16;
use moorline_proto::wire::{
    AckDelay, AckRanges, Datagram, Direction, Extent, Fragment, Frame, Frames, MessageFrame, Place,
};
use moorline_proto::{Endpoint, EndpointConfig};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "support/peer.rs"]
mod peer;

use peer::Peer;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The tests go one after the other, so that each counts its own heap.
static TURN: Mutex<()> = Mutex::new(());

/// A host, and a peer whose link is up there.
struct Table {
    host: Endpoint,
    peer: Peer,
    link: LinkId,
    now: Time,
    lost: Option<Reason>,
    /// Messages that were delivered.
    delivered: u64,
    /// Bytes that the host sent.
    sent: usize,
    out: Vec<u8>,
    _turn: MutexGuard<'static, ()>,
}

impl Table {
    fn new() -> Self {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = HostKey::new(Secret::new([1; 32]));
        let host = Endpoint::host(EndpointConfig::default(), &key, Secret::new([2; 32]));
        let (mut host, now) = (host.expect("it can work"), Time::from_millis(1_000));
        let mut peer = Peer::at(&mut host, &key.public(), from(), now);
        host.handle_datagram(now, Port(0), from(), &peer.seal(&[0x03]));
        let mut up = None;
        while let Some(event) = host.poll_event() {
            if let LinkEvent::Up { link, .. } = event {
                up = Some(link);
            }
        }
        let (link, out) = (up.expect("the link is up"), Vec::with_capacity(2_048));
        Self { host, peer, link, now, lost: None, delivered: 0, sent: 0, out, _turn }
    }

    /// A packet of these frames, and what the host makes of it.
    fn give(&mut self, frames: &[Frame<'_>]) {
        let mut plaintext = Vec::new();
        frames.iter().for_each(|frame| frame.emit(&mut plaintext));
        let packet = self.peer.seal(&plaintext);
        self.host.handle_datagram(self.now, Port(0), from(), &packet);
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.host.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.host.poll_event() {
            match event {
                LinkEvent::Lost { reason, .. } => self.lost = Some(reason),
                LinkEvent::Message { .. } => self.delivered += 1,
                _ => {}
            }
        }
        while self.host.poll_transmit(self.now, &mut self.out).is_some() {
            self.sent += self.out.len();
        }
    }

    fn is_violation(&self) -> bool {
        matches!(self.lost, Some(Reason::Violation(_)))
    }
}

fn from() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4_000))
}

fn part(seq: u16, fragment: Option<Fragment>, payload: &[u8]) -> MessageFrame<'_> {
    let place = Place::Ordered((seq % 24) as u8);
    let (seq, extent) = (Some(Seq16(seq / 24)), Extent::Counted);
    MessageFrame { place, seq, kind: 7, fragment, extent, payload }
}

/// Messages that never become whole, in parts as short and as long as there are, and whole ones
/// that wait for one before them: what they cost is what the host said that it takes.
#[test]
fn a9_what_waits_for_the_rest_costs_no_more_than_the_limit_and_a_quarter() {
    let limit = EndpointConfig::default().data_max as usize;
    let (first, last) = (Fragment { index: 0, last: 1 }, Fragment { index: 1, last: 1 });
    let every_second = Fragment { index: 2, last: 5 };
    let cases: [(&str, Option<Fragment>, usize); 6] = [
        ("first parts, short", Some(first), Fragment::LEN_MIN),
        ("first parts, long", Some(first), 1_100),
        ("last parts of a byte", Some(last), 1),
        ("parts in the middle", Some(every_second), Fragment::LEN_MIN),
        ("empty messages", None, 0),
        ("short messages", None, 100),
    ];
    for (name, fragment, len) in cases {
        let mut table = Table::new();
        let payload = vec![7; len];
        let heap = Region::new(HEAP);
        let mut most = 0;
        // The first of each channel never comes.
        for number in 24..u16::MAX {
            table.give(&[Frame::Message(part(number, fragment, &payload))]);
            let heap = heap.change();
            most = most.max(heap.bytes_allocated.saturating_sub(heap.bytes_deallocated));
            if table.lost.is_some() {
                break;
            }
        }
        assert!(table.is_violation(), "{name}: {:?}", table.lost);
        assert_eq!(table.delivered, 0, "{name}");
        assert!(most * 4 <= limit * 5, "{name}: {most} bytes of heap");
        assert!(most * 4 >= limit, "{name}: {most} bytes of heap, so something was kept");
    }
}

/// On lanes that lose, too: they have no limit of data, so they keep little.
#[test]
fn a9_parts_of_states_are_kept_within_a_fixed_bound() {
    for place in [Place::Latest(0), Place::Unreliable] {
        let mut table = Table::new();
        let heap = Region::new(HEAP);
        let mut most = 0;
        for number in 0..20_000_u16 {
            let place =
                if place == Place::Unreliable { place } else { Place::Latest(number.into()) };
            let fragment = Some(Fragment { index: 0, last: 200 });
            let (seq, extent, payload) = (Some(Seq16(number)), Extent::Counted, &[7; 300]);
            let message = MessageFrame { place, seq, kind: 7, fragment, extent, payload };
            table.give(&[Frame::Message(message)]);
            let heap = heap.change();
            most = most.max(heap.bytes_allocated.saturating_sub(heap.bytes_deallocated));
        }
        assert_eq!((table.lost.as_ref(), table.delivered), (None, 0));
        assert!(most < 600 * 1_024, "{place:?}: {most} bytes of heap");
    }
}

#[test]
fn a10_an_acknowledgement_of_what_was_not_sent_ends_the_link() {
    for largest in [50, 1 << 40] {
        let mut table = Table::new();
        let mut scratch = Vec::new();
        let ack = AckRanges::of(AckDelay(0), None, &[largest..=largest], &mut scratch);
        table.give(&[Frame::AckRanges(ack.expect("a range"))]);
        assert!(table.is_violation(), "{:?}", table.lost);
    }
}

/// Who acknowledges ahead of what arrives, so that its sender goes faster, names a number sooner or
/// later that was left out.
#[test]
fn a10_who_acknowledges_before_it_receives_is_found_out() {
    let mut table = Table::new();
    let payload = vec![1; 1_000];
    let mut largest = None;
    for _ in 0..20_000 {
        let lane = Lane::ReliableOrdered;
        let message = Outgoing { kind: 7, lane, key: 0, payload: &payload, notice: None };
        let _ = table.host.send(table.now, table.link, message);
        while table.host.poll_transmit(table.now, &mut table.out).is_some() {
            let mut packet = table.out.clone();
            let Ok(Datagram::Short(header)) = Datagram::parse(Direction::ToClient, &packet) else {
                continue;
            };
            let opened = table.peer.keys.opener.open(&header, &mut packet);
            let (opened, _) = opened.expect("the host's packet");
            largest = Some(table.peer.keys.commit(opened).number.value());
        }
        if let Some(largest) = largest {
            // All up to the largest, be it here or not.
            let mut scratch = Vec::new();
            let ack = AckRanges::of(AckDelay(0), None, &[0..=largest], &mut scratch);
            table.give(&[Frame::AckRanges(ack.expect("a range"))]);
        }
        table.wait(Duration::from_millis(1));
        if table.lost.is_some() {
            break;
        }
    }
    assert!(table.is_violation(), "{:?} after packet {largest:?}", table.lost);
    assert!(largest < Some(2_000), "only after packet {largest:?}");
}

/// Acknowledgements with as many gaps as they may have cost what others cost.
#[test]
fn a10_an_acknowledgement_has_few_ranges_and_its_work_is_bounded() {
    let mut bytes = vec![0x10, 0x40, 200, 0, 0, 32];
    bytes.extend([0; 64]);
    assert!(Frames::new(&bytes).next().is_some_and(|frame| frame.is_err()), "33 ranges");
    bytes[5] = 31;
    bytes.truncate(6 + 62);
    let frame = Frames::new(&bytes).next().expect("a frame").expect("32 ranges");
    let Frame::AckRanges(ack) = frame else { panic!("ranges") };
    assert_eq!(ack.ranges().count(), 32);
}

/// Whoever acknowledges nothing, answers nothing and asks for much makes no queue grow.
#[test]
fn a11_a_peer_that_acknowledges_nothing_makes_no_queue_grow() {
    let mut table = Table::new();
    let message =
        |payload| Outgoing { kind: 7, lane: Lane::ReliableOrdered, key: 0, payload, notice: None };
    let mut at_first = 0;
    let heap = Region::new(HEAP);
    for round in 0..20_u32 {
        for number in 0..1_000 {
            let _ = table.host.send(table.now, table.link, message(&[1; 100]));
            table.give(&[
                Frame::Ping { sent: number },
                Frame::PathChallenge([round as u8; 8]),
                Frame::Beat { beat: number },
            ]);
            table.wait(Duration::from_micros(100));
        }
        let change = heap.change();
        let now = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        // The first rounds fill the queue of what the application sends, which has its limit.
        if round == 14 {
            at_first = now;
        }
        assert!(round < 15 || now <= at_first + 64 * 1_024, "{at_first} and then {now} bytes");
    }
    assert_eq!(table.lost, None);
}

/// A flood of frames that ask for an answer gets one for each packet at most, and no bytes more.
#[test]
fn a32_floods_of_control_frames_are_answered_with_no_more_bytes_than_they_had() {
    let mut table = Table::new();
    for flood in [Frame::Ping { sent: 1 }, Frame::PathChallenge([9; 8]), Frame::AckNow] {
        let before = table.sent;
        for _ in 0..2_000 {
            table.give(&[flood; 60]);
        }
        let given = 2_000 * (60 * flood.len() + 28);
        let got = table.sent - before;
        assert!(got <= given, "{got} bytes for {given} of {flood:?}");
    }
    assert_eq!(table.lost, None);
}

/// What no honest peer sends ends the link and nothing else.
#[test]
fn a21_an_authentic_packet_that_is_malformed_ends_its_link() {
    let cases: [&[u8]; 7] = [
        &[0x0c],
        &[0x01, 0],
        &[0x80 | 28, 0, 0, 1, 0],
        &[0x80, 0, 0, 1, 5, b'a'],
        &[0x80 | 0x40, 0, 0, 1, 0, 1, 1, b'a'],
        &[0x0b, 0x01, 0x00, 0x01, 0xff],
        &[0x06, 0xc0, 0, 0, 1, 0, 0, 0, 0],
    ];
    for bytes in cases {
        let mut table = Table::new();
        let packet = table.peer.seal(bytes);
        table.host.handle_datagram(table.now, Port(0), from(), &packet);
        table.drain();
        assert!(table.is_violation(), "{bytes:02x?}: {:?}", table.lost);
    }
}
