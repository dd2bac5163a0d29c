//! Datagrams travel between sockets of this machine, whole, empty and too long.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::Ecn;
use moorline_udp::{BufferSizes, Departures, Recv, Sent, Sockets, Woken};

/// Far longer than loopback takes on a busy machine; a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(5);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn one() -> Sockets {
    Sockets::bind(&[any_port()], BufferSizes::SYSTEM).expect("loopback has a free port")
}

/// Waits until a datagram is there and receives it: from where it came, and its bytes.
fn next(sockets: &mut Sockets, index: usize) -> Option<(SocketAddr, Vec<u8>)> {
    // A wait may end early, but not often.
    for _ in 0..10 {
        match sockets.recv(index) {
            Recv::Datagram { from, datagram, .. } => return Some((from, datagram.to_vec())),
            Recv::Empty => sockets.wait(Some(LONG)).expect("sockets can be waited for"),
            Recv::Trouble(kind) => panic!("{kind}"),
        };
    }
    None
}

/// The mark of the next datagram.
fn next_mark(sockets: &mut Sockets) -> Option<Ecn> {
    for _ in 0..10 {
        match sockets.recv(0) {
            Recv::Datagram { ecn, .. } => return Some(ecn),
            Recv::Empty => sockets.wait(Some(LONG)).expect("sockets can be waited for"),
            Recv::Trouble(kind) => panic!("{kind}"),
        };
    }
    None
}

#[test]
fn a_datagram_arrives_with_its_bytes_and_its_sender_and_is_answered() {
    let (mut host, mut client) = (one(), one());
    assert_eq!(client.send(0, host.local_addr(0), b"ahoy"), Sent::Yes);

    let from = client.local_addr(0);
    assert_eq!(next(&mut host, 0), Some((from, b"ahoy".to_vec())));
    assert_eq!(host.recv(0), Recv::Empty);

    assert_eq!(host.send(0, from, b"ahoy yourself"), Sent::Yes);
    let from = host.local_addr(0);
    assert_eq!(next(&mut client, 0), Some((from, b"ahoy yourself".to_vec())));

    let counters = host.counters();
    assert_eq!((counters.received, counters.received_bytes), (1, 4));
    assert_eq!((counters.sent, counters.sent_bytes), (1, 13));
}

#[test]
fn each_socket_of_several_receives_its_own() {
    let mut host = Sockets::bind(&[any_port(), any_port()], BufferSizes::SYSTEM).unwrap();
    let mut client = one();
    let (first, second) = (host.local_addr(0), host.local_addr(1));
    assert_ne!(first, second);
    client.send(0, second, b"to the second");
    assert!(next(&mut host, 1).is_some_and(|(_, datagram)| datagram == b"to the second"));
    assert_eq!(host.recv(0), Recv::Empty);
    assert_eq!(host.socket_count(), 2);
}

#[test]
fn an_empty_datagram_is_a_datagram_of_length_zero() {
    let (mut host, mut client) = (one(), one());
    assert_eq!(client.send(0, host.local_addr(0), b""), Sent::Yes);
    let from = client.local_addr(0);
    assert_eq!(next(&mut host, 0), Some((from, Vec::new())));
    assert_eq!(host.counters().received, 1);
}

#[test]
fn the_longest_datagram_arrives_whole() {
    let (mut host, mut client) = (one(), one());
    let longest = vec![7; 65_507];
    assert_eq!(client.send(0, host.local_addr(0), &longest), Sent::Yes);
    assert_eq!(next(&mut host, 0), Some((client.local_addr(0), longest)));
    assert_eq!(client.send(0, host.local_addr(0), &[7; 65_508]), Sent::Lost);
    assert_eq!(client.counters().send_errors.too_large, 1);
}

/// What leaves together arrives as it was, in order for each peer: long and short ones to one peer,
/// to several in turns, empty ones, by two sockets.
#[test]
fn what_leaves_together_arrives_datagram_by_datagram() {
    let mut sender = Sockets::bind(&[any_port(), any_port()], BufferSizes::HOST).expect("ports");
    let mut peers = [one(), one(), one()];
    let mut expected = [vec![], vec![], vec![]];
    let mut departures = Departures::new();
    let lens = [1_200, 1_200, 1_200, 700, 1_200, 0, 0, 50, 50, 51, 1_452, 1_452, 1_452, 1_452, 3];
    let turns = (0..300_usize).map(|turn| if turn < 100 { 0 } else { turn % peers.len() });
    let turns: Vec<usize> = turns.collect();
    for (turn, peer) in turns.into_iter().enumerate() {
        let datagram = vec![turn as u8; lens[turn % lens.len()]];
        let socket = usize::from(turn >= 150);
        departures.push(socket, (peers[peer].local_addr(0), Ecn::NotCapable), &datagram);
        expected[peer].push((sender.local_addr(socket), datagram));
        // The system's queues of loopback are short.
        if turn % 25 == 24 {
            assert_eq!(departures.len(), 25);
            assert!(sender.flush(&mut departures), "there is room");
            assert!(departures.is_empty());
            for (peer, expected) in peers.iter_mut().zip(&mut expected) {
                for datagram in expected.drain(..) {
                    assert_eq!(next(peer, 0), Some(datagram));
                }
                assert_eq!(peer.recv(0), Recv::Empty);
            }
        }
    }
    assert_eq!(sender.counters().sent, 300);
    assert_eq!(sender.counters().send_errors.total(), 0);
}

