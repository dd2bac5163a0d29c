//! A server with a state file dies, and its next run goes on with its sessions.

mod support;

use std::fs;
use std::path::PathBuf;

use moorline::{ClientEvent, EventKind, Identity, Server, ServerConfig, ServerEvent, State};
use support::{Chat, Stage, Wire, any_port, over_native, server_config};

over_native! {
    its_users_go_on_without_a_login_and_are_told_what_may_be_lost
    what_it_sends_before_they_are_back_waits_for_them
    with_another_key_or_file_or_none_they_log_in_again
    a_file_whose_end_is_torn_keeps_what_is_whole
}

/// After the loss, of which the host's next run tells. Nobody logs in.
const COMEBACK: [EventKind; 4] = [
    EventKind::ReconnectScheduled,
    EventKind::ReconnectStarted,
    EventKind::TransportConnected,
    EventKind::Resumed,
];

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = format!("moorline-state-{name}-{:?}-{}", Wire::here(), std::process::id());
        let path = std::env::temp_dir().join(folder);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn names(stage: &Stage, state: State) -> Vec<String> {
    let server = stage.server.as_ref().expect("a server");
    let sessions = server.sessions().iter().filter(|session| session.state() == state);
    let mut names: Vec<_> =
        sessions.filter_map(|session| Some(session.identity()?.to_string())).collect();
    names.sort();
    names
}

/// No good-bye: the sockets are gone, and with them all that the server had in memory.
fn kill(stage: &mut Stage) {
    stage.server = None;
    stage.told_by_server.clear();
    stage.told_by_clients.iter_mut().for_each(Vec::clear);
}

/// What a client was told of the latest gap.
fn gap(stage: &Stage, client: usize) -> [u64; 2] {
    let mut gaps = stage.told_by_clients[client].iter().rev().filter_map(|event| match event {
        ClientEvent::Session(event) => event.gap.as_deref(),
        _ => None,
    });
    gaps.next().expect("a gap").unsettled.expect("a client knows what it sent")
}

fn has_heard(stage: &Stage, text: &str) -> bool {
    let is_it = |event: &ServerEvent| match event {
        ServerEvent::Message { message, .. } => message.payload == text.as_bytes(),
        _ => false,
    };
    stage.told_by_server.iter().any(is_it)
}

fn is_login(event: &ServerEvent) -> bool {
    let is_started = |kind| kind == EventKind::LoginStarted;
    matches!(event, ServerEvent::Session(event) if is_started(event.kind))
}

fn its_users_go_on_without_a_login_and_are_told_what_may_be_lost() {
    let folder = Folder::new("back");
    let mut stage = Stage::new(server_config(any_port()).with_state_file(folder.state()));
    let config = |stage: &Stage| server_config(stage.address()).with_state_file(folder.state());
    let again = config(&stage);
    let clients: Vec<usize> = (0..20).map(|n| stage.log_in(&format!("client {n:02}"))).collect();
    let leaver = stage.log_in("leaver");
    stage.clients[leaver].close();
    stage.drive_until(|stage| names(stage, State::LoggedIn).len() == 20);

    kill(&mut stage);
    stage.clients[0].send(&Chat("before it is noticed".into())).expect("room");
    stage.server = Some(Server::bind(again.clone()).expect("the port is free again"));
    assert_eq!(names(&stage, State::ReconnectPending).len(), 20, "the leaver is not waited for");
    stage.drive_until(|stage| {
        let is_back = |client: &usize| stage.life(*client).last() == Some(&EventKind::Resumed);
        clients.iter().all(is_back)
    });
    for client in &clients {
        assert_eq!(stage.life(*client), COMEBACK);
    }
    stage.drive_until(|stage| names(stage, State::LoggedIn).len() == 20);
    assert!(!stage.told_by_server.iter().any(is_login));
    assert_eq!((gap(&stage, 0), gap(&stage, 1)), ([1, 0], [0, 0]), "one message may be lost");
    let mut gaps = stage.told_by_server.iter().filter_map(|event| match event {
        ServerEvent::Session(event) => event.gap.as_deref(),
        _ => None,
    });
    assert!(gaps.all(|gap| gap.unsettled.is_none()), "a new run does not know what was sent");

    // It goes on, and once more.
    for round in ["first", "second"] {
        let name = Identity::new("client 07").expect("a name");
        stage.clients[7].send(&Chat(round.into())).expect("room");
        stage.drive_until(|stage| has_heard(stage, round));
        let server = stage.server.as_mut().expect("a server");
        let session = server.sessions().by_identity(&name).next().expect("there").id();
        server.send(session, &Chat("to you".into())).expect("room");
        stage.drive_until(|stage| stage.received::<Chat>(7) == [Chat("to you".into())]);
        kill(&mut stage);
        stage.server = Some(Server::bind(again.clone()).expect("the port is free again"));
        stage.drive_until(|stage| stage.life(7).last() == Some(&EventKind::Resumed));
        assert_eq!(stage.life(7), COMEBACK);
    }
}

