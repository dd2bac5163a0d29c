//! The application decides who is let in: at once, later, or from another thread.

mod support;

use std::time::{Duration, Instant};

use moorline::{
    DuplicatePolicy, EventKind, Identity, Reason, Refusal, RefusalCode, ServerEvent, State,
};
use support::{Stage, any_port, client_config, over_all, server_config};

over_all! {
    an_answer_from_another_thread_ends_the_servers_wait
    a_waker_is_heard_also_when_an_answer_comes_in_the_same_wait
    a_wait_may_be_for_ever
    a_refused_login_is_no_disconnect_and_keeps_its_reason
    a_request_that_is_dropped_ends_when_its_time_is_over
    names_that_no_one_should_have_are_refused_with_one_clear_line
    who_logs_in_twice_is_refused_or_wins_as_the_policy_says
}

fn next_request(stage: &mut Stage) -> moorline::LoginRequest {
    stage.drive_until(|stage| {
        stage.told_by_server.iter().any(|event| matches!(event, ServerEvent::Login(_)))
    });
    let at = stage.told_by_server.iter().position(|e| matches!(e, ServerEvent::Login(_)));
    match stage.told_by_server.remove(at.expect("just seen")) {
        ServerEvent::Login(request) => request,
        other => unreachable!("{other:?}"),
    }
}

fn an_answer_from_another_thread_ends_the_servers_wait() {
    let mut stage = Stage::new(server_config(any_port()));
    stage.lets_everyone_in = false;
    let ann = stage.join(client_config("ann"));
    let request = next_request(&mut stage);
    assert_eq!(request.identity.to_string(), "ann");
    assert_eq!(stage.clients[ann].state(), State::LoginPending);

    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        request.accept_as(Identity::new("user 7").expect("a name"), b"welcome".to_vec());
    });
    // The client is quiet, so nothing but the answer can end this wait with an event.
    let asked = Instant::now();
    let logged_in = loop {
        match stage.server().poll_for(Duration::from_secs(10)) {
            Some(ServerEvent::Session(event)) if event.kind == EventKind::LoginSucceeded => {
                break event;
            }
            Some(_) => {}
            None => panic!("the wait was not ended after {:?}", asked.elapsed()),
        }
    };
    thread.join().expect("it only answers");
    assert_eq!(logged_in.identity.expect("known").to_string(), "user 7");
    stage.drive_until(|stage| stage.clients[ann].state() == State::LoggedIn);
    let welcome = moorline::ClientEvent::Welcome { payload: Vec::new() };
    let is_welcome = |event: &moorline::ClientEvent| {
        std::mem::discriminant(event) == std::mem::discriminant(&welcome)
    };
    assert!(stage.told_by_clients[ann].iter().any(is_welcome));
}

fn a_waker_is_heard_also_when_an_answer_comes_in_the_same_wait() {
    let mut stage = Stage::new(server_config(any_port()));
    stage.lets_everyone_in = false;
    stage.join(client_config("ann"));
    let request = next_request(&mut stage);
    let waker = stage.server().waker();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        request.accept();
        waker.wake().expect("the server is there");
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    while stage.server().poll_until(deadline).is_some() {}
    assert!(Instant::now() < deadline, "the waker ended the wait");
    thread.join().expect("it only answers");
}

fn a_wait_may_be_for_ever() {
    let mut stage = Stage::new(server_config(any_port()));
    stage.server().waker().wake().expect("the server is there");
    assert!(stage.server().poll_for(Duration::MAX).is_none(), "the waker ended it");
    let ann = stage.log_in("ann");
    let waker = stage.clients[ann].waker().expect("a handle");
    waker.wake().expect("the client is there");
    while stage.clients[ann].poll_for(Duration::MAX).is_some() {}
}

fn a_refused_login_is_no_disconnect_and_keeps_its_reason() {
    let mut stage = Stage::new(server_config(any_port()));
    stage.lets_everyone_in = false;
    let ann = stage.join(client_config("ann"));
    let no = Refusal::new(RefusalCode::Banned, "come back next season");
    next_request(&mut stage).refuse(no.clone());
    stage.drive_until(|stage| stage.clients[ann].state() == State::LoginFailed);
    assert_eq!(stage.clients[ann].session().failure(), Some(&Reason::Refused(no)));
    assert!(!stage.life(ann).contains(&EventKind::Disconnected));

    let second = moorline::Login { identity: b"bea".to_vec(), payload: Vec::new() };
    stage.clients[ann].login(second).expect("the link is still up");
    next_request(&mut stage).accept();
    stage.drive_until(|stage| stage.clients[ann].state() == State::LoggedIn);
}

