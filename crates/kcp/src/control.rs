//! The words of the session layer as protobuf messages that existing peers understand.
//!
//! Names are read and written as bytes, which on the wire is the same as text, so that it is the
//! session layer that refuses a bad name, and can say so. The reason of a refusal, and what an
//! application sends along with a login, travel in fields that existing peers skip as unknown.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use moorline_link::{Refusal, RefusalCode};
use prost::Message;

/// No `LoginResponse` of [`login_refused`] makes a longer envelope, in bytes.
pub(crate) const REFUSAL_LEN_MAX: usize = Refusal::TEXT_LEN_MAX + 32;

/// What a host's no says where it gives no words.
const REFUSED_TEXT: &str = "the host refused the login";

#[derive(Clone, PartialEq, Message)]
struct Login {
    #[prost(bytes = "vec", tag = "1")]
    player_id: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "104")]
    application: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct LoginAnswer {
    #[prost(bytes = "vec", repeated, tag = "1")]
    player_id: Vec<Vec<u8>>,
    #[prost(int64, tag = "4")]
    server_tick: i64,
    #[prost(bool, tag = "5")]
    result: bool,
    #[prost(uint32, optional, tag = "101")]
    refusal_code: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "102")]
    refusal_text: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "103")]
    retry_after_ms: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "104")]
    application: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Logout {
    #[prost(bytes = "vec", tag = "1")]
    player_id: Vec<u8>,
    #[prost(uint32, optional, tag = "101")]
    refusal_code: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "102")]
    refusal_text: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "103")]
    retry_after_ms: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct BeatAnswer {
    #[prost(int64, tag = "1")]
    server_tick: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Move {
    #[prost(bytes = "vec", tag = "1")]
    player_id: Vec<u8>,
    #[prost(int64, tag = "2")]
    tick: i64,
}

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(bytes = "vec", tag = "1")]
    player_id: Vec<u8>,
    #[prost(int64, tag = "5")]
    tick: i64,
}

/// Bytes that are not the protobuf message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl From<prost::DecodeError> for Unreadable {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

/// What a host answered to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoginVerdict {
    Accepted { server_tick: i64, payload: Vec<u8> },
    Refused(Refusal),
}

/// A player and the tick of its move or state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlayerTick {
    pub(crate) player: Vec<u8>,
    pub(crate) tick: i64,
}

/// A `LoginRequest` of `identity`. What the application sends along is either a whole one of the
/// same name, for existing hosts, or anything else.
pub(crate) fn login(identity: &[u8], payload: &[u8]) -> Vec<u8> {
    match Login::decode(payload) {
        Ok(whole) if !payload.is_empty() && whole.player_id == identity => payload.to_vec(),
        _ => {
            let (player_id, application) = (identity.to_vec(), Some(payload.to_vec()));
            Login { player_id, application }.encode_to_vec()
        }
    }
}

