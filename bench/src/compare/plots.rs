//! Plots of a comparison, to be looked at.

use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::measure::Figures;
use super::plan::{Cell, cost};
use super::seam::told;
use super::trial::{Scenario, Trial};

const SIZE: (u32, u32) = (900, 560);

/// A figure of a cell.
type Of = fn(&Trial, &Figures) -> Option<f64>;

/// What is plotted of which scenario: file, title, axis.
const PLOTS: &[(Scenario, &str, &str, Of)] = &[
    (Scenario::State, "state-cpu", "server CPU, us a message", costs),
    (Scenario::State, "state-age", "age of states at clients, p99 ms", |_, it| it.age_down[1]),
    (Scenario::Echo, "echo-cpu", "server CPU, us a message", costs),
    (Scenario::Room, "room-cpu", "server CPU, us a message", costs),
    (Scenario::Idle, "idle-cpu", "server CPU, us a client and second", costs),
    (Scenario::Idle, "idle-memory", "resident KB a client", |_, it| {
        Some(it.client_bytes / 1_024.0)
    }),
    (Scenario::Storm, "storm-cpu", "server CPU, us a handshake", costs),
];

/// Both of these return what plotters does.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A peer and its points: clients, and a figure.
type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// Writes all that there are cells for.
///
/// # Errors
/// When the folder or a file cannot be written.
pub(super) fn write(folder: &Path, cells: &[Cell]) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (scenario, name, axis, of) in PLOTS {
        let own: Vec<&Cell> =
            cells.iter().filter(|cell| cell.trial.scenario == *scenario).collect();
        let mut lens: Vec<usize> = own.iter().map(|cell| cell.trial.message_len).collect();
        lens.sort_unstable();
        lens.dedup();
        for len in &lens {
            let file = match lens.len() {
                1 => format!("{name}.svg"),
                _ => format!("{name}-{len}.svg"),
            };
            let title = match lens.len() {
                1 => scenario.name().to_owned(),
                _ => format!("{}, messages of {len} bytes", scenario.name()),
            };
            let of_len: Vec<&Cell> =
                own.iter().copied().filter(|cell| cell.trial.message_len == *len).collect();
            plot(&folder.join(file), (&title, axis), &lines(&of_len, *of)).map_err(told)?;
        }
    }
    Ok(())
}

fn costs(trial: &Trial, figures: &Figures) -> Option<f64> {
    Some(cost(trial, figures))
}

fn lines<'a>(cells: &[&'a Cell], of: Of) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for cell in cells {
        let Some(figure) = cell.median().ok().and_then(|it| of(&cell.trial, it)) else { continue };
        // What is nothing has no place on a logarithmic axis.
        if figure <= 0.0 || !figure.is_finite() {
            continue;
        }
        let (peer, point) = (cell.trial.peer.as_str(), (f64::from(cell.trial.clients), figure));
        match lines.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, points)) => points.push(point),
            None => lines.push((peer, vec![point])),
        }
    }
    lines
}

fn plot(file: &Path, (title, axis): (&str, &str), lines: &[Line<'_>]) -> Drawn {
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let Some(first) = points().next() else { return Ok(()) };
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    if points().all(|point| point.0 == first.0) {
        let title = format!("{title}, {} clients: {axis}", first.0);
        bars(&area, &title, lines)?;
    } else {
        curves(&area, (title, axis), lines)?;
    }
    area.present()?;
    Ok(())
}

/// From a little below the least to a little above the most.
fn span(of: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
    let least = of.clone().fold(f64::INFINITY, f64::min);
    let most = of.fold(0.0, f64::max);
    least * 0.8..most * 1.25
}

/// A peer has the same in all plots.
fn color(peer: &str) -> PaletteColor<Palette99> {
    Palette99::pick(super::PEERS.iter().position(|it| it.name == peer).unwrap_or(0))
}

fn curves(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    (title, axis): (&str, &str),
    lines: &[Line<'_>],
) -> Drawn {
    let points = lines.iter().flat_map(|(_, points)| points.iter());
    let (across, up) = (span(points.clone().map(|it| it.0)), span(points.map(|it| it.1)));
    // Names stand beside the curves and not on them.
    let (left, right) = area.split_horizontally(SIZE.0 - 170);
    let mut chart = ChartBuilder::on(&left)
        .caption(title, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(across.log_scale(), up.log_scale())?;
    chart
        .configure_mesh()
        .x_desc("clients (logarithmic)")
        .y_desc(format!("{axis} (logarithmic)"))
        .light_line_style(BLACK.mix(0.05))
        .x_label_formatter(&|it| format!("{it:.0}"))
        .y_label_formatter(&|it| if *it >= 10.0 { format!("{it:.0}") } else { format!("{it}") })
        .draw()?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let style = color(name).stroke_width(2);
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        let dots = points.iter().map(|point| Circle::new(*point, 3, color(name).filled()));
        chart.draw_series(dots)?;
        let y = 50 + 22 * index as i32;
        right.draw(&PathElement::new(vec![(0, y), (24, y)], style))?;
        right.draw(&Text::new((*name).to_owned(), (30, y - 7), ("sans-serif", 15)))?;
    }
    Ok(())
}

fn bars(area: &DrawingArea<SVGBackend<'_>, Shift>, title: &str, lines: &[Line<'_>]) -> Drawn {
    area.draw(&Text::new(title.to_owned(), (20, 14), ("sans-serif", 20)))?;
    let most = lines.iter().map(|(_, points)| points[0].1).fold(0.0, f64::max);
    let step = ((SIZE.1 - 70) / lines.len().max(1) as u32).min(44) as i32;
    let (left, width) = (150, f64::from(SIZE.0) - 240.0);
    for (index, (name, points)) in lines.iter().enumerate() {
        let (y, figure) = (56 + step * index as i32, points[0].1);
        let end = left + (figure / most * width) as i32;
        let bar = [(left, y), (end, y + step * 2 / 3)];
        area.draw(&Rectangle::new(bar, color(name).filled()))?;
        area.draw(&Text::new((*name).to_owned(), (20, y + 4), ("sans-serif", 15)))?;
        let number = if figure >= 10.0 { format!("{figure:.0}") } else { format!("{figure:.2}") };
        area.draw(&Text::new(number, (end + 6, y + 4), ("sans-serif", 15)))?;
    }
    Ok(())
}