/// Alone, in a piece to one peer, and with one call to several; and what is not to be marked is
/// not, whatever left before it.
#[test]
fn what_may_be_marked_arrives_so_and_the_rest_does_not() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let any: SocketAddr = any.parse().unwrap();
        let Ok(mut sender) = Sockets::bind(&[any], BufferSizes::SYSTEM) else { continue };
        let bind = |_| Sockets::bind(&[any], BufferSizes::SYSTEM).expect("as the one before");
        let mut peers = [0, 1].map(bind);
        let to = [0, 1].map(|peer: usize| peers[peer].local_addr(0));
        let mut departures = Departures::new();
        let mut push = |peer: usize, ecn| departures.push(0, (to[peer], ecn), &[peer as u8; 100]);
        let turns = [vec![0, 0, 0], vec![1, 0, 1, 0, 1], vec![1]];
        for turn in &turns {
            for ecn in [Ecn::Capable, Ecn::NotCapable, Ecn::Capable] {
                turn.iter().for_each(|peer| push(*peer, ecn));
            }
        }
        assert!(sender.flush(&mut departures));
        for (peer, socket) in peers.iter_mut().enumerate() {
            for turn in &turns {
                let count = turn.iter().filter(|to| **to == peer).count();
                for ecn in [Ecn::Capable, Ecn::NotCapable, Ecn::Capable] {
                    let marks = (0..count).map(|_| next_mark(socket)).collect::<Vec<_>>();
                    // Only Linux marks what leaves alone.
                    if cfg!(target_os = "linux") {
                        assert_eq!(marks, vec![Some(ecn); count], "{turn:?} to {peer}");
                    }
                }
            }
        }
        assert_eq!(sender.send(0, to[0], b"never"), Sent::Yes);
        assert_eq!(next_mark(&mut peers[0]), Some(Ecn::NotCapable));
    }
}

#[test]
fn one_that_cannot_leave_does_not_hold_up_the_others() {
    let (mut sender, mut peer) = (one(), one());
    let (to, nowhere) = (peer.local_addr(0), "[::1]:9".parse().unwrap());
    let mut departures = Departures::new();
    departures.push(0, (nowhere, Ecn::NotCapable), b"lost");
    departures.push(0, (to, Ecn::NotCapable), b"first");
    departures.push(0, (nowhere, Ecn::NotCapable), b"lost");
    departures.push(0, (to, Ecn::NotCapable), &[0; 65_508]);
    departures.push(0, (to, Ecn::NotCapable), b"second");
    departures.push(0, (to, Ecn::NotCapable), b"second");
    assert!(sender.flush(&mut departures));
    let arrived: Vec<_> = std::iter::from_fn(|| next(&mut peer, 0)).take(3).collect();
    let arrived: Vec<_> = arrived.into_iter().map(|(_, datagram)| datagram).collect();
    assert_eq!(arrived, [&b"first"[..], b"second", b"second"]);
    assert_eq!((sender.counters().sent, sender.counters().send_errors.total()), (3, 3));
}

#[test]
fn sending_to_a_closed_port_never_fails_the_socket() {
    let (mut host, mut client) = (one(), one());
    // The discard service, which nobody runs; a port that was free before may be another test's.
    let closed = SocketAddr::from(([127, 0, 0, 1], 9));
    for _ in 0..100 {
        client.send(0, closed, b"anyone?");
        assert_eq!(client.recv(0), Recv::Empty);
    }
    host.send(0, client.local_addr(0), b"I am");
    assert!(next(&mut client, 0).is_some_and(|(_, datagram)| datagram == b"I am"));
}

#[test]
fn a_datagram_to_an_address_of_the_other_family_is_loss() {
    let mut client = one();
    assert_eq!(client.send(0, "[::1]:9".parse().unwrap(), b"over there?"), Sent::Lost);
    assert_eq!(client.counters().send_errors.total(), 1);
}

#[test]
fn an_ipv6_socket_leaves_the_ipv4_port_to_others() {
    let v6 = match Sockets::bind(&["[::]:0".parse().unwrap()], BufferSizes::SYSTEM) {
        Ok(v6) => v6,
        Err(error) => return assert!(error.to_string().contains("IPv6"), "{error}"),
    };
    let v4 = SocketAddr::from(([0, 0, 0, 0], v6.local_addr(0).port()));
    Sockets::bind(&[v4], BufferSizes::SYSTEM).unwrap();
}

#[test]
fn a_wait_with_nothing_to_do_is_timed_out() {
    assert_eq!(one().wait(Some(Duration::from_millis(1))).unwrap(), Woken::default());
}
