//! How long a file and a line may be.

use crate::source::Source;
use crate::tree::{Finding, Tree};

/// Lines of code in a file, tests, comments and blank lines not counted.
const FILE_CODE_LINES_MAX: usize = 500;

/// Characters in a line of source. The formatter holds to it where it can; it leaves comments and
/// strings alone.
const LINE_CHARS_MAX: usize = 100;

/// A file can be read in one go.
pub(crate) fn check_files(sources: &[Source<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let code = source.lines.iter().enumerate();
        let mut code = code.filter(|(_, line)| !line.is_test && !line.code.trim().is_empty());
        if let Some((index, _)) = code.nth(FILE_CODE_LINES_MAX) {
            let len = FILE_CODE_LINES_MAX + 1 + code.count();
            let advice = format!(
                "{len} lines of code, {FILE_CODE_LINES_MAX} are the most: move one concern to a \
                 file of its own"
            );
            findings.push(source.file.finding(index, advice));
        }
    }
    findings
}

/// A line can be read beside another.
pub(crate) fn check_lines(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".rs")) {
        for (index, line) in file.text.lines().enumerate() {
            let len = line.chars().count();
            if len > LINE_CHARS_MAX {
                let advice = format!("{len} characters, {LINE_CHARS_MAX} are the most: break it");
                findings.push(file.finding(index, advice));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sources;
    use crate::tree::testing::{places, tree};

    fn found(text: &str) -> Vec<Finding> {
        check_files(&sources(&tree(&[("a/src/a.rs", text)])))
    }

    #[test]
    fn a_file_over_its_budget_is_found_where_it_goes_over() {
        let full = "let a = 1;\n".repeat(FILE_CODE_LINES_MAX);
        assert_eq!(found(&full), []);
        let over = format!("{full}one();\nmore();\n");
        assert_eq!(places(&found(&over)), ["a/src/a.rs:501"]);
        assert!(found(&over)[0].advice.starts_with("502 lines"));
    }

    #[test]
    fn comments_blank_lines_and_tests_cost_nothing() {
        let full = "let a = 1;\n".repeat(FILE_CODE_LINES_MAX);
        let rest = "// why\n\n/* and\nwhy */\n#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n";
        assert_eq!(found(&format!("{rest}{full}")), []);
    }

    #[test]
    fn a_line_over_its_budget_is_found_and_characters_are_counted_rather_than_bytes() {
        let found = |text: &str| places(&check_lines(&tree(&[("a.rs", text)])));
        assert_eq!(found(&"é".repeat(LINE_CHARS_MAX)), Vec::<String>::new());
        assert_eq!(found(&format!("\n{}", "e".repeat(LINE_CHARS_MAX + 1))), ["a.rs:2"]);
    }
}
