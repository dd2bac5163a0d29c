//! What is emitted parses to the same, what parses emits to the same bytes, and nothing panics.

use std::ops::RangeInclusive;

use moorline_link::RefusalCode;
use moorline_proto::seq::{NUMBER_MAX, Seq16};
use moorline_proto::wire::{
    AckCompact, AckDelay, AckRanges, ControlWord, EcnCount, Extension, Extent, Fragment, Frame,
    Frames, MessageFrame, Notice, Place,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// The parts of a frame that borrow, owned.
#[derive(Clone, Debug)]
struct Parts {
    bytes: Vec<u8>,
    text: String,
    ranges: Vec<RangeInclusive<u64>>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let gaps = vec((0..1_000_u64, 0..1_000_u64), 1..=AckRanges::RANGES_MAX);
    (vec(any::<u8>(), 1..300), "\\PC{0,40}", any::<u64>(), gaps).prop_map(
        |(bytes, text, largest, gaps)| {
            let mut ranges = Vec::new();
            let mut end = largest & NUMBER_MAX;
            for (gap, run) in gaps {
                let start = end.saturating_sub(run);
                ranges.push(start..=end);
                let Some(next) = start.checked_sub(gap + 2) else { break };
                end = next;
            }
            Parts { bytes, text, ranges }
        },
    )
}

fn ecn() -> impl Strategy<Value = Option<EcnCount>> {
    option::of(any::<u64>().prop_map(EcnCount::of))
}

/// A number whose size is as likely small as large.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 2..64_u32).prop_map(|(number, bits)| number >> bits)
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        (0..Place::CHANNELS).prop_map(Place::Ordered),
        Just(Place::Control),
        Just(Place::Unordered),
        (any::<u64>(), 0..64_u32).prop_map(|(key, bits)| Place::Latest(key >> bits)),
        Just(Place::Unreliable),
    ]
}

fn fragment() -> impl Strategy<Value = Fragment> {
    (1..Fragment::COUNT_MAX, any::<u16>())
        .prop_map(|(last, index)| Fragment { index: index % (last + 1), last })
}

/// A frame as its bytes, after a check that it comes back from them.
fn emitted(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = vec![0xaa];
    frame.emit(&mut out);
    let bytes = out.split_off(1);
    assert_eq!(bytes.len(), frame.len(), "{frame:?}");
    let parsed: Vec<_> = Frames::new(&bytes).collect();
    assert_eq!(parsed, [Ok(*frame)], "{bytes:02x?}");
    bytes
}

fn message_frame() -> impl Strategy<Value = (MessageFrame<'static>, usize)> {
    (place(), any::<u16>(), any::<u16>(), option::of(fragment()), any::<bool>(), 0..300_usize)
        .prop_map(|(place, seq, kind, fragment, is_last, len)| {
            let has_seq = place.is_numbered() || fragment.is_some();
            let extent = if is_last { Extent::ToEnd } else { Extent::Counted };
            let seq = has_seq.then_some(Seq16(seq));
            let len = match fragment {
                Some(part) if part.index < part.last => len + Fragment::LEN_MIN,
                Some(_) => len.max(1),
                None => len,
            };
            (MessageFrame { place, seq, kind, fragment, extent, payload: &[] }, len)
        })
}

