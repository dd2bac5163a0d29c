//! A user proves again who they are, while the session goes on.

mod support;

use moorline_link::{Identity, Reason, Refusal, RefusalCode, SendError};
use moorline_session::{EventKind, LoggedIn, Session, State};
use support::{Answers, World, client_config, host_config, login, ms, secs};

/// What was told of logins that were made again.
fn again(story: &[EventKind]) -> Vec<EventKind> {
    let is_again = |kind: &&EventKind| {
        matches!(
            kind,
            EventKind::ReauthAsked
                | EventKind::ReauthStarted
                | EventKind::Reauthenticated
                | EventKind::ReauthFailed
        )
    };
    story.iter().filter(is_again).copied().collect()
}

fn host_told(world: &World) -> Vec<EventKind> {
    again(&world.host_story(world.id_of(0)))
}

fn ask(world: &mut World, within: std::time::Duration) {
    let (now, id) = (world.now, world.id_of(0));
    world.host_mut().ask_login(now, id, within).expect("ann is logged in");
}

const ASKED_AND_DONE: [EventKind; 3] =
    [EventKind::ReauthAsked, EventKind::ReauthStarted, EventKind::Reauthenticated];
const ASKED_AND_FAILED: [EventKind; 3] =
    [EventKind::ReauthAsked, EventKind::ReauthStarted, EventKind::ReauthFailed];

#[test]
fn a_user_who_is_asked_logs_in_again_and_stays() {
    let mut world = World::logged_in(&["ann"]);
    let id = world.id_of(0);
    ask(&mut world, secs(10));
    world.drive(secs(60));
    assert_eq!(again(&world.story(0)), ASKED_AND_DONE);
    assert_eq!(host_told(&world), ASKED_AND_DONE);
    assert_eq!((world.id_of(0), world.state(0)), (id, State::LoggedIn));
    let kinds = world.host_story(id);
    assert!(!kinds.contains(&EventKind::Disconnected), "no reconnect: {kinds:?}");
}

#[test]
fn who_is_refused_stays_until_the_time_is_over() {
    let mut world = World::logged_in(&["ann"]);
    let id = world.id_of(0);
    world.answers = Answers::No(Refusal::new(RefusalCode::BadCredentials, "expired"));
    ask(&mut world, secs(10));
    world.drive(secs(9));
    assert_eq!(again(&world.story(0)), ASKED_AND_FAILED);
    assert_eq!(host_told(&world), ASKED_AND_FAILED);
    assert_eq!(world.state(0), State::LoggedIn, "it goes on");
    world.drive(secs(2));
    assert_eq!(world.end_of(id), Some(Reason::LoginDeadline(secs(10))));
}

#[test]
fn who_is_refused_may_come_with_better_credentials_in_time() {
    let mut world = World::logged_in(&["ann"]);
    world.answers = Answers::No(Refusal::new(RefusalCode::BadCredentials, "expired"));
    ask(&mut world, secs(10));
    world.drive(secs(5));
    world.answers = Answers::Yes;
    let now = world.now;
    world.client(0).login_again(now, login("ann")).expect("ann is logged in");
    world.drive(secs(60));
    assert_eq!(host_told(&world)[3..], ASKED_AND_DONE[1..]);
    assert_eq!(world.state(0), State::LoggedIn);
}

#[test]
fn a_user_may_log_in_again_without_being_asked() {
    let mut world = World::logged_in(&["ann"]);
    let now = world.now;
    world.client(0).login_again(now, login("ann")).expect("ann is logged in");
    world.drive(secs(1));
    assert_eq!(again(&world.story(0)), ASKED_AND_DONE[1..]);
    assert_eq!(host_told(&world), ASKED_AND_DONE[1..]);
}

#[test]
fn a_session_does_not_change_hands() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let now = world.now;
    world.client(0).login_again(now, login("bob")).expect("ann is logged in");
    world.drive(secs(1));
    assert_eq!(again(&world.story(0)), ASKED_AND_FAILED[1..]);
    let name = world.session_of(0).identity().map(ToString::to_string);
    assert_eq!((name.as_deref(), world.state(0)), (Some("ann"), State::LoggedIn));
}

#[test]
fn the_application_may_answer_later_and_once() {
    let mut world = World::logged_in(&["ann"]);
    let id = world.id_of(0);
    world.answers = Answers::Later;
    world.asked.clear();
    ask(&mut world, secs(10));
    world.drive(secs(1));
    // A second one while the first is thought about is not another question.
    let now = world.now;
    assert_eq!(world.client(0).login_again(now, login("ann")), Err(SendError::Full));
    assert_eq!(world.asked, [id]);
    let ann = Identity::new("ann").expect("a name");
    let accepted = world.host_mut().accept_login(now, id, Some(ann), vec![]);
    assert_eq!(accepted, Ok(LoggedIn::Again(id)));
    assert!(world.host_mut().accept_login(now, id, None, vec![]).is_err(), "it was answered");
    world.drive(secs(20));
    assert_eq!(host_told(&world), ASKED_AND_DONE);
}

#[test]
fn a_user_who_comes_back_by_a_login_has_logged_in_again() {
    let mut world = World::logged_in(&["ann"]);
    let id = world.id_of(0);
    world.answers = Answers::Later;
    ask(&mut world, secs(40));
    world.drive(secs(1));
    world.restart_client(0);
    world.answers = Answers::Yes;
    assert!(world.drive_until(secs(35), |world| world.state(0) == State::LoggedIn));
    world.drive(secs(60));
    assert_eq!(world.state(0), State::LoggedIn, "nothing is open between them any more");
    assert!(world.host().sessions().iter().all(|session| session.state() == State::LoggedIn));
    assert_ne!(world.end_of(id), Some(Reason::LoginDeadline(secs(40))));
}

#[test]
fn nobody_is_asked_who_is_not_logged_in() {
    let mut world = World::new(1, host_config());
    world.answers = Answers::Later;
    let ann = world.add_client(client_config("ann"));
    world.connect(ann);
    world.drive(ms(100));
    let (now, id) = (world.now, world.host().sessions().iter().map(Session::id).next());
    let id = id.expect("she asked");
    assert_eq!(world.host_mut().ask_login(now, id, secs(1)), Err(SendError::NotUp));
    assert_eq!(world.client(0).login_again(now, login("ann")), Err(SendError::NotUp));
}
