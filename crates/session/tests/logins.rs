//! Logins: asked, answered now or later, refused, or out of time.

mod support;

use moorline_link::{Reason, Refusal, RefusalCode};
use moorline_session::{
    AnswerError, DialerConfig, Event, EventKind, LoggedIn, Login, Misplaced, Session, State,
};
use support::{Answers, KNOWN, World, client_config, first, host_config, login, ms, secs};

/// A client that waits for the answer to its login.
fn waiting() -> World {
    let mut world = World::new(1, host_config());
    world.answers = Answers::Later;
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), |world| !world.asked.is_empty()));
    world
}

#[test]
fn a_login_may_be_answered_later() {
    let mut world = waiting();
    world.drive(ms(4_500));
    assert_eq!(world.state(0), State::LoginPending);
    let (now, asked) = (world.now, world.asked[0]);
    let yes = world.host_mut().accept_login(now, asked, None, vec![]);
    assert_eq!(yes, Ok(LoggedIn::New(asked)));
    assert!(world.drive_until(ms(100), World::is_all_logged_in));
    world.drive(secs(20));
    assert!(world.is_all_logged_in(), "its time to log in is no matter any more");
    let warned = |event: &Event| event.kind == EventKind::Degraded;
    assert!(!world.host_events.iter().any(warned), "the time to answer is not held against it");
}

#[test]
fn a_login_that_is_answered_twice_is_a_typed_error() {
    let mut world = waiting();
    let (now, asked) = (world.now, world.asked[0]);
    world.host_mut().accept_login(now, asked, None, vec![]).expect("it waits");
    let twice = AnswerError::Misplaced(Misplaced::AlreadyLoggedIn);
    let no = Refusal::new(RefusalCode::Banned, "no");
    assert_eq!(world.host_mut().accept_login(now, asked, None, vec![]), Err(twice));
    assert_eq!(world.host_mut().refuse_login(now, asked, no), Err(twice));
    world.drive(secs(1));
    assert!(world.is_all_logged_in());
}

#[test]
fn a_login_that_was_refused_cannot_be_accepted_any_more() {
    let mut world = waiting();
    let (now, asked) = (world.now, world.asked[0]);
    let no = Refusal::new(RefusalCode::BadCredentials, "no");
    world.host_mut().refuse_login(now, asked, no).expect("it waits");
    let late = world.host_mut().accept_login(now, asked, None, vec![]);
    assert_eq!(late, Err(AnswerError::Misplaced(Misplaced::NoLogin)));
    world.drive(ms(100));
    assert_eq!(world.state(0), State::LoginFailed);
}

#[test]
fn a_login_that_is_answered_too_late_is_a_typed_error() {
    let mut world = waiting();
    world.drive(secs(6));
    let (now, asked) = (world.now, world.asked[0]);
    assert_eq!(world.end_of(asked), Some(Reason::LoginDeadline(secs(5))));
    let late = world.host_mut().accept_login(now, asked, None, vec![]);
    assert_eq!(late, Err(AnswerError::NoSession(asked)));
    let text = late.expect_err("late").to_string();
    assert_eq!(text, format!("session {asked} is gone, its login needs no answer"));
    let end = first(&world.clients[0].events, EventKind::ReconnectScheduled);
    let Some(Reason::Refused(refusal)) = &end.reason else { panic!("{end}") };
    assert_eq!(refusal.code, RefusalCode::TooSlow, "the client is told why, and tries again");
}

#[test]
fn a_login_of_a_session_that_was_removed_is_a_typed_error() {
    let mut world = waiting();
    let (now, asked) = (world.now, world.asked[0]);
    world.host_mut().close(now, asked, Reason::Requested).expect("there");
    let gone = world.host_mut().accept_login(now, asked, None, vec![]);
    assert_eq!(gone, Err(AnswerError::NoSession(asked)));
}

#[test]
fn a8_the_time_to_log_in_is_absolute_and_traffic_does_not_extend_it() {
    let mut world = World::new(1, host_config());
    let no = Refusal::new(RefusalCode::Other(100), "not yet");
    world.answers = Answers::No(no);
    world.add_client(client_config("ann"));
    world.connect(0);
    world.drive(ms(100));
    let id = world.id_of(0);
    let opened_at = world.session_of(0).opened_at();
    for _ in 0..20 {
        // One valid login after the other, each refused.
        let now = world.now;
        world.client(0).login(now, login("ann")).ok();
        world.drive(ms(300));
    }
    assert_eq!(world.end_of(id), Some(Reason::LoginDeadline(secs(5))));
    let end = first(&world.host_events, EventKind::Disconnected).at;
    let took = end.since(opened_at);
    assert!(took >= secs(5) && took < secs(5) + ms(200), "{took:?}");
    assert!(world.host().sessions().is_empty());
}

