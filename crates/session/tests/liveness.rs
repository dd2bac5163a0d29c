//! What counts as a sign of life, and what follows when there is none.

mod support;

use moorline_link::{Reason, Time};
use moorline_session::{DialerConfig, EventKind, HostConfig, LivenessPolicy, Phase, State};
use support::{KNOWN, UNKNOWN, World, client_config, first, host_config, ms, secs};

/// A client that never beats within a test.
fn mute(name: &str) -> DialerConfig {
    let liveness = LivenessPolicy {
        beat_interval: secs(1_000),
        timeout: secs(2_000),
        degraded_after: secs(2_000),
        ..LivenessPolicy::default()
    };
    DialerConfig { liveness, ..client_config(name) }
}

/// A logged-in client that sends nothing by itself; its one beat after the login is over.
fn mute_world() -> World {
    let mut world = World::new(1, host_config());
    world.add_client(mute("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    world.drive(ms(100));
    world
}

#[test]
fn the_defaults_are_those_that_existing_peers_expect() {
    let policy = LivenessPolicy::default();
    assert_eq!((policy.beat_interval, policy.timeout), (secs(2), secs(6)));
}

#[test]
fn before_the_login_any_traffic_counts_as_liveness() {
    // Time to log in is no matter here.
    let mut config = host_config();
    config.limits.login_time = secs(1_000);
    let mut world = World::new(1, config);
    world.add_client(DialerConfig { login: None, ..mute("ann") });
    world.connect(0);
    world.drive(secs(1));
    let id = world.id_of(0);
    for _ in 0..10 {
        // Nothing of use, each too rare to do without the other.
        forge(&mut world, &[BEAT]);
        world.drive(ms(3_500));
        forge(&mut world, &[BEAT_ANSWER]);
        world.drive(ms(3_500));
    }
    assert_eq!(
        world.host().sessions().by_id(id).map(|s| s.state()),
        Some(State::TransportConnected)
    );
    world.drive(secs(7));
    assert!(world.host().sessions().by_id(id).is_none(), "and silence ends it");
    assert_eq!(world.end_of(id), Some(Reason::Silence(secs(6))));
}

/// Words of the session layer, as the memory transport writes them.
const LOGIN: u8 = 5;
const BEAT: u8 = 8;
const BEAT_ANSWER: u8 = 9;

/// Says something in the name of the only client that it would not say now.
fn forge(world: &mut World, tags: &[u8]) {
    let (now, at, host_at) = (world.now, world.clients[0].at, world.host_at);
    let conversation = world.net.last_conversation(at).expect("the client has sent");
    for tag in tags {
        let mut frame = vec![*tag];
        frame.extend(conversation);
        frame.extend([0; 12]);
        world.net.send(now, at, host_at, &frame);
    }
}

#[test]
fn after_the_login_messages_of_unknown_kinds_do_not_keep_a_session_alive() {
    let mut world = mute_world();
    let id = world.id_of(0);
    for _ in 0..6 {
        world.send(0, UNKNOWN);
        world.drive(secs(1));
    }
    world.drive(ms(200));
    assert!(world.host_story(id).contains(&EventKind::TimedOut));
    assert_eq!(world.host().counters().unknown_kinds, 6);
}

#[test]
fn after_the_login_accepted_messages_keep_a_session_alive() {
    let mut world = mute_world();
    let id = world.id_of(0);
    for _ in 0..10 {
        world.send(0, KNOWN);
        world.drive(secs(3));
    }
    assert_eq!(world.session_of(0).id(), id);
    assert_eq!(world.session_of(0).state(), State::LoggedIn);
}

#[test]
fn after_the_login_bare_signs_and_misplaced_logins_do_not_keep_a_session_alive() {
    let mut world = mute_world();
    let id = world.id_of(0);
    for _ in 0..7 {
        forge(&mut world, &[LOGIN, BEAT_ANSWER]);
        world.drive(secs(1));
    }
    assert!(world.host_story(id).contains(&EventKind::TimedOut));
    let counters = world.host().counters();
    assert!(counters.logins_misplaced >= 6 && counters.controls_misplaced >= 6, "{counters:?}");
}

#[test]
fn a_timeout_gives_timed_out_and_reconnect_pending_in_the_same_evaluation() {
    let mut world = World::logged_in(&["ann"]);
    let id = world.id_of(0);
    let host_at = world.host_at;
    world.net.cut(host_at);
    assert!(world.drive_until(secs(7), |world| world.state(0) == State::ReconnectPending));
    let events = &world.clients[0].events;
    let lost = first(events, EventKind::TimedOut);
    let next = first(events, EventKind::ReconnectScheduled);
    assert_eq!((lost.from, lost.to), (State::LoggedIn, State::TimedOut));
    assert_eq!((next.from, next.to), (State::TimedOut, State::ReconnectPending));
    assert_eq!(lost.at, next.at);
    assert_eq!(lost.reason, Some(Reason::Silence(secs(6))));
    let due = world.clients[0].dialer.session().reconnect_at().expect("it is planned");
    assert_eq!(due, next.at + secs(1), "the policy's delay");

    // When the delay is over: an attempt.
    assert!(world.drive_until(secs(2), |world| world.state(0) == State::Reconnecting));
    assert_eq!(first(&world.clients[0].events, EventKind::ReconnectStarted).at, due);

    // And on the host, the same words: kept for the user.
    let lost = first(&world.host_events, EventKind::TimedOut);
    let kept = first(&world.host_events, EventKind::ReconnectScheduled);
    assert_eq!((lost.session, lost.at), (id, kept.at));
    assert_eq!((kept.from, kept.to), (State::TimedOut, State::ReconnectPending));
}

#[test]
fn silence_is_found_after_the_timeout_and_not_much_later() {
    let mut world = World::logged_in(&["ann", "bob"]);
    world.drive(secs(5));
    let heard_at = world.session_of(0).heard_at();
    let at = world.clients[0].at;
    world.net.cut(at);
    world.drive(secs(10));
    let lost = first(&world.host_events, EventKind::TimedOut).at;
    assert!(lost.since(heard_at) >= secs(6), "not early");
    assert!(lost.since(heard_at) < secs(6) + ms(300), "{:?}", lost.since(heard_at));
}

#[test]
fn missing_beats_warn_before_they_end_anything_and_traffic_ends_the_warning() {
    let mut world = World::logged_in(&["ann"]);
    world.drive(ms(500));
    let at = world.clients[0].at;
    world.net.cut(at);
    assert!(world.drive_until(secs(5), |world| world.session_of(0).phase() == Phase::Degraded));
    assert!(world.drive_until(secs(1), |world| {
        world.clients[0].dialer.session().phase() == Phase::Degraded
    }));
    assert_eq!(world.state(0), State::LoggedIn);
    world.net.mend();
    world.drive(secs(2));
    for events in [&world.clients[0].events, &world.host_events] {
        let back = first(events, EventKind::Recovered);
        assert!(back.at > first(events, EventKind::Degraded).at);
        assert_eq!(back.to, State::LoggedIn);
    }
    assert_eq!(world.session_of(0).phase(), Phase::Alive);
    assert!(world.story(0).is_empty(), "nothing else happened");
}

#[test]
fn a_warning_comes_once_however_long_the_silence() {
    let mut world = World::logged_in(&["ann"]);
    let host_at = world.host_at;
    world.net.cut(host_at);
    world.drive(secs(20));
    let count = |events: &[moorline_session::Event]| {
        events.iter().filter(|event| event.kind == EventKind::Degraded).count()
    };
    assert_eq!((count(&world.host_events), count(&world.clients[0].events)), (1, 1));
}

#[test]
fn intervals_of_zero_are_refused_when_the_host_or_client_is_made() {
    let zero = LivenessPolicy { timeout: ms(0), ..LivenessPolicy::default() };
    let config = HostConfig { liveness: zero.clone(), ..HostConfig::default() };
    let memory = || moorline_link::memory::Memory::new(1);
    assert!(moorline_session::Host::new(config, vec![memory()], 1).is_err());
    let config = DialerConfig { liveness: zero, ..DialerConfig::default() };
    let error = moorline_session::Dialer::new(Time::ZERO, config, memory(), 1).expect_err("zero");
    assert_eq!(error.to_string(), "liveness.timeout must be longer than zero");
}

/// A world of clients with regular beats, under such a policy on both sides.
fn beating(policy: &LivenessPolicy) -> World {
    let mut world = World::new(1, HostConfig { liveness: policy.clone(), ..host_config() });
    let liveness = policy.clone();
    world.add_client(DialerConfig { liveness, ..client_config("ann") });
    world.connect(0);
    world.drive(secs(60));
    assert_eq!(world.state(0), State::LoggedIn);
    world
}

/// How long after the path was cut both sides know.
fn found_lost(mut world: World) -> [std::time::Duration; 2] {
    let (cut_at, at, id) = (world.now, world.clients[0].at, world.id_of(0));
    world.net.cut(at);
    world.drive(secs(30));
    let host = world.host_events.iter().find(|event| {
        event.session == id && event.kind == EventKind::TimedOut && event.at > cut_at
    });
    let client = world.clients[0].events.iter().find(|event| event.kind == EventKind::TimedOut);
    [host, client].map(|event| event.expect("it is noticed").at.since(cut_at))
}

#[test]
fn a_peer_of_regular_beats_is_found_lost_sooner_by_an_adaptive_policy() {
    let fixed = LivenessPolicy::new(ms(500), secs(10));
    let adaptive = LivenessPolicy::adaptive(ms(500), ms(800), secs(10));
    for time in found_lost(beating(&fixed)) {
        assert!((secs(9)..secs(11)).contains(&time), "{time:?}");
    }
    for time in found_lost(beating(&adaptive)) {
        assert!((ms(300)..ms(1_600)).contains(&time), "{time:?}");
    }
}

#[test]
fn a_peer_of_irregular_beats_is_given_more_time_by_an_adaptive_policy() {
    // Most gaps are those of one beat, many of two and some of three.
    let lost = |policy: &LivenessPolicy| {
        let mut world = beating(policy);
        world.net.loss_permille = 250;
        world.drive(secs(300));
        let events = world.host_events.iter();
        events.filter(|event| event.kind == EventKind::TimedOut).count()
    };
    let hasty = lost(&LivenessPolicy::new(ms(500), ms(1_200)));
    let adaptive = lost(&LivenessPolicy::adaptive(ms(500), ms(1_200), secs(10)));
    assert!(hasty > 10, "a fixed timeout as short is wrong all the time: {hasty}");
    assert!(adaptive * 5 < hasty, "{adaptive} instead of {hasty}");
}
