//! One client and its one session: connect, log in, talk, leave.

mod support;

use moorline_link::{Reason, Refusal, RefusalCode, SendError};
use moorline_session::{ConnectError, DialerConfig, EventKind, Misplaced, ReconnectMode, State};
use support::{
    Answers, KNOWN, UNKNOWN, World, client_config, first, host_config, login, message, ms, secs,
};

/// As the memory transport writes it.
const LOGIN_ACCEPTED: u8 = 6;

#[test]
fn a_client_connects_logs_in_talks_and_leaves() {
    let mut world = World::new(1, host_config());
    let ann = world.add_client(client_config("ann"));
    assert_eq!(world.state(ann), State::Disconnected);
    world.connect(ann);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    let id = world.id_of(ann);
    world.send(ann, KNOWN);
    world.drive(ms(50));
    assert_eq!(world.host_messages, 1);
    let now = world.now;
    world.host_mut().send(now, id, message(KNOWN)).expect("taken");
    world.drive(ms(50));
    assert_eq!(world.clients[ann].messages, 1);
    assert_eq!(world.client(ann).session().received().count, 1);
    assert_eq!(world.client(ann).session().sent().bytes, 5);

    let now = world.now;
    world.client(ann).close(now);
    world.drive(ms(50));
    let life = [
        EventKind::TransportConnected,
        EventKind::LoginStarted,
        EventKind::LoginSucceeded,
        EventKind::Disconnected,
    ];
    assert_eq!(world.story(ann), life);
    assert_eq!(world.host_story(id), life);
    assert_eq!(world.end_of(id), Some(Reason::PeerLeft));
    let end = first(&world.clients[ann].events, EventKind::Disconnected);
    assert_eq!(end.reason, Some(Reason::Requested));
    assert!(world.host().sessions().is_empty());
}

#[test]
fn transport_up_is_not_logged_in() {
    let mut world = World::new(1, host_config());
    let ann = world.add_client(DialerConfig { login: None, ..client_config("ann") });
    world.connect(ann);
    world.drive(secs(1));
    assert_eq!(world.state(ann), State::TransportConnected);
    assert_eq!(world.session_of(ann).state(), State::TransportConnected);
    let now = world.now;
    assert_eq!(world.client(ann).send(now, message(KNOWN)), Err(SendError::NotUp));
    assert!(!world.client(ann).session().can_send_beat());

    world.client(ann).login(now, login("ann")).expect("a link is up");
    assert_eq!(world.state(ann), State::LoginPending);
    world.drive(secs(1));
    assert_eq!(world.state(ann), State::LoggedIn);
}

#[test]
fn a_login_failure_is_no_disconnect_and_keeps_its_reason() {
    let mut world = World::new(1, host_config());
    let no = Refusal::new(RefusalCode::BadCredentials, "wrong password");
    world.answers = Answers::No(no.clone());
    let ann = world.add_client(client_config("ann"));
    world.connect(ann);
    world.drive(secs(1));
    let reason = Reason::Refused(no);
    assert_eq!(world.state(ann), State::LoginFailed);
    assert_eq!(world.client(ann).session().failure(), Some(&reason));
    assert!(world.client(ann).session().link().is_some(), "the link is still up");
    assert_eq!(world.session_of(ann).state(), State::LoginFailed);
    assert_eq!(world.session_of(ann).failure(), Some(&reason));
    let event = first(&world.clients[ann].events, EventKind::LoginFailed);
    assert_eq!(event.reason, Some(reason));
    assert!(!world.story(ann).contains(&EventKind::Disconnected));

    world.answers = Answers::Yes;
    let now = world.now;
    world.client(ann).login(now, login("ann")).expect("it may try again");
    world.drive(secs(1));
    assert_eq!(world.state(ann), State::LoggedIn);
    assert_eq!(world.client(ann).session().failure(), None);
}

