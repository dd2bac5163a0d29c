//! `moorline sim`: whole worlds on virtual time, from seeds, held to everything that must be true.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use moorline_sim::{
    Carrier, Figures, InMemory, Kcp, Native, Outcome as Run, Plan, Scope, run, run_again,
};

use crate::Outcome;
use crate::args::{self, SimTransport};
use crate::output;

/// One of this many runs is played twice, and must be the same.
const TWICE_EVERY: u64 = 100;
/// How often progress is told.
const PROGRESS_GAP: Duration = Duration::from_secs(10);
/// Results that may wait to be told of.
const RESULTS_MAX: usize = 64;

pub(crate) fn run_all(args: &args::Sim) -> Outcome {
    if let Some(path) = &args.trace {
        return trace(args, path);
    }
    let began = Instant::now();
    let mut figures = Figures::default();
    let mut told = began;
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (results, arrived) = sync_channel(RESULTS_MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || work(args, next, &results));
        }
        drop(results);
        for outcome in arrived {
            figures.add(&outcome);
            tell_failure(args, &outcome);
            if told.elapsed() >= PROGRESS_GAP {
                told = Instant::now();
                output::line(format!("{} of {} runs", figures.runs, args.seeds));
            }
        }
    });
    output::line(figures.to_string());
    output::line(format!("took {:.1} s", began.elapsed().as_secs_f64()));
    Ok(if figures.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one seed after the other until there is none left.
fn work(args: &args::Sim, next: &AtomicU64, results: &SyncSender<Run>) {
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        if place >= args.seeds {
            return;
        }
        let carrier = carrier(args.transport);
        let mut outcome = run(carrier, plan(args, place), None);
        if place.is_multiple_of(TWICE_EVERY) {
            outcome = run_again(carrier, outcome);
        }
        if results.send(outcome).is_err() {
            return;
        }
    }
}

fn trace(args: &args::Sim, path: &Path) -> Outcome {
    let cannot = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = BufWriter::new(File::create(path).map_err(cannot)?);
    let mut failed = Ok(());
    let mut write = |line: &str| {
        if failed.is_ok() {
            failed = writeln!(file, "{line}");
        }
    };
    let outcome = run(carrier(args.transport), plan(args, 0), Some(&mut write));
    failed.and_then(|()| file.flush()).map_err(cannot)?;
    tell_failure(args, &outcome);
    let mut figures = Figures::default();
    figures.add(&outcome);
    output::line(figures.to_string());
    Ok(if figures.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan(args: &args::Sim, place: u64) -> Plan {
    Plan { seed: args.seed.wrapping_add(place), minutes: args.minutes, scope: scope(args) }
}

const fn scope(args: &args::Sim) -> Scope {
    if args.only_links { Scope::Links } else { Scope::All }
}

fn carrier(transport: SimTransport) -> &'static dyn Carrier {
    match transport {
        SimTransport::Native => &Native,
        SimTransport::Kcp => &Kcp,
        SimTransport::Memory => &InMemory,
    }
}

/// What failed, and the one command that repeats it.
fn tell_failure(args: &args::Sim, outcome: &Run) {
    let Some(violation) = &outcome.violation else { return };
    let Plan { seed, minutes, scope } = outcome.plan;
    let links = if scope == Scope::Links { " --only-links" } else { "" };
    let transport = carrier(args.transport).name();
    output::line(format!("seed {seed} failed: {violation}"));
    output::line(format!(
        "  repeat it: moorline sim --seed {seed} --minutes {minutes} --transport {transport}{links}"
    ));
}
