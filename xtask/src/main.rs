//! Checks of the tree that no compiler makes: `cargo xtask tidy`.
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

mod budgets;
mod examples;
mod figures;
mod links;
mod manifests;
mod modules;
mod source;
mod tree;
mod words;

use std::path::Path;
use std::process::ExitCode;

use tree::{Finding, Tree};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("usage: cargo xtask tidy");
        return ExitCode::from(2);
    }
    match tidy() {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            for finding in &findings {
                eprintln!("{finding}");
            }
            eprintln!("tidy: {} findings", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that is wrong with this repository, by file and line.
fn tidy() -> Result<Vec<Finding>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tree = Tree::tracked(&root)?;
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
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_repository_is_tidy() {
        let findings = super::tidy().expect("the tree can be read");
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "\n{}", told.join("\n"));
    }
}
