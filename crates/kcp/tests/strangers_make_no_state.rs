//! What somebody can do who never logged in.

mod support;

use std::net::SocketAddr;

use moorline_kcp::{KcpConfig, KcpEndpoint};
use moorline_link::{LinkEvent, Port, Reason, Refusal, RefusalCode, Time, Transport};
use support::{ACK, PUSH, Raw, WASK, WINS, World, counter, envelope, host_config, millis};

fn host(config: KcpConfig) -> KcpEndpoint {
    KcpEndpoint::host_plaintext_unauthenticated(config, 1).expect("valid settings")
}

fn address(last: u8, port: u16) -> SocketAddr {
    ([10, 9, 0, last], port).into()
}

fn sent(endpoint: &mut KcpEndpoint, now: Time) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    std::iter::from_fn(|| endpoint.poll_transmit(now, &mut bytes).map(|_| bytes.clone())).collect()
}

fn events(endpoint: &mut KcpEndpoint) -> Vec<LinkEvent> {
    std::iter::from_fn(|| endpoint.poll_event()).collect()
}

const NOW: Time = Time::from_millis(1_000);

#[test]
fn only_the_very_first_data_of_a_conversation_opens_a_link() {
    let mut host = host(host_config());
    let strays = [
        Raw { sn: 1, ..Raw::PUSH },
        Raw { sn: 57, ..Raw::PUSH },
        Raw { una: 1, ..Raw::PUSH },
        Raw { cmd: ACK, ..Raw::PUSH },
        Raw { cmd: WINS, ..Raw::PUSH },
        Raw { cmd: WASK, data: b"more", ..Raw::PUSH },
    ];
    for stray in &strays {
        for port in [0, 1, 2, 255] {
            host.handle_datagram(NOW, Port(port), address(1, 1), &stray.bytes());
        }
    }
    host.handle_datagram(NOW, Port(2), address(1, 1), &Raw::PUSH.bytes());
    assert_eq!(counter(&host, "kcp_stray"), 4 * strays.len() as u64 + 1);
    assert_eq!((events(&mut host).len(), sent(&mut host, NOW).len()), (0, 0));
    assert_eq!(host.poll_timeout(), None);
}

#[test]
fn a_client_hears_only_the_host_that_it_dialled() {
    let mut client =
        KcpEndpoint::client_plaintext_unauthenticated(host_config(), 1).expect("valid");
    client.dial(NOW, address(1, 8_080), None).expect("room");
    let wins = Raw { cmd: WINS, ..Raw::PUSH };
    let other_number = Raw { conv: 2, ..wins };
    client.handle_datagram(NOW, Port(0), address(2, 8_080), &wins.bytes());
    client.handle_datagram(NOW, Port(0), address(1, 8_081), &wins.bytes());
    client.handle_datagram(NOW, Port(1), address(1, 8_080), &wins.bytes());
    client.handle_datagram(NOW, Port(0), address(1, 8_080), &other_number.bytes());
    client.handle_datagram(NOW, Port(0), address(2, 8_080), &Raw::PUSH.bytes());
    assert_eq!((events(&mut client).len(), counter(&client, "kcp_stray")), (0, 5));
    client.handle_datagram(NOW, Port(0), address(1, 8_080), &wins.bytes());
    assert!(matches!(events(&mut client)[..], [LinkEvent::Up { .. }]));
}

#[test]
fn another_conversation_of_the_same_address_replaces_nothing() {
    let mut host = host(host_config());
    for conv in [1, 2, 1] {
        let push = Raw { conv, ..Raw::PUSH };
        host.handle_datagram(NOW, Port(0), address(1, 1), &push.bytes());
    }
    let asked = events(&mut host);
    assert!(matches!(asked[..], [LinkEvent::Asked { .. }, LinkEvent::Asked { .. }]), "{asked:?}");
}

/// Two hosts, each taking what comes for a peer of its own; `first` comes to the one from the
/// other. Gives how many datagrams they send until they are quiet.
fn exchanged(first: &[u8], mut answer: impl FnMut(&mut KcpEndpoint, &LinkEvent)) -> usize {
    let mut hosts = [host(host_config()), host(host_config())];
    let addresses = [address(1, 8_080), address(2, 8_080)];
    hosts[0].handle_datagram(NOW, Port(0), addresses[1], first);
    let mut count = 0;
    for step in 0..2_000 {
        let now = NOW + millis(step * 5);
        for (index, other) in [(0, 1), (1, 0)] {
            hosts[index].handle_timeout(now);
            for event in events(&mut hosts[index]) {
                answer(&mut hosts[index], &event);
            }
            for datagram in sent(&mut hosts[index], now) {
                count += 1;
                hosts[other].handle_datagram(now, Port(0), addresses[index], &datagram);
            }
        }
    }
    count
}

