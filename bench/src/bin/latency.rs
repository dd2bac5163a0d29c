//! Latency under loss beside the peers, on virtual time: tables for BENCHMARKS.md.
//!
//! ```text
//! cargo run --release -p moorline-bench --bin latency                                # all of it
//! cargo run --release -p moorline-bench --bin latency -- --case sparse --seconds 60  # one table
//! ```

#![expect(clippy::print_stdout, reason = "tables are what it is for")]

use std::process::ExitCode;

use moorline_bench::latency::cases::{self, Bulk, CASES, Case};
use moorline_bench::latency::path::Loss;
use moorline_bench::latency::{ALL, Make};

const USAGE: &str = "\
usage: latency [--contender NAME]... [--case NAME]... [--seconds N] [--seed N]
cases: reliable-100, reliable-1000, mixed, sparse, bulk, beside-bulk, fairness, overhead";

/// How many transfers a figure of bulk and of fairness is the mean of.
const TRANSFERS: u64 = 20;

/// What was asked for; nothing means all.
struct Args {
    contenders: Vec<String>,
    cases: Vec<String>,
    seconds: u32,
    seed: u64,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let wanted = |name: &str, chosen: &[String]| {
        chosen.is_empty() || chosen.iter().any(|choice| choice == name)
    };
    let contenders: Vec<_> =
        ALL.iter().copied().filter(|(name, _)| wanted(name, &args.contenders)).collect();
    for case in CASES.iter().filter(|case| wanted(case.name, &args.cases)) {
        messages(case, &contenders, &args);
    }
    if wanted("bulk", &args.cases) {
        bulk(&contenders, &args);
    }
    let others: [Other; 3] = [
        ("beside-bulk", "added to a state beside bulk, ms (p50 / p99)", |make, seed| {
            cases::beside_bulk(make, seed).map(|[p50, p99]| format!("{p50:.0} / {p99:.0}"))
        }),
        ("fairness", "the lesser of two transfers for the greater (mean / least)", |make, seed| {
            let ratios = (seed..seed + TRANSFERS).map(|seed| cases::fairness(make, seed));
            let ratios = ratios.collect::<Result<Vec<_>, _>>()?;
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            Ok(format!("{:.2} / {least:.2}", ratios.iter().sum::<f64>() / ratios.len() as f64))
        }),
        ("overhead", "UDP payload bytes of a 64-byte message (there / back)", |make, seed| {
            cases::overhead(make, seed).map(|[there, back]| format!("{there:.0} / {back:.0}"))
        }),
    ];
    for (name, title, run) in others {
        if wanted(name, &args.cases) {
            println!("\n| {name} | {title} |\n|---|---|");
            for (contender, make) in &contenders {
                let told = run(*make, args.seed).unwrap_or_else(str::to_owned);
                println!("| {contender} | {told} |");
            }
        }
    }
    ExitCode::SUCCESS
}

type Other = (&'static str, &'static str, fn(Make, u64) -> Result<String, &'static str>);

fn parse(args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut parsed = Args { contenders: vec![], cases: vec![], seconds: 3_000, seed: 1 };
    let mut args = args;
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} asks for a value"))?;
        let number = |value: &str| value.parse().map_err(|_| format!("{value} is no number"));
        match flag.as_str() {
            "--contender" => parsed.contenders.push(value),
            "--case" => parsed.cases.push(value),
            "--seconds" => parsed.seconds = number(&value)? as u32,
            "--seed" => parsed.seed = number(&value)?,
            _ => return Err(format!("{flag} is unknown")),
        }
    }
    Ok(parsed)
}

fn title(loss: Loss) -> String {
    match loss {
        Loss::Even(permille) => format!("{} %", permille / 10),
        Loss::Bursts(permille) => format!("{} % in bursts", permille / 10),
    }
}

fn messages(case: &Case, contenders: &[(&str, Make)], args: &Args) {
    let titles: Vec<String> = case.losses().iter().map(|loss| title(*loss)).collect();
    println!("\n| {} | {} |", case.name, titles.join(" | "));
    println!("|---|{}", "---|".repeat(titles.len()));
    for (contender, make) in contenders {
        let cells = case.losses().iter().map(|loss| {
            match case.run(*make, *loss, args.seconds, args.seed) {
                Ok(it) => {
                    format!("{:.0} / {:.0} / {:.0}, {:.2}", it.p50, it.p99, it.p999, it.cost)
                }
                Err(why) => why.to_owned(),
            }
        });
        println!("| {contender} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// Of transfers with this seed and those after it, as one by itself depends on which packets are
/// lost at its end.
fn mean_bulk(make: Make, loss: Loss, seed: u64) -> Result<Bulk, &'static str> {
    let mut sum = Bulk { percent: 0.0, queue_p50: 0.0, queue_p99: 0.0 };
    for seed in seed..seed + TRANSFERS {
        let it = cases::bulk(make, loss, seed)?;
        sum.percent += it.percent / TRANSFERS as f64;
        sum.queue_p50 += it.queue_p50 / TRANSFERS as f64;
        sum.queue_p99 += it.queue_p99 / TRANSFERS as f64;
    }
    Ok(sum)
}

fn bulk(contenders: &[(&str, Make)], args: &Args) {
    let losses = [Loss::Even(0), Loss::Even(10), Loss::Even(50)];
    let titles = losses.map(title);
    println!("\n| bulk | {} |\n|---|---|---|---|", titles.join(" | "));
    for (contender, make) in contenders {
        let cells = losses.map(|loss| match mean_bulk(*make, loss, args.seed) {
            Ok(it) => format!("{:.1} %, {:.0} / {:.0}", it.percent, it.queue_p50, it.queue_p99),
            Err(why) => why.to_owned(),
        });
        println!("| {contender} | {} |", cells.join(" | "));
    }
}
