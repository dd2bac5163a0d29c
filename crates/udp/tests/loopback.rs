//! Datagrams travel between sockets of this machine, whole, empty and too long.

use std::net::SocketAddr;
use std::time::Duration;

use moorline_udp::{BufferSizes, Recv, Sent, Sockets, Woken};

/// Far longer than loopback takes on a busy machine; a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(5);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn one() -> Sockets {
    Sockets::bind(&[any_port()], BufferSizes::SYSTEM).expect("loopback has a free port")
}

/// Waits until something is there and receives it.
fn next(sockets: &mut Sockets, index: usize, buffer: &mut [u8]) -> Recv {
    // A wait may end early, but not often.
    for _ in 0..10 {
        match sockets.recv(index, buffer) {
            Recv::Empty => sockets.wait(Some(LONG)).expect("sockets can be waited for"),
            found => return found,
        };
    }
    Recv::Empty
}

#[test]
fn a_datagram_arrives_with_its_bytes_and_its_sender_and_is_answered() {
    let (mut host, mut client) = (one(), one());
    assert_eq!(client.send(0, host.local_addr(0), b"ahoy"), Sent::Yes);

    let mut buffer = [0; 64];
    let from = client.local_addr(0);
    assert_eq!(next(&mut host, 0, &mut buffer), Recv::Datagram { len: 4, from });
    assert_eq!(&buffer[..4], b"ahoy");
    assert_eq!(host.recv(0, &mut buffer), Recv::Empty);

    assert_eq!(host.send(0, from, b"ahoy yourself"), Sent::Yes);
    let from = host.local_addr(0);
    assert_eq!(next(&mut client, 0, &mut buffer), Recv::Datagram { len: 13, from });

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
    assert!(matches!(next(&mut host, 1, &mut [0; 64]), Recv::Datagram { len: 13, .. }));
    assert_eq!(host.recv(0, &mut [0; 64]), Recv::Empty);
    assert_eq!(host.socket_count(), 2);
}

#[test]
fn an_empty_datagram_is_a_datagram_of_length_zero() {
    let (mut host, mut client) = (one(), one());
    assert_eq!(client.send(0, host.local_addr(0), b""), Sent::Yes);
    let from = client.local_addr(0);
    assert_eq!(next(&mut host, 0, &mut [0; 64]), Recv::Datagram { len: 0, from });
    assert_eq!(host.counters().received, 1);
}

#[test]
fn a_datagram_longer_than_the_buffer_is_told_and_counted_and_the_next_is_whole() {
    let (mut host, mut client) = (one(), one());
    let mut buffer = [0; 8];
    client.send(0, host.local_addr(0), b"nine byte");
    client.send(0, host.local_addr(0), b"eight by");
    let from = client.local_addr(0);
    let told = next(&mut host, 0, &mut buffer);
    assert!(matches!(told, Recv::Truncated { from: told } if told.is_none_or(|told| told == from)));
    assert_eq!(next(&mut host, 0, &mut buffer), Recv::Datagram { len: 8, from });
    assert_eq!(host.counters().truncated, 1);
    assert_eq!(host.counters().received, 1);
}

#[test]
fn sending_to_a_closed_port_never_fails_the_socket() {
    let (mut host, mut client) = (one(), one());
    // The discard service, which nobody runs; a port that was free before may be another test's.
    let closed = SocketAddr::from(([127, 0, 0, 1], 9));
    for _ in 0..100 {
        client.send(0, closed, b"anyone?");
        assert_eq!(client.recv(0, &mut [0; 64]), Recv::Empty);
    }
    host.send(0, client.local_addr(0), b"I am");
    assert!(matches!(next(&mut client, 0, &mut [0; 64]), Recv::Datagram { len: 4, .. }));
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