#[test]
fn two_hosts_do_not_keep_each_other_busy() {
    let login = envelope(21, b"\x0a\x03ada");
    let refused = envelope(22, &[]);
    let firsts = [
        Raw { cmd: WASK, ..Raw::PUSH },
        Raw { cmd: WINS, ..Raw::PUSH },
        Raw { cmd: ACK, ..Raw::PUSH },
        Raw::PUSH,
        Raw { data: &login, ..Raw::PUSH },
        Raw { data: &refused, ..Raw::PUSH },
    ];
    for first in firsts {
        let accepting = |host: &mut KcpEndpoint, event: &LinkEvent| {
            if let LinkEvent::Asked { link, .. } = event {
                host.accept(NOW, *link);
            }
        };
        let refusing = |host: &mut KcpEndpoint, event: &LinkEvent| {
            if let LinkEvent::Asked { link, .. } = event {
                host.refuse(NOW, *link, &Refusal::new(RefusalCode::Full, "full"));
            }
        };
        assert!(exchanged(&first.bytes(), accepting) <= 2, "{first:?}");
        assert!(exchanged(&first.bytes(), refusing) <= 2, "{first:?}");
    }
}

#[test]
fn a2_a_host_sends_a_stranger_no_more_bytes_than_it_got() {
    let login = envelope(21, b"\x0a\x03ada");
    for data in [&[][..], b"x", &login] {
        for refuse in [false, true] {
            let mut host = host(host_config());
            let (mut in_bytes, mut out_bytes) = (0, 0);
            for step in 0..3_000 {
                let now = NOW + millis(step * 5);
                if step == 0 {
                    let push = Raw { data, ..Raw::PUSH }.bytes();
                    in_bytes += push.len();
                    host.handle_datagram(now, Port(0), address(1, 1), &push);
                }
                host.handle_timeout(now);
                for event in events(&mut host) {
                    match event {
                        LinkEvent::Asked { link, .. } if refuse => {
                            host.refuse(now, link, &support::full());
                        }
                        LinkEvent::Asked { link, .. } => host.accept(now, link),
                        _ => {}
                    }
                }
                out_bytes += sent(&mut host, now).concat().len();
                assert!(out_bytes <= in_bytes, "{out_bytes} out, {in_bytes} in, refused: {refuse}");
            }
        }
    }
}

#[test]
fn a_hundred_thousand_probes_from_anywhere_are_answered_and_forgotten() {
    let mut host = host(host_config());
    let probe = Raw { cmd: WASK, ..Raw::PUSH };
    for number in 0..100_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let from = SocketAddr::from(([10, a, b, c], 9));
        host.handle_datagram(NOW, Port(0), from, &Raw { conv: number, ..probe }.bytes());
        let answer = sent(&mut host, NOW);
        assert_eq!(answer, [Raw { conv: number, cmd: WINS, ..Raw::PUSH }.bytes()]);
    }
    assert_eq!((events(&mut host).len(), host.poll_timeout()), (0, None));
}

#[test]
fn limits_hold_in_all_of_one_address_and_before_the_login() {
    let knock = |host: &mut KcpEndpoint, last: u8, port: u16| {
        host.handle_datagram(NOW, Port(0), address(last, port), &Raw::PUSH.bytes());
    };
    let mut few = host(KcpConfig { links_max: 10, ..host_config() });
    (0..30).for_each(|last| knock(&mut few, last, 1));
    assert_eq!((events(&mut few).len(), counter(&few, "kcp_limit_links")), (10, 20));

    let mut near = host(KcpConfig { links_per_address_max: 4, ..host_config() });
    (0..30).for_each(|port| knock(&mut near, 1, port));
    knock(&mut near, 2, 1);
    assert_eq!((events(&mut near).len(), counter(&near, "kcp_limit_address")), (5, 26));

    let mut slow = host(KcpConfig { pending_links_max: 3, ..host_config() });
    (0..30).for_each(|last| knock(&mut slow, last, 1));
    assert_eq!((events(&mut slow).len(), counter(&slow, "kcp_limit_pending")), (3, 27));
    assert!(sent(&mut slow, NOW).is_empty(), "nothing is sent to those who are dropped");
}

