//! Errors at writing are values.

mod common;

use std::fs;

use common::{Directory, calm_run};
use moorline_metrics::{Report, ReportOptions, ReportWriter};

#[test]
fn a_directory_that_cannot_be_made_is_one_error_on_one_line() {
    let directory = Directory::new("unwritable");
    let in_the_way = directory.path().join("file");
    fs::write(&in_the_way, "mine").expect("a file");
    let options =
        ReportOptions { directory: in_the_way.join("reports"), ..ReportOptions::default() };
    let mut writer = ReportWriter::new(options);
    let finished = writer.finish(&calm_run()).clone();
    assert_eq!(finished.errors.len(), 1);
    let line = finished.errors[0].to_string();
    assert!(line.starts_with("could not write ") && line.lines().count() == 1, "{line}");
    assert_eq!(finished.report_path, None);
    assert_eq!(finished.summary_path, None);
    assert_eq!(finished.diagnosis_path, None);
    assert!(finished.console.expect("the block").contains("1 active"));
    assert_eq!(directory.file_names(), ["file"]);
    assert_eq!(fs::read_to_string(in_the_way).expect("the file"), "mine");
    assert_eq!(writer.finish(&calm_run()).errors.len(), 1, "and it is not tried again");
}

#[test]
fn one_file_that_cannot_be_written_leaves_the_others_and_no_remains() {
    let directory = Directory::new("partly");
    let in_the_way = directory.path().join("run-test.summary.txt/full");
    fs::create_dir_all(in_the_way).expect("a directory");
    let options =
        ReportOptions { directory: directory.path().to_owned(), ..ReportOptions::default() };
    let mut writer = ReportWriter::new(options);
    let finished = writer.finish(&calm_run());
    assert_eq!(finished.errors.len(), 1);
    assert_eq!(finished.summary_path, None);
    let report = Report::read(finished.report_path.as_ref().expect("a report")).expect("a report");
    assert_eq!(report.summary_path, None, "a path in the report is one of a file that is there");
    assert!(report.report_path.is_some() && report.diagnosis_path.is_some());
    let names = ["run-test.diagnosis.txt", "run-test.json", "run-test.summary.txt"];
    assert_eq!(directory.file_names(), names);
}

#[test]
fn what_a_run_that_was_cut_off_left_is_no_obstacle() {
    let directory = Directory::new("remains");
    let remains = directory.path().join("run-test.json.tmp");
    fs::write(&remains, "half").expect("a file");
    let mut writer = ReportWriter::new(ReportOptions {
        json: true,
        directory: directory.path().to_owned(),
        ..ReportOptions::NOTHING
    });
    assert_eq!(writer.finish(&calm_run()).errors, []);
    assert_eq!(directory.file_names(), ["run-test.json"]);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_the_file_is_not_followed() {
    let directory = Directory::new("link");
    let target = directory.path().join("target");
    fs::write(&target, "mine").expect("a file");
    for name in ["run-test.json", "run-test.json.tmp"] {
        std::os::unix::fs::symlink(&target, directory.path().join(name)).expect("a link");
    }
    let mut writer = ReportWriter::new(ReportOptions {
        json: true,
        directory: directory.path().to_owned(),
        ..ReportOptions::NOTHING
    });
    assert_eq!(writer.finish(&calm_run()).errors, []);
    assert_eq!(fs::read_to_string(&target).expect("the file"), "mine");
}

#[test]
fn a_run_id_cannot_leave_the_directory() {
    for run_id in ["../../etc/x", "a/b", "", "..", "con", "\u{202e}\n\0", &"x".repeat(5000)] {
        let directory = Directory::new("run-id");
        let mut run = calm_run();
        run.run_id = run_id.to_owned();
        let mut writer = ReportWriter::new(ReportOptions {
            json: true,
            directory: directory.path().to_owned(),
            ..ReportOptions::NOTHING
        });
        assert_eq!(writer.finish(&run).errors, [], "{run_id:?}");
        let names = directory.file_names();
        assert_eq!(names.len(), 1, "{run_id:?}");
        assert!(names[0].starts_with("run-") && names[0].ends_with(".json"), "{names:?}");
    }
}
