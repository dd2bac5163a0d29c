//! Lines on standard output and standard error. A reader that went away ends nothing.

use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

/// Prints a line; a closed pipe is no error.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref()).ok();
    out.flush().ok();
}

/// Prints a line about what cannot be done, to standard error.
pub(crate) fn error(text: impl Display) {
    writeln!(io::stderr(), "error: {text}").ok();
}

/// Prints a line about what works worse than it could, to standard error.
pub(crate) fn warning(text: impl Display) {
    writeln!(io::stderr(), "warning: {text}").ok();
}

/// Prints a value as JSON on one line.
pub(crate) fn json_line(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(text),
        Err(why) => error(format!("this event cannot be printed as JSON: {why}")),
    }
}

/// Writes a value as JSON to a file.
pub(crate) fn json_file(path: &Path, value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    fs::write(path, text + "\n").map_err(|error| cannot_write(path, &error))
}

/// Says early, and not after a long run, that a file cannot be written. Leaves none behind that was
/// not there, as an empty one would pass for a result.
pub(crate) fn check_file(path: &Path) -> Result<(), String> {
    let was_there = path.exists();
    let opened = fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|error| cannot_write(path, &error))?;
    if !was_there {
        fs::remove_file(path).map_err(|error| cannot_write(path, &error))?;
    }
    Ok(())
}

/// Makes a folder if it is not there, and says early that no file can be written into it.
pub(crate) fn check_folder(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| cannot_write(path, &error))?;
    check_file(&path.join(format!(".moorline-{}", std::process::id())))
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// A picture that is drawn over itself on a terminal; elsewhere, a line each time.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    lines_drawn: usize,
}

impl Screen {
    /// Terminals have this many columns or more. A longer line would wrap, and the next picture
    /// would not cover it.
    const WIDTH: usize = 79;

    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stdout().is_terminal(), lines_drawn: 0 }
    }

    /// Whether pictures are drawn, and not lines.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Draws over the last picture.
    pub(crate) fn draw(&mut self, picture: &[String]) {
        let mut text = String::new();
        if self.lines_drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.lines_drawn));
        }
        for line in picture {
            text.push_str(&format!("\x1b[2K{}\n", cut(line, Self::WIDTH)));
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).ok();
        out.flush().ok();
        self.lines_drawn = picture.len();
    }
}

/// The line, or as much of it as fits and a sign that there is more.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(cut("häuser", 6), "häuser");
        assert_eq!(cut("häuser", 5), "häus…");
    }

    #[test]
    fn a_file_that_can_be_written_is_not_left_behind_empty() {
        let name = format!("moorline-output-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        assert_eq!(check_file(&path), Ok(()));
        assert!(!path.exists());
    }
}
