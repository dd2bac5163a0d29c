//! Rust source with comments, literals and tests told apart.
//!
//! Not a parser: it knows as much of the language as the rules need, and formatted source never
//! shows the difference.

use std::ops::Range;

use crate::tree::{File, Tree};

/// A file of Rust source.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a File,
    pub(crate) lines: Vec<Line>,
}

/// A line of source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// What the compiler reads: comments are blank, and what stands in literals is quotes.
    pub(crate) code: String,
    /// Whether it is only compiled for tests.
    pub(crate) is_test: bool,
}

/// All Rust source of the tree.
pub(crate) fn sources(tree: &Tree) -> Vec<Source<'_>> {
    let rust = || tree.files.iter().filter(|file| file.path.ends_with(".rs"));
    let test_modules: Vec<String> = rust().flat_map(test_modules).collect();
    let is_test = |path: &str| {
        path.split('/').any(|part| part == "tests" || part == "tests.rs")
            || test_modules.iter().any(|module| {
                let rest = path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
    };
    rust()
        .map(|file| {
            let mut lines = lines(&file.text);
            if is_test(&file.path) {
                lines.iter_mut().for_each(|line| line.is_test = true);
            }
            Source { file, lines }
        })
        .collect()
}

/// Whether `text` has `word`, not as a part of a longer word.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let joins = |inner: Option<char>, outer: Option<char>| {
            inner.is_some_and(is_word_char) && outer.is_some_and(is_word_char)
        };
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !joins(word.chars().next(), before) && !joins(word.chars().next_back(), after)
    })
}

fn is_word_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn lines(text: &str) -> Vec<Line> {
    let code = blank(text);
    let mut lines: Vec<Line> =
        code.lines().map(|code| Line { code: code.to_owned(), is_test: false }).collect();
    for item in test_items(&code) {
        let line_of = |at: usize| code[..at].matches('\n').count();
        for line in &mut lines[line_of(item.start)..=line_of(item.end - 1)] {
            line.is_test = true;
        }
    }
    lines
}

/// Where the items are that carry `#[cfg(test)]`, as byte ranges of blanked source.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(").map(|at| from + at) {
        from = at + "#[cfg(".len();
        let condition = &code[from..];
        if condition.starts_with("test)") || condition.starts_with("all(test,") {
            from = item_end(code, at);
            items.push(at..from);
        }
    }
    items
}

/// Where the item ends that begins with an attribute at `start`: at its semicolon, or at the brace
/// that closes its first one.
fn item_end(code: &str, start: usize) -> usize {
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for (at, char) in code[start..].char_indices() {
        match char {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        if brackets == 0 && braces == 0 && matches!(char, ';' | '}') {
            return start + at + 1;
        }
    }
    code.len()
}

/// The modules that a file declares for tests and keeps in files of their own, as paths without
/// `.rs`.
fn test_modules(file: &File) -> Vec<String> {
    let Some((folder, name)) = file.path.rsplit_once('/') else { return Vec::new() };
    let folder = match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => file.path.trim_end_matches(".rs").to_owned(),
    };
    let code = blank(&file.text);
    let module = |item: Range<usize>| {
        let (_, declared) = code[item].rsplit_once("mod ")?;
        Some(format!("{folder}/{}", declared.strip_suffix(';')?.trim()))
    };
    test_items(&code).into_iter().filter_map(module).collect()
}

/// The source with blanks for comments and quotes for what stands in literals; lines stay lines.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, filling) = if let Some(end) = comment_end(&chars, at) {
            (end, ' ')
        } else if let Some(end) = literal_end(&chars, at) {
            (end, '"')
        } else {
            code.push(chars[at]);
            at += 1;
            continue;
        };
        let keeps_space = |char: char| if char.is_whitespace() { char } else { filling };
        code.extend(chars[at..end].iter().map(|&char| keeps_space(char)));
        at = end;
    }
    code
}

fn starts_with(chars: &[char], at: usize, start: &str) -> bool {
    start.chars().enumerate().all(|(offset, char)| chars.get(at + offset) == Some(&char))
}

