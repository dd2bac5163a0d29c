//! `serve` writes its report when it is stopped, `report` reads it, and `--json` is for programs.

#![cfg(unix)]

mod common;

use common::{Folder, Program, run};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn the_report_is_written_on_a_signal_and_can_be_read() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::new(&format!("report-{}", signal.as_raw()));
        let (host, address) = Program::serve("127.0.0.1:0", &["--report-dir", folder.path()]);
        let _ann = Program::connect(address, "ann");
        host.signal(signal);
        let (code, told) = host.finish();
        assert_eq!(code, Some(0), "{told}");
        let reports = folder.files(".json");
        let [report] = reports.as_slice() else { panic!("one report: {reports:?}") };
        let (code, told) = run(&["report", report]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("Headline: run ") && told.contains("Verdict: "), "{told}");
        assert!(told.contains("1 active, 1 at peak, 1 created, 0 closed"), "{told}");
    }
}

#[test]
fn json_lines_tell_the_life_of_a_session() {
    let (mut host, address) = Program::serve("127.0.0.1:0", &["--json"]);
    let ann = Program::connect(address, "ann");
    host.wait_for("\"kind\":\"LoginSucceeded\"");
    drop(ann);
    let (code, told) = host.stop();
    assert_eq!(code, Some(0), "{told}");
    let lines = told.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!((&first["event"], &last["event"]), (&"listening".into(), &"stopped".into()));
    assert_eq!(first["kcp"], address.to_string());
    assert_eq!(last["sessions"], 1);
    let login = lines.iter().find(|line| line["kind"] == "LoginSucceeded").expect("a login");
    assert_eq!((&login["from"], &login["to"]), (&"LoginPending".into(), &"LoggedIn".into()));
    assert_eq!(login["identity"], "ann");
}
