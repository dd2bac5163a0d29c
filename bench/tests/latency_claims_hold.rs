//! What BENCHMARKS.md claims of latency under loss, on fewer seconds; and every contender works.

use moorline_bench::latency::cases::{CASES, Case, Figures};
use moorline_bench::latency::path::Loss;
use moorline_bench::latency::{ALL, Make};

const SECONDS: u32 = 60;
const SEED: u64 = 7;

fn contender(name: &str) -> Make {
    ALL.iter().find(|(of, _)| *of == name).expect("a contender").1
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).expect("a case")
}

fn measured(case_name: &str, contender_name: &str, loss: Loss) -> Figures {
    let run = case(case_name).run(contender(contender_name), loss, SECONDS, SEED);
    run.unwrap_or_else(|why| panic!("{contender_name}: {why}"))
}

#[test]
fn a_lost_packet_costs_a_tick_and_not_a_round_trip() {
    let native = measured("reliable-100", "native", Loss::Even(50));
    let kcp = measured("reliable-100", "kcp", Loss::Even(50));
    assert!(native.p99 * 2.0 < kcp.p99, "{} and {} ms", native.p99, kcp.p99);
    assert!(native.cost < kcp.cost * 1.6, "{} and {} bytes a byte", native.cost, kcp.cost);
}

#[test]
fn beside_state_it_costs_fewer_bytes_than_kcp() {
    let native = measured("mixed", "native", Loss::Even(50));
    let kcp = measured("mixed", "kcp", Loss::Even(50));
    assert!(native.cost < kcp.cost, "{} and {} bytes a byte", native.cost, kcp.cost);
    assert!(native.p99 * 2.0 < kcp.p99, "{} and {} ms", native.p99, kcp.p99);
}

#[test]
fn every_contender_delivers_on_a_path_that_loses_a_little() {
    for (name, _) in ALL {
        let it = measured("reliable-100", name, Loss::Even(10));
        assert!(it.p50 >= 25.0 && it.cost > 1.0, "{name}: {} ms, {} bytes a byte", it.p50, it.cost);
    }
}
