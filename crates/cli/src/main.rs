//! The `moorline` program: a host, clients, load and reports from the command line.
//!
//! One file a command; `args` says what each can be told, `echo` is the host that `serve` and
//! `demo` share, `load` the traffic that `bots` and `demo` share. `demo` may put a `relay` between
//! its clients and its host.

mod args;
mod bots;
mod connect;
mod demo;
mod echo;
mod input;
mod interrupt;
mod load;
mod output;
mod relay;
mod report;
mod serve;
mod sim;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

/// What a command ends with: done as asked, done but not as hoped, or not done.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

/// The exit code of a command that was not done.
const NOT_DONE: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            return match args::mistake(&error) {
                Some(mistake) => {
                    output::error(mistake);
                    ExitCode::from(NOT_DONE)
                }
                None => {
                    error.print().ok();
                    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(NOT_DONE))
                }
            };
        }
    };
    let outcome = match args.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Bots(args) => bots::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Sim(args) => sim::run_all(&args),
        Command::Report(args) => report::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        output::error(error);
        ExitCode::from(NOT_DONE)
    })
}
