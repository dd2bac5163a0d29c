//! Hashes, and keys that are made from keys.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use zeroize::Zeroizing;

/// 32 bytes that nobody else knows. They are wiped when they are dropped and never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; Self::LEN]>);

impl Secret {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// A secret of these bytes.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a key is for. Each has its own label, so no two keys of one root are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    ToHost,
    ToClient,
    PacketKey,
    PacketIv,
    Update,
    Resume,
    /// The public name of a link's ticket.
    TicketName,
    /// What proves that a client has a link's ticket.
    TicketKey,
    Exporter,
    Precheck,
    Cookie,
    CookieRotation,
    Reset,
    Vault,
    Entropy,
    EntropyNext,
}

impl Purpose {
    #[cfg(test)]
    pub(super) const ALL: [Self; 16] = [
        Self::ToHost,
        Self::ToClient,
        Self::PacketKey,
        Self::PacketIv,
        Self::Update,
        Self::Resume,
        Self::TicketName,
        Self::TicketKey,
        Self::Exporter,
        Self::Precheck,
        Self::Cookie,
        Self::CookieRotation,
        Self::Reset,
        Self::Vault,
        Self::Entropy,
        Self::EntropyNext,
    ];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::ToHost => b"moorline 1 to host",
            Self::ToClient => b"moorline 1 to client",
            Self::PacketKey => b"moorline 1 packet key",
            Self::PacketIv => b"moorline 1 packet iv",
            Self::Update => b"moorline 1 update",
            Self::Resume => b"moorline 1 resume",
            Self::TicketName => b"moorline 1 ticket name",
            Self::TicketKey => b"moorline 1 ticket key",
            Self::Exporter => b"moorline 1 exporter",
            Self::Precheck => b"moorline 1 precheck",
            Self::Cookie => b"moorline 1 cookie",
            Self::CookieRotation => b"moorline 1 cookie rotation",
            Self::Reset => b"moorline 1 reset",
            Self::Vault => b"moorline 1 vault",
            Self::Entropy => b"moorline 1 entropy",
            Self::EntropyNext => b"moorline 1 entropy next",
        }
    }
}

/// The key of one purpose: HKDF-Expand (RFC 5869) with the purpose's label, 32 bytes.
pub(super) fn derive(root: &Secret, purpose: Purpose) -> Secret {
    hmac(root.as_bytes(), &[purpose.label(), &[1]])
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// HMAC-SHA256, as a secret of its own.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Secret {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    Secret::new(tag)
}

/// The first 16 bytes of HMAC-SHA256: what proves that somebody with the key wrote this.
pub(super) fn code(key: &Secret, parts: &[&[u8]]) -> [u8; 16] {
    let tag = hmac(key.as_bytes(), parts);
    let mut code = [0; 16];
    code.copy_from_slice(&tag.as_bytes()[..16]);
    code
}

/// Whether two byte strings are the same, in a time that does not tell where they differ.
pub(super) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a13_every_purpose_has_its_own_key() {
        let root = Secret::new([7; 32]);
        let keys = Purpose::ALL.map(|purpose| *derive(&root, purpose).as_bytes());
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{:?}", Purpose::ALL[at]);
            assert_ne!(key, root.as_bytes());
        }
    }

    /// RFC 4231, test case 2, and the hash of nothing.
    #[test]
    fn known_answers_are_right() {
        let tag = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let expected = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95,
            0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9,
            0x64, 0xec, 0x38, 0x43,
        ];
        assert_eq!(*tag.as_bytes(), expected);
        assert_eq!(sha256(&[])[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(sha256(&[b"ab", b"c"]), sha256(&[b"abc"]));
    }

    #[test]
    fn a15_a_secret_does_not_print_its_bytes() {
        assert_eq!(format!("{:?}", Secret::new([0x41; 32])), "Secret(..)");
    }
}
