//! A client that lost its host comes back by itself, as its policy says.

mod support;

use std::time::Duration;

use moorline_link::{Reason, RefusalCode, Time, Transport};
use moorline_session::{
    DialerConfig, DuplicatePolicy, Event, EventKind, HostConfig, Jitter, Limits, ReconnectMode,
    ReconnectPolicy, State,
};
use support::{KNOWN, World, client_config, first, host_config, ms, secs};

const WAY_BACK: [EventKind; 6] = [
    EventKind::TimedOut,
    EventKind::ReconnectScheduled,
    EventKind::ReconnectStarted,
    EventKind::TransportConnected,
    EventKind::LoginStarted,
    EventKind::LoginSucceeded,
];

fn with_policy(name: &str, policy: ReconnectPolicy) -> DialerConfig {
    DialerConfig { reconnect: policy, ..client_config(name) }
}

/// From each scheduling of an attempt to the attempt.
fn waits(events: &[Event]) -> Vec<Duration> {
    let at = |kind| events.iter().filter(move |event| event.kind == kind).map(|event| event.at);
    at(EventKind::ReconnectScheduled)
        .zip(at(EventKind::ReconnectStarted))
        .map(|(scheduled, started): (Time, Time)| started.since(scheduled))
        .collect()
}

#[test]
fn after_a_restart_of_the_host_every_client_is_back_by_itself() {
    let mut world = World::logged_in(&["ann", "bob", "cleo", "dan"]);
    world.drive(secs(3));
    let old = world.client(0).session().link().expect("logged in").link;
    world.kill_host();
    world.start_host();
    assert!(world.drive_until(secs(8), |world| !world.is_all_logged_in()), "they notice");
    assert!(world.drive_until(secs(8), World::is_all_logged_in), "and come back");
    for client in 0..4 {
        assert_eq!(world.story(client), WAY_BACK);
        assert!(world.client(client).take_fresh_ports(), "from new ports");
        assert!(!world.client(client).take_fresh_ports(), "told once");
    }
    assert_eq!(world.client(0).transport().stats(old), None, "the old link is forgotten");
    assert_eq!(world.host().sessions().count(State::LoggedIn), 4);
    world.drive(secs(20));
    assert!(world.is_all_logged_in(), "and stay");
}

#[test]
fn through_a_longer_outage_attempts_follow_the_policy() {
    let mut world = World::logged_in(&["ann"]);
    world.kill_host();
    world.drive(secs(40));
    let waited = waits(&world.clients[0].events);
    assert_eq!(waited[..4], [ms(1_000), ms(1_500), ms(2_250), ms(3_375)]);
    world.start_host();
    assert!(world.drive_until(secs(20), World::is_all_logged_in));
    let attempts = waits(&world.clients[0].events).len();
    assert_eq!(world.client(0).counters().dials, 1 + attempts as u64);
    let late = world.clients[0].events.iter().filter(|event| {
        event.kind == EventKind::ReconnectScheduled && event.from == State::Reconnecting
    });
    for event in late {
        assert_eq!(event.reason, Some(Reason::NoAnswer(secs(5))));
    }

    // Once logged in, the next loss starts from the first delay again.
    world.forget_events();
    world.kill_host();
    world.drive(secs(9));
    assert_eq!(waits(&world.clients[0].events)[0], secs(1));
}

#[test]
fn the_budget_of_attempts_ends_in_disconnected() {
    let policy = ReconnectPolicy { attempts_max: Some(2), ..client_config("ann").reconnect };
    let mut world = World::new(1, host_config());
    world.add_client(with_policy("ann", policy));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    world.forget_events();
    world.kill_host();
    world.drive(secs(60));
    let story = world.story(0);
    assert_eq!(story.iter().filter(|kind| **kind == EventKind::ReconnectStarted).count(), 2);
    assert_eq!(story.last(), Some(&EventKind::Disconnected));
    let end = first(&world.clients[0].events, EventKind::Disconnected);
    assert_eq!((end.to, &end.reason), (State::Disconnected, &Some(Reason::BudgetSpent)));
    assert_eq!(world.client(0).session().failure(), Some(&Reason::BudgetSpent));
    assert_eq!(world.client(0).poll_timeout(), None, "nothing is tried any more");

    // Until the application asks for it.
    world.start_host();
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
}

