//! The life of a session as one table: every state with every input has an answer.
//!
//! Client and host use the same table; they differ in who acts. On a client
//! [`ReconnectPending`](State::ReconnectPending) means "the next attempt is at T" and
//! [`Reconnecting`](State::Reconnecting) "an attempt is under way"; on a host they mean "kept for
//! the peer until T" and "the peer is back and being checked". State and event names are those of
//! the system that came first; LIFECYCLE.md is generated from here.

use std::error::Error;
use std::fmt;

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is up and nothing is planned.
    #[default]
    Disconnected,
    /// A link is up; nobody is logged in.
    TransportConnected,
    /// A login was asked for and is not answered yet.
    LoginPending,
    /// The user is logged in.
    LoggedIn,
    /// The login was refused; the link is still up.
    LoginFailed,
    /// Nothing was heard for too long.
    TimedOut,
    /// The session waits for its next attempt (client) or for its peer (host).
    ReconnectPending,
    /// An attempt is under way (client), or the peer is back and being checked (host).
    Reconnecting,
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// A link came up.
    TransportUp,
    /// A login was sent (client) or arrived (host).
    LoginStart,
    /// The login was accepted.
    LoginOk,
    /// The login was refused.
    LoginFail,
    /// The host asked the user to log in again.
    ReauthAsk,
    /// The user logs in again, while the session goes on.
    ReauthStart,
    /// The login that was made again was accepted.
    ReauthOk,
    /// It was refused.
    ReauthFail,
    /// A new link goes on where an earlier one of this session stopped.
    Resume,
    /// What was on its way when a link was lost cannot be brought back.
    Lapse,
    /// A heartbeat was sent.
    BeatSent,
    /// A heartbeat (host) or its answer (client) arrived.
    BeatHeard,
    /// Beats are missing, but not for long enough to give up.
    Degrade,
    /// Traffic is back after beats were missing.
    Recover,
    /// So much waits for the peer that soon nothing more is taken for it.
    Backlog,
    /// Hardly anything waits for the peer any more.
    Relief,
    /// Nothing that counts was heard for the whole timeout.
    Silence,
    /// The session is to wait for its next attempt (client) or its peer (host).
    Schedule,
    /// The wait is over: dial (client), or check who is back (host).
    AttemptStart,
    /// The peer proved a new address.
    AddressChange,
    /// The end, for whatever reason.
    Close,
}

/// What a session's observers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// The link is up.
    TransportConnected,
    /// A login is under way.
    LoginStarted,
    /// The user is logged in.
    LoginSucceeded,
    /// The login was refused; the reason says why.
    LoginFailed,
    /// The host wants the user to log in again; without that the session ends before long. A client
    /// that has a login does so by itself.
    ReauthAsked,
    /// The user logs in again, while the session goes on.
    ReauthStarted,
    /// The login that was made again was accepted.
    Reauthenticated,
    /// It was refused, as the reason says; the session goes on, if the host had not asked for it
    /// until its time is over.
    ReauthFailed,
    /// The session goes on where an earlier link stopped, without a login: of what was sent
    /// reliably nothing is lost and nothing comes twice. Where the host was started again or is
    /// another one, as the event's reason says, something may be lost: then the event has a gap.
    Resumed,
    /// What was on its way when the link was lost may be lost: the event's gap says how much, its
    /// reason why. The session goes on by a new login; or, on a host, it is kept for its user
    /// still, and what waited is given up, as a bound of time or bytes was passed.
    ContinuityLost,
    /// A heartbeat left.
    HeartbeatSent,
    /// A heartbeat, or the answer to one, arrived.
    HeartbeatReceived,
    /// Beats are missing: an early warning.
    Degraded,
    /// The warning is over.
    Recovered,
    /// So much waits for the peer that soon nothing more is taken for it: send less, or nothing
    /// until [`Relieved`](Self::Relieved).
    Backlogged,
    /// Hardly anything waits for the peer any more.
    Relieved,
    /// Nothing was heard for the whole timeout.
    TimedOut,
    /// The session waits for its next attempt (client) or its peer (host).
    ReconnectScheduled,
    /// An attempt began (client), or the peer is back (host).
    ReconnectStarted,
    /// The peer proved a new address.
    AddressChanged,
    /// The session ended; the reason says why.
    Disconnected,
}

/// The table's answer to an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go to the state and tell of the event.
    Go(State, EventKind),
    /// Stay, and tell of the event.
    Tell(EventKind),
    /// Nothing happens, and that is right.
    Ignore,
    /// The input makes no sense here; the state is left alone.
    Refuse(Misplaced),
}

