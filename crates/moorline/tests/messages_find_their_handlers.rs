//! Typed messages over the wire, the delivery policy, and handlers that fail alone.

mod support;

use std::time::Duration;

use moorline::{
    Client, ClientConfig, ClientEvent, Dispatch, Incoming, Lane, LinkSendError, Message, Reason,
    RouteError, Router, SendError, ServerEvent, SessionId, State,
};
use support::{Chat, Position, Stage, Wire, any_port, client_config, over_all, server_config};

over_all! {
    who_asks_is_told_that_a_message_arrived_where_somebody_can_tell
    typed_messages_arrive_on_their_lanes_and_reliable_ones_in_order
    a_kind_without_a_policy_is_an_error_at_send_and_a_counter_at_receive
    a_broadcast_reaches_everyone_who_is_picked_and_logged_in
    a28_a_flood_does_not_keep_the_application_from_its_own_work
    an_evicted_session_is_told_why_and_the_other_goes_on
    what_is_sent_before_the_login_is_refused_and_not_lost_in_silence
}

fn typed_messages_arrive_on_their_lanes_and_reliable_ones_in_order() {
    let mut stage = Stage::new(server_config(any_port()));
    let ann = stage.log_in("ann");
    for number in 0..100 {
        stage.clients[ann].send(&Chat(format!("line {number}"))).expect("room");
    }
    stage.clients[ann].send(&Position(7)).expect("room");
    let is_message = |e: &&ServerEvent| matches!(e, ServerEvent::Message { .. });
    stage.drive_until(|stage| stage.told_by_server.iter().filter(is_message).count() == 101);
    let messages: Vec<&Incoming> = stage
        .told_by_server
        .iter()
        .filter_map(|event| match event {
            ServerEvent::Message { message, .. } => Some(message),
            _ => None,
        })
        .collect();
    let lines = messages.iter().filter_map(|message| message.decode::<Chat>().ok());
    assert!(lines.eq((0..100).map(|number| Chat(format!("line {number}")))));
    let position = messages.iter().find(|message| message.lane == Lane::Latest).expect("sent");
    assert_eq!(position.decode(), Ok(Position(7)));
    assert!(position.decode::<Chat>().is_err(), "it is of another kind");
}

fn a_kind_without_a_policy_is_an_error_at_send_and_a_counter_at_receive() {
    let mut stage = Stage::new(server_config(any_port()));
    let ann = stage.log_in("ann");
    let error = stage.clients[ann].send_bytes(999, 0, b"?").expect_err("unknown here");
    assert!(matches!(error, SendError::UnknownKind(_)), "{error}");
    assert!(error.to_string().contains("999"), "{error}");

    let mut config = client_config("bob");
    config.dialer.delivery = config.dialer.delivery.with(999, Lane::ReliableOrdered);
    let bob = stage.join(config);
    stage.drive_until(|stage| stage.clients[bob].state() == State::LoggedIn);
    stage.clients[bob].send_bytes(999, 0, b"?").expect("known to bob");
    stage.clients[bob].send(&Chat("still here".into())).expect("room");
    stage.drive_until(|stage| {
        stage.told_by_server.iter().any(|event| matches!(event, ServerEvent::Message { .. }))
    });
    let run = stage.server().snapshot("test");
    let counted = run.counters.iter().find(|counter| counter.name == "unknown_kinds");
    assert_eq!(counted.expect("always there").value, 1);
}

fn a_broadcast_reaches_everyone_who_is_picked_and_logged_in() {
    let mut stage = Stage::new(server_config(any_port()));
    let (ann, bob) = (stage.log_in("ann"), stage.log_in("bob"));
    let everyone = stage.server().broadcast(&Chat("all".into()), |_| true).expect("a known kind");
    assert_eq!((everyone.sent, everyone.refused), (2, 0));
    let is_bob = |session: &moorline::Session| {
        session.identity().is_some_and(|identity| identity.to_string() == "bob")
    };
    let one = stage.server().broadcast(&Chat("bob".into()), is_bob).expect("a known kind");
    assert_eq!(one.sent, 1);
    stage.drive_until(|stage| stage.received::<Chat>(bob).len() == 2);
    stage.drive_until(|stage| stage.received::<Chat>(ann).len() == 1);
}

fn a28_a_flood_does_not_keep_the_application_from_its_own_work() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let mut stage = Stage::new(server_config(any_port()));
    let ann = stage.log_in("ann");
    let mut flooder = stage.clients.remove(ann);
    let is_over = Arc::new(AtomicBool::new(false));
    let for_thread = Arc::clone(&is_over);
    let thread = std::thread::spawn(move || {
        while !for_thread.load(Ordering::SeqCst) {
            // What does not fit is sent in the next round.
            while flooder.send(&Chat("flood".into())).is_ok() {}
            while flooder.poll().is_some() {}
        }
    });
    let server = stage.server();
    for _ in 0..5 {
        let tick_end = std::time::Instant::now() + Duration::from_millis(20);
        while server.poll_until(tick_end).is_some() {}
        while server.poll().is_some() {}
    }
    // Reached while the flood goes on, or the test would hang above.
    is_over.store(true, Ordering::SeqCst);
    thread.join().expect("it only sends");
}

fn chat(text: &str) -> Incoming {
    Incoming { kind: Chat::KIND, lane: Chat::LANE, payload: text.as_bytes().into() }
}

