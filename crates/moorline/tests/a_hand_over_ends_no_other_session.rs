//! A user is handed over to a host where the same identity has a session already.

mod support;

use std::time::{Duration, Instant};

use moorline::{
    ClientEvent, DuplicatePolicy, EventKind, Redirect, Server, ServerConfig, ServerEvent,
};
use support::{Stage, any_port, over_native, server_config};

over_native! {
    who_is_there_is_superseded_by_a_login_and_not_by_what_can_be_repeated
}

fn superseding() -> ServerConfig {
    let mut config = server_config(any_port());
    config.host.duplicate = DuplicatePolicy::Supersede;
    config
}

fn poll(server: &mut Server) {
    while let Some(event) = server.poll_for(Duration::from_millis(1)) {
        if let ServerEvent::Login(request) = event {
            request.accept();
        }
    }
}

fn who_is_there_is_superseded_by_a_login_and_not_by_what_can_be_repeated() {
    let (mut one, mut other) = (Stage::new(superseding()), Stage::new(superseding()));
    let (comes, is_there) = (one.log_in("ann"), other.log_in("ann"));
    let to = other.address();
    let mut from = one.server.take().expect("a server");
    from.drain(Redirect { to, within: Duration::ZERO });
    let end = Instant::now() + Duration::from_secs(20);
    let is_in = |event: &ClientEvent| match event {
        ClientEvent::Session(event) => event.kind == EventKind::LoginSucceeded,
        _ => false,
    };
    one.told_by_clients[comes].clear();
    while !one.told_by_clients[comes].iter().any(is_in) {
        assert!(Instant::now() < end, "it did not come about: {:?}", one.life(comes));
        poll(&mut from);
        other.drive_for(Duration::from_millis(5));
        while let Some(event) = one.clients[comes].poll() {
            one.told_by_clients[comes].push(event);
        }
    }
    let life = one.life(comes);
    assert!(!life.contains(&EventKind::Resumed), "{life:?}");
    other.drive_until(|stage| stage.life(is_there).last() == Some(&EventKind::Disconnected));
}
