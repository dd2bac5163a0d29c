//! A server is killed and started again; its clients need nobody to come back.

mod support;

use moorline::{EventKind, Server, State};
use support::{Chat, Stage, Wire, any_port, over_all, server_config};

over_all! {
    a_killed_server_that_is_started_again_has_every_client_back
    a_client_that_starts_before_its_server_gets_there_when_the_server_does
    a_user_who_was_lost_returns_to_the_kept_session
}

/// After the loss, which over KCP is a silence. A native host says that it knows nobody, and the
/// client says that what was on its way may be lost.
const COMEBACK: [EventKind; 5] = [
    EventKind::ReconnectScheduled,
    EventKind::ReconnectStarted,
    EventKind::TransportConnected,
    EventKind::LoginStarted,
    EventKind::LoginSucceeded,
];

fn a_killed_server_that_is_started_again_has_every_client_back() {
    let mut stage = Stage::new(server_config(any_port()));
    let address = stage.address();
    let clients: Vec<usize> = (0..20).map(|n| stage.log_in(&format!("client {n}"))).collect();
    stage.told_by_clients.iter_mut().for_each(Vec::clear);

    // No good-bye: the sockets are gone, and with them all that the server knew.
    stage.server = None;
    stage.server = Some(Server::bind(server_config(address)).expect("the port is free again"));
    stage.drive_until(|stage| {
        let is_back =
            |client: &usize| stage.life(*client).last() == Some(&EventKind::LoginSucceeded);
        clients.iter().all(is_back)
    });
    for client in clients {
        let mut comeback = COMEBACK.to_vec();
        match Wire::here() {
            Wire::Kcp => comeback.insert(0, EventKind::TimedOut),
            Wire::Native | Wire::Shards => comeback.insert(3, EventKind::ContinuityLost),
        }
        assert_eq!(stage.life(client), comeback);
        assert_eq!(stage.clients[client].state(), State::LoggedIn);
    }
}

fn a_client_that_starts_before_its_server_gets_there_when_the_server_does() {
    let mut stage = Stage::new(server_config(any_port()));
    let address = stage.address();
    let mut config = support::client_config("early");
    config.dialer.reconnect.attempt_timeout = std::time::Duration::from_millis(200);
    let early = stage.join(config);
    stage.server = None;
    stage.drive_until(|stage| stage.clients[early].state() == State::ReconnectPending);
    let told = stage.clients[early].session().failure().expect("lost").to_string();
    assert!(told.contains("no answer within"), "{told}");

    stage.server = Some(Server::bind(server_config(address)).expect("the port is free again"));
    stage.drive_until(|stage| stage.clients[early].state() == State::LoggedIn);
    stage.clients[early].send(&Chat("made it".into())).expect("room");
}

fn a_user_who_was_lost_returns_to_the_kept_session() {
    let mut stage = Stage::new(server_config(any_port()));
    let ann = stage.log_in("ann");
    let bob = stage.log_in("bob");
    let id_of = |stage: &Stage, name: &str| {
        let name = moorline::Identity::new(name).expect("a name");
        let server = stage.server.as_ref().expect("a server");
        server.sessions().by_identity(&name).next().map(moorline::Session::id)
    };
    let before = id_of(&stage, "ann").expect("logged in");

    // Ann's program is killed.
    let killed = stage.clients.remove(ann);
    stage.told_by_clients.remove(ann);
    drop(killed);
    stage.drive_until(|stage| {
        stage.server.as_ref().is_some_and(|s| s.sessions().count(State::ReconnectPending) == 1)
    });
    assert_eq!(stage.clients[bob - 1].state(), State::LoggedIn, "bob is left alone");

    stage.log_in("ann");
    assert_eq!(id_of(&stage, "ann"), Some(before), "it is the same session");
}
