//! `relay`: what passes through it is delayed and lost as it was told, also when it is told while
//! it runs; sessions live through that, and each client keeps to itself.

#![cfg(unix)]

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{Folder, Program, events, run};
use rustix::process::Signal;
use serde_json::Value;

/// How often a line of the relay says so of a direction.
fn count(line: &str, what: &str) -> Option<u64> {
    let (before, _) = line.split_once(what)?;
    before.split([' ', ':']).rfind(|word| !word.is_empty())?.parse().ok()
}

#[test]
fn bots_lose_nothing_reliable_at_five_percent_and_twenty_milliseconds() {
    let folder = Folder::new("relay-bots");
    let (_host, host) = Program::serve("127.0.0.1:0", &[]);
    let (relay, address) = Program::relay(host, &["--loss", "5", "--delay", "20"]);
    let (address, json) = (address.to_string(), folder.file("bots.json"));
    let args = ["bots", &address, "--kcp", "--count", "20", "--seconds", "3", "--json", &json];
    let (code, told) = run(&args);
    assert_eq!(code, Some(0), "{told}");
    let text = fs::read_to_string(&json).expect("the result was written");
    let result: Value = serde_json::from_str(&text).expect("JSON");
    for trouble in ["lost", "duplicated", "out_of_order", "corrupted"] {
        assert_eq!(result["messages"][trouble], 0, "{result}");
    }
    assert_eq!(result["reconnects"], 0, "{result}");
    let median = result["latency_ms"]["p50"].as_f64().expect("a number");
    assert!((40.0..500.0).contains(&median), "{result}");

    let (code, told) = relay.stop();
    assert_eq!(code, Some(0), "{told}");
    let directions = told.lines().filter(|line| line.contains("(delay 20 ms, loss 5 %): "));
    for line in directions.clone() {
        let (sent, lost) = (count(line, " in,"), count(line, " lost"));
        let share = lost.expect(line) as f64 / sent.expect(line) as f64;
        assert!((0.03..0.07).contains(&share), "{line}");
    }
    assert_eq!(directions.count(), 2, "{told}");
    assert!(told.ends_with("\n20 clients"), "{told}");
}

#[test]
fn a_session_survives_a_path_that_is_cut_for_two_seconds() {
    let (_host, host) = Program::serve("127.0.0.1:0", &[]);
    let (mut relay, address) = Program::relay(host, &[]);
    let mut ann = Program::connect(address, "ann");
    ann.type_line("before");
    ann.wait_for("ann: before");
    relay.type_line("cut");
    relay.wait_for("up cut; down cut");
    ann.type_line("meanwhile");
    thread::sleep(Duration::from_secs(2));
    assert!(!ann.lines().iter().any(|line| line.contains("ann: meanwhile")));
    relay.type_line("heal");
    relay.wait_for_nth(2, "up clear; down clear");
    ann.wait_for("ann: meanwhile");
    ann.type_line("after");
    ann.wait_for("ann: after");
    let seen = events(&ann.lines());
    assert_eq!(seen, ["TransportConnected", "LoginStarted", "LoginSucceeded"]);
    relay.type_line("status");
    let told = relay.wait_for(" in, ");
    assert!(count(&told, " cut").is_some_and(|cut| cut > 0), "{told}");
}

#[test]
fn every_line_is_answered_by_one_and_nobody_has_to_type() {
    let (_host, host) = Program::serve("127.0.0.1:0", &[]);
    let (mut relay, address) = Program::relay(host, &["--up", "loss=0.5,burst=4"]);
    let first = relay.wait_for("relay on ");
    assert!(first.ends_with(": up loss 0.5 %, burst 4; down clear"), "{first}");
    let table = [
        ("up delay 100", "up delay 100 ms, loss 0.5 %, burst 4; down clear"),
        ("loss 5 burst 0", "up delay 100 ms, loss 5 %; down loss 5 %"),
        ("down loss 0", "up delay 100 ms, loss 5 %; down clear"),
        ("up cut", "up cut, delay 100 ms, loss 5 %; down clear"),
        ("heal", "up delay 100 ms, loss 5 %; down clear"),
        ("loss 60 burst 1", "! bursts of 1 can lose at most 50.0 %"),
        ("loss five", "! loss 'five': must be percent, 0 to 100, such as 5 or 0.5"),
        ("", "! nothing to do: try loss 5, up delay 100, cut, heal or status"),
        ("delay 0 loss 0", "up clear; down clear"),
        ("status", "up (clear): 0 in, 0 out; down (clear): 0 in, 0 out; 0 clients"),
    ];
    for (line, _) in table {
        relay.type_line(line);
    }
    relay.type_line("\u{1b}[2J");
    let last = relay.wait_for("there is no '");
    assert!(!last.contains(char::is_control), "{last:?}");
    assert!(last.ends_with("cut, heal, status; up or down before it"), "{last}");
    let lines = relay.lines();
    let answers: Vec<&str> = lines.iter().skip(1).map(String::as_str).collect();
    let expected: Vec<&str> = table.iter().map(|(_, answer)| *answer).chain([&*last]).collect();
    assert_eq!(answers, expected);

    relay.close_input();
    let mut ann = Program::connect(address, "ann");
    ann.type_line("still there?");
    ann.wait_for("ann: still there?");
    relay.signal(Signal::INT);
    let (code, told) = relay.finish();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("\nstopped\nup (clear): ") && told.ends_with("\n1 client"), "{told}");
}

#[test]
fn two_clients_of_one_relay_do_not_mix() {
    let (mut host, at) = Program::serve("127.0.0.1:0", &[]);
    let (mut relay, address) = Program::relay(at, &["--delay", "5"]);
    let mut ann = Program::connect(address, "ann");
    let mut bob = Program::connect(address, "bob");
    ann.type_line("I am ann");
    bob.type_line("I am bob");
    for user in [&mut ann, &mut bob] {
        user.wait_for("ann: I am ann");
        user.wait_for("bob: I am bob");
    }
    relay.type_line("status");
    relay.wait_for("; 2 clients");
    // The end of one is not the other's.
    ann.type_line("/quit");
    let (code, told) = ann.finish();
    assert_eq!(code, Some(0), "{told}");
    host.wait_for("ann LoggedIn -> Disconnected");
    bob.type_line("I am still bob");
    bob.wait_for("bob: I am still bob");
    let seen = events(&bob.lines());
    assert_eq!(seen, ["TransportConnected", "LoginStarted", "LoginSucceeded"]);
}
