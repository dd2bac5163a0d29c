//! What must hold in every run, whatever goes wrong.

pub(crate) mod balance;
pub(crate) mod census;
pub(crate) mod ledger;
pub(crate) mod path;

use std::fmt;

use moorline_link::Time;

/// A rule that every run is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oracle {
    /// What is delivered was sent by that peer, once and in order where that is promised, and all
    /// of it while the link lives.
    Delivery,
    /// The events of a session are a path through the lifecycle table, and nothing follows its end.
    Path,
    /// Counts and indexes agree with the sessions, and limits are kept.
    Census,
    /// A stranger gets no more bytes than it sent.
    Amplification,
    /// What a stranger sends changes nothing for others.
    Isolation,
    /// No key is that of two links, and no number is used twice with one key.
    Nonces,
    /// When the faults are over, everyone who wants in is in, and both sides agree.
    Healing,
    /// When all is closed, nothing is left.
    Emptiness,
    /// Nobody works without end at one moment, or asks to be driven in the past.
    Progress,
    /// Nothing panics.
    Panic,
    /// The same seed gives the same run.
    Repetition,
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub oracle: Oracle,
    /// When, on the clock of the run.
    pub at: Time,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}: {}", self.oracle, self.at, self.what)
    }
}

/// What an oracle says of what it saw; words where it is not as it must be.
pub(crate) type Verdict = Result<(), String>;

/// A verdict that depends on one condition.
pub(crate) fn holds(condition: bool, what: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(what()) }
}
