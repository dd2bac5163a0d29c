//! Sessions side by side: what happens to one leaves the others alone.

mod support;

use moorline_link::{Identity, Reason};
use moorline_session::{EventKind, Session, State};
use support::{KNOWN, World, client_config, host_config, message, ms, secs};

#[test]
fn one_session_times_out_and_the_other_stays_logged_in() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let (ann, bob) = (world.id_of(0), world.id_of(1));
    let at = world.clients[0].at;
    world.net.cut(at);
    world.drive(secs(20));
    assert_eq!(world.host_story(ann), [EventKind::TimedOut, EventKind::ReconnectScheduled]);
    assert!(world.host_story(bob).is_empty());
    assert_eq!(world.session_of(1).state(), State::LoggedIn);
    assert_eq!(world.state(1), State::LoggedIn);
    assert_eq!(world.host().sessions().count(State::LoggedIn), 1);
    assert_eq!(world.host().sessions().count(State::ReconnectPending), 1);
}

#[test]
fn removing_one_session_leaves_the_others_queryable_and_unchanged() {
    let mut world = World::logged_in(&["ann", "bob", "cleo"]);
    let (ann, bob, cleo) = (world.id_of(0), world.id_of(1), world.id_of(2));
    let before = format!("{:?}", world.session_of(1));
    let now = world.now;
    world.host_mut().close(now, ann, Reason::Evicted("enough".into())).expect("there");
    assert_eq!(format!("{:?}", world.session_of(1)), before);
    world.drive(secs(10));
    let table = world.host().sessions();
    assert!(table.by_id(ann).is_none());
    for (id, name) in [(bob, "bob"), (cleo, "cleo")] {
        let name = Identity::new(name).expect("a name");
        assert_eq!(table.by_id(id).map(Session::state), Some(State::LoggedIn));
        assert_eq!(table.by_identity(&name).map(Session::id).collect::<Vec<_>>(), [id]);
        assert!(world.host_story(id).is_empty());
    }
    assert_eq!((world.state(0), world.state(1)), (State::Disconnected, State::LoggedIn));
}

#[test]
fn a_handle_to_a_removed_session_is_detected_and_not_reused() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let ann = world.id_of(0);
    let now = world.now;
    world.host_mut().close(now, ann, Reason::Requested).expect("there");
    world.drive(ms(100));
    world.connect(0);
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    let (now, new) = (world.now, world.id_of(0));
    assert_ne!(new, ann);
    let host = world.host_mut();
    assert!(host.sessions().by_id(ann).is_none());
    assert_eq!(
        host.close(now, ann, Reason::Requested).expect_err("gone").to_string(),
        format!("there is no session {ann}")
    );
    assert!(host.send(now, ann, message(KNOWN)).is_err());
    assert_eq!(host.sessions().by_id(new).map(Session::state), Some(State::LoggedIn));
}

#[test]
fn stop_ends_every_session_through_the_same_path_and_may_be_called_twice() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let at = world.clients[0].at;
    world.net.cut(at);
    world.drive(secs(8));
    assert_eq!(world.host().sessions().count(State::ReconnectPending), 1, "kept ones end too");
    let ids: Vec<_> = world.host().sessions().iter().map(Session::id).collect();
    let now = world.now;
    world.host_mut().stop(now);
    assert!(world.host().sessions().is_empty());
    world.host_mut().stop(now);
    world.drive(ms(100));
    for id in ids {
        assert_eq!(world.end_of(id), Some(Reason::Stopped));
        let ends = world.host_story(id).into_iter().filter(|k| *k == EventKind::Disconnected);
        assert_eq!(ends.count(), 1);
    }
    assert_eq!(world.host().counters().sessions_closed, 2);
    assert_eq!(world.host().poll_timeout(), None, "nothing is left to do");
    // Its clients are told that they may try again, and nobody is let in any more.
    world.net.mend();
    world.drive(secs(30));
    assert!(world.host().sessions().is_empty());
    assert_ne!(world.state(1), State::LoggedIn);
}

#[test]
fn sessions_are_found_by_id_address_and_identity_enumerated_and_counted() {
    let mut world = World::logged_in(&["ann", "bob"]);
    let late = world.add_client(client_config("cleo"));
    world.answers = support::Answers::Later;
    world.connect(late);
    world.drive(ms(100));
    let table = world.host().sessions();
    assert_eq!(table.len(), 3);
    assert_eq!(table.count(State::LoggedIn), 2);
    assert_eq!(table.count(State::LoginPending), 1);
    assert_eq!(table.iter().filter(|s| s.state() == State::LoggedIn).count(), 2);
    let bob = Identity::new("bob").expect("a name");
    let by_name = table.by_identity(&bob).next().expect("logged in");
    assert_eq!(table.by_address(world.clients[1].at).map(Session::id), Some(by_name.id()));
    let cleo = Identity::new("cleo").expect("a name");
    assert_eq!(table.by_identity(&cleo).count(), 0, "a claim is no proof");
}

#[test]
fn a_login_failure_of_one_leaves_the_others_alone() {
    let mut world = World::logged_in(&["ann"]);
    let no = moorline_link::Refusal::new(moorline_link::RefusalCode::Banned, "no");
    world.answers = support::Answers::No(no);
    let bob = world.add_client(client_config("bob"));
    world.connect(bob);
    world.drive(secs(20));
    assert_eq!(world.state(bob), State::Disconnected, "its time to log in ran out");
    assert_eq!(world.state(0), State::LoggedIn);
    assert!(world.story(0).is_empty());
}

#[test]
fn two_hundred_sessions_live_side_by_side() {
    let names: Vec<String> = (0..200).map(|n| format!("user {n}")).collect();
    let mut world = World::new(1, host_config());
    for name in &names {
        world.add_client(client_config(name));
    }
    world.connect_all();
    assert!(world.drive_until(secs(1), World::is_all_logged_in));
    world.drive(secs(7));
    assert_eq!(world.host().sessions().count(State::LoggedIn), 200);
    assert_eq!(world.host().counters().sessions_peak, 200);
}
