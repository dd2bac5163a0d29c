//! The tracked files, and what a finding is.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// Something to mend, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root.
    pub(crate) path: String,
    /// Counted from one.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, advice } = self;
        write!(f, "{path}:{line}: {advice}")
    }
}

/// A tracked file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/` between its parts.
    pub(crate) path: String,
    /// What it holds; empty if that is not text.
    pub(crate) text: String,
}

impl File {
    /// A finding in this file, on the line with this index (counted from zero, as by `enumerate`).
    pub(crate) fn finding(&self, index: usize, advice: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line: index + 1, advice: advice.into() }
    }
}

/// The files that git tracks: what a fresh clone would have.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// The tracked files under `root`, as they are on disk now.
    pub(crate) fn tracked(root: &Path) -> Result<Self, String> {
        let git = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("git is needed to list the files: {error}"))?;
        if !git.status.success() {
            let told = String::from_utf8_lossy(&git.stderr);
            return Err(format!("git does not list the files; run this in a clone: {told}"));
        }
        let listed = String::from_utf8_lossy(&git.stdout);
        let mut files = Vec::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            match fs::read(root.join(path)) {
                Ok(bytes) => {
                    let text = String::from_utf8(bytes).unwrap_or_default();
                    files.push(File { path: path.to_owned(), text });
                }
                // Removed, and not committed yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("cannot read {path}: {error}")),
            }
        }
        Ok(Self { files })
    }

    /// Whether there is such a file, or a folder with files in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{File, Finding, Tree};

    /// A tree of these paths and texts.
    pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
        let file = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
        Tree { files: files.iter().map(file).collect() }
    }

    /// Where the findings are, as `path:line`.
    pub(crate) fn places(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::tree;
    use super::*;

    #[test]
    fn a_finding_is_printed_as_editors_read_it() {
        let finding = tree(&[("a/b.rs", "")]).files[0].finding(6, "mend it");
        assert_eq!(finding.to_string(), "a/b.rs:7: mend it");
    }

    #[test]
    fn a_tree_has_its_files_and_their_folders_and_nothing_else() {
        let tree = tree(&[("docs/guide.md", "")]);
        assert!(tree.has("docs/guide.md") && tree.has("docs") && tree.has("docs/"));
        assert!(!tree.has("doc") && !tree.has("docs/guide") && !tree.has("guide.md"));
    }

    #[test]
    fn a_folder_without_git_is_an_error_and_not_an_empty_tree() {
        assert!(Tree::tracked(Path::new("/")).is_err());
    }
}
