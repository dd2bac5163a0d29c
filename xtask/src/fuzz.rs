//! `cargo xtask fuzz --seconds N [--target NAME]... [--grow]`: every target of `fuzz/` for a while.
//!
//! libFuzzer on the stable toolchain: the compiler's own pass marks the edges, into a build folder
//! apart from all others. What is found stays under `target/fuzz`; with `--grow` the committed
//! corpora take what reaches more than they did, and lose what reaches nothing of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const USAGE: &str = "usage: cargo xtask fuzz --seconds N [--target NAME]... [--grow]";

/// What makes libFuzzer see where an input leads.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 --cfg fuzzing";

/// The longest input, in bytes.
const LEN_MAX: u32 = 4_096;
/// The longest that one input may take, in seconds, and the memory that all may take, in MiB.
const TIMEOUT: u32 = 20;
const MEMORY: u32 = 1_024;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    seconds: u32,
    targets: Vec<String>,
    is_growing: bool,
}

pub(crate) fn run(args: &[String], root: &Path) -> Result<(), String> {
    let plan = parse(args)?;
    let corpora = root.join("fuzz/corpus");
    let known = folders(&corpora)?;
    if let Some(unknown) = plan.targets.iter().find(|name| !known.contains(name)) {
        return Err(format!("{unknown} is no target; there are {}", known.join(", ")));
    }
    let program = build(root)?;
    let wanted = |name: &&String| plan.targets.is_empty() || plan.targets.contains(name);
    let places = Places { program, corpora, work: root.join("target/fuzz") };
    let mut failed = Vec::new();
    for target in known.iter().filter(wanted) {
        if !places.fuzz(target, plan.seconds)? {
            failed.push(target.as_str());
        } else if plan.is_growing {
            places.grow(target)?;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("broken: {}", failed.join(", "))) }
}

fn parse(args: &[String]) -> Result<Plan, String> {
    let (mut seconds, mut targets, mut is_growing) = (None, Vec::new(), false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.as_slice().first()) {
            ("--grow", _) => is_growing = true,
            ("--seconds", Some(value)) => {
                let parsed = value.parse().ok().filter(|seconds| *seconds > 0);
                seconds = Some(parsed.ok_or(format!("{value} is no number of seconds"))?);
                args.next();
            }
            ("--target", Some(value)) => {
                targets.push((*value).clone());
                args.next();
            }
            _ => return Err(format!("{arg}: unknown, or a value is missing\n{USAGE}")),
        }
    }
    Ok(Plan { seconds: seconds.ok_or(USAGE)?, targets, is_growing })
}

/// The names of the folders in a folder, sorted.
fn folders(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Builds what fuzzes. Naming the platform keeps build scripts free of the marks.
fn build(root: &Path) -> Result<PathBuf, String> {
    let platform = platform()?;
    let folder = root.join("target/fuzz");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--package", "moorline-fuzz"]);
    cargo.args(["--target", &platform, "--target-dir"]).arg(&folder);
    cargo.current_dir(root).env("RUSTFLAGS", FLAGS);
    succeed(&mut cargo)?;
    Ok(folder.join(platform).join("release/moorline-fuzz"))
}

fn platform() -> Result<String, String> {
    let told = Command::new("rustc").arg("-vV").output().map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say what machine this is".to_owned())
}

struct Places {
    program: PathBuf,
    corpora: PathBuf,
    work: PathBuf,
}

impl Places {
    /// Whether the target held for so long.
    fn fuzz(&self, target: &str, seconds: u32) -> Result<bool, String> {
        let (found, broken) = (self.found(target)?, self.work.join(format!("broken-{target}-")));
        let mut command = self.command(target);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LEN_MAX}"));
        command.arg(format!("-timeout={TIMEOUT}")).arg(format!("-rss_limit_mb={MEMORY}"));
        command.arg(format!("-artifact_prefix={}", broken.display()));
        command.args(["-print_final_stats=1", "-verbosity=0"]);
        command.arg(&found).arg(self.corpora.join(target));
        let output = command.output().map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let broken = broken.display();
            eprintln!("{told}\nagain: cargo run -p moorline-fuzz -- {target} {broken}*");
            return Ok(false);
        }
        let runs =
            told.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let runs = runs.and_then(|runs| runs.trim().parse::<u64>().ok()).filter(|runs| *runs > 0);
        let Some(runs) = runs else { return Err(format!("{target} did not run:\n{told}")) };
        eprintln!("{target}: held in {runs} runs within {seconds} s");
        Ok(true)
    }

    /// Puts into the committed corpus what is needed to reach all that was reached.
    fn grow(&self, target: &str) -> Result<(), String> {
        let (found, kept) = (self.found(target)?, self.corpora.join(target));
        let fresh = self.work.join(format!("fresh-{target}"));
        // A merge adds to what is there, so it begins with nothing.
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(&fresh).map_err(|error| error.to_string())?;
        let mut merge = self.command(target);
        merge.arg("-set_cover_merge=1").arg(&fresh).arg(&kept).arg(&found);
        let output = merge.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        fs::remove_dir_all(&kept).map_err(|error| error.to_string())?;
        fs::create_dir_all(&kept).map_err(|error| error.to_string())?;
        for file in fs::read_dir(&fresh).map_err(|error| error.to_string())?.flatten() {
            fs::copy(file.path(), kept.join(file.file_name()))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("FUZZ_TARGET", target).current_dir(&self.work);
        command
    }

    fn found(&self, target: &str) -> Result<PathBuf, String> {
        let found = self.work.join("corpus").join(target);
        fs::create_dir_all(&found).map_err(|error| error.to_string())?;
        Ok(found)
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Plan, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_plan_names_seconds_and_perhaps_targets() {
        let plan = parsed("--target frames --seconds 5 --target peer").expect("a plan");
        assert_eq!((plan.seconds, plan.targets.len(), plan.is_growing), (5, 2, false));
        assert!(parsed("--grow --seconds 1").expect("a plan").is_growing);
    }

    #[test]
    fn what_is_no_plan_is_told() {
        for line in ["", "--seconds", "--seconds 0", "--seconds x", "--target", "--faster"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