#[test]
fn a_link_that_is_not_logged_in_ends_in_time_whatever_it_sends() {
    let mut host = host(host_config());
    let mut sn = 0;
    let mut lost = None;
    for step in 0..1_200 {
        let now = NOW + millis(step * 10);
        if step % 49 == 0 {
            let data = envelope(21, b"\x0a\x03ada");
            let login = Raw { sn, data: &data, ..Raw::PUSH };
            host.handle_datagram(now, Port(0), address(1, 1), &login.bytes());
            host.handle_datagram(now, Port(1), address(1, 2), &login.bytes());
            sn += 1;
        }
        host.handle_timeout(now);
        sent(&mut host, now);
        for event in events(&mut host) {
            match event {
                LinkEvent::Asked { link, .. } => host.accept(now, link),
                LinkEvent::Lost { reason, .. } => lost = Some((now, reason)),
                _ => {}
            }
        }
    }
    let (at, reason) = lost.expect("it was lost");
    assert_eq!(reason, Reason::LoginDeadline(millis(10_000)));
    assert!(at.since(NOW) <= millis(10_200), "{at:?}");
    assert_eq!(counter(&host, "kcp_pending_expired"), 2);
    assert_eq!(host.poll_timeout(), None);
}

#[test]
fn a_link_that_is_not_logged_in_may_send_so_much_and_no_more() {
    for (len, cmd_sn_step) in [(1_000, 1), (0, 1), (1, 1), (1_000, 2)] {
        let mut host = host(host_config());
        let data = vec![0; len];
        let mut lost = Vec::new();
        for number in 0..700 {
            let push = Raw { sn: number * cmd_sn_step, data: &data, ..Raw::PUSH };
            host.handle_datagram(NOW, Port(0), address(1, 1), &push.bytes());
            lost.extend(events(&mut host).into_iter().filter_map(|event| match event {
                LinkEvent::Lost { reason, .. } => Some((number, reason)),
                _ => None,
            }));
        }
        let [(at, reason)] = &lost[..] else { panic!("{lost:?}") };
        assert!(matches!(reason, Reason::Violation(_)));
        assert_eq!(*at as usize, 16 * 1_024 / (24 + len), "{len} bytes a segment");
        assert_eq!(host.poll_timeout(), None);
    }
}

#[test]
fn repeats_of_what_arrived_cost_nothing_of_what_a_link_may_send() {
    let mut host = host(host_config());
    for _ in 0..10_000 {
        host.handle_datagram(NOW, Port(0), address(1, 1), &Raw::PUSH.bytes());
    }
    assert!(matches!(events(&mut host)[..], [LinkEvent::Asked { .. }]));
    // Answers do not pile up until a timer comes.
    let (answers, repeats) = (sent(&mut host, NOW).concat().len(), 10_000 * 24);
    assert!(answers > repeats - 300 * 24 && answers <= repeats, "{answers} bytes");
}

#[test]
fn a_steady_stream_is_acknowledged_within_ten_milliseconds() {
    let mut host = host(host_config());
    for number in 0..100 {
        let now = NOW + millis(u64::from(number) * 4);
        host.handle_timeout(now);
        let push = Raw { sn: number, ..Raw::PUSH };
        host.handle_datagram(now, Port(0), address(1, 1), &push.bytes());
        if number % 4 == 3 {
            assert!(!sent(&mut host, now).is_empty(), "nothing 16 ms on, at segment {number}");
        }
    }
}

#[test]
fn every_place_is_free_again_when_its_link_is_gone() {
    let mut host = host(KcpConfig { links_max: 8, links_per_address_max: 8, ..host_config() });
    let mut now = NOW;
    for round in 0..20 {
        for port in 0..8 {
            host.handle_datagram(now, Port(0), address(1, port), &Raw::PUSH.bytes());
            host.handle_datagram(now, Port(1), address(1, port), &Raw::PUSH.bytes());
        }
        let asked = events(&mut host);
        assert_eq!(asked.len(), 8, "round {round}");
        for (index, event) in asked.iter().enumerate() {
            let LinkEvent::Asked { link, .. } = event else { panic!("{event:?}") };
            match index % 4 {
                0 => host.refuse(now, *link, &support::full()),
                1 => host.close(now, *link, None),
                2 => host.abandon(now, *link),
                _ => host.accept(now, *link),
            }
        }
        for _ in 0..12 {
            now = now + millis(1_000);
            host.handle_timeout(now);
            sent(&mut host, now);
        }
        assert_eq!(events(&mut host).len(), 6, "two came up with a message and were lost again");
        assert_eq!(host.poll_timeout(), None);
    }
}

#[test]
fn a_driver_that_takes_nothing_is_not_drowned() {
    let mut world = World::new(1, KcpConfig { transmit_bytes_max: 10_000, ..host_config() });
    let probe = Raw { cmd: WASK, ..Raw::PUSH }.bytes();
    let now = world.now;
    for _ in 0..1_000 {
        world.host().handle_datagram(now, Port(0), address(1, 1), &probe);
    }
    assert_eq!(counter(world.host(), "kcp_transmit_full"), 1_000 - 10_000 / 24);
    assert_eq!(sent(world.host(), now).len(), 10_000 / 24);
    assert_eq!(PUSH, 81);
}
