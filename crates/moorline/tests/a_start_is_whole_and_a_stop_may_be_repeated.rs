//! All listeners are up, or none is; all sessions end, once.

mod support;

use std::net::UdpSocket;

use moorline::{
    ConfigError, EventKind, KcpConfig, Listener, Reason, Server, ServerEvent, StartError, State,
};
use support::{Stage, Wire, any_port, client_config, over_all, server_config};

over_all! {
    stop_ends_every_session_in_the_same_way_and_may_be_called_twice
    a_stopped_server_lets_nobody_in
}

#[test]
fn a_later_listener_that_fails_takes_the_earlier_ones_down_again() {
    let taken = UdpSocket::bind(any_port()).expect("a free port");
    let free = UdpSocket::bind(any_port()).expect("a free port");
    let (taken_at, free_at) =
        (taken.local_addr().expect("bound"), free.local_addr().expect("bound"));
    drop(free);
    let mut config = server_config(free_at);
    config.listeners.push(Listener::KcpPlaintextUnauthenticated {
        reliable: taken_at,
        sync: None,
        kcp: KcpConfig::default(),
    });
    let error = Server::bind(config).expect_err("the second address is taken");
    let told = error.to_string();
    assert!(told.contains(&taken_at.to_string()) && told.contains("in use"), "{told}");
    UdpSocket::bind(free_at).expect("the first listener was closed again");
}

#[test]
fn equal_ports_for_both_lanes_are_refused() {
    let mut config = server_config(any_port());
    let address = "127.0.0.1:4567".parse().expect("an address");
    config.listeners = vec![Listener::KcpPlaintextUnauthenticated {
        reliable: address,
        sync: Some(address),
        kcp: KcpConfig::default(),
    }];
    let error = Server::bind(config).expect_err("one port cannot carry both");
    assert!(matches!(error, StartError::Kcp(_)), "{error}");
}

#[test]
fn a_server_without_a_listener_and_one_with_a_senseless_setting_say_so() {
    let mut config = server_config(any_port());
    config.listeners.clear();
    assert!(matches!(Server::bind(config), Err(StartError::NoListener)));

    let mut config = server_config(any_port());
    config.host.liveness.timeout = std::time::Duration::ZERO;
    let error = Server::bind(config).expect_err("a timeout of zero");
    let is_setting = matches!(error, StartError::Config(ConfigError { .. }));
    assert!(is_setting && error.to_string().contains("liveness.timeout"), "{error}");
}

#[test]
fn more_listeners_than_can_be_told_apart_are_refused() {
    let mut config = server_config(any_port());
    let listener = config.listeners[0].clone();
    config.listeners = vec![listener; 256];
    let error = Server::bind(config).expect_err("too many").to_string();
    assert_eq!(error, "256 listeners are too many: 255 are the most");
}

#[test]
fn a_long_time_to_log_in_is_not_cut_short_by_the_transport() {
    Wire::Kcp.run(a_long_time_to_log_in);
}

fn a_long_time_to_log_in() {
    let mut config = server_config(any_port());
    config.host.limits.login_time = std::time::Duration::from_secs(60);
    config.listeners = vec![Listener::KcpPlaintextUnauthenticated {
        reliable: any_port(),
        sync: None,
        kcp: KcpConfig {
            pending_time: std::time::Duration::from_millis(200),
            ..Default::default()
        },
    }];
    let mut stage = Stage::new(config);
    stage.lets_everyone_in = false;
    let ann = stage.join(client_config("ann"));
    stage.drive_until(|stage| stage.clients[ann].state() == State::LoginPending);
    stage.drive_for(std::time::Duration::from_millis(600));
    assert_eq!(stage.server().sessions().count(State::LoginPending), 1);
}

fn stop_ends_every_session_in_the_same_way_and_may_be_called_twice() {
    let mut stage = Stage::new(server_config(any_port()));
    let (ann, bob) = (stage.log_in("ann"), stage.log_in("bob"));
    stage.told_by_server.clear();

    stage.server().stop();
    stage.server().stop();
    assert!(stage.server().sessions().is_empty());
    stage.drive_until(|stage| stage.clients.iter().all(|c| c.state() != State::LoggedIn));

    let ends = stage.told_by_server.iter().filter(|event| {
        matches!(event, ServerEvent::Session(event)
            if event.kind == EventKind::Disconnected && event.reason == Some(Reason::Stopped))
    });
    assert_eq!(ends.count(), 2, "each session ended once");
    for client in [ann, bob] {
        assert!(!stage.life(client).contains(&EventKind::TimedOut), "they were told, and at once");
    }
}

fn a_stopped_server_lets_nobody_in() {
    let mut stage = Stage::new(server_config(any_port()));
    stage.server().stop();
    let late = stage.join(client_config("late"));
    stage.drive_for(std::time::Duration::from_millis(300));
    assert_ne!(stage.clients[late].state(), State::LoggedIn);
    assert!(stage.server().sessions().is_empty());
}