/// Where a comment ends that begins at `at`.
fn comment_end(chars: &[char], at: usize) -> Option<usize> {
    if starts_with(chars, at, "//") {
        let length = chars[at..].iter().position(|&char| char == '\n');
        return Some(length.map_or(chars.len(), |length| at + length));
    }
    if !starts_with(chars, at, "/*") {
        return None;
    }
    // Block comments nest.
    let (mut end, mut depth) = (at + 2, 1);
    while end < chars.len() && depth > 0 {
        if starts_with(chars, end, "/*") {
            (end, depth) = (end + 2, depth + 1);
        } else if starts_with(chars, end, "*/") {
            (end, depth) = (end + 2, depth - 1);
        } else {
            end += 1;
        }
    }
    Some(end)
}

/// Where a string or character literal ends that begins at `at`.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    match chars[at] {
        '"' => Some(quoted_end(chars, at)),
        // A lifetime has no second quote.
        '\'' if starts_with(chars, at + 1, "\\") => Some(quoted_end(chars, at)),
        '\'' if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        'r' if at == 0 || !is_word_char(chars[at - 1]) || starts_with(chars, at - 1, "br") => {
            raw_end(chars, at)
        }
        _ => None,
    }
}

/// Where a literal ends that begins with the quote at `at` and may escape it.
fn quoted_end(chars: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != chars[at] {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}

/// Where a raw string ends whose `r` is at `at`, if it is one.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&char| char == '#').count();
    let begin = at + 1 + hashes;
    if chars.get(begin) != Some(&'"') {
        return None;
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = (begin + 1..chars.len()).find(|&end| starts_with(chars, end, &closing));
    Some(end.map_or(chars.len(), |end| end + closing.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::tree;

    #[test]
    fn comments_are_blank_and_literals_are_quotes() {
        let cases = [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("// no", 1) // yes"#, r#"f(""" """, 1)       "#),
            (r#"f("a\"b", c)"#, r#"f("""""", c)"#),
            (r##"f(r#"a"b"#, c)"##, r#"f("""""""", c)"#),
            ("f('\"', 'a, c)", "f(\"\"\", 'a, c)"),
            (r"f('\'', c)", r#"f("""", c)"#),
            ("r#type", "r#type"),
        ];
        for (text, expected) in cases {
            assert_eq!(blank(text), expected, "{text}");
        }
    }

    #[test]
    fn a_test_module_is_told_from_what_stands_around_it() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { if c {} }\n}\nfn d() {}\n";
        let tests: Vec<bool> = lines(text).iter().map(|line| line.is_test).collect();
        assert_eq!(tests, [false, true, true, true, true, false]);
    }

    #[test]
    fn a_test_item_ends_with_its_semicolon_or_brace() {
        let text = "#[cfg(test)]\nuse a::b;\nfn c() {}\n\
                    #[cfg(all(test, unix))]\nfn d(e: [u8; 2]) {\n}\nfn f() {}";
        let tests: Vec<bool> = lines(text).iter().map(|line| line.is_test).collect();
        assert_eq!(tests, [true, true, false, true, true, true, false]);
    }

    #[test]
    fn code_without_tests_is_not_test() {
        assert!(lines("#[cfg(unix)]\nfn a() {}\n").iter().all(|line| !line.is_test));
    }

    #[test]
    fn a_test_module_in_its_own_file_is_test() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod world;\nmod real;\n"),
            ("crates/a/src/world.rs", "fn a() {}\n"),
            ("crates/a/src/world/part.rs", "fn a() {}\n"),
            ("crates/a/src/worldly.rs", "fn a() {}\n"),
            ("crates/a/src/real.rs", "fn a() {}\n"),
            ("crates/a/tests/it.rs", "fn a() {}\n"),
        ]);
        let tests: Vec<bool> =
            sources(&tree).iter().map(|source| source.lines[0].is_test).collect();
        assert_eq!(tests, [true, true, true, false, false, true]);
    }

    #[test]
    fn a_word_is_not_found_within_another() {
        assert!(has_word("let now: Instant;", "Instant"));
        assert!(!has_word("Instantly, MyInstant", "Instant"));
        assert!(has_word("println!(a)", "println!"));
        assert!(!has_word("eprintln!(a)", "println!"));
    }
}
