//! A host that is told to stop sends its users to another one, and they go there by themselves.

#![cfg(unix)]

mod common;

use std::fs;

use common::{Folder, Program, run};
use rustix::process::Signal;

#[test]
fn users_of_a_host_that_drains_meet_again_at_the_other_one() {
    let (old_folder, new_folder) = (Folder::new("drain-old"), Folder::new("drain-new"));
    let (new, to, key) = Program::serve_native(&new_folder, &[]);
    // Both hosts have one key: a client goes where it is known.
    for file in ["host.key", "host.key.pub"] {
        fs::copy(new_folder.file(file), old_folder.file(file)).expect("it is copied");
    }
    let (old, from, same) = Program::serve_native(&old_folder, &["--drain-to", &to.to_string()]);
    assert_eq!(same, key);
    let from = from.to_string();
    let connect = |name: &str| {
        let args = ["connect", &from, "--host-key", &key, "--name", name, "--no-beats"];
        let mut user = Program::start(&args);
        user.wait_for("LoginSucceeded");
        user
    };
    let (mut ann, mut bob) = (connect("ann"), connect("bob"));
    let (code, told) = old.stop();
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told.matches("Moved, try again in 0ns").count(), 2, "{told}");
    for user in [&mut ann, &mut bob] {
        user.wait_for(&format!("{to} (Moved"));
        user.wait_for("Resumed");
    }
    ann.type_line("here we are");
    bob.wait_for("ann: here we are");
    let (_, told) = new.stop();
    let without_a_gap = "LoggedIn: Resumed (handed over by another host) [";
    assert_eq!(told.matches(without_a_gap).count(), 2, "{told}");
    assert_eq!(told.matches("LoginStarted").count(), 0, "{told}");
}

#[test]
fn users_play_on_until_their_own_time() {
    let (old_folder, new_folder) = (Folder::new("drain-slow"), Folder::new("drain-late"));
    let (_new, to, _) = Program::serve_native(&new_folder, &[]);
    let to = to.to_string();
    let (old, from, key) =
        Program::serve_native(&old_folder, &["--drain-to", &to, "--drain-within", "3600"]);
    let from = from.to_string();
    let dial = |name: &str| {
        Program::start(&["connect", &from, "--host-key", &key, "--name", name, "--no-beats"])
    };
    let (mut ann, mut bob) = (dial("ann"), dial("bob"));
    ann.wait_for("LoginSucceeded");
    bob.wait_for("LoginSucceeded");
    old.signal(Signal::TERM);
    // Nobody new gets in any more.
    dial("cid").wait_for(&format!("{to} (Moved"));
    ann.type_line("still here");
    bob.wait_for("ann: still here");
    old.kill();
}

#[test]
fn a_host_does_not_send_its_users_to_itself() {
    let folder = Folder::new("drain-self");
    let (key, address) = (folder.file("host.key"), "127.0.0.1:7777");
    let (code, told) = run(&["serve", "--bind", address, "--key", &key, "--drain-to", address]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("is this host itself: name another one"), "{told}");
    assert!(!fs::exists(&key).expect("a folder"), "nothing was done before");
}
