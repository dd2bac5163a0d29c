//! Measurements of Moorline beside its peers; see [`moorline_bench::compare`].
//!
//! ```text
//! cargo run --release -p moorline-bench -- compare                           # all of it
//! cargo run --release -p moorline-bench -- compare --scenario state --quick  # a look
//! ```

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use moorline_bench::compare::args::{Args, Command};
use moorline_bench::compare::seam::Peer;
use moorline_bench::compare::trial::Trial;
use moorline_bench::compare::{load, peer, report, server};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    let outcome = match args.command {
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

/// Shows help, or what is wrong in a line and how it is right.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Where it cannot be shown, nobody looks.
        _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let mut program = Args::command();
    program.build();
    let is_asked = std::env::args().nth(1).is_some_and(|word| word == "compare");
    let compare = program.find_subcommand_mut("compare").filter(|_| is_asked);
    let usage = match compare {
        Some(compare) => compare.render_usage(),
        None => program.render_usage(),
    };
    eprintln!("{}\n{usage}", text.lines().next().unwrap_or("bad arguments"));
    ExitCode::from(2)
}

fn read(trial: &str) -> Result<(&'static Peer, Trial), String> {
    let trial: Trial = serde_json::from_str(trial).map_err(|error| error.to_string())?;
    let peer = peer(&trial.peer).ok_or_else(|| format!("{} is no peer", trial.peer))?;
    Ok((peer, trial))
}