fn what_it_sends_before_they_are_back_waits_for_them() {
    let folder = Folder::new("waits");
    let mut stage = Stage::new(server_config(any_port()).with_state_file(folder.state()));
    let ann = stage.log_in("ann");
    let again = server_config(stage.address()).with_state_file(folder.state());
    kill(&mut stage);
    let mut server = Server::bind(again).expect("the port is free again");
    let session = server.sessions().iter().next().expect("ann").id();
    server.send(session, &Chat("welcome back".into())).expect("room");
    stage.server = Some(server);
    stage.drive_until(|stage| stage.received::<Chat>(ann) == [Chat("welcome back".into())]);
    assert!(stage.life(ann).contains(&EventKind::Resumed));
}

fn with_another_key_or_file_or_none_they_log_in_again() {
    let folder = Folder::new("none");
    let mut stage = Stage::new(server_config(any_port()).with_state_file(folder.state()));
    let ann = stage.log_in("ann");
    let address = stage.address();
    kill(&mut stage);
    stage.server = Some(Server::bind(server_config(address)).expect("the port is free again"));
    stage.drive_until(|stage| stage.life(ann).last() == Some(&EventKind::LoginSucceeded));
    kill(&mut stage);

    let told = |config: ServerConfig| Server::bind(config).expect_err("of no use").to_string();
    let other = moorline::host_key::generate().expect("randomness");
    let other = ServerConfig::native(any_port(), other).with_state_file(folder.state());
    assert!(told(other).contains("another host key"));
    let plain = ServerConfig::kcp_plaintext_unauthenticated(any_port());
    assert!(told(plain.with_state_file(folder.state())).contains("native listener"));
    let here = || server_config(any_port()).with_state_file(folder.state());
    let first = Server::bind(here()).expect("it is free");
    assert!(told(here()).contains("another host is using it"));
    drop(first);
    fs::write(folder.state(), "a diary").expect("it can be written");
    assert!(told(here()).contains("something else"));
    assert_eq!(fs::read(folder.state()).expect("it is there"), b"a diary", "nothing is lost");
}

fn a_file_whose_end_is_torn_keeps_what_is_whole() {
    let folder = Folder::new("torn");
    let mut stage = Stage::new(server_config(any_port()).with_state_file(folder.state()));
    let address = stage.address();
    stage.log_in("ann");
    let ann_len = fs::metadata(folder.state()).expect("a file").len();
    stage.log_in("bob");
    kill(&mut stage);
    let whole = fs::read(folder.state()).expect("a file");
    let text = String::from_utf8_lossy(&whole);
    assert!(!text.contains("ann") && !text.contains("bob"), "it is sealed");
    for len in [whole.len(), whole.len() - 1, ann_len as usize + 1, ann_len as usize] {
        fs::write(folder.state(), &whole[..len]).expect("it can be written");
        let again = server_config(address).with_state_file(folder.state());
        stage.server = Some(Server::bind(again).expect("it is of use"));
        let expected: &[&str] = if len == whole.len() { &["ann", "bob"] } else { &["ann"] };
        assert_eq!(names(&stage, State::ReconnectPending), expected, "{len} of {}", whole.len());
        kill(&mut stage);
    }
    fs::write(folder.state(), &whole[..20]).expect("it can be written");
    let told = Server::bind(server_config(address).with_state_file(folder.state()));
    assert!(told.expect_err("too short").to_string().contains("something else"));
}
