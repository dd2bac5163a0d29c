//! Between a server and a client is a router, which may mark what they send, and does.

#![cfg(target_os = "linux")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use moorline::{Client, State};
use moorline_link::Ecn;
use moorline_udp::{BufferSizes, Departures, Recv, Sockets};
use support::{Chat, Stage, any_port, client_config, over_native, server_config};

over_native! {
    what_both_sides_send_may_be_marked_and_all_of_it_arrives
}

/// What the router saw of each side: what it could mark.
type Seen = [AtomicU64; 2];

/// Carries what one client and a server send to each other, and marks one in four of what it may.
struct Router {
    address: SocketAddr,
    seen: Arc<Seen>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    fn new(server: SocketAddr) -> Self {
        let sockets = Sockets::bind(&[any_port(), any_port()], BufferSizes::SYSTEM);
        let mut sockets = sockets.expect("free ports");
        let address = sockets.local_addr(0);
        let (seen, is_over) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let (its_seen, its_end) = (Arc::clone(&seen), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let mut peers = [any_port(), server];
            while !its_end.load(Ordering::SeqCst) {
                sockets.wait(Some(Duration::from_millis(5))).expect("sockets can be waited for");
                carry(&mut sockets, &mut peers, &its_seen);
            }
        });
        Self { address, seen, is_over, thread: Some(thread) }
    }

    fn seen(&self) -> [u64; 2] {
        self.seen.each_ref().map(|seen| seen.load(Ordering::SeqCst))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the router works");
        }
    }
}

/// What came by one socket leaves by the other.
fn carry(sockets: &mut Sockets, peers: &mut [SocketAddr; 2], seen: &Seen) {
    let mut departures = Departures::new();
    for side in [0, 1] {
        while let Recv::Datagram { from, datagram, ecn, .. } = sockets.recv(side) {
            peers[side] = from;
            let may_mark = ecn == Ecn::Capable;
            let before = seen[side].fetch_add(may_mark.into(), Ordering::SeqCst);
            let ecn = if may_mark && before % 4 == 3 { Ecn::Congested } else { ecn };
            departures.push(1 - side, (peers[1 - side], ecn), datagram);
        }
    }
    sockets.flush(&mut departures);
}

fn what_both_sides_send_may_be_marked_and_all_of_it_arrives() {
    let mut stage = Stage::new(server_config(any_port()));
    let router = Router::new(stage.address());
    let client = Client::connect(router.address, client_config("ann")).expect("a free port");
    stage.clients.push(client);
    stage.told_by_clients.push(Vec::new());
    stage.drive_until(|stage| stage.clients[0].state() == State::LoggedIn);
    let session = stage.server().sessions().iter().next().expect("hers").id();
    for number in 1..=50 {
        let text = Chat(format!("number {number}"));
        stage.clients[0].send(&text).expect("room");
        stage.server().send(session, &text).expect("room");
        stage.drive_until(|stage| stage.received::<Chat>(0).len() == number);
    }
    stage.drive_for(Duration::from_millis(200));
    let seen = router.seen();
    assert!(seen.iter().all(|seen| *seen > 25), "{seen:?}");
}
