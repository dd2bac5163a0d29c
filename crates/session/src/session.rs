//! One session: its state, what it knows of its peer, and what it waits for.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::transport::Volume;
use moorline_link::{Identity, LinkId, Reason, Time};

use crate::cause::Cause;
use crate::event::{Event, SessionId};
use crate::lifecycle::{Answer, EventKind, Input, Misplaced, State, answer};
use crate::liveness::{BeatGaps, Detector, LivenessPolicy, Phase};

/// On which side of the relationship a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It dials, logs in and sends heartbeats.
    Client,
    /// It is dialed, answers logins and heartbeats.
    Host,
}

/// A link, and the one of a host's transports that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRef {
    /// The transport, numbered in the order in which the host was given them.
    pub transport: u8,
    /// The link there.
    pub link: LinkId,
}

/// One session, as its owner shows it. Whoever owns it (a [`Host`](crate::Host) or a
/// [`Dialer`](crate::Dialer)) changes it; everyone else reads.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) id: SessionId,
    pub(crate) side: Side,
    pub(crate) state: State,
    pub(crate) phase: Phase,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) link: Option<LinkRef>,
    pub(crate) identity: Option<Identity>,
    /// Boxed, as a session that is logged in has nothing of it.
    rare: Option<Box<Rare>>,
    pub(crate) opened_at: Time,
    pub(crate) heard_at: Time,
    /// When a heartbeat last left (client) or came (host).
    pub(crate) beat_at: Option<Time>,
    pub(crate) gaps: BeatGaps,
    pub(crate) received: Volume,
    pub(crate) sent: Volume,
}

/// What a session has only while it is not logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    /// Why it last failed, was lost or ended.
    failure: Option<Reason>,
    /// The link that was lost, and is kept by its transport for the next one.
    kept: Option<LinkRef>,
    /// The state's own deadline: logged in by (host), answered by, next attempt at, kept until.
    until: Option<Time>,
    /// Host: how far it is on its way to another one.
    parting: Option<Parting>,
}

/// How a session leaves a host that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It goes on as before until then.
    From(Time),
    /// Its client has a pass, and is sent away when it is ready, or then.
    By(Time),
}

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Beat,
    Degrade,
    Silence,
    LoginDeadline,
    ReauthDeadline,
    AttemptStart,
    AttemptTimeout,
    KeepExpired,
    HandOver,
    SendAway,
}

impl Due {
    /// What happens because of it was made to happen by this timer.
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Self::Beat => Cause::BeatTimer,
            Self::Degrade => Cause::DegradeTimer,
            Self::Silence => Cause::SilenceTimer,
            Self::LoginDeadline => Cause::LoginTimer,
            Self::ReauthDeadline => Cause::ReauthTimer,
            Self::AttemptStart => Cause::AttemptTimer,
            Self::AttemptTimeout => Cause::AttemptTimeoutTimer,
            Self::KeepExpired => Cause::KeepTimer,
            Self::HandOver | Self::SendAway => Cause::Drain,
        }
    }
}

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Something came on the link.
    Traffic,
    /// Something came that the session layer could use.
    Accepted,
}

impl Session {
    pub(crate) fn new(now: Time, id: SessionId, side: Side) -> Self {
        Self {
            id,
            side,
            state: State::Disconnected,
            phase: Phase::Alive,
            address: None,
            link: None,
            identity: None,
            rare: None,
            opened_at: now,
            heard_at: now,
            beat_at: None,
            gaps: BeatGaps::default(),
            received: Volume::default(),
            sent: Volume::default(),
        }
    }

    /// Its id; of no meaning to the peer.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// How well the peer is heard.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The peer's address; a hint that may change, and the last known one while there is no link.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whose session it is: claimed while a login is pending, confirmed from
    /// [`LoggedIn`](State::LoggedIn) on.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Why it last failed, was lost or ended.
    pub fn failure(&self) -> Option<&Reason> {
        self.rare.as_ref()?.failure.as_ref()
    }

    /// The link that carries it, if one does.
    pub const fn link(&self) -> Option<LinkRef> {
        self.link
    }

    /// The link that was lost and whose lanes wait for the next one, if there is such.
    pub fn kept(&self) -> Option<LinkRef> {
        self.rare.as_ref()?.kept
    }

    pub(crate) fn set_kept(&mut self, kept: Option<LinkRef>) {
        self.change_rare(|rare| rare.kept = kept);
    }

