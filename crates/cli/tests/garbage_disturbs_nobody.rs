//! Datagrams that are no protocol's, thrown at a host from an address that nobody knows and from
//! many that were just used, while a session goes on.

#![cfg(unix)]

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::Program;

/// The largest payload of a datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;

/// Bytes that look like nothing, the same in every run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(next).collect()
}

/// The first datagram of a genuine client.
fn genuine() -> Vec<u8> {
    let ear = UdpSocket::bind("127.0.0.1:0").expect("a port");
    ear.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let _dialer = Program::dial(ear.local_addr().expect("bound"), "ann");
    let mut datagram = vec![0; 2_048];
    let (len, _) = ear.recv_from(&mut datagram).expect("a dial");
    datagram.truncate(len);
    datagram
}

#[test]
fn a21_a_session_goes_on_through_a_hail_of_garbage() {
    let (mut host, address) = Program::serve("127.0.0.1:0", &[]);
    let mut ann = Program::connect(address, "ann");
    let dial = genuine();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for round in 0..200 {
        let seed = round as u64;
        let mut hail = vec![vec![], noise(seed, 1), noise(seed, 24), noise(seed, 1_400)];
        hail.push(noise(seed, DATAGRAM_MAX - round));
        hail.push(dial[..round % dial.len()].to_vec());
        let mut bent = dial.clone();
        bent[round % dial.len()] ^= 1 << (round % 8);
        bent.extend(noise(seed, round));
        hail.push(bent);
        for datagram in hail {
            // A full socket buffer drops it, which is the network's right.
            socket.send_to(&datagram, address).ok();
        }
        if round % 20 == 0 {
            ann.type_line(&format!("round {round}"));
        }
    }
    ann.wait_for("ann: round 180");
    let mut bob = Program::connect(address, "bob");
    bob.type_line("hello");
    ann.wait_for("bob: hello");
    host.wait_for("bob LoginPending -> LoggedIn");
    let troubles = ann.lines().iter().filter(|line| line.contains("Reconnect")).count();
    assert_eq!(troubles, 0);
    assert_eq!(host.stop().0, Some(0));
}
