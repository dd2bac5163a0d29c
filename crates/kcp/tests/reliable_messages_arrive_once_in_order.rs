//! On a network that delays, loses, doubles and reorders.

mod support;

use moorline_link::{Control, Lane, Transport};
use support::{HOST, Weather, World, millis};

const SHOT: (u16, Lane) = (3, Lane::ReliableOrdered);

#[test]
fn both_ways_for_any_seed() {
    for seed in 0..12 {
        let mut world = World::with_clients(seed, 1);
        let (link, at_host) = world.log_in(1, "ada");
        world.weather = Weather::STORM;
        for number in 0..200_u32 {
            // Some are longer than a segment.
            let mut payload = number.to_le_bytes().to_vec();
            payload.resize(if number % 20 == 0 { 5_000 } else { 4 }, 0);
            world.send(1, link, SHOT, &payload).expect("there is room");
            world.send(HOST, at_host, SHOT, &payload).expect("there is room");
            world.run(millis(5));
        }
        world.run(millis(20_000));
        for (peer, link) in [(HOST, at_host), (1, link)] {
            let got = world.messages(peer, link);
            let numbers: Vec<u32> = got
                .iter()
                .map(|(_, at)| u32::from_le_bytes([at[0], at[1], at[2], at[3]]))
                .collect();
            assert!(numbers.into_iter().eq(0..200), "seed {seed}");
        }
        let stats = world.host().stats(at_host).expect("it is up");
        assert!(stats.repeats >= stats.losses && stats.losses > 0, "{stats:?}");
        assert_eq!(
            (stats.in_flight_len, stats.send_queue_len, stats.receive_buffer_len),
            (0, 0, 0)
        );
    }
}

#[test]
fn logins_come_through_in_any_weather() {
    for seed in 100..130 {
        let mut world = World::with_clients(seed, 1);
        world.weather = Weather::STORM;
        let link = world.dial(1);
        world.run(millis(3_000));
        let login = Control::Login { identity: b"ada".into(), payload: Vec::new() };
        world.control(1, link, &login).expect("it is up");
        world.run(millis(5_000));
        let accepted = world.controls(1, link);
        assert!(
            matches!(accepted.as_slice(), [Control::LoginAccepted { server_tick: 77, .. }]),
            "seed {seed}: {accepted:?}"
        );
    }
}

#[test]
fn the_longest_message_arrives_and_a_longer_one_is_refused() {
    let mut world = World::with_clients(3, 1);
    let (link, at_host) = world.log_in(1, "ada");
    let longest = vec![7; 64 * 1_024];
    world.send(1, link, SHOT, &longest).expect("it is not too long");
    world.run(millis(1_000));
    assert_eq!(world.messages(HOST, at_host), [(3, longest)]);
    let error = world.send(1, link, SHOT, &vec![7; 64 * 1_024 + 1]).expect_err("too long");
    let (len, len_max) = (65_537, 65_536);
    assert_eq!(error, moorline_link::SendError::TooLarge { len, len_max });
}

#[test]
fn the_longest_message_that_can_be_configured_arrives() {
    let config = moorline_kcp::KcpConfig { message_len_max: 149_342, ..support::host_config() };
    let mut world = World::new(4, config.clone());
    let client = world.add_client(config);
    let (link, at_host) = world.log_in(client, "ada");
    world.send(client, link, SHOT, &vec![7; 149_342]).expect("it is not too long");
    world.run(millis(2_000));
    assert_eq!(world.messages(HOST, at_host)[0].1.len(), 149_342);
}
