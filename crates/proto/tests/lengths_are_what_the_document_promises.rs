//! The bytes of frames and headers, as a table: a change here is a change of the wire.

use moorline_link::RefusalCode;
use moorline_proto::seq::{NumberLen, PacketNumber, Seq16};
use moorline_proto::wire::{
    AckCompact, AckDelay, AckRanges, ConnectionId, Extent, Fragment, Frame, MessageFrame, Notice,
    Phase, Place, ShortHeader, TAG_LEN,
};

const PAYLOAD: &[u8] = &[0; 64];

fn message(place: Place, extent: Extent, payload: &'static [u8]) -> MessageFrame<'static> {
    let seq = place.is_numbered().then_some(Seq16(1));
    MessageFrame { place, seq, kind: 7, fragment: None, extent, payload }
}

#[test]
fn what_a_message_adds_to_its_payload() {
    let (short, long) = (&PAYLOAD[..24], PAYLOAD);
    let table = [
        ("reliable, 24 bytes", message(Place::Ordered(0), Extent::Counted, short), 5),
        ("reliable, last in its packet", message(Place::Ordered(23), Extent::ToEnd, short), 4),
        ("reliable, 64 bytes", message(Place::Ordered(0), Extent::Counted, long), 6),
        ("unordered", message(Place::Unordered, Extent::Counted, short), 5),
        ("latest of a small key", message(Place::Latest(5), Extent::Counted, short), 6),
        ("latest, last in its packet", message(Place::Latest(5), Extent::ToEnd, short), 5),
        ("latest of a hash", message(Place::Latest(u64::MAX), Extent::Counted, short), 21),
        ("unreliable", message(Place::Unreliable, Extent::Counted, short), 3),
        ("unreliable, last in its packet", message(Place::Unreliable, Extent::ToEnd, short), 2),
    ];
    for (what, message, overhead) in table {
        assert_eq!(message.overhead(), overhead, "{what}");
    }
    let fragment = Some(Fragment { index: 3, last: 8 });
    let part = MessageFrame { fragment, ..message(Place::Ordered(0), Extent::ToEnd, PAYLOAD) };
    assert_eq!(part.overhead(), 6);
    let latest = MessageFrame { fragment, ..message(Place::Latest(5), Extent::ToEnd, PAYLOAD) };
    assert_eq!(latest.overhead(), 7);
    let kind = MessageFrame { kind: 300, ..message(Place::Ordered(0), Extent::ToEnd, PAYLOAD) };
    assert_eq!(kind.overhead(), 5);
}

#[test]
fn what_acknowledgements_and_other_frames_take() {
    let ack = |received: u32| {
        let (largest, delay) = (Seq16(1_000), AckDelay(2));
        Frame::AckCompact(AckCompact { largest, delay, ecn: None, received }).len()
    };
    assert_eq!(ack(u32::MAX), 4, "all arrived");
    assert_eq!(ack(!(1 << 20)), 5, "one is missing");
    assert_eq!(ack(!(3 << 7)), 6, "two are missing, in different bytes");
    assert_eq!(ack(0), 8, "all are missing");

    let mut scratch = Vec::new();
    let ranges = [900..=1_000, 700..=880];
    let ranges = AckRanges::of(AckDelay(0), None, &ranges, &mut scratch).expect("ranges");
    assert_eq!(Frame::AckRanges(ranges).len(), 10);

    let code = RefusalCode::Full;
    let notice = Notice { code, retry_after_millis: None, text: "full" };
    let table = [
        (Frame::Padding { len: 3 }, 3),
        (Frame::Ping { sent: 0 }, 5),
        (Frame::Pong { sent: 0, received: 0, answered: 0 }, 13),
        (Frame::AckNow, 1),
        (Frame::PathChallenge([0; 8]), 9),
        (Frame::PathResponse([0; 8]), 9),
        (Frame::Beat { beat: 63 }, 2),
        (Frame::BeatAnswer { beat: 63, server_tick: 8_000 }, 4),
        (Frame::BeatAnswer { beat: 63, server_tick: i64::MIN }, 18),
        (Frame::MaxData { bytes: 1 << 20 }, 5),
        (Frame::Close(None), 1),
        (Frame::Close(Some(notice)), 8),
    ];
    for (frame, len) in table {
        assert_eq!(frame.len(), len, "{frame:?}");
    }
}

/// The whole datagram of one reliable message of 64 bytes, in a link that acknowledges steadily.
#[test]
fn a_datagram_with_one_message_of_64_bytes() {
    let len = |connection, with_ack| {
        let number = PacketNumber::new(5_000).expect("a number");
        let header = ShortHeader::new(connection, Phase::Even, number, NumberLen::One);
        let (largest, delay) = (Seq16(1_000), AckDelay(2));
        let ack = AckCompact { largest, delay, ecn: None, received: u32::MAX };
        let ack = if with_ack { Frame::AckCompact(ack).len() } else { 0 };
        let message = Frame::Message(message(Place::Ordered(0), Extent::ToEnd, PAYLOAD));
        header.len() + ack + message.len() + TAG_LEN
    };
    let connection = Some(ConnectionId([0; 8]));
    assert_eq!(len(connection, false), 94);
    assert_eq!(len(connection, true), 98);
    assert_eq!(len(None, false), 86);
    assert_eq!(len(None, true), 90);
}
