//! One identity logs in twice: a policy, decided at once, and both sides are told why.

mod support;

use moorline_link::{Identity, Reason, Refusal, RefusalCode};
use moorline_session::{
    AnswerError, DialerConfig, DuplicatePolicy, EventKind, HostConfig, LoggedIn, ReconnectMode,
    ReconnectPolicy, Session, State,
};
use support::{Answers, Who, World, client_config, first, host_config, ms, secs};

/// "ann" is logged in; two more of her are not connected yet, and will not try again by themselves.
fn world(duplicate: DuplicatePolicy) -> World {
    let mut world = World::new(1, HostConfig { duplicate, ..host_config() });
    world.add_client(client_config("ann"));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    let manual = ReconnectPolicy { mode: ReconnectMode::Manual, ..ReconnectPolicy::default() };
    for _ in 0..2 {
        world.add_client(DialerConfig { reconnect: manual.clone(), ..client_config("ann") });
    }
    world.forget_events();
    world
}

fn ann() -> Identity {
    Identity::new("ann").expect("a name")
}

#[test]
fn a37_refuse_keeps_the_one_who_is_there() {
    let mut world = world(DuplicatePolicy::Refuse);
    let old = world.id_of(0);
    world.connect(1);
    world.drive(ms(200));
    assert_eq!((world.state(0), world.state(1)), (State::LoggedIn, State::LoginFailed));
    let told = first(&world.clients[1].events, EventKind::LoginFailed);
    let Some(Reason::Refused(refusal)) = &told.reason else { panic!("{told}") };
    assert_eq!(refusal.code, RefusalCode::Duplicate);
    assert_eq!(&*refusal.text, "this identity has a session already");
    assert!(refusal.retry_after.is_some());
    let at_host = first(&world.host_events, EventKind::LoginFailed);
    assert_eq!(
        at_host.reason.as_ref().map(ToString::to_string),
        told.reason.as_ref().map(ToString::to_string)
    );
    assert!(world.host_story(old).is_empty() && world.story(0).is_empty());
    assert_eq!(world.host().counters().refused_duplicates, 1);
}

#[test]
fn a37_supersede_lets_the_newer_in_and_ends_the_older() {
    let mut world = world(DuplicatePolicy::Supersede);
    let old = world.id_of(0);
    world.connect(1);
    world.drive(ms(200));
    assert_eq!((world.state(0), world.state(1)), (State::Disconnected, State::LoggedIn));
    assert_eq!(world.end_of(old), Some(Reason::Superseded));
    let told = first(&world.clients[0].events, EventKind::Disconnected);
    let Some(Reason::Refused(Refusal { code, retry_after, .. })) = &told.reason else {
        panic!("{told}")
    };
    assert_eq!((*code, *retry_after), (RefusalCode::Superseded, None), "no ping-pong");
    world.drive(secs(30));
    assert_eq!(world.state(1), State::LoggedIn);
    let table = world.host().sessions();
    assert_eq!(table.by_identity(&ann()).map(Session::id).collect::<Vec<_>>(), [world.id_of(1)]);
}

#[test]
fn allow_two_lets_two_in_and_refuses_the_third() {
    let mut world = world(DuplicatePolicy::Allow(2));
    world.connect(1);
    world.drive(ms(200));
    world.connect(2);
    world.drive(ms(200));
    let states = [world.state(0), world.state(1), world.state(2)];
    assert_eq!(states, [State::LoggedIn, State::LoggedIn, State::LoginFailed]);
    assert_eq!(world.host().sessions().by_identity(&ann()).count(), 2);

    let now = world.now;
    world.client(0).close(now);
    world.drive(ms(200));
    world.client(2).login(now, support::login("ann")).expect("the link is up");
    world.drive(ms(200));
    assert_eq!(world.state(2), State::LoggedIn, "one left, so there is room");
}

#[test]
fn who_is_refused_after_the_host_slept_is_told_to_wait_for_what_the_ghost_has_left() {
    let mut world = world(DuplicatePolicy::Refuse);
    let at = world.clients[0].at;
    // Her first beat is heard, and none after it.
    world.drive(ms(500));
    world.net.cut(at);
    world.sleep(Who::Host, secs(30));
    world.drive(secs(29));
    world.connect(1);
    world.drive(secs(2));
    let told = first(&world.clients[1].events, EventKind::LoginFailed);
    let Some(Reason::Refused(refusal)) = &told.reason else { panic!("{told}") };
    assert_eq!(refusal.code, RefusalCode::Duplicate);
    let left = refusal.retry_after.expect("she may try again");
    assert!(left > secs(4) && left <= secs(6), "{left:?} of a whole timeout");
}

#[test]
fn a37_of_two_racing_logins_exactly_one_wins() {
    for duplicate in [DuplicatePolicy::Refuse, DuplicatePolicy::Supersede] {
        let mut world = world(duplicate);
        let now = world.now;
        world.client(0).close(now);
        world.answers = Answers::Later;
        world.connect(1);
        world.connect(2);
        world.drive(ms(200));
        let now = world.now;
        let asked = [world.asked[0], world.asked[1]];
        let answers = asked.map(|id| world.host_mut().accept_login(now, id, None, vec![]));
        let new = |index: usize| Ok::<_, AnswerError>(LoggedIn::New(asked[index]));
        let second = match duplicate {
            DuplicatePolicy::Refuse => Ok(LoggedIn::Refused),
            _ => new(1),
        };
        assert_eq!(answers, [new(0), second]);
        world.drive(ms(200));
        assert_eq!(world.host().sessions().count(State::LoggedIn), 1);
        let inside = (1..3).filter(|client| world.state(*client) == State::LoggedIn);
        assert_eq!(inside.count(), 1, "{duplicate:?}");
    }
}

#[test]
fn the_identity_is_what_the_application_says_and_not_what_was_claimed() {
    let mut world = world(DuplicatePolicy::Refuse);
    world.answers = Answers::Later;
    let eve = world.add_client(client_config("token 17"));
    world.connect(eve);
    world.drive(ms(200));
    let (now, asked) = (world.now, world.asked[0]);
    let refused = world.host_mut().accept_login(now, asked, Some(ann()), vec![]);
    assert_eq!(refused, Ok(LoggedIn::Refused), "she is ann by another token");

    let bob = Identity::new("bob").expect("a name");
    let other = world.add_client(client_config("token 18"));
    world.connect(other);
    world.drive(ms(200));
    let (now, asked) = (world.now, world.asked[1]);
    let yes = world.host_mut().accept_login(now, asked, Some(bob.clone()), vec![]);
    assert_eq!(yes, Ok(LoggedIn::New(asked)));
    let table = world.host().sessions();
    assert_eq!(table.by_identity(&bob).map(Session::id).collect::<Vec<_>>(), [asked]);
    assert_eq!(table.by_identity(&Identity::new("token 18").expect("a name")).count(), 0);
}
