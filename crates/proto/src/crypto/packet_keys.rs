//! What seals and opens the packets of a link.
//!
//! Each direction has a chain of keys, a generation after the other. The packet number, which only
//! grows, makes the nonce, so no nonce repeats under a key. A packet is first opened, which changes
//! nothing, and then committed, which only an authentic one can be.

use std::error::Error;
use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::hash::{Purpose, Secret, derive};
use super::noise::LinkSecrets;
use crate::notes::Notes;
use crate::seq::{Freshness, NumberLen, PacketCounter, PacketNumber, ReplayWindow};
use crate::wire::{ConnectionId, Phase, ShortHeader, Suite, TAG_LEN};

/// How many packets one generation of keys may seal: AES-GCM's limit (RFC 9001, 6.6), for both
/// suites.
const SEALED_MAX: u64 = 1 << 23;
/// After how many it is time for the next generation.
const SEALED_DUE: u64 = 1 << 20;
/// How many forged packets a link bears: ChaCha20-Poly1305's limit, for both suites.
const FORGED_MAX: u64 = 1 << 36;

/// The keys of a link have done all that they safely can: the link must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys of this link are used up")
    }
}

impl Error for Exhausted {}

/// Why a packet does not open. Nothing is changed, whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is shorter than its header and tag.
    Truncated,
    /// Its number cannot be.
    Number,
    /// A packet of its number was here already.
    Seen,
    /// It is too far behind to know.
    TooOld,
    /// It is of a generation whose keys were forgotten.
    Forgotten,
    /// Its tag is wrong.
    Forged,
}

/// What the keys of one generation of one direction are made of.
struct Material {
    /// What the next generation comes from.
    secret: Secret,
    key: Secret,
    iv: [u8; 12],
}

impl Material {
    fn new(secret: Secret) -> Self {
        let mut iv = [0; 12];
        iv.copy_from_slice(&derive(&secret, Purpose::PacketIv).as_bytes()[..12]);
        Self { key: derive(&secret, Purpose::PacketKey), secret, iv }
    }

    /// The second half of the key, which AES does without.
    fn tail(&self) -> Half {
        let mut tail = Half::default();
        tail.copy_from_slice(&self.key.as_bytes()[16..]);
        tail
    }

    fn make_cipher(&self, suite: Suite) -> LessSafeKey {
        let key = match suite {
            Suite::Aes => UnboundKey::new(&AES_128_GCM, &self.key.as_bytes()[..16]),
            Suite::ChaCha => UnboundKey::new(&CHACHA20_POLY1305, self.key.as_bytes()),
        };
        LessSafeKey::new(key.expect("the key has the algorithm's length"))
    }
}

/// One generation of keys of one direction.
struct Keys {
    suite: Suite,
    material: Material,
    /// The cipher ready for use, some hundred bytes on the heap; absent until a link that rested
    /// has something to say.
    cipher: Option<LessSafeKey>,
}

impl Keys {
    fn new(suite: Suite, secret: Secret) -> Self {
        let material = Material::new(secret);
        Self { suite, cipher: Some(material.make_cipher(suite)), material }
    }

    fn next(&self) -> Self {
        Self::new(self.suite, derive(&self.material.secret, Purpose::Update))
    }

    fn nonce(&self, number: PacketNumber) -> Nonce {
        let mut nonce = self.material.iv;
        for (byte, of_number) in nonce[4..].iter_mut().zip(number.value().to_be_bytes()) {
            *byte ^= of_number;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    fn open<'p>(
        &self,
        number: PacketNumber,
        header: &[u8],
        body: &'p mut [u8],
    ) -> Result<&'p mut [u8], OpenError> {
        let cipher = self.cipher.as_ref().ok_or(OpenError::Forgotten)?;
        let opened = cipher.open_in_place(self.nonce(number), Aad::from(header), body);
        opened.map_err(|_| OpenError::Forged)
    }
}

/// Seals the packets of one direction.
pub struct Sealer {
    keys: Keys,
    counter: PacketCounter,
    generation: u64,
    /// The number that the first packet of this generation has, or may have.
    generation_first: u64,
}

impl Sealer {
    const fn of(keys: Keys) -> Self {
        let (counter, generation, generation_first) = (PacketCounter::new(), 0, 0);
        Self { keys, counter, generation, generation_first }
    }

