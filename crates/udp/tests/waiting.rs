//! A wait ends for what arrives, for a caller and for the time; never late, and never in a spin.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use moorline_udp::{BufferSizes, Recv, Sockets, Waker, Woken};

/// Far longer than anything here takes on a busy machine; a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(5);

fn one() -> Sockets {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    Sockets::bind(&[any_port], BufferSizes::SYSTEM).expect("loopback has a free port")
}

const READABLE: Woken = Woken { readable: true, called: false };
const CALLED: Woken = Woken { readable: false, called: true };
const TIMED_OUT: Woken = Woken { readable: false, called: false };

/// The wait's outcome, which must come well before [`LONG`] is over.
fn promptly(sockets: &mut Sockets) -> Woken {
    let before = Instant::now();
    let woken = sockets.wait(Some(LONG)).expect("sockets can be waited for");
    assert!(before.elapsed() < LONG / 2, "slept over it");
    woken
}

#[test]
fn a_timeout_below_a_millisecond_sleeps_all_of_it() {
    let mut sockets = one();
    let timeout = Duration::from_micros(300);
    for _ in 0..20 {
        let before = Instant::now();
        assert_eq!(sockets.wait(Some(timeout)).unwrap(), TIMED_OUT);
        assert!(before.elapsed() >= timeout);
    }
}

#[test]
fn what_arrived_before_the_first_wait_ends_it() {
    let mut sockets = one();
    one().send(0, sockets.local_addr(0), b"early");
    assert_eq!(promptly(&mut sockets), READABLE);
}

#[test]
fn a_wait_never_sleeps_over_what_was_left_unread() {
    let mut sockets = one();
    let mut peer = one();
    let to = sockets.local_addr(0);
    sockets.wait(Some(Duration::ZERO)).unwrap();
    for datagram in [b"1", b"2", b"3"] {
        peer.send(0, to, datagram);
    }
    // Not read at all, read in part, and read to the last one but not until empty.
    for _ in 0..3 {
        assert_eq!(promptly(&mut sockets), READABLE);
        assert_eq!(promptly(&mut sockets), READABLE);
        assert!(matches!(sockets.recv(0), Recv::Datagram { .. }));
    }
    assert_eq!(promptly(&mut sockets), READABLE);
    assert_eq!(sockets.recv(0), Recv::Empty);
    assert_eq!(sockets.wait(Some(Duration::from_millis(2))).unwrap(), TIMED_OUT);

    peer.send(0, to, b"4");
    assert_eq!(promptly(&mut sockets), READABLE);
}

#[test]
fn a_waker_ends_the_wait_of_another_thread() {
    fn assert_shareable<T: Clone + Send + Sync + 'static>(_: &T) {}

    let mut sockets = one();
    let waker = sockets.waker().unwrap();
    assert_shareable(&waker);
    let calling = thread::spawn({
        let waker = waker.clone();
        move || {
            thread::sleep(Duration::from_millis(20));
            waker.wake().unwrap();
        }
    });
    assert_eq!(promptly(&mut sockets), CALLED);
    calling.join().unwrap();
    assert_eq!(sockets.wait(Some(Duration::ZERO)).unwrap(), TIMED_OUT, "one call ends one wait");
}

#[test]
fn a_call_between_two_waits_ends_the_next() {
    let mut sockets = one();
    let wakers: [Waker; 2] = [sockets.waker().unwrap(), sockets.waker().unwrap()];
    for waker in &wakers {
        waker.wake().unwrap();
        assert_eq!(promptly(&mut sockets), CALLED);
    }
}

#[test]
fn a_busy_socket_hides_neither_the_waker_nor_the_other_socket() {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut sockets = Sockets::bind(&[any_port, any_port], BufferSizes::SYSTEM).unwrap();
    let waker = sockets.waker().unwrap();
    let mut peer = one();
    for _ in 0..2 {
        peer.send(0, sockets.local_addr(0), b"busy");
    }
    promptly(&mut sockets);
    assert!(matches!(sockets.recv(0), Recv::Datagram { .. }));

    waker.wake().unwrap();
    peer.send(0, sockets.local_addr(1), b"quiet");
    assert_eq!(promptly(&mut sockets), Woken { readable: true, called: true });
    assert!(matches!(sockets.recv(1), Recv::Datagram { datagram, .. } if datagram.len() == 5));
}
