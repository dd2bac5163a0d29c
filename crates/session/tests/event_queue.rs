//! Events: one bounded queue in order, and observers beside it.

mod support;

use moorline_link::memory::Memory;
use moorline_link::{Port, Time, Transport};
use moorline_session::{
    Event, EventKind, Host, HostConfig, HostEvent, Limits, SessionId, State, Watch,
};
use support::{World, client_config, first, host_config, ms, secs};

const HELLO: u8 = 1;

/// A host whose application takes events only when the test does, and `peers` that say hello.
fn slow_host(events_max: usize, peers: u8) -> Host<Memory> {
    let limits = Limits { events_max, ..Limits::default() };
    let config = HostConfig { limits, ..HostConfig::default() };
    let mut host = Host::new(config, vec![Memory::new(1)], 1).expect("a good config");
    for peer in 1..=peers {
        let from = format!("10.0.0.{peer}:1").parse().expect("an address");
        host.handle_datagram(Time::from_millis(5), (0, Port(0)), from, &[HELLO, 0, 0, 0, 0]);
    }
    host
}

fn drain(host: &mut Host<Memory>) -> Vec<Event> {
    std::iter::from_fn(|| host.poll_event())
        .filter_map(|event| match event {
            HostEvent::Session(event) => Some(event),
            _ => None,
        })
        .collect()
}

#[test]
fn a26_a_full_queue_stops_the_input_and_loses_nothing() {
    let mut host = slow_host(4, 10);
    assert!(host.is_backlogged());
    assert_eq!(host.sessions().len(), 4);
    let now = Time::from_millis(6);
    host.handle_timeout(now);
    assert_eq!(host.sessions().len(), 4, "nothing more was read");
    let mut events = Vec::new();
    for _ in 0..4 {
        events.extend(drain(&mut host));
        host.handle_timeout(now);
    }
    assert_eq!(events.len(), 10);
    assert!(events.iter().all(|event| event.kind == EventKind::TransportConnected));
    assert_eq!(host.sessions().len(), 10);
}

#[test]
fn what_was_left_because_of_the_backlog_is_due_as_soon_as_there_is_room() {
    let mut host = slow_host(4, 10);
    assert_eq!(host.poll_timeout(), None, "while it is full, the application is waited for");
    drain(&mut host);
    let due = host.poll_timeout().expect("the rest waits in the transport");
    assert!(due <= Time::from_millis(5), "{due}");
    for _ in 0..3 {
        host.handle_timeout(Time::from_millis(6));
        drain(&mut host);
    }
    let due = host.poll_timeout().expect("everyone has a time to log in");
    assert!(due > Time::from_millis(4_000), "nothing is left over: {due}");
}

#[test]
fn a26_a_full_queue_stops_the_timers_and_they_go_on_where_they_stopped() {
    let mut host = slow_host(4, 4);
    let late = Time::from_millis(5_100);
    host.handle_timeout(late);
    assert_eq!(host.sessions().len(), 4, "their time to log in is over, but nobody was told");
    let mut ends = Vec::new();
    for _ in 0..4 {
        ends.extend(drain(&mut host));
        host.handle_timeout(late);
    }
    ends.extend(drain(&mut host));
    assert_eq!(ends.iter().filter(|event| event.kind == EventKind::Disconnected).count(), 4);
    assert!(host.sessions().is_empty());
}

#[test]
fn stop_tells_of_every_session_even_when_the_queue_is_full() {
    let mut host = slow_host(4, 4);
    host.stop(Time::from_millis(7));
    let events = drain(&mut host);
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::Disconnected).count(), 4);
}

#[test]
fn events_say_who_what_from_to_when_and_why() {
    let mut world = World::logged_in(&["ann"]);
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    world.net.cut(at);
    world.drive(secs(8));
    let event = first(&world.host_events, EventKind::TimedOut);
    assert_eq!((event.session, event.from, event.to), (ann, State::LoggedIn, State::TimedOut));
    let shown = event.to_string();
    assert!(shown.contains(&ann.to_string()), "{shown}");
    let why = "LoggedIn -> TimedOut: TimedOut (nothing heard for 6s) [timer: silence]";
    assert!(shown.ends_with(why), "{shown}");
    let times: Vec<Time> = world.host_events.iter().map(|event| event.at).collect();
    assert!(times.is_sorted());
}

fn watch(world: &mut World, watch: Watch) -> Vec<(SessionId, EventKind)> {
    let now = world.now + ms(1);
    let observer = world.host_mut().observe(watch, now).expect("there is room");
    let ids: Vec<SessionId> = world.host().sessions().iter().map(|s| s.id()).collect();
    for id in ids {
        world.host_mut().close(now, id, moorline_link::Reason::Requested).expect("there");
    }
    let host = world.host_mut();
    std::iter::from_fn(|| host.poll_observed(observer)).map(|e| (e.session, e.kind)).collect()
}

