//! The handshake: `Noise_NKpsk0_25519_AESGCM_SHA256`, or with `ChaChaPoly`, in two messages.
//!
//! The client knows the host's key. The first message is for the host alone, but whoever has it can
//! send it again; so it carries no data of the application. The second proves the host and makes
//! the keys of the link, which only the two ends of this one handshake can make. See the Noise
//! protocol framework, revision 34, chapters 5, 7 and 9.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use zeroize::Zeroizing;

use super::HandshakeError;
use super::hash::{Purpose, Secret, derive, hmac, sha256};
use super::host_key::{HostKey, HostPublicKey, private_key, public_key};
use crate::wire::{KEY_LEN, Suite, TAG_LEN};

/// What both sides must agree on before the first message.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The cipher.
    pub suite: Suite,
    /// Everything that was said in the open: the hello up to its cookie.
    pub prologue: &'a [u8],
    /// What the token in the hello stands for; zeros if there is none.
    pub psk: &'a Secret,
}

/// The client's side, between the two messages.
pub struct Initiator {
    symmetric: Symmetric,
    ephemeral: PrivateKey,
}

impl Initiator {
    /// Appends the first message, with `payload` in it. `ephemeral` are random bytes for this
    /// attempt alone: a second message made of them with another payload would betray both.
    ///
    /// # Errors
    /// When the host's key is weak: it is none that a host can have.
    pub fn start(
        setting: &Setting<'_>,
        host: &HostPublicKey,
        ephemeral: &Secret,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Self, HandshakeError> {
        let mut symmetric = Symmetric::new(setting, host);
        let ephemeral = private_key(ephemeral);
        let public = public_key(&ephemeral);
        symmetric.mix_ephemeral(&public);
        symmetric.mix_agreed(&ephemeral, &host.0)?;
        out.extend_from_slice(&public);
        symmetric.encrypt(payload, out);
        Ok(Self { symmetric, ephemeral })
    }

    /// Reads the second message; its payload is appended. Whatever fails leaves this as it is, to
    /// wait for the true one.
    ///
    /// # Errors
    /// When the message is not the host's answer to the first.
    pub fn finish(
        &self,
        message: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<LinkSecrets, HandshakeError> {
        let (public, encrypted) = split(message)?;
        let mut symmetric = self.symmetric.clone();
        symmetric.mix_ephemeral(public);
        symmetric.mix_agreed(&self.ephemeral, public)?;
        symmetric.decrypt(encrypted, payload)?;
        Ok(symmetric.secrets())
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator").field("suite", &self.symmetric.suite).finish_non_exhaustive()
    }
}

/// The host's side, between the two messages.
pub struct Responder {
    symmetric: Symmetric,
    remote: [u8; KEY_LEN],
}

impl Responder {
    /// Reads the first message; its payload is appended.
    ///
    /// # Errors
    /// When the message was not made for this host, setting and token.
    pub fn read(
        setting: &Setting<'_>,
        host: &HostKey,
        message: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<Self, HandshakeError> {
        let (remote, encrypted) = split(message)?;
        let mut symmetric = Symmetric::new(setting, &host.public());
        symmetric.mix_ephemeral(remote);
        symmetric.mix_agreed(&host.private, remote)?;
        symmetric.decrypt(encrypted, payload)?;
        Ok(Self { symmetric, remote: *remote })
    }

    /// Appends the second message, with `payload` in it. `ephemeral` are random bytes for this
    /// answer alone.
    ///
    /// # Errors
    /// When the client's key is weak.
    pub fn answer(
        mut self,
        ephemeral: &Secret,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<LinkSecrets, HandshakeError> {
        let ephemeral = private_key(ephemeral);
        let public = public_key(&ephemeral);
        self.symmetric.mix_ephemeral(&public);
        self.symmetric.mix_agreed(&ephemeral, &self.remote)?;
        out.extend_from_slice(&public);
        self.symmetric.encrypt(payload, out);
        Ok(self.symmetric.secrets())
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("suite", &self.symmetric.suite).finish_non_exhaustive()
    }
}

/// What a handshake ends with: one secret for each purpose.
#[derive(Debug)]
pub struct LinkSecrets {
    /// For packets to the host.
    pub to_host: Secret,
    /// For packets to the client.
    pub to_client: Secret,
    /// What stands for this link in a later handshake that returns to its session.
    pub resume: Secret,
    /// For the application, to bind something of its own to this link.
    pub exporter: Secret,
}

impl LinkSecrets {
    /// From what Noise ends with: two keys, and the hash of all that was said.
    fn new(keys: [&Secret; 2], hash: &[u8; 32]) -> Self {
        let root = hmac(hash, &keys.map(|key| key.as_bytes().as_slice()));
        Self {
            to_host: derive(&root, Purpose::ToHost),
            to_client: derive(&root, Purpose::ToClient),
            resume: derive(&root, Purpose::Resume),
            exporter: derive(&root, Purpose::Exporter),
        }
    }
}

/// Noise's symmetric state. In this pattern each key encrypts one payload, so every nonce is zero.
#[derive(Clone)]
struct Symmetric {
    suite: Suite,
    hash: [u8; 32],
    chaining: Secret,
    key: Secret,
}

impl Symmetric {
    fn new(setting: &Setting<'_>, host: &HostPublicKey) -> Self {
        let hash = match setting.suite {
            // A name of 32 bytes stands for itself, a longer one is hashed.
            Suite::Aes => *b"Noise_NKpsk0_25519_AESGCM_SHA256",
            Suite::ChaCha => sha256(&[b"Noise_NKpsk0_25519_ChaChaPoly_SHA256"]),
        };
        let chaining = Secret::new(hash);
        let mut symmetric = Self { suite: setting.suite, hash, key: chaining.clone(), chaining };
        symmetric.mix_hash(setting.prologue);
        symmetric.mix_hash(&host.0);
        symmetric.mix_psk(setting.psk);
        symmetric
    }

    fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = sha256(&[&self.hash, bytes]);
    }

    fn mix_psk(&mut self, psk: &Secret) {
        let temporary = hmac(self.chaining.as_bytes(), &[psk.as_bytes()]);
        self.chaining = hmac(temporary.as_bytes(), &[&[1]]);
        let hash = hmac(temporary.as_bytes(), &[self.chaining.as_bytes(), &[2]]);
        self.key = hmac(temporary.as_bytes(), &[hash.as_bytes(), &[3]]);
        self.mix_hash(hash.as_bytes());
    }

    fn mix_key(&mut self, input: &[u8]) {
        let [chaining, key] = expand_two(&self.chaining, input);
        (self.chaining, self.key) = (chaining, key);
    }

    /// A public key that travelled. Where there is a shared key, it goes into both chains.
    fn mix_ephemeral(&mut self, public: &[u8; KEY_LEN]) {
        self.mix_hash(public);
        self.mix_key(public);
    }

    fn mix_agreed(
        &mut self,
        private: &PrivateKey,
        public: &[u8; KEY_LEN],
    ) -> Result<(), HandshakeError> {
        let public = UnparsedPublicKey::new(&X25519, public);
        let agreed = agreement::agree(private, public, HandshakeError::WeakKey, |agreed| {
            let mut bytes = Zeroizing::new([0; 32]);
            bytes.copy_from_slice(agreed);
            Ok(bytes)
        })?;
        self.mix_key(agreed.as_slice());
        Ok(())
    }

    fn cipher(&self) -> LessSafeKey {
        let algorithm = match self.suite {
            Suite::Aes => &AES_256_GCM,
            Suite::ChaCha => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, self.key.as_bytes());
        LessSafeKey::new(key.expect("the key has the algorithm's length"))
    }

    fn encrypt(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let (_, body) = out.split_at_mut(start);
        let tag = self.cipher().seal_in_place_separate_tag(nonce, Aad::from(self.hash), body);
        out.extend_from_slice(tag.expect("a payload is short").as_ref());
        let (_, encrypted) = out.split_at(start);
        self.mix_hash(encrypted);
    }

    fn decrypt(&mut self, encrypted: &[u8], payload: &mut Vec<u8>) -> Result<(), HandshakeError> {
        let mut buffer = encrypted.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let opened = self.cipher().open_in_place(nonce, Aad::from(self.hash), &mut buffer);
        payload.extend_from_slice(opened.map_err(|_| HandshakeError::Forged)?);
        self.mix_hash(encrypted);
        Ok(())
    }

    fn secrets(&self) -> LinkSecrets {
        let [to_host, to_client] = expand_two(&self.chaining, &[]);
        LinkSecrets::new([&to_host, &to_client], &self.hash)
    }
}

/// Noise's HKDF with two results.
fn expand_two(chaining: &Secret, input: &[u8]) -> [Secret; 2] {
    let temporary = hmac(chaining.as_bytes(), &[input]);
    let first = hmac(temporary.as_bytes(), &[&[1]]);
    let second = hmac(temporary.as_bytes(), &[first.as_bytes(), &[2]]);
    [first, second]
}

/// A message's public key, and what is encrypted after it.
fn split(message: &[u8]) -> Result<(&[u8; KEY_LEN], &[u8]), HandshakeError> {
    let (public, encrypted) = message.split_first_chunk().ok_or(HandshakeError::Truncated)?;
    if encrypted.len() < TAG_LEN { Err(HandshakeError::Truncated) } else { Ok((public, encrypted)) }
}

#[cfg(test)]
mod tests {
    use snow::{Builder, HandshakeState};

    use super::*;

    const PROLOGUE: &[u8] = b"all that was said before";

    fn secret(byte: u8) -> Secret {
        Secret::new([byte; 32])
    }

    fn setting(suite: Suite, psk: &Secret) -> Setting<'_> {
        Setting { suite, prologue: PROLOGUE, psk }
    }

    /// The other implementation, with the same fixed keys.
    fn oracle(
        suite: Suite,
        host: &HostKey,
        is_client: bool,
        ephemeral: &[u8; 32],
    ) -> HandshakeState {
        let cipher = match suite {
            Suite::Aes => "AESGCM",
            Suite::ChaCha => "ChaChaPoly",
        };
        let name = format!("Noise_NKpsk0_25519_{cipher}_SHA256").parse().expect("a pattern");
        let builder = Builder::new(name).prologue(PROLOGUE).expect("a prologue");
        let builder = builder.psk(0, &[3; 32]).expect("a key");
        let builder = builder.fixed_ephemeral_key_for_testing_only(ephemeral);
        let public = host.public().0;
        if is_client {
            let builder = builder.remote_public_key(&public).expect("a key");
            builder.build_initiator().expect("an initiator")
        } else {
            let secret = *host.secret().as_bytes();
            let builder = builder.local_private_key(&secret).expect("a key");
            builder.build_responder().expect("a responder")
        }
    }

    fn secrets_of(mut oracle: HandshakeState) -> LinkSecrets {
        let hash = oracle.get_handshake_hash().try_into().expect("32 bytes");
        let (a, b) = oracle.dangerously_get_raw_split();
        LinkSecrets::new([&Secret::new(a), &Secret::new(b)], &hash)
    }

    fn all(secrets: &LinkSecrets) -> [[u8; 32]; 4] {
        let LinkSecrets { to_host, to_client, resume, exporter } = secrets;
        [to_host, to_client, resume, exporter].map(|secret| *secret.as_bytes())
    }

    #[test]
    fn a35_both_sides_say_byte_for_byte_what_another_implementation_says() {
        for suite in Suite::ALL {
            let (host, psk) = (HostKey::new(secret(9)), secret(3));
            let setting = setting(suite, &psk);
            let mut buffer = [0; 256];

            let (mut first, mut second) = (Vec::new(), Vec::new());
            let (mut heard, mut answered) = (Vec::new(), Vec::new());
            let client =
                Initiator::start(&setting, &host.public(), &secret(1), b"hello", &mut first)
                    .expect("a good key");
            let responder =
                Responder::read(&setting, &host, &first, &mut heard).expect("authentic");
            let of_host = responder.answer(&secret(2), b"welcome", &mut second).expect("authentic");
            let of_client = client.finish(&second, &mut answered).expect("authentic");
            assert_eq!((heard.as_slice(), answered.as_slice()), (&b"hello"[..], &b"welcome"[..]));
            assert_eq!(all(&of_client), all(&of_host));

            let mut oracle_client = oracle(suite, &host, true, &[1; 32]);
            let len = oracle_client.write_message(b"hello", &mut buffer).expect("it fits");
            assert_eq!(buffer[..len], first);
            let mut oracle_host = oracle(suite, &host, false, &[2; 32]);
            let len = oracle_host.read_message(&first, &mut buffer).expect("authentic");
            assert_eq!(&buffer[..len], b"hello");
            let len = oracle_host.write_message(b"welcome", &mut buffer).expect("it fits");
            assert_eq!(buffer[..len], second);
            oracle_client.read_message(&second, &mut buffer).expect("authentic");
            assert_eq!(all(&secrets_of(oracle_client)), all(&of_client));
            assert_eq!(all(&secrets_of(oracle_host)), all(&of_host));

            let mut distinct = all(&of_host).to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 4);
        }
    }

    #[test]
    fn a5_every_wrong_bit_is_found_and_leaves_the_client_waiting_for_the_true_answer() {
        for suite in Suite::ALL {
            let (host, psk) = (HostKey::new(secret(9)), secret(3));
            let setting = setting(suite, &psk);
            let (mut first, mut second, mut payload) = (Vec::new(), Vec::new(), Vec::new());
            let client = Initiator::start(&setting, &host.public(), &secret(1), b"hi", &mut first)
                .expect("a good key");
            for at in 0..first.len() * 8 {
                let mut wrong = first.clone();
                wrong[at / 8] ^= 1 << (at % 8);
                let read = Responder::read(&setting, &host, &wrong, &mut payload);
                // The curve ignores the top bit of a key; the hash of all that was said does not.
                assert_eq!(read.err(), Some(HandshakeError::Forged));
            }
            for len in 0..first.len() {
                assert!(Responder::read(&setting, &host, &first[..len], &mut payload).is_err());
            }
            let responder =
                Responder::read(&setting, &host, &first, &mut payload).expect("authentic");
            let of_host = responder.answer(&secret(2), b"yes", &mut second).expect("authentic");
            payload.clear();
            for at in 0..second.len() * 8 {
                let mut wrong = second.clone();
                wrong[at / 8] ^= 1 << (at % 8);
                let finished = client.finish(&wrong, &mut payload);
                assert_eq!(finished.err(), Some(HandshakeError::Forged));
            }
            assert!(payload.is_empty(), "nothing of a forged message is told");
            let of_client = client.finish(&second, &mut payload).expect("still possible");
            assert_eq!(all(&of_client), all(&of_host));
        }
    }

    #[test]
    fn a36_who_disagrees_on_anything_before_the_first_message_does_not_get_in() {
        let (host, psk) = (HostKey::new(secret(9)), secret(3));
        let right = setting(Suite::Aes, &psk);
        let mut first = Vec::new();
        Initiator::start(&right, &host.public(), &secret(1), b"", &mut first).expect("a good key");
        let read = |setting: &Setting<'_>, host: &HostKey| {
            Responder::read(setting, host, &first, &mut Vec::new()).err()
        };
        assert_eq!(read(&right, &host), None);
        let forged = Some(HandshakeError::Forged);
        assert_eq!(read(&right, &HostKey::new(secret(8))), forged);
        assert_eq!(read(&Setting { suite: Suite::ChaCha, ..right }, &host), forged);
        assert_eq!(read(&Setting { psk: &secret(0), ..right }, &host), forged);
        // The version, the hello's id and the token are in the prologue.
        for at in 0..PROLOGUE.len() {
            let mut prologue = PROLOGUE.to_vec();
            prologue[at] ^= 1;
            assert_eq!(read(&Setting { prologue: &prologue, ..right }, &host), forged);
        }
    }

    #[test]
    fn weak_keys_are_refused() {
        let (host, psk) = (HostKey::new(secret(9)), secret(3));
        let setting = setting(Suite::Aes, &psk);
        let weak = [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }];
        for key in weak {
            let public = HostPublicKey(key);
            let started = Initiator::start(&setting, &public, &secret(1), b"", &mut Vec::new());
            assert_eq!(started.err(), Some(HandshakeError::WeakKey));
            let message = [key.as_slice(), &[0; 16]].concat();
            let read = Responder::read(&setting, &host, &message, &mut Vec::new());
            assert_eq!(read.err(), Some(HandshakeError::WeakKey));
        }
    }
}
