//! `bots`: the result as JSON and as an exit code, when all is well and when it is not.

#![cfg(unix)]

mod common;

use std::fs;
use std::net::UdpSocket;

use common::{Folder, Program, run};
use rustix::process::Signal;
use serde_json::Value;

fn read(path: &str) -> Value {
    let text = fs::read_to_string(path).expect("the result was written");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_good_run_ends_with_0_and_both_lanes_add_up() {
    let folder = Folder::new("bots-good");
    let (mut host, address) = Program::serve("127.0.0.1:0", &["--kcp-sync", "127.0.0.1:0"]);
    let told = host.wait_for("kcp sync");
    let sync = told.split([':', ' ']).find_map(|word| word.parse::<u16>().ok()).expect("a port");
    let (address, sync, json) = (address.to_string(), sync.to_string(), folder.file("bots.json"));
    let mut args = vec!["bots", &address, "--kcp", "--sync-port", &sync, "--count", "20"];
    args.extend(["--rate", "30", "--size", "200", "--seconds", "2", "--json", &json]);
    let (code, told) = run(&args);
    assert_eq!(code, Some(0), "{told}");
    let result = read(&json);
    assert_eq!(result["sessions"], serde_json::json!({ "LoggedIn": 20 }));
    for lane in ["messages", "sync"] {
        let count = |name: &str| result[lane][name].as_u64().expect(name);
        assert!((1_000..=1_200).contains(&count("sent")), "{result}");
        assert_eq!(count("sent"), count("received") + count("lost"));
        assert_eq!((count("duplicated"), count("out_of_order")), (0, 0));
    }
    assert_eq!(result["messages"]["lost"], 0);
    let ms = |name: &str| result["latency_ms"][name].as_f64().expect(name);
    assert!(0.0 < ms("p50") && ms("p50") <= ms("p99") && ms("p99") <= ms("max"), "{result}");
}

#[test]
fn a_host_of_several_threads_loses_nothing_and_reports_all_of_it() {
    let folder = Folder::new("bots-shards");
    let report = ["--shards", "3", "--report-dir", folder.path()];
    let (host, address, key) = Program::serve_native(&folder, &report);
    let (address, json) = (address.to_string(), folder.file("bots.json"));
    let mut args = vec!["bots", &address, "--host-key", &key, "--count", "30"];
    args.extend(["--rate", "30", "--seconds", "2", "--json", &json]);
    let (code, told) = run(&args);
    assert_eq!(code, Some(0), "{told}");
    let sent = read(&json)["messages"]["sent"].as_u64().expect("a number");
    let (code, told) = host.stop();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("(host over native)"), "{told}");
    let datagrams = told.split(" in ").nth(1).and_then(|rest| rest.split(' ').next());
    let datagrams: u64 = datagrams.expect("a number").parse().expect("a number");
    assert!(datagrams >= sent / 2, "those of all threads are counted: {told}");
}

#[test]
fn a_host_that_is_not_there_is_told_and_leaves_no_result() {
    let folder = Folder::new("bots-nobody");
    let silence = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = silence.local_addr().expect("bound").to_string();
    let json = folder.file("bots.json");
    let (code, told) = run(&["bots", &address, "--kcp", "--count", "3", "--json", &json]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains(&format!("error: no bot could log in at {address}: ")), "{told}");
    assert!(folder.files("").is_empty());
}

#[test]
fn a_host_that_dies_costs_messages_and_the_exit_code() {
    let folder = Folder::new("bots-killed");
    let (host, address) = Program::serve("127.0.0.1:0", &[]);
    let (address, json) = (address.to_string(), folder.file("bots.json"));
    let mut args = vec!["bots", &address, "--kcp", "--count", "5", "--rate", "20"];
    args.extend(["--seconds", "3", "--json", &json]);
    let mut bots = Program::start(&args);
    bots.wait_for("1 s  5 logged in");
    host.kill();
    let (code, told) = bots.finish();
    assert_eq!(code, Some(1), "{told}");
    let result = read(&json);
    assert!(result["messages"]["lost"].as_u64().expect("a number") > 0, "{result}");
    assert_eq!(result["sessions"]["LoggedIn"], Value::Null, "{result}");
}

#[test]
fn an_interrupted_run_still_has_its_result() {
    let folder = Folder::new("bots-interrupted");
    let (_host, address) = Program::serve("127.0.0.1:0", &[]);
    let (address, json) = (address.to_string(), folder.file("bots.json"));
    let args = ["bots", &address, "--kcp", "--count", "5", "--seconds", "600", "--json", &json];
    let mut bots = Program::start(&args);
    bots.wait_for("1 s  5 logged in");
    bots.signal(Signal::INT);
    let (code, told) = bots.finish();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("interrupted"), "{told}");
    assert_eq!(read(&json)["messages"]["lost"], 0, "{told}");
}
