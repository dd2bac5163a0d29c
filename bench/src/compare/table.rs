//! A Markdown table of a scenario.

use std::fmt::Write;

use super::measure::Figures;
use super::plan::{Cell, cost, units};
use super::trial::{Scenario, Trial};

/// A column: its title, and what it says of a cell and the cost of `bare` in the same trial.
type Column = (&'static str, fn(&Row<'_>) -> String);

struct Row<'a> {
    trial: &'a Trial,
    figures: &'a Figures,
    calls: Option<f64>,
    bare: Option<f64>,
}

impl Row<'_> {
    fn per_unit(&self, count: f64) -> String {
        brief(count / units(self.trial, self.figures))
    }
}

const AGE_UP: Column = ("age up ms", |row| ages(row.figures.age_up));
const AGE_DOWN: Column = ("age down ms", |row| ages(row.figures.age_down));
const DELIVERED: Column = ("delivered", |row| {
    row.figures.delivered_percent.map_or_else(String::new, |percent| format!("{percent:.2} %"))
});
const RATIO: Column = ("x bare", |row| {
    row.bare.map_or_else(String::new, |bare| brief(cost(row.trial, row.figures) / bare))
});
const PEAK: Column =
    ("peak MB", |row| format!("{:.1}", row.figures.peak_bytes as f64 / f64::from(1 << 20)));
/// Among few, what all share would count as theirs.
const CLIENTS_MIN: u32 = 100;
const CLIENT: Column = ("KB a client", |row| {
    let told = brief(row.figures.client_bytes / 1_024.0);
    if row.trial.clients < CLIENTS_MIN { String::new() } else { told }
});
const CALLS: Column = ("calls", |row| row.calls.map_or_else(String::new, brief));
const DATAGRAMS: Column = ("datagrams", |row| row.per_unit(row.figures.datagrams as f64));
const MESSAGE: Column = ("us a message", |row| brief(cost(row.trial, row.figures)));

const FLOWS: &[Column] =
    &[MESSAGE, RATIO, DELIVERED, AGE_UP, AGE_DOWN, DATAGRAMS, CALLS, PEAK, CLIENT];

const ECHO: &[Column] = &[
    MESSAGE,
    RATIO,
    ("messages a CPU s", |row| format!("{:.0}", 1e6 / cost(row.trial, row.figures))),
    ("MB a CPU s", |row| brief(row.trial.message_len as f64 / cost(row.trial, row.figures))),
    ("there and back ms", |row| ages(row.figures.age_down)),
    DATAGRAMS,
    CALLS,
    PEAK,
];

const IDLE: &[Column] = &[
    ("us a client and s", |row| brief(cost(row.trial, row.figures))),
    RATIO,
    CLIENT,
    PEAK,
    DATAGRAMS,
    CALLS,
];

const STORM: &[Column] = &[
    ("us a handshake", |row| brief(cost(row.trial, row.figures))),
    RATIO,
    ("handshakes a CPU s", |row| format!("{:.0}", 1e6 / cost(row.trial, row.figures))),
    ("ms until all are in", |row| format!("{:.0}", row.figures.connect_seconds * 1e3)),
    PEAK,
    CLIENT,
];

/// The table of these cells.
pub(super) fn table(scenario: Scenario, cells: &[Cell]) -> String {
    let columns = match scenario {
        Scenario::Echo => ECHO,
        Scenario::Idle => IDLE,
        Scenario::Storm => STORM,
        _ => FLOWS,
    };
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let mut out = String::new();
    // Writing to a string does not fail.
    _ = writeln!(out, "| clients | peer | {} | faults |", titles.join(" | "));
    _ = writeln!(out, "|---|---|{}---|", "---:|".repeat(columns.len()));
    for cell in cells {
        let (label, peer) = (cell.trial.label(), &cell.trial.peer);
        let (told, faults) = match cell.median() {
            Ok(figures) => {
                let bare = cells
                    .iter()
                    .find(|other| other.trial.peer == "bare" && other.trial.asks_as(&cell.trial));
                let bare = bare.and_then(|bare| Some(cost(&bare.trial, bare.median().ok()?)));
                let row = Row { trial: &cell.trial, figures, calls: cell.calls, bare };
                (columns.iter().map(|(_, of)| of(&row)).collect(), cell.faults())
            }
            Err(why) if why.starts_with("cannot") => {
                (vec![String::new(); columns.len()], why.into())
            }
            Err(why) => (vec![String::new(); columns.len()], format!("failed: {why}")),
        };
        let told: Vec<String> = told;
        _ = writeln!(out, "| {label} | {peer} | {} | {faults} |", told.join(" | "));
    }
    out
}

fn ages([p50, p99]: [Option<f64>; 2]) -> String {
    match (p50, p99) {
        (Some(p50), Some(p99)) => format!("{p50:.1} / {p99:.1}"),
        _ => String::new(),
    }
}

/// Three digits that say something.
fn brief(number: f64) -> String {
    match number.abs() {
        it if it >= 100.0 => format!("{number:.0}"),
        it if it >= 10.0 => format!("{number:.1}"),
        it if it >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}
