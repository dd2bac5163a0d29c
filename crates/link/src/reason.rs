//! Why something was refused, closed or lost: one word a cause, the same on both sides.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::Printable;
use crate::lane::Lane;

/// What kind of no a host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// A limit on sessions, in all or of one address, is reached.
    Full,
    /// The application does not want this peer.
    Banned,
    /// The peer speaks a version that this host does not.
    WrongVersion,
    /// The login was malformed: an empty, over-long or unprintable name, or unreadable bytes.
    InvalidLogin,
    /// The application did not accept the credentials.
    BadCredentials,
    /// The identity has a session already.
    Duplicate,
    /// The login took longer than the host allows.
    TooSlow,
    /// The host is stopping.
    Stopping,
    /// The host's application removed the session.
    Evicted,
    /// A newer login of the same identity took the session's place.
    Superseded,
    /// The peer broke the protocol, or the application failed over what it sent.
    Violation,
    /// The host sends its users to another address, which is the text.
    Moved,
    /// A number of the application's own, or one that this version does not know.
    Other(u16),
}

impl RefusalCode {
    /// The number that travels on a wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Full => 1,
            Self::Banned => 2,
            Self::WrongVersion => 3,
            Self::InvalidLogin => 4,
            Self::BadCredentials => 5,
            Self::Duplicate => 6,
            Self::TooSlow => 7,
            Self::Stopping => 8,
            Self::Evicted => 9,
            Self::Superseded => 10,
            Self::Violation => 11,
            Self::Moved => 12,
            Self::Other(number) => number,
        }
    }

    /// The code of a number from a wire.
    pub const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Full,
            2 => Self::Banned,
            3 => Self::WrongVersion,
            4 => Self::InvalidLogin,
            5 => Self::BadCredentials,
            6 => Self::Duplicate,
            7 => Self::TooSlow,
            8 => Self::Stopping,
            9 => Self::Evicted,
            10 => Self::Superseded,
            11 => Self::Violation,
            12 => Self::Moved,
            other => Self::Other(other),
        }
    }
}

/// A no with its reason, as the peer's application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of no.
    pub code: RefusalCode,
    /// Words for a person; at most [`Refusal::TEXT_LEN_MAX`] bytes travel.
    pub text: Arc<str>,
    /// When to try again; `None` means that trying again will not help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The longest text that travels, in bytes.
    pub const TEXT_LEN_MAX: usize = 200;

    /// A refusal for good.
    pub fn new(code: RefusalCode, text: impl Into<Arc<str>>) -> Self {
        Self { code, text: text.into(), retry_after: None }
    }

    /// The word of a host that sends its users elsewhere.
    pub fn moved(to: SocketAddr) -> Self {
        Self::new(RefusalCode::Moved, to.to_string())
    }

    /// Where the host sends its users, if that is what it says.
    pub fn moved_to(&self) -> Option<SocketAddr> {
        if self.code == RefusalCode::Moved { self.text.parse().ok() } else { None }
    }

    /// The same refusal, asking the peer to try again after `delay`.
    #[must_use]
    pub const fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}", Printable(self.text.as_bytes()), self.code)?;
        match self.retry_after {
            Some(delay) => write!(f, ", try again in {delay:?})"),
            None => f.write_str(")"),
        }
    }
}

/// Why a session changed its state, or a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The application here asked for it.
    Requested,
    /// The peer said good-bye.
    PeerLeft,
    /// Nothing that counts was heard from the peer for this long.
    Silence(Duration),
    /// No answer came to a dial within this time.
    NoAnswer(Duration),
    /// The peer was not logged in within this time of its first packet.
    LoginDeadline(Duration),
    /// The host said no.
    Refused(Refusal),
    /// The host's application removed the session.
    Evicted(Arc<str>),
    /// A newer session of the same identity took its place.
    Superseded,
    /// The user is back in the session that was kept; this one only carried the login.
    ReturnedToKept,
    /// The user came back with a new login, and nothing that proves the connection before.
    NewLogin,
    /// More waited for peers that are lost than is kept.
    KeptTooMuch,
    /// The user did not come back within this time.
    KeepExpired(Duration),
    /// The budget of attempts or of time to reconnect is spent.
    BudgetSpent,
    /// The peer did not acknowledge what was sent, however often it was repeated.
    Unacknowledged,
    /// The host does not know the link any more: it was started anew, or gave it up, as the time
    /// or the room for links that are lost was over.
    Forgotten,
    /// The peer broke the protocol.
    Violation(&'static str),
    /// A handler of the application failed or panicked.
    HandlerFailed(Arc<str>),
    /// The link carried as much as its protocol allows.
    Exhausted,
    /// The host or client is stopping.
    Stopped,
    /// The host was started again, and knows the session from its run before.
    Restarted,
    /// Another host handed the session over to this one.
    HandedOver,
    /// The peer takes what is sent to it too slowly: this lane had no room for a message.
    TooSlow(Lane),
}

