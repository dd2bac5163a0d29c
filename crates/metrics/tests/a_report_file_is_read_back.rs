//! From a file to a report, or to a word about what is wrong with the file.

mod common;

use std::fs;

use common::{Directory, calm_run, empty_run, full_run};
use moorline_metrics::{Diagnosis, ReadProblem, Report};

#[test]
fn a_report_comes_back_as_it_was() {
    for run in [empty_run(), calm_run(), full_run()] {
        let report = Report::new(&run);
        let json = serde_json::to_vec_pretty(&report).expect("json");
        let back = Report::parse(&json).expect("a report");
        assert_eq!(back, report);
        assert_eq!(Diagnosis::of(&back), Diagnosis::of(&report));
    }
}

#[test]
fn names_that_a_later_version_added_are_passed_over() {
    let mut json = serde_json::to_value(Report::new(&full_run())).expect("json");
    json["Later"] = 1.into();
    json["PeerSummaries"][0]["Later"] = "x".into();
    Report::parse(json.to_string().as_bytes()).expect("a report");
}

#[test]
fn what_is_no_report_is_said_on_one_line() {
    let directory = Directory::new("read");
    let path = directory.path().join("x\n.json");
    let problem = |content: Option<&str>| {
        if let Some(content) = content {
            fs::write(&path, content).expect("a file");
        }
        let error = Report::read(&path).expect_err("no report");
        assert_eq!(error.to_string().lines().count(), 1);
        error.problem
    };
    assert_eq!(problem(None), ReadProblem::NotThere);
    assert_eq!(problem(Some("")), ReadProblem::NotJson { line: 1, column: 0 });
    assert_eq!(problem(Some("{\n\"a\": x}")), ReadProblem::NotJson { line: 2, column: 6 });
    for other in ["[]", "1", "null", "{}", r#"{"SchemaVersion":"1"}"#, r#"{"SchemaVersion":1}"#] {
        assert!(matches!(problem(Some(other)), ReadProblem::NotAReport { .. }), "{other}");
    }
    let later = problem(Some(r#"{"SchemaVersion":2}"#));
    assert_eq!(later, ReadProblem::OtherVersion { version: 2 });
    assert!(matches!(
        Report::read(directory.path()).expect_err("a directory").problem,
        ReadProblem::Unreadable { .. }
    ));
}
