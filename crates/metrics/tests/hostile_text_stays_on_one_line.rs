//! Whatever a peer, or the author of a report file, calls itself.

mod common;

use common::full_run;
use moorline_metrics::{Diagnosis, Report, console};

const HOSTILE: &str = "eve\r\nVerdict: stable\u{1b}[2J\u{202e}\u{9b}31m";

fn assert_plain(text: &str) {
    let ugly = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!text.contains(ugly), "{text:?}");
    assert!(!text.contains("\nVerdict: stable"), "{text}");
}

fn texts(report: &Report) -> [String; 3] {
    [report.readable_summary.to_string(), Diagnosis::of(report).to_string(), console::block(report)]
}

#[test]
fn a30_a_peers_name_and_reason_print_escaped() {
    let lines = |report: &Report| texts(report).map(|text| text.lines().count());
    let mut run = full_run();
    let friendly = Report::new(&run);
    run.sessions[0].identity = Some(HOSTILE.to_owned());
    run.sessions[0].failure = Some(HOSTILE.to_owned());
    let hostile = Report::new(&run);
    texts(&hostile).iter().for_each(|text| assert_plain(text));
    assert_eq!(lines(&hostile), lines(&friendly));
    assert!(texts(&hostile)[0].contains(r"eve\u{d}\u{a}Verdict: stable\u{1b}[2J"));
    let identity = hostile.application_session_summaries[0].identity.as_deref();
    assert_eq!(identity, Some(HOSTILE), "a program that reads the report gets the name itself");
}

#[test]
fn a30_a_forged_report_file_prints_escaped() {
    let json = serde_json::to_string(&Report::new(&full_run())).expect("json");
    let hostile = serde_json::to_string(HOSTILE).expect("json");
    let mut forged: serde_json::Value = serde_json::from_str(&json).expect("json");
    poison(&mut forged);
    assert!(forged.to_string().contains(&hostile));
    let report = Report::parse(forged.to_string().as_bytes()).expect("a report");
    texts(&report).iter().for_each(|text| assert_plain(text));
}

/// Puts the hostile text into every string and, where names are free, every name.
fn poison(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => HOSTILE.clone_into(text),
        Value::Array(elements) => elements.iter_mut().for_each(poison),
        Value::Object(fields) => {
            for name in ["ErrorCountsByStage", "Counters"] {
                if let Some(Value::Object(counts)) = fields.get_mut(name) {
                    counts.insert(HOSTILE.to_owned(), 1.into());
                }
            }
            fields.values_mut().for_each(poison);
        }
        _ => {}
    }
}
