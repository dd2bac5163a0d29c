//! Holds the session table to its figures: counts instructions with callgrind, and fails when an
//! act costs more than `counts.toml` says, or more with many sessions than with few.
//!
//! ```text
//! cargo run --release -p moorline-bench --bin hold               # 1,000 and 100,000 sessions
//! cargo run --release -p moorline-bench --bin hold -- --million  # 1,000,000 as well
//! cargo run --release -p moorline-bench --bin hold -- --write    # and make these the figures
//! ```
//!
//! Instructions and not time, because on a shared machine the same program takes twice as long as a
//! minute ago, but the same number of instructions. Callgrind itself and not a framework around it,
//! because then CI installs nothing but valgrind.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

/// How much more than its figure an act may cost, in percent; for another compiler's taste, or
/// another processor's `memcpy`.
const TOLERANCE_PERCENT: f64 = 5.0;
/// How much more an act may cost with many sessions than with [`FEW`], in percent.
const GROWTH_PERCENT: f64 = 10.0;

const FEW: u32 = 1_000;
const MANY: u32 = 100_000;
const VERY_MANY: u32 = 1_000_000;

const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.toml");

type Outcome<T> = Result<T, Box<dyn Error>>;

/// An act and what it cost, in instructions each time.
type Count = (String, f64);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("hold: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything holds.
fn run() -> Outcome<bool> {
    let mut sizes = vec![FEW, MANY];
    let mut is_write = false;
    for arg in env::args().skip(1) {
        match arg.as_str() {
            "--million" => sizes.push(VERY_MANY),
            "--write" => is_write = true,
            other => return Err(format!("{other}? There are --million and --write").into()),
        }
    }
    check_valgrind()?;
    let program = build_count()?;
    let runs = sizes.iter().map(|size| count(&program, *size)).collect::<Outcome<Vec<_>>>()?;
    if is_write {
        write_figures(&runs)?;
    }
    let figures = read_figures()?;
    println!("instructions each time; held to the figure + {TOLERANCE_PERCENT} %, and to the cost");
    println!("with {FEW} sessions + {GROWTH_PERCENT} %\n");
    let header: String = sizes.iter().map(|size| format!("{size:>11}")).collect();
    println!("{:36}{:>11}{header}", "act, by sessions", "figure");
    let mut holds = true;
    for (row, (act, _)) in runs[0].iter().enumerate() {
        let costs: Vec<f64> = runs.iter().map(|run| run[row].1).collect();
        let figure = figures.get(act).copied();
        let faults = faults(figure, &costs);
        let cells: String = costs.iter().map(|cost| format!("{cost:>11.1}")).collect();
        let figure = figure.map_or_else(|| "none".into(), |figure| format!("{figure:.1}"));
        println!("{act:36}{figure:>11}{cells}  {}", faults.join(", "));
        holds &= faults.is_empty();
    }
    println!("\n{}", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(holds)
}

fn faults(figure: Option<f64>, costs: &[f64]) -> Vec<&'static str> {
    let most = costs.iter().copied().fold(0.0, f64::max);
    let over = |base: f64, percent: f64| most > base * (1.0 + percent / 100.0);
    let mut faults = Vec::new();
    match figure {
        None => faults.push("NO FIGURE in counts.toml"),
        Some(figure) if over(figure, TOLERANCE_PERCENT) => faults.push("OVER ITS FIGURE"),
        Some(_) => {}
    }
    if over(costs[0], GROWTH_PERCENT) {
        faults.push("GROWS WITH THE SESSIONS");
    }
    if costs.iter().any(|cost| *cost < 1.0) {
        faults.push("NOTHING COUNTED");
    }
    faults
}

fn check_valgrind() -> Outcome<()> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err("valgrind is needed and not installed (Debian: apt-get install valgrind)".into()),
    }
}

/// Cargo builds only the program that it was asked to run, so the counted one is built here.
fn build_count() -> Outcome<PathBuf> {
    if cfg!(debug_assertions) {
        return Err("run it with --release: a debug build's instructions mean nothing".into());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let args = ["build", "--quiet", "--release", "--bin", "count", "--manifest-path", manifest];
    if !Command::new(cargo).args(args).status()?.success() {
        return Err("the counted program does not build".into());
    }
    Ok(env::current_exe()?.with_file_name("count"))
}

/// Runs every act with this many sessions under callgrind.
fn count(program: &Path, sessions: u32) -> Outcome<Vec<Count>> {
    let parts = env::temp_dir().join(format!("moorline-hold-{}-{sessions}", std::process::id()));
    fs::create_dir_all(&parts)?;
    let out = parts.join("part");
    // Counting is on inside `measured_region` only; at each `announce` callgrind writes what it
    // counted since the last one into a numbered file.
    let ran = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .args(["--toggle-collect=*measured_region*", "--dump-before=*announce*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg(sessions.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    if !ran.status.success() {
        return Err(format!("valgrind {program:?} {sessions} failed: {}", ran.status).into());
    }
    let acts = String::from_utf8(ran.stdout)?;
    let counts = acts
        .lines()
        .zip(1..)
        .map(|(line, part)| {
            let (act, times) = line.split_once(' ').ok_or("an act without its times")?;
            let instructions = total(&out.with_extension(part.to_string()))?;
            Ok((act.to_owned(), instructions / times.parse::<f64>()?))
        })
        .collect();
    fs::remove_dir_all(&parts)?;
    counts
}

/// What callgrind counted in one of its parts.
fn total(part: &Path) -> Outcome<f64> {
    let text = fs::read_to_string(part).map_err(|error| format!("{}: {error}", part.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.ok_or("callgrind wrote a part without its total")?.trim().parse()?)
}

/// The figures: lines of `act = instructions`, and comments.
fn read_figures() -> Outcome<BTreeMap<String, f64>> {
    let text = fs::read_to_string(FIGURES)?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (act, figure) = line.split_once(" = ").ok_or("counts.toml: `act = number`")?;
            Ok((act.to_owned(), figure.parse()?))
        })
        .collect()
}

/// The dearest of each act becomes its figure; the comments stay.
fn write_figures(runs: &[Vec<Count>]) -> Outcome<()> {
    let text = fs::read_to_string(FIGURES)?;
    let comments = text.lines().take_while(|line| line.starts_with('#'));
    let mut lines: Vec<String> = comments.map(str::to_owned).collect();
    for (row, (act, _)) in runs[0].iter().enumerate() {
        let most = runs.iter().map(|run| run[row].1).fold(0.0, f64::max);
        lines.push(format!("{act} = {:.0}", most.ceil()));
    }
    fs::write(FIGURES, lines.join("\n") + "\n")?;
    Ok(())
}
