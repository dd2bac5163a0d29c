//! Moves and states: where they travel, and which of them.

mod support;

use std::time::Duration;

use moorline_kcp::{KcpConfig, kinds};
use moorline_link::{Control, Lane, LinkId, Outgoing, Port, Reason, SendError, Transport};
use prost::Message;
use support::{HOST, Raw, World, counter, host_config, millis};

fn move_of(player: &str, tick: i64) -> Vec<u8> {
    kinds::MoveInput { player_id: player.into(), tick, turn_input: 0.5, ..Default::default() }
        .encode_to_vec()
}

fn state_of(player: &str, tick: i64) -> Vec<u8> {
    kinds::PlayerState { player_id: player.into(), tick, hp: 3, ..Default::default() }
        .encode_to_vec()
}

const MOVE: (u16, Lane) = (kinds::MOVE_INPUT, Lane::Latest);
const STATE: (u16, Lane) = (kinds::PLAYER_STATE, Lane::Latest);

/// The first client goes on beating, as every session does.
fn beat_for(world: &mut World, link: LinkId, seconds: u32) {
    for beat in 0..seconds {
        // Not where the link is gone.
        let _ = world.control(1, link, &Control::Beat { beat });
        world.run(millis(1_000));
    }
}

#[test]
fn they_use_the_sync_port_once_the_player_is_logged_in() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    world.tap = Some(Vec::new());
    world.send(1, link, MOVE, &move_of("ada", 1)).expect("it is up");
    world.run(millis(100));
    world.send(HOST, at_host, STATE, &state_of("ada", 1)).expect("it is up");
    world.run(millis(100));
    let sent = world.tap.take().expect("tapped");
    assert!(sent.iter().all(|sent| sent.to.port() == 8_081 || sent.from.port() == 8_081));
    assert_eq!(world.messages(HOST, at_host), [(1, move_of("ada", 1))]);
    assert_eq!(world.messages(1, link), [(2, state_of("ada", 1))]);
    assert_eq!(world.host().stats(at_host).map(|stats| stats.received.count > 0), Some(true));
}

#[test]
fn a_client_that_sends_something_else_first_names_its_player_on_its_own() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    world.send(1, link, (900, Lane::Latest), b"look").expect("it is up");
    world.run(millis(100));
    let naming = kinds::MoveInput { player_id: "ada".into(), ..Default::default() };
    let expected = [(1, naming.encode_to_vec()), (900, b"look".to_vec())];
    assert_eq!(world.messages(HOST, at_host), expected);
}

#[test]
fn without_a_sync_port_on_either_side_they_use_the_reliable_one() {
    let plain = KcpConfig::default();
    for (host, client) in [(plain.clone(), host_config()), (host_config(), plain)] {
        let host_listens = host.sync.is_some();
        let mut world = World::new(1, host);
        let client = world.add_client(client);
        let (link, at_host) = world.log_in(client, "ada");
        for tick in 0..100 {
            world.send(client, link, MOVE, &move_of("ada", tick)).expect("it is up");
            world.send(HOST, at_host, STATE, &state_of("ada", tick)).expect("it is up");
            world.run(millis(100));
        }
        assert!(world.messages(client, link).contains(&(2, state_of("ada", 99))));
        assert!(world.messages(HOST, at_host).contains(&(1, move_of("ada", 99))));
        let failed = counter(&world.peers[client].endpoint, "kcp_sync_failed");
        assert_eq!(failed, u64::from(!host_listens), "a dead sync lane is given up after a while");
    }
}

#[test]
fn behind_a_stalled_peer_only_the_newest_of_each_key_waits() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    world.deaf = Some(world.peers[HOST].addresses[1]);
    let send = |world: &mut World, key: u64, tick: i64| {
        let payload = move_of(&format!("player {key}"), tick);
        let message =
            Outgoing { kind: 1, lane: Lane::Latest, key, payload: &payload, notice: None };
        world.peers[1].endpoint.send(world.now, link, message)
    };
    world.send(1, link, MOVE, &move_of("ada", 1)).expect("it is up");
    for tick in 1..=1_000 {
        for key in 0..3 {
            send(&mut world, key, tick).expect("the newest always has room");
        }
        world.run(millis(3));
    }
    let stats = world.peers[1].endpoint.stats(link).expect("it is up");
    assert_eq!(stats.send_queue_len + stats.in_flight_len, 32 + 3, "{stats:?}");
    world.deaf = None;
    world.run(millis(3_000));
    let got = world.messages(HOST, at_host);
    assert_eq!(got.len(), 32 + 3);
    for key in 0..3 {
        assert!(got.contains(&(1, move_of(&format!("player {key}"), 1_000))));
    }
}

#[test]
fn a_state_on_the_sync_lane_overtakes_none_that_went_before_on_the_reliable_one() {
    const LOOK: (u16, Lane) = (900, Lane::Latest);
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    // The host knows no sync endpoint yet, and its first state is lost on the way.
    world.deaf = Some(world.peers[1].addresses[0]);
    world.send(HOST, at_host, LOOK, b"old").expect("it is up");
    world.run(millis(15));
    world.send(1, link, MOVE, &move_of("ada", 1)).expect("it is up");
    world.run(millis(200));
    world.send(HOST, at_host, LOOK, b"new").expect("it is up");
    world.run(millis(200));
    world.deaf = None;
    world.run(millis(2_000));
    let expected = [(900, b"old".to_vec()), (900, b"new".to_vec())];
    assert_eq!(world.messages(1, link), expected);
}

