//! What is remembered of remote addresses.

mod common;

use common::{address, at, empty_run, millis, volume};
use moorline_link::transport::LinkStats;
use moorline_metrics::ledger::PeerObservation;
use moorline_metrics::{PeerLedger, Report, SessionSnapshot};
use moorline_session::lifecycle::State;

fn busy_link() -> LinkStats {
    LinkStats {
        rtt_smoothed: millis(80),
        retransmission_timeout: millis(200),
        send_queue_len: 4,
        in_flight_len: 6,
        in_flight_repeated_len: 2,
        repeats: 3,
        losses: 1,
        sent: volume(10, 1000),
        received: volume(5, 500),
        ..LinkStats::default()
    }
}

fn seen(link: LinkStats) -> PeerObservation {
    PeerObservation {
        state: Some(State::LoggedIn),
        last_activity: Some(at(5)),
        payload_sent: volume(2, 20),
        link: Some(link),
        ..PeerObservation::default()
    }
}

#[test]
fn peers_without_a_link_are_forgotten_first_and_then_the_longest_inactive() {
    let mut ledger = PeerLedger::new();
    let last = u16::try_from(PeerLedger::PEERS_MAX).expect("ports enough");
    for port in 1..=last {
        ledger.opened(address(port), at(port.into()));
    }
    ledger.closed(address(9), at(9000));
    ledger.observe(
        address(1),
        &PeerObservation { last_activity: Some(at(9000)), ..seen(busy_link()) },
    );

    ledger.opened(address(last + 1), at(9001));
    ledger.opened(address(last + 2), at(9002));
    let forgotten: Vec<_> = (1..=last + 2)
        .filter(|port| !ledger.snapshots().iter().any(|peer| peer.remote == address(*port)))
        .collect();
    assert_eq!(forgotten, [2, 9], "9 has no link, 2 was inactive for longest after 1 was heard");
    assert_eq!(ledger.len(), PeerLedger::PEERS_MAX);
    assert_eq!(ledger.counters()[0].value, 2);
}

#[test]
fn a31_however_many_come_the_ledger_does_not_grow() {
    let mut ledger = PeerLedger::new();
    for port in 1..=5000 {
        ledger.opened(address(port), at(port.into()));
        ledger.observe(address(port / 2), &seen(busy_link()));
        ledger.failed(address(port), "send");
        if port % 3 == 0 {
            ledger.closed(address(port), at(port.into()));
        }
        assert!(ledger.len() <= PeerLedger::PEERS_MAX);
    }
    assert_eq!(ledger.snapshots().len(), PeerLedger::PEERS_MAX);
    assert_eq!(ledger.counters()[0].value, 5000 - PeerLedger::PEERS_MAX as u64);
    let text = format!("{ledger:?}");
    let ranks = text.matches("(true, ").count() + text.matches("(false, ").count();
    assert_eq!(ranks, PeerLedger::PEERS_MAX, "the order has exactly the peers");
}

#[test]
fn only_an_opening_adds_a_peer_yet_the_peaks_of_the_run_miss_nobody() {
    let mut ledger = PeerLedger::new();
    ledger.observe(address(1), &seen(busy_link()));
    ledger.closed(address(1), at(1));
    ledger.failed(address(1), "send");
    assert!(ledger.is_empty());
    assert_eq!(ledger.peaks().rtt_smoothed_max, millis(80));
    assert_eq!(ledger.peaks().wait_send_len_max, 10);
}

#[test]
fn what_a_peer_did_adds_up_over_its_links() {
    let mut ledger = PeerLedger::new();
    for _ in 0..2 {
        ledger.opened(address(1), at(1));
        ledger.observe(address(1), &seen(busy_link()));
        ledger.observe(address(1), &seen(busy_link()));
        ledger.observe(address(1), &PeerObservation { link: None, ..seen(busy_link()) });
        ledger.closed(address(1), at(8));
    }
    ledger.failed(address(1), "send");
    ledger.failed(address(1), "send");
    let peer = ledger.snapshots().remove(0);
    assert_eq!((peer.opens, peer.closes), (2, 2));
    assert_eq!((peer.first_seen, peer.last_activity), (at(1), at(8)));
    assert_eq!(
        (peer.datagrams_sent, peer.datagrams_received),
        (volume(20, 2000), volume(10, 1000))
    );
    assert_eq!(peer.payload_sent, volume(4, 40));
    assert_eq!(peer.state, Some(State::LoggedIn));
    assert_eq!(peer.errors_by_stage, [("send", 2)]);
    assert_eq!(peer.peaks.wait_send_len_max, 10);
    assert_eq!(peer.peaks.in_flight_repeated_len_max, 2);

    let mut run = empty_run();
    run.peers = ledger.snapshots();
    let links = Report::new(&run).links;
    assert_eq!(links.total_observed_retransmission_sends, 6, "of both links");
    assert_eq!(links.total_observed_loss_signals, 2);
    assert_eq!(links.average_smoothed_rtt_ms, Some(80.0));
    assert_eq!(links.total_wait_send_count, 0, "nothing waits on a link that is gone");
    assert_eq!(links.peak_wait_send_count, 10);
}

#[test]
fn a_peer_that_moves_takes_its_figures_along() {
    let mut ledger = PeerLedger::new();
    ledger.opened(address(1), at(1));
    ledger.observe(address(1), &seen(busy_link()));
    ledger.moved(address(1), address(2), at(3));
    ledger.observe(address(2), &seen(busy_link()));
    let [before, after] = ledger.snapshots().try_into().expect("two addresses");
    assert_eq!((before.opens, before.closes, before.link), (1, 1, None));
    assert_eq!((after.opens, after.closes), (1, 0));

    let mut run = empty_run();
    let mut session = SessionSnapshot::new("host", "1", State::LoggedIn, at(4));
    session.remote = Some(address(2));
    session.link = Some(busy_link());
    run.sessions.push(session);
    run.peers = ledger.snapshots();
    let links = Report::new(&run).links;
    assert_eq!(links.sessions_with_diagnostics, 1, "the peer's link is the session's");
    assert_eq!(links.total_observed_retransmission_sends, 3);
}
