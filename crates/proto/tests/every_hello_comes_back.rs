//! The packets and the parameters of the handshake: round trips, truncation, corruption.

use moorline_link::RefusalCode;
use moorline_proto::wire::{
    Answer, CLIENT_HELLO_LEN_MIN, COOKIE_LEN, Claim, ClientHello, ClientParams, ConnectionId,
    Datagram, Direction, HelloId, HostParams, LanesState, Limits, Notice, PASS_LEN, Positions,
    ResumeGrant, ResumeRequest, Retry, ServerHello, Suite, TOKEN_LEN_MAX, TicketId, TokenKind,
    VersionList, WireError,
};
use proptest::collection::vec;
use proptest::prelude::*;

const BOTH: [Direction; 2] = [Direction::ToHost, Direction::ToClient];

fn limits() -> impl Strategy<Value = Limits> {
    (1_200..9_000_u64, 0..1_000_u64, any::<u32>(), any::<u32>()).prop_map(|(a, b, c, d)| Limits {
        datagram_len_max: a,
        ack_delay_max_millis: b,
        idle_millis: c.into(),
        data_max: d.into(),
    })
}

/// No part and no corruption panics, and none is what only the other side may send.
fn disturb(direction: Direction, datagram: &[u8]) {
    for len in 0..datagram.len() {
        for direction in BOTH {
            let _ = Datagram::parse(direction, &datagram[..len]);
        }
    }
    for at in 0..datagram.len() {
        let mut bytes = datagram.to_vec();
        for mask in [0x01, 0x80, 0xff] {
            bytes[at] ^= mask;
            let _ = Datagram::parse(direction, &bytes);
            bytes[at] ^= mask;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_client_hello_comes_back(
        id in any::<[u8; 8]>(), token in vec(any::<u8>(), 0..=TOKEN_LEN_MAX),
        cookie in proptest::option::of(any::<[u8; COOKIE_LEN]>()),
        noise in vec(any::<u8>(), 48..=512), mac in any::<[u8; 16]>(),
    ) {
        let token_kind = if token.is_empty() { TokenKind::None } else { TokenKind::Admission };
        let (id, suite, cookie) = (HelloId(id), Suite::ChaCha, cookie.as_ref());
        let token = &token;
        let hello = ClientHello { id, suite, token_kind, token, cookie, noise: &noise, mac };
        let mut out = Vec::new();
        hello.emit(&mut out);
        prop_assert_eq!(out.len(), CLIENT_HELLO_LEN_MIN);
        let parsed = Datagram::parse(Direction::ToHost, &out);
        prop_assert_eq!(parsed, Ok(Datagram::ClientHello(hello)));
        prop_assert!(Datagram::parse(Direction::ToClient, &out).is_err());
        let (mut prologue, mut covered) = (Vec::new(), Vec::new());
        hello.emit_prologue(&mut prologue);
        hello.emit_covered(&mut covered);
        prop_assert_eq!(&prologue, &out[..hello.prologue_len()]);
        prop_assert_eq!(&covered, &out[..hello.covered_len()]);
        disturb(Direction::ToHost, &out);
        for len in 0..out.len() {
            prop_assert_eq!(Datagram::parse(Direction::ToHost, &out[..len]).err(),
                Some(WireError::Truncated));
        }
        out[4] ^= 1;
        let parsed = Datagram::parse(Direction::ToHost, &out);
        prop_assert_eq!(parsed, Ok(Datagram::UnknownVersion(id)));
    }

    #[test]
    fn a_hosts_answers_come_back_and_are_shorter_than_any_hello(
        id in any::<[u8; 8]>(), cookie in any::<[u8; COOKIE_LEN]>(),
        noise in vec(any::<u8>(), 48..=512), versions in vec(any::<u32>(), 1..=16),
    ) {
        let id = HelloId(id);
        let mut out = Vec::new();
        let retry = Retry { id, cookie: &cookie };
        retry.emit(&mut out);
        prop_assert_eq!(out.len(), Retry::LEN);
        prop_assert_eq!(Datagram::parse(Direction::ToClient, &out), Ok(Datagram::Retry(retry)));
        prop_assert!(Datagram::parse(Direction::ToHost, &out).is_err());
        disturb(Direction::ToClient, &out);

        let hello = ServerHello { id, noise: &noise };
        hello.emit(&mut out);
        prop_assert!(out.len() < CLIENT_HELLO_LEN_MIN);
        let parsed = Datagram::parse(Direction::ToClient, &out);
        prop_assert_eq!(parsed, Ok(Datagram::ServerHello(hello)));
        prop_assert!(Datagram::parse(Direction::ToHost, &out).is_err());
        disturb(Direction::ToClient, &out);

        VersionList::emit(&mut out, id, &versions);
        let parsed = Datagram::parse(Direction::ToClient, &out);
        let Ok(Datagram::VersionList(list)) = parsed else { panic!("{parsed:?}") };
        prop_assert_eq!(list.id, id);
        prop_assert_eq!(list.versions().collect::<Vec<_>>(), versions);
        prop_assert!(Datagram::parse(Direction::ToHost, &out).is_err());
        disturb(Direction::ToClient, &out);
    }

    #[test]
    fn parameters_come_back_and_unknown_ones_are_passed_over(
        application in any::<u64>(), version_max in any::<u32>(), limits in limits(),
        connection in any::<[u8; 8]>(), reset_token in any::<[u8; 16]>(),
    ) {
        let resume = None;
        let params = ClientParams { application, version_max, limits, resume };
        let mut out = Vec::new();
        params.emit(&mut out);
        prop_assert_eq!(ClientParams::parse(&out), Ok(params));
        for len in 0..out.len() {
            prop_assert!(ClientParams::parse(&out[..len]).is_err());
        }
        out.extend_from_slice(&[0x3f, 2, 9, 9]);
        prop_assert_eq!(ClientParams::parse(&out), Ok(params));
        out.extend_from_slice(&[0x3f, 0]);
        prop_assert_eq!(ClientParams::parse(&out), Err(WireError::Parameters), "it comes twice");

        let connection = ConnectionId(connection);
        let (suite, resumed) = (Suite::Aes, None);
        let params = HostParams { suite, connection, reset_token, limits, resumed };
        let notice = Notice { code: RefusalCode::Full, retry_after_millis: Some(5), text: "full" };
        for answer in [Answer::Accepted(params), Answer::Refused(notice)] {
            let mut out = Vec::new();
            answer.emit(&mut out);
            prop_assert_eq!(Answer::parse(&out), Ok(answer));
            for len in 0..out.len() {
                prop_assert!(Answer::parse(&out[..len]).is_err());
            }
        }
    }

    #[test]
    fn what_asks_for_and_grants_lanes_comes_back(
        limits in limits(), epoch in 0..1_u64 << 40, ticket in any::<[u8; 16]>(),
        proof in any::<[u8; 16]>(), lanes in vec((0..26_u8, 0..1_u64 << 62), 0..30),
    ) {
        let mut positions = Positions::default();
        lanes.into_iter().for_each(|(lane, next)| positions.set(lane, next));
        let claim = Claim { ticket: TicketId(ticket), epoch, proof };
        let older = Claim { ticket: TicketId(ticket), epoch: epoch / 2, proof };
        let is_even = epoch.is_multiple_of(2);
        let before = if is_even { [Some(claim), Some(older)] } else { [None; 2] };
        let lanes = LanesState { positions, limit: 77 };
        let pass = (!is_even).then_some([epoch as u8; PASS_LEN]);
        let is_settled = pass.is_some() && epoch.is_multiple_of(3);
        let request = ResumeRequest { claim, before, lanes, pass, is_settled };
        let (application, version_max, resume) = (1, 2, Some(request));
        let params = ClientParams { application, version_max, limits, resume };
        let mut out = Vec::new();
        params.emit(&mut out);
        prop_assert_eq!(ClientParams::parse(&out), Ok(params));
        prop_assert!(out.len() + 48 <= 512, "{} bytes", out.len());

        let (suite, connection, reset_token) = (Suite::Aes, ConnectionId([1; 8]), [2; 16]);
        let lanes = is_even.then_some(LanesState { positions, limit: epoch });
        let resumed = Some(ResumeGrant { epoch, lanes });
        let params = HostParams { suite, connection, reset_token, limits, resumed };
        let mut out = Vec::new();
        Answer::Accepted(params).emit(&mut out);
        prop_assert_eq!(Answer::parse(&out), Ok(Answer::Accepted(params)));
        prop_assert!(out.len() + 48 <= 512, "{} bytes", out.len());
    }

    #[test]
    fn any_bytes_are_a_packet_or_an_error(bytes in vec(any::<u8>(), 0..1_500)) {
        for direction in BOTH {
            let _ = Datagram::parse(direction, &bytes);
        }
    }
}

/// Each type at each length: only a hello of at least 1,200 bytes makes a host say anything.
#[test]
fn a21_nothing_short_looks_like_a_hello() {
    for first in 0..=u8::MAX {
        for version in [0, moorline_proto::wire::VERSION, 7] {
            let mut datagram = vec![first];
            datagram.extend_from_slice(&u32::to_be_bytes(version));
            for len in 5..=1_500 {
                datagram.resize(len, 0x5a);
                let is_hello = matches!(
                    Datagram::parse(Direction::ToHost, &datagram),
                    Ok(Datagram::ClientHello(_) | Datagram::UnknownVersion(_))
                );
                assert!(!is_hello || (len >= CLIENT_HELLO_LEN_MIN && first == 0xc1));
            }
        }
    }
}
