//! A host with a state file is killed or stopped and started again: nobody logs in.

#![cfg(unix)]

mod common;

use common::{Folder, Program, events};

/// What a client sees of it, after it was logged in.
const COMEBACK: [&str; 4] =
    ["ReconnectScheduled", "ReconnectStarted", "TransportConnected", "Resumed"];

fn user(host: &str, key: &str, name: &str) -> Program {
    let args = ["connect", host, "--host-key", key, "--name", name, "--no-beats"];
    let mut user = Program::start(&args);
    user.wait_for("LoginSucceeded");
    user
}

#[test]
fn killed_or_stopped_and_started_again() {
    let folder = Folder::new("state");
    let (state, key_file) = (folder.file("state"), folder.file("host.key"));
    let (host, address, key) = Program::serve_native(&folder, &["--state", &state]);
    let address = address.to_string();
    let again = ["serve", "--bind", &address, "--key", &key_file, "--state", &state];
    let (mut ann, mut bob) = (user(&address, &key, "ann"), user(&address, &key, "bob"));
    let before = ann.lines().len();

    host.kill();
    let mut host = Program::start(&again);
    host.wait_for("ann Disconnected -> ReconnectPending: ReconnectScheduled (the host was started");
    for user in [&mut ann, &mut bob] {
        let gap = "0 ReliableOrdered and 0 ReliableUnordered messages may be lost";
        let why = "the host does not know this link any more";
        user.wait_for(&format!("LoggedIn: Resumed ({why}): {gap}"));
    }
    assert_eq!(events(&ann.lines()[before..]), COMEBACK);
    let nobody_knows = "nobody knows how many messages may be lost";
    host.wait_for(&format!(
        "ann TransportConnected -> LoggedIn: Resumed (the host was started again): {nobody_knows}"
    ));
    bob.type_line("still here");
    ann.wait_for("bob: still here");

    let (code, told) = host.stop();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("LoginStarted"), "nobody logs in: {told}");
    let mut host = Program::start(&again);
    host.wait_for("bob TransportConnected -> LoggedIn: Resumed");
    ann.wait_for_nth(2, "LoggedIn: Resumed");
    ann.type_line("and again");
    bob.wait_for("ann: and again");
    assert!(!host.lines().iter().any(|line| line.contains("LoginStarted")));
}

#[test]
fn a_state_file_of_no_use_is_told_in_a_line_and_left_alone() {
    let folder = Folder::new("no-state");
    let (state, key_file) = (folder.file("state"), folder.file("host.key"));
    std::fs::write(&state, "a diary").expect("it can be written");
    let args = ["serve", "--bind", "127.0.0.1:0", "--key", &key_file, "--state", &state];
    let (code, told) = Program::start(&args).finish();
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("it is something else: name another"), "{told}");
    assert_eq!(std::fs::read(&state).expect("it is there"), b"a diary");
}
