//! What becomes of messages to a peer that does not take them as fast as they are sent: what its
//! lane was told to do, and nobody else notices.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moorline::{
    Client, ClientEvent, EventKind, Lane, LinkSendError, Overflow, Reason, SendError, ServerConfig,
    ServerEvent, SessionId, State,
};
use support::{Chat, Stage, Wire, any_port, client_config, server_config};

/// Twice what a host holds for one peer by default, in messages of this length.
const LEN: usize = 8 * 1_024;
const MESSAGES: usize = 2 * 2 * 1_024 * 1_024 / LEN;

fn chapter(number: usize) -> Chat {
    Chat(format!("{number:0LEN$}"))
}

fn numbers(stage: &Stage, client: usize) -> Vec<usize> {
    let chapters = stage.received::<Chat>(client);
    chapters.iter().map(|chat| chat.0.parse().expect("a number")).collect()
}

fn told(stage: &Stage, session: SessionId) -> Vec<EventKind> {
    let events = stage.told_by_server.iter().filter_map(|event| match event {
        ServerEvent::Session(event) if event.session == session => Some(event.kind),
        _ => None,
    });
    events.collect()
}

/// A slow reader and another, with the ids of their sessions.
fn two_readers(config: ServerConfig) -> (Stage, [usize; 2], [SessionId; 2]) {
    let mut stage = Stage::new(config);
    let readers = [stage.log_in("slow"), stage.log_in("quick")];
    let ids = ["slow", "quick"].map(|name| {
        let mut sessions = stage.server().sessions().iter();
        let own = |identity: &moorline::Identity| identity.to_string() == name;
        sessions.find(|it| it.identity().is_some_and(own)).expect("logged in").id()
    });
    (stage, readers, ids)
}

/// Sends to the slow reader until that is refused, or there is no more; says how many were taken.
fn overfill(stage: &mut Stage, slow: SessionId) -> (usize, Option<SendError>) {
    for number in 0..MESSAGES {
        if let Err(error) = stage.server().send(slow, &chapter(number)) {
            return (number, Some(error));
        }
    }
    (MESSAGES, None)
}

/// The other reader is sent a word and gets it.
fn assert_quick_is_served(stage: &mut Stage, quick: usize, id: SessionId) {
    stage.server().send(id, &chapter(7)).expect("it has room");
    stage.drive_until(|stage| numbers(stage, quick) == [7]);
}

#[test]
fn a25_what_has_no_room_is_refused_and_two_events_tell_when_to_go_on() {
    let (mut stage, [slow, quick], [slow_id, quick_id]) = two_readers(server_config(any_port()));
    let (taken, error) = overfill(&mut stage, slow_id);
    assert_eq!(error, Some(SendError::Link(LinkSendError::Full)));
    assert_quick_is_served(&mut stage, quick, quick_id);
    assert!(told(&stage, slow_id).contains(&EventKind::Backlogged));
    stage.drive_until(|stage| told(stage, slow_id).contains(&EventKind::Relieved));
    stage.drive_until(|stage| numbers(stage, slow).len() == taken);
    assert_eq!(numbers(&stage, slow), (0..taken).collect::<Vec<_>>());
    stage.server().send(slow_id, &chapter(taken)).expect("there is room again");
    let marks = told(&stage, slow_id);
    let marks: Vec<_> = marks.iter().filter(|kind| is_mark(**kind)).collect();
    assert_eq!(marks, [&EventKind::Backlogged, &EventKind::Relieved], "in turns, once each");
    assert!(told(&stage, quick_id).iter().all(|kind| !is_mark(*kind)));
}

fn is_mark(kind: EventKind) -> bool {
    matches!(kind, EventKind::Backlogged | EventKind::Relieved)
}

