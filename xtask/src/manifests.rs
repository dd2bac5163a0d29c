//! Which crate may depend on which.

use toml::{Table, Value};

use crate::tree::{File, Finding, Tree};

/// Each crate, and the crates of the workspace that it may use. A dependency that is missing here
/// is missing on purpose: the rooms below must be usable without the ones above.
const ROOMS: &[(&str, &[&str])] = &[
    ("moorline-link", &[]),
    ("moorline-session", &["moorline-link"]),
    ("moorline-kcp", &["moorline-link"]),
    ("moorline-proto", &["moorline-link"]),
    ("moorline-udp", &["moorline-link"]),
    ("moorline-sim", &["moorline-link", "moorline-session", "moorline-kcp", "moorline-proto"]),
    ("moorline-metrics", &["moorline-link", "moorline-session"]),
    (
        "moorline",
        &[
            "moorline-link",
            "moorline-session",
            "moorline-kcp",
            "moorline-proto",
            "moorline-udp",
            "moorline-metrics",
        ],
    ),
    (
        PROGRAM,
        &[
            "moorline-link",
            "moorline-session",
            "moorline-kcp",
            "moorline-udp",
            "moorline-sim",
            "moorline-metrics",
            "moorline",
        ],
    ),
];

/// The program holds nothing that another crate would want to call.
const PROGRAM: &str = "moorline-cli";

/// The rooms without an operating system, and the crates that would bring it in.
const CORE: &[&str] =
    &["moorline-link", "moorline-session", "moorline-kcp", "moorline-sim", "moorline-proto"];
const SYSTEM: &[&str] = &["mio", "socket2", "tokio", "rustix", "getrandom", "rand"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let root = tree.file("Cargo.toml").and_then(|file| file.text.parse().ok());
    let shared = root.as_ref().and_then(|root| table(root, "workspace"));
    let shared = shared.and_then(|workspace| table(workspace, "dependencies"));
    let shared = shared.cloned().unwrap_or_default();
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    manifests.flat_map(|file| check_one(file, &shared)).collect()
}

fn check_one(file: &File, shared: &Table) -> Vec<Finding> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![file.finding(0, format!("not a manifest: {error}"))],
    };
    let package = table(&manifest, "package").and_then(|package| package.get("name"));
    let name = package.and_then(Value::as_str).unwrap_or_default();
    let room = ROOMS.iter().find(|(room, _)| *room == name);

    let mut findings = Vec::new();
    if room.is_none() && file.path.starts_with("crates/") {
        findings.push(file.finding(0, format!("{name} has no rule: add one to xtask's ROOMS")));
    }
    for dependency in dependencies(&manifest, shared) {
        let Dependency { key, package, is_for_tests } = &dependency;
        let line = file.text.lines().position(|line| mentions(line, key));
        let mut find = |advice| findings.push(file.finding(line.unwrap_or(0), advice));
        if package == PROGRAM {
            find(format!("nobody depends on {PROGRAM}: move what is needed to a crate below"));
        }
        // What a crate's own tests use is not carried to those who use the crate.
        if *is_for_tests {
            continue;
        }
        if let Some((_, allowed)) = room
            && package != PROGRAM
            && ROOMS.iter().any(|(room, _)| room == package)
            && !allowed.contains(&package.as_str())
        {
            find(format!("{name} must not depend on {package}: see the rooms in xtask"));
        }
        if CORE.contains(&name) && SYSTEM.contains(&package.as_str()) {
            find(format!(
                "{name} knows no operating system: take what {package} gives as argument"
            ));
        }
    }
    findings
}

/// Whether a line of a manifest is about this dependency: `key = ..`, `key.workspace = ..` or
/// `[dependencies.key]`.
fn mentions(line: &str, key: &str) -> bool {
    let rest = line.trim_start().strip_prefix(key);
    rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        || line.trim_end().ends_with(&format!("dependencies.{key}]"))
}

struct Dependency {
    /// What it is called in the manifest.
    key: String,
    /// The package's real name.
    package: String,
    is_for_tests: bool,
}

