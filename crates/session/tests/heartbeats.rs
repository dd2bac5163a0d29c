//! Heartbeats measure; they decide nothing.

mod support;

use moorline_session::{EventKind, State};
use support::{World, client_config, host_config, ms, secs};

#[test]
fn a_heartbeat_updates_liveness_round_trip_and_tick_and_never_the_state() {
    let mut world = World::logged_in(&["ann"]);
    world.net.delay = ms(40);
    world.host_mut().set_server_tick(2_000_500);
    let heard_at = world.session_of(0).heard_at();
    world.drive(secs(5));
    let dialer = &world.clients[0].dialer;
    assert_eq!(dialer.round_trip().last(), Some(ms(80)));
    assert_eq!(dialer.clock().newest_tick(), Some(2_000_500));
    assert!(dialer.session().beat_sent_at().is_some());
    assert!(world.session_of(0).heard_at() > heard_at);
    let beats = &world.clients[0].events;
    assert!(beats.iter().all(|event| event.from == State::LoggedIn && event.to == State::LoggedIn));
    let count = |kind| beats.iter().filter(|event| event.kind == kind).count();
    assert!((2..=4).contains(&count(EventKind::HeartbeatSent)));
    assert!((2..=4).contains(&count(EventKind::HeartbeatReceived)));
}

#[test]
fn the_clock_keeps_the_newest_tick_and_refuses_older_ones() {
    let mut world = World::logged_in(&["ann"]);
    world.host_mut().set_server_tick(2_000_000);
    world.drive(secs(3));
    world.host_mut().set_server_tick(1_500_000);
    world.drive(secs(3));
    let clock = world.clients[0].dialer.clock();
    assert_eq!(clock.newest_tick(), Some(2_000_000));
    assert!(clock.refused() >= 1);
}

#[test]
fn without_a_tick_of_its_own_the_host_tells_its_milliseconds() {
    let mut world = World::logged_in(&["ann"]);
    world.drive(secs(5));
    let now = i64::try_from(world.now.as_millis()).expect("small");
    let clock = world.clients[0].dialer.clock();
    let guess = clock.tick_at(world.now, ms(1)).expect("it had samples");
    assert!((now - guess).abs() <= 1, "{guess} for {now}");
    assert!(clock.offset_micros(ms(1)).expect("a sample").abs() <= 1_000, "both clocks are one");
}

#[test]
fn the_tick_of_the_login_is_the_first_sample() {
    let mut world = World::new(1, host_config());
    world.host_mut().set_server_tick(77);
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    assert_eq!(world.clients[0].dialer.clock().newest_tick(), Some(77));
}

#[test]
fn a_restarted_host_may_count_from_zero_again() {
    let mut world = World::logged_in(&["ann"]);
    world.host_mut().set_server_tick(9_000_000);
    world.drive(secs(3));
    world.kill_host();
    world.start_host();
    world.host_mut().set_server_tick(5);
    world.drive(secs(20));
    let dialer = &world.clients[0].dialer;
    assert_eq!(
        (dialer.session().state(), dialer.clock().newest_tick()),
        (State::LoggedIn, Some(5))
    );
}

#[test]
fn beats_before_the_login_are_counted_and_not_answered() {
    let mut world = World::new(1, host_config());
    world.answers = support::Answers::Later;
    world.add_client(client_config("ann"));
    world.connect(0);
    world.drive(ms(500));
    let (now, at, host_at) = (world.now, world.clients[0].at, world.host_at);
    let mut beat = vec![8];
    beat.extend(world.net.last_conversation(at).expect("the client has sent"));
    beat.extend([0; 4]);
    world.net.send(now, at, host_at, &beat);
    world.drive(ms(500));
    assert_eq!(world.host().counters().beats_before_login, 1);
    assert_eq!(world.state(0), State::LoginPending);
    assert_eq!(world.client(0).counters().misplaced, 0);
}
