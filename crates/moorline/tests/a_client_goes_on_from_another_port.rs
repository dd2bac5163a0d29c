//! The client's socket is closed and another one opened on another port: the session goes on in the
//! same link, and what is said meanwhile arrives.

mod support;

use moorline::{Event, EventKind, ServerEvent, State};
use support::{Chat, Stage, any_port, over_native, server_config};

over_native! {
    a_closed_socket_and_a_new_one_leave_the_session_where_it_is
}

fn told(stage: &Stage) -> Vec<&Event> {
    let events = stage.told_by_server.iter().filter_map(|event| match event {
        ServerEvent::Session(event) => Some(event),
        _ => None,
    });
    let is_beat = |kind| matches!(kind, EventKind::HeartbeatReceived | EventKind::HeartbeatSent);
    events.filter(|event| !is_beat(event.kind)).collect()
}

fn heard(stage: &Stage) -> Vec<String> {
    let texts = stage.told_by_server.iter().filter_map(|event| match event {
        ServerEvent::Message { message, .. } => Some(message.decode::<Chat>().expect("a chat").0),
        _ => None,
    });
    texts.collect()
}

fn a_closed_socket_and_a_new_one_leave_the_session_where_it_is() {
    let mut stage = Stage::new(server_config(any_port()));
    let ann = stage.log_in("ann");
    stage.drive_until(|stage| told(stage).len() == 3);
    stage.told_by_clients[ann].clear();
    let mut ports = vec![told(&stage)[2].address.expect("she is there").port()];
    for round in 1..=3 {
        let text = format!("from port {round}");
        stage.clients[ann].send(&Chat(format!("before {round}"))).expect("room");
        stage.clients[ann].rebind().expect("a free port");
        stage.clients[ann].send(&Chat(text.clone())).expect("room");
        stage.drive_until(|stage| told(stage).len() == 3 + round);
        let moved = told(&stage)[2 + round];
        assert_eq!((moved.kind, moved.to), (EventKind::AddressChanged, State::LoggedIn));
        ports.push(moved.address.expect("she is there").port());
        let session = moved.session;
        stage.server().send(session, &Chat(text)).expect("room");
        stage.drive_until(|stage| stage.received::<Chat>(ann).len() == round);
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 4, "each time another one");
    let expected =
        ["before 1", "from port 1", "before 2", "from port 2", "before 3", "from port 3"];
    stage.drive_until(|stage| heard(stage).len() >= expected.len());
    assert_eq!(heard(&stage), expected);
    assert_eq!(stage.life(ann), [], "nothing happened to her");
}
