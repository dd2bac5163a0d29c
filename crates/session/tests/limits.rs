//! What strangers and peers can cost has a limit, and a counter for when it is reached.

mod support;

use moorline_link::memory::Memory;
use moorline_link::{Port, Reason, RefusalCode, Time};
use moorline_session::{
    ConfigError, DuplicatePolicy, EventKind, Host, HostConfig, HostEvent, Limits, State,
};
use support::{World, client_config, first, host_config, ms, secs};

fn with_limits(limits: Limits) -> World {
    World::new(1, HostConfig { limits, ..host_config() })
}

#[test]
fn there_are_never_more_sessions_than_allowed() {
    let mut world = with_limits(Limits { sessions_max: 3, ..Limits::default() });
    for name in 0..10 {
        world.add_client(client_config(&format!("user {name}")));
    }
    world.connect_all();
    world.drive(ms(200));
    assert_eq!(world.host().sessions().len(), 3);
    assert_eq!(world.host().counters().refused_full, 7);
    let turned_away = (0..10).find(|client| world.state(*client) != State::LoggedIn);
    let events = &world.clients[turned_away.expect("seven of them")].events;
    let told = first(events, EventKind::ReconnectScheduled);
    let Some(Reason::Refused(refusal)) = &told.reason else { panic!("{told}") };
    assert_eq!((refusal.code, &*refusal.text), (RefusalCode::Full, "the host is full"));
}

#[test]
fn kept_sessions_count_as_sessions() {
    let mut world = with_limits(Limits { sessions_max: 1, ..Limits::default() });
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    let at = world.clients[0].at;
    world.net.cut(at);
    world.drive(secs(8));
    let bob = world.add_client(client_config("bob"));
    world.connect(bob);
    world.drive(ms(200));
    assert_eq!(world.host().counters().refused_full, 1);
}

#[test]
fn one_address_has_only_so_many_sessions() {
    let mut world = with_limits(Limits { sessions_per_address_max: 2, ..Limits::default() });
    for (index, name) in ["ann", "bob", "cleo", "dan"].into_iter().enumerate() {
        let client = world.add_client(client_config(name));
        // All but the last live behind one address.
        let ip = if index < 3 { "10.9.9.9" } else { "10.9.9.8" };
        world.clients[client].at = format!("{ip}:{}", 5_000 + index).parse().expect("an address");
    }
    world.connect_all();
    world.drive(ms(200));
    let states = [0, 1, 2, 3].map(|client| world.state(client));
    let (inside, out) = (State::LoggedIn, State::ReconnectPending);
    assert_eq!(states, [inside, inside, out, inside]);
    assert_eq!(world.host().counters().refused_address, 1);
    let now = world.now;
    world.client(0).close(now);
    assert!(world.drive_until(secs(20), |world| world.state(2) == State::LoggedIn));
}

/// Peers were let in, and others as well, before their links came up.
#[test]
fn those_who_were_let_in_at_one_moment_cannot_exceed_the_limit() {
    let limits = Limits { sessions_max: 2, events_max: 1, ..Limits::default() };
    let config = HostConfig { limits, ..HostConfig::default() };
    let mut host = Host::new(config, vec![Memory::new(1)], 1).expect("a good config");
    let now = Time::from_millis(5);
    for peer in 1..=9 {
        let from = format!("10.0.0.{peer}:1").parse().expect("an address");
        // The application is behind, so that what the transport tells is left there.
        host.handle_datagram(now, (0, Port(0)), from, &[1, 0, 0, 0, 0]);
    }
    for _ in 0..20 {
        while host.poll_event().is_some() {}
        host.handle_timeout(now);
        assert!(host.sessions().len() <= 2);
    }
    assert_eq!(host.counters().refused_full, 7);
}

