//! The packets of the handshake.

use super::bytes::Reader;
use super::packet::LONG;
use super::params::Suite;
use super::{DATAGRAM_LEN_BASE, VERSION, WireError};

pub(super) const VERSION_LIST: u8 = LONG;
pub(super) const CLIENT_HELLO: u8 = LONG | 1;
pub(super) const RETRY: u8 = LONG | 2;
pub(super) const SERVER_HELLO: u8 = LONG | 3;

/// The shortest that a datagram with a client's hello may be, so that no answer is longer.
pub const CLIENT_HELLO_LEN_MIN: usize = DATAGRAM_LEN_BASE;
/// The longest admission token.
pub const TOKEN_LEN_MAX: usize = 512;
/// The length of a cookie.
pub const COOKIE_LEN: usize = 20;
/// The length of the code that a host checks before anything else.
pub const MAC_LEN: usize = 16;
/// The length of a public key.
pub const KEY_LEN: usize = 32;

/// The shortest first handshake message: a key and the tag of an empty payload.
const NOISE_LEN_MIN: usize = 48;
/// The longest handshake message that fits beside the longest token and a cookie.
const NOISE_LEN_MAX: usize = 512;
/// The most versions in a list.
const VERSIONS_LEN_MAX: usize = 16;

/// What a client calls one attempt. Whoever answers must have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HelloId(pub [u8; 8]);

/// What an admission token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// There is none; its bytes are empty.
    None,
    /// Bytes that the host's application knows how to read.
    Admission,
}

impl TokenKind {
    const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Admission => 1,
        }
    }

    const fn from_number(number: u8) -> Result<Self, WireError> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Admission),
            other => Err(WireError::UnknownType(other)),
        }
    }
}

/// A client asks for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// What the client calls this attempt.
    pub id: HelloId,
    /// The cipher of the handshake.
    pub suite: Suite,
    /// What `token` is.
    pub token_kind: TokenKind,
    /// At most [`TOKEN_LEN_MAX`] bytes; empty if and only if the kind is none.
    pub token: &'a [u8],
    /// What a host answered to an earlier copy of this hello.
    pub cookie: Option<&'a [u8; COOKIE_LEN]>,
    /// The first message of the handshake.
    pub noise: &'a [u8],
    /// Over everything before it, under a key that whoever knows the host's public key can tell.
    pub mac: [u8; MAC_LEN],
}

impl<'a> ClientHello<'a> {
    pub(super) fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        if datagram.len() < CLIENT_HELLO_LEN_MIN {
            return Err(WireError::Truncated);
        }
        let mut reader = Reader(datagram);
        if reader.u8()? != CLIENT_HELLO || reader.u32()? != VERSION {
            return Err(WireError::Reserved);
        }
        let id = HelloId(*reader.array()?);
        let suite = Suite::from_number(reader.u8()?)?;
        let token_kind = TokenKind::from_number(reader.u8()?)?;
        let token = match usize::from(reader.u16()?) {
            len if len > TOKEN_LEN_MAX => return Err(WireError::OutOfRange),
            len => reader.take(len)?,
        };
        if (token_kind == TokenKind::None) != token.is_empty() {
            return Err(WireError::OutOfRange);
        }
        let cookie = match usize::from(reader.u8()?) {
            0 => None,
            COOKIE_LEN => Some(reader.array()?),
            _ => return Err(WireError::OutOfRange),
        };
        let noise = match usize::from(reader.u16()?) {
            len @ NOISE_LEN_MIN..=NOISE_LEN_MAX => reader.take(len)?,
            _ => return Err(WireError::OutOfRange),
        };
        let mac = *reader.array()?;
        Ok(Self { id, suite, token_kind, token, cookie, noise, mac })
    }

    /// How many bytes the prologue has: everything before the cookie.
    pub const fn prologue_len(&self) -> usize {
        self.token.len().saturating_add(17)
    }

    /// How many bytes the check at the end covers: everything before it.
    pub const fn covered_len(&self) -> usize {
        let cookie = if self.cookie.is_some() { COOKIE_LEN } else { 0 };
        self.prologue_len()
            .saturating_add(cookie)
            .saturating_add(self.noise.len())
            .saturating_add(3)
    }

    /// Appends what the handshake's transcript begins with: all that is before the cookie. Copies
    /// of one hello share it, with and without a cookie.
    ///
    /// # Panics
    /// When the token is longer than it may be, or does not fit its kind: the caller's mistake.
    pub fn emit_prologue(&self, out: &mut Vec<u8>) {
        assert!(self.token.len() <= TOKEN_LEN_MAX, "an admission token is too long");
        assert!(
            self.token.is_empty() == (self.token_kind == TokenKind::None),
            "a token has a kind and bytes, or neither"
        );
        out.push(CLIENT_HELLO);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.id.0);
        out.push(self.suite.number());
        out.push(self.token_kind.number());
        out.extend_from_slice(&(self.token.len() as u16).to_be_bytes());
        out.extend_from_slice(self.token);
    }

    /// Appends all that the check at the end covers.
    ///
    /// # Panics
    /// When the token or the handshake message is longer than it may be: the caller's mistake.
    pub fn emit_covered(&self, out: &mut Vec<u8>) {
        let fits = (NOISE_LEN_MIN..=NOISE_LEN_MAX).contains(&self.noise.len());
        assert!(fits, "a handshake message does not fit its hello");
        self.emit_prologue(out);
        out.push(self.cookie.map_or(0, |_| COOKIE_LEN as u8));
        out.extend_from_slice(self.cookie.map_or(&[], |cookie| cookie));
        out.extend_from_slice(&(self.noise.len() as u16).to_be_bytes());
        out.extend_from_slice(self.noise);
    }

    /// Writes the whole datagram over what `out` held, padded to [`CLIENT_HELLO_LEN_MIN`].
    ///
    /// # Panics
    /// As [`emit_covered`](Self::emit_covered).
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.clear();
        self.emit_covered(out);
        out.extend_from_slice(&self.mac);
        out.resize(out.len().max(CLIENT_HELLO_LEN_MIN), 0);
    }
}