    pub(crate) fn take_kept(&mut self) -> Option<LinkRef> {
        let kept = self.kept();
        self.set_kept(None);
        kept
    }

    /// The state's own deadline.
    pub(crate) fn until(&self) -> Option<Time> {
        self.rare.as_ref()?.until
    }

    pub(crate) fn set_until(&mut self, until: Option<Time>) {
        self.change_rare(|rare| rare.until = until);
    }

    pub(crate) fn part(&mut self, parting: Parting) {
        self.change_rare(|rare| rare.parting = Some(parting));
    }

    /// How far it is on its way to another host, if it is sent there.
    pub(crate) fn parting(&self) -> Option<Parting> {
        self.rare.as_ref()?.parting
    }

    fn change_rare(&mut self, change: impl FnOnce(&mut Rare)) {
        if let Some(rare) = &mut self.rare {
            change(rare);
            if **rare == Rare::default() {
                self.rare = None;
            }
            return;
        }
        let mut rare = Rare::default();
        change(&mut rare);
        if rare != Rare::default() {
            self.rare = Some(Box::new(rare));
        }
    }

    /// When it began.
    pub const fn opened_at(&self) -> Time {
        self.opened_at
    }

    /// When the peer last gave a sign of life that counts.
    pub const fn heard_at(&self) -> Time {
        self.heard_at
    }

    /// When a heartbeat last left.
    pub fn beat_sent_at(&self) -> Option<Time> {
        self.beat_at.filter(|_| self.side == Side::Client)
    }

    /// Application messages that arrived and were accepted, with the bytes of their payloads.
    pub const fn received(&self) -> Volume {
        self.received
    }

    /// Application messages that were taken for sending, with the bytes of their payloads.
    pub const fn sent(&self) -> Volume {
        self.sent
    }

    /// When the next attempt is due (client), or until when the session is kept (host).
    pub fn reconnect_at(&self) -> Option<Time> {
        self.until().filter(|_| self.state == State::ReconnectPending)
    }

    /// Whether a heartbeat would be sent now.
    pub fn can_send_beat(&self) -> bool {
        self.side == Side::Client && self.state == State::LoggedIn
    }

    /// Puts `input` through the lifecycle table.
    pub(crate) fn apply(
        &mut self,
        now: Time,
        input: Input,
        reason: Option<Reason>,
    ) -> Result<Option<Event>, Misplaced> {
        let from = self.state;
        let (to, kind) = match answer(from, input) {
            Answer::Go(to, kind) => (to, kind),
            Answer::Tell(kind) => (from, kind),
            Answer::Ignore => return Ok(None),
            Answer::Refuse(misplaced) => return Err(misplaced),
        };
        self.state = to;
        match kind {
            EventKind::TransportConnected => self.heard_at = now,
            EventKind::Degraded => self.phase = Phase::Degraded,
            EventKind::HeartbeatSent => self.beat_at = Some(now),
            EventKind::Resumed => {
                self.heard_at = now;
                self.change_rare(|rare| rare.failure = None);
                self.forget_beat();
            }
            EventKind::LoginSucceeded => {
                self.change_rare(|rare| rare.failure = None);
                self.forget_beat();
            }
            _ => {}
        }
        if from != to || kind == EventKind::Recovered {
            self.phase = Phase::Alive;
        }
        // Why it goes on, and with what, is no failure.
        let is_failure = !matches!(kind, EventKind::Resumed | EventKind::ContinuityLost);
        if let Some(reason) = reason.as_ref().filter(|_| is_failure) {
            self.change_rare(|rare| rare.failure = Some(reason.clone()));
        }
        let (identity, address) = (self.identity.clone(), self.address);
        let session = self.id;
        Ok(Some(Event {
            session,
            kind,
            from,
            to,
            at: now,
            cause: Cause::Connect,
            reason,
            identity,
            address,
            totals: None,
            gap: None,
        }))
    }

    /// Notes a sign of life: before the login any traffic counts, after it only what was accepted.
    /// Says whether this ends a degraded phase.
    pub(crate) fn on_heard(&mut self, now: Time, sign: Sign) -> bool {
        let counts = match self.state {
            State::LoggedIn => sign == Sign::Accepted,
            state => state.is_connected(),
        };
        if counts {
            self.heard_at = self.heard_at.max(now);
        }
        counts && self.phase == Phase::Degraded
    }

