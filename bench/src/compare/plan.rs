//! All trials of a scenario: each several times, with the peers taking turns, as others may use the
//! machine meanwhile.

use serde::Serialize;

use super::args::Compare;
use super::calls::Calls;
use super::measure::{Figures, measure};
use super::seam::Peer;
use super::trial::{Scenario, Trial, trials};

/// How often each trial runs, of which the median is shown.
const REPEATS: usize = 3;

/// So many clients take minutes to connect: a trial of them runs once.
const CLIENTS_REPEATED_MAX: u32 = 50_000;

/// Seconds of the run in which system calls are counted.
const CALLS_SECONDS: f64 = 1.0;

/// What one peer did in one trial.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// What was asked.
    pub trial: Trial,
    /// All runs.
    pub runs: Vec<Result<Figures, String>>,
    /// System calls of the server for each message, or each client and second.
    pub calls: Option<f64>,
}

impl Cell {
    /// The run with the median cost.
    ///
    /// # Errors
    /// When one of the runs failed.
    pub fn median(&self) -> Result<&Figures, &str> {
        let figures: Result<Vec<&Figures>, &String> =
            self.runs.iter().map(Result::as_ref).collect();
        let mut figures = figures.map_err(String::as_str)?;
        figures.sort_by(|one, two| cost(&self.trial, one).total_cmp(&cost(&self.trial, two)));
        figures.get(figures.len() / 2).copied().ok_or("did not run")
    }

    /// What was wrong in any run; nothing is a good sign.
    pub fn faults(&self) -> String {
        let runs = || self.runs.iter().filter_map(|run| run.as_ref().ok());
        let worst = |of: fn(&Figures) -> u64| runs().map(of).max().unwrap_or(0);
        let faults = [
            ("lost", worst(|run| run.lost)),
            ("out of order", worst(|run| run.out_of_order)),
            ("corrupt", worst(|run| run.corrupt)),
            ("refused", worst(|run| run.refused)),
            ("connections lost:", worst(|run| u64::from(run.gone))),
        ];
        let told = faults.iter().filter(|(_, count)| *count > 0);
        told.map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// Microseconds of the server's processor time for what a scenario is about: a message, a client
/// and second, a handshake.
pub fn cost(trial: &Trial, figures: &Figures) -> f64 {
    match trial.scenario {
        Scenario::Storm => figures.connect_cpu_micros / f64::from(trial.clients),
        _ => figures.cpu_micros / units(trial, figures),
    }
}

/// How many of those there were.
pub fn units(trial: &Trial, figures: &Figures) -> f64 {
    match trial.scenario {
        Scenario::Storm => f64::from(trial.clients),
        Scenario::Idle => f64::from(trial.clients) * figures.seconds,
        _ => figures.messages as f64,
    }
}

/// Runs a scenario for these peers.
pub fn run(args: &Compare, scenario: Scenario, peers: &[&Peer]) -> Vec<Cell> {
    let seconds = args.seconds.unwrap_or(if args.quick { 1 } else { 5 });
    let repeats = if args.quick { 1 } else { REPEATS };
    let counts_calls = !args.quick && scenario != Scenario::Storm && Calls::is_there();
    let mut cells = Vec::new();
    for question in trials(scenario, &args.clients, f64::from(seconds), args.quick) {
        let mut own: Vec<Cell> = peers
            .iter()
            .map(|peer| {
                let trial = Trial { peer: peer.name.to_owned(), ..question.clone() };
                Cell { trial, runs: Vec::new(), calls: None }
            })
            .collect();
        let is_long = question.clients > CLIENTS_REPEATED_MAX;
        for repeat in 0..if is_long { 1 } else { repeats } {
            for (cell, peer) in own.iter_mut().zip(peers) {
                // What failed once is not tried again: it may take long to fail.
                if cell.runs.iter().all(Result::is_ok) {
                    let run = measure(peer, &cell.trial, false);
                    tell(cell, repeat, &run);
                    cell.runs.push(run);
                }
            }
        }
        for (cell, peer) in own.iter_mut().zip(peers) {
            if counts_calls && !is_long && cell.runs.iter().all(Result::is_ok) {
                cell.calls = calls(peer, &cell.trial);
            }
        }
        cells.extend(own);
    }
    cells
}

fn calls(peer: &Peer, trial: &Trial) -> Option<f64> {
    let trial = Trial { seconds: CALLS_SECONDS, ..trial.clone() };
    let figures = measure(peer, &trial, true).ok()?;
    Some(figures.calls? as f64 / units(&trial, &figures))
}

fn tell(cell: &Cell, repeat: usize, run: &Result<Figures, String>) {
    let trial = &cell.trial;
    let outcome = match run {
        Ok(figures) => format!("{:.2} us", cost(trial, figures)),
        Err(why) => why.clone(),
    };
    let (scenario, label) = (trial.scenario.name(), trial.label());
    eprintln!("{scenario} {label} {} run {}: {outcome}", trial.peer, repeat + 1);
}
