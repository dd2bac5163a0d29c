//! The heap that an idle session costs on a host: logged in, on the memory transport.
//!
//! ```text
//! cargo run --release -p moorline-bench --bin memory            # 100,000 sessions
//! cargo run --release -p moorline-bench --bin memory -- 131072  # or as many
//! ```
//!
//! The total is that of a real host. Its parts are private, so each is built here a second time
//! from the same types and counted alone; what is left over says how well that fits. Bytes are
//! those that were asked for, without the allocator's own (8 to 16 bytes a block).

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::alloc::System;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use moorline_bench::{Crowd, address, identity};
use moorline_link::memory::Memory;
use moorline_link::rng::{KeyedState, Rng};
use moorline_link::slots::Slots;
use moorline_link::transport::Volume;
use moorline_link::wheel::Wheel;
use moorline_link::{Identity, LinkEvent, LinkId, Port, Reason, Time, Transport};
use moorline_session::{ClockSync, HostEvent, LivenessPolicy, RoundTrip, Session, SessionId};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NOW: Time = Time::from_millis(1_000);

fn main() {
    let sessions = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(100_000_u32);
    let (crowd, total) = counted(|| {
        let mut crowd = Crowd::new(LivenessPolicy::default());
        crowd.log_in(NOW, 0..sessions);
        crowd
    });
    println!("bytes of heap a session, {sessions} sessions\n");
    let a_session = |bytes: usize| bytes as f64 / f64::from(sessions);
    let mut explained = 0;
    for (part, bytes) in parts(&crowd, sessions) {
        println!("{part:56}{:>9.1}", a_session(bytes));
        explained += bytes;
    }
    println!(
        "{:56}{:>9.1}",
        "not explained by these parts",
        a_session(total) - a_session(explained)
    );
    println!("{:56}{:>9.1}", "all of the host", a_session(total));

    println!("\nsize_of in bytes\n");
    for (name, size) in sizes() {
        println!("{name:56}{size:>7}");
    }
}

/// What a host is made of, each built alone.
fn parts(crowd: &Crowd, sessions: u32) -> [(&'static str, usize); 8] {
    let mut rng = Rng::new(2);
    let rng = &mut rng;
    let ids: Vec<SessionId> = crowd.host.sessions().iter().map(Session::id).collect();
    let users = || (0..sessions).zip(ids.iter().copied());
    let names = counted(|| (0..sessions).map(identity).collect::<Vec<_>>());
    let name_bytes = names.1 - sessions as usize * size_of::<Identity>();
    let slots = counted(|| {
        let mut slots = Slots::new(rng);
        for session in crowd.host.sessions().iter() {
            slots.insert_with(|_| session.clone());
        }
        slots
    });
    let by_address = counted(|| {
        let mut index: HashMap<SocketAddr, SessionId, _> = keyed(rng);
        for (user, id) in users() {
            index.insert(address(user), id);
        }
        index
    });
    let by_identity = counted(|| {
        let mut index: HashMap<Identity, Vec<SessionId>, _> = keyed(rng);
        for (name, id) in names.0.iter().zip(&ids) {
            index.entry(name.clone()).or_default().push(*id);
        }
        index
    });
    let by_ip = counted(|| {
        let mut index: HashMap<IpAddr, usize, _> = keyed(rng);
        for (user, _) in users() {
            index.insert(address(user).ip(), 1);
        }
        index
    });
    let on_link = counted(|| {
        let mut on_link: Vec<Option<SessionId>> = Vec::new();
        for id in &ids {
            on_link.resize(on_link.len() + 1, Some(*id));
        }
        on_link
    });
    let timers = counted(|| {
        let mut wheel = Wheel::new();
        (0..sessions).for_each(|timer| wheel.set(NOW, timer, NOW + Duration::from_secs(4)));
        wheel
    });
    let transport = counted(|| links(sessions));
    [
        ("table: slots of sessions", slots.1),
        ("table: identity of 12 bytes, shared with the index", name_bytes),
        ("table: index by address", by_address.1),
        ("table: index by identity, each with its list of sessions", by_identity.1),
        ("table: count by IP address (none shared here)", by_ip.1),
        ("host: session of each link slot", on_link.1),
        ("table: timing wheel", timers.1),
        ("memory transport: links and their index", transport.1),
    ]
}

fn keyed<K, V>(rng: &mut Rng) -> HashMap<K, V, KeyedState> {
    HashMap::with_hasher(KeyedState::new(rng))
}

/// A transport with links that are up and at rest, without a host.
fn links(sessions: u32) -> Memory {
    let mut transport = Memory::new(3);
    let mut datagram = Vec::new();
    for user in 0..sessions {
        transport.handle_datagram(NOW, Port(0), address(user), &[1, 1, 0, 0, 0]);
        while let Some(event) = transport.poll_event() {
            if let LinkEvent::Asked { link, .. } = event {
                transport.accept(NOW, link);
            }
        }
        while transport.poll_transmit(NOW, &mut datagram).is_some() {}
    }
    transport
}

const fn sizes() -> [(&'static str, usize); 9] {
    [
        ("Session", size_of::<Session>()),
        ("  its Option<Reason>", size_of::<Option<Reason>>()),
        ("  its two Volumes", 2 * size_of::<Volume>()),
        ("  its Option<SocketAddr>", size_of::<Option<SocketAddr>>()),
        ("  its Option<Identity>", size_of::<Option<Identity>>()),
        ("RoundTrip (a client has one)", size_of::<RoundTrip>()),
        ("ClockSync (a client has one)", size_of::<ClockSync>()),
        ("HostEvent", size_of::<HostEvent>()),
        ("LinkId", size_of::<LinkId>()),
    ]
}

/// What `make` makes, and how many bytes of heap it holds.
fn counted<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = held();
    let made = make();
    (made, held() - before)
}

/// Allocated less freed; the crate counts a reallocation's difference in with these.
fn held() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
