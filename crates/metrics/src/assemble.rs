//! From a snapshot to a report.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use moorline_link::transport::{LinkStats, Volume};

use crate::report::{
    LinkFigures, LinkReport, PeerReport, ReadableSummary, Report, SessionReport, StateCounts,
    Traffic,
};
use crate::snapshot::{LinkPeaks, PeerSnapshot, RunSnapshot, SessionSnapshot, wait_send_len};
use crate::text::{iso8601, ms};

impl Report {
    /// The report of this moment. Its paths are empty until a
    /// [`ReportWriter`](crate::ReportWriter) has written it.
    pub fn new(run: &RunSnapshot) -> Self {
        let until = run.completed_at.unwrap_or(run.observed_at);
        // A wall clock may be set back during the run.
        let duration = until.duration_since(run.started_at).unwrap_or_default();
        let mut application = StateCounts::default();
        run.sessions.iter().for_each(|session| application.add(session.state));
        let mut report = Self {
            run_id: run.run_id.clone(),
            transport_name: run.transport_name.clone(),
            mode: run.mode.clone(),
            default_remote_end_point: run.default_remote.clone(),
            started_at_utc: iso8601(run.started_at),
            completed_at_utc: run.completed_at.map(iso8601),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            report_path: None,
            summary_path: None,
            readable_summary: ReadableSummary::default(),
            active_sessions: run.active_sessions,
            peak_active_sessions: run.peak_active_sessions,
            sessions_created: run.sessions_created,
            sessions_closed: run.sessions_closed,
            traffic: traffic(
                [run.payload_sent, run.payload_received],
                [run.datagrams_sent, run.datagrams_received],
            ),
            send_errors: run.send_errors,
            receive_errors: run.receive_errors,
            other_errors: run.other_errors,
            links: link_figures(run),
            session_state_counts: run.state_counts.into(),
            application_sessions_tracked: run.sessions.len() as u64,
            application_session_state_counts: application,
            application_session_summaries: run.sessions.iter().map(session_report).collect(),
            error_counts_by_stage: added_up(run.errors_by_stage.iter().copied()),
            peer_summaries: run.peers.iter().map(peer_report).collect(),
            schema_version: Self::SCHEMA_VERSION,
            observed_at_utc: iso8601(run.observed_at),
            diagnosis_path: None,
            counters: added_up(run.counters.iter().map(|counter| (counter.name, counter.value))),
        };
        report.readable_summary = ReadableSummary::of(&report);
        report
    }
}

const fn traffic(payload: [Volume; 2], datagrams: [Volume; 2]) -> Traffic {
    let [payload_sent, payload_received] = payload;
    let [datagrams_sent, datagrams_received] = datagrams;
    Traffic {
        payload_messages_sent: payload_sent.count,
        payload_bytes_sent: payload_sent.bytes,
        payload_messages_received: payload_received.count,
        payload_bytes_received: payload_received.bytes,
        datagrams_sent: datagrams_sent.count,
        datagram_bytes_sent: datagrams_sent.bytes,
        datagrams_received: datagrams_received.count,
        datagram_bytes_received: datagrams_received.bytes,
    }
}

/// The links of the sessions, and those of peers that have none any more.
fn link_figures(run: &RunSnapshot) -> LinkFigures {
    let with_link = run.sessions.iter().filter(|session| session.link.is_some());
    let counted: BTreeSet<_> = with_link.filter_map(|session| session.remote).collect();
    let others = run.peers.iter().filter(|peer| !counted.contains(&peer.remote));
    let links: Vec<&LinkStats> = run
        .sessions
        .iter()
        .filter_map(|session| session.link.as_ref())
        .chain(others.filter_map(|peer| peer.link.as_ref()))
        .collect();

    let mut peaks = run.peaks;
    links.iter().for_each(|link| peaks.note(link));
    run.peers.iter().for_each(|peer| peaks.merge(&peer.peaks));
    let total = |figure: fn(&LinkStats) -> u64| saturating_sum(links.iter().map(|l| figure(l)));
    let earlier = |figure: fn(&PeerSnapshot) -> u64| saturating_sum(run.peers.iter().map(figure));
    LinkFigures {
        sessions_with_diagnostics: links.len() as u64,
        average_smoothed_rtt_ms: average_ms(links.iter().filter_map(|link| link.rtt_smoothed)),
        peak_smoothed_rtt_ms: peaks.rtt_smoothed_max.map(ms),
        average_retransmission_timeout_ms: average_ms(
            links.iter().filter_map(|link| link.retransmission_timeout),
        ),
        peak_retransmission_timeout_ms: peaks.retransmission_timeout_max.map(ms),
        total_wait_send_count: total(wait_send_len),
        peak_wait_send_count: peaks.wait_send_len_max,
        total_send_queue_count: total(|link| link.send_queue_len),
        total_send_buffer_count: total(|link| link.in_flight_len),
        total_receive_queue_count: total(|link| link.receive_queue_len),
        total_receive_buffer_count: total(|link| link.receive_buffer_len),
        total_retransmitted_segments_in_flight: total(|link| link.in_flight_repeated_len),
        peak_retransmitted_segments_in_flight: peaks.in_flight_repeated_len_max,
        total_observed_retransmission_sends: total(|link| link.repeats)
            .saturating_add(earlier(|peer| peer.repeats_earlier)),
        total_observed_loss_signals: total(|link| link.losses)
            .saturating_add(earlier(|peer| peer.losses_earlier)),
    }
}

