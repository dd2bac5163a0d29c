//! One seed, from the beginning to the end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use moorline_link::Time;

use crate::carrier::Carrier;
use crate::dice::Dice;
use crate::fault::{Faults, Scope};
use crate::oracle::ledger::Ledger;
use crate::oracle::{Oracle, Violation};
use crate::record::{Record, Trace};
use crate::setup::Setup;
use crate::world::World;

/// What to run. It decides everything that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All that is random comes from here.
    pub seed: u64,
    /// For how long things go wrong, in virtual minutes.
    pub minutes: u32,
    /// Which faults there may be.
    pub scope: Scope,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was run.
    pub plan: Plan,
    /// The first rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// The faults that did happen.
    pub fired: Faults,
    /// A number for everything that anyone was told and sent.
    pub hash: u64,
    /// How long users were logged in, added up.
    pub session_time: Duration,
    /// Logins that succeeded.
    pub logins: u64,
    /// How often clients went on with another link without a login.
    pub resumes: u64,
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
    /// Reliable messages that were delivered.
    pub reliable: u64,
    /// Delivered messages of which the newest counts.
    pub latest: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// How long it took after the last fault until everyone was in.
    pub healing: Duration,
    /// The most that an address got before its login was answered, in thousandths of what it sent.
    pub amplification_permille: u64,
    /// Encrypted packets whose numbers were looked at.
    pub nonces: u64,
}

/// Runs one seed; `trace` is told of every event and datagram, a line each.
pub fn run(carrier: &dyn Carrier, plan: Plan, trace: Option<Trace<'_>>) -> Outcome {
    let mut dice = Dice::new(plan.seed);
    let setup = Setup::draw(&mut dice, plan.minutes, plan.scope);
    let mut record = Record::new(Ledger::new(carrier.promises()), trace);
    record.note(setup.begin, format_args!("{plan:?} {} {:?}", carrier.name(), setup.host));
    let faults: Vec<_> = setup.faults.iter().map(|fault| fault.name()).collect();
    record.note(setup.begin, format_args!("{} clients, {faults:?}", setup.wanting));
    let mut world = World::new(carrier, setup, &mut dice, record);
    // A panic is a finding like any other, and the world is only read after it.
    let played = catch_unwind(AssertUnwindSafe(|| world.run()));
    let played = played.unwrap_or_else(|panic| Err(panicked(world.now, &*panic)));
    let (violation, healing) = match played {
        Ok(healing) => (None, healing),
        Err(violation) => (Some(violation), Duration::ZERO),
    };
    let record = &world.record;
    Outcome {
        plan,
        violation,
        fired: record.fired,
        hash: record.hash(),
        session_time: record.session_time,
        logins: record.logins,
        resumes: record.resumes,
        lapses: record.lapses,
        renewals: record.renewals,
        given_up: record.given_up,
        detected_after: record.detected_after.clone(),
        resumed_after: record.resumed_after.clone(),
        reliable: record.ledger.reliable_delivered,
        latest: record.ledger.latest_delivered,
        datagrams: record.datagrams,
        healing,
        amplification_permille: world.amplification_permille(),
        nonces: world.nonces(),
    }
}

/// Runs the same plan a second time: the outcome is the same, or breaks a rule by that.
pub fn run_again(carrier: &dyn Carrier, first: Outcome) -> Outcome {
    let second = run(carrier, first.plan, None);
    if second == first {
        return first;
    }
    let what = format!("{:016x} and then {:016x}", first.hash, second.hash);
    let difference = Violation { oracle: Oracle::Repetition, at: Time::ZERO, what };
    Outcome { violation: first.violation.clone().or(Some(difference)), ..first }
}

fn panicked(at: Time, panic: &(dyn Any + Send)) -> Violation {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Violation { oracle: Oracle::Panic, at, what: text.unwrap_or("without words").to_owned() }
}
