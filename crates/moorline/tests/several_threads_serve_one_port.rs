//! A listener that several threads serve: sessions are in one table, and who arrives at another
//! thread than before goes on where they were.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use moorline::{
    DuplicatePolicy, Event, EventKind, Identity, Server, ServerConfig, ServerEvent, StartError,
    State,
};
use support::{Chat, Stage, any_port, client_config, server_config};

const SHARDS: usize = 4;

fn config(stage: Option<&Stage>) -> ServerConfig {
    server_config(stage.map_or_else(any_port, Stage::address)).with_shards(SHARDS)
}

fn told(stage: &Stage, kind: EventKind) -> Vec<&Event> {
    let events = stage.told_by_server.iter().filter_map(|event| match event {
        ServerEvent::Session(event) if event.kind == kind => Some(event),
        _ => None,
    });
    events.collect()
}

fn counter(stage: &mut Stage, name: &str) -> u64 {
    let run = stage.server().snapshot("run");
    let values = run.counters.iter().filter(|counter| counter.name == name);
    values.map(|counter| counter.value).sum()
}

#[test]
fn many_users_are_spread_over_the_threads_and_meet_in_one_table() {
    let mut stage = Stage::new(config(None));
    let clients: Vec<usize> = (0..40).map(|n| stage.log_in(&format!("client {n}"))).collect();
    stage.drive_until(|stage| told(stage, EventKind::LoginSucceeded).len() == 40);
    let server = stage.server();
    let links = server.sessions().iter().map(|session| session.link().expect("up").transport);
    let used: BTreeSet<u8> = links.collect();
    assert!(used.len() > 1, "the system spreads them: {used:?}");
    for client in &clients {
        stage.clients[*client].send(&Chat(format!("from {client}"))).expect("room");
    }
    let heard = |stage: &Stage| {
        let is_chat = |event: &&ServerEvent| matches!(event, ServerEvent::Message { .. });
        stage.told_by_server.iter().filter(is_chat).count()
    };
    stage.drive_until(|stage| heard(stage) == 40);
    let to_all = stage.server().broadcast(&Chat("to all".into()), |_| true).expect("a kind");
    assert_eq!((to_all.sent, to_all.refused), (40, 0));
    stage.drive_until(|stage| {
        clients.iter().all(|client| stage.received::<Chat>(*client) == [Chat("to all".into())])
    });
    let run = stage.server().snapshot("run");
    assert!(run.datagrams_received.count >= 80 && run.datagrams_sent.count >= 80);
}

#[test]
fn who_leaves_from_other_ports_stays_in_the_same_session() {
    let mut stage = Stage::new(config(None));
    let ann = stage.log_in("ann");
    stage.drive_until(|stage| told(stage, EventKind::LoginSucceeded).len() == 1);
    for round in 0..12 {
        stage.clients[ann].rebind().expect("a free port");
        stage.clients[ann].send(&Chat(round.to_string())).expect("room");
        stage.drive_until(|stage| told(stage, EventKind::AddressChanged).len() == round + 1);
        // A host asks no sooner at the next new address.
        stage.drive_for(Duration::from_millis(60));
    }
    let expected: Vec<String> = (0..12).map(|round| round.to_string()).collect();
    let heard = |stage: &Stage| {
        let chats = stage.told_by_server.iter().filter_map(|event| match event {
            ServerEvent::Message { message, .. } => Some(message.decode::<Chat>().expect("one").0),
            _ => None,
        });
        chats.collect::<Vec<_>>()
    };
    stage.drive_until(|stage| heard(stage).len() == 12);
    assert_eq!(heard(&stage), expected, "in order");
    let id = told(&stage, EventKind::LoginSucceeded)[0].session;
    assert_eq!(stage.server().sessions().iter().map(|it| it.id()).collect::<Vec<_>>(), [id]);
    assert!(counter(&mut stage, "native_passed_on") > 0, "of twelve ports some are another's");
    assert_eq!(counter(&mut stage, "native_stray"), 0);
}