#[test]
fn the_budget_of_time_ends_in_disconnected() {
    let policy = ReconnectPolicy { time_max: Some(secs(20)), ..client_config("ann").reconnect };
    let mut world = World::new(1, host_config());
    world.add_client(with_policy("ann", policy));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    world.kill_host();
    world.drive(secs(60));
    let events = &world.clients[0].events;
    let end = first(events, EventKind::Disconnected);
    assert_eq!(end.reason, Some(Reason::BudgetSpent));
    let since = first(events, EventKind::ReconnectScheduled).at;
    assert!(end.at.since(since) <= secs(25), "the last attempt begins within the budget");
}

#[test]
fn a_full_hosts_retry_after_is_waited_for() {
    let limits = Limits { sessions_max: 1, ..Limits::default() };
    let mut world = World::new(1, HostConfig { limits, ..host_config() });
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    let bob = world.add_client(client_config("bob"));
    world.connect(bob);
    world.drive(ms(100));
    let told = first(&world.clients[bob].events, EventKind::ReconnectScheduled);
    let Some(Reason::Refused(refusal)) = &told.reason else { panic!("{told}") };
    assert_eq!((refusal.code, refusal.retry_after), (RefusalCode::Full, Some(secs(5))));
    assert_eq!((told.from, told.to), (State::Disconnected, State::ReconnectPending));
    let due = world.clients[bob].dialer.session().reconnect_at().expect("planned");
    assert_eq!(due.since(told.at), secs(6), "the host's 5 s, then the policy's own");
    world.drive(secs(20));
    assert!(world.host().counters().refused_full >= 2);

    let now = world.now;
    world.client(0).close(now);
    assert!(world.drive_until(secs(30), |world| world.state(bob) == State::LoggedIn));
}

#[test]
fn a_duplicate_waits_until_the_ghost_is_gone_and_then_takes_its_place() {
    let config = HostConfig { duplicate: DuplicatePolicy::Refuse, ..host_config() };
    let mut world = World::new(1, config);
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    let old = world.id_of(0);
    // The process dies, and its user starts it anew.
    world.restart_client(0);
    world.drive(ms(200));
    assert_eq!(world.state(0), State::ReconnectPending);
    let told = first(&world.clients[0].events, EventKind::LoginFailed);
    let Some(Reason::Refused(refusal)) = &told.reason else { panic!("{told}") };
    assert_eq!(refusal.code, RefusalCode::Duplicate);
    assert!(refusal.retry_after.is_some_and(|wait| wait <= secs(6)), "{refusal}");
    assert!(world.drive_until(secs(15), World::is_all_logged_in));
    assert_eq!(world.id_of(0), old, "back in the session that was kept");
    assert!(world.host().counters().refused_duplicates >= 1);
}

#[test]
fn in_manual_mode_nothing_is_dialed_until_the_application_asks() {
    let policy = ReconnectPolicy { mode: ReconnectMode::Manual, ..client_config("ann").reconnect };
    let mut world = World::new(1, host_config());
    world.add_client(with_policy("ann", policy));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    world.forget_events();
    world.kill_host();
    world.start_host();
    world.drive(secs(60));
    assert_eq!(world.story(0), [EventKind::TimedOut]);
    assert_eq!(world.state(0), State::TimedOut);
    assert_eq!(world.client(0).counters().dials, 1);

    let now = world.now;
    world.client(0).reconnect(now).expect("there is something to come back to");
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    assert_eq!(world.story(0), WAY_BACK);
}

#[test]
fn reconnect_does_not_wait_for_the_planned_attempt() {
    let mut world = World::logged_in(&["ann"]);
    world.kill_host();
    world.drive(secs(30));
    assert!(world.drive_until(secs(20), |world| world.state(0) == State::ReconnectPending));
    world.start_host();
    let now = world.now;
    world.client(0).reconnect(now).expect("waiting");
    assert!(world.drive_until(ms(200), World::is_all_logged_in));
    assert!(world.client(0).reconnect(now).is_err(), "there is nothing to come back to");
}