#[test]
fn login_success_while_disconnected_is_refused() {
    let mut world = World::new(1, host_config());
    world.answers = Answers::Later;
    let ann = world.add_client(client_config("ann"));
    world.connect(ann);
    world.drive(ms(100));
    let asked = world.asked[0];
    // The yes is under way while the client leaves.
    let now = world.now;
    world.host_mut().accept_login(now, asked, None, vec![]).expect("it waits");
    world.client(ann).close(now);
    world.drive(secs(1));
    assert_eq!(world.state(ann), State::Disconnected);
    assert!(!world.story(ann).contains(&EventKind::LoginSucceeded));
}

#[test]
fn login_success_without_a_login_is_refused_and_counted() {
    let mut world = World::new(1, host_config());
    world.add_client(DialerConfig { login: None, ..client_config("ann") });
    world.connect(0);
    world.drive(secs(1));
    let (now, at, host_at) = (world.now, world.clients[0].at, world.host_at);
    let mut accepted = vec![LOGIN_ACCEPTED];
    accepted.extend(world.net.last_conversation(at).expect("the client has sent"));
    accepted.extend([0; 8]);
    world.net.send(now, host_at, at, &accepted);
    world.drive(secs(1));
    assert_eq!(world.state(0), State::TransportConnected);
    assert_eq!(world.client(0).counters().misplaced, 1);
}

#[test]
fn connecting_twice_is_refused_and_changes_nothing() {
    let mut world = World::logged_in(&["ann"]);
    let (now, host_at) = (world.now, world.host_at);
    let again = world.client(0).connect(now, host_at);
    assert_eq!(again, Err(ConnectError::Misplaced(Misplaced::AlreadyConnected)));
    world.drive(secs(10));
    assert_eq!(world.state(0), State::LoggedIn);
    assert!(world.story(0).is_empty());
}

#[test]
fn logging_in_twice_is_refused_and_changes_nothing() {
    let mut world = World::logged_in(&["ann"]);
    let now = world.now;
    let again = world.client(0).login(now, login("ann"));
    assert_eq!(again, Err(Misplaced::AlreadyLoggedIn));
    assert_eq!(world.state(0), State::LoggedIn);
}

#[test]
fn stop_may_be_called_twice_and_connects_again_when_asked() {
    let mut world = World::logged_in(&["ann"]);
    let now = world.now;
    world.client(0).stop(now);
    world.client(0).stop(now);
    world.drive(secs(1));
    assert_eq!(world.story(0), [EventKind::Disconnected]);
    let end = first(&world.clients[0].events, EventKind::Disconnected);
    assert_eq!(end.reason, Some(Reason::Stopped));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
}

#[test]
fn messages_of_unknown_kinds_are_counted_and_dropped_on_the_client_too() {
    let mut world = World::logged_in(&["ann"]);
    let (now, id) = (world.now, world.id_of(0));
    world.host_mut().send(now, id, message(UNKNOWN)).expect("the transport takes any kind");
    world.host_mut().send(now, id, message(KNOWN)).expect("taken");
    world.drive(ms(100));
    assert_eq!(world.client(0).counters().unknown_kinds, 1);
    assert_eq!(world.clients[0].messages, 1, "the later message is unaffected");
}

#[test]
fn a_host_that_says_good_bye_is_not_redialed() {
    let mut world = World::logged_in(&["ann"]);
    let (now, id) = (world.now, world.id_of(0));
    world.host_mut().close(now, id, Reason::Evicted("cheating".into())).expect("there");
    world.drive(secs(30));
    assert_eq!(world.story(0), [EventKind::Disconnected]);
    let end = first(&world.clients[0].events, EventKind::Disconnected);
    let no = Refusal::new(RefusalCode::Evicted, "cheating");
    assert_eq!(end.reason, Some(Reason::Refused(no)));
    assert_eq!(world.client(0).counters().dials, 1);
}

#[test]
fn without_a_policy_of_its_own_a_client_comes_back_by_itself() {
    let policy = client_config("ann").reconnect;
    assert_eq!(policy.mode, ReconnectMode::Automatic);
    assert_eq!(policy.first_delay, secs(1));
}
