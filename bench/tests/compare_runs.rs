//! The comparison runs: both processes start, messages arrive and are counted.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// It takes a few seconds; a busy machine may need more.
const TIME_MAX: Duration = Duration::from_secs(120);

#[test]
fn moorline_and_bare_sockets_deliver_what_is_counted() {
    let file = std::env::temp_dir().join(format!("moorline-compare-{}.json", std::process::id()));
    let mut compare = Command::new(env!("CARGO_BIN_EXE_moorline-bench"))
        .args(["compare", "--quick", "--scenario", "state", "--clients", "10", "--seconds", "1"])
        .args(["--peers", "moorline,bare", "--json"])
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + TIME_MAX;
    let status = loop {
        if let Some(status) = compare.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            compare.kill().unwrap();
            panic!("the comparison takes too long");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let everything: Value = serde_json::from_str(&text).unwrap();
    let cells = everything["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2);
    for cell in cells {
        let figures = &cell["runs"][0]["Ok"];
        let messages = figures["messages"].as_u64();
        assert!(messages.is_some_and(|messages| messages > 100), "{cell}");
        // Nothing has to be lost on loopback, but a buffer may be full on a busy machine.
        let delivered = figures["delivered_percent"].as_f64();
        assert!(delivered.is_some_and(|percent| percent > 90.0), "{cell}");
        let is_clean = ["corrupt", "out_of_order"].iter().all(|fault| figures[fault] == 0);
        assert!(is_clean, "{cell}");
        assert!(figures["cpu_micros"].as_f64().is_some_and(|cpu| cpu > 0.0), "{cell}");
    }
}

#[test]
fn a_wrong_argument_is_told_in_a_line_with_the_usage() {
    let out = Command::new(env!("CARGO_BIN_EXE_moorline-bench"))
        .args(["compare", "--peers", "nobody"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    let told = String::from_utf8(out.stderr).unwrap();
    assert!(told.lines().next().is_some_and(|line| line.contains("nobody")), "{told}");
    assert!(told.contains("Usage:"), "{told}");
}