    /// Writes the header of the next packet over what `packet` held; frames are to follow, and then
    /// [`seal`](Self::seal). `acked` is the largest number that the peer acknowledged.
    ///
    /// # Errors
    /// When the keys are used up, or more packets are on their way than four bytes can tell apart.
    pub fn begin(
        &self,
        connection: Option<ConnectionId>,
        acked: Option<PacketNumber>,
        packet: &mut Vec<u8>,
    ) -> Result<ShortHeader, Exhausted> {
        let number = self.next_number()?;
        let len = NumberLen::covering(number, acked).ok_or(Exhausted)?;
        let header = ShortHeader::new(connection, Phase::of(self.generation), number, len);
        packet.clear();
        header.emit(packet);
        Ok(header)
    }

    /// Encrypts all that follows the header, appends the tag, and spends the packet's number.
    ///
    /// # Errors
    /// When the keys are used up.
    ///
    /// # Panics
    /// When `header` is not the one that [`begin`](Self::begin) just wrote, or nothing follows it:
    /// the caller's mistake.
    pub fn seal(
        &mut self,
        header: &ShortHeader,
        packet: &mut Vec<u8>,
    ) -> Result<PacketNumber, Exhausted> {
        let number = self.next_number()?;
        let is_next = header.number == number.truncated(header.number_len)
            && header.phase == Phase::of(self.generation);
        assert!(is_next, "a packet is sealed after its header was begun, and once");
        assert!(packet.len() > header.len(), "a packet holds at least one frame");
        self.counter.skip(1);
        let nonce = self.keys.nonce(number);
        let (head, body) = packet.split_at_mut(header.len());
        let Keys { suite, material, cipher } = &mut self.keys;
        let cipher = cipher.get_or_insert_with(|| material.make_cipher(*suite));
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(head), body);
        packet.extend_from_slice(tag.map_err(|_| Exhausted)?.as_ref());
        Ok(number)
    }

    /// Leaves out packet numbers, so that a peer that acknowledges them is found out.
    pub const fn skip(&mut self, count: u64) {
        self.counter.skip(count);
    }

    /// The number of the next packet.
    ///
    /// # Errors
    /// When the keys are used up.
    pub fn next_number(&self) -> Result<PacketNumber, Exhausted> {
        let number = self.counter.peek().ok_or(Exhausted)?;
        if self.sealed() >= SEALED_MAX { Err(Exhausted) } else { Ok(number) }
    }

    /// How many numbers this generation spent, left out ones included.
    fn sealed(&self) -> u64 {
        let next = self.counter.peek().unwrap_or(PacketNumber::LAST);
        next.value().saturating_sub(self.generation_first)
    }

    /// The next generation, from the next packet on.
    fn advance(&mut self) {
        self.generation_first = self.counter.peek().unwrap_or(PacketNumber::LAST).value();
        self.keys = self.keys.next();
        self.generation += 1;
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("counter", &self.counter)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// An authentic packet, still to be committed.
#[must_use = "a packet that is not committed can be received again"]
pub struct Opened {
    number: PacketNumber,
    /// The keys that opened it, if they are new.
    next: Option<Keys>,
}

impl Opened {
    /// The packet's number.
    pub const fn number(&self) -> PacketNumber {
        self.number
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What a packet was, once it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub number: PacketNumber,
    /// Whether it has the largest number so far: only such a packet may say where the peer is.
    pub is_newest: bool,
    /// Whether it began a new generation of keys.
    pub is_update: bool,
}

/// Opens the packets of one direction.
pub struct Opener {
    window: ReplayWindow,
    current: Keys,
    previous: Option<Box<Keys>>,
    generation: u64,
    /// The least number that was received in this generation.
    generation_first: u64,
    forged: u64,
}

impl Opener {
    const fn of(keys: Keys) -> Self {
        Self {
            window: ReplayWindow::new(),
            current: keys,
            previous: None,
            generation: 0,
            generation_first: 0,
            forged: 0,
        }
    }

    /// Opens a packet in place and gives its frames. Whatever the packet is, nothing here changes;
    /// but `packet` does.
    ///
    /// # Errors
    /// When it is not authentic, not new, or its keys are gone.
    pub fn open<'p>(
        &self,
        header: &ShortHeader,
        packet: &'p mut [u8],
    ) -> Result<(Opened, &'p [u8]), OpenError> {
        let number = self.number(header)?;
        match self.window.check(number) {
            Freshness::New => self.open_as(number, header, packet),
            Freshness::Seen => Err(OpenError::Seen),
            Freshness::TooOld => Err(OpenError::TooOld),
        }
    }

    /// Opens a packet in place as [`open`](Self::open) does, be it new or not; for those who look
    /// into traffic that is not theirs.
    ///
    /// # Errors
    /// When it is not authentic, or its keys are gone.
    pub fn reopen<'p>(
        &self,
        header: &ShortHeader,
        packet: &'p mut [u8],
    ) -> Result<(PacketNumber, &'p [u8]), OpenError> {
        let (opened, frames) = self.open_as(self.number(header)?, header, packet)?;
        Ok((opened.number, frames))
    }

    fn number(&self, header: &ShortHeader) -> Result<PacketNumber, OpenError> {
        let expected = self.window.expected();
        PacketNumber::expand(header.number, header.number_len, expected).ok_or(OpenError::Number)
    }

    fn open_as<'p>(
        &self,
        number: PacketNumber,
        header: &ShortHeader,
        packet: &'p mut [u8],
    ) -> Result<(Opened, &'p [u8]), OpenError> {
        let (head, body) = packet.split_at_mut_checked(header.len()).ok_or(OpenError::Truncated)?;
        if body.len() < TAG_LEN {
            return Err(OpenError::Truncated);
        }
        if header.phase == Phase::of(self.generation) {
            let frames = self.current.open(number, head, body)?;
            return Ok((Opened { number, next: None }, frames));
        }
        // Packets of the generation before have smaller numbers than all of this one.
        if number.value() < self.generation_first {
            let previous = self.previous.as_ref().ok_or(OpenError::Forgotten)?;
            let frames = previous.open(number, head, body)?;
            return Ok((Opened { number, next: None }, frames));
        }
        // Made anew for each attempt: a forger who knows the connection id costs one and a half
        // microseconds a packet, and a link that is quiet costs no memory for keys to come.
        let next = self.current.next();
        let frames = next.open(number, head, body)?;
        Ok((Opened { number, next: Some(next) }, frames))
    }

    /// Remembers an authentic packet.
    fn commit(&mut self, opened: Opened) -> Committed {
        let Opened { number, next } = opened;
        let is_newest = number.value() >= self.window.expected();
        let is_update = next.is_some();
        if let Some(next) = next {
            let before = std::mem::replace(&mut self.current, next);
            self.previous = Some(Box::new(before));
            self.generation += 1;
            self.generation_first = number.value();
        }
        self.window.commit(number);
        Committed { number, is_newest, is_update }
    }

    /// The largest number that was received.
    pub const fn largest(&self) -> Option<PacketNumber> {
        self.window.largest()
    }

    /// Counts a packet that was forged.
    ///
    /// # Errors
    /// When there were so many that one might succeed.
    pub const fn on_forged(&mut self) -> Result<(), Exhausted> {
        self.forged = self.forged.saturating_add(1);
        if self.forged >= FORGED_MAX { Err(Exhausted) } else { Ok(()) }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("largest", &self.largest())
            .field("generation", &self.generation)
            .field("forged", &self.forged)
            .finish_non_exhaustive()
    }
}

