//! What is written at the end of a run, and that it is written once.

mod common;

use std::fs;

use common::{Directory, at, calm_run, empty_run, full_run};
use moorline_metrics::{Report, ReportOptions, ReportWriter};

fn options(directory: &Directory) -> ReportOptions {
    ReportOptions { directory: directory.path().join("deep/er"), ..ReportOptions::default() }
}

#[test]
fn finishing_twice_writes_once() {
    let directory = Directory::new("once");
    let mut writer = ReportWriter::new(options(&directory));
    assert_eq!(writer.finished(), None);
    let first = writer.finish(&calm_run()).clone();
    assert_eq!(first.errors, []);
    let path = first.report_path.clone().expect("a report");
    fs::remove_file(&path).expect("a file to remove");
    let mut other = calm_run();
    other.run_id = "other".to_owned();
    assert_eq!(*writer.finish(&other), first);
    assert_eq!(writer.finished(), Some(&first));
    assert!(!path.exists(), "the second call wrote nothing");
}

#[test]
fn the_report_names_the_files_that_are_there() {
    let directory = Directory::new("paths");
    let mut writer = ReportWriter::new(options(&directory));
    let finished = writer.finish(&full_run()).clone();
    let path = finished.report_path.expect("a report");
    let report = Report::read(&path).expect("a report");
    let text = |path: Option<std::path::PathBuf>| path.map(|p| p.to_string_lossy().into_owned());
    assert_eq!(report.report_path, text(Some(path)));
    assert_eq!(report.summary_path, text(finished.summary_path.clone()));
    assert_eq!(report.diagnosis_path, text(finished.diagnosis_path.clone()));
    let summary = fs::read_to_string(finished.summary_path.expect("a summary")).expect("text");
    assert_eq!(summary, report.readable_summary.to_string());
    let diagnosis = fs::read_to_string(finished.diagnosis_path.expect("one")).expect("text");
    assert!(diagnosis.starts_with("Verdict: clear risk\n"), "{diagnosis}");
    let console = finished.console.expect("the block");
    for path in [report.report_path, report.summary_path, report.diagnosis_path] {
        assert!(console.contains(&path.expect("a path")), "{console}");
    }
}

#[test]
fn each_output_has_its_switch() {
    let all = ["run-test.diagnosis.txt", "run-test.json", "run-test.summary.txt"];
    for on in 0..5 {
        let directory = Directory::new(&format!("switch-{on}"));
        let options = ReportOptions {
            json: on == 1,
            summary: on == 2,
            diagnosis: on == 0,
            console: on == 3,
            directory: directory.path().to_owned(),
        };
        let mut writer = ReportWriter::new(options);
        let finished = writer.finish(&calm_run());
        assert_eq!(finished.errors, []);
        assert_eq!(finished.console.is_some(), on == 3);
        let expected = all.get([0, 1, 2][on.min(2)]..=on.min(2)).filter(|_| on < 3);
        assert_eq!(directory.file_names(), expected.unwrap_or_default(), "{on}");
    }
}

#[test]
fn the_summary_is_in_the_order_of_the_contract() {
    let text = Report::new(&full_run()).readable_summary.to_string();
    let heads: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(
        heads,
        [
            "Headline",
            "SessionSummary",
            "TrafficSummary",
            "ErrorSummary",
            "LifecycleSummary",
            "HealthSummary",
            "TopPeerHighlights"
        ]
    );
}

#[test]
fn the_run_is_completed_by_its_finish_and_not_by_a_report_of_the_moment() {
    assert_eq!(Report::new(&empty_run()).completed_at_utc, None);
    let directory = Directory::new("completed");
    let mut writer = ReportWriter::new(options(&directory));
    let path = writer.finish(&empty_run()).report_path.clone().expect("a report");
    let report = Report::read(path).expect("a report");
    assert_eq!(report.completed_at_utc.as_deref(), Some("2023-11-14T22:14:20.000Z"));
}

#[test]
fn a_clock_that_is_set_back_makes_a_run_of_no_length() {
    let mut run = empty_run();
    run.completed_at = Some(at(0) - std::time::Duration::from_secs(10));
    assert_eq!(Report::new(&run).duration_ms, 0);
}
