//! The key by which a client knows its host.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, X25519};

use super::hash::{Secret, sha256};

/// A host's identity: whoever has it is the host. Made once, from 32 random bytes.
pub struct HostKey {
    secret: Secret,
    pub(super) private: PrivateKey,
    public: HostPublicKey,
}

impl HostKey {
    /// The key that these random bytes are.
    ///
    /// # Panics
    /// Never: each 32 bytes are a private key of X25519.
    pub fn new(secret: Secret) -> Self {
        let private = private_key(&secret);
        let public = HostPublicKey(public_key(&private));
        Self { secret, private, public }
    }

    /// What clients are given.
    pub const fn public(&self) -> HostPublicKey {
        self.public
    }

    /// What other long-lived keys of this host are derived from.
    pub(super) const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The key as text to be kept in a file that nobody else can read. The text is a secret.
    pub fn to_secret_text(&self) -> String {
        to_text(SECRET_PREFIX, self.secret.as_bytes())
    }

    /// The key that such a text holds.
    ///
    /// # Errors
    /// When it is not such a text, or has a mistake in it.
    pub fn from_secret_text(text: &str) -> Result<Self, HostKeyError> {
        from_text(SECRET_PREFIX, text).map(|bytes| Self::new(Secret::new(bytes)))
    }
}

impl Clone for HostKey {
    fn clone(&self) -> Self {
        Self::new(self.secret.clone())
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What a client must know of its host: a public key of X25519.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostPublicKey(pub [u8; 32]);

/// `mlk1` and 58 letters and digits, the last of which check the others.
impl fmt::Display for HostPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_text(PUBLIC_PREFIX, &self.0))
    }
}

impl fmt::Debug for HostPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for HostPublicKey {
    type Err = HostKeyError;

    fn from_str(text: &str) -> Result<Self, HostKeyError> {
        from_text(PUBLIC_PREFIX, text).map(Self)
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyError {
    /// It does not begin as such a key does.
    Prefix {
        /// How it would begin.
        expected: &'static str,
    },
    /// It has more or fewer characters than a key.
    Length {
        /// How many it has.
        len: usize,
    },
    /// It has a character that no key has.
    Character {
        /// Which.
        character: char,
        /// Where, counted from one.
        place: usize,
    },
    /// A character of it is wrong or two are swapped: its end does not fit.
    Checksum,
}

impl fmt::Display for HostKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { expected } => write!(f, "a key of this kind begins with {expected}"),
            Self::Length { len } => {
                write!(f, "a key has {TEXT_LEN} characters, this has {len}: was it cut?")
            }
            Self::Character { character, place } => {
                write!(f, "a key has no {character:?}, as here in place {place}")
            }
            Self::Checksum => f.write_str("the key has a typing mistake: its checksum is wrong"),
        }
    }
}

impl Error for HostKeyError {}

const PUBLIC_PREFIX: &str = "mlk1";
const SECRET_PREFIX: &str = "mls1";
/// No letter that looks like another; that of Bitcoin's addresses (BIP 173).
const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_LEN: usize = 4;
/// 36 bytes in fives of bits, after a prefix of four.
const TEXT_LEN: usize = 62;

fn checksum(prefix: &str, bytes: &[u8; 32]) -> [u8; CHECKSUM_LEN] {
    let hash = sha256(&[prefix.as_bytes(), bytes]);
    [hash[0], hash[1], hash[2], hash[3]]
}

fn to_text(prefix: &str, bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(TEXT_LEN);
    text.push_str(prefix);
    let (mut bits, mut len) = (0_u32, 0_u32);
    for byte in bytes.iter().chain(&checksum(prefix, bytes)) {
        bits = (bits << 8) | u32::from(*byte);
        len += 8;
        while len >= 5 {
            len -= 5;
            text.push(char::from(ALPHABET[(bits >> len) as usize & 31]));
        }
        bits &= (1 << len) - 1;
    }
    text.push(char::from(ALPHABET[(bits << (5 - len)) as usize & 31]));
    text
}

