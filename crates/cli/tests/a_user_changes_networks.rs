//! A user whose address changes under a running program stays in the same session.

#![cfg(target_os = "linux")]

mod common;

use common::{Folder, Network, Program};

/// A host's network and a user's, with a cable between them.
fn two_networks() -> [Network; 2] {
    let hosts = Network::new();
    let users = hosts.neighbour();
    hosts.ip(&format!("link add cable type veth peer name cable netns {}", users.pid()));
    for (network, address) in [(&hosts, "10.77.0.1/24"), (&users, "10.77.0.2/24")] {
        network.ip("link set lo up");
        network.ip(&format!("address add {address} dev cable"));
        network.ip("link set cable up");
    }
    [hosts, users]
}

#[test]
fn a_user_whose_address_changes_goes_on_in_the_same_link() {
    let [hosts, users] = two_networks();
    let folder = Folder::new("networks");
    let key = folder.file("host.key");
    let bind = ["serve", "--bind", "10.77.0.1:7777", "--key", &key, "--json"];
    let mut host = Program::start_in(&hosts, &bind);
    host.wait_for("listening");
    let public = folder.file("host.key.pub");
    let connect = |network: &Network, name: &str| {
        let known = ["--host-key-file", &public, "--name", name, "--no-beats"];
        let mut user =
            Program::start_in(network, &[&["connect", "10.77.0.1:7777"], &known[..]].concat());
        user.wait_for("LoginSucceeded");
        user
    };
    let (mut bob, mut ann) = (connect(&hosts, "bob"), connect(&users, "ann"));
    ann.type_line("from home");
    bob.wait_for("ann: from home");

    users.ip("address del 10.77.0.2/24 dev cable");
    users.ip("address add 10.77.0.3/24 dev cable");
    ann.type_line("from the train");
    bob.wait_for("ann: from the train");
    let moved = host.wait_for("AddressChanged");
    assert!(moved.contains("\"address\":\"10.77.0.3:"), "{moved}");
    bob.type_line("have a good trip");
    ann.wait_for("bob: have a good trip");

    let told = ann.lines().join("\n");
    assert!(!told.contains("Reconnect"), "{told}");
    let (_, told) = host.stop();
    for kind in ["LoginStarted", "TimedOut", "Resumed", "ContinuityLost", "AddressChanged"] {
        let expected = match kind {
            "LoginStarted" => 2,
            "AddressChanged" => 1,
            _ => 0,
        };
        assert_eq!(told.matches(&format!("\"kind\":\"{kind}\"")).count(), expected, "{told}");
    }
}