const _: () = assert!(
    17 + TOKEN_LEN_MAX + 1 + COOKIE_LEN + 2 + NOISE_LEN_MAX + MAC_LEN <= CLIENT_HELLO_LEN_MIN
);

/// A host asks a client to show that it is where it says, by sending its hello again with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry<'a> {
    /// The hello that is answered.
    pub id: HelloId,
    /// What to send back.
    pub cookie: &'a [u8; COOKIE_LEN],
}

impl<'a> Retry<'a> {
    /// Its length in bytes.
    pub const LEN: usize = 13 + COOKIE_LEN;

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let id = HelloId(*reader.array()?);
        let cookie = reader.array()?;
        if reader.is_empty() { Ok(Self { id, cookie }) } else { Err(WireError::OutOfRange) }
    }

    /// Writes the whole datagram over what `out` held.
    pub fn emit(&self, out: &mut Vec<u8>) {
        begin(out, RETRY, VERSION, self.id);
        out.extend_from_slice(self.cookie);
    }
}

/// A host answers a hello: yes or no is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello<'a> {
    /// The hello that is answered.
    pub id: HelloId,
    /// The second message of the handshake, to the end of the datagram.
    pub noise: &'a [u8],
}

impl<'a> ServerHello<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let id = HelloId(*reader.array()?);
        let noise = reader.rest();
        match noise.len() {
            0..NOISE_LEN_MIN => Err(WireError::Truncated),
            NOISE_LEN_MIN..=NOISE_LEN_MAX => Ok(Self { id, noise }),
            _ => Err(WireError::OutOfRange),
        }
    }

    /// Writes the whole datagram over what `out` held.
    ///
    /// # Panics
    /// When the handshake message is longer than it may be: the caller's mistake.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let fits = (NOISE_LEN_MIN..=NOISE_LEN_MAX).contains(&self.noise.len());
        assert!(fits, "a handshake message does not fit its answer");
        begin(out, SERVER_HELLO, VERSION, self.id);
        out.extend_from_slice(self.noise);
    }
}

/// A host names the versions that it speaks, to a client that asked in another. Nobody vouches for
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionList<'a> {
    /// The hello that is answered.
    pub id: HelloId,
    versions: &'a [u8],
}

impl<'a> VersionList<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let id = HelloId(*reader.array()?);
        let count = usize::from(reader.u8()?);
        if count == 0 || count > VERSIONS_LEN_MAX {
            return Err(WireError::OutOfRange);
        }
        let versions = reader.take(count.saturating_mul(4))?;
        if reader.is_empty() { Ok(Self { id, versions }) } else { Err(WireError::OutOfRange) }
    }

    /// The versions, in the order in which the host prefers them.
    pub fn versions(&self) -> impl Iterator<Item = u32> {
        self.versions.as_chunks().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Writes the whole datagram over what `out` held.
    ///
    /// # Panics
    /// When there is no version, or more than sixteen: the caller's mistake.
    pub fn emit(out: &mut Vec<u8>, id: HelloId, versions: &[u32]) {
        let fits = (1..=VERSIONS_LEN_MAX).contains(&versions.len());
        assert!(fits, "a list of versions has one to sixteen");
        begin(out, VERSION_LIST, 0, id);
        out.push(versions.len() as u8);
        for version in versions {
            out.extend_from_slice(&version.to_be_bytes());
        }
    }
}

fn begin(out: &mut Vec<u8>, kind: u8, version: u32, id: HelloId) {
    out.clear();
    out.push(kind);
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&id.0);
}
