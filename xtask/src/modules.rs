//! The modules of a crate use only those that its documentation lists before them.

use crate::source::Source;
use crate::tree::Finding;

/// What a crate's documentation says before it lists its modules in their order.
const PROMISE: &str = "each using only those before it";

/// Where a crate promises an order of its modules, all modules are in it and keep it.
pub(crate) fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let roots = sources.iter().filter(|source| source.file.path.ends_with("/src/lib.rs"));
    roots.flat_map(|root| check_crate(root, sources)).collect()
}

fn check_crate(root: &Source<'_>, sources: &[Source<'_>]) -> Vec<Finding> {
    let Some(listed) = listed(&root.file.text) else { return Vec::new() };
    let folder = root.file.path.trim_end_matches("lib.rs");
    let modules = declared(root);
    let mut findings: Vec<Finding> = modules
        .iter()
        .filter(|(_, module)| !listed.contains(module))
        .map(|(index, module)| {
            root.file.finding(*index, format!("{module} is not in the documented order: add it"))
        })
        .collect();
    let order = |name: &str| listed.iter().position(|module| module == name);
    for source in sources {
        let Some(path) = source.file.path.strip_prefix(folder) else { continue };
        let own = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
        let Some(place) = order(own) else { continue };
        for (index, line) in source.lines.iter().enumerate().filter(|(_, line)| !line.is_test) {
            let later = used(&line.code).find(|name| order(name).is_some_and(|at| at > place));
            findings.extend(later.map(|name| {
                let advice = format!("{own} must not use {name}, which comes after it");
                source.file.finding(index, advice)
            }));
        }
    }
    findings
}

/// The names between backticks after the promise, in the crate's own documentation.
fn listed(text: &str) -> Option<Vec<String>> {
    let documentation: Vec<&str> =
        text.lines().take_while(|line| line.starts_with("//!")).collect();
    let documentation = documentation.join("\n");
    let (_, list) = documentation.split_once(PROMISE)?;
    Some(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// The modules that a crate declares, with the line of each.
fn declared(root: &Source<'_>) -> Vec<(usize, String)> {
    let lines = root.lines.iter().enumerate().filter(|(_, line)| !line.is_test);
    lines
        .filter_map(|(index, line)| {
            let (_, rest) = line.code.split_once("mod ")?;
            Some((index, rest.strip_suffix(';')?.to_owned()))
        })
        .collect()
}

/// What a line reaches through `crate::`.
fn used(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sources;
    use crate::tree::{File, Tree};

    const LIB: &str =
        "//! The modules, each using only those before it: `a` and `b`.\nmod a;\nmod b;\n";

    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File {
            path: format!("crates/x/src/{path}"),
            text: (*text).to_owned(),
        };
        let tree = Tree { files: files.iter().map(file).collect() };
        check(&sources(&tree)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_module_that_uses_a_later_one_is_told() {
        assert!(told(&[("lib.rs", LIB), ("b.rs", "use crate::a::A;\n")]).is_empty());
        let told = told(&[("lib.rs", LIB), ("a/inner.rs", "use crate::b::B;\n")]);
        assert_eq!(told, ["crates/x/src/a/inner.rs:1: a must not use b, which comes after it"]);
    }

    #[test]
    fn a_module_that_is_missing_from_the_order_is_told() {
        let lib = format!("{LIB}pub mod c;\n");
        let told = told(&[("lib.rs", lib.as_str())]);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("c is not in the documented order"), "{}", told[0]);
    }

    #[test]
    fn tests_may_look_at_everything_and_a_crate_without_the_promise_too() {
        let test = "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n";
        assert!(told(&[("lib.rs", LIB), ("a.rs", test)]).is_empty());
        assert!(told(&[("lib.rs", "mod a;\nmod b;\n"), ("a.rs", "use crate::b::B;\n")]).is_empty());
    }
}
