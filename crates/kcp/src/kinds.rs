//! The kinds of message that existing peers speak, their payloads and their lanes.

use moorline_link::{Delivery, Lane};

/// [`MoveInput`].
pub const MOVE_INPUT: u16 = 1;
/// [`PlayerState`].
pub const PLAYER_STATE: u16 = 2;
/// [`ShootInput`].
pub const SHOOT_INPUT: u16 = 3;
/// [`CombatEvent`].
pub const COMBAT_EVENT: u16 = 4;
/// [`PlayerJoin`].
pub const PLAYER_JOIN: u16 = 5;
/// [`LoginRequest`]; a word of the session layer.
pub const LOGIN_REQUEST: u16 = 21;
/// [`LoginResponse`]; a word of the session layer.
pub const LOGIN_RESPONSE: u16 = 22;
/// [`LogoutRequest`]; a word of the session layer.
pub const LOGOUT_REQUEST: u16 = 23;
/// [`Heartbeat`]; a word of the session layer.
pub const HEARTBEAT: u16 = 40;
/// [`HeartbeatResponse`]; a word of the session layer.
pub const HEARTBEAT_RESPONSE: u16 = 41;

/// Every kind with its lane.
const LANES: [(u16, Lane); 10] = [
    (MOVE_INPUT, Lane::Latest),
    (PLAYER_STATE, Lane::Latest),
    (SHOOT_INPUT, Lane::ReliableOrdered),
    (COMBAT_EVENT, Lane::ReliableOrdered),
    (PLAYER_JOIN, Lane::ReliableOrdered),
    (LOGIN_REQUEST, Lane::ReliableOrdered),
    (LOGIN_RESPONSE, Lane::ReliableOrdered),
    (LOGOUT_REQUEST, Lane::ReliableOrdered),
    (HEARTBEAT, Lane::ReliableOrdered),
    (HEARTBEAT_RESPONSE, Lane::ReliableOrdered),
];

/// The lane of a kind that existing peers know.
pub fn lane_of(kind: u16) -> Option<Lane> {
    LANES.iter().find(|(known, _)| *known == kind).map(|(_, lane)| *lane)
}

/// Whether a kind is a word of the session layer, which an application cannot send itself.
pub const fn is_control(kind: u16) -> bool {
    matches!(kind, LOGIN_REQUEST | LOGIN_RESPONSE | LOGOUT_REQUEST | HEARTBEAT | HEARTBEAT_RESPONSE)
}

/// The delivery policy of existing peers; an application adds its own kinds to it.
pub fn delivery() -> Delivery {
    LANES.iter().fold(Delivery::new(), |policy, (kind, lane)| policy.with(*kind, *lane))
}

/// A point or direction in space.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Vector3 {
    /// To the right.
    #[prost(float, tag = "1")]
    pub x: f32,
    /// Up.
    #[prost(float, tag = "2")]
    pub y: f32,
    /// Forward.
    #[prost(float, tag = "3")]
    pub z: f32,
}

/// A client says who it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LoginRequest {
    /// The name it claims.
    #[prost(string, tag = "1")]
    pub player_id: String,
    /// How fast it moves.
    #[prost(int32, tag = "2")]
    pub speed: i32,
}

/// A host's answer to a login.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LoginResponse {
    /// Who is there, the new player among them.
    #[prost(string, repeated, tag = "1")]
    pub player_id: Vec<String>,
    /// Where each of them is.
    #[prost(message, repeated, tag = "2")]
    pub positions: Vec<Vector3>,
    /// How fast they move.
    #[prost(int32, tag = "3")]
    pub speed: i32,
    /// The host's tick at that moment.
    #[prost(int64, tag = "4")]
    pub server_tick: i64,
    /// Whether the client is logged in now.
    #[prost(bool, tag = "5")]
    pub result: bool,
}

/// A host tells of a new player.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PlayerJoin {
    /// Who came.
    #[prost(string, tag = "1")]
    pub player_id: String,
    /// Where they begin.
    #[prost(message, optional, tag = "2")]
    pub position: Option<Vector3>,
}

/// A good-bye.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogoutRequest {
    /// Who leaves.
    #[prost(string, tag = "1")]
    pub player_id: String,
}

/// How a player steers; the newest counts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MoveInput {
    /// Who steers.
    #[prost(string, tag = "1")]
    pub player_id: String,
    /// The tick that it is for.
    #[prost(int64, tag = "2")]
    pub tick: i64,
    /// From -1, left, to 1, right.
    #[prost(float, tag = "3")]
    pub turn_input: f32,
    /// From -1, back, to 1, ahead.
    #[prost(float, tag = "4")]
    pub throttle_input: f32,
}

/// A player shoots.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShootInput {
    /// Who shoots.
    #[prost(string, tag = "1")]
    pub player_id: String,
    /// The tick that it is for.
    #[prost(int64, tag = "2")]
    pub tick: i64,
    /// Where to, along x.
    #[prost(float, tag = "3")]
    pub dir_x: f32,
    /// Where to, along y.
    #[prost(float, tag = "4")]
    pub dir_y: f32,
    /// Who is aimed at, if anybody.
    #[prost(string, tag = "5")]
    pub target_id: String,
}

/// What a [`CombatEvent`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CombatEventType {
    /// Nothing that this version knows.
    Unspecified = 0,
    /// A shot hit.
    Hit = 1,
    /// A player lost health.
    DamageApplied = 2,
    /// A player died.
    Death = 3,
    /// A shot did not count.
    ShootRejected = 4,
}

/// A host tells what a shot did.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CombatEvent {
    /// The tick at which it happened.
    #[prost(int64, tag = "1")]
    pub tick: i64,
    /// What happened.
    #[prost(enumeration = "CombatEventType", tag = "2")]
    pub event_type: i32,
    /// Who did it.
    #[prost(string, tag = "3")]
    pub attacker_id: String,
    /// To whom.
    #[prost(string, tag = "4")]
    pub target_id: String,
    /// How much health it took.
    #[prost(int32, tag = "5")]
    pub damage: i32,
    /// Where.
    #[prost(message, optional, tag = "6")]
    pub hit_position: Option<Vector3>,
}

/// How a player is; the newest counts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PlayerState {
    /// Who.
    #[prost(string, tag = "1")]
    pub player_id: String,
    /// Where.
    #[prost(message, optional, tag = "2")]
    pub position: Option<Vector3>,
    /// Where to, a second.
    #[prost(message, optional, tag = "3")]
    pub velocity: Option<Vector3>,
    /// The heading, in degrees.
    #[prost(float, tag = "4")]
    pub rotation: f32,
    /// The tick at which it was so.
    #[prost(int64, tag = "5")]
    pub tick: i64,
    /// The health left.
    #[prost(int32, tag = "6")]
    pub hp: i32,
    /// The newest [`MoveInput`] that it includes.
    #[prost(int64, tag = "7")]
    pub acknowledged_move_tick: i64,
}

/// A client asks whether the host is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Heartbeat {}

/// A host's answer to a [`Heartbeat`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HeartbeatResponse {
    /// The host's tick at that moment.
    #[prost(int64, tag = "1")]
    pub server_tick: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_moves_and_states_are_replaced_by_newer_ones() {
        let policy = delivery();
        for (kind, lane) in LANES {
            let latest = matches!(kind, MOVE_INPUT | PLAYER_STATE);
            assert_eq!(lane == Lane::Latest, latest, "kind {kind}");
            assert_eq!(policy.lane(kind), Ok(lane));
            assert_eq!(lane_of(kind), Some(lane));
        }
        assert_eq!(lane_of(6), None);
        assert!(policy.lane(6).is_err());
    }
}
