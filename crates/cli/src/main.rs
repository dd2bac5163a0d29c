//! The `moorline` program: a host, clients, load and reports from the command line.
//!
//! One file a command; `args` says what each can be told, `echo` is the host that `serve` and
//! `demo` share, `load` the traffic that `bots` and `demo` share.

mod args;
mod bots;
mod connect;
mod demo;
mod echo;
mod interrupt;
mod load;
mod output;
mod report;
mod serve;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

/// What a command ends with: done as asked, done but not as hoped, or not done.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Bots(args) => bots::run(&args),
        Command::Report(args) => report::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}