#[test]
fn a_host_that_did_not_listen_gives_no_sync_lane_up() {
    let mut world = World::with_clients(1, 2);
    let (ada, at_host) = world.log_in(1, "ada");
    let (bob, _) = world.log_in(2, "bob");
    world.send(1, ada, MOVE, &move_of("ada", 1)).expect("it is up");
    world.send(2, bob, MOVE, &move_of("bob", 1)).expect("it is up");
    world.run(millis(200));
    // Its application is slow, so nothing is read, but time goes on.
    world.send(HOST, at_host, STATE, &state_of("ada", 1)).expect("it is up");
    let end = world.now + Duration::from_secs(20);
    while world.now < end {
        world.now = world.now + millis(10);
        let now = world.now;
        world.host().handle_timeout(now);
    }
    // Of all that waits for it, it reads somebody else's first.
    let (now, bob_at) = (world.now, world.peers[2].addresses[0]);
    world.host().handle_datagram(now, Port(0), bob_at, &Raw::PUSH.bytes());
    world.now = now + millis(10);
    let now = world.now;
    world.host().handle_timeout(now);
    world.run(millis(1_000));
    assert_eq!(counter(world.host(), "kcp_sync_failed"), 0);
    assert_eq!(world.losses(HOST), []);
}

#[test]
fn a_link_whose_reliable_lane_died_is_lost_although_its_sync_lane_goes_on() {
    let mut world = World::with_clients(1, 1);
    let (link, at_host) = world.log_in(1, "ada");
    let sync_goes_on = |world: &mut World, ticks: std::ops::Range<i64>| {
        for tick in ticks {
            world.send(1, link, MOVE, &move_of("ada", tick)).ok();
            world.run(millis(500));
        }
    };
    sync_goes_on(&mut world, 1..4);
    world.deaf = Some(world.host_address());
    let beat = Control::Beat { beat: 1 };
    world.control(1, link, &beat).expect("it is up");
    sync_goes_on(&mut world, 4..20);
    assert_eq!(world.losses(1), [], "it may still come back");
    sync_goes_on(&mut world, 20..40);
    assert_eq!(world.losses(1), [(link, Reason::Unacknowledged)]);
    assert!(!world.messages(HOST, at_host).is_empty());
}

#[test]
fn only_other_keys_make_the_queue_full() {
    let mut world = World::new(1, host_config());
    let client = world.add_client(KcpConfig { latest_keys_max: 2, ..host_config() });
    let (link, _) = world.log_in(client, "ada");
    world.deaf = Some(world.peers[HOST].addresses[1]);
    let now = world.now;
    let mut send = |key| {
        let payload = move_of("ada", 1);
        let message =
            Outgoing { kind: 1, lane: Lane::Latest, key, payload: &payload, notice: None };
        world.peers[client].endpoint.send(now, link, message)
    };
    (0..32).for_each(|_| send(0).expect("there is room"));
    assert_eq!(
        [send(1), send(2), send(3), send(1)],
        [Ok(()), Ok(()), Err(SendError::Full), Ok(())]
    );
}

#[test]
fn a_full_reliable_queue_refuses_and_takes_again_when_it_drained() {
    let mut world = World::with_clients(1, 1);
    let (link, _) = world.log_in(1, "ada");
    world.deaf = Some(world.host_address());
    let shot = (3, Lane::ReliableOrdered);
    (0..1_024).for_each(|_| world.send(1, link, shot, b"bang").expect("there is room"));
    assert_eq!(world.send(1, link, shot, b"bang"), Err(SendError::Full));
    world.deaf = None;
    world.run(millis(5_000));
    assert_eq!(world.send(1, link, shot, b"bang"), Ok(()));
}

#[test]
fn where_two_players_of_one_address_claimed_one_name_nobody_gets_the_others_moves() {
    let mut world = World::with_clients(1, 2);
    // Both play behind one router.
    let shared = world.peers[1].addresses[0].ip();
    world.peers[2].addresses = [(shared, 6_000).into(), (shared, 6_001).into()];
    let (one, one_at_host) = world.log_in(1, "guest");
    let (_, other_at_host) = world.log_in(2, "guest");
    world.send(1, one, MOVE, &move_of("guest", 1)).expect("it is up");
    world.run(millis(200));
    assert_eq!(world.messages(HOST, other_at_host), []);
    assert!(counter(world.host(), "kcp_sync_refused") > 0);
    // After a while without an answer the client's moves take the reliable lane.
    beat_for(&mut world, one, 8);
    world.send(1, one, MOVE, &move_of("guest", 2)).expect("it is up");
    world.run(millis(200));
    assert!(world.messages(HOST, one_at_host).contains(&(1, move_of("guest", 2))));
    assert_eq!(world.messages(HOST, other_at_host), []);
}
