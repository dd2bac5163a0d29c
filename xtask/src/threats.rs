//! `cargo xtask threats`: SECURITY.md lists the tests that hold each attack off.
//!
//! A test says in its name which attacks it tries: `a4_..` or `a4_a12_..`. A row of the table
//! begins `| A4 |`, and its last cell is made here; `tidy` tells where it was not, a row without a
//! test, and a test without a row.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::tree::{Finding, Tree};

const DOCUMENT: &str = "SECURITY.md";

/// The tests of each attack: their names as words, and where they are.
type Tests = BTreeMap<u32, Vec<(String, String)>>;

/// Writes the last cells anew.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let tree = Tree::tracked(root)?;
    let document = tree.file(DOCUMENT).ok_or(format!("{DOCUMENT} is not tracked"))?;
    let text = filled(&document.text, &tests(&tree));
    fs::write(root.join(DOCUMENT), text).map_err(|error| format!("{DOCUMENT}: {error}"))
}

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.file(DOCUMENT) else { return Vec::new() };
    let tests = tests(tree);
    let filled = filled(&document.text, &tests);
    let mut findings = Vec::new();
    let lines = document.text.lines().zip(filled.lines()).enumerate();
    for (index, (is, should)) in lines {
        let Some(number) = row(should) else { continue };
        if is != should {
            findings.push(document.finding(index, "not as the tests are: cargo xtask threats"));
        }
        if !tests.contains_key(&number) {
            let advice = format!("no test is called a{number}_..: write one, or drop the row");
            findings.push(document.finding(index, advice));
        }
    }
    let rows: Vec<u32> = document.text.lines().filter_map(row).collect();
    for (number, named) in tests.iter().filter(|(number, _)| !rows.contains(number)) {
        let paths: Vec<_> = named.iter().map(|(_, path)| path.as_str()).collect();
        let advice = format!("A{number} has tests in {} and no row", paths.join(", "));
        findings.push(document.finding(0, advice));
    }
    findings
}

fn tests(tree: &Tree) -> Tests {
    let mut tests = Tests::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".rs")) {
        for line in file.text.lines() {
            let Some(mut rest) = line.trim_start().strip_prefix("fn ") else { continue };
            let mut numbers = Vec::new();
            while let Some((number, words)) = prefix(rest) {
                numbers.push(number);
                rest = words;
            }
            let name: String =
                rest.chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '_').collect();
            for number in numbers {
                let named = (name.replace('_', " "), file.path.clone());
                tests.entry(number).or_default().push(named);
            }
        }
    }
    tests
}

/// The attack that a name begins with, and the rest of the name.
fn prefix(name: &str) -> Option<(u32, &str)> {
    let (number, words) = name.strip_prefix('a')?.split_once('_')?;
    Some((number.parse().ok()?, words))
}

/// The attack that a line of the document is the row of.
fn row(line: &str) -> Option<u32> {
    line.strip_prefix("| A")?.split_once(' ')?.0.parse().ok()
}

fn filled(document: &str, tests: &Tests) -> String {
    let lines = document.lines().map(|line| match row(line) {
        Some(number) => with_tests(line, tests.get(&number).map_or(&[], Vec::as_slice)),
        None => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

/// A row with its last cell made anew.
fn with_tests(row: &str, tests: &[(String, String)]) -> String {
    let cells: Vec<_> = row.split(" | ").take(3).collect();
    let links = tests.iter().map(|(words, path)| format!("[{words}]({path})"));
    format!("{} | {} |", cells.join(" | "), links.collect::<Vec<_>>().join("<br>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    const ROW: &str = "| A4 | replay | a window | old |\n";

    fn tree(document: &str, source: &str) -> Tree {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        Tree { files: vec![file(DOCUMENT, document), file("src/lib.rs", source)] }
    }

    #[test]
    fn a_row_is_filled_with_the_tests_that_name_it() {
        let tree = tree(ROW, "    fn a4_a12_no_number_twice() {\nfn a_model() {\n");
        let text = filled(ROW, &tests(&tree));
        assert_eq!(text, "| A4 | replay | a window | [no number twice](src/lib.rs) |\n");
        assert_eq!(filled(&text, &tests(&tree)), text);
    }

    #[test]
    fn an_old_cell_a_row_without_a_test_and_a_test_without_a_row_are_told() {
        let told = |document: &str, source: &str| check(&tree(document, source)).len();
        assert_eq!(told("| A4 | b | c | [x](src/lib.rs) |\n", "fn a4_x() {"), 0);
        assert_eq!(told(ROW, "fn a4_x() {"), 1);
        assert_eq!(told("| A4 | b | c |  |\n", ""), 1);
        assert_eq!(told("| A4 | b | c | [x](src/lib.rs) |\n", "fn a4_a5_x() {"), 1);
    }
}