#[test]
fn a_first_connect_to_a_dead_address_is_retried_until_someone_is_there() {
    let mut world = World::new(1, host_config());
    world.kill_host();
    world.add_client(client_config("ann"));
    world.connect(0);
    world.drive(secs(8));
    assert_eq!(
        world.story(0),
        [EventKind::ReconnectScheduled, EventKind::ReconnectStarted],
        "no link was lost, so nothing timed out"
    );
    let scheduled = first(&world.clients[0].events, EventKind::ReconnectScheduled);
    assert_eq!(scheduled.from, State::Disconnected);
    assert_eq!(scheduled.reason, Some(Reason::NoAnswer(secs(5))));
    world.start_host();
    assert!(world.drive_until(secs(10), World::is_all_logged_in));
}

#[test]
fn a_first_connect_in_manual_mode_tells_that_it_failed() {
    let policy = ReconnectPolicy { mode: ReconnectMode::Manual, ..client_config("ann").reconnect };
    let mut world = World::new(1, host_config());
    world.kill_host();
    world.add_client(with_policy("ann", policy));
    world.connect(0);
    world.drive(secs(60));
    assert_eq!(world.story(0), [EventKind::Disconnected]);
    let end = first(&world.clients[0].events, EventKind::Disconnected);
    assert_eq!(end.reason, Some(Reason::NoAnswer(secs(5))));
}

#[test]
fn a_link_that_comes_up_on_a_host_that_then_falls_silent_is_given_up() {
    let mut world = World::new(1, host_config());
    world.answers = support::Answers::Later;
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), |world| world.state(0) == State::LoginPending));
    world.kill_host();
    world.drive(secs(8));
    let lost = first(&world.clients[0].events, EventKind::TimedOut);
    assert_eq!(lost.from, State::LoginPending);
    world.start_host();
    world.answers = support::Answers::Yes;
    assert!(world.drive_until(secs(20), World::is_all_logged_in));
}

#[test]
fn a_stopping_host_is_redialed_and_its_successor_is_found() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let now = world.now;
    world.host_mut().stop(now);
    world.drive(ms(100));
    world.kill_host();
    world.start_host();
    assert!(world.drive_until(secs(20), World::is_all_logged_in));
    assert!(!world.story(0).contains(&EventKind::TimedOut), "nobody had to notice by silence");
}

#[test]
fn who_hears_its_host_but_is_not_heard_is_told_and_comes_back() {
    let mut world = World::logged_in(&["ann"]);
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    world.net.cut_from(at);
    while world.host().sessions().by_id(ann).is_some_and(|session| session.link().is_some()) {
        let now = world.now;
        world.host_mut().send(now, ann, support::message(KNOWN)).expect("taken");
        world.drive(ms(500));
    }
    world.net.mend();
    assert!(world.drive_until(secs(10), World::is_all_logged_in));
    assert_eq!(world.id_of(0), ann);
    assert_eq!(world.story(0), WAY_BACK[1..], "it had no silence to notice");
}

/// A dial that is given up for another must not go on in the transport.
#[test]
fn reconnecting_while_a_dial_is_under_way_leaves_no_second_dial_behind() {
    let mut world = World::new(1, host_config());
    world.kill_host();
    world.add_client(client_config("ann"));
    world.connect(0);
    for _ in 0..3 {
        world.drive(ms(300));
        let now = world.now;
        let old = world.client(0).session().link().map(|link| link.link);
        world.client(0).reconnect(now).ok();
        let new = world.client(0).session().link().map(|link| link.link);
        if let Some(old) = old.filter(|_| old != new) {
            assert_eq!(world.client(0).transport().stats(old), None);
        }
    }
    world.start_host();
    assert!(world.drive_until(secs(20), World::is_all_logged_in));
    // A greeting that was under way has its time to log in, and no more.
    world.drive(secs(6));
    assert_eq!(world.host().sessions().len(), 1);
}

#[test]
fn with_jitter_a_herd_does_not_come_back_in_one_instant() {
    let mut world = World::new(1, host_config());
    for name in 0..50 {
        let jitter = ReconnectPolicy { jitter: Jitter::Full, ..ReconnectPolicy::default() };
        world.add_client(with_policy(&format!("user {name}"), jitter));
    }
    world.connect_all();
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    world.forget_events();
    world.kill_host();
    world.start_host();
    world.drive(secs(10));
    assert!(world.is_all_logged_in());
    let starts = world
        .clients
        .iter()
        .map(|client| first(&client.events, EventKind::ReconnectStarted).at.as_millis());
    let instants: std::collections::BTreeSet<u64> = starts.collect();
    assert!(instants.len() > 40, "{instants:?}");
}
