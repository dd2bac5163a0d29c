//! `demo`: everyone ends as scripted, and an interrupted script is not passed off as played.

#![cfg(unix)]

mod common;

use std::fs;

use common::{Folder, Program, run};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn every_session_ends_as_scripted() {
    let folder = Folder::new("demo");
    let json = folder.file("demo.json");
    let (code, told) = run(&["demo", "--sessions", "40", "--seconds", "5", "--json", &json]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.ends_with("all 40 sessions ended as scripted"), "{told}");
    let text = fs::read_to_string(&json).expect("the result was written");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(result["failures"], serde_json::json!([]));
    for role in ["evicted", "intruder", "logs-out", "returns", "vanishes"] {
        let expected = serde_json::json!({ "sessions": 2, "as_scripted": 2 });
        assert_eq!(result["roles"][role], expected, "{role}");
    }
}

#[test]
fn every_session_ends_as_scripted_on_a_path_that_loses_and_delays() {
    let shaping = ["--loss", "5", "--delay", "25", "--up", "jitter=5"];
    let demo = ["demo", "--sessions", "40", "--seconds", "5"];
    let (code, told) = run(&[&demo[..], &shaping].concat());
    assert_eq!(code, Some(0), "{told}");
    assert!(told.ends_with("all 40 sessions ended as scripted"), "{told}");
    assert!(told.contains("through a relay on 127.0.0.1:"), "{told}");
    assert!(told.contains("up (delay 25 ms, jitter 5 ms, loss 5 %): "), "{told}");
    assert!(told.contains("\ndown (delay 25 ms, loss 5 %): "), "{told}");
    assert_eq!(told.matches(" lost\n").count(), 2, "{told}");
}

#[test]
fn an_interrupted_demo_ends_at_once_and_not_with_0() {
    let mut demo = Program::start(&["demo", "--sessions", "20", "--seconds", "600"]);
    demo.wait_for("1 s ");
    demo.signal(Signal::INT);
    let (code, told) = demo.finish();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("interrupted") && !told.contains("as scripted"), "{told}");
}