impl Reason {
    /// How many kinds of reason there are.
    pub const KINDS_LEN: usize = 22;

    /// Its kind as a number below [`KINDS_LEN`](Self::KINDS_LEN) and as a counter's name.
    pub const fn kind(&self) -> (usize, &'static str) {
        match self {
            Self::Requested => (0, "ended_requested"),
            Self::PeerLeft => (1, "ended_peer_left"),
            Self::Silence(_) => (2, "ended_silence"),
            Self::NoAnswer(_) => (3, "ended_no_answer"),
            Self::LoginDeadline(_) => (4, "ended_login_deadline"),
            Self::Refused(_) => (5, "ended_refused"),
            Self::Evicted(_) => (6, "ended_evicted"),
            Self::Superseded => (7, "ended_superseded"),
            Self::ReturnedToKept => (8, "ended_returned_to_kept"),
            Self::KeepExpired(_) => (9, "ended_keep_expired"),
            Self::BudgetSpent => (10, "ended_budget_spent"),
            Self::Unacknowledged => (11, "ended_unacknowledged"),
            Self::Violation(_) => (12, "ended_violation"),
            Self::HandlerFailed(_) => (13, "ended_handler_failed"),
            Self::Exhausted => (14, "ended_exhausted"),
            Self::Stopped => (15, "ended_stopped"),
            Self::Forgotten => (16, "ended_forgotten"),
            Self::Restarted => (17, "ended_restarted"),
            Self::HandedOver => (18, "ended_handed_over"),
            Self::TooSlow(_) => (19, "ended_too_slow"),
            Self::NewLogin => (20, "ended_new_login"),
            Self::KeptTooMuch => (21, "ended_kept_too_much"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("closed by this side"),
            Self::Restarted => f.write_str("the host was started again"),
            Self::HandedOver => f.write_str("handed over by another host"),
            Self::TooSlow(lane) => write!(f, "too slow: no room on the {lane:?} lane"),
            Self::PeerLeft => f.write_str("the peer left"),
            Self::Silence(time) => write!(f, "nothing heard for {time:?}"),
            Self::NoAnswer(time) => write!(f, "no answer within {time:?}"),
            Self::LoginDeadline(time) => write!(f, "not logged in within {time:?}"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Evicted(text) => write!(f, "evicted: {}", Printable(text.as_bytes())),
            Self::Superseded => f.write_str("superseded by a newer login of the same identity"),
            Self::ReturnedToKept => f.write_str("the user is back in the kept session"),
            Self::NewLogin => f.write_str("back with a new login, without the connection before"),
            Self::KeptTooMuch => f.write_str("more waited for lost peers than is kept"),
            Self::KeepExpired(time) => write!(f, "did not come back within {time:?}"),
            Self::BudgetSpent => f.write_str("the reconnect budget is spent"),
            Self::Unacknowledged => f.write_str("the peer stopped acknowledging"),
            Self::Forgotten => f.write_str("the host does not know this link any more"),
            Self::Violation(what) => write!(f, "protocol violation: {what}"),
            Self::HandlerFailed(what) => {
                write!(f, "a handler failed: {}", Printable(what.as_bytes()))
            }
            Self::Exhausted => f.write_str("the link carried all that its protocol allows"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_number() {
        for number in 0..=u16::MAX {
            assert_eq!(RefusalCode::from_number(number).number(), number);
        }
    }

    #[test]
    fn a30_a_refusal_from_a_stranger_prints_on_one_line() {
        let refusal =
            Refusal::new(RefusalCode::Full, "no\nroom\x1b[2J").retry_after(Duration::from_secs(2));
        let shown = Reason::Refused(refusal).to_string();
        assert_eq!(shown, "refused: no\\u{a}room\\u{1b}[2J (Full, try again in 2s)");
    }
}
