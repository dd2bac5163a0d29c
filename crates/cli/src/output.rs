//! Lines on standard output. A reader that went away ends nothing.

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

/// Prints a value as JSON on one line.
pub(crate) fn json_line(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(text),
        Err(error) => eprintln!("error: this event cannot be printed as JSON: {error}"),
    }
}

/// Writes a value as JSON to a file.
pub(crate) fn json_file(path: &Path, value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    fs::write(path, text + "\n")
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Says early, and not after a long run, that a file cannot be written.
pub(crate) fn check_writable(path: &Path) -> Result<(), String> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A picture that is drawn over itself on a terminal, and printed once a second elsewhere.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    lines_drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stdout().is_terminal(), lines_drawn: 0 }
    }

    /// Draws all of `lines` on a terminal, and only the first one elsewhere.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        if !self.is_terminal {
            if let Some(first) = lines.first() {
                line(first);
            }
            return;
        }
        let mut text = String::new();
        if self.lines_drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.lines_drawn));
        }
        for drawn in lines {
            text.push_str(&format!("\x1b[2K{drawn}\n"));
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).ok();
        out.flush().ok();
        self.lines_drawn = lines.len();
    }
}