/// The name in a `LoginRequest` and what came along, which from an existing peer is all of it.
pub(crate) fn read_login(payload: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Unreadable> {
    let Login { player_id, application } = Login::decode(payload)?;
    Ok((player_id, application.unwrap_or_else(|| payload.to_vec())))
}

/// A `LoginResponse` that lets `identity` in. What the application sends along is either a whole
/// one that names this player among others, for existing clients, or anything else.
///
/// To a whole one fields are only appended, of which the last one counts, so that it keeps what
/// this version does not know.
pub(crate) fn login_accepted(identity: &[u8], server_tick: i64, payload: &[u8]) -> Vec<u8> {
    match LoginAnswer::decode(payload) {
        Ok(whole) if whole.player_id.iter().any(|player| player == identity) => {
            let server_tick = if whole.server_tick == 0 { server_tick } else { 0 };
            let more = LoginAnswer { server_tick, result: true, ..LoginAnswer::default() };
            [payload, &more.encode_to_vec()].concat()
        }
        _ => {
            let (player_id, application) = (vec![identity.to_vec()], Some(payload.to_vec()));
            let answer = LoginAnswer { player_id, server_tick, application, ..Default::default() };
            LoginAnswer { result: true, ..answer }.encode_to_vec()
        }
    }
}

/// A `LoginResponse` that says no, and why.
pub(crate) fn login_refused(refusal: &Refusal) -> Vec<u8> {
    let (refusal_code, refusal_text, retry_after_ms) = fields(refusal);
    let answer =
        LoginAnswer { refusal_code, refusal_text, retry_after_ms, ..LoginAnswer::default() };
    answer.encode_to_vec()
}

/// What a `LoginResponse` says.
pub(crate) fn read_login_answer(payload: &[u8]) -> Result<LoginVerdict, Unreadable> {
    let answer = LoginAnswer::decode(payload)?;
    if answer.result {
        let payload = answer.application.unwrap_or_else(|| payload.to_vec());
        return Ok(LoginVerdict::Accepted { server_tick: answer.server_tick, payload });
    }
    let code = answer.refusal_code.unwrap_or(0);
    Ok(LoginVerdict::Refused(refusal(code, answer.refusal_text, answer.retry_after_ms)))
}

/// A `LogoutRequest` of `identity`, with the reason if there is one to give.
pub(crate) fn logout(identity: &[u8], farewell: Option<&Refusal>) -> Vec<u8> {
    let (refusal_code, refusal_text, retry_after_ms) = farewell.map(fields).unwrap_or_default();
    let player_id = identity.to_vec();
    Logout { player_id, refusal_code, refusal_text, retry_after_ms }.encode_to_vec()
}

/// The reason in a `LogoutRequest`, if it gives one.
pub(crate) fn read_logout(payload: &[u8]) -> Result<Option<Refusal>, Unreadable> {
    let logout = Logout::decode(payload)?;
    let code = logout.refusal_code;
    Ok(code.map(|code| refusal(code, logout.refusal_text, logout.retry_after_ms)))
}

/// A `HeartbeatResponse`.
pub(crate) fn beat_answer(server_tick: i64) -> Vec<u8> {
    BeatAnswer { server_tick }.encode_to_vec()
}

/// The tick in a `HeartbeatResponse`.
pub(crate) fn read_beat_answer(payload: &[u8]) -> Result<i64, Unreadable> {
    Ok(BeatAnswer::decode(payload)?.server_tick)
}

/// A `MoveInput` that only names its player.
pub(crate) fn naming_move(identity: &[u8]) -> Vec<u8> {
    Move { player_id: identity.to_vec(), tick: 0 }.encode_to_vec()
}

/// Player and tick of a `MoveInput`.
pub(crate) fn read_move(payload: &[u8]) -> Result<PlayerTick, Unreadable> {
    let Move { player_id, tick } = Move::decode(payload)?;
    Ok(PlayerTick { player: player_id, tick })
}

/// Player and tick of a `PlayerState`.
pub(crate) fn read_state(payload: &[u8]) -> Result<PlayerTick, Unreadable> {
    let State { player_id, tick } = State::decode(payload)?;
    Ok(PlayerTick { player: player_id, tick })
}

/// The fields 101 to 103.
type RefusalFields = (Option<u32>, Option<Vec<u8>>, Option<u64>);

fn fields(refusal: &Refusal) -> RefusalFields {
    let text = bounded(&refusal.text);
    let text = (!text.is_empty()).then(|| text.as_bytes().to_vec());
    let millis =
        refusal.retry_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    (Some(refusal.code.number().into()), text, millis)
}

fn refusal(code: u32, text: Option<Vec<u8>>, retry_after_ms: Option<u64>) -> Refusal {
    let code = RefusalCode::from_number(u16::try_from(code).unwrap_or(0));
    let text = text.unwrap_or_else(|| REFUSED_TEXT.into());
    let text = String::from_utf8_lossy(&text);
    Refusal {
        code,
        text: bounded(&text).into(),
        retry_after: retry_after_ms.map(Duration::from_millis),
    }
}

/// As much of `text` as travels, cut between characters.
fn bounded(text: &str) -> &str {
    let (cut, _) = text.split_at(text.floor_char_boundary(Refusal::TEXT_LEN_MAX));
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;
    use crate::kinds::{LoginResponse, LogoutRequest};

    #[test]
    fn a_refusal_survives_the_wire_and_its_text_is_cut_between_characters() {
        let refusal = Refusal::new(RefusalCode::Full, "é".repeat(101))
            .retry_after(Duration::from_millis(1_500));
        let expected = Refusal { text: "é".repeat(100).into(), ..refusal.clone() };
        let answer = read_login_answer(&login_refused(&refusal));
        assert_eq!(answer, Ok(LoginVerdict::Refused(expected.clone())));
        assert_eq!(read_logout(&logout(b"me", Some(&refusal))), Ok(Some(expected)));
        assert_eq!(read_logout(&logout(b"me", None)), Ok(None));
    }

    #[test]
    fn no_refusal_is_longer_than_a_login_is_made() {
        let refusal =
            Refusal::new(RefusalCode::Other(u16::MAX), "x".repeat(500)).retry_after(Duration::MAX);
        assert!(login_refused(&refusal).len() <= REFUSAL_LEN_MAX - Envelope::OVERHEAD_MAX);
    }

    #[test]
    fn a_peer_without_our_fields_gives_and_takes_a_plain_no() {
        let plain = LoginResponse::default().encode_to_vec();
        let refusal = Refusal::new(RefusalCode::Other(0), REFUSED_TEXT);
        assert_eq!(read_login_answer(&plain), Ok(LoginVerdict::Refused(refusal.clone())));
        let theirs = LoginResponse::decode(login_refused(&refusal).as_slice());
        assert_eq!(theirs, Ok(LoginResponse::default()));
        let theirs = LogoutRequest::decode(logout(b"me", Some(&refusal)).as_slice());
        assert_eq!(theirs.map(|logout| logout.player_id), Ok("me".into()));
    }

    #[test]
    fn an_over_long_or_unreadable_text_from_a_peer_is_bounded() {
        let hostile = LoginAnswer {
            refusal_code: Some(u32::MAX),
            refusal_text: Some(vec![0xff; 5_000]),
            ..LoginAnswer::default()
        };
        let Ok(LoginVerdict::Refused(refusal)) = read_login_answer(&hostile.encode_to_vec()) else {
            panic!("a refusal");
        };
        assert_eq!(refusal.code, RefusalCode::Other(0));
        assert!(refusal.text.len() <= Refusal::TEXT_LEN_MAX);
    }

    #[test]
    fn the_applications_own_answer_says_yes_and_keeps_its_tick_and_unknown_fields() {
        let player_id = vec!["bob".into(), "me".into()];
        let mine = LoginResponse { player_id, speed: 4, server_tick: 8, ..Default::default() };
        let mut mine = mine.encode_to_vec();
        mine.extend([15 << 3, 1]);
        let sent = login_accepted(b"me", 99, &mine);
        assert!(sent.starts_with(&mine));
        let read = LoginResponse::decode(sent.as_slice()).expect("a message");
        assert_eq!((read.speed, read.server_tick, read.result), (4, 8, true));
    }

    #[test]
    fn whatever_an_application_sends_along_arrives_as_it_was() {
        for payload in [&b""[..], b"\xff\x00", b"plain words", &login(b"other", b"")] {
            let request = login(b"me", payload);
            assert_eq!(read_login(&request), Ok((b"me".to_vec(), payload.to_vec())));
            let answer = login_accepted(b"me", 99, payload);
            let payload = payload.to_vec();
            let expected = LoginVerdict::Accepted { server_tick: 99, payload };
            assert_eq!(read_login_answer(&answer), Ok(expected));
            let theirs = LoginResponse::decode(answer.as_slice()).expect("a message");
            assert_eq!((theirs.result, theirs.player_id), (true, vec!["me".to_owned()]));
        }
    }
}
