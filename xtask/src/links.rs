//! Links between documents lead somewhere.

use crate::tree::{File, Finding, Tree};

/// Every relative link in a document of the root leads to a tracked file, and to a heading that is
/// there if it names one.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| is_document(&file.path)) {
        for (index, line) in prose(&file.text) {
            for target in targets(&line) {
                let advice = broken(tree, file, target);
                findings.extend(advice.map(|advice| file.finding(index, advice)));
            }
        }
    }
    findings
}

fn is_document(path: &str) -> bool {
    path.ends_with(".md") && !path.contains('/')
}

/// What is wrong with a link in `file`, if it is.
fn broken(tree: &Tree, file: &File, target: &str) -> Option<String> {
    let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
    if is_elsewhere {
        return None;
    }
    let (path, anchor) =
        target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = path.strip_prefix("./").unwrap_or(path);
    if !path.is_empty() && !tree.has(path) {
        return Some(format!("the link to {path} leads nowhere: no such file is tracked"));
    }
    let document = if path.is_empty() { Some(file) } else { tree.file(path) };
    let document = document.filter(|document| document.path.ends_with(".md"))?;
    let anchor =
        anchor.filter(|anchor| !anchors(&document.text).contains(&(*anchor).to_owned()))?;
    Some(format!("the link to #{anchor} leads nowhere: {} has no such heading", document.path))
}

/// The lines outside code, by index, without the code within them.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut prose = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_fence = ["```", "~~~"].iter().any(|fence| line.trim_start().starts_with(fence));
        if is_fence {
            is_code = !is_code;
        } else if !is_code {
            // Every other piece stands between backticks.
            prose.push((index, line.split('`').step_by(2).collect::<Vec<_>>().join("``")));
        }
    }
    prose
}

/// Where the links of a line of prose lead: `[text](target "title")` and `[label]: target`.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    // A label with a roof is a footnote, and its text follows.
    let label = line.strip_prefix('[').filter(|label| !label.starts_with('^'));
    let label = label.and_then(|label| label.split_once("]: "));
    let targets = inline.chain(label.map(|(_, target)| target));
    let without_title = targets.filter_map(|target| target.split_whitespace().next());
    without_title.map(|target| target.trim_matches(['<', '>'])).collect()
}

/// What the headings of a document are called in links to them. Of several alike, the later ones
/// have a number.
fn anchors(text: &str) -> Vec<String> {
    let mut plain: Vec<String> = Vec::new();
    let mut anchors = Vec::new();
    for heading in headings(text) {
        let anchor: String = heading.to_lowercase().chars().filter_map(anchor_char).collect();
        let earlier = plain.iter().filter(|other| **other == anchor).count();
        anchors.push(if earlier == 0 { anchor.clone() } else { format!("{anchor}-{earlier}") });
        plain.push(anchor);
    }
    anchors
}

/// The headings, as they are read: code without its backticks, links without their targets.
fn headings(text: &str) -> Vec<String> {
    let shown = prose(text).into_iter().map(|(index, _)| text.lines().nth(index).unwrap_or(""));
    let headings = shown.filter_map(|line| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len()).then(|| heading.strip_prefix(' ')).flatten()
    });
    headings
        .map(|heading| {
            let mut pieces = heading.trim().split("](");
            let mut read = pieces.next().unwrap_or_default().to_owned();
            for piece in pieces {
                read.push_str(piece.split_once(')').map_or(piece, |(_, rest)| rest));
            }
            read
        })
        .collect()
}

fn anchor_char(char: char) -> Option<char> {
    match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ => char.is_alphanumeric().then_some(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{places, tree};

    /// Where the links of a README are broken, beside a guide with two headings.
    fn found(text: &str) -> Vec<String> {
        let guide = "# Guide\n\n## `poll` and wait\n\n## Again\n\n## Again\n";
        places(&check(&tree(&[("README.md", text), ("GUIDE.md", guide), ("docs/a.png", "")])))
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn links_that_lead_somewhere_are_no_findings() {
        let good = [
            "[guide](GUIDE.md) and [guide](./GUIDE.md \"the guide\")",
            "![picture](docs/a.png) in [the folder](docs/)",
            "[section](GUIDE.md#poll-and-wait), [second](GUIDE.md#again-1)",
            "[elsewhere](https://example.com/a.md#b) <mailto:a@example.com>",
            "# A [b](GUIDE.md) c!\n[here](#a-b-c)",
            "[label]: GUIDE.md",
            "[^1]: A note.",
        ];
        for text in good {
            assert_eq!(found(text), NONE, "{text}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let bad = [
            "[guide](GUIDES.md)",
            "[guide](GUIDE.md), [picture](docs/b.png)",
            "[section](GUIDE.md#polls)",
            "[third](GUIDE.md#again-2)",
            "# Here\n[there](#there)",
            "[label]: GUIDES.md",
        ];
        for text in bad {
            let line = text.lines().count();
            assert_eq!(found(text), [format!("README.md:{line}")], "{text}");
        }
    }

    #[test]
    fn code_has_no_links_and_no_headings() {
        assert_eq!(found("`[a](b)` and\n```\n[a](b)\n```\n"), NONE);
        assert_eq!(found("```\n# Not a heading\n```\n[a](#not-a-heading)"), ["README.md:4"]);
    }

    #[test]
    fn only_documents_of_the_root_are_read() {
        assert_eq!(check(&tree(&[("docs/a.md", "[a](b)")])), []);
    }
}
