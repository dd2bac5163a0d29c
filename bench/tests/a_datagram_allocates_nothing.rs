//! A host on the native protocol that moves messages asks the allocator for nothing: not for a
//! datagram that comes, a message in it, its acknowledgement, a message to send, nor its datagram.

use std::alloc::System;
use std::time::Duration;

use moorline_bench::{Arrival, INPUT, NativeCrowd, STATE, WORD};
use moorline_link::Time;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const USERS: u32 = 50;
/// Until queues have the length that they keep.
const WARM_TICKS: u32 = 300;
const TICKS: u32 = 120;
const TICK: Duration = Duration::from_micros(33_333);

fn allocations() -> usize {
    let stats = HEAP.stats();
    stats.allocations + stats.reallocations
}

/// What the clients of a game say in a tick: an input each, now and then a word and a heartbeat.
fn say(crowd: &mut NativeCrowd, now: Time, tick: u32) -> Vec<Arrival> {
    for user in 0..USERS {
        crowd.say(now, user, INPUT, &[1; 64]);
        if (user + tick).is_multiple_of(30) {
            crowd.say(now, user, WORD, &[2; 64]);
        }
        if (user + tick).is_multiple_of(60) {
            crowd.beat(now, user);
        }
    }
    crowd.arrivals(now, 0..USERS)
}

#[test]
fn a_host_in_its_stride_allocates_nothing() {
    let mut now = Time::from_millis(1_000);
    let mut crowd = NativeCrowd::new();
    crowd.log_in(now, USERS);
    // Room for what the host sends in a tick, as its sockets would have.
    let mut sent = Vec::with_capacity(1 << 20);
    let (mut allocated, mut messages) = (0, 0);
    for tick in 0..WARM_TICKS + TICKS {
        now = now + TICK;
        let mut arrivals = say(&mut crowd, now, tick);
        let before = allocations();
        crowd.host.handle_timeout(now);
        let arrived = crowd.arrive(now, &mut arrivals);
        for user in 0..USERS {
            crowd.tell(now, user, STATE, &[3; 200]);
            if (user + tick) % 30 == 7 {
                crowd.tell(now, user, WORD, &[4; 64]);
            }
        }
        let mut ends = [0; 4 * USERS as usize];
        let mut addresses = [None; 4 * USERS as usize];
        let mut count = 0;
        sent.clear();
        crowd.send(now, |to, datagram| {
            sent.extend_from_slice(datagram);
            (addresses[count], ends[count]) = (Some(to), sent.len());
            count += 1;
        });
        if tick >= WARM_TICKS {
            allocated += allocations() - before;
            messages += arrived;
        }
        let mut start = 0;
        for (to, end) in addresses.iter().flatten().zip(ends) {
            crowd.reach(now, *to, &sent[start..end]);
            start = end;
        }
    }
    assert!(messages >= USERS * TICKS, "{messages} messages came");
    assert!((0..USERS).all(|user| crowd.arrived(user) >= u64::from(TICKS)), "states arrive");
    assert_eq!(allocated, 0, "in {TICKS} ticks of {USERS} users");
}
