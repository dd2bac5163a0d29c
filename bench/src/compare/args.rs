//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use super::trial::Scenario;

/// Measurements of Moorline beside its peers.
#[derive(Debug, Parser)]
#[command(name = "moorline-bench", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compares servers on loopback sockets, and latency under loss in the simulator.
    Compare(Compare),
    /// The measured end of a trial.
    #[command(hide = true)]
    Server {
        /// The trial, as JSON.
        trial: String,
        /// Not used.
        invitation: String,
    },
    /// The other end.
    #[command(hide = true)]
    Load {
        /// The trial, as JSON.
        trial: String,
        /// What the server said that clients have to know.
        invitation: String,
    },
}

/// What to compare; nothing means all.
#[derive(Clone, Debug, ClapArgs)]
pub struct Compare {
    /// Only this scenario; may be repeated.
    #[arg(long = "scenario", value_name = "NAME", value_enum, value_delimiter = ',')]
    pub scenarios: Vec<Scenario>,
    /// Only these peers.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = peer_name)]
    pub peers: Vec<String>,
    /// With so many clients instead of the usual ones.
    #[arg(long, value_name = "N,...", value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub clients: Vec<u32>,
    /// Seconds that each trial is measured [default: 5, or 1 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: Option<u32>,
    /// Each trial once, shorter, and fewer of them: for a look, not for figures.
    #[arg(long)]
    pub quick: bool,
    /// Writes all figures to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes SVG plots to this folder.
    #[arg(long, value_name = "FOLDER")]
    pub plots: Option<PathBuf>,
}

fn peer_name(name: &str) -> Result<String, String> {
    let names: Vec<&str> = super::PEERS.iter().map(|peer| peer.name).collect();
    match names.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("the peers are {}", names.join(", "))),
    }
}
