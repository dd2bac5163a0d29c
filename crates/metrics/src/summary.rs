//! The run in sentences.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::diagnosis::{Diagnosis, Verdict};
use crate::report::{ReadableSummary, Report, StateCounts};
use crate::text::{Bytes, Shown};

impl ReadableSummary {
    /// Writes the sentences; what the report has in their place is not looked at.
    pub fn of(report: &Report) -> Self {
        let diagnosis = Diagnosis::of(report);
        Self {
            headline: headline(report, diagnosis.verdict),
            session_summary: sessions(report),
            traffic_summary: traffic(report),
            error_summary: errors(report),
            lifecycle_summary: lifecycle(report),
            health_summary: health(report, diagnosis.verdict),
            top_peer_highlights: diagnosis.peers_busiest,
        }
    }
}

impl fmt::Display for ReadableSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped once more, as it may have been read from a file.
        writeln!(f, "Headline: {}", Shown(&self.headline))?;
        writeln!(f, "SessionSummary: {}", Shown(&self.session_summary))?;
        writeln!(f, "TrafficSummary: {}", Shown(&self.traffic_summary))?;
        writeln!(f, "ErrorSummary: {}", Shown(&self.error_summary))?;
        writeln!(f, "LifecycleSummary: {}", Shown(&self.lifecycle_summary))?;
        writeln!(f, "HealthSummary: {}", Shown(&self.health_summary))?;
        writeln!(f, "TopPeerHighlights:")?;
        for peer in &self.top_peer_highlights {
            writeln!(f, "  - {}", Shown(peer))?;
        }
        Ok(())
    }
}

fn headline(report: &Report, verdict: Verdict) -> String {
    let duration = Duration::from_millis(report.duration_ms);
    let progress = match report.completed_at_utc {
        Some(_) => "completed after",
        None => "under way for",
    };
    format!(
        "run {} ({} over {}) {progress} {}: {verdict}",
        Shown(&report.run_id),
        Shown(&report.mode),
        Shown(&report.transport_name),
        humantime::format_duration(duration),
    )
}

fn sessions(report: &Report) -> String {
    let Report { active_sessions, peak_active_sessions, sessions_created, sessions_closed, .. } =
        report;
    format!(
        "{active_sessions} active, {peak_active_sessions} at peak, {sessions_created} created, \
         {sessions_closed} closed"
    )
}

fn traffic(report: &Report) -> String {
    let traffic = &report.traffic;
    format!(
        "sent {} message(s) of {} in {} datagram(s) of {}, received {} message(s) of {} in {} \
         datagram(s) of {}",
        traffic.payload_messages_sent,
        Bytes(traffic.payload_bytes_sent),
        traffic.datagrams_sent,
        Bytes(traffic.datagram_bytes_sent),
        traffic.payload_messages_received,
        Bytes(traffic.payload_bytes_received),
        traffic.datagrams_received,
        Bytes(traffic.datagram_bytes_received),
    )
}

fn errors(report: &Report) -> String {
    let Report { send_errors, receive_errors, other_errors, .. } = report;
    let mut text = format!(
        "{send_errors} at sending, {receive_errors} at receiving, {other_errors} elsewhere"
    );
    for (title, counts) in
        [("by stage", &report.error_counts_by_stage), ("counted", &report.counters)]
    {
        let listed = listed(counts);
        if !listed.is_empty() {
            text += &format!("; {title}: {listed}");
        }
    }
    text
}

/// What is not zero.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let shown = counts.iter().filter(|(_, count)| **count > 0);
    let shown = shown.map(|(name, count)| format!("{} {count}", Shown(name)));
    shown.collect::<Vec<_>>().join(", ")
}

fn lifecycle(report: &Report) -> String {
    let table = states(&report.session_state_counts);
    let tracked = report.application_sessions_tracked;
    let application = states(&report.application_session_state_counts);
    let mut text = format!("in the table: {table}; {tracked} tracked: {application}");
    let mut failures =
        report.application_session_summaries.iter().filter(|s| s.last_failure_reason.is_some());
    let Some(session) = failures.next() else { return text };
    let identity = session.identity.as_deref().unwrap_or("nobody");
    let reason = session.last_failure_reason.as_deref().unwrap_or_default();
    text += &format!(
        "; session {} of {}: {}",
        Shown(&session.session_id),
        Shown(identity),
        Shown(reason)
    );
    match failures.count() {
        0 => text,
        more => text + &format!("; {more} more with a failure"),
    }
}

fn states(counts: &StateCounts) -> String {
    let shown = counts.named().into_iter().filter(|(_, count)| *count > 0);
    let shown: Vec<_> = shown.map(|(state, count)| format!("{count} {state}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn health(report: &Report, verdict: Verdict) -> String {
    let links = &report.links;
    let mut text = format!("{verdict}; {} link(s) with figures", links.sessions_with_diagnostics);
    for (title, average, peak) in [
        ("round trip", links.average_smoothed_rtt_ms, links.peak_smoothed_rtt_ms),
        (
            "retransmission timeout",
            links.average_retransmission_timeout_ms,
            links.peak_retransmission_timeout_ms,
        ),
    ] {
        // A peak outlives its link, an average does not: either may be missing.
        let average = average.map(|ms| format!("{ms:.1} ms on average"));
        let peak = peak.map(|ms| format!("{ms:.1} ms at peak"));
        let figures: Vec<_> = average.into_iter().chain(peak).collect();
        if !figures.is_empty() {
            text += &format!("; {title} {}", figures.join(", "));
        }
    }
    text + &format!(
        "; {} waiting to be sent ({} at peak), {} sent again, {} lost",
        links.total_wait_send_count,
        links.peak_wait_send_count,
        links.total_observed_retransmission_sends,
        links.total_observed_loss_signals,
    )
}