/// Both directions of one end of a link.
#[derive(Debug)]
pub struct PacketKeys {
    /// For packets from here.
    pub sealer: Sealer,
    /// For packets to here.
    pub opener: Opener,
}

impl PacketKeys {
    /// The client's end.
    pub fn client(suite: Suite, secrets: &LinkSecrets) -> Self {
        let sealer = Sealer::of(Keys::new(suite, secrets.to_host.clone()));
        Self { sealer, opener: Opener::of(Keys::new(suite, secrets.to_client.clone())) }
    }

    /// The host's end.
    pub fn host(suite: Suite, secrets: &LinkSecrets) -> Self {
        let sealer = Sealer::of(Keys::new(suite, secrets.to_client.clone()));
        Self { sealer, opener: Opener::of(Keys::new(suite, secrets.to_host.clone())) }
    }

    /// Remembers an authentic packet that [`Opener::open`] gave. If the peer went on to its next
    /// keys, this end follows.
    pub fn commit(&mut self, opened: Opened) -> Committed {
        let committed = self.opener.commit(opened);
        if self.opener.generation > self.sealer.generation {
            self.sealer.advance();
        }
        committed
    }

    /// Whether this generation sealed so much that the next is due: so many packets, but never more
    /// than 2^20.
    pub fn is_update_due(&self, after: u32) -> bool {
        self.sealer.sealed() >= SEALED_DUE.min(after.into())
    }

