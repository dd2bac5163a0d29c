//! What BENCHMARKS.md says of an idle session's memory, and that a burst keeps none of it.

use std::alloc::System;
use std::time::Duration;

use moorline_bench::{NativeCrowd, STATE, WORD};
use moorline_link::Time;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a host holds for itself, as its history and the pool of its messages, is the same in both.
const FEW: u32 = 300;
const MANY: u32 = 900;
const NOW: Time = Time::from_millis(1_000);
const IDLE: Duration = Duration::from_secs(40);

/// One test, as all that is allocated meanwhile counts.
#[test]
fn an_idle_encrypted_session_costs_a_kilobyte_of_heap_also_after_a_burst() {
    let idle = a_session(|crowd, _| {
        crowd.idle(NOW, IDLE);
    });
    assert!(idle <= 1_024, "{idle} bytes");
    let after = a_session(|crowd, users| {
        let mut now = crowd.idle(NOW, IDLE);
        for _ in 0..20 {
            now = now + Duration::from_millis(16);
            for user in 0..users {
                crowd.tell(now, user, STATE, &[1; 2_000]);
                crowd.tell(now, user, WORD, &[2; 500]);
                crowd.say(now, user, WORD, &[3; 500]);
            }
            crowd.exchange(now, 0..users);
        }
        crowd.idle(now, IDLE);
    });
    // Counters are larger than before, and other lanes were used.
    assert!(after <= idle + 128, "{after} bytes after a burst, {idle} without one");
}

/// What one more session costs a host that went through this.
fn a_session(live: impl Fn(&mut NativeCrowd, u32)) -> usize {
    let [few, many] = [FEW, MANY].map(|sessions| {
        let mut crowd = NativeCrowd::new();
        crowd.log_in(NOW, sessions);
        live(&mut crowd, sessions);
        // What is given back with the host is all that it held.
        let host = crowd.into_host();
        let before = held();
        drop(host);
        before - held()
    });
    (many - few) / (MANY - FEW) as usize
}

fn held() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
