//! `moorline report`: a run report for a person.

use std::process::ExitCode;

use moorline_metrics::{Diagnosis, Report};

use crate::Outcome;
use crate::args;
use crate::output;

pub(crate) fn run(args: &args::Report) -> Outcome {
    let report = Report::read(&args.file)?;
    output::line(report.readable_summary.to_string());
    output::line(Diagnosis::of(&report).to_string());
    Ok(ExitCode::SUCCESS)
}
