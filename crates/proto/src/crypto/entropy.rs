//! Random bytes for everything that must not be guessed, from a seed that is passed in.

use super::hash::{Purpose, Secret, derive};

/// Gives random bytes. Who learns its state learns nothing of what it gave before, so keys that
/// were made of it stay secret.
#[derive(Debug)]
pub struct Entropy(Secret);

impl Entropy {
    /// The bytes that follow from this seed: 32 bytes of the operating system's, used for nothing
    /// else.
    pub fn new(seed: Secret) -> Self {
        Self(seed)
    }

    /// The next 32 bytes.
    pub fn secret(&mut self) -> Secret {
        let secret = derive(&self.0, Purpose::Entropy);
        self.0 = derive(&self.0, Purpose::EntropyNext);
        secret
    }

    /// The next bytes, at most 32.
    ///
    /// # Panics
    /// When there are to be more: the caller's mistake.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let secret = self.secret();
        *secret.as_bytes().first_chunk().expect("no more than 32 bytes at once")
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_come_twice_and_the_same_seed_gives_the_same() {
        let mut one = Entropy::new(Secret::new([1; 32]));
        let mut same = Entropy::new(Secret::new([1; 32]));
        let mut other = Entropy::new(Secret::new([2; 32]));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let bytes: [u8; 16] = one.bytes();
            assert_eq!(bytes, same.bytes());
            assert!(seen.insert(bytes) && seen.insert(other.bytes()));
        }
    }
}
