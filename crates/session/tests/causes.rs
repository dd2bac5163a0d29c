//! Each event says what made it happen: which timer, which kind of packet, or which command.

mod support;

use moorline_link::Time;
use moorline_session::{Cause, Event, EventKind, Watch};
use support::{World, secs};

fn causes(events: &[Event], kind: EventKind) -> Vec<Cause> {
    events.iter().filter(|event| event.kind == kind).map(|event| event.cause).collect()
}

#[test]
fn timers_packets_and_commands_are_told_apart_on_both_sides() {
    let mut world = World::logged_in(&["ann"]);
    let at = world.clients[0].at;
    let id = world.id_of(0);
    world.drive(secs(3));
    world.net.cut(at);
    world.drive(secs(12));
    world.net.mend();
    assert!(world.drive_until(secs(60), World::is_all_logged_in));
    let now = world.now;
    world.client(0).close(now);
    world.drive(secs(1));

    let host = &world.host_events;
    let client = &world.clients[0].events;
    for (kind, at_host, at_client) in [
        (EventKind::TransportConnected, Cause::LinkUp, Cause::LinkUp),
        (EventKind::LoginStarted, Cause::LoginPacket, Cause::LinkUp),
        (EventKind::LoginSucceeded, Cause::AcceptLogin, Cause::LoginAnswer),
        (EventKind::HeartbeatReceived, Cause::Beat, Cause::BeatAnswer),
        (EventKind::Degraded, Cause::DegradeTimer, Cause::DegradeTimer),
        (EventKind::TimedOut, Cause::SilenceTimer, Cause::SilenceTimer),
    ] {
        assert_eq!(causes(host, kind)[0], at_host, "{kind:?} at the host");
        assert_eq!(causes(client, kind)[0], at_client, "{kind:?} at the client");
    }
    assert_eq!(causes(client, EventKind::HeartbeatSent)[0], Cause::BeatTimer);
    assert_eq!(causes(client, EventKind::ReconnectStarted)[0], Cause::AttemptTimer);
    assert_eq!(causes(client, EventKind::Disconnected), [Cause::Close]);
    assert_eq!(causes(host, EventKind::Disconnected).last(), Some(&Cause::LinkLost));

    // Who begins to observe now sees it as well.
    let observer = world.host_mut().observe(Watch::One(id), Time::ZERO).expect("there is room");
    let mut seen = Vec::new();
    while let Some(event) = world.host_mut().poll_observed(observer) {
        seen.push(event);
    }
    assert_eq!(causes(&seen, EventKind::TimedOut), [Cause::SilenceTimer]);
    assert!(seen[0].to_string().ends_with("[packet: link up]"), "{}", seen[0]);
}
