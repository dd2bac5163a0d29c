//! A user who is lost is sent something and does not come back: the host is told that it did not
//! arrive.

mod support;

use std::time::Duration;

use moorline::{Client, Event, EventKind, LivenessPolicy, ServerEvent, State};
use support::{Chat, Stage, any_port, client_config, over_native, server_config};

over_native! {
    what_a_lost_user_was_sent_is_told_when_nobody_waits_any_more
}

fn ended(stage: &Stage) -> Option<&Event> {
    stage.told_by_server.iter().find_map(|event| match event {
        ServerEvent::Session(event) if event.kind == EventKind::Disconnected => Some(event),
        _ => None,
    })
}

fn what_a_lost_user_was_sent_is_told_when_nobody_waits_any_more() {
    let mut config = server_config(any_port());
    config.host.liveness =
        LivenessPolicy::new(Duration::from_millis(100), Duration::from_millis(600));
    config.host.keep_time = Duration::from_millis(600);
    let mut stage = Stage::new(config);
    let mut ann = Client::connect(stage.address(), client_config("ann")).expect("a free port");
    while stage.server().sessions().count(State::LoggedIn) == 0 {
        ann.poll();
        stage.drive_for(Duration::from_millis(1));
    }
    // Her machine is gone, and says nothing.
    drop(ann);
    stage.drive_until(|stage| {
        let server = stage.server.as_ref().expect("a server");
        server.sessions().count(State::ReconnectPending) == 1
    });
    let id = stage.server().sessions().iter().next().expect("ann").id();
    for text in ["are you there?", "well then"] {
        stage.server().send(id, &Chat(text.into())).expect("it waits for her");
    }
    stage.drive_until(|stage| ended(stage).is_some());
    let gap = ended(&stage).and_then(|event| event.gap.as_deref().copied());
    assert_eq!(gap.and_then(|gap| gap.unsettled), Some([2, 0]));
}