#[test]
fn queued_messages_wait_for_the_drain_in_order_and_within_their_bounds() {
    let mut router = Router::new(Dispatch::Queued { waiting_max: 3 });
    router.on(|seen: &mut Vec<String>, _, chat: Chat| {
        seen.push(chat.0);
        Ok(())
    });
    let mut seen = Vec::new();
    for text in ["a", "b", "c"] {
        router.route(&mut seen, SessionId(1), chat(text)).expect("room");
    }
    let full = router.route(&mut seen, SessionId(1), chat("d"));
    assert_eq!(full, Err(RouteError::Full(chat("d"))), "it comes back, nothing is lost");
    assert!(seen.is_empty(), "nothing runs before the drain");
    let drained = router.drain(&mut seen, 2);
    assert_eq!((drained.handled, drained.waiting), (2, 1));
    router.forget(SessionId(1));
    assert_eq!(router.drain(&mut seen, 9).handled, 0);
    assert_eq!(seen, ["a", "b"]);
}

#[test]
fn immediate_messages_run_as_they_come_and_unknown_kinds_are_told() {
    let mut router = Router::new(Dispatch::Immediate);
    router.on(|seen: &mut Vec<String>, _, chat: Chat| {
        seen.push(chat.0);
        Ok(())
    });
    let mut seen = Vec::new();
    router.route(&mut seen, SessionId(1), chat("now")).expect("a handler");
    assert_eq!(seen, ["now"]);
    let stray = Incoming { kind: 999, lane: Lane::Unreliable, payload: Vec::new().into() };
    assert_eq!(router.route(&mut seen, SessionId(1), stray), Err(RouteError::NoHandler(999)));
}

#[test]
fn a27_a_handler_that_fails_or_panics_costs_its_own_session_and_no_other() {
    let mut router = Router::new(Dispatch::Queued { waiting_max: 16 });
    router.on(|handled: &mut u32, _, chat: Chat| match chat.0.as_str() {
        "fail" => Err("no such spell".into()),
        "panic" => panic!("wand broken"),
        _ => {
            *handled += 1;
            Ok(())
        }
    });
    let (good, failing, panicking) = (SessionId(1), SessionId(2), SessionId(3));
    let not_utf8 = Incoming { payload: vec![0xff].into(), ..chat("") };
    let mut handled = 0;
    for (session, message) in [
        (good, chat("hi")),
        (failing, chat("fail")),
        (panicking, chat("panic")),
        (SessionId(4), not_utf8),
        (good, chat("still here")),
    ] {
        router.route(&mut handled, session, message).expect("room");
    }
    let drained = router.drain(&mut handled, 16);
    assert_eq!((handled, drained.handled), (2, 5));
    let whose: Vec<SessionId> = drained.faults.iter().map(|fault| fault.session).collect();
    assert_eq!(whose, [failing, panicking, SessionId(4)]);
    assert_eq!(drained.faults[0].reason(), Reason::HandlerFailed("no such spell".into()));
    assert!(drained.faults[1].to_string().ends_with("panicked: wand broken"));
}

fn an_evicted_session_is_told_why_and_the_other_goes_on() {
    let mut stage = Stage::new(server_config(any_port()));
    let (ann, bob) = (stage.log_in("ann"), stage.log_in("bob"));
    let is_bob = |session: &&moorline::Session| {
        session.identity().is_some_and(|identity| identity.to_string() == "bob")
    };
    let id = stage.server().sessions().iter().find(is_bob).expect("logged in").id();
    stage.server().close(id, Reason::Evicted("no cheating".into())).expect("there");
    assert!(stage.server().close(id, Reason::Requested).is_err(), "it is gone");
    stage.drive_until(|stage| stage.clients[bob].state() == State::Disconnected);
    let told = stage.clients[bob].session().failure().expect("ended").to_string();
    assert!(told.contains("no cheating"), "{told}");

    stage.clients[ann].send(&Chat("still here".into())).expect("room");
    stage.drive_until(|stage| {
        stage.told_by_server.iter().any(|event| matches!(event, ServerEvent::Message { .. }))
    });
    assert_eq!(stage.clients[ann].state(), State::LoggedIn);
}

fn what_is_sent_before_the_login_is_refused_and_not_lost_in_silence() {
    let mut config: ClientConfig = client_config("ann");
    config.dialer.login = None;
    let mut stage = Stage::new(server_config(any_port()));
    let mut client = Client::connect(stage.address(), config).expect("a free port");
    let error = client.send(&Chat("hello".into())).expect_err("not logged in");
    assert!(error.to_string().contains("no link that is up"), "{error}");
    stage.drive_for(Duration::from_millis(20));
    let is_message = |event: &ClientEvent| matches!(event, ClientEvent::Message(_));
    assert!(!std::iter::from_fn(|| client.poll()).any(|event| is_message(&event)));
}

fn who_asks_is_told_that_a_message_arrived_where_somebody_can_tell() {
    let mut stage = Stage::new(server_config(any_port()));
    let ann = stage.log_in("ann");
    let session = stage.server().sessions().iter().next().expect("ann's").id();
    let words = Chat("are you there?".to_owned());
    let to_ann = stage.server().send_with_notice(session, &words, 7);
    let to_host = stage.clients[ann].send_with_notice(&words, 8);
    if Wire::here() == Wire::Kcp {
        let no = Err(SendError::Link(LinkSendError::NoNotice));
        assert_eq!((to_ann, to_host), (no, no));
        return;
    }
    assert_eq!((to_ann, to_host), (Ok(()), Ok(())));
    stage.drive_until(|stage| {
        stage.told_by_server.iter().any(|event| delivered(event) == Some((session, 7)))
            && stage.told_by_clients[ann].contains(&ClientEvent::Delivered { notice: 8 })
    });
    assert_eq!(stage.received::<Chat>(ann), [words]);
}

fn delivered(event: &ServerEvent) -> Option<(SessionId, u64)> {
    match event {
        ServerEvent::Delivered { session, notice } => Some((*session, *notice)),
        _ => None,
    }
}
