//! What the README shows of the examples is what they are, and they stay short.

use crate::tree::{Finding, Tree};

/// The hello worlds, and how many lines each may have.
const BUDGETS: &[(&str, usize)] =
    &[("examples/echo_server.rs", 24), ("examples/echo_client.rs", 23)];

/// The README shows each hello world to the letter, and none is longer than its budget.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let readme = tree.file("README.md").map_or("", |readme| readme.text.as_str());
    let mut findings = Vec::new();
    for (path, lines_max) in BUDGETS {
        let Some(example) = tree.file(path) else { continue };
        let lines = example.text.lines().count();
        if lines > *lines_max {
            let advice = format!("{lines} lines, {lines_max} are the most: shorten it");
            findings.push(example.finding(0, advice));
        }
        if !readme.contains(shown(&example.text)) {
            findings.push(example.finding(0, "README.md shows it differently: copy it there"));
        }
    }
    findings
}

/// An example without the line that says what it is.
fn shown(text: &str) -> &str {
    text.split_once("\n\n").map_or(text, |(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn told(readme: &str, example: &str) -> usize {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = vec![file("README.md", readme), file(BUDGETS[0].0, example)];
        check(&Tree { files }).len()
    }

    #[test]
    fn an_example_that_differs_or_grew_is_told() {
        let example = "//! What it is.\n\nfn main() {}\n";
        assert_eq!(told("```rust\nfn main() {}\n```\n", example), 0);
        assert_eq!(told("```rust\nfn main() { }\n```\n", example), 1);
        let long = format!("{example}{}", "\n".repeat(30));
        assert_eq!(told("", &long), 2);
    }
}