#[test]
fn a37_of_many_who_log_in_as_one_user_one_is_let_in() {
    let mut stage = Stage::new(config(None));
    let clients: Vec<usize> = (0..16).map(|_| stage.join(client_config("ann"))).collect();
    stage.drive_until(|stage| {
        let is_answered = |client: &usize| {
            let kinds = stage.life(*client);
            let answers = [EventKind::LoginSucceeded, EventKind::LoginFailed];
            answers.iter().any(|answer| kinds.contains(answer))
        };
        clients.iter().all(is_answered)
    });
    let name = Identity::new("ann").expect("a name");
    assert_eq!(stage.server().sessions().by_identity(&name).count(), 1);
    assert_eq!(told(&stage, EventKind::LoginSucceeded).len(), 1);

    let mut newest_wins = config(None);
    newest_wins.host.duplicate = DuplicatePolicy::Supersede;
    let mut stage = Stage::new(newest_wins);
    for round in 1..=8 {
        stage.log_in("ann");
        stage.drive_until(|stage| told(stage, EventKind::LoginSucceeded).len() == round);
        assert_eq!(stage.server().sessions().by_identity(&name).count(), 1);
    }
}

#[test]
fn a_run_with_another_number_of_threads_takes_the_sessions_back() {
    let folder = std::env::temp_dir().join(format!("moorline-shards-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let mut stage = Stage::new(config(None).with_state_file(folder.join("state")));
    let clients: Vec<usize> = (0..20).map(|n| stage.log_in(&format!("client {n}"))).collect();
    for shards in [1, 3, SHARDS] {
        let again = config(Some(&stage)).with_state_file(folder.join("state")).with_shards(shards);
        stage.drive_for(Duration::from_millis(50));
        stage.server = None;
        stage.told_by_server.clear();
        stage.told_by_clients.iter_mut().for_each(Vec::clear);
        stage.server = Some(Server::bind(again).expect("the port is free again"));
        stage.drive_until(|stage| {
            let server = stage.server.as_ref().expect("a server");
            server.sessions().count(State::LoggedIn) == 20
                && clients.iter().all(|client| stage.clients[*client].state() == State::LoggedIn)
        });
        assert!(told(&stage, EventKind::LoginStarted).is_empty(), "{shards} shards");
        assert_eq!(told(&stage, EventKind::Resumed).len(), 20, "{shards} shards");
    }
    fs::remove_dir_all(folder).ok();
}

/// What the application does not take holds up the reading, of all threads, and nothing is lost.
#[test]
fn an_application_that_is_slow_slows_its_peers_down() {
    const MESSAGES: u32 = 3_000;
    let mut slow = config(None);
    slow.host.limits.events_max = 50;
    let mut stage = Stage::new(slow);
    let ann = stage.log_in("ann");
    let mut sent = 0;
    let until = Instant::now() + Duration::from_millis(600);
    while sent < MESSAGES {
        // Nobody looks at the server for a while.
        if Instant::now() < until {
            while stage.clients[ann].poll().is_some() {}
            std::thread::sleep(Duration::from_millis(1));
        } else {
            stage.drive_for(Duration::from_millis(5));
        }
        while sent < MESSAGES && stage.clients[ann].send(&Chat(sent.to_string())).is_ok() {
            sent += 1;
        }
    }
    let heard = |stage: &Stage| {
        let is_chat = |event: &&ServerEvent| matches!(event, ServerEvent::Message { .. });
        stage.told_by_server.iter().filter(is_chat).count() as u32
    };
    stage.drive_until(|stage| heard(stage) == MESSAGES);
    let texts = stage.told_by_server.iter().filter_map(|event| match event {
        ServerEvent::Message { message, .. } => Some(message.decode::<Chat>().expect("one").0),
        _ => None,
    });
    assert!(texts.eq((0..MESSAGES).map(|number| number.to_string())), "once and in order");
}

#[test]
fn no_threads_and_too_many_are_told() {
    for shards in [0, 65] {
        let refused = Server::bind(config(None).with_shards(shards)).expect_err("it cannot be");
        assert!(matches!(refused, StartError::Shards { len } if len == shards), "{refused}");
        assert!(refused.to_string().contains("choose 1 to 64"));
    }
    let first = Server::bind(config(None)).expect("a free port");
    let same = server_config(first.local_addresses()[0]).with_shards(SHARDS);
    let refused = Server::bind(same).expect_err("somebody has the port");
    assert!(refused.to_string().contains("address already in use"), "{refused}");
}