fn dependencies(manifest: &Table, shared: &Table) -> Vec<Dependency> {
    let targets = table(manifest, "target").into_iter().flat_map(Table::values);
    let holders = targets.filter_map(Value::as_table).chain([manifest]);
    let mut dependencies = Vec::new();
    for holder in holders {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (key, value) in table(holder, section).into_iter().flatten() {
                let package = renamed(value).or_else(|| shared.get(key).and_then(renamed));
                let package = package.unwrap_or(key).to_owned();
                let is_for_tests = section == "dev-dependencies";
                dependencies.push(Dependency { key: key.clone(), package, is_for_tests });
            }
        }
    }
    dependencies
}

fn renamed(dependency: &Value) -> Option<&str> {
    dependency.get("package")?.as_str()
}

fn table<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    table.get(key)?.as_table()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{places, tree};

    /// The findings in a crate of this name with these lines after its `[dependencies]`.
    fn found(name: &str, dependencies: &str) -> Vec<Finding> {
        let manifest = format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}");
        let root = "[workspace.dependencies]\nlower = { package = \"moorline-session\" }\n";
        check(&tree(&[("Cargo.toml", root), ("crates/it/Cargo.toml", &manifest)]))
    }

    #[test]
    fn every_room_may_use_what_is_below_it() {
        for (room, allowed) in ROOMS {
            let lines: Vec<String> =
                allowed.iter().map(|allowed| format!("{allowed}.workspace = true\n")).collect();
            assert_eq!(found(room, &lines.concat()), []);
        }
    }

    #[test]
    fn no_room_may_use_another_beside_or_above_it() {
        let cases = [
            ("moorline-link", "moorline-session"),
            ("moorline-session", "moorline-kcp"),
            ("moorline-kcp", "moorline-session"),
            ("moorline-proto", "moorline-session"),
            ("moorline-proto", "moorline-kcp"),
            ("moorline-udp", "moorline-session"),
            ("moorline-sim", "moorline"),
            ("moorline-metrics", "moorline-kcp"),
            ("moorline-metrics", "moorline"),
            ("moorline", "moorline-cli"),
        ];
        for (room, other) in cases {
            let findings = found(room, &format!("{other} = \"0.1\"\n"));
            assert_eq!(places(&findings), ["crates/it/Cargo.toml:4"], "{room} uses {other}");
        }
    }

    #[test]
    fn a_dependency_is_found_under_another_name_and_for_one_system_only() {
        assert_eq!(found("moorline-kcp", "a = { package = \"moorline-session\" }").len(), 1);
        assert_eq!(found("moorline-kcp", "lower.workspace = true").len(), 1);
        let section = "[target.'cfg(unix)'.dependencies]\nmoorline-session = \"0.1\"\n";
        assert_eq!(places(&found("moorline-kcp", section)), ["crates/it/Cargo.toml:5"]);
    }

    #[test]
    fn a_finding_is_on_the_dependencys_own_line() {
        let lines = "moorline-link = \"0.1\"\nmoorline = \"0.1\"\n";
        assert_eq!(places(&found("moorline-udp", lines)), ["crates/it/Cargo.toml:5"]);
        let section = "[dependencies.moorline]\nversion = \"0.1\"\n";
        assert_eq!(places(&found("moorline-udp", section)), ["crates/it/Cargo.toml:4"]);
    }

    #[test]
    fn the_core_has_no_operating_system_but_its_tests_may() {
        for (room, system) in CORE.iter().flat_map(|room| SYSTEM.iter().map(move |it| (room, it))) {
            assert_eq!(found(room, &format!("{system} = \"1\"\n")).len(), 1, "{room} {system}");
            let tests = format!("[dev-dependencies]\n{system} = \"1\"\n");
            assert_eq!(found(room, &tests), []);
        }
        assert_eq!(found("moorline-udp", "mio = \"1\"\n"), []);
    }

    #[test]
    fn nobody_depends_on_the_program_even_for_tests() {
        let tests = "[dev-dependencies]\nmoorline-cli = \"0.1\"\n";
        assert_eq!(found("moorline", tests).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_rule() {
        assert_eq!(places(&found("moorline-new", "")), ["crates/it/Cargo.toml:1"]);
    }
}
