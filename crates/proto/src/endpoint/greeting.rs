//! A host's side of the handshake: what a first packet has to pass, from the cheapest check on.

use std::net::SocketAddr;

use moorline_link::{Refusal, RefusalCode, Time};

use super::census::Limit;
use super::config::{Admitted, EndpointConfig};
use super::counters::Counts;
use crate::crypto::{CookieKeys, Entropy, HostKey, Precheck, Responder, Secret, Setting, Verdict};
use crate::wire::{
    Answer, ClientHello, ClientParams, HelloId, KEY_LEN, Notice, Retry, ServerHello, TokenKind,
    VERSION, VersionList,
};

/// What checks first packets.
#[derive(Debug)]
pub(super) struct Door {
    key: HostKey,
    precheck: Precheck,
    cookies: CookieKeys,
}

/// What is known of a client that passed.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) id: HelloId,
    /// Its key of this attempt: copies of its hello have the same.
    pub(super) ephemeral: [u8; KEY_LEN],
    pub(super) responder: Responder,
    pub(super) params: ClientParams,
    pub(super) suite: crate::wire::Suite,
    /// Why it is told no, if that is settled.
    pub(super) refusal: Option<Refusal>,
}

/// What becomes of a first packet.
#[derive(Debug)]
pub(super) enum Greeting {
    /// Nothing: it is counted.
    Dropped,
    /// It is answered with this, and nothing is kept.
    Answered,
    /// It is from somebody who asks in.
    Guest(Box<Guest>),
}

/// What the endpoint knows of a first packet before it is opened.
#[derive(Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) config: &'a EndpointConfig,
    pub(super) counts: &'a mut Counts,
    pub(super) from: SocketAddr,
    /// Whether clients must show where they are.
    pub(super) is_loaded: bool,
    /// The limit that is reached, if one is.
    pub(super) limit: Result<(), Limit>,
}

impl Door {
    pub(super) fn new(now: Time, key: HostKey, entropy: &mut Entropy) -> Self {
        let precheck = Precheck::of(&key.public());
        Self { precheck, cookies: CookieKeys::new(now, &entropy.secret()), key }
    }

    /// Whether a first packet's sender knows the host's key: the cheapest check.
    pub(super) fn is_prechecked(&self, hello: &ClientHello<'_>, datagram: &[u8]) -> bool {
        self.precheck.check(hello, datagram) == Verdict::Valid
    }

    /// The list of versions, for a first packet in another one.
    pub(super) fn list_versions(id: HelloId, out: &mut Vec<u8>) {
        VersionList::emit(out, id, &[VERSION]);
    }

    /// Takes a first packet that passed the precheck through all other checks. An answer is written
    /// over what `out` held.
    pub(super) fn greet(
        &mut self,
        now: Time,
        at: Circumstances<'_>,
        (hello, datagram): (&ClientHello<'_>, &[u8]),
        out: &mut Vec<u8>,
    ) -> Greeting {
        let Circumstances { config, counts, .. } = at;
        self.cookies.rotate(now);
        // One that was made for somebody else, or long ago, is worth as much as none.
        let has_cookie = self.cookies.check(now, at.from, hello.id, hello.cookie) == Verdict::Valid;
        if at.is_loaded && !has_cookie {
            counts.retries += 1;
            let cookie = self.cookies.make(now, at.from, hello.id);
            Retry { id: hello.id, cookie: &cookie }.emit(out);
            return Greeting::Answered;
        }
        match at.limit {
            Ok(()) => {}
            Err(Limit::Links) => counts.limit_links += 1,
            Err(Limit::Address) => counts.limit_address += 1,
            Err(Limit::HalfOpen) => counts.limit_half_open += 1,
        }
        if at.limit.is_err() {
            return Greeting::Dropped;
        }
        let Some((psk, refusal)) = admit(config, hello, at.from) else {
            counts.unknown_token += 1;
            return Greeting::Dropped;
        };
        let opened = self.open(hello, datagram, &psk);
        let Some((responder, params)) = opened else {
            counts.hello_forged += 1;
            return Greeting::Dropped;
        };
        let refusal = refusal.or_else(|| unfit(config, &params));
        let ephemeral = ephemeral(hello);
        let (id, suite) = (hello.id, hello.suite);
        Greeting::Guest(Box::new(Guest { id, ephemeral, responder, params, suite, refusal }))
    }

    /// The only step that computes with the host's key.
    fn open(
        &self,
        hello: &ClientHello<'_>,
        datagram: &[u8],
        psk: &Secret,
    ) -> Option<(Responder, ClientParams)> {
        let prologue = datagram.get(..hello.prologue_len())?;
        let setting = Setting { suite: hello.suite, prologue, psk };
        let mut payload = Vec::new();
        let responder = Responder::read(&setting, &self.key, hello.noise, &mut payload).ok()?;
        Some((responder, ClientParams::parse(&payload).ok()?))
    }
}

/// The key of a client's attempt, which copies of its hello repeat.
pub(super) fn ephemeral(hello: &ClientHello<'_>) -> [u8; KEY_LEN] {
    hello.noise.first_chunk().copied().unwrap_or_default()
}

/// What the client's token stands for, and why it is told no all the same. None if nobody can tell.
fn admit(
    config: &EndpointConfig,
    hello: &ClientHello<'_>,
    from: SocketAddr,
) -> Option<(Secret, Option<Refusal>)> {
    match (hello.token_kind, &config.admission) {
        (TokenKind::None, None) => Some((Secret::new([0; Secret::LEN]), None)),
        (TokenKind::None, Some(_)) => {
            let text = "this host asks for an admission token";
            let refusal = Refusal::new(RefusalCode::BadCredentials, text);
            Some((Secret::new([0; Secret::LEN]), Some(refusal)))
        }
        (TokenKind::Admission, Some(admission)) => match admission.admit(hello.token, from) {
            Admitted::Yes { secret } => Some((secret, None)),
            Admitted::No { secret, refusal } => Some((secret, Some(refusal))),
            Admitted::Unknown => None,
        },
        (TokenKind::Admission, None) => None,
    }
}

/// Why a client that speaks something else is told no.
fn unfit(config: &EndpointConfig, params: &ClientParams) -> Option<Refusal> {
    if params.application != config.application {
        let text = "this host serves another application";
        return Some(Refusal::new(RefusalCode::WrongVersion, text));
    }
    // A client whose newest version is spoken here would not have asked in an older one, unless
    // somebody made it believe that it must.
    if params.version_max < VERSION {
        let text = "the client contradicts itself about its version";
        return Some(Refusal::new(RefusalCode::WrongVersion, text));
    }
    None
}

/// Writes the host's answer over what `out` held; the link's secrets if it could be made.
pub(super) fn answer(
    guest: Guest,
    answer: &Answer<'_>,
    entropy: &mut Entropy,
    out: &mut Vec<u8>,
) -> Option<crate::crypto::LinkSecrets> {
    let (mut payload, mut noise) = (Vec::new(), Vec::new());
    answer.emit(&mut payload);
    let secrets = guest.responder.answer(&entropy.secret(), &payload, &mut noise).ok()?;
    ServerHello { id: guest.id, noise: &noise }.emit(out);
    Some(secrets)
}

/// A no as the answer.
pub(super) const fn refused(notice: Notice<'_>) -> Answer<'_> {
    Answer::Refused(notice)
}
