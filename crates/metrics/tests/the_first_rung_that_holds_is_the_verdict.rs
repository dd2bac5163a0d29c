//! The ladder of the diagnosis, its thresholds, and the busiest peers.

mod common;

use std::time::Duration;

use common::{address, at, calm_run, empty_run, millis, volume};
use moorline_link::transport::LinkStats;
use moorline_metrics::diagnosis::{PEERS_BUSIEST_MAX, Topic, WAIT_SEND_BACKLOG_LEN};
use moorline_metrics::{Diagnosis, PeerSnapshot, Report, RunSnapshot, SessionSnapshot, Verdict};
use moorline_session::lifecycle::State;

fn diagnose(run: &RunSnapshot) -> Diagnosis {
    Diagnosis::of(&Report::new(run))
}

fn topics(run: &RunSnapshot) -> Vec<Topic> {
    diagnose(run).findings.into_iter().map(|finding| finding.topic).collect()
}

fn with_link(link: LinkStats) -> RunSnapshot {
    let mut run = calm_run();
    run.sessions[0].link = Some(link);
    run
}

fn with_rtt(average_us: u64, peak_us: u64) -> RunSnapshot {
    let rtt_smoothed = Some(Duration::from_micros(average_us));
    let mut run = with_link(LinkStats { rtt_smoothed, ..LinkStats::default() });
    run.peaks.rtt_smoothed_max = Some(Duration::from_micros(peak_us));
    run
}

#[test]
fn a_run_in_which_nothing_moved_is_no_data() {
    assert_eq!(diagnose(&empty_run()).verdict, Verdict::NoData);
    assert_eq!(topics(&empty_run()), [Topic::Nothing]);
    let mut never_connected = empty_run();
    never_connected.sessions_created = 1;
    never_connected.sessions.push(SessionSnapshot::new("client", "1", State::Disconnected, at(1)));
    assert_eq!(diagnose(&never_connected).verdict, Verdict::NoData);
}

#[test]
fn a_session_that_lost_its_peer_is_instability_whatever_else_is_wrong() {
    for state in [State::TimedOut, State::ReconnectPending, State::Reconnecting] {
        let mut seen_by_table = with_rtt(500_000, 500_000);
        seen_by_table.send_errors = 1;
        seen_by_table.state_counts[state as usize] = 1;
        assert_eq!(diagnose(&seen_by_table).verdict, Verdict::Instability, "{state}");

        let mut seen_by_application = empty_run();
        seen_by_application.sessions.push(SessionSnapshot::new("client", "1", state, at(1)));
        assert_eq!(diagnose(&seen_by_application).verdict, Verdict::Instability, "{state}");
    }
    for state in [State::LoginFailed, State::LoginPending, State::Disconnected] {
        let mut run = calm_run();
        run.state_counts[state as usize] = 1;
        assert_eq!(diagnose(&run).verdict, Verdict::Stable, "{state}");
    }
}

#[test]
fn errors_with_trouble_on_the_links_are_a_clear_risk_and_each_alone_a_light_anomaly() {
    let strained = [
        (with_link(LinkStats { repeats: 1, ..LinkStats::default() }), Topic::Retransmission),
        (
            with_link(LinkStats { in_flight_repeated_len: 1, ..LinkStats::default() }),
            Topic::Retransmission,
        ),
        (with_link(LinkStats { losses: 1, ..LinkStats::default() }), Topic::Retransmission),
        (
            with_link(LinkStats { send_queue_len: WAIT_SEND_BACKLOG_LEN, ..LinkStats::default() }),
            Topic::Backlog,
        ),
        (with_rtt(150_000, 150_000), Topic::Latency),
    ];
    for (run, topic) in strained {
        assert_eq!(diagnose(&run).verdict, Verdict::LightAnomaly, "{topic:?}");
        assert_eq!(topics(&run), [topic]);
        for error in 0..3 {
            let mut run = run.clone();
            *[&mut run.send_errors, &mut run.receive_errors, &mut run.other_errors][error] = 1;
            assert_eq!(diagnose(&run).verdict, Verdict::ClearRisk, "{topic:?}");
            assert_eq!(topics(&run), [Topic::Errors, topic]);
        }
    }
    let mut errors_alone = calm_run();
    errors_alone.other_errors = 1;
    assert_eq!(diagnose(&errors_alone).verdict, Verdict::LightAnomaly);
    assert_eq!(topics(&errors_alone), [Topic::Errors]);
    let mut errors_and_nothing_else = empty_run();
    errors_and_nothing_else.receive_errors = 1;
    assert_eq!(diagnose(&errors_and_nothing_else).verdict, Verdict::LightAnomaly);
}

#[test]
fn latency_is_high_from_150_ms_on_average_or_250_ms_at_peak() {
    for (average_us, peak_us, verdict) in [
        (149_999, 249_999, Verdict::Stable),
        (150_000, 150_000, Verdict::LightAnomaly),
        (10_000, 250_000, Verdict::LightAnomaly),
    ] {
        let run = with_rtt(average_us, peak_us);
        assert_eq!(diagnose(&run).verdict, verdict, "{average_us} {peak_us}");
    }
}

#[test]
fn a_link_that_is_merely_in_use_is_stable() {
    let in_use = LinkStats {
        rtt_smoothed: millis(40),
        send_queue_len: 3,
        in_flight_len: WAIT_SEND_BACKLOG_LEN - 4,
        ..LinkStats::default()
    };
    assert_eq!(diagnose(&with_link(in_use)).verdict, Verdict::Stable);
    assert_eq!(topics(&calm_run()), [Topic::Calm]);
}

#[test]
fn every_finding_comes_with_advice_and_the_peers_come_last() {
    let mut run = with_rtt(500_000, 500_000);
    run.send_errors = 1;
    run.peers.push(PeerSnapshot::new(address(7), at(0)));
    let text = diagnose(&run).to_string();
    let heads: Vec<_> = text.lines().map(|line| line.split([':', ' ']).next()).collect();
    assert_eq!(heads.first(), Some(&Some("Verdict")));
    assert_eq!(text.matches("  - ").count(), 2);
    assert_eq!(text.matches("    advice: ").count(), 2);
    let peers = text.split_once("Busiest peers:\n").expect("the peers").1;
    assert!(peers.starts_with("  1. 10.0.0.1:7: "), "{text}");
}

#[test]
fn the_five_busiest_peers_are_named_busiest_first() {
    let mut run = calm_run();
    // The port is the place by traffic; 8 and 9 are equally quiet.
    for port in [4, 2, 9, 8, 5, 1, 3] {
        let mut peer = PeerSnapshot::new(address(port), at(0));
        let bytes = 1000_u64.saturating_sub(100 * u64::from(port.min(8)));
        match port % 3 {
            0 => peer.datagrams_sent = volume(1, bytes),
            1 => peer.datagrams_received = volume(1, bytes),
            _ => peer.payload_sent = volume(1, bytes),
        }
        run.peers.push(peer);
    }
    let busiest = diagnose(&run).peers_busiest;
    assert_eq!(busiest.len(), PEERS_BUSIEST_MAX);
    for (line, port) in busiest.iter().zip(1..) {
        assert!(line.starts_with(&format!("{}: ", address(port))), "{line}");
    }
    let report = Report::new(&run);
    assert_eq!(report.readable_summary.top_peer_highlights, busiest);
}
