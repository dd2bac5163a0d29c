//! `PROTOCOL.md` has a table of limits, and types of frames: they are those of the code.

use moorline_link::Refusal;
use moorline_proto::crypto::CookieKeys;
use moorline_proto::lanes::outbox::MESSAGE_LEN_MAX;
use moorline_proto::lanes::{KEYS_MAX, SPAN_MAX, SYNC_LEN_MAX};
use moorline_proto::seq::ReplayWindow;
use moorline_proto::wire::{
    AckCompact, AckRanges, Asks, CLIENT_HELLO_LEN_MIN, COOKIE_LEN, Fragment, Frame, Frames,
    MESSAGE_CHARGE, PASS_LEN, Place, TAG_LEN, TOKEN_LEN_MAX, VERSION, WireError,
};

const DOCUMENT: &str = include_str!("../../../PROTOCOL.md");

/// The lines of the table below a heading, without its own head.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = DOCUMENT.split_once(heading).expect("the heading is there");
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let lines = lines.take_while(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_limit_is_the_codes() {
    let limits = [
        ("shortest client hello", CLIENT_HELLO_LEN_MIN as u64),
        ("longest token", TOKEN_LEN_MAX as u64),
        ("length of a cookie", COOKIE_LEN as u64),
        ("seconds that a cookie lives", CookieKeys::LIFETIME.as_secs()),
        ("seconds between two cookie secrets", CookieKeys::ROTATION.as_secs()),
        ("packet numbers remembered", ReplayWindow::LEN),
        ("ranges in an acknowledgement", AckRanges::RANGES_MAX as u64),
        ("packets in a compact history", AckCompact::HISTORY_LEN.into()),
        ("parts of a message", Fragment::COUNT_MAX.into()),
        ("bytes of a part that is not the last, at least", Fragment::LEN_MIN as u64),
        ("what a message counts for beside its bytes", MESSAGE_CHARGE),
        ("how far a reliable message may be ahead", SPAN_MAX),
        ("bytes of a latest or unreliable message", SYNC_LEN_MAX as u64),
        ("keys whose latest value is remembered", KEYS_MAX as u64),
        ("bytes of a reliable message", MESSAGE_LEN_MAX as u64),
        ("ordered channels", Place::CHANNELS.into()),
        ("bytes of a notice's text", Refusal::TEXT_LEN_MAX as u64),
        ("bytes of a pass", PASS_LEN as u64),
        ("bytes of a tag", TAG_LEN as u64),
    ];
    let said: Vec<_> = table("\n## Limits\n").iter().map(|row| (row[0], row[1].parse())).collect();
    assert_eq!(said, limits.map(|(what, limit)| (what, Ok(limit))));
    assert!(DOCUMENT.contains(&format!("version: `{VERSION:#010x}`")));
}

/// Each type of the table is known, has the length and the acknowledgement that it says, and no
/// other type is known.
#[test]
fn every_type_of_frame_is_the_codes() {
    let mut known = [false; 256];
    for row in table("\n## Frames\n") {
        let bounds: Vec<usize> = row[0]
            .split('`')
            .filter_map(|text| usize::from_str_radix(text.strip_prefix("0x")?, 16).ok())
            .collect();
        let (first, last) = (bounds[0], *bounds.last().expect("a type"));
        known[first..=last].fill(true);
        for kind in first..=last {
            let is_lane_known = kind < 0x80 || kind & 0x1f < 28;
            // Zeros make a frame of every type but that of a part, which is not empty.
            if !is_lane_known || kind & 0xc0 == 0xc0 {
                continue;
            }
            let mut bytes = [0; 40];
            bytes[0] = u8::try_from(kind).expect("a byte");
            let parsed = Frames::new(&bytes).next().expect("a frame");
            let frame = parsed.unwrap_or_else(|error| panic!("{kind:#x}: {error}"));
            let told = match frame.asks() {
                Asks::Nothing => "no",
                Asks::Eventually => "later",
                Asks::Soon | Asks::Now => "yes",
            };
            let mut of_lanes = row[3].split("; of the unreliable lane: ");
            assert!(of_lanes.any(|it| it == told), "{kind:#x} is {told}");
            if row[2] == "nothing" && !matches!(frame, Frame::Padding { .. }) {
                assert_eq!(frame.len(), 1, "{kind:#x}");
            }
        }
    }
    for (kind, is_known) in known.into_iter().enumerate() {
        let kind = u8::try_from(kind).expect("a byte");
        let mut bytes = [0; 40];
        bytes[0] = kind;
        let parsed = Frames::new(&bytes).next().expect("a frame");
        let is_unknown = parsed == Err(WireError::UnknownType(kind));
        assert_eq!(is_unknown, !is_known || is_unknown_lane(kind), "{kind:#x}");
    }
}

fn is_unknown_lane(kind: u8) -> bool {
    kind >= 0x80 && kind & 0x1f >= 28
}