/// Why an input makes no sense in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Misplaced {
    /// There is no link.
    NotConnected,
    /// There is a link already.
    AlreadyConnected,
    /// No login is under way.
    NoLogin,
    /// A login is under way already.
    LoginUnderWay,
    /// The user is logged in already.
    AlreadyLoggedIn,
    /// The user is not logged in.
    NotLoggedIn,
    /// No attempt was scheduled.
    NothingScheduled,
    /// An attempt is scheduled already.
    AlreadyScheduled,
    /// An attempt is under way already.
    AttemptUnderWay,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "the session has no link",
            Self::AlreadyConnected => "the session has a link already",
            Self::NoLogin => "no login is under way",
            Self::LoginUnderWay => "a login is under way already",
            Self::AlreadyLoggedIn => "the user is logged in already",
            Self::NotLoggedIn => "the user is not logged in",
            Self::NothingScheduled => "no reconnect is scheduled",
            Self::AlreadyScheduled => "a reconnect is scheduled already",
            Self::AttemptUnderWay => "a reconnect is under way already",
        })
    }
}

impl Error for Misplaced {}

/// The table: what `input` does to a session in `state`.
pub const fn answer(state: State, input: Input) -> Answer {
    use Answer::{Go, Ignore, Refuse, Tell};
    use EventKind as E;
    use Input as I;
    use Misplaced as M;
    use State as S;
    match (state, input) {
        (S::Disconnected | S::Reconnecting, I::TransportUp) => {
            Go(S::TransportConnected, E::TransportConnected)
        }
        (S::TimedOut | S::ReconnectPending, I::TransportUp) => Refuse(M::NothingScheduled),
        (_, I::TransportUp) => Refuse(M::AlreadyConnected),

        (S::TransportConnected | S::LoginFailed, I::LoginStart) => {
            Go(S::LoginPending, E::LoginStarted)
        }
        (S::LoginPending, I::LoginStart) => Refuse(M::LoginUnderWay),
        (S::LoginPending, I::LoginOk) => Go(S::LoggedIn, E::LoginSucceeded),
        (S::LoginPending, I::LoginFail) => Go(S::LoginFailed, E::LoginFailed),
        (S::LoggedIn, I::LoginStart | I::LoginOk | I::LoginFail) => Refuse(M::AlreadyLoggedIn),
        (S::TransportConnected | S::LoginFailed, I::LoginOk | I::LoginFail) => Refuse(M::NoLogin),
        (_, I::LoginStart | I::LoginOk | I::LoginFail) => Refuse(M::NotConnected),

        (S::LoggedIn, I::ReauthAsk) => Tell(E::ReauthAsked),
        (S::LoggedIn, I::ReauthStart) => Tell(E::ReauthStarted),
        (S::LoggedIn, I::ReauthOk) => Tell(E::Reauthenticated),
        (S::LoggedIn, I::ReauthFail) => Tell(E::ReauthFailed),
        (
            S::TransportConnected | S::LoginPending | S::LoginFailed,
            I::ReauthAsk | I::ReauthStart | I::ReauthOk | I::ReauthFail,
        ) => Refuse(M::NotLoggedIn),
        (_, I::ReauthAsk | I::ReauthStart | I::ReauthOk | I::ReauthFail) => Refuse(M::NotConnected),

        (S::TransportConnected, I::Resume) => Go(S::LoggedIn, E::Resumed),
        (S::LoggedIn, I::Resume) => Tell(E::Resumed),
        (S::LoginPending, I::Resume) => Refuse(M::LoginUnderWay),
        (S::LoginFailed, I::Resume) => Refuse(M::NotLoggedIn),
        (_, I::Resume) => Refuse(M::NotConnected),
        (S::Disconnected, I::Lapse) => Ignore,
        (_, I::Lapse) => Tell(E::ContinuityLost),

        (S::LoggedIn, I::BeatSent) => Tell(E::HeartbeatSent),
        (S::LoggedIn, I::BeatHeard) => Tell(E::HeartbeatReceived),
        (S::LoggedIn, I::Degrade) => Tell(E::Degraded),
        (S::LoggedIn, I::Recover) => Tell(E::Recovered),
        (S::TransportConnected | S::LoginPending | S::LoginFailed, I::BeatHeard) => Ignore,
        (S::TransportConnected | S::LoginPending | S::LoginFailed, I::BeatSent) => {
            Refuse(M::NotLoggedIn)
        }
        (_, I::BeatSent | I::BeatHeard) => Refuse(M::NotConnected),
        (_, I::Degrade | I::Recover) => Ignore,
        (S::LoggedIn, I::Backlog) => Tell(E::Backlogged),
        (S::LoggedIn, I::Relief) => Tell(E::Relieved),
        (_, I::Backlog | I::Relief) => Ignore,

        (S::TransportConnected | S::LoginPending | S::LoggedIn, I::Silence) => {
            Go(S::TimedOut, E::TimedOut)
        }
        (_, I::Silence) => Ignore,

        (S::ReconnectPending, I::Schedule) => Refuse(M::AlreadyScheduled),
        (_, I::Schedule) => Go(S::ReconnectPending, E::ReconnectScheduled),
        (S::ReconnectPending, I::AttemptStart) => Go(S::Reconnecting, E::ReconnectStarted),
        (S::Reconnecting, I::AttemptStart) => Refuse(M::AttemptUnderWay),
        (S::Disconnected | S::TimedOut, I::AttemptStart) => Refuse(M::NothingScheduled),
        (_, I::AttemptStart) => Refuse(M::AlreadyConnected),

        (
            S::TransportConnected | S::LoginPending | S::LoggedIn | S::LoginFailed,
            I::AddressChange,
        ) => Tell(E::AddressChanged),
        (_, I::AddressChange) => Refuse(M::NotConnected),

        // An attempt to connect came to nothing.
        (S::Disconnected, I::Close) => Tell(E::Disconnected),
        (_, I::Close) => Go(S::Disconnected, E::Disconnected),
    }
}

