//! A process that was not scheduled takes itself for the one that was away, not its peers.

mod support;

use moorline_link::Time;
use moorline_session::{EventKind, State};
use support::{Answers, Who, World, client_config, host_config, ms, secs};

#[test]
fn a29_a_host_that_slept_does_not_declare_its_peers_dead() {
    let mut world = World::logged_in(&["ann", "bob"]);
    world.drive(secs(3));
    // The clients sleep as well: a whole machine was suspended.
    for who in [Who::Host, Who::Client(0), Who::Client(1)] {
        world.sleep(who, secs(30));
    }
    world.drive(secs(60));
    assert!(world.is_all_logged_in());
    for client in 0..2 {
        assert!(world.story(client).is_empty());
        assert!(world.host_story(world.id_of(client)).is_empty());
        assert_eq!(world.client(client).counters().slept, 1);
    }
    assert_eq!(world.host().counters().slept, 1);
    let warned = |e: &moorline_session::Event| e.kind == EventKind::Degraded;
    assert!(!world.host_events.iter().any(warned), "no false warning either");
}

#[test]
fn a_host_that_slept_keeps_the_sessions_of_peers_that_go_on_beating() {
    let mut world = World::logged_in(&["ann"]);
    let ann = world.id_of(0);
    world.drive(secs(3));
    // Shorter than the client's own patience.
    world.sleep(Who::Host, secs(5));
    world.drive(secs(30));
    assert!(world.host_story(ann).is_empty());
    assert!(world.story(0).is_empty());
}

#[test]
fn a_host_that_slept_still_finds_out_who_is_really_gone() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let (ann, bob) = (world.id_of(0), world.id_of(1));
    world.drive(secs(3));
    let at = world.clients[0].at;
    world.net.cut(at);
    world.sleep(Who::Host, secs(30));
    world.sleep(Who::Client(1), secs(30));
    world.drive(secs(30));
    let woke_at = world.now;
    world.drive(secs(5));
    assert!(world.host_story(ann).is_empty(), "it may have been us");
    world.drive(secs(3));
    assert!(world.host_story(ann).contains(&EventKind::TimedOut));
    let lost = support::first(&world.host_events, EventKind::TimedOut);
    assert!(lost.at.since(woke_at) >= secs(6) - ms(100), "a whole timeout after waking");
    assert!(world.host_story(bob).is_empty());
}

#[test]
fn a29_a_client_that_slept_does_not_declare_its_host_dead() {
    let mut world = World::logged_in(&["ann", "bob"]);
    world.drive(secs(3));
    world.sleep(Who::Client(0), secs(5));
    world.drive(secs(30));
    assert!(world.story(0).is_empty());
    assert_eq!(world.client(0).counters().slept, 1);
    assert_eq!(world.client(1).counters().slept, 0);
}

/// Between waking and the new timeout it beats as always; one lost beat decides nothing.
#[test]
fn a_client_that_slept_goes_on_beating_while_it_waits_to_be_answered() {
    let mut world = World::logged_in(&["ann"]);
    world.drive(secs(3));
    for who in [Who::Host, Who::Client(0)] {
        world.sleep(who, secs(30));
    }
    world.drive(secs(29));
    world.forget_events();
    let host_at = world.host_at;
    world.net.cut(host_at);
    // The first beat after the sleep is lost.
    world.drive(secs(2));
    world.net.mend();
    world.drive(secs(10));
    let beats = world.clients[0].events.iter().filter(|e| e.kind == EventKind::HeartbeatSent);
    assert!(beats.count() >= 4);
    assert!(world.story(0).is_empty() && world.is_all_logged_in());
}

#[test]
fn who_was_logging_in_while_the_host_slept_has_time_to_finish() {
    let mut world = World::new(1, host_config());
    world.answers = Answers::Later;
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), |world| !world.asked.is_empty()));
    world.sleep(Who::Host, secs(30));
    world.sleep(Who::Client(0), secs(30));
    world.drive(secs(31));
    let (now, asked) = (world.now, world.asked[0]);
    world.host_mut().accept_login(now, asked, None, vec![]).expect("it is still there");
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
}

#[test]
fn a_kept_session_does_not_expire_while_the_host_sleeps() {
    let mut world = World::logged_in(&["ann"]);
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    world.net.cut(at);
    world.drive(secs(10));
    world.sleep(Who::Host, secs(60));
    world.drive(secs(59));
    world.net.mend();
    world.drive(secs(2));
    assert!(world.host().sessions().by_id(ann).is_some(), "its user could not come back");
}

#[test]
fn waking_late_where_nothing_was_due_is_no_sleep() {
    let mut world = World::logged_in(&["ann"]);
    let now = world.now;
    world.client(0).close(now);
    world.drive(secs(1));
    world.drive(secs(3_600));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    assert_eq!(world.host().counters().slept, 0);
    assert_eq!(world.client(0).counters().slept, 0);
}

#[test]
fn a_deadline_that_went_away_is_not_slept_through() {
    // What was due is not due any more, because the application closed the session; the next peer
    // comes much later.
    let mut world = World::logged_in(&["ann"]);
    let (now, ann) = (world.now, world.id_of(0));
    world.host_mut().close(now, ann, moorline_link::Reason::Requested).expect("there");
    world.drive(secs(100));
    world.connect(0);
    world.drive(secs(1));
    assert_eq!(world.host().counters().slept, 0);
    assert_eq!(world.client(0).counters().slept, 0);
}

#[test]
fn a29_a_clock_that_jumps_ahead_by_days_or_goes_back_breaks_nothing() {
    for jump in [secs(3_600), secs(30 * 86_400), secs(3_000 * 86_400)] {
        let mut world = World::logged_in(&["ann", "bob"]);
        world.drive(secs(3));
        let before = world.now;
        world.now = world.now + jump;
        world.drive(secs(60));
        assert!(world.is_all_logged_in(), "after a jump of {jump:?}");
        assert!(world.story(0).is_empty(), "{:?}", world.story(0));

        // Back, which no monotonic clock does: nothing is promised but that nothing breaks.
        world.now = before;
        let calls = (0..1_000).map(|step| before + ms(step));
        for now in calls.chain([Time::ZERO, Time::from_micros(u64::MAX), Time::ZERO]) {
            world.host_mut().handle_timeout(now);
            world.client(0).handle_timeout(now);
            while world.host_mut().poll_event().is_some() {}
            while world.client(0).poll_event().is_some() {}
            let _ = (world.host().poll_timeout(), world.client(0).poll_timeout());
        }
        assert_ne!(world.client(0).session().state(), State::TransportConnected);
    }
}
