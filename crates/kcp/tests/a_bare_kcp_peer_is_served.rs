//! An existing peer, built on the `kcp` crate and protobuf bytes by hand, plays with our host.

mod support;

use std::net::SocketAddr;

use moorline_kcp::{KcpConfig, kinds};
use moorline_link::{Control, Lane, LinkEvent, LinkId, Transport};
use support::bare::{Bare, fields, named, number_of, run};
use support::{HOST, Manner, World, counter, envelope, host_config, millis};

fn address(last: u8, port: u16) -> SocketAddr {
    ([10, 9, 0, last], port).into()
}

/// Logs a bare peer in; gives it and its link at the host.
fn enter(world: &mut World, last: u8, name: &str) -> (Bare, LinkId) {
    let mut peer = Bare::new(world.now, 1, address(last, 700), world.host_address());
    peer.send(&envelope(21, &named(name, 2, 5)));
    run(world, &mut [&mut peer], millis(100));
    let up = |event: &LinkEvent| match event {
        LinkEvent::Up { link, .. } => Some(*link),
        _ => None,
    };
    let link = world.peers[HOST].events.iter().rev().find_map(up).expect("it was let in");
    (peer, link)
}

#[test]
fn it_logs_in_beats_and_leaves() {
    let mut world = World::new(1, KcpConfig::default());
    let (mut peer, link) = enter(&mut world, 1, "ada");
    let answer = &peer.of_kind(22)[0];
    assert_eq!((number_of(answer, 4), number_of(answer, 5)), (77, 1));
    assert_eq!(fields(answer)[0].1.bytes, b"ada");
    let login = Control::Login { identity: b"ada".into(), payload: named("ada", 2, 5) };
    assert_eq!(world.controls(HOST, link), [login]);
    for _ in 0..3 {
        peer.send(&[0x08, 40]);
        run(&mut world, &mut [&mut peer], millis(50));
    }
    let ticks: Vec<u64> = peer.of_kind(41).iter().map(|answer| number_of(answer, 1)).collect();
    assert_eq!(ticks, [78, 78, 78]);
    peer.send(&envelope(23, b"\x0a\x03ada"));
    run(&mut world, &mut [&mut peer], millis(50));
    assert_eq!(world.losses(HOST), [(link, moorline_link::Reason::PeerLeft)]);
}

#[test]
fn it_hears_a_plain_no_when_it_is_turned_away() {
    let mut world = World::new(1, KcpConfig::default());
    world.peers[HOST].manner = Manner::Refuse;
    let mut peer = Bare::new(world.now, 1, address(1, 700), world.host_address());
    peer.send(&envelope(21, b"\x0a\x03ada"));
    run(&mut world, &mut [&mut peer], millis(50));
    assert_eq!(peer.of_kind(22), [b""]);
}

#[test]
fn with_one_port_everything_uses_it() {
    let mut world = World::new(2, KcpConfig::default());
    let (mut peer, link) = enter(&mut world, 1, "ada");
    let shot = envelope(3, &named("ada", 2, 9));
    peer.send(&shot);
    peer.send(&envelope(1, &named("ada", 2, 10)));
    peer.send(&envelope(1, &named("ada", 2, 10)));
    peer.send(&envelope(1, &named("ada", 2, 11)));
    run(&mut world, &mut [&mut peer], millis(50));
    let kinds: Vec<u16> = world.messages(HOST, link).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [3, 1, 1], "the repeated tick is dropped");
    assert_eq!(counter(world.host(), "kcp_stale"), 1);
    world.send(HOST, link, (kinds::PLAYER_STATE, Lane::Latest), &named("ada", 5, 3)).expect("up");
    world.send(HOST, link, (kinds::COMBAT_EVENT, Lane::ReliableOrdered), b"\x08\x09").expect("up");
    run(&mut world, &mut [&mut peer], millis(50));
    assert_eq!(peer.of_kind(2), [named("ada", 5, 3)]);
    assert_eq!(peer.of_kind(4), [b"\x08\x09"]);
}

