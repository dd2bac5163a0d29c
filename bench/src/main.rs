//! Measurements of Moorline beside its peers; see [`moorline_bench::compare`].
//!
//! ```text
//! cargo run --release -p moorline-bench -- compare                           # all of it
//! cargo run --release -p moorline-bench -- compare --scenario state --quick  # a look
//! ```

use std::process::ExitCode;

use clap::Parser;
use moorline_bench::compare::args::{Args, Command};
use moorline_bench::compare::seam::Peer;
use moorline_bench::compare::trial::Trial;
use moorline_bench::compare::{load, peer, report, server};

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Compare(args) => report::compare(&args),
        Command::Server { trial, .. } => {
            read(&trial).and_then(|(peer, trial)| server::run(peer, &trial))
        }
        Command::Load { trial, invitation } => {
            read(&trial).and_then(|(peer, trial)| load::run(peer, &trial, &invitation))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn read(trial: &str) -> Result<(&'static Peer, Trial), String> {
    let trial: Trial = serde_json::from_str(trial).map_err(|error| error.to_string())?;
    let peer = peer(&trial.peer).ok_or_else(|| format!("{} is no peer", trial.peer))?;
    Ok((peer, trial))
}
