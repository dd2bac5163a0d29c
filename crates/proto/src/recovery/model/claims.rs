//! What the parts promise together. Latencies are one way, over a round trip of 50 ms.

use super::*;

const ALONE: Setup = Setup { state_len: 0, ..Setup::GAME };

fn run(setup: Setup, seconds: u64) -> World {
    let mut world = World::new(setup);
    world.run(Duration::from_secs(seconds));
    world
}

/// All messages but those of the last moments were delivered and reported; that none was reported
/// twice is asserted on the way.
fn assert_all_arrived(world: &World) {
    for tag in 0..world.tags - 200 {
        assert!(world.delivered.contains_key(&tag), "{tag} was not delivered");
        assert!(world.done.contains(&tag), "{tag} was not reported");
    }
}

#[test]
fn at_five_percent_loss_one_in_a_hundred_waits_for_a_tick_and_one_in_a_thousand_for_two() {
    let world = run(Setup::GAME, 300);
    assert_all_arrived(&world);
    let (p99, p999) = (world.latency_ms(9_900), world.latency_ms(9_990));
    assert!(p99 <= 43.0 && p999 <= 60.0, "{p99} {p999}");
    let bytes = world.wire_bytes / world.tags;
    assert!(bytes <= 195, "{bytes} bytes a tick");
}

#[test]
fn at_one_percent_loss_one_in_a_thousand_waits_for_a_tick() {
    let world = run(Setup { loss_permille: 10, ..Setup::GAME }, 300);
    assert_all_arrived(&world);
    assert!(world.latency_ms(9_990) <= 43.0, "{}", world.latency_ms(9_990));
}

#[test]
fn a_small_message_alone_waits_for_a_tick_within_its_budget() {
    let world = run(ALONE, 200);
    assert_all_arrived(&world);
    assert!(world.latency_ms(9_900) <= 43.0, "{}", world.latency_ms(9_900));
}

#[test]
fn without_repetition_everything_arrives_and_only_what_is_overdue_is_sent_again() {
    let world = run(Setup { repetition: Repetition::Off, ..Setup::GAME }, 200);
    assert_all_arrived(&world);
    let stats = world.sender.stats().early;
    assert_eq!(stats.copy_bytes, 0);
    assert!(stats.tail_bytes * 15 < stats.base_bytes, "{stats:?}");
    assert!(world.latency_ms(9_900) <= 110.0, "{}", world.latency_ms(9_900));
}

#[test]
fn a_budget_of_nothing_leaves_the_budget_it_began_with() {
    let repetition = Repetition::On { budget_permille: 0 };
    let world = run(Setup { repetition, ..Setup::GAME }, 60);
    assert_all_arrived(&world);
    let most = u64::try_from(super::super::early::BUDGET_MAX).expect("positive");
    assert!(world.sender.stats().early.copy_bytes <= most);
}

#[test]
fn a_clean_path_is_sent_nothing_twice() {
    let mut world = run(Setup { loss_permille: 0, ..Setup::GAME }, 20);
    let before = world.sender.stats().early.copy_bytes;
    world.run(Duration::from_secs(100));
    assert_eq!(world.sender.stats().early.copy_bytes, before);
}

#[test]
fn heavy_loss_of_a_small_flow_neither_stops_repetition_nor_delivery() {
    for loss_permille in [100, 200, 400] {
        let world = run(Setup { loss_permille, ..ALONE }, 60);
        assert_all_arrived(&world);
        assert_eq!(world.sender.stats().congestion.loss_backoffs, 0);
    }
}

#[test]
fn sparse_messages_at_ten_percent_loss_arrive_within_fifty_milliseconds() {
    let tick = Duration::from_secs(1);
    let world = run(Setup { tick, loss_permille: 100, ..ALONE }, 1_300);
    assert_all_arrived(&world);
    assert!(world.latency_ms(9_980) <= 50.0, "{}", world.latency_ms(9_980));
}

#[test]
fn an_outage_of_two_seconds_ends_half_a_round_trip_and_a_quarter_second_after_the_path_returns() {
    let everyone = [Setup::GAME, ALONE, Setup { repetition: Repetition::Off, ..Setup::GAME }];
    for setup in everyone {
        for shift in 0..10 {
            let outage_ms = (5_000 + shift * 37, 7_000 + shift * 37);
            let world = run(Setup { outage_ms, loss_permille: 0, seed: shift, ..setup }, 12);
            assert_all_arrived(&world);
            let back = Time::from_millis(outage_ms.1);
            let first = world.delivered.values().filter(|at| **at >= back).min();
            let took = first.expect("something arrives").since(back);
            assert!(took <= Duration::from_millis(275), "{took:?}");
            // A window of 32 packets that nobody answers, and eight packets beyond it.
            assert!(world.outage_bytes <= 40 * 1_200, "{} bytes", world.outage_bytes);
        }
    }
}

#[test]
fn bulk_fills_the_path_and_keeps_its_queue_short_for_a_minute() {
    let mut world = run(Setup::BULK, 4);
    let begun = world.goodput;
    assert!(begun * 100 >= 4 * Setup::BULK.rate * 90, "{begun} bytes in four seconds");
    world.queue_delays.clear();
    world.run(Duration::from_secs(60));
    let filled = world.goodput - begun;
    assert!(filled * 100 >= 60 * Setup::BULK.rate * 93, "{filled} bytes in a minute");
    let longest = world.queue_delays.iter().max().expect("packets");
    assert!(*longest <= Duration::from_micros(22_500), "{longest:?}");
    assert!(world.sender.rtt().min() <= Duration::from_millis(52), "the minimum creeps");
}

#[test]
fn bulk_does_not_take_light_random_loss_for_congestion() {
    for (loss_permille, percent) in [(10, 92), (50, 88)] {
        let mut world = run(Setup { loss_permille, ..Setup::BULK }, 4);
        let begun = world.goodput;
        world.run(Duration::from_secs(30));
        let filled = world.goodput - begun;
        assert!(filled * 100 >= 30 * Setup::BULK.rate * percent, "{filled} at {loss_permille}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let told = |seed| format!("{:?}", run(Setup { seed, ..Setup::GAME }, 20).sender.stats());
    assert_eq!(told(4), told(4));
    assert_ne!(told(4), told(5));
}
