//! A game loop that polls until there is nothing more, once a tick, does not fall behind.

mod support;

use std::net::UdpSocket;

use moorline::ServerEvent;
use support::{Chat, Stage, any_port, server_config};

#[test]
fn what_came_after_a_thousand_others_is_told_of_in_the_same_round() {
    let mut stage = Stage::new(server_config(any_port()));
    let client = stage.log_in("ann");
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for _ in 0..1_000 {
        stranger.send_to(b"no packet of anybody", stage.address()).expect("loopback takes it");
    }
    stage.clients[client].send(&Chat("here".to_owned())).expect("there is room");
    stage.clients[client].flush();

    let server = stage.server();
    let events: Vec<ServerEvent> = std::iter::from_fn(|| server.poll()).collect();
    let is_message = |event: &ServerEvent| matches!(event, ServerEvent::Message { .. });
    assert_eq!(events.iter().filter(|event| is_message(event)).count(), 1, "{events:?}");
}
