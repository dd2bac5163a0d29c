//! The heap that an idle session costs on a host: logged in, encrypted, on the native protocol.
//!
//! ```text
//! cargo run --release -p moorline-bench --bin memory            # 10,000 sessions
//! cargo run --release -p moorline-bench --bin memory -- 100000  # or as many
//! ```
//!
//! The sessions have had nothing to say but a beat every two seconds for 40 seconds. The total is
//! what a real host gives back when it is dropped. Its parts are private, so those that can be are
//! built here a second time and counted alone; the rest are the links. Bytes are those that were
//! asked for, without the allocator's own (8 to 16 bytes a block).

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::alloc::System;
use std::num::NonZeroU32;
use std::time::Duration;

use moorline_bench::{NativeCrowd, address, identity};
use moorline_link::index::Index;
use moorline_link::network::PerIp;
use moorline_link::rng::Rng;
use moorline_link::slots::{Slots, make_room};
use moorline_link::wheel::Wheel;
use moorline_link::{Identity, Time};
use moorline_session::{Event, Limits, Session};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NOW: Time = Time::from_millis(1_000);
const IDLE: Duration = Duration::from_secs(40);

fn main() {
    let sessions = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(10_000_u32);
    let mut crowd = NativeCrowd::new();
    crowd.log_in(NOW, sessions);
    let awake = held();
    crowd.idle(NOW, IDLE);
    let given_back = awake.saturating_sub(held());
    let host = crowd.into_host();
    let all_sessions: Vec<Session> = host.sessions().iter().cloned().collect();
    let parts = parts(&all_sessions);
    let before = held();
    drop(host);
    let total = before - held();

    println!("bytes of heap a session, {sessions} sessions\n");
    let a_session = |bytes: usize| bytes as f64 / f64::from(sessions);
    let explained: usize = parts.iter().map(|(_, bytes)| bytes).sum();
    for (part, bytes) in parts {
        println!("{part:56}{:>9.1}", a_session(bytes));
    }
    println!(
        "{:56}{:>9.1}",
        "native: links that rest, and their keys",
        a_session(total - explained)
    );
    println!("{:56}{:>9.1}", "all of the host", a_session(total));
    println!("{:56}{:>9.1}", "given back since the last one logged in", a_session(given_back));
}

/// What can be built of a host from the outside, each part alone.
fn parts(all: &[Session]) -> [(&'static str, usize); 11] {
    let mut rng = Rng::new(2);
    let rng = &mut rng;
    let users = || 0..all.len() as u32;
    let slots = counted(|| {
        let mut slots = Slots::new(rng);
        for session in all {
            slots.insert_with(|_| session.clone());
        }
        slots
    });
    let name_bytes =
        counted(|| users().map(identity).collect::<Vec<_>>()).1 - all.len() * size_of::<Identity>();
    let index = counted(|| {
        let mut index = Index::new(rng);
        users().for_each(|user| index.insert(&user, user));
        index
    });
    let by_ip = counted(|| {
        let mut counts = PerIp::<u32>::new(rng);
        users().for_each(|user| counts.change(address(user).ip(), |count| *count += 1));
        counts
    });
    let census = counted(|| {
        let mut counts = PerIp::<[u32; 2]>::new(rng);
        users().for_each(|user| counts.change(address(user).ip(), |count| count[0] += 1));
        counts
    });
    let on_link = counted(|| {
        let mut on_link: Vec<Option<NonZeroU32>> = Vec::new();
        for user in users() {
            make_room(&mut on_link);
            on_link.push(NonZeroU32::new(user + 1));
        }
        on_link
    });
    let timers = counted(|| {
        let mut wheel = Wheel::new();
        users().for_each(|timer| wheel.set(NOW, timer, NOW + Duration::from_secs(4)));
        wheel
    });
    let history = Limits::default().history_max * size_of::<Event>();
    [
        ("session: table", slots.1),
        ("session: name of 12 bytes", name_bytes),
        ("session: index by address", index.1),
        ("session: index by identity", index.1),
        ("session: count by IP address (none shared here)", by_ip.1),
        ("session: session of each link", on_link.1),
        ("session: timing wheel", timers.1),
        ("session: history of the last 1,024 events", history),
        ("native: index of tickets", index.1),
        ("native: count by IP address", census.1),
        ("native: timing wheel", timers.1),
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
