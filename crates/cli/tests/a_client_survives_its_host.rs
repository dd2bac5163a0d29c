//! A client whose host crashes or is stopped is back when the host is, on the same port.

#![cfg(unix)]

mod common;

use std::net::UdpSocket;

use common::{Program, events};

/// How every comeback ends. Attempts that came to nothing may be before it: a client that is quick
/// finds a host that is still stopping.
const COMEBACK: [&str; 5] = [
    "ReconnectScheduled",
    "ReconnectStarted",
    "TransportConnected",
    "LoginStarted",
    "LoginSucceeded",
];

#[test]
fn killed_and_started_again() {
    let (host, address) = Program::serve("127.0.0.1:0", &[]);
    let mut ann = Program::connect(address, "ann");
    host.kill();
    // Keeps the port for the new host, and is as silent as a machine without power.
    let silence = UdpSocket::bind(address).expect("the port is free");
    ann.type_line("anyone there?");
    ann.wait_for("ReconnectScheduled");
    drop(silence);
    let (mut host, _) = Program::serve(&address.to_string(), &[]);
    ann.wait_for_nth(2, "LoginSucceeded");
    host.wait_for("ann LoginPending -> LoggedIn");
    ann.type_line("back");
    ann.wait_for("ann: back");
    let seen = events(&ann.lines());
    assert_eq!(seen[3..5], ["TimedOut", "ReconnectScheduled"], "{seen:?}");
    assert!(seen.ends_with(&COMEBACK.map(str::to_owned)), "{seen:?}");
}

#[test]
fn stopped_and_started_again() {
    let (host, address) = Program::serve("127.0.0.1:0", &[]);
    let mut ann = Program::connect(address, "ann");
    let (code, told) = host.stop();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("LoggedIn -> Disconnected: Disconnected (stopped)"), "{told}");
    let farewell = ann.wait_for("ReconnectScheduled");
    assert!(farewell.contains("Stopping"), "{farewell}");
    let (_host, _) = Program::serve(&address.to_string(), &[]);
    // What is typed meanwhile waits for the login.
    ann.type_line("back");
    ann.wait_for("ann: back");
    let seen = events(&ann.lines());
    assert_eq!(seen[3], "ReconnectScheduled", "{seen:?}");
    assert!(seen.ends_with(&COMEBACK.map(str::to_owned)), "{seen:?}");
}