fn session_report(session: &SessionSnapshot) -> SessionReport {
    let utc = |at: Option<SystemTime>| at.map(iso8601);
    SessionReport {
        scope: session.scope.to_owned(),
        remote_end_point: session.remote.map(|remote| remote.to_string()),
        connection_state: session.state.to_string(),
        can_send_heartbeat: session.can_send_heartbeat,
        last_round_trip_time_ms: session.rtt_last.map(ms),
        last_failure_reason: session.failure.clone(),
        last_liveness_utc: utc(session.liveness_at),
        last_heartbeat_sent_utc: utc(session.beat_sent_at),
        next_reconnect_at_utc: utc(session.next_reconnect_at),
        current_server_tick: session.server_tick,
        observed_at_utc: iso8601(session.observed_at),
        session_id: session.session_id.clone(),
        identity: session.identity.clone(),
        payload_messages_sent: session.payload_sent.count,
        payload_bytes_sent: session.payload_sent.bytes,
        payload_messages_received: session.payload_received.count,
        payload_bytes_received: session.payload_received.bytes,
        session_diagnostics: session.link.as_ref().map(link_report),
    }
}

fn peer_report(peer: &PeerSnapshot) -> PeerReport {
    let LinkPeaks {
        rtt_smoothed_max,
        retransmission_timeout_max,
        wait_send_len_max,
        in_flight_repeated_len_max,
    } = peer.peaks;
    PeerReport {
        remote_end_point: peer.remote.to_string(),
        first_seen_utc: iso8601(peer.first_seen),
        last_activity_utc: iso8601(peer.last_activity),
        session_opens: peer.opens,
        session_closes: peer.closes,
        traffic: traffic(
            [peer.payload_sent, peer.payload_received],
            [peer.datagrams_sent, peer.datagrams_received],
        ),
        session_lifecycle_state: peer.state.map(|state| state.to_string()),
        session_diagnostics: peer.link.as_ref().map(link_report),
        peak_smoothed_rtt_ms: rtt_smoothed_max.map(ms),
        peak_retransmission_timeout_ms: retransmission_timeout_max.map(ms),
        peak_wait_send_count: wait_send_len_max,
        peak_retransmitted_segments_in_flight: in_flight_repeated_len_max,
        error_counts_by_stage: added_up(peer.errors_by_stage.iter().copied()),
    }
}

fn link_report(link: &LinkStats) -> LinkReport {
    LinkReport {
        smoothed_rtt_ms: link.rtt_smoothed.map(ms),
        retransmission_timeout_ms: link.retransmission_timeout.map(ms),
        wait_send_count: wait_send_len(link),
        send_queue_count: link.send_queue_len,
        send_buffer_count: link.in_flight_len,
        receive_queue_count: link.receive_queue_len,
        receive_buffer_count: link.receive_buffer_len,
        retransmitted_segments_in_flight: link.in_flight_repeated_len,
        observed_retransmission_sends: link.repeats,
        observed_loss_signals: link.losses,
    }
}

fn added_up(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in counts {
        let sum: &mut u64 = sums.entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(count);
    }
    sums
}

fn average_ms(durations: impl Iterator<Item = Duration>) -> Option<f64> {
    let (mut sum, mut count) = (Duration::ZERO, 0_u32);
    for duration in durations {
        sum = sum.saturating_add(duration);
        count = count.saturating_add(1);
    }
    sum.checked_div(count).map(ms)
}

fn saturating_sum(figures: impl Iterator<Item = u64>) -> u64 {
    figures.fold(0, u64::saturating_add)
}
