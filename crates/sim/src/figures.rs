//! What many seeds came to: how much was simulated, and which faults met which.

use std::fmt;
use std::time::Duration;

use crate::fault::{Fault, Faults};
use crate::run::Outcome;

/// Sums over runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many runs there were.
    pub runs: u64,
    /// How many broke a rule.
    pub failed: u64,
    /// How long users were logged in, added up.
    pub session_time: Duration,
    /// Logins that succeeded.
    pub logins: u64,
    /// How often clients went on with another link without a login.
    pub resumes: u64,
    /// Reliable messages that were delivered.
    pub reliable: u64,
    /// Delivered messages of which the newest counts.
    pub latest: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// The longest time that healing took.
    pub healing_max: Duration,
    /// The most that an address got before its login was answered, in thousandths of what it sent.
    pub amplification_permille_max: u64,
    /// Encrypted packets whose numbers were looked at.
    pub nonces: u64,
    /// How often clients were told that they could not go on where they stopped.
    pub lapses: u64,
    /// Of these, how often there was no login: the host was started again.
    pub renewals: u64,
    /// How often a host gave up what waited for a user who was not there.
    pub given_up: u64,
    /// For each link that a logged-in client lost: since when nothing had been heard.
    pub detected_after: Vec<Duration>,
    /// For each time that a client went on without a login: how long its session had no link.
    pub resumed_after: Vec<Duration>,
    /// The faults of each run.
    fired: Vec<Faults>,
}

impl Figures {
    /// Adds one run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.failed += u64::from(outcome.violation.is_some());
        self.session_time += outcome.session_time;
        self.logins += outcome.logins;
        self.resumes += outcome.resumes;
        self.lapses += outcome.lapses;
        self.renewals += outcome.renewals;
        self.given_up += outcome.given_up;
        self.reliable += outcome.reliable;
        self.latest += outcome.latest;
        self.datagrams += outcome.datagrams;
        self.healing_max = self.healing_max.max(outcome.healing);
        self.amplification_permille_max =
            self.amplification_permille_max.max(outcome.amplification_permille);
        self.nonces += outcome.nonces;
        self.detected_after.extend(&outcome.detected_after);
        self.resumed_after.extend(&outcome.resumed_after);
        self.fired.push(outcome.fired);
    }

    /// In how many runs a fault happened.
    #[must_use]
    pub fn fired(&self, fault: Fault) -> usize {
        self.fired.iter().filter(|fired| fired.has(fault)).count()
    }

    /// In how many runs both of two faults happened, for every pair.
    pub fn pairs(&self) -> impl Iterator<Item = (Fault, Fault, usize)> {
        let pairs = Fault::ALL.iter().enumerate().flat_map(|(place, one)| {
            Fault::ALL[place + 1..].iter().map(move |other| (*one, *other))
        });
        pairs.map(|(one, other)| {
            let both = |fired: &&Faults| fired.has(one) && fired.has(other);
            (one, other, self.fired.iter().filter(both).count())
        })
    }
}

/// Several lines, for a person.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.session_time.as_secs_f64() / 3_600.0;
        writeln!(f, "{} runs, {} failed, {hours:.1} session-hours", self.runs, self.failed)?;
        writeln!(
            f,
            "{} logins, {} resumes, {} reliable and {} latest messages delivered, {} datagrams",
            self.logins, self.resumes, self.reliable, self.latest, self.datagrams
        )?;
        let amplification = self.amplification_permille_max;
        writeln!(
            f,
            "healed within {:.1} s at most; {}.{:02} bytes for each of a stranger's at most",
            self.healing_max.as_secs_f64(),
            amplification / 1_000,
            amplification % 1_000 / 10
        )?;
        if self.nonces > 0 {
            writeln!(f, "{} encrypted packets, no number twice with one key", self.nonces)?;
        }
        if self.resumes > 0 {
            let (lost, resumed) = (self.detected_after.len(), self.resumed_after.len());
            let (lapses, renewals) = (self.lapses, self.renewals);
            write!(f, "{lost} links lost while logged in; {resumed} resumed without a login, ")?;
            writeln!(f, "{lapses} told of a gap, {renewals} of them without a login")?;
            writeln!(f, "  given up what waited for a user: {}", self.given_up)?;
            write_percentiles(f, "silence until it was noticed", &self.detected_after)?;
            write_percentiles(f, "without a link until resumed", &self.resumed_after)?;
        }
        writeln!(f, "runs in which each fault happened:")?;
        for line in Fault::ALL.chunks(5) {
            for fault in line {
                write!(f, "  {} {}", fault.name(), self.fired(*fault))?;
            }
            writeln!(f)?;
        }
        let pairs: Vec<_> = self.pairs().collect();
        let met = pairs.iter().filter(|(_, _, count)| *count > 0).count();
        write!(f, "pairs of faults that met: {met} of {}", pairs.len())?;
        if let Some((one, other, count)) = pairs.iter().min_by_key(|(_, _, count)| *count) {
            write!(f, "; least often {} with {}: {count}", one.name(), other.name())?;
        }
        Ok(())
    }
}

fn write_percentiles(f: &mut fmt::Formatter<'_>, what: &str, times: &[Duration]) -> fmt::Result {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |permille: usize| {
        let index = (sorted.len() * permille / 1_000).min(sorted.len().saturating_sub(1));
        sorted.get(index).map_or(0.0, Duration::as_secs_f64)
    };
    let [p50, p90, p99, max] = [500, 900, 990, 1_000].map(at);
    writeln!(f, "  {what}: p50 {p50:.2} s, p90 {p90:.2} s, p99 {p99:.2} s, max {max:.2} s")
}
