//! What a host's session table costs with few sessions and with very many.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion};
use moorline_bench::{Crowd, address, identity};
use moorline_link::Time;
use moorline_session::{LivenessPolicy, Session};

/// Sessions that come due in one tick.
const DUE: u32 = 100;
const SESSIONS: [u32; 3] = [1_000, 100_000, 1_000_000];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for sessions in SESSIONS {
        bench(&mut criterion, sessions);
    }
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, sessions: u32) {
    let crowd = RefCell::new(resting(sessions));
    let mut group = criterion.benchmark_group("session_table");

    let now = Time::from_millis(1_100);
    group.bench_function(BenchmarkId::new("tick_with_nothing_due", sessions), |bencher| {
        let host = &mut crowd.borrow_mut().host;
        bencher.iter(|| host.handle_timeout(black_box(now)));
    });

    group.bench_function(BenchmarkId::new("tick_with_100_degraded", sessions), |bencher| {
        let mut now =
            crowd.borrow().host.sessions().iter().map(Session::heard_at).max().expect("many");
        bencher.iter_batched(
            || {
                now = recover(&mut crowd.borrow_mut(), now);
                now
            },
            |now| crowd.borrow_mut().host.handle_timeout(now),
            BatchSize::PerIteration,
        );
    });

    let crowd = crowd.borrow();
    let table = crowd.host.sessions();
    // Spread over the table, and so many that the smallest table is gone through evenly.
    let users: Vec<u32> = (0..1_000).map(|n| n * (sessions / 1_000)).collect();
    let addresses: Vec<_> = users.iter().map(|user| address(*user)).collect();
    let identities: Vec<_> = users.iter().map(|user| identity(*user)).collect();
    let ids: Vec<_> =
        addresses.iter().filter_map(|at| table.by_address(*at)).map(Session::id).collect();
    group.bench_function(BenchmarkId::new("look_up_by_id", sessions), |bencher| {
        let mut ids = ids.iter().cycle();
        bencher.iter(|| table.by_id(*ids.next().expect("endless")).is_some());
    });
    group.bench_function(BenchmarkId::new("look_up_by_address", sessions), |bencher| {
        let mut addresses = addresses.iter().cycle();
        bencher.iter(|| table.by_address(*addresses.next().expect("endless")).is_some());
    });
    group.bench_function(BenchmarkId::new("look_up_by_identity", sessions), |bencher| {
        let mut identities = identities.iter().cycle();
        bencher.iter(|| table.by_identity(identities.next().expect("endless")).next().is_some());
    });
    group.finish();
}

/// Sessions that are degraded and then wait for an hour, so that a few can be degraded again and
/// again while the rest stay armed and quiet.
fn resting(sessions: u32) -> Crowd {
    let mut crowd = Crowd::new(LivenessPolicy {
        beat_interval: Duration::from_millis(4),
        degraded_after: Duration::from_millis(5),
        timeout: Duration::from_secs(4_000),
        ..LivenessPolicy::default()
    });
    crowd.log_in(Time::from_millis(1_000), 0..sessions);
    let now = Time::from_millis(1_010);
    let mut degraded = 0;
    while degraded < sessions as usize {
        crowd.host.handle_timeout(now);
        degraded += crowd.drain(now);
    }
    crowd
}

/// Some sessions are heard again after `now`; gives the moment when they are degraded once more.
fn recover(crowd: &mut Crowd, now: Time) -> Time {
    crowd.drain(now);
    let now = now + Duration::from_millis(1);
    // A heartbeat and a recovery for each.
    assert_eq!(crowd.beat(now, 0..DUE), 2 * DUE as usize, "not all were degraded before {now}");
    crowd.host.poll_timeout().expect("they wait")
}
