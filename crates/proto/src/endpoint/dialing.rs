//! A client's side of the handshake: the same hello again and again, until the host answers.

use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::{Refusal, RefusalCode, Time};

use super::config::EndpointConfig;
use crate::crypto::{
    Entropy, HandshakeError, HostPublicKey, Initiator, LinkSecrets, Precheck, Secret, Setting,
    Ticket,
};
use crate::wire::{
    Answer, COOKIE_LEN, ClientHello, ClientParams, HelloId, HostParams, LanesState, Limits,
    PASS_LEN, ResumeRequest, Suite, TokenKind, VERSION, VersionList,
};

/// When the first copy follows; each later one after half as long again.
const REPEAT_FIRST: Duration = Duration::from_millis(100);
const REPEAT_MAX: Duration = Duration::from_secs(1);
/// How many cookies are answered at once; further ones wait for the next copy.
const PROMPT_COOKIES_MAX: u8 = 4;
/// How long a list of other versions waits for a true answer that makes it void.
const LIST_PATIENCE: Duration = Duration::from_millis(500);

/// One attempt.
#[derive(Debug)]
pub(super) struct Dialing {
    id: HelloId,
    suite: Suite,
    token: Vec<u8>,
    cookie: Option<[u8; COOKIE_LEN]>,
    cookies: u8,
    noise: Vec<u8>,
    initiator: Initiator,
    next_at: Time,
    interval: Duration,
    /// When a host said that it speaks none of this client's versions.
    listed_at: Option<Time>,
}

/// What a client would go on with.
#[derive(Debug)]
pub(super) struct Wish {
    /// Of the latest link.
    pub(super) ticket: Ticket,
    /// Those before, the latest first, of which a host may know one that never heard of the latest.
    pub(super) before: Vec<Ticket>,
    /// What this side has of the host's lanes, and takes.
    pub(super) lanes: LanesState,
    /// What the host before gave it for this one.
    pub(super) pass: Option<[u8; PASS_LEN]>,
    /// Whether nothing was on its way any more when that one sent it here.
    pub(super) is_settled: bool,
}

/// What a host answered.
#[derive(Debug)]
pub(super) enum Answered {
    /// Yes.
    Accepted(Box<(HostParams, LinkSecrets)>),
    /// No.
    Refused(Refusal),
}

impl Dialing {
    /// # Errors
    /// When the host's key is weak.
    pub(super) fn new(
        now: Time,
        config: &EndpointConfig,
        host: &HostPublicKey,
        entropy: &mut Entropy,
        resume: Option<&Wish>,
    ) -> Result<Self, HandshakeError> {
        let id = HelloId(entropy.bytes());
        let suite = config.suite;
        let (token, psk) = match &config.token {
            Some(token) => (token.bytes.clone(), token.secret.clone()),
            None => (Vec::new(), Secret::new([0; Secret::LEN])),
        };
        let ephemeral = entropy.secret();
        let mut params = ClientParams {
            application: config.application,
            version_max: VERSION,
            limits: limits(config),
            resume: None,
        };
        if let Some(wish) = resume {
            params.resume = Some(ResumeRequest {
                claim: wish.ticket.claim(id, &ephemeral),
                before: std::array::from_fn(|place| {
                    wish.before.get(place).map(|before| before.claim(id, &ephemeral))
                }),
                lanes: wish.lanes,
                pass: wish.pass,
                is_settled: wish.is_settled,
            });
        }
        let (mut payload, mut prologue, mut noise) = (Vec::new(), Vec::new(), Vec::new());
        params.emit(&mut payload);
        hello(id, suite, &token, None, &[]).emit_prologue(&mut prologue);
        let setting = Setting { suite, prologue: &prologue, psk: &psk };
        let initiator = Initiator::start(&setting, host, &ephemeral, &payload, &mut noise)?;
        Ok(Self {
            id,
            suite,
            token,
            cookie: None,
            cookies: 0,
            noise,
            initiator,
            next_at: now,
            interval: REPEAT_FIRST,
            listed_at: None,
        })
    }

    pub(super) const fn id(&self) -> HelloId {
        self.id
    }

    pub(super) fn poll_timeout(&self) -> Time {
        self.next_at
    }

    /// Writes the hello over what `out` held, if it is time.
    pub(super) fn poll_hello(
        &mut self,
        now: Time,
        precheck: &Precheck,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> bool {
        if now < self.next_at {
            return false;
        }
        // Clients that were cut off together should not come back in step.
        self.next_at = now + self.interval + rng.up_to(self.interval / 10);
        self.interval = (self.interval + self.interval / 2).min(REPEAT_MAX);
        let cookie = self.cookie.as_ref();
        let mut hello = hello(self.id, self.suite, &self.token, cookie, &self.noise);
        out.clear();
        hello.emit_covered(out);
        hello.mac = precheck.code(out);
        hello.emit(out);
        true
    }

    /// The host asks to see that this client is where it says.
    pub(super) fn on_cookie(&mut self, now: Time, cookie: [u8; COOKIE_LEN]) {
        if self.cookie == Some(cookie) {
            return;
        }
        self.cookie = Some(cookie);
        self.cookies = self.cookies.saturating_add(1);
        if self.cookies <= PROMPT_COOKIES_MAX {
            self.next_at = now;
        }
    }

    /// The host, or somebody who saw the hello, says that it speaks other versions.
    pub(super) fn on_versions(&mut self, now: Time, list: &VersionList<'_>) {
        if list.versions().all(|version| version != VERSION) {
            self.listed_at.get_or_insert(now);
        }
    }

    /// Why this attempt ends without an answer that can be trusted.
    pub(super) fn given_up(&self, now: Time) -> Option<Refusal> {
        let text = "the host speaks no version of the protocol that this client speaks";
        let is_over = self.listed_at.is_some_and(|at| now.since(at) >= LIST_PATIENCE);
        is_over.then(|| Refusal::new(RefusalCode::WrongVersion, text))
    }

    /// What the host answered, if this is its answer; the client waits on otherwise.
    pub(super) fn on_answer(&self, noise: &[u8]) -> Option<Answered> {
        let mut payload = Vec::new();
        let secrets = self.initiator.finish(noise, &mut payload).ok()?;
        match Answer::parse(&payload).ok()? {
            Answer::Accepted(params) => Some(Answered::Accepted(Box::new((params, secrets)))),
            Answer::Refused(notice) => Some(Answered::Refused(notice.refusal())),
        }
    }
}

fn hello<'a>(
    id: HelloId,
    suite: Suite,
    token: &'a [u8],
    cookie: Option<&'a [u8; COOKIE_LEN]>,
    noise: &'a [u8],
) -> ClientHello<'a> {
    let token_kind = if token.is_empty() { TokenKind::None } else { TokenKind::Admission };
    ClientHello { id, suite, token_kind, token, cookie, noise, mac: [0; 16] }
}

/// What this side tells of itself.
pub(super) fn limits(config: &EndpointConfig) -> Limits {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> 2);
    Limits {
        datagram_len_max: config.datagram_len_max.into(),
        ack_delay_max_millis: millis(config.ack_delay_max),
        idle_millis: millis(config.idle).min(u64::MAX >> 2),
        data_max: config.data_max.min(u64::MAX >> 2),
    }
}
