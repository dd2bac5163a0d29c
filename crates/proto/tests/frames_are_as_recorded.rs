//! One frame of each kind, and what is none: bytes and meaning, recorded in `vectors/frames.txt`
//! for other implementations.

use std::fmt::Write;

use moorline_link::RefusalCode;
use moorline_proto::seq::Seq16;
use moorline_proto::wire::{
    AckCompact, AckDelay, AckRanges, EcnCount, Extension, Extent, Fragment, Frame, Frames,
    MessageFrame, Notice, Place,
};

const MESSAGE: MessageFrame<'_> = MessageFrame {
    place: Place::Ordered(3),
    seq: Some(Seq16(65_535)),
    kind: 300,
    fragment: None,
    extent: Extent::Counted,
    payload: b"ahoy",
};

const COMPACT: AckCompact =
    AckCompact { largest: Seq16(1_000), delay: AckDelay(3), ecn: None, received: u32::MAX };

/// Frames that are alone in their packet, with what they mean.
const SIMPLE: &[(&str, Frame<'_>)] = &[
    ("padding len=3", Frame::Padding { len: 3 }),
    ("ping sent=4294967295", Frame::Ping { sent: u32::MAX }),
    ("pong sent=1 received=2 answered=3", Frame::Pong { sent: 1, received: 2, answered: 3 }),
    ("ack-now", Frame::AckNow),
    ("path-challenge 3132333435363738", Frame::PathChallenge(*b"12345678")),
    ("path-response 3837363534333231", Frame::PathResponse(*b"87654321")),
    ("beat number=64", Frame::Beat { beat: 64 }),
    ("beat-answer number=1 tick=-300", Frame::BeatAnswer { beat: 1, server_tick: -300 }),
    (
        "beat-answer number=2 tick=-9223372036854775808",
        Frame::BeatAnswer { beat: 2, server_tick: i64::MIN },
    ),
    ("data-limit sum=1000000", Frame::MaxData { bytes: 1_000_000 }),
    ("settled", Frame::Settled),
    ("close", Frame::Close(None)),
    (
        "close code=77 text=für immer",
        Frame::Close(Some(Notice {
            code: RefusalCode::from_number(77),
            retry_after_millis: None,
            text: "für immer",
        })),
    ),
    ("ack compact largest=1000 delay=750us received=-32-0", Frame::AckCompact(COMPACT)),
    (
        "ack compact largest=1000 delay=8000us marks=16777215 received=0-0,-2--2,-32--4",
        Frame::AckCompact(AckCompact {
            delay: AckDelay(32),
            ecn: Some(EcnCount::of(0xff_ffff)),
            received: 0xffff_fffa,
            ..COMPACT
        }),
    ),
    (
        "ack compact largest=1000 delay=4352000us received=-8-0,-17--17",
        Frame::AckCompact(AckCompact { delay: AckDelay(0xf1), received: 0x0001_00ff, ..COMPACT }),
    ),
    ("message lane=3 seq=65535 kind=300 payload=61686f79", Frame::Message(MESSAGE)),
    (
        "message lane=24 seq=0 kind=1 payload=61686f79",
        Frame::Message(MessageFrame {
            place: Place::Control,
            seq: Some(Seq16(0)),
            kind: 1,
            extent: Extent::ToEnd,
            ..MESSAGE
        }),
    ),
    (
        "message lane=26 seq=9 key=18446744073709551615 kind=300 payload=61686f79",
        Frame::Message(MessageFrame {
            place: Place::Latest(u64::MAX),
            seq: Some(Seq16(9)),
            ..MESSAGE
        }),
    ),
    (
        "message lane=27 kind=300 payload=",
        Frame::Message(MessageFrame {
            place: Place::Unreliable,
            seq: None,
            payload: b"",
            ..MESSAGE
        }),
    ),
    (
        "message lane=25 seq=7 kind=300 part=1023/1023 payload=61686f79",
        Frame::Message(MessageFrame {
            place: Place::Unordered,
            seq: Some(Seq16(7)),
            fragment: Some(Fragment { index: 1_023, last: 1_023 }),
            ..MESSAGE
        }),
    ),
];

/// What a receiver must not take.
const MALFORMED: &[&[u8]] = &[
    &[0x0c],                                // no such type
    &[0x20],                                // nor this
    &[0x01, 0, 0, 0],                       // a ping of three bytes
    &[0x06, 0x40, 0x01],                    // a number with a shorter form
    &[0x06, 0xc0, 0, 0, 1, 0, 0, 0, 0],     // a beat of 2^32
    &[0x41, 0, 0, 0, 0xff],                 // a byte that need not be here
    &[0x10, 0x05, 0, 0x06, 0],              // a range below 0
    &[0x10, 0x05, 0, 0, 32],                // too many ranges
    &[0x80 | 28, 0, 0, 1, 0],               // a reserved lane
    &[0x80, 0, 0, 1, 5, b'a'],              // shorter than it says
    &[0x80 | 0x40, 0, 0, 1, 0, 0, 1, b'a'], // a message in one part is not in parts
    &[0x80 | 0x40, 0, 0, 1, 0, 1, 1, b'a'], // a part that is too short
    &[0x80 | 0x40, 0, 0, 1, 2, 1, 1, b'a'], // a part behind the last
    &[0x0b, 0x01, 0x00, 0x01, 0xff],        // no UTF-8
];

#[test]
fn bytes_and_meaning_are_as_recorded() {
    let mut record = String::new();
    let mut note = |bytes: &[u8], meaning: &str| {
        bytes.iter().for_each(|byte| write!(record, "{byte:02x}").expect("a string takes all"));
        writeln!(record, " {meaning}").expect("a string takes all");
    };
    for (meaning, frame) in SIMPLE {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        assert_eq!(Frames::new(&bytes).collect::<Vec<_>>(), [Ok(*frame)]);
        if let Frame::AckCompact(ack) = frame {
            let delay = format!(" delay={}us ", ack.delay.duration().as_micros());
            assert!(meaning.contains(&delay), "{meaning} has {delay}");
        }
        note(&bytes, meaning);
    }
    let (mut scratch, mut bytes) = (Vec::new(), Vec::new());
    let ranges = [998..=1_000, 500..=500, 0..=3];
    let ack = AckRanges::of(AckDelay(0), None, &ranges, &mut scratch).expect("ranges that fall");
    Frame::AckRanges(ack).emit(&mut bytes);
    Frame::Extension(Extension::new(0x7f, b"new").expect("an extension")).emit(&mut bytes);
    let said = "ack ranges largest=1000 delay=0us received=998-1000,500-500,0-3";
    note(&bytes, &format!("{said}; extension type=127 body=6e6577"));
    for bytes in MALFORMED {
        assert!(Frames::new(bytes).any(|frame| frame.is_err()), "{bytes:02x?}");
        note(bytes, "malformed");
    }
    if std::env::var_os("MOORLINE_RECORD").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/frames.txt");
        std::fs::write(path, &record).expect("the vectors can be written");
    }
    let recorded = include_str!("vectors/frames.txt");
    for (made, recorded) in record.lines().zip(recorded.lines()) {
        assert_eq!(made, recorded);
    }
    assert_eq!(record.len(), recorded.len());
}
