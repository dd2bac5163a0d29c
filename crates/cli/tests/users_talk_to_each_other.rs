//! What one user types, all users see, with the name of who typed it.

#![cfg(unix)]

mod common;

use common::{Program, run};
use rustix::process::Signal;

#[test]
fn words_are_relayed_to_everyone() {
    let (_host, address) = Program::serve("127.0.0.1:0", &[]);
    let mut ann = Program::connect(address, "ann");
    let mut bob = Program::connect(address, "bob");
    ann.type_line("hello bob");
    bob.wait_for("ann: hello bob");
    bob.type_line("hello \x1b[2J ann");
    ann.wait_for("bob: hello \\u{1b}[2J ann");
}

#[test]
fn words_that_were_piped_in_arrive_before_the_end() {
    let (_host, address) = Program::serve("127.0.0.1:0", &[]);
    let mut ann = Program::connect(address, "ann");
    let mut bob = Program::dial(address, "bob");
    (0..1_000).for_each(|number| bob.type_line(&format!("line {number}")));
    let (code, told) = bob.finish();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.ends_with(
        "LoggedIn -> Disconnected: Disconnected (closed by this side) [command: close]"
    ));
    ann.wait_for("bob: line 999");
    let lines = ann.lines();
    let heard: Vec<&String> = lines.iter().filter(|line| line.starts_with("bob: ")).collect();
    assert_eq!(heard.len(), 1_000);
    assert!(heard.iter().zip(0..).all(|(line, number)| **line == format!("bob: line {number}")));
}

#[test]
fn a_user_leaves_by_word_or_signal_and_the_host_hears_of_it() {
    let (mut host, address) = Program::serve("127.0.0.1:0", &[]);
    let mut ann = Program::connect(address, "ann");
    ann.type_line("/quit");
    let bob = Program::connect(address, "bob");
    bob.signal(Signal::INT);
    for (name, user) in [("ann", ann), ("bob", bob)] {
        host.wait_for(&format!("{name} LoggedIn -> Disconnected: Disconnected (the peer left)"));
        assert_eq!(user.finish().0, Some(0), "{name}");
    }
}

#[test]
fn heartbeats_are_shown_like_every_event_unless_they_are_not_wanted() {
    let (_host, address) = Program::serve("127.0.0.1:0", &[]);
    let mut ann = Program::connect(address, "ann");
    ann.wait_for("HeartbeatReceived");
    let address = address.to_string();
    let (code, told) = run(&["connect", &address, "--kcp", "--name", "bob", "--no-beats"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("LoginSucceeded") && !told.contains("Heartbeat"), "{told}");
}
