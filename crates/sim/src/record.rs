//! What a run leaves behind: a hash of all that was told, what went wrong, and figures.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use moorline_link::Time;

use crate::fault::{Fault, Faults};
use crate::oracle::ledger::Ledger;
use crate::oracle::{Oracle, Verdict};

/// A rule that was broken, before it is known when.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) Oracle, pub(crate) String);

/// What each part of a world gives back: nothing, unless a rule was broken.
pub(crate) type Checked<T = ()> = Result<T, Broken>;

/// A verdict under the name of its rule.
pub(crate) fn under(oracle: Oracle, verdict: Verdict) -> Checked {
    verdict.map_err(|what| Broken(oracle, what))
}

/// Who is told of every line of a run.
pub(crate) type Trace<'t> = &'t mut dyn FnMut(&str);

/// Shared by all parts of a world.
pub(crate) struct Record<'t> {
    pub(crate) ledger: Ledger,
    /// The faults that did happen.
    pub(crate) fired: Faults,
    /// How long users were logged in, by the clients' own account.
    pub(crate) session_time: Duration,
    pub(crate) logins: u64,
    pub(crate) resumes: u64,
    pub(crate) lapses: u64,
    /// Of these, how often there was no login: the host was started again.
    pub(crate) renewals: u64,
    /// How often a host gave up what waited for a user who was not there.
    pub(crate) given_up: u64,
    pub(crate) detected_after: Vec<Duration>,
    pub(crate) resumed_after: Vec<Duration>,
    pub(crate) datagrams: u64,
    hasher: DefaultHasher,
    trace: Option<Trace<'t>>,
}

impl<'t> Record<'t> {
    pub(crate) fn new(ledger: Ledger, trace: Option<Trace<'t>>) -> Self {
        Self {
            ledger,
            fired: Faults::NONE,
            session_time: Duration::ZERO,
            logins: 0,
            resumes: 0,
            lapses: 0,
            renewals: 0,
            given_up: 0,
            detected_after: Vec::new(),
            resumed_after: Vec::new(),
            datagrams: 0,
            hasher: DefaultHasher::new(),
            trace,
        }
    }

    /// Something was told, which must be the same whenever the run is repeated.
    pub(crate) fn note(&mut self, now: Time, what: fmt::Arguments<'_>) {
        let line = format!("{now} {what}");
        line.hash(&mut self.hasher);
        if let Some(trace) = &mut self.trace {
            trace(&line);
        }
    }

    /// A datagram left.
    pub(crate) fn note_datagram(&mut self, now: Time, ends: [impl fmt::Display; 2], bytes: &[u8]) {
        self.datagrams += 1;
        bytes.hash(&mut self.hasher);
        if let Some(trace) = &mut self.trace {
            let [from, to] = ends;
            trace(&format!("{now} {from} -> {to}: {} bytes {:016x}", bytes.len(), sum(bytes)));
        }
    }

    pub(crate) const fn fire(&mut self, fault: Fault) {
        self.fired.add(fault);
    }

    /// A number for all that was told so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("fired", &self.fired).finish_non_exhaustive()
    }
}

/// What the kernel's checksum is here: other bytes have another.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
