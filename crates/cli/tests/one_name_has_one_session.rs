//! When one name logs in twice, `--duplicate` says which of the two wins.

#![cfg(unix)]

mod common;

use common::{Program, events};

#[test]
fn a37_refuse_keeps_the_one_who_is_there() {
    let (_host, address) = Program::serve("127.0.0.1:0", &["--duplicate", "refuse"]);
    let mut first = Program::connect(address, "ann");
    let mut second = Program::dial(address, "ann");
    let refused = second.wait_for("LoginFailed");
    assert!(refused.contains("Duplicate"), "{refused}");
    first.type_line("still here");
    first.wait_for("ann: still here");
    assert_eq!(events(&second.lines())[..3], ["TransportConnected", "LoginStarted", "LoginFailed"]);
}

#[test]
fn supersede_lets_in_the_one_who_comes() {
    let (_host, address) = Program::serve("127.0.0.1:0", &["--duplicate", "supersede"]);
    let mut first = Program::connect(address, "ann");
    let mut second = Program::connect(address, "ann");
    let farewell = first.wait_for("LoggedIn -> Disconnected");
    assert!(farewell.contains("Superseded"), "{farewell}");
    assert_eq!(first.finish().0, Some(1), "it was not its user who ended it");
    second.type_line("my turn");
    second.wait_for("ann: my turn");
}

#[test]
fn a_number_lets_so_many_of_one_name_in() {
    let (_host, address) = Program::serve("127.0.0.1:0", &["--duplicate", "2"]);
    let mut first = Program::connect(address, "ann");
    let mut second = Program::connect(address, "ann");
    let refused = Program::dial(address, "ann").wait_for("LoginFailed");
    assert!(refused.contains("Duplicate"), "{refused}");
    first.type_line("both here");
    second.wait_for("ann: both here");
}