#[test]
fn an_observer_of_all_sees_every_session_beside_the_queue() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let (ann, bob) = (world.id_of(0), world.id_of(1));
    let seen = watch(&mut world, Watch::All);
    assert_eq!(seen, [(ann, EventKind::Disconnected), (bob, EventKind::Disconnected)]);
    world.drive(ms(10));
    assert_eq!(world.host_story(ann), [EventKind::Disconnected], "the queue has them too");
}

#[test]
fn an_observer_of_one_session_sees_no_other() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let bob = world.id_of(1);
    assert_eq!(watch(&mut world, Watch::One(bob)), [(bob, EventKind::Disconnected)]);
}

#[test]
fn a26_a_slow_observer_loses_its_oldest_events_and_is_told_how_many() {
    let limits = Limits { observed_len_max: 3, observers_max: 2, ..Limits::default() };
    let mut world = World::new(1, HostConfig { limits, ..host_config() });
    let slow = world.host_mut().observe(Watch::All, Time::ZERO).expect("there is room");
    let other = world.host_mut().observe(Watch::All, Time::ZERO).expect("there is room");
    assert_eq!(world.host_mut().observe(Watch::All, Time::ZERO), None, "observers are bounded");
    world.add_client(client_config("ann"));
    world.connect(0);
    let mut seen = 0;
    world.drive_until(secs(20), |_| false);
    while world.host_mut().poll_observed(other).is_some() {
        seen += 1;
    }
    let told = world.host_events.len() as u64;
    assert!(told > 6);
    assert_eq!(seen, 3);
    assert_eq!(world.host().observer_missed(slow), told - 3);
    let newest = world.host_mut().poll_observed(slow).expect("three are left").at;
    assert!(newest >= world.host_events[world.host_events.len() - 3].at);

    world.host_mut().stop_observing(slow);
    assert_eq!(world.host_mut().poll_observed(slow), None);
    assert!(world.host_mut().observe(Watch::All, Time::ZERO).is_some(), "its place is free");
}

#[test]
fn a_quiet_host_has_nothing_to_do() {
    let world = World::new(1, host_config());
    assert_eq!(world.host().poll_timeout(), None);
    assert_eq!(world.host().transports()[0].name(), "memory");
}

/// What an observer who comes now is told of the time since `from`.
fn remembered(world: &mut World, watch: Watch, from: Time) -> Vec<EventKind> {
    let host = world.host_mut();
    let observer = host.observe(watch, from).expect("there is room");
    let kinds =
        std::iter::from_fn(|| host.poll_observed(observer)).map(|event| event.kind).collect();
    host.stop_observing(observer);
    kinds
}

#[test]
fn whoever_observes_later_is_told_what_happened_before_and_what_happens_from_then_on() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let ann = world.id_of(0);
    world.drive(secs(10));
    let observer = world.host_mut().observe(Watch::One(ann), Time::ZERO).expect("there is room");
    let now = world.now;
    world.host_mut().close(now, ann, moorline_link::Reason::Requested).expect("there");
    let host = world.host_mut();
    let story: Vec<_> =
        std::iter::from_fn(|| host.poll_observed(observer)).map(|event| event.kind).collect();
    let before =
        [EventKind::TransportConnected, EventKind::LoginStarted, EventKind::LoginSucceeded];
    assert_eq!(story, [&before[..], &[EventKind::Disconnected]].concat());
    assert_eq!(remembered(&mut world, Watch::One(ann), Time::ZERO), story, "though it ended");
    assert_eq!(remembered(&mut world, Watch::One(ann), now), [EventKind::Disconnected]);
    assert_eq!(world.host().forgotten_at(), None);
}

#[test]
fn what_is_remembered_is_bounded_and_what_is_forgotten_is_told() {
    let of = |history_max| {
        let limits = Limits { history_max, ..Limits::default() };
        let mut world = World::new(1, HostConfig { limits, ..host_config() });
        world.add_client(client_config("ann"));
        world.connect(0);
        world.drive(secs(1));
        world
    };
    let mut two = of(2);
    let kinds = remembered(&mut two, Watch::All, Time::ZERO);
    assert_eq!(kinds, [EventKind::LoginStarted, EventKind::LoginSucceeded]);
    let forgotten_at = two.host().forgotten_at().expect("the first event");
    assert!(forgotten_at <= two.now);
    let mut none = of(0);
    assert_eq!(remembered(&mut none, Watch::All, Time::ZERO), []);
    assert!(none.host().forgotten_at().is_some());
}