    /// No beat comes between two links: the first one of a link ends no gap.
    fn forget_beat(&mut self) {
        if self.side == Side::Host {
            self.beat_at = None;
        }
    }

    /// A heartbeat (host) or the answer to one (client) came, after the one `before` it.
    pub(crate) fn on_beat(&mut self, now: Time, before: Option<Time>, policy: &LivenessPolicy) {
        if policy.detector == Detector::Fixed {
            return;
        }
        // A longer gap is no habit of the peer's.
        let gap = before.map(|before| now.since(before)).filter(|gap| *gap <= policy.timeout);
        gap.into_iter().for_each(|gap| self.gaps.on_gap(gap));
    }

    /// Silence after which it is timed out.
    pub(crate) fn timeout(&self, policy: &LivenessPolicy) -> Duration {
        // Before the login there are no beats.
        if self.state == State::LoggedIn { policy.timeout(self.gaps) } else { policy.timeout }
    }

    /// What it waits for next, and when. A process that slept, and is awake since `awake_since`,
    /// could hear nobody: its peers have a whole timeout from there.
    pub(crate) fn next_due(
        &self,
        policy: &LivenessPolicy,
        awake_since: Option<Time>,
    ) -> Option<(Time, Due)> {
        let heard_at = awake_since.map_or(self.heard_at, |since| self.heard_at.max(since));
        let silence = (heard_at + self.timeout(policy), Due::Silence);
        let until = |due| self.until().map(|until| (until, due));
        let until_fair = |due| {
            let fair = awake_since.map(|since| since + policy.timeout);
            self.until().map(|until| (fair.map_or(until, |fair| until.max(fair)), due))
        };
        match (self.state, self.side) {
            (State::TransportConnected | State::LoginPending, _) => {
                Some(first(silence, until_fair(Due::LoginDeadline)))
            }
            (State::LoggedIn, side) => {
                let beat_at = self.beat_at.map_or(self.heard_at, |at| at + policy.beat_interval);
                let beat = (side == Side::Client).then_some((beat_at, Due::Beat));
                let warning = (heard_at + policy.degraded_after(self.gaps), Due::Degrade);
                let warning = (self.phase == Phase::Alive).then_some(warning);
                let parting = self.parting().map(|parting| match parting {
                    Parting::From(at) => (at, Due::HandOver),
                    Parting::By(at) => (at, Due::SendAway),
                });
                Some(first(first(first(silence, warning), beat), parting))
            }
            (State::LoginFailed, _) => until_fair(Due::LoginDeadline),
            (State::ReconnectPending, Side::Client) => until(Due::AttemptStart),
            (State::ReconnectPending, Side::Host) => until_fair(Due::KeepExpired),
            (State::Reconnecting | State::Disconnected, Side::Client) => until(Due::AttemptTimeout),
            (State::Reconnecting | State::Disconnected, Side::Host) | (State::TimedOut, _) => None,
        }
    }

    /// How long until this session would be found dead if nothing more is heard, by a process that
    /// is awake since `awake_since`.
    pub(crate) fn silence_left(
        &self,
        now: Time,
        policy: &LivenessPolicy,
        awake_since: Option<Time>,
    ) -> Duration {
        let heard_at = self.heard_at.max(awake_since.unwrap_or_default());
        (heard_at + self.timeout(policy)).since(now)
    }
}

fn first(a: (Time, Due), b: Option<(Time, Due)>) -> (Time, Due) {
    match b {
        Some(b) if b.0 < a.0 => b,
        _ => a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_input_leaves_the_whole_session_alone() {
        let refused = |state| {
            let is_refused =
                move |input: &Input| matches!(answer(state, *input), Answer::Refuse(_));
            Input::ALL.into_iter().filter(is_refused).map(move |input| (state, input))
        };
        for (state, input) in State::ALL.into_iter().flat_map(refused) {
            let mut session = Session::new(Time::ZERO, SessionId(1), Side::Host);
            session.state = state;
            let before = format!("{session:?}");
            let later = Time::from_millis(9_000);
            assert!(session.apply(later, input, Some(Reason::PeerLeft)).is_err());
            assert_eq!(format!("{session:?}"), before, "{state} {input:?}");
        }
    }

    /// Not a limit but a record: who changes it writes the new figure down, and why it is worth it
    /// in the commit.
    #[test]
    fn what_a_session_takes_is_known() {
        assert_eq!(size_of::<Session>(), 152, "write the new figure down, with the reason");
    }
}
