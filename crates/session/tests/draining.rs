//! A host that drains sends everyone elsewhere, spread over time, and lets nobody in any more.

mod support;

use std::collections::BTreeSet;

use moorline_link::{Reason, RefusalCode};
use moorline_session::{EventKind, Redirect, State};
use support::{World, client_config, first, ms, secs};

#[test]
fn everyone_is_told_where_to_go_and_each_at_another_time() {
    let mut world = World::logged_in(&["ann", "bob", "cid", "dan"]);
    world.forget_events();
    let to = "192.0.2.9:9000".parse().expect("an address");
    let now = world.now;
    world.host_mut().drain(now, Redirect { to, within: secs(30) });
    world.drive(ms(500));
    assert!(world.host().sessions().is_empty());
    let mut waits = BTreeSet::new();
    for client in 0..4 {
        let told = first(&world.clients[client].events, EventKind::ReconnectScheduled);
        let Some(Reason::Refused(refusal)) = &told.reason else { panic!("{told}") };
        assert_eq!((refusal.code, refusal.moved_to()), (RefusalCode::Moved, Some(to)));
        waits.extend(refusal.retry_after);
    }
    assert_eq!(waits.len(), 4, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= secs(30)));
}

/// A transport on which anyone can claim to be the host leads nobody away, and who comes to a host
/// that drains is sent on again.
#[test]
fn over_a_transport_that_knows_no_hosts_nobody_follows_and_nobody_gets_in() {
    let mut world = World::logged_in(&["ann"]);
    let late = world.add_client(client_config("late"));
    let to = "192.0.2.9:9000".parse().expect("an address");
    let now = world.now;
    world.host_mut().drain(now, Redirect { to, within: ms(100) });
    world.connect(late);
    world.forget_events();
    // The clients of this world send to its host only, or it panics.
    world.drive(secs(3));
    assert!(world.host().sessions().is_empty());
    for client in [0, late] {
        assert!(matches!(world.state(client), State::ReconnectPending | State::Reconnecting));
    }
}