#[test]
fn a8_whoever_never_logs_in_is_gone_after_the_time_to_log_in() {
    let mut world = World::new(1, host_config());
    world.add_client(DialerConfig { login: None, ..client_config("ann") });
    world.connect(0);
    world.drive(ms(100));
    let id = world.id_of(0);
    world.drive(secs(6));
    assert_eq!(world.end_of(id), Some(Reason::LoginDeadline(secs(5))));
}

#[test]
fn names_that_are_no_names_are_refused_with_one_clear_text() {
    let long = "x".repeat(65);
    let names: [(&[u8], &str); 5] = [
        (b"", "the name is empty"),
        (long.as_bytes(), "the name has 65 bytes, the most is 64"),
        (b"an\nn", "the name holds a control character"),
        ("ann\u{202e}".as_bytes(), "the name holds a control character"),
        (b"\xff\xfe", "the name is not UTF-8 text"),
    ];
    for (name, text) in names {
        let mut world = World::new(1, host_config());
        let login = Some(Login { identity: name.to_vec(), payload: vec![] });
        world.add_client(DialerConfig { login, ..client_config("") });
        world.connect(0);
        world.drive(ms(200));
        assert_eq!(world.state(0), State::LoginFailed, "{text}");
        let refusal = Refusal::new(RefusalCode::InvalidLogin, text);
        let told = first(&world.clients[0].events, EventKind::LoginFailed);
        assert_eq!(told.reason, Some(Reason::Refused(refusal)));
        assert_eq!(world.host().counters().refused_names, 1);
        assert_eq!(world.session_of(0).identity(), None);
    }
}

#[test]
fn a_name_of_the_longest_length_is_let_in() {
    let name = "x".repeat(64);
    let world = World::logged_in(&[&name]);
    assert_eq!(world.session_of(0).identity().map(|id| id.as_bytes().len()), Some(64));
}

#[test]
fn messages_before_the_login_are_counted_and_dropped() {
    let mut world = waiting();
    let (now, at, host_at) = (world.now, world.clients[0].at, world.host_at);
    let mut early = vec![4];
    early.extend(world.net.last_conversation(at).expect("the client has sent"));
    early.extend(KNOWN.to_le_bytes());
    world.net.send(now, at, host_at, &early);
    world.drive(ms(100));
    assert_eq!(world.host().counters().messages_before_login, 1);
    assert_eq!(world.host_messages, 0);
    let (now, asked) = (world.now, world.asked[0]);
    world.host_mut().accept_login(now, asked, None, vec![]).expect("it waits");
    world.drive(ms(100));
    world.send(0, KNOWN);
    world.drive(ms(100));
    assert_eq!(world.host_messages, 1, "later ones are unaffected");
}

#[test]
fn a_second_login_while_the_first_is_pending_is_counted_and_changes_nothing() {
    let mut world = waiting();
    let (now, at, host_at) = (world.now, world.clients[0].at, world.host_at);
    let mut second = vec![5];
    second.extend(world.net.last_conversation(at).expect("the client has sent"));
    second.extend([3, 0, 0, 0]);
    second.extend(b"eve");
    world.net.send(now, at, host_at, &second);
    world.drive(ms(100));
    assert_eq!(world.host().counters().logins_misplaced, 1);
    assert_eq!(world.asked.len(), 1);
    let who = world.session_of(0).identity().map(ToString::to_string);
    assert_eq!(who.as_deref(), Some("ann"));
}

#[test]
fn one_peers_pending_login_does_not_hold_up_another() {
    let mut world = waiting();
    world.answers = Answers::Yes;
    let bob = world.add_client(client_config("bob"));
    world.connect(bob);
    assert!(world.drive_until(ms(200), |world| world.state(bob) == State::LoggedIn));
    assert_eq!(world.session_of(0).state(), State::LoginPending);
    assert_eq!(world.host().sessions().iter().map(Session::state).count(), 2);
}
