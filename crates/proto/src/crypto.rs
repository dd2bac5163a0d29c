//! Keys: who the host is, how two sides agree, and what protects each packet.
//!
//! All secrets begin as random bytes that the caller passes in. Each key has one purpose and is
//! derived for it alone, so that what was made for one is worth nothing to another. What judges
//! bytes of a stranger takes `&self` and gives a [`Verdict`] or an error: nothing changes before
//! it is known who sent them.

mod entropy;
mod gate;
mod hash;
mod host_key;
mod noise;
mod packet_keys;
mod ticket;
mod vault;

use std::error::Error;
use std::fmt;

pub use entropy::Entropy;
pub use gate::{CookieKeys, Precheck, ResetKey, is_reset};
pub use hash::Secret;
pub use host_key::{HostKey, HostKeyError, HostPublicKey};
pub use noise::{Initiator, LinkSecrets, Responder, Setting};
pub use packet_keys::{
    Committed, Exhausted, OpenError, Opened, Opener, PacketKeys, RestingKeys, Sealer,
};
pub use ticket::Ticket;
pub use vault::Vault;

/// What a proof is worth. There is no default, and nothing but `Valid` is a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It was made here, for this purpose and for this peer.
    Valid,
    /// It was not, or too long ago.
    Invalid,
    /// There is none.
    Absent,
}

/// Why a handshake message is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// It is too short to be one.
    Truncated,
    /// A public key is none that a secret can be agreed with.
    WeakKey,
    /// It was not made by the peer that it should be from, for this host, with this token.
    Forged,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the handshake message ends too early"),
            Self::WeakKey => f.write_str("the public key in the handshake is weak"),
            Self::Forged => f.write_str("the handshake message is not authentic"),
        }
    }
}

impl Error for HandshakeError {}
