//! What a host keeps outside its memory, unreadable and unchangeable for everyone else.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::hash::{Purpose, derive};
use super::host_key::HostKey;

/// What a host, and each host with the same key, seals and opens.
pub struct Vault(LessSafeKey);

impl Vault {
    /// By how many bytes what is sealed is longer: a nonce and a tag.
    pub const OVERHEAD: usize = NONCE_LEN + 16;

    /// The vault of the hosts with this key.
    ///
    /// # Panics
    /// Never: the key has the length that the cipher takes.
    pub fn new(key: &HostKey) -> Self {
        let key = derive(key.secret(), Purpose::Vault);
        let key = UnboundKey::new(&AES_256_GCM, key.as_bytes());
        Self(LessSafeKey::new(key.expect("32 bytes are a key of AES-256")))
    }

    /// The bytes, sealed: a nonce, as many bytes as `plain` has, and a tag. They open only in the
    /// same context. The nonce must be random: no two sealings of all hosts with this key may have
    /// the same. None if `plain` is longer than the cipher takes.
    pub fn seal(&self, nonce: [u8; NONCE_LEN], context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let by = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(by, Aad::from(context), &mut sealed).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// What was sealed in this context with this key; none if it was not, or was changed since.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut opened = sealed.to_vec();
        let len = self.0.open_in_place(nonce, Aad::from(context), &mut opened).ok()?.len();
        opened.truncate(len);
        Some(opened)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;

    fn vault(byte: u8) -> Vault {
        Vault::new(&HostKey::new(Secret::new([byte; 32])))
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_in_the_same_context_and_unchanged() {
        let sealed = vault(1).seal([1; 12], b"here", b"something").expect("short");
        assert_eq!(vault(1).open(b"here", &sealed).as_deref(), Some(&b"something"[..]));
        assert_eq!(vault(2).open(b"here", &sealed), None);
        assert_eq!(vault(1).open(b"there", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(vault(1).open(b"here", &changed), None);
            assert_eq!(vault(1).open(b"here", &sealed[..at]), None);
        }
        let again = vault(1).seal([2; 12], b"here", b"something").expect("short");
        assert_ne!(again[12..], sealed[12..]);
    }
}