impl State {
    /// All states, in the order in which a session may meet them.
    pub const ALL: [Self; 8] = [
        Self::Disconnected,
        Self::TransportConnected,
        Self::LoginPending,
        Self::LoggedIn,
        Self::LoginFailed,
        Self::TimedOut,
        Self::ReconnectPending,
        Self::Reconnecting,
    ];

    /// Whether a session in this state has a link that is up.
    pub const fn is_connected(self) -> bool {
        matches!(
            self,
            Self::TransportConnected | Self::LoginPending | Self::LoggedIn | Self::LoginFailed
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Disconnected => "Disconnected",
            Self::TransportConnected => "TransportConnected",
            Self::LoginPending => "LoginPending",
            Self::LoggedIn => "LoggedIn",
            Self::LoginFailed => "LoginFailed",
            Self::TimedOut => "TimedOut",
            Self::ReconnectPending => "ReconnectPending",
            Self::Reconnecting => "Reconnecting",
        })
    }
}

impl Input {
    /// All inputs, in the order of the table's columns.
    pub const ALL: [Self; 21] = [
        Self::TransportUp,
        Self::LoginStart,
        Self::LoginOk,
        Self::LoginFail,
        Self::ReauthAsk,
        Self::ReauthStart,
        Self::ReauthOk,
        Self::ReauthFail,
        Self::Resume,
        Self::Lapse,
        Self::BeatSent,
        Self::BeatHeard,
        Self::Degrade,
        Self::Recover,
        Self::Backlog,
        Self::Relief,
        Self::Silence,
        Self::Schedule,
        Self::AttemptStart,
        Self::AddressChange,
        Self::Close,
    ];
}

/// The transitions as a Mermaid state diagram, as LIFECYCLE.md shows it.
pub fn diagram() -> String {
    let mut lines = vec!["stateDiagram-v2".to_owned(), "    [*] --> Disconnected".to_owned()];
    for from in State::ALL {
        for input in Input::ALL {
            if let Answer::Go(to, _) = answer(from, input) {
                lines.push(format!("    {from} --> {to}: {input:?}"));
            }
        }
    }
    lines.join("\n")
}

/// The whole table as Markdown, a row an input and a column a state.
pub fn table() -> String {
    let columns = State::ALL.map(|state| state.to_string()).join(" | ");
    let mut lines = vec![format!("| input | {columns} |"), format!("|{}", "---|".repeat(9))];
    for input in Input::ALL {
        let cells = State::ALL.map(|state| match answer(state, input) {
            Answer::Go(to, event) if to.to_string() == format!("{event:?}") => format!("**{to}**"),
            Answer::Go(to, event) => format!("**{to}**, {event:?}"),
            Answer::Tell(event) => format!("tell {event:?}"),
            Answer::Ignore => "-".to_owned(),
            Answer::Refuse(why) => format!("_{why:?}_"),
        });
        lines.push(format!("| `{input:?}` | {} |", cells.join(" | ")));
    }
    lines.join("\n")
}
