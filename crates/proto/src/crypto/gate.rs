//! Proofs that cost their checker nothing to keep: cookies, the precheck, and the reset token.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use moorline_link::Time;

use super::Verdict;
use super::hash::{Purpose, Secret, code, derive, hmac, is_equal};
use super::host_key::{HostKey, HostPublicKey};
use crate::wire::{COOKIE_LEN, ClientHello, ConnectionId, HelloId, MAC_LEN, RESET_TOKEN_LEN};

/// What shows that a hello comes from somebody who read the host's answer to it at its address.
/// The host keeps two secrets, and nothing for each cookie.
#[derive(Debug)]
pub struct CookieKeys {
    current: Secret,
    previous: Option<Secret>,
    rotated: Time,
}

impl CookieKeys {
    /// How long a cookie is worth something.
    pub const LIFETIME: Duration = Duration::from_secs(10);
    /// How long a secret makes cookies. As long again it still checks them.
    pub const ROTATION: Duration = Duration::from_secs(60);

    /// Keys for one run of one host, of bytes that were random for it alone.
    pub fn new(now: Time, random: &Secret) -> Self {
        Self { current: derive(random, Purpose::Cookie), previous: None, rotated: now }
    }

    /// Goes on to the next secret if it is time. The one before the last is gone for good.
    pub fn rotate(&mut self, now: Time) {
        let late = now.since(self.rotated);
        if late >= Self::ROTATION {
            let next = derive(&self.current, Purpose::CookieRotation);
            let last = std::mem::replace(&mut self.current, next);
            self.previous = (late < Self::ROTATION * 2).then_some(last);
            self.rotated = now;
        }
    }

    /// The cookie for a hello from this address.
    pub fn make(&self, now: Time, from: SocketAddr, id: HelloId) -> [u8; COOKIE_LEN] {
        let made = (now.as_millis() as u32).to_be_bytes();
        let code = cookie_code(&self.current, made, from, id);
        let mut cookie = [0; COOKIE_LEN];
        let (head, tail) = cookie.split_at_mut(made.len());
        head.copy_from_slice(&made);
        tail.copy_from_slice(&code);
        cookie
    }

    /// Whether this cookie was made here for this hello and address, a short while ago.
    pub fn check(
        &self,
        now: Time,
        from: SocketAddr,
        id: HelloId,
        cookie: Option<&[u8; COOKIE_LEN]>,
    ) -> Verdict {
        let Some(cookie) = cookie else { return Verdict::Absent };
        let Some((made, code)) = cookie.split_first_chunk() else { return Verdict::Invalid };
        let age = (now.as_millis() as u32).wrapping_sub(u32::from_be_bytes(*made));
        if Duration::from_millis(age.into()) > Self::LIFETIME {
            return Verdict::Invalid;
        }
        let is_by = |key: &Secret| is_equal(&cookie_code(key, *made, from, id), code);
        if is_by(&self.current) || self.previous.as_ref().is_some_and(is_by) {
            Verdict::Valid
        } else {
            Verdict::Invalid
        }
    }
}

fn cookie_code(key: &Secret, made: [u8; 4], from: SocketAddr, id: HelloId) -> [u8; 16] {
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    code(key, &[&made, &ip.octets(), &from.port().to_be_bytes(), &id.0])
}

/// The first and cheapest check of a hello: that its sender knows the host's public key, and that
/// nothing of it was changed by accident.
#[derive(Debug)]
pub struct Precheck(Secret);

impl Precheck {
    /// The check of one host.
    pub fn of(host: &HostPublicKey) -> Self {
        Self(derive(&hmac(&host.0, &[]), Purpose::Precheck))
    }

    /// The code over everything before it.
    pub fn code(&self, covered: &[u8]) -> [u8; MAC_LEN] {
        code(&self.0, &[covered])
    }

    /// Whether a hello that was parsed from `datagram` has the right code.
    pub fn check(&self, hello: &ClientHello<'_>, datagram: &[u8]) -> Verdict {
        match datagram.get(..hello.covered_len()) {
            Some(covered) if is_equal(&self.code(covered), &hello.mac) => Verdict::Valid,
            _ => Verdict::Invalid,
        }
    }
}

/// What makes the tokens by which a host says that it lost a link. It is the same after a restart.
#[derive(Debug)]
pub struct ResetKey(Secret);

impl ResetKey {
    /// The shortest datagram that says so: it looks like a packet of a link.
    const LEN_MIN: usize = 22;
    /// How long it is if it may.
    const LEN: usize = 40;

    /// The key of one host. Hosts with one key and connection ids of their own take different
    /// `node` numbers.
    pub fn of(host: &HostKey, node: u16) -> Self {
        let root = hmac(host.secret().as_bytes(), &[&node.to_be_bytes()]);
        Self(derive(&root, Purpose::Reset))
    }

