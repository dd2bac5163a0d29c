//! What is done to the tree beside compiling it.
//!
//! * `cargo xtask tidy`: checks that no compiler makes.
//! * `cargo xtask threats`: the tests in SECURITY.md's table; see [`threats`].
//! * `cargo xtask fuzz --seconds N`: every fuzz target for a while; see [`fuzz`].
//!
//! A rule without a checker is a wish. Each module here holds one kind of rule, as small functions
//! from a [`Tree`] to findings; plain `cargo test` runs them all over this repository.
//!
//! * [`tree`]: the tracked files, and what a finding is.
//! * [`source`]: Rust source with comments, literals and tests told apart.
//! * [`manifests`]: which crate may depend on which.
//! * [`words`]: words that must not be written, in the core, in names and anywhere.
//! * [`budgets`]: how long a file and a line may be.
//! * [`modules`]: modules keep the order that their crate promises.
//! * [`links`]: links between documents lead somewhere.
//! * [`examples`]: the README shows the examples as they are.
//! * [`figures`]: the benchmarks' document shows the counts that are held.
//! * [`threats`]: the table of attacks shows the tests that hold them off.

mod budgets;
mod examples;
mod figures;
mod fuzz;
mod links;
mod manifests;
mod modules;
mod source;
mod threats;
mod tree;
mod words;

use std::path::Path;
use std::process::ExitCode;

use tree::{Finding, Tree};

const USAGE: &str =
    "usage: cargo xtask tidy | threats | fuzz --seconds N [--target NAME]... [--grow]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (name, rest) = arguments.split_first().map_or(("", &[][..]), |(name, rest)| (name, rest));
    let done = match (name, rest) {
        ("tidy", []) => report(&root),
        ("threats", []) => threats::write(&root),
        ("fuzz", _) => fuzz::run(rest, &root),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(root: &Path) -> Result<(), String> {
    let findings = tidy(root)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} findings", findings.len())) }
}

/// Everything that is wrong with this repository, by file and line.
fn tidy(root: &Path) -> Result<Vec<Finding>, String> {
    let tree = Tree::tracked(root)?;
    let sources = source::sources(&tree);
    let mut findings = manifests::check(&tree);
    findings.extend(words::check_core(&sources));
    findings.extend(words::check_names(&sources));
    findings.extend(words::check_channels(&sources));
    findings.extend(words::check_everywhere(&tree));
    findings.extend(budgets::check_files(&sources));
    findings.extend(budgets::check_lines(&tree));
    findings.extend(modules::check(&sources));
    findings.extend(links::check(&tree));
    findings.extend(examples::check(&tree));
    findings.extend(figures::check(&tree));
    findings.extend(threats::check(&tree));
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let findings = super::tidy(&root).expect("the tree can be read");
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "\n{}", told.join("\n"));
    }
}