#[test]
fn with_a_sync_port_moves_and_states_use_it() {
    let mut world = World::new(3, host_config());
    let sync_host = world.peers[HOST].addresses[1];
    let (mut peer, link) = enter(&mut world, 1, "ada");
    let mut sync = Bare::new(world.now, 1, address(1, 701), sync_host);
    for tick in [5, 6, 6, 4, 7] {
        sync.send(&envelope(1, &named("ada", 2, tick)));
    }
    peer.send(&envelope(3, &named("ada", 2, 9)));
    run(&mut world, &mut [&mut peer, &mut sync], millis(50));
    let mut messages = world.messages(HOST, link);
    messages.sort();
    let moves = [5, 6, 7].map(|tick| (1, named("ada", 2, tick)));
    assert_eq!(messages, [moves.as_slice(), &[(3, named("ada", 2, 9))]].concat());
    assert_eq!(counter(world.host(), "kcp_stale"), 2);

    world.send(HOST, link, (kinds::PLAYER_STATE, Lane::Latest), &named("ada", 5, 3)).expect("up");
    world.send(HOST, link, (kinds::COMBAT_EVENT, Lane::ReliableOrdered), b"\x08\x09").expect("up");
    run(&mut world, &mut [&mut peer, &mut sync], millis(50));
    assert_eq!(sync.got, [(2, named("ada", 5, 3))]);
    assert_eq!((peer.of_kind(2).len(), peer.of_kind(4).len()), (0, 1));
    let stats = world.host().stats(link).expect("it is up");
    assert!(stats.rtt_smoothed.is_some() && stats.in_flight_len == 0, "{stats:?}");
}

#[test]
fn one_player_cannot_freeze_the_moves_of_another() {
    let mut world = World::new(4, host_config());
    let sync_host = world.peers[HOST].addresses[1];
    let (mut ada, ada_link) = enter(&mut world, 1, "ada");
    let (mut eve, eve_link) = enter(&mut world, 2, "eve");
    let mut ada_sync = Bare::new(world.now, 1, address(1, 701), sync_host);
    let mut eve_sync = Bare::new(world.now, 1, address(2, 701), sync_host);
    eve_sync.send(&envelope(1, &named("eve", 2, 1)));
    eve_sync.send(&envelope(1, &named("ada", 2, 1 << 40)));
    eve.send(&envelope(1, &named("ada", 2, 1 << 40)));
    ada_sync.send(&envelope(1, &named("ada", 2, 1)));
    run(&mut world, &mut [&mut ada, &mut eve, &mut ada_sync, &mut eve_sync], millis(50));
    ada_sync.send(&envelope(1, &named("ada", 2, 2)));
    run(&mut world, &mut [&mut ada, &mut eve, &mut ada_sync, &mut eve_sync], millis(50));
    assert_eq!(world.messages(HOST, ada_link).len(), 2);
    assert_eq!(world.messages(HOST, eve_link).len(), 2, "one of two equal ticks is stale");
}

#[test]
fn a_sync_endpoint_is_bound_only_to_a_player_who_is_logged_in_from_there() {
    let mut world = World::new(5, host_config());
    let sync_host = world.peers[HOST].addresses[1];
    let (mut ada, link) = enter(&mut world, 1, "ada");
    let elsewhere = address(7, 701);
    let mut strangers = [
        Bare::new(world.now, 1, elsewhere, sync_host),
        Bare::new(world.now, 2, address(1, 702), sync_host),
        Bare::new(world.now, 3, address(1, 703), sync_host),
    ];
    strangers[0].send(&envelope(1, &named("ada", 2, 1)));
    strangers[1].send(&envelope(1, &named("bob", 2, 1)));
    strangers[2].send(&envelope(3, &named("ada", 2, 1)));
    let [a, b, c] = &mut strangers;
    run(&mut world, &mut [&mut ada, a, b, c], millis(50));
    assert_eq!(counter(world.host(), "kcp_sync_refused"), 3);
    assert_eq!(world.messages(HOST, link), []);

    let mut first = Bare::new(world.now, 4, address(1, 704), sync_host);
    first.send(&envelope(1, &named("ada", 2, 1)));
    run(&mut world, &mut [&mut ada, &mut first], millis(50));
    let mut second = Bare::new(world.now, 5, address(1, 705), sync_host);
    second.send(&envelope(1, &named("ada", 2, 2)));
    run(&mut world, &mut [&mut ada, &mut second], millis(5_000));
    assert_eq!(world.messages(HOST, link).len(), 1, "the bound one was not silent for long enough");
    run(&mut world, &mut [&mut ada], millis(1_200));
    second.send(&envelope(1, &named("ada", 2, 3)));
    run(&mut world, &mut [&mut ada, &mut second], millis(50));
    assert_eq!(world.messages(HOST, link).len(), 2);
}

