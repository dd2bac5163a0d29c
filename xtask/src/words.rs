//! Words that must not be written: in the core, in names, and anywhere.

use crate::source::{Source, has_word};
use crate::tree::{Finding, Tree};

/// Where the core lives, which takes time, randomness and datagrams as arguments.
const CORE: &[&str] = &[
    "crates/link/src/",
    "crates/session/src/",
    "crates/kcp/src/",
    "crates/sim/src/",
    "crates/proto/src/",
];

/// What would let the core reach around its arguments. Single words, where a `use` with braces
/// would hide the path.
const SYSTEM: &[&str] = &[
    "Instant",
    "SystemTime",
    "std::thread",
    "thread::spawn",
    "thread::sleep",
    "std::env",
    "env::var",
    "UdpSocket",
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "thread_rng",
    "SystemRandom",
];

/// Endings that say nothing of what a type is.
const EMPTY_ENDINGS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils", "Handler"];

/// Names that others expect: `get_mut` goes with `get`, as in the standard library. What a trait
/// from elsewhere forces on us belongs here as well.
const EXPECTED_NAMES: &[&str] = &["get_mut"];

/// Channels that grow for as long as nobody reads them.
const UNBOUNDED: &[&str] = &[
    "mpsc::channel(",
    "mpsc::channel::",
    "mpsc::channel;",
    "mpsc::channel,",
    "unbounded_channel",
    "channel::unbounded",
];

/// Words for what should be done or asked instead. In pieces, as this file is checked as well.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Places that exist on one machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/tar", "get")];

/// The core reads no clock, environment or socket, starts no thread and prints nothing.
pub(crate) fn check_core(sources: &[Source<'_>]) -> Vec<Finding> {
    let core = sources.iter().filter(|source| is_in(source, CORE));
    each_line(core, |code, is_test| {
        let word = SYSTEM.iter().find(|word| !is_test && has_word(code, word))?;
        Some(format!("the core must not use {word}: take it as an argument, or move the code out"))
    })
}

/// Names say what a thing is.
pub(crate) fn check_names(sources: &[Source<'_>]) -> Vec<Finding> {
    let crates = sources.iter().filter(|source| is_in(source, &["crates/"]));
    let crates = crates.filter(|source| source.file.path.contains("/src/"));
    each_line(crates, |code, _| {
        defined(code).filter(|name| !EXPECTED_NAMES.contains(name)).find_map(|name| {
            if let Some(what) = name.strip_prefix("get_") {
                return Some(format!("{name} gets, as all functions do: call it {what}"));
            }
            let is_empty = EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending));
            is_empty.then(|| format!("{name} does not say what it does: name it by its work"))
        })
    })
}

/// Every queue has a bound.
pub(crate) fn check_channels(sources: &[Source<'_>]) -> Vec<Finding> {
    let crates = sources.iter().filter(|source| is_in(source, &["crates/"]));
    each_line(crates, |code, _| {
        let word = UNBOUNDED.iter().find(|word| has_word(code, word))?;
        Some(format!("{word} makes a queue without a bound: use sync_channel, with a named limit"))
    })
}

/// Nothing is left to be done later, and no file knows the machine that it was written on.
pub(crate) fn check_everywhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
                let advice = format!("{word}: do it, or file it, and write what is");
                findings.push(file.finding(index, advice));
            }
            if let Some(path) = MACHINE_PATHS.iter().find(|path| has_path(line, path)) {
                let advice = format!("{path} is a place on one machine: use a relative path");
                findings.push(file.finding(index, advice));
            }
        }
    }
    findings
}

fn is_in(source: &Source<'_>, folders: &[&str]) -> bool {
    folders.iter().any(|folder| source.file.path.starts_with(folder))
}

/// What `advise` says of each line's code, and whether it is a test, as findings.
fn each_line<'a>(
    sources: impl Iterator<Item = &'a Source<'a>>,
    advise: impl Fn(&str, bool) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (index, line) in source.lines.iter().enumerate() {
            let advice = advise(&line.code, line.is_test);
            findings.extend(advice.map(|advice| source.file.finding(index, advice)));
        }
    }
    findings
}

