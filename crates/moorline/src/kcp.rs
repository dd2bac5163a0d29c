//! The messages of existing KCP peers, as typed messages.
//!
//! Logins, logouts and heartbeats are not among them: they are the session layer's. What an
//! existing client sends along with its login is a [`LoginRequest`], so that is the payload of its
//! [`moorline::LoginRequest`](crate::LoginRequest); what it expects back is a [`LoginResponse`], so
//! give an encoded one to [`accept_as`](crate::LoginRequest::accept_as) to tell it more than yes.

use std::hash::{DefaultHasher, Hash, Hasher};

use moorline_kcp::kinds;
pub use moorline_kcp::kinds::{
    CombatEvent, CombatEventType, LoginRequest, LoginResponse, MoveInput, PlayerJoin, PlayerState,
    ShootInput, Vector3,
};
use moorline_link::{Delivery, Lane};
use prost::Message as _;

use crate::message::{DecodeError, Message};

/// The delivery policy of existing KCP peers: moves and states on the latest lane, all else
/// reliable and in order.
pub fn delivery() -> Delivery {
    kinds::delivery()
}

macro_rules! message {
    ($message:ty, $kind:expr, $lane:expr, $key:expr) => {
        impl Message for $message {
            const KIND: u16 = $kind;
            const LANE: Lane = $lane;

            fn key(&self) -> u64 {
                let key: fn(&Self) -> &str = $key;
                let mut hasher = DefaultHasher::new();
                key(self).hash(&mut hasher);
                hasher.finish()
            }

            fn encode(&self, bytes: &mut Vec<u8>) {
                // Protobuf into a growing vector cannot run out of room.
                self.encode_raw(bytes);
            }

            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                prost::Message::decode(bytes)
                    .map_err(|error: prost::DecodeError| DecodeError::new(error.to_string()))
            }
        }
    };
}

message!(MoveInput, kinds::MOVE_INPUT, Lane::Latest, |m| &m.player_id);
message!(PlayerState, kinds::PLAYER_STATE, Lane::Latest, |m| &m.player_id);
message!(ShootInput, kinds::SHOOT_INPUT, Lane::ReliableOrdered, |_| "");
message!(CombatEvent, kinds::COMBAT_EVENT, Lane::ReliableOrdered, |_| "");
message!(PlayerJoin, kinds::PLAYER_JOIN, Lane::ReliableOrdered, |_| "");
