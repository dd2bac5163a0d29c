//! A comparison from its arguments to its files.

#![expect(clippy::print_stdout, reason = "tables are what it is for")]

use std::fs;

use serde::Serialize;

use super::args::Compare;
use super::plan::{self, Cell};
use super::seam::{Peer, told};
use super::table::table;
use super::trial::Scenario;
use super::{PEERS, namespace};
use crate::latency::cases::{CASES, Case};
use crate::latency::{self, path::Loss};

/// What may be read of the tables, under each of them.
const NOTES: &str = "\
Processor time is the server process's, as the kernel accounts it, loopback included. A message \
is one that the server's application got or sent. Ages are p50 / p99. Datagrams are the kernel's \
count of both ends together; one that is segmented later (GSO) counts once. System calls are the \
server's, of a run of their own. KB a client are resident memory.";

/// Everything, as `--json` has it. Names are kept stable.
#[derive(Serialize)]
struct Everything<'a> {
    command: Vec<String>,
    machine: Machine,
    /// Whether a network namespace of its own was to be had.
    has_namespace: bool,
    peers: Vec<Settings>,
    cells: &'a [Cell],
    latency: &'a [Latency],
}

#[derive(Serialize)]
struct Settings {
    name: &'static str,
    settings: &'static str,
}

#[derive(Serialize)]
struct Machine {
    cores: usize,
    cpu: String,
    kernel: String,
}

/// A cell of the simulator's tables: milliseconds, and bytes on the wire for each of payload.
#[derive(Serialize)]
struct Latency {
    case: &'static str,
    contender: &'static str,
    loss: String,
    figures: Result<[f64; 4], &'static str>,
}

/// Compares, prints tables, writes files.
///
/// # Errors
/// When a file cannot be written.
pub fn compare(args: &Compare) -> Result<(), String> {
    if let Some(file) = &args.json {
        // Not after everything was measured.
        fs::write(file, "").map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if let Some(folder) = &args.plots {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let has_namespace = namespace::enter();
    let peers: Vec<&Peer> = PEERS.iter().filter(|peer| is_wanted(peer.name, &args.peers)).collect();
    let machine = machine();
    println!("{} cores, {}, Linux {}", machine.cores, machine.cpu, machine.kernel);
    if !has_namespace {
        println!("Without a network namespace: datagrams of others are counted, MTU of loopback.");
    }
    let (mut cells, mut latencies) = (Vec::new(), Vec::new());
    for scenario in Scenario::ALL {
        if !args.scenarios.is_empty() && !args.scenarios.contains(&scenario) {
            continue;
        }
        println!("\n## {}\n\n{}\n", scenario.name(), scenario.story());
        if scenario == Scenario::Latency {
            let seconds = args.seconds.unwrap_or(if args.quick { 10 } else { 60 });
            for case in CASES.iter().filter(|case| ["reliable-100", "mixed"].contains(&case.name)) {
                latencies.extend(simulate(case, args, seconds));
            }
            continue;
        }
        let own = plan::run(args, scenario, &peers);
        print!("{}", table(scenario, &own));
        println!("\n{NOTES}\n");
        peers.iter().for_each(|peer| println!("* {}: {}", peer.name, peer.settings));
        cells.extend(own);
    }
    if let Some(folder) = &args.plots {
        super::plots::write(folder, &cells)?;
    }
    let of = |peer: &&Peer| Settings { name: peer.name, settings: peer.settings };
    let everything = Everything {
        command: std::env::args().collect(),
        machine,
        has_namespace,
        peers: peers.iter().map(of).collect(),
        cells: &cells,
        latency: &latencies,
    };
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&everything).map_err(told)?;
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn is_wanted(name: &str, chosen: &[String]) -> bool {
    chosen.is_empty() || chosen.iter().any(|choice| choice == name)
}

/// A table of the simulator; `moorline` is called `native` there, `kcp` and others may have
/// variants.
fn simulate(case: &Case, args: &Compare, seconds: u32) -> Vec<Latency> {
    let title = |loss: &Loss| match loss {
        Loss::Even(permille) => format!("{} %", permille / 10),
        Loss::Bursts(permille) => format!("{} % in bursts", permille / 10),
    };
    let titles: Vec<String> = case.losses().iter().map(title).collect();
    println!("\n| {} | {} |\n|---|{}", case.name, titles.join(" | "), "---|".repeat(titles.len()));
    let mut latencies = Vec::new();
    for (contender, make) in latency::ALL {
        let base = contender.split([',', '-']).next().unwrap_or(contender);
        let peer = if base == "native" { "moorline" } else { base };
        if !is_wanted(peer, &args.peers) {
            continue;
        }
        let cells = case.losses().iter().map(|loss| {
            let figures = case.run(*make, *loss, seconds, 1);
            let figures = figures.map(|it| [it.p50, it.p99, it.p999, it.cost]);
            latencies.push(Latency { case: case.name, contender, loss: title(loss), figures });
            match figures {
                Ok([p50, p99, p999, cost]) => format!("{p50:.0} / {p99:.0} / {p999:.0}, {cost:.2}"),
                Err(why) => why.to_owned(),
            }
        });
        println!("| {contender} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    println!("\nMilliseconds p50 / p99 / p99.9, and bytes on the wire for each of payload.");
    latencies
}

fn machine() -> Machine {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let cpu = model.and_then(|line| line.split_once(": ")).map_or("unknown CPU", |(_, it)| it);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, Into::into);
    Machine { cores, cpu: cpu.to_owned(), kernel: kernel.trim().to_owned() }
}