fn from_text(expected: &'static str, text: &str) -> Result<[u8; 32], HostKeyError> {
    let text = text.trim();
    let rest = text.strip_prefix(expected).ok_or(HostKeyError::Prefix { expected })?;
    let len = text.chars().count();
    if len != TEXT_LEN {
        return Err(HostKeyError::Length { len });
    }
    let mut decoded = Vec::with_capacity(TEXT_LEN);
    let (mut bits, mut len) = (0_u32, 0_u32);
    for (at, character) in rest.chars().enumerate() {
        let five = ALPHABET.iter().position(|letter| char::from(*letter) == character);
        let place = at + expected.len() + 1;
        let five = five.ok_or(HostKeyError::Character { character, place })?;
        bits = (bits << 5) | five as u32;
        len += 5;
        if len >= 8 {
            len -= 8;
            decoded.push((bits >> len) as u8);
            bits &= (1 << len) - 1;
        }
    }
    let (bytes, sum) = decoded.split_first_chunk().ok_or(HostKeyError::Checksum)?;
    if bits != 0 || sum != checksum(expected, bytes) {
        return Err(HostKeyError::Checksum);
    }
    Ok(*bytes)
}

pub(super) fn private_key(secret: &Secret) -> PrivateKey {
    PrivateKey::from_private_key(&X25519, secret.as_bytes())
        .expect("any 32 bytes are a private key of X25519")
}

pub(super) fn public_key(private: &PrivateKey) -> [u8; 32] {
    let public = private.compute_public_key().expect("a private key has a public one");
    let mut bytes = [0; 32];
    bytes.copy_from_slice(public.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748, 6.1: Alice's keys.
    const ALICE: [u8; 32] = [
        0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66,
        0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9,
        0x2c, 0x2a,
    ];

    #[test]
    fn a_key_comes_back_from_its_text() {
        let key = HostKey::new(Secret::new(ALICE));
        assert_eq!(key.public().0[..4], [0x85, 0x20, 0xf0, 0x09]);
        let text = key.public().to_string();
        assert_eq!(text.len(), TEXT_LEN);
        assert_eq!(text, "mlk1s5s0qzvfxzn4gayt0hwtg0hhtgxm7wsdycup4a8t5j5ca25mfe4899kxkc");
        assert_eq!(text.parse(), Ok(key.public()));
        assert_eq!(format!(" {text}\n").parse(), Ok(key.public()));
        let secret = key.to_secret_text();
        let again = HostKey::from_secret_text(&secret).expect("the same key");
        assert_eq!(again.public(), key.public());
        assert!(!format!("{key:?}").contains("mls1"));
    }

    #[test]
    fn every_wrong_character_is_found() {
        let text = HostKey::new(Secret::new(ALICE)).public().to_string();
        for place in 4..TEXT_LEN {
            for letter in ALPHABET {
                let mut wrong = text.clone().into_bytes();
                if wrong[place] != *letter {
                    wrong[place] = *letter;
                    let wrong = String::from_utf8(wrong).expect("letters");
                    let parsed = wrong.parse::<HostPublicKey>();
                    assert_eq!(parsed, Err(HostKeyError::Checksum), "{wrong}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_says_why() {
        let key = HostKey::new(Secret::new(ALICE));
        let text = key.public().to_string();
        let parse = |text: &str| text.parse::<HostPublicKey>().map_err(|error| error.to_string());
        let told = |text: &str| parse(text).expect_err("no key");
        assert_eq!(told(&key.to_secret_text()), "a key of this kind begins with mlk1");
        assert_eq!(told(""), "a key of this kind begins with mlk1");
        assert_eq!(told("mlk1"), "a key has 62 characters, this has 4: was it cut?");
        assert_eq!(told(&format!("{text}q")), "a key has 62 characters, this has 63: was it cut?");
        let odd = format!("{}é", &text[..61]);
        assert_eq!(told(&odd), "a key has no 'é', as here in place 62");
        assert!(HostKey::from_secret_text(&text).is_err());
    }
}