    /// Goes on to the next keys, from the next packet on. Not before the peer acknowledged a packet
    /// of these and has followed the last time; false then.
    pub fn update(&mut self, acked: Option<PacketNumber>) -> bool {
        let is_confirmed = acked.is_some_and(|it| it.value() >= self.sealer.generation_first);
        let may = is_confirmed && self.sealer.generation == self.opener.generation;
        if may {
            self.sealer.advance();
        }
        may
    }

    /// Forgets the keys before these; packets of theirs that are still on their way are lost. To be
    /// called a while after an update.
    pub fn forget_previous(&mut self) {
        self.opener.previous = None;
    }

    /// Keeps nothing but what the ciphers are made of, and writes the rest down, for a link that
    /// has nothing to say. Keys before these are forgotten.
    pub(crate) fn rest<N: Notes>(&mut self, notes: &mut N) -> RestingKeys {
        let mut is_chacha = self.sealer.keys.suite == Suite::ChaCha;
        notes.flag(&mut is_chacha);
        self.note(notes);
        let keys = [&self.sealer.keys.material, &self.opener.current.material];
        let tails = is_chacha.then(|| Box::new(keys.map(Material::tail)));
        RestingKeys { heads: keys.map(Head::of), tails, forged: self.opener.forged }
    }

    fn note<N: Notes>(&mut self, notes: &mut N) {
        let Self { sealer, opener } = self;
        sealer.counter.note(notes);
        opener.window.note(notes);
        for value in [
            &mut sealer.generation,
            &mut sealer.generation_first,
            &mut opener.generation,
            &mut opener.generation_first,
        ] {
            notes.number(value);
        }
    }
}

/// What is left of both directions' keys while their link rests, that of packets from here first.
pub struct RestingKeys {
    heads: [Head; 2],
    /// The second halves of the keys. AES has none, which most links have.
    tails: Option<Box<[Half; 2]>>,
    /// Packets that were forged, those included that came while it rests.
    forged: u64,
}

/// Half of 32 bytes, which is a key of AES.
type Half = Zeroizing<[u8; 16]>;

/// [`Material`] with half of the key.
struct Head {
    secret: Secret,
    key: Half,
    iv: [u8; 12],
}

impl Head {
    fn of(material: &Material) -> Self {
        let mut key = Half::default();
        key.copy_from_slice(&material.key.as_bytes()[..16]);
        Self { secret: material.secret.clone(), key, iv: material.iv }
    }

    fn material(&self, tail: &Half) -> Material {
        let mut key = [0; Secret::LEN];
        key[..16].copy_from_slice(&*self.key);
        key[16..].copy_from_slice(&**tail);
        Material { secret: self.secret.clone(), key: Secret::new(key), iv: self.iv }
    }
}

impl RestingKeys {
    /// The keys as they were, with what [`PacketKeys::rest`] wrote down.
    pub(crate) fn wake<N: Notes>(&self, notes: &mut N) -> PacketKeys {
        let [sealing, opening] = &self.heads;
        let [sealing_tail, opening_tail] = self.tails.as_deref().cloned().unwrap_or_default();
        let (sealing, opening) = (sealing.material(&sealing_tail), opening.material(&opening_tail));
        let mut is_chacha = false;
        notes.flag(&mut is_chacha);
        let suite = if is_chacha { Suite::ChaCha } else { Suite::Aes };
        let cipher = Some(opening.make_cipher(suite));
        let mut keys = PacketKeys {
            sealer: Sealer::of(Keys { suite, material: sealing, cipher: None }),
            opener: Opener::of(Keys { suite, material: opening, cipher }),
        };
        keys.note(notes);
        keys.opener.forged = self.forged;
        keys
    }

    /// Goes on resting after packets came that do not open with the keys it made.
    pub(crate) const fn rest_on(&mut self, made: &PacketKeys) {
        self.forged = made.opener.forged;
    }
}

impl fmt::Debug for RestingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestingKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
