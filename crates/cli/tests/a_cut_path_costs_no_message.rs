//! A path that is cut for longer than any silence is borne: the session goes on where it stopped,
//! without a login, and what was typed meanwhile arrives once.

#![cfg(unix)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{Folder, Program, story};

/// Longer than a silence is borne, and shorter than a session is kept.
const CUT: Duration = Duration::from_secs(20);

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
