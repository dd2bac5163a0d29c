//! Processes that are stopped, and a path that is cut, for longer than any silence is borne: the
//! sessions go on where they stopped, without a login, and what was sent meanwhile arrives once.

#![cfg(unix)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, Program, story};
use rustix::process::Signal;

/// Longer than the timeout, shorter than a session is kept.
const SLEEP: Duration = Duration::from_secs(9);

fn pair(folder: &Folder) -> (Program, Program, Program) {
    let (host, address, key) = Program::serve_native(folder, &[]);
    let address = address.to_string();
    let connect = |name: &str| {
        let args = ["connect", &address, "--host-key", &key, "--name", name, "--no-beats"];
        let mut user = Program::start(&args);
        user.wait_for("LoginSucceeded");
        user
    };
    let (ann, bob) = (connect("ann"), connect("bob"));
    (host, ann, bob)
}

/// It was lost, and went on without a login and without a gap.
fn assert_back(told: &str, slept: bool) {
    let lines: Vec<String> = told.lines().map(str::to_owned).collect();
    let begun = ["TransportConnected", "LoginStarted", "LoginSucceeded"];
    // Who slept itself learns from the host that it is not heard of any more.
    let lost: &[&str] = if slept { &[] } else { &["TimedOut"] };
    let back = ["ReconnectScheduled", "ReconnectStarted", "TransportConnected", "Resumed"];
    let expected = [&begun, lost, &back, &["Disconnected"]].concat();
    assert_eq!(story(&lines), expected, "{told}");
    assert!(!told.contains("may be lost"), "{told}");
}

#[test]
fn a_client_that_was_stopped_gets_what_was_said_meanwhile() {
    let folder = Folder::new("stopped-client");
    let (mut host, mut ann, mut bob) = pair(&folder);
    ann.signal(Signal::STOP);
    bob.type_line("are you there?");
    thread::sleep(SLEEP);
    host.wait_for("ann LoggedIn -> TimedOut");
    ann.signal(Signal::CONT);
    ann.wait_for("Resumed");
    bob.type_line("good morning");
    ann.wait_for("bob: good morning");
    assert_back(&ann.stop().1, true);
}

#[test]
fn a_host_that_was_stopped_has_its_sessions_still() {
    let folder = Folder::new("stopped-host");
    let (host, mut ann, mut bob) = pair(&folder);
    host.signal(Signal::STOP);
    ann.type_line("is it only me?");
    thread::sleep(SLEEP);
    host.signal(Signal::CONT);
    ann.wait_for("Resumed");
    bob.wait_for("ann: is it only me?");
    ann.wait_for("ann: is it only me?");
    for user in [ann, bob] {
        assert_back(&user.stop().1, false);
    }
}

/// Longer than a silence is borne, and shorter than a session is kept.
const CUT: Duration = Duration::from_secs(20);

/// What a user is told whose path is cut, and then heals.
const STORY: [&str; 9] = [
    "TransportConnected",
    "LoginStarted",
    "LoginSucceeded",
    "TimedOut",
    "ReconnectScheduled",
    "ReconnectStarted",
    "TransportConnected",
    "Resumed",
    "Disconnected",
];

#[test]
fn words_that_were_typed_into_a_dead_path_arrive_once_and_in_order() {
    let folder = Folder::new("cut-path");
    let (host, address, key) = Program::serve_native(&folder, &[]);
    let (mut relay, relayed) = Program::relay(address, &[]);
    let to = relayed.to_string();
    let args = ["connect", &to, "--host-key", &key, "--name", "ann", "--no-beats"];
    let mut ann = Program::start(&args);
    ann.wait_for("LoginSucceeded");
    ann.type_line("before");
    ann.wait_for("ann: before");
    relay.type_line("cut");
    relay.wait_for("up cut; down cut");
    let cut_at = Instant::now();
    for word in ["one", "two", "three"] {
        ann.type_line(word);
        thread::sleep(Duration::from_millis(2_500));
    }
    ann.wait_for("TimedOut");
    ann.type_line("four");
    thread::sleep(CUT.saturating_sub(cut_at.elapsed()));
    relay.type_line("heal");
    ann.wait_for("Resumed");
    ann.type_line("five");
    ann.wait_for("ann: five");
    let told = ann.stop().1;
    let words: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("ann: ")).collect();
    assert_eq!(words, ["before", "one", "two", "three", "four", "five"], "{told}");
    let lines: Vec<String> = told.lines().map(str::to_owned).collect();
    assert_eq!(story(&lines), STORY, "{told}");
    assert!(!told.contains("may be lost"), "{told}");
    let (_, told) = host.stop();
    assert!(told.contains("Resumed"), "{told}");
}