/// Every frame, as bytes.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (1..2_000_usize).prop_map(|len| emitted(&Frame::Padding { len })),
        any::<u32>().prop_map(|sent| emitted(&Frame::Ping { sent })),
        any::<[u32; 3]>().prop_map(|[sent, received, answered]| {
            emitted(&Frame::Pong { sent, received, answered })
        }),
        Just(()).prop_map(|()| emitted(&Frame::AckNow)),
        Just(()).prop_map(|()| emitted(&Frame::Settled)),
        Just(()).prop_map(|()| emitted(&Frame::Close(None))),
        any::<[u8; 8]>().prop_map(|bytes| emitted(&Frame::PathChallenge(bytes))),
        any::<[u8; 8]>().prop_map(|bytes| emitted(&Frame::PathResponse(bytes))),
        any::<u32>().prop_map(|beat| emitted(&Frame::Beat { beat })),
        (any::<u32>(), any::<i64>(), 0..64_u32).prop_map(|(beat, tick, bits)| {
            emitted(&Frame::BeatAnswer { beat, server_tick: tick >> bits })
        }),
        number().prop_map(|bytes| emitted(&Frame::MaxData { bytes })),
        (any::<u16>(), any::<u8>(), ecn(), any::<u32>(), any::<u32>()).prop_map(
            |(largest, delay, ecn, some, more)| {
                let (largest, delay) = (Seq16(largest), AckDelay(delay));
                let received = some | more;
                emitted(&Frame::AckCompact(AckCompact { largest, delay, ecn, received }))
            }
        ),
        (any::<u8>(), ecn(), parts()).prop_map(|(delay, ecn, parts)| {
            let mut scratch = Vec::new();
            let delay = AckDelay(delay);
            let ack = AckRanges::of(delay, ecn, &parts.ranges, &mut scratch).expect("ordered");
            assert_eq!(ack.ranges().collect::<Vec<_>>(), parts.ranges);
            assert_eq!(ack.largest().value(), *parts.ranges[0].end());
            emitted(&Frame::AckRanges(ack))
        }),
        (any::<u16>(), option::of(any::<u32>()), parts()).prop_map(|(code, after, parts)| {
            let (code, text) = (RefusalCode::from_number(code), &parts.text);
            emitted(&Frame::Close(Some(Notice { code, retry_after_millis: after, text })))
        }),
        (0x60..0x80_u8, parts()).prop_map(|(kind, parts)| {
            let extension = Extension::new(kind, &parts.bytes).expect("an extension");
            emitted(&Frame::Extension(extension))
        }),
        (message_frame(), parts()).prop_map(|((message, len), parts)| {
            let payload: Vec<u8> = parts.bytes.iter().copied().cycle().take(len).collect();
            let message = MessageFrame { payload: &payload, ..message };
            let bytes = emitted(&Frame::Message(message));
            assert_eq!(bytes.len(), message.overhead() + payload.len());
            bytes
        }),
    ]
}

/// All frames of some bytes, emitted again, up to the first error.
fn reemitted(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    for frame in Frames::new(bytes) {
        let Ok(frame) = frame else { return (out, false) };
        if let Frame::AckRanges(ack) = frame {
            assert!(ack.ranges().count() <= AckRanges::RANGES_MAX);
            assert!(ack.ranges().all(|range| range.start() <= range.end()));
        }
        frame.emit(&mut out);
    }
    (out, true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_frame_comes_back_and_every_part_or_corruption_of_it_is_a_frame_or_an_error(
        whole in frame(),
    ) {
        for len in 0..whole.len() {
            let (bytes, is_whole) = reemitted(&whole[..len]);
            prop_assert!(!is_whole || bytes == whole[..len]);
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let (again, is_whole) = reemitted(&bytes);
                prop_assert!(bytes.starts_with(&again));
                prop_assert!(!is_whole || bytes == again);
            }
        }
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in vec(any::<u8>(), 0..1_500)) {
        let (again, is_whole) = reemitted(&bytes);
        prop_assert!(bytes.starts_with(&again));
        prop_assert!(!is_whole || bytes == again);
    }

    #[test]
    fn control_words_come_back(
        parts in parts(), tick in any::<i64>(), code in any::<u16>(), which in 0..5_u8,
    ) {
        let (identity, payload) = parts.bytes.split_at(parts.bytes.len() / 2);
        let notice = Notice {
            code: RefusalCode::from_number(code),
            retry_after_millis: Some(code.into()),
            text: &parts.text,
        };
        let word = match which {
            0 => ControlWord::Login { identity, payload },
            1 => ControlWord::LoginAccepted { server_tick: tick, payload },
            2 => ControlWord::LoginAgain { identity, payload },
            3 => ControlWord::LoginAsked { within_millis: tick.unsigned_abs() >> 2 },
            _ => ControlWord::LoginRefused(notice),
        };
        let mut out = Vec::new();
        word.emit(&mut out);
        prop_assert_eq!(ControlWord::parse(word.kind(), &out), Ok(word));
        for kind in 0..5 {
            for len in 0..out.len() {
                let _ = ControlWord::parse(kind, &out[..len]);
            }
        }
    }
}

/// Every three bytes there are, as the beginning of a packet.
#[test]
fn a21_every_beginning_of_three_bytes_is_frames_or_an_error() {
    for bytes in 0..1_u32 << 24 {
        let [_, bytes @ ..] = bytes.to_be_bytes();
        // Whole walks for a share of them; the rest only must not panic.
        if bytes[2] % 16 == 0 {
            let (again, is_whole) = reemitted(&bytes);
            assert!(!is_whole || again == bytes);
        } else {
            assert!(Frames::new(&bytes).count() <= 3);
        }
    }
}