/// The types and functions that a line of code defines.
fn defined(code: &str) -> impl Iterator<Item = &str> {
    let is_between = |char: char| !char.is_alphanumeric() && char != '_';
    let words = || code.split(is_between).filter(|word| !word.is_empty());
    let kinds = ["struct", "enum", "union", "trait", "type", "fn"];
    words().zip(words().skip(1)).filter(move |(kind, _)| kinds.contains(kind)).map(|(_, name)| name)
}

/// Whether `line` has `path` as the beginning of an absolute path.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "._-~})*/".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sources;
    use crate::tree::testing::{places, tree};

    fn found(check: fn(&[Source<'_>]) -> Vec<Finding>, path: &str, text: &str) -> Vec<Finding> {
        check(&sources(&tree(&[(path, text)])))
    }

    #[test]
    fn the_core_may_not_use_any_word_of_the_system() {
        for (folder, word) in CORE.iter().flat_map(|it| SYSTEM.iter().map(move |word| (it, word))) {
            let path = format!("{folder}a.rs");
            let findings = found(check_core, &path, &format!("fn a() {{\n    {word} ();\n}}\n"));
            assert_eq!(places(&findings), [format!("{path}:2")], "{word}");
        }
    }

    #[test]
    fn comments_literals_tests_and_other_crates_may_name_the_system() {
        let harmless = [
            ("crates/link/src/a.rs", "// Not an Instant.\n"),
            ("crates/link/src/a.rs", "/// Unlike [`std::time::Instant`].\nstruct Time;\n"),
            ("crates/link/src/a.rs", "const A: &str = \"println!\";\n"),
            ("crates/link/src/a.rs", "#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n"),
            ("crates/link/tests/a.rs", "use std::time::Instant;\n"),
            ("crates/udp/src/a.rs", "use std::time::Instant;\n"),
        ];
        for (path, text) in harmless {
            assert_eq!(found(check_core, path, text), [], "{text}");
        }
    }

    #[test]
    fn a_use_with_braces_does_not_hide_a_clock() {
        let text = "use std::time::{Duration, Instant};\n";
        assert_eq!(found(check_core, "crates/kcp/src/a.rs", text).len(), 1);
    }

    #[test]
    fn names_without_a_meaning_are_found_wherever_they_are_defined() {
        let bad = [
            "pub struct SessionManager {",
            "enum LoginHandler {",
            "pub(crate) trait AddressHelper {",
            "type TimeUtils = u8;",
            "pub const fn get_rtt(&self) -> u8 {",
        ];
        for line in bad {
            assert_eq!(found(check_names, "crates/udp/src/a.rs", line).len(), 1, "{line}");
        }
        let good = [
            "impl Handler for Router {",
            "use other::SessionManager;",
            "pub struct Managers;",
            "pub fn get(&self) {}",
            "pub fn get_mut(&mut self) {}",
            "// struct SessionManager",
        ];
        for line in good {
            assert_eq!(found(check_names, "crates/udp/src/a.rs", line), [], "{line}");
        }
    }

    #[test]
    fn a_channel_without_a_bound_is_found() {
        let path = "crates/moorline/tests/a.rs";
        for word in UNBOUNDED {
            let text = format!("let pair = {word}");
            assert_eq!(found(check_channels, path, &text).len(), 1, "{word}");
        }
        assert_eq!(found(check_channels, path, "mpsc::sync_channel(LIMIT)"), []);
    }

    #[test]
    fn unfinished_work_and_machine_paths_are_found_in_every_file() {
        for word in UNFINISHED.iter().chain(MACHINE_PATHS) {
            for path in ["a.md", "b.sh", "c.rs"] {
                let text = format!("fine\nsee {word} there\n");
                let findings = check_everywhere(&tree(&[(path, &text)]));
                assert_eq!(places(&findings), [format!("{path}:2")], "{word}");
            }
        }
    }

    #[test]
    fn a_template_and_a_relative_path_are_no_findings() {
        let template = format!("mktemp a.{}", "X".repeat(6));
        let relative = format!("cd ./a{}b; cd $HOME{0}c", MACHINE_PATHS[0]);
        assert_eq!(check_everywhere(&tree(&[("a.sh", &template), ("b.sh", &relative)])), []);
    }
}