#[test]
fn what_waits_longest_makes_room_where_that_is_wanted() {
    let config =
        server_config(any_port()).with_overflow(Lane::ReliableOrdered, Overflow::DropOldest);
    let (mut stage, [slow, quick], [slow_id, quick_id]) = two_readers(config);
    // Some were begun to be sent: they arrive, whatever comes after them.
    stage.server().send(slow_id, &chapter(1_000_000)).expect("there is room");
    stage.server().flush();
    assert_eq!(overfill(&mut stage, slow_id), (MESSAGES, None), "all are taken");
    assert_quick_is_served(&mut stage, quick, quick_id);
    stage.drive_until(|stage| numbers(stage, slow).last() == Some(&(MESSAGES - 1)));
    let arrived = numbers(&stage, slow);
    assert_eq!(arrived[0], 1_000_000);
    assert!(arrived[1..].windows(2).all(|pair| pair[0] + 1 == pair[1]), "no gap but at the start");
    let dropped = MESSAGES - (arrived.len() - 1);
    assert!((MESSAGES / 4..MESSAGES * 3 / 4).contains(&dropped), "{dropped} of {MESSAGES}");
    assert_eq!(stage.clients[slow].state(), State::LoggedIn);
}

#[test]
fn a25_a_session_ends_where_its_peer_must_not_be_so_slow() {
    for wire in [Wire::Native, Wire::Shards, Wire::Kcp] {
        wire.run(|| {
            let config =
                server_config(any_port()).with_overflow(Lane::ReliableOrdered, Overflow::Close);
            let (mut stage, [slow, quick], [slow_id, quick_id]) = two_readers(config);
            let (_, error) = overfill(&mut stage, slow_id);
            assert_eq!(error, Some(SendError::Link(LinkSendError::Full)));
            assert!(stage.server().sessions().by_id(slow_id).is_none(), "it is over at once");
            stage
                .drive_until(|stage| told(stage, slow_id).last() == Some(&EventKind::Disconnected));
            let why = stage.told_by_server.iter().rev().find_map(|event| match event {
                ServerEvent::Session(event) if event.session == slow_id => event.reason.clone(),
                _ => None,
            });
            assert_eq!(why, Some(Reason::TooSlow(Lane::ReliableOrdered)));
            assert_quick_is_served(&mut stage, quick, quick_id);
            // It may come again, and does so by itself.
            stage.drive_until(|stage| {
                let lost = |event: &ClientEvent| {
                    matches!(event, ClientEvent::Session(event)
                        if event.kind == EventKind::LoginSucceeded)
                };
                stage.told_by_clients[slow].iter().filter(|event| lost(event)).count() == 2
            });
        });
    }
}

#[test]
fn a_client_may_wait_for_room() {
    let mut stage = Stage::new(server_config(any_port()));
    let address = stage.address();
    let all_arrived = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&all_arrived);
    let sender = std::thread::spawn(move || {
        let mut client = Client::connect(address, client_config("ann")).expect("a free port");
        let end = Instant::now() + Duration::from_secs(20);
        while client.state() != State::LoggedIn {
            client.poll_until(end).expect("it logs in");
        }
        let mut waits = 0;
        for number in 0..MESSAGES {
            // Without time to wait it is as any other.
            if client.send_by(&chapter(number), Instant::now()).is_err() {
                client.send_by(&chapter(number), end).expect("there is room before long");
                waits += 1;
            }
        }
        assert!(waits > 0, "twice as much as there is room for was sent at once");
        while !is_done.load(Ordering::Relaxed) {
            client.poll_for(Duration::from_millis(20));
        }
        client.close();
    });
    stage.drive_until(|stage| arrived(stage) == MESSAGES);
    all_arrived.store(true, Ordering::Relaxed);
    stage.drive_until(|_| sender.is_finished());
    sender.join().expect("all were sent");
}

fn arrived(stage: &Stage) -> usize {
    let events = stage.told_by_server.iter();
    events.filter(|event| matches!(event, ServerEvent::Message { .. })).count()
}
