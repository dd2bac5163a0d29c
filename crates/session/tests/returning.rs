//! A host keeps the session of a user it lost, and gives it back to them.

mod support;

use moorline_link::{Identity, Reason};
use moorline_session::{EventKind, HostConfig, Phase, Session, State};
use support::{World, host_config, ms, secs};

#[test]
fn a_lost_user_is_back_in_the_kept_session_by_logging_in() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let (ann, bob, at) = (world.id_of(0), world.id_of(1), world.clients[0].at);
    world.net.cut(at);
    assert!(world.drive_until(secs(8), |world| {
        let session = world.host().sessions().by_id(ann);
        session.is_some_and(|session| session.state() == State::ReconnectPending)
    }));
    let kept = world.host().sessions().by_id(ann).expect("kept");
    assert!(kept.link().is_none());
    assert_eq!(kept.phase(), Phase::Alive, "the warning ended with what it warned of");
    assert!(kept.reconnect_at().is_some_and(|until| until > world.now + secs(29)));
    world.net.mend();
    assert!(world.drive_until(secs(10), World::is_all_logged_in));

    assert_eq!(world.id_of(0), ann, "the same session");
    assert_eq!(
        world.host_story(ann),
        [
            EventKind::TimedOut,
            EventKind::ReconnectScheduled,
            EventKind::ReconnectStarted,
            EventKind::TransportConnected,
            EventKind::LoginStarted,
            EventKind::LoginSucceeded,
        ]
    );
    let asking =
        world.host_events.iter().map(|event| event.session).find(|id| ![ann, bob].contains(id));
    let asking = asking.expect("another session carried the login");
    assert_eq!(
        world.host_story(asking),
        [EventKind::TransportConnected, EventKind::LoginStarted, EventKind::Disconnected]
    );
    assert_eq!(world.end_of(asking), Some(Reason::ReturnedToKept));
    assert!(world.host().sessions().by_id(asking).is_none());
    assert!(world.host_story(bob).is_empty());
    assert_eq!(world.host().sessions().len(), 2);

    // And it lives on as any other.
    world.send(0, support::KNOWN);
    world.drive(secs(20));
    assert_eq!((world.host_messages, world.session_of(0).state()), (1, State::LoggedIn));
}

#[test]
fn a_session_whose_user_does_not_come_back_expires() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    world.net.cut(at);
    world.drive(secs(45));
    assert_eq!(world.end_of(ann), Some(Reason::KeepExpired(secs(30))));
    let name = Identity::new("ann").expect("a name");
    assert_eq!(world.host().sessions().by_identity(&name).count(), 0);
    let when = |kind| support::first(&world.host_events, kind).at;
    let kept_for = when(EventKind::Disconnected).since(when(EventKind::ReconnectScheduled));
    assert!(kept_for >= secs(30) && kept_for < secs(31), "{kept_for:?}");

    // Whoever comes after that is new.
    world.net.mend();
    assert!(world.drive_until(secs(30), World::is_all_logged_in));
    assert_ne!(world.id_of(0), ann);
}

#[test]
fn with_a_keep_of_zero_a_lost_session_ends_at_once() {
    let config = HostConfig { keep_time: ms(0), ..host_config() };
    let mut world = World::new(1, config);
    world.add_client(support::client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    world.forget_events();
    world.net.cut(at);
    world.drive(secs(10));
    assert_eq!(world.host_story(ann), [EventKind::TimedOut, EventKind::Disconnected]);
    assert_eq!(world.end_of(ann), Some(Reason::Silence(secs(6))));
    assert!(world.host().sessions().is_empty());
}

#[test]
fn who_leaves_with_a_good_bye_is_not_kept() {
    let mut world = World::logged_in(&["ann"]);
    let (now, ann) = (world.now, world.id_of(0));
    world.client(0).close(now);
    world.drive(ms(100));
    assert_eq!(world.host_story(ann), [EventKind::Disconnected]);
    assert!(world.host().sessions().is_empty());
}

#[test]
fn a_session_that_was_never_logged_in_is_not_kept() {
    let mut world = World::new(1, host_config());
    world.answers = support::Answers::Later;
    world.add_client(support::client_config("ann"));
    world.connect(0);
    world.drive(ms(100));
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    world.net.cut(at);
    world.drive(secs(10));
    assert!(world.host().sessions().by_id(ann).is_none());
    assert!(!world.host_story(ann).contains(&EventKind::ReconnectScheduled));
}

#[test]
fn a_kept_session_can_be_closed_by_the_application() {
    let mut world = World::logged_in(&["ann"]);
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    world.net.cut(at);
    world.drive(secs(8));
    let now = world.now;
    world.host_mut().close(now, ann, Reason::Requested).expect("it is kept");
    world.drive(secs(60));
    assert_eq!(world.end_of(ann), Some(Reason::Requested));
    assert_eq!(world.host().sessions().iter().map(Session::id).count(), 0);
}

#[test]
fn a_user_is_lost_and_back_many_times_under_one_id() {
    let mut world = World::logged_in(&["ann"]);
    let (ann, at) = (world.id_of(0), world.clients[0].at);
    for _ in 0..10 {
        world.net.cut(at);
        world.drive(secs(9));
        world.net.mend();
        assert!(world.drive_until(secs(10), World::is_all_logged_in));
        assert_eq!(world.id_of(0), ann);
    }
    assert_eq!(world.host().sessions().len(), 1);
}