    /// The token of a connection id, which the host tells its client in the handshake.
    pub fn token(&self, connection: ConnectionId) -> [u8; RESET_TOKEN_LEN] {
        code(&self.0, &[&connection.0])
    }

    /// Answers a packet of `trigger_len` bytes for a link that is not here, over what `out` held.
    ///
    /// The answer is shorter than what it answers, so that two hosts cannot go on for ever, and
    /// there is none to what is too short. False then.
    #[must_use]
    pub fn answer(
        &self,
        connection: ConnectionId,
        trigger_len: usize,
        random: &[u8; 32],
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        let len = trigger_len.saturating_sub(1).min(Self::LEN);
        if len < Self::LEN_MIN {
            return false;
        }
        out.extend_from_slice(random);
        out.truncate(len - RESET_TOKEN_LEN);
        // The first byte of a short header: nothing set but the fixed bit and the key phase and
        // number length, which are random as well.
        out[0] = 0x40 | (out[0] & 0x23);
        out.extend_from_slice(&self.token(connection));
        true
    }
}

/// Whether a datagram says that the host lost the link of this token. Ask before a packet is
/// opened: opening works in place.
pub fn is_reset(token: &[u8; RESET_TOKEN_LEN], datagram: &[u8]) -> Verdict {
    match datagram.split_last_chunk::<RESET_TOKEN_LEN>() {
        Some((head, last)) if head.len() + RESET_TOKEN_LEN >= ResetKey::LEN_MIN => {
            if is_equal(last, token) { Verdict::Valid } else { Verdict::Invalid }
        }
        _ => Verdict::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Datagram, Direction, Suite, TokenKind};

    const ID: HelloId = HelloId([5; 8]);

    fn from(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn keys() -> CookieKeys {
        CookieKeys::new(at(0), &Secret::new([1; 32]))
    }

    #[test]
    fn a1_a_cookie_is_worth_something_to_one_hello_from_one_address_for_a_while() {
        let (keys, client) = (keys(), from("192.0.2.1:4000"));
        let cookie = keys.make(at(500), client, ID);
        let check = |now, from, id| keys.check(at(now), from, id, Some(&cookie));
        assert_eq!(check(500, client, ID), Verdict::Valid);
        assert_eq!(check(10_500, client, ID), Verdict::Valid);
        assert_eq!(check(10_500, from("[::ffff:192.0.2.1]:4000"), ID), Verdict::Valid);
        assert_eq!(check(10_501, client, ID), Verdict::Invalid, "too late");
        assert_eq!(check(499, client, ID), Verdict::Invalid, "not made yet");
        assert_eq!(check(500, from("192.0.2.1:4001"), ID), Verdict::Invalid);
        assert_eq!(check(500, from("192.0.2.2:4000"), ID), Verdict::Invalid);
        assert_eq!(check(500, client, HelloId([6; 8])), Verdict::Invalid);
        assert_eq!(keys.check(at(500), client, ID, None), Verdict::Absent);
        let other = CookieKeys::new(at(0), &Secret::new([2; 32]));
        assert_eq!(other.check(at(500), client, ID, Some(&cookie)), Verdict::Invalid);
        for bit in 0..COOKIE_LEN * 8 {
            let mut wrong = cookie;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.check(at(500), client, ID, Some(&wrong)), Verdict::Invalid);
        }
    }

    #[test]
    fn a_cookie_outlives_one_rotation_of_the_secret_and_not_two() {
        let (mut keys, client) = (keys(), from("[2001:db8::1]:4000"));
        keys.rotate(at(59_999));
        let cookie = keys.make(at(59_999), client, ID);
        keys.rotate(at(60_000));
        let check = |keys: &CookieKeys| keys.check(at(60_000), client, ID, Some(&cookie));
        assert_eq!(check(&keys), Verdict::Valid);
        assert_ne!(keys.make(at(59_999), client, ID), cookie, "the secret is another");
        keys.rotate(at(120_000));
        assert_eq!(check(&keys), Verdict::Invalid);

        // 49 days later the time in the cookie is the same again.
        let cookie = keys.make(at(130_000), client, ID);
        let again = at(130_000 + (1 << 32));
        keys.rotate(again);
        assert_eq!(keys.check(again, client, ID, Some(&cookie)), Verdict::Invalid);
    }

    #[test]
    fn no_two_secrets_of_a_run_are_the_same() {
        let mut keys = keys();
        let mut seen = vec![*keys.current.as_bytes()];
        let mut seconds = 0;
        for gap in [60, 60, 200, 61, 119, 120, 60] {
            seconds += gap;
            let last = *keys.current.as_bytes();
            keys.rotate(at(seconds * 1_000));
            assert!(!seen.contains(keys.current.as_bytes()));
            let kept = keys.previous.as_ref().map(|kept| *kept.as_bytes());
            assert_eq!(kept, (gap < 120).then_some(last));
            seen.push(*keys.current.as_bytes());
        }
    }

    #[test]
    fn a5_a_hello_with_any_wrong_bit_fails_the_precheck() {
        let host = HostKey::new(Secret::new([9; 32]));
        let precheck = Precheck::of(&host.public());
        let (cookie, noise) = ([4; COOKIE_LEN], [7; 90]);
        let mut hello = ClientHello {
            id: ID,
            suite: Suite::Aes,
            token_kind: TokenKind::Admission,
            token: b"token",
            cookie: Some(&cookie),
            noise: &noise,
            mac: [0; MAC_LEN],
        };
        let mut out = Vec::new();
        hello.emit_covered(&mut out);
        hello.mac = precheck.code(&out);
        hello.emit(&mut out);
        let check = |precheck: &Precheck, datagram: &[u8]| match Datagram::parse(
            Direction::ToHost,
            datagram,
        ) {
            Ok(Datagram::ClientHello(hello)) => precheck.check(&hello, datagram),
            _ => Verdict::Absent,
        };
        assert_eq!(check(&precheck, &out), Verdict::Valid);
        let other = Precheck::of(&HostKey::new(Secret::new([8; 32])).public());
        assert_eq!(check(&other, &out), Verdict::Invalid);
        for bit in 0..(hello.covered_len() + MAC_LEN) * 8 {
            let mut wrong = out.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(check(&precheck, &wrong), Verdict::Valid, "bit {bit}");
        }
    }

    #[test]
    fn a2_a_reset_is_shorter_than_its_trigger_and_looks_like_a_packet() {
        let key = ResetKey::of(&HostKey::new(Secret::new([9; 32])), 0);
        let id = ConnectionId([1; 8]);
        let token = key.token(id);
        let mut out = Vec::new();
        for trigger_len in 0..1_500 {
            for first in 0..=u8::MAX {
                let mut random = [0xa5; 32];
                random[0] = first;
                if !key.answer(id, trigger_len, &random, &mut out) {
                    assert!(trigger_len < 23);
                    break;
                }
                assert!(out.len() < trigger_len && out.len() >= ResetKey::LEN_MIN);
                assert_eq!(is_reset(&token, &out), Verdict::Valid);
                let parsed = Datagram::parse(Direction::ToClient, &out);
                assert!(matches!(parsed, Ok(Datagram::Short(_))), "{parsed:?}");
            }
        }
        assert_eq!(is_reset(&key.token(ConnectionId([2; 8])), &out), Verdict::Invalid);
        assert_eq!(is_reset(&token, &token), Verdict::Absent, "too short to be one");
        let other = ResetKey::of(&HostKey::new(Secret::new([9; 32])), 1);
        assert_ne!(other.token(id), token, "another node");
    }

    /// What one check accepts, no other does, even if the keys of all came from one root.
    #[test]
    fn a13_a_proof_for_one_purpose_is_worth_nothing_to_another() {
        let root = Secret::new([3; 32]);
        let client = from("192.0.2.1:4000");
        let cookies =
            CookieKeys { current: derive(&root, Purpose::Cookie), previous: None, rotated: at(0) };
        let precheck = Precheck(derive(&root, Purpose::Precheck));
        let reset = ResetKey(derive(&root, Purpose::Reset));
        let (noise, token) = ([7; 90], reset.token(ConnectionId(ID.0)));
        let (suite, token_kind) = (Suite::Aes, TokenKind::None);
        let mut hello = ClientHello {
            id: ID,
            suite,
            token_kind,
            token: &[],
            cookie: None,
            noise: &noise,
            mac: token,
        };
        let mut covered = Vec::new();
        hello.emit_covered(&mut covered);

        let cookie = cookies.make(at(0), client, ID);
        let cookie_proof = *cookie.last_chunk().expect("a time and a code");
        let proofs = [cookie_proof, precheck.code(&covered), token];
        for (made_for, proof) in proofs.into_iter().enumerate() {
            let mut cookie = cookie;
            cookie[4..].copy_from_slice(&proof);
            hello.mac = proof;
            let verdicts = [
                cookies.check(at(0), client, ID, Some(&cookie)),
                precheck.check(&hello, &covered),
                is_reset(&token, &[&[0x40; 10], proof.as_slice()].concat()),
            ];
            for (checked_as, verdict) in verdicts.into_iter().enumerate() {
                let is_own = made_for == checked_as;
                let expected = if is_own { Verdict::Valid } else { Verdict::Invalid };
                assert_eq!(verdict, expected, "{made_for} as {checked_as}");
            }
        }
    }
}
