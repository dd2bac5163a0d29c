//! The native protocol from the command line: keys, sessions, and both protocols on one host.

#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Folder, Program, run};

#[test]
fn a_key_is_made_once_and_lets_in_who_knows_it() {
    let folder = Folder::new("known");
    let (host, address, key) = Program::serve_native(&folder, &[]);
    let secret = fs::metadata(folder.file("host.key")).expect("it was written");
    assert_eq!(secret.permissions().mode() & 0o777, 0o600);
    let public = folder.file("host.key.pub");
    assert_eq!(fs::read_to_string(&public).expect("it was written").trim(), key);

    let address = address.to_string();
    let connect = ["connect", &address, "--name", "ann"];
    for way in [["--host-key", &key], ["--host-key-file", &public]] {
        let (code, told) = run(&[&connect[..], &way].concat());
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("LoginSucceeded"), "{told}");
    }
    drop(host);
    let (_host, _, again) = Program::serve_native(&folder, &[]);
    assert_eq!(again, key, "a restart keeps the key");
}

#[test]
fn who_has_another_hosts_key_is_not_answered() {
    let (folder, other) = (Folder::new("this"), Folder::new("other"));
    let (_host, address, _) = Program::serve_native(&folder, &[]);
    let (_other, _, key) = Program::serve_native(&other, &[]);
    let address = address.to_string();
    let mut ann = Program::start(&["connect", &address, "--name", "ann", "--host-key", &key]);
    ann.wait_for("no answer within");
    assert!(ann.lines().iter().all(|line| !line.contains("LoginSucceeded")));
}

#[test]
fn both_protocols_serve_one_table_of_sessions() {
    let folder = Folder::new("both");
    let args = ["--kcp", "127.0.0.1:0", "--max-sessions", "2"];
    let (mut host, native, key) = Program::serve_native(&folder, &args);
    let told = host.wait_for("(kcp, plaintext)");
    let kcp = told.split(' ').find_map(|word| word.parse().ok()).expect("an address");
    let native = native.to_string();
    let mut ann = Program::start(&["connect", &native, "--name", "ann", "--host-key", &key]);
    ann.wait_for("LoginSucceeded");
    let mut bob = Program::connect(kcp, "bob");
    ann.type_line("hello bob");
    bob.wait_for("ann: hello bob");
    bob.type_line("hello ann");
    ann.wait_for("bob: hello ann");
    let mut eve = Program::start(&["connect", &native, "--name", "eve", "--host-key", &key]);
    eve.wait_for("the host is full (Full, try again in 5s)");
    let mut double = Program::start(&["connect", &native, "--name", "bob", "--host-key", &key]);
    double.wait_for("the host is full");
}

#[test]
fn bots_lose_nothing_through_a_relay_that_does() {
    let folder = Folder::new("relayed");
    let (_host, address, key) = Program::serve_native(&folder, &[]);
    let shaping = ["--loss", "5", "--dup", "2", "--reorder", "2", "--delay", "10", "--seed", "7"];
    let (_relay, relayed) = Program::relay(address, &shaping);
    let relayed = relayed.to_string();
    let bots = ["bots", &relayed, "--host-key", &key, "--count", "20", "--seconds", "3"];
    let (code, told) = run(&bots);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("received, 0 lost, 0 duplicated, 0 out of order"), "{told}");
}
