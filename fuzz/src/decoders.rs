//! Every decoder: what parses is emitted as the same bytes, and nothing else happens.

use moorline_kcp::envelope::Envelope;
use moorline_proto::crypto::{HostKey, HostPublicKey};
use moorline_proto::wire::{
    Answer, ClientHello, ClientParams, ControlWord, Datagram, Direction, Frame, Frames,
};

pub(crate) fn datagram(bytes: &[u8]) {
    for direction in [Direction::ToHost, Direction::ToClient] {
        let Ok(datagram) = Datagram::parse(direction, bytes) else { continue };
        let mut out = Vec::new();
        match datagram {
            Datagram::ClientHello(hello) => {
                hello.emit(&mut out);
                assert_covers(&hello, &out, bytes);
                out.truncate(hello.covered_len());
            }
            Datagram::Retry(retry) => retry.emit(&mut out),
            Datagram::ServerHello(hello) => hello.emit(&mut out),
            Datagram::VersionList(list) => {
                let versions: Vec<u32> = list.versions().collect();
                moorline_proto::wire::VersionList::emit(&mut out, list.id, &versions);
            }
            Datagram::Short(header) => header.emit(&mut out),
            _ => {}
        }
        assert!(bytes.starts_with(&out));
    }
}

fn assert_covers(hello: &ClientHello<'_>, emitted: &[u8], bytes: &[u8]) {
    assert!(hello.prologue_len() < hello.covered_len() && hello.covered_len() < bytes.len());
    assert!(emitted.len() >= hello.covered_len() + hello.mac.len());
}

pub(crate) fn frames(bytes: &[u8]) {
    let mut out = Vec::new();
    for frame in Frames::new(bytes) {
        let Ok(frame) = frame else { return };
        let begin = out.len();
        frame.emit(&mut out);
        assert_eq!(out.len() - begin, frame.len());
        if let Frame::AckRanges(ack) = frame {
            let mut below = None;
            for range in ack.ranges() {
                assert!(range.start() <= range.end());
                assert!(below.is_none_or(|below| *range.end() + 1 < below));
                below = Some(*range.start());
            }
        }
        assert!(bytes.starts_with(&out));
    }
    assert_eq!(out, bytes);
}

pub(crate) fn parameters(bytes: &[u8]) {
    // Unknown parameters are passed over, so only what was understood comes back.
    if let Ok(params) = ClientParams::parse(bytes) {
        let mut out = Vec::new();
        params.emit(&mut out);
        assert_eq!(ClientParams::parse(&out), Ok(params));
    }
    if let Ok(answer) = Answer::parse(bytes) {
        let mut out = Vec::new();
        answer.emit(&mut out);
        assert_eq!(Answer::parse(&out), Ok(answer));
    }
}

pub(crate) fn control(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    if let Ok(word) = ControlWord::parse((*kind).into(), payload) {
        let mut out = Vec::new();
        word.emit(&mut out);
        assert_eq!((word.kind(), out.as_slice()), ((*kind).into(), payload));
    }
}

pub(crate) fn host_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<HostPublicKey>() {
        assert_eq!(key.to_string(), text.trim());
    }
    if let Ok(key) = HostKey::from_secret_text(text) {
        assert_eq!(key.to_secret_text(), text.trim());
    }
}

pub(crate) fn kcp_envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes) {
        let mut out = Vec::new();
        envelope.emit(&mut out);
        assert_eq!(Envelope::parse(&out), Ok(envelope));
    }
}