#[test]
fn who_was_let_in_before_the_stop_and_comes_up_after_it_is_turned_away() {
    let limits = Limits { events_max: 1, ..Limits::default() };
    let config = HostConfig { limits, ..HostConfig::default() };
    let mut host = Host::new(config, vec![Memory::new(1)], 1).expect("a good config");
    let now = Time::from_millis(5);
    for peer in 1..=3 {
        let from = format!("10.0.0.{peer}:1").parse().expect("an address");
        host.handle_datagram(now, (0, Port(0)), from, &[1, 0, 0, 0, 0]);
    }
    host.stop(now);
    for _ in 0..9 {
        while host.poll_event().is_some() {}
        host.handle_timeout(now);
    }
    assert!(host.sessions().is_empty());
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let make = |config| Host::new(config, vec![Memory::new(1)], 1).map(drop);
    let text = |result: Result<(), ConfigError>| result.expect_err("senseless").to_string();
    let no_sessions = Limits { sessions_max: 0, ..Limits::default() };
    let config = HostConfig { limits: no_sessions, ..HostConfig::default() };
    assert_eq!(text(make(config)), "limits.sessions_max must be more than zero");
    let config = HostConfig { duplicate: DuplicatePolicy::Allow(0), ..HostConfig::default() };
    assert!(text(make(config)).starts_with("duplicate must allow"));
    assert!(make(HostConfig::default()).is_ok());
}

#[test]
fn garbage_from_strangers_makes_no_session() {
    let mut world = World::logged_in(&["ann"]);
    let (now, host_at) = (world.now, world.host_at);
    let stranger = "10.6.6.6:6".parse().expect("an address");
    let mut rng = moorline_link::rng::Rng::new(6);
    for len in 0..500 {
        let mut bytes: Vec<u8> = (0..len % 64).map(|_| rng.below(256) as u8).collect();
        if let Some(tag) = bytes.first_mut() {
            *tag = (*tag).max(2);
        }
        world.net.send(now, stranger, host_at, &bytes);
    }
    world.drive(secs(1));
    assert_eq!(world.host().sessions().len(), 1);
    assert!(world.host().transport_counters()[0].value >= 500, "each is counted");
    assert!(world.is_all_logged_in());
}

/// A user logs in by hand-made frames of the memory transport.
fn log_in(host: &mut Host<Memory>, now: Time, from: &str, user: u8) {
    let from = from.parse().expect("an address");
    host.handle_datagram(now, (0, Port(0)), from, &[1, user, 0, 0, 0]);
    let login = [5, user, 0, 0, 0, 2, 0, 0, 0, b'a' + user / 26, b'a' + user % 26];
    host.handle_datagram(now, (0, Port(0)), from, &login);
    let asked = std::iter::from_fn(|| host.poll_event()).find_map(|event| match event {
        HostEvent::Login { session, .. } => Some(session),
        _ => None,
    });
    host.accept_login(now, asked.expect("it asked"), None, vec![]).expect("it waits");
}

/// Long enough for everybody who says nothing to be lost.
fn wait(host: &mut Host<Memory>, now: Time) -> Time {
    let end = now + secs(7);
    let mut now = now;
    while now < end {
        now = now + ms(100);
        host.handle_timeout(now);
        while host.poll_event().is_some() {}
    }
    now
}

fn host_with(limits: Limits) -> Host<Memory> {
    let config = HostConfig { limits, ..HostConfig::default() };
    Host::new(config, vec![Memory::new(1)], 1).expect("a good config")
}

#[test]
fn those_who_left_cannot_keep_out_those_who_come() {
    let mut host = host_with(Limits { kept_max: 10, ..Limits::default() });
    for user in 0..30 {
        log_in(&mut host, Time::from_millis(5), &format!("10.0.0.1:{}", 1 + user), user);
    }
    wait(&mut host, Time::from_millis(5));
    assert_eq!(host.sessions().count(State::ReconnectPending), 10);
    assert_eq!(host.sessions().len(), 10, "the ones that were kept for longest made room");
    let ended: Vec<_> = host.ended().map(|counter| (counter.name, counter.value)).collect();
    assert_eq!(ended, [("ended_evicted", 20)]);
}

#[test]
fn of_one_address_no_more_sessions_are_kept_than_it_may_have() {
    let mut host = host_with(Limits { sessions_per_address_max: 5, ..Limits::default() });
    let mut now = Time::from_millis(5);
    for users in [0..5, 5..10] {
        for user in users {
            log_in(&mut host, now, &format!("10.0.0.1:{}", 1 + user), user);
        }
        now = wait(&mut host, now);
        assert_eq!(host.sessions().count(State::ReconnectPending), 5);
    }
    log_in(&mut host, now, "10.0.0.2:1", 20);
    wait(&mut host, now);
    assert_eq!(host.sessions().count(State::ReconnectPending), 6, "others have their own");
}