fn a_request_that_is_dropped_ends_when_its_time_is_over() {
    let mut config = server_config(any_port());
    config.host.limits.login_time = Duration::from_millis(300);
    let mut stage = Stage::new(config);
    stage.lets_everyone_in = false;
    stage.join(client_config("ann"));
    drop(next_request(&mut stage));
    stage.drive_until(|stage| {
        stage.told_by_server.iter().any(|event| {
            matches!(event, ServerEvent::Session(event)
                if matches!(event.reason, Some(Reason::LoginDeadline(_))))
        })
    });
}

fn names_that_no_one_should_have_are_refused_with_one_clear_line() {
    let mut stage = Stage::new(server_config(any_port()));
    let too_long = "x".repeat(Identity::LEN_MAX + 1);
    for (name, told) in [
        ("", "the name is empty"),
        (too_long.as_str(), "the name has 65 bytes"),
        ("red\u{1b}[31m", "the name holds a control character"),
    ] {
        let client = stage.join(client_config(name));
        stage.drive_until(|stage| stage.clients[client].state() == State::LoginFailed);
        let reason = stage.clients[client].session().failure().expect("refused").to_string();
        assert!(reason.contains(told) && !reason.contains('\n'), "{reason}");
    }
}

fn who_logs_in_twice_is_refused_or_wins_as_the_policy_says() {
    let mut stage = Stage::new(server_config(any_port()));
    let first = stage.log_in("ann");
    let second = stage.join(client_config("ann"));
    // The refusal says when to try again, so the second client waits for its next attempt.
    stage.drive_until(|stage| stage.clients[second].state() == State::ReconnectPending);
    assert_eq!(stage.clients[first].state(), State::LoggedIn);
    let told = stage.clients[second].session().failure().expect("refused").to_string();
    assert!(told.contains("has a session already") && told.contains("try again"), "{told}");

    let mut config = server_config(any_port());
    config.host.duplicate = DuplicatePolicy::Supersede;
    let mut stage = Stage::new(config);
    let first = stage.log_in("ann");
    let second = stage.log_in("ann");
    stage.drive_until(|stage| stage.clients[first].state() == State::Disconnected);
    assert_eq!(stage.clients[second].state(), State::LoggedIn);
    let told = stage.clients[first].session().failure().expect("ended").to_string();
    assert!(told.contains("superseded"), "{told}");
}

#[test]
fn a_user_is_asked_to_log_in_again_and_the_session_goes_on() {
    let mut stage = Stage::new(server_config(any_port()));
    let ann = stage.log_in("ann");
    let id = stage.server().sessions().iter().next().expect("ann is there").id();
    stage.lets_everyone_in = false;
    stage.server().ask_login(id, Duration::from_secs(10)).expect("she is logged in");
    let request = next_request(&mut stage);
    assert!(request.again && request.session == id);
    request.accept();
    stage.drive_until(|stage| stage.life(ann).ends_with(&REAUTHENTICATED));
    // With credentials of her application's choice, whenever it likes.
    let payload = b"another token".to_vec();
    let login = moorline::Login { identity: b"ann".to_vec(), payload: payload.clone() };
    stage.clients[ann].login_again(login).expect("she is logged in");
    let request = next_request(&mut stage);
    assert_eq!((request.again, &request.payload), (true, &payload));
    request.refuse(Refusal::new(RefusalCode::BadCredentials, "not that one"));
    stage.drive_until(|stage| stage.life(ann).last() == Some(&EventKind::ReauthFailed));
    assert_eq!(stage.clients[ann].state(), State::LoggedIn);
}

const REAUTHENTICATED: [EventKind; 3] =
    [EventKind::ReauthAsked, EventKind::ReauthStarted, EventKind::Reauthenticated];

#[test]
fn over_kcp_nobody_is_asked_to_log_in_again() {
    support::Wire::Kcp.run(|| {
        let mut stage = Stage::new(server_config(any_port()));
        let ann = stage.log_in("ann");
        let id = stage.server().sessions().iter().next().expect("ann is there").id();
        let no_word = Err(moorline::SendError::Link(moorline::LinkSendError::NoWord));
        assert_eq!(stage.server().ask_login(id, Duration::from_secs(10)), no_word);
        assert_eq!(stage.clients[ann].login_again(moorline::Login::default()), no_word);
        stage.drive_for(Duration::from_millis(50));
        assert_eq!(stage.clients[ann].state(), State::LoggedIn);
    });
}