#[test]
fn a_sync_endpoint_goes_to_the_newest_link_of_its_player_when_an_older_one_ends() {
    let mut world = World::new(8, host_config());
    let sync_host = world.peers[HOST].addresses[1];
    let (mut old, old_link) = enter(&mut world, 1, "ada");
    let mut new = Bare::new(world.now, 1, address(1, 710), world.host_address());
    new.send(&envelope(21, b"\x0a\x03ada"));
    run(&mut world, &mut [&mut old, &mut new], millis(50));
    old.send(&envelope(23, b""));
    run(&mut world, &mut [&mut old, &mut new], millis(50));
    assert_eq!(world.losses(HOST), [(old_link, moorline_link::Reason::PeerLeft)]);
    let mut sync = Bare::new(world.now, 1, address(1, 701), sync_host);
    sync.send(&envelope(1, &named("ada", 2, 1)));
    run(&mut world, &mut [&mut new, &mut sync], millis(50));
    assert_eq!(counter(world.host(), "kcp_sync_refused"), 0);
    let got =
        |event: &LinkEvent| matches!(event, LinkEvent::Message { link, .. } if *link != old_link);
    assert!(world.peers[HOST].events.iter().any(got));
}

#[test]
fn a_second_name_does_not_take_the_place_of_the_one_that_is_judged() {
    let mut world = World::new(9, KcpConfig::default());
    world.peers[HOST].manner = Manner::Accept;
    let (mut peer, link) = enter(&mut world, 1, "ada");
    peer.send(&envelope(21, b"\x0a\x03eve"));
    run(&mut world, &mut [&mut peer], millis(50));
    let yes = Control::LoginAccepted { server_tick: 1, payload: Vec::new() };
    world.control(HOST, link, &yes).expect("it is up");
    run(&mut world, &mut [&mut peer], millis(50));
    assert_eq!(fields(&peer.of_kind(22)[0])[0].1.bytes, b"ada");
}

#[test]
fn nothing_follows_a_good_bye_that_was_said_before_the_host_let_the_peer_in() {
    let mut world = World::new(10, KcpConfig::default());
    world.peers[HOST].manner = Manner::Watch;
    let mut peer = Bare::new(world.now, 1, address(1, 700), world.host_address());
    peer.send(&envelope(23, b""));
    peer.send(&envelope(3, b"bang"));
    run(&mut world, &mut [&mut peer], millis(50));
    let [LinkEvent::Asked { link, .. }] = world.peers[HOST].events[..] else { panic!("asked") };
    let now = world.now;
    world.host().accept(now, link);
    run(&mut world, &mut [&mut peer], millis(50));
    let events = &world.peers[HOST].events[1..];
    assert!(matches!(events, [LinkEvent::Up { .. }, LinkEvent::Lost { .. }]), "{events:?}");
}

#[test]
fn words_of_the_session_do_not_count_on_the_sync_lane_or_from_the_wrong_side() {
    let mut world = World::new(6, host_config());
    let sync_host = world.peers[HOST].addresses[1];
    let (mut ada, link) = enter(&mut world, 1, "ada");
    let mut sync = Bare::new(world.now, 1, address(1, 701), sync_host);
    sync.send(&envelope(1, &named("ada", 2, 1)));
    sync.send(&envelope(40, b""));
    sync.send(&envelope(23, b"\x0a\x03ada"));
    ada.send(&envelope(22, b""));
    ada.send(&envelope(41, b""));
    run(&mut world, &mut [&mut ada, &mut sync], millis(50));
    assert_eq!(counter(world.host(), "kcp_unexpected_control"), 4);
    assert_eq!(world.losses(HOST), []);
    assert_eq!(world.controls(HOST, link).len(), 1, "only the login");
}

#[test]
fn a_malformed_message_is_dropped_and_the_next_one_counts() {
    let mut world = World::new(7, KcpConfig::default());
    let (mut ada, link) = enter(&mut world, 1, "ada");
    ada.send(b"\xff\xff");
    ada.send(&envelope(1, b"\xff"));
    ada.send(&envelope(40, b"\xff"));
    ada.send(&[&[0x08][..], &[0xff; 9], &[0x01]].concat());
    ada.send(&envelope(3, b"whatever the application likes"));
    ada.send(&envelope(60_000, b"a kind that only the policy knows"));
    run(&mut world, &mut [&mut ada], millis(50));
    let counters = ["malformed_envelope", "malformed_sync", "malformed_control", "unknown_kind"];
    for name in counters {
        assert_eq!(counter(world.host(), &format!("kcp_{name}")), 1, "{name}");
    }
    let kinds: Vec<u16> = world.messages(HOST, link).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [3, 60_000]);
}
