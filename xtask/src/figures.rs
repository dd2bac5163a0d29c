//! The document shows the instruction counts that are held.

use crate::tree::{Finding, Tree};

const DOCUMENT: &str = "BENCHMARKS.md";
const FIGURES: &str = "bench/counts.toml";

/// Every figure that is held stands in the document, rounded to whole instructions.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let (Some(document), Some(figures)) = (tree.file(DOCUMENT), tree.file(FIGURES)) else {
        return Vec::new();
    };
    let lines = figures.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let (act, figure) = line.split_once('=')?;
            let figure: f64 = figure.trim().parse().ok()?;
            let shown = format!("| {} |", with_thousands(figure.round() as u64));
            let is_shown = document.text.contains(&shown);
            let advice = format!("{} is {shown} and {DOCUMENT} does not show it", act.trim());
            (!is_shown).then(|| figures.finding(index, advice))
        })
        .collect()
}

fn with_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn told(document: &str, figures: &str) -> usize {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        check(&Tree { files: vec![file(DOCUMENT, document), file(FIGURES, figures)] }).len()
    }

    #[test]
    fn a_figure_that_the_document_does_not_show_is_told() {
        let figures = "# act = instructions\n[counts]\ntick = 1234567.4\n";
        assert_eq!(told("| a tick | 1,234,567 |", figures), 0);
        assert_eq!(told("| a tick | 1,234,568 |", figures), 1);
    }
}
