//! How the run went: a verdict, findings with advice, and the busiest peers.
//!
//! The verdict is the first rung of this ladder that holds:
//!
//! 1. No data: nothing moved, nothing failed, nobody was connected.
//! 2. Instability: a session is timed out, or not back yet.
//! 3. Clear risk: errors, and retransmission, backlog or high latency with them.
//! 4. Light anomaly: any one of these.
//! 5. Stable.

use std::fmt;

use crate::report::{PeerReport, Report};
use crate::text::{Bytes, Shown};

/// The mean round trip from which on latency is high, in milliseconds.
pub const RTT_AVERAGE_HIGH_MS: f64 = 150.0;
/// The longest round trip from which on latency is high, in milliseconds.
pub const RTT_PEAK_HIGH_MS: f64 = 250.0;
/// The segments that wait on one link from which on there is a backlog: KCP's whole window. Fewer
/// are always under way while a session is in use.
pub const WAIT_SEND_BACKLOG_LEN: u64 = 128;
/// How many of the busiest peers are named.
pub const PEERS_BUSIEST_MAX: usize = 5;

/// How the run went, as far as its report tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The rung of the ladder.
    pub verdict: Verdict,
    /// What led to it; at least one.
    pub findings: Vec<Finding>,
    /// The busiest peers, one line each, busiest first.
    pub peers_busiest: Vec<String>,
}

/// The rungs of the ladder, best last but for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// There is nothing to judge by.
    NoData,
    /// Sessions lost their peers.
    Instability,
    /// Errors come together with trouble on the links.
    ClearRisk,
    /// Something is out of the ordinary.
    LightAnomaly,
    /// Nothing stands out.
    Stable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoData => "no data",
            Self::Instability => "instability",
            Self::ClearRisk => "clear risk",
            Self::LightAnomaly => "light anomaly",
            Self::Stable => "stable",
        })
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of what sort it is.
    pub topic: Topic,
    /// What was found, with its numbers.
    pub text: String,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// There is nothing to judge by.
    Nothing,
    /// Sessions lost their peers.
    Lost,
    /// Something failed.
    Errors,
    /// Segments were sent again, or lost.
    Retransmission,
    /// More waits to be sent than the links take.
    Backlog,
    /// Round trips are long.
    Latency,
    /// Nothing stands out.
    Calm,
}

impl Topic {
    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Nothing => {
                "check that the run was long enough, that addresses and ports are right, and that \
                 no firewall stands between the sides"
            }
            Self::Lost => {
                "look at the failure reasons of these sessions, at the peers' networks, and at \
                 whether the program is driven often enough for its timeout"
            }
            Self::Errors => {
                "look at the errors by stage first: they tell a socket's trouble from a handler's"
            }
            Self::Retransmission => {
                "compare the peers below: one bad path is that peer's network, many at once are \
                 this side's uplink or a send rate that is too high"
            }
            Self::Backlog => {
                "send less or less often, or move what may be lost off the reliable lane"
            }
            Self::Latency => {
                "compare the peers below: distance and Wi-Fi show on some, an overloaded host or \
                 a slow tick on all"
            }
            Self::Calm => "nothing needs to be done",
        }
    }
}

impl Diagnosis {
    /// Judges a run by its report.
    pub fn of(report: &Report) -> Self {
        let mut findings = Vec::new();
        let mut find = |topic, text: Option<String>| {
            findings.extend(text.map(|text| Finding { topic, text }));
        };
        find(Topic::Lost, lost(report));
        find(Topic::Errors, errors(report));
        find(Topic::Retransmission, retransmission(report));
        find(Topic::Backlog, backlog(report));
        find(Topic::Latency, latency(report));

        let verdict = verdict(report, &findings);
        if findings.is_empty() {
            findings.push(match verdict {
                Verdict::NoData => Finding {
                    topic: Topic::Nothing,
                    text: "no session was connected and nothing was sent or received".to_owned(),
                },
                _ => Finding { topic: Topic::Calm, text: "nothing stands out".to_owned() },
            });
        }
        let peers_busiest = busiest(report).into_iter().map(peer_line).collect();
        Self { verdict, findings, peers_busiest }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Verdict: {}", self.verdict)?;
        writeln!(f, "Findings:")?;
        for finding in &self.findings {
            writeln!(f, "  - {}", finding.text)?;
            writeln!(f, "    advice: {}", finding.topic.advice())?;
        }
        writeln!(f, "Busiest peers:")?;
        if self.peers_busiest.is_empty() {
            writeln!(f, "  none")?;
        }
        for (peer, place) in self.peers_busiest.iter().zip(1..) {
            writeln!(f, "  {place}. {peer}")?;
        }
        Ok(())
    }
}

/// The ladder.
fn verdict(report: &Report, findings: &[Finding]) -> Verdict {
    let found = |topic| findings.iter().any(|finding| finding.topic == topic);
    let strained = found(Topic::Retransmission) || found(Topic::Backlog) || found(Topic::Latency);
    if findings.is_empty() && is_empty(report) {
        Verdict::NoData
    } else if found(Topic::Lost) {
        Verdict::Instability
    } else if found(Topic::Errors) && strained {
        Verdict::ClearRisk
    } else if found(Topic::Errors) || strained {
        Verdict::LightAnomaly
    } else {
        Verdict::Stable
    }
}

/// A session that was created and never connected is no data either.
fn is_empty(report: &Report) -> bool {
    let traffic = &report.traffic;
    let moved = [
        traffic.payload_messages_sent,
        traffic.payload_messages_received,
        traffic.datagrams_sent,
        traffic.datagrams_received,
    ];
    let connected = [&report.session_state_counts, &report.application_session_state_counts]
        .into_iter()
        .flat_map(|counts| counts.named())
        .any(|(state, count)| state.is_connected() && count > 0);
    moved == [0; 4] && report.links.sessions_with_diagnostics == 0 && !connected
}

fn lost(report: &Report) -> Option<String> {
    // The same sessions are counted by table and application; the larger number misses none.
    let lost = report.session_state_counts.lost();
    let lost = lost.max(report.application_session_state_counts.lost());
    (lost > 0).then(|| format!("{lost} session(s) timed out or not back yet"))
}

fn errors(report: &Report) -> Option<String> {
    let total = report.errors_total();
    (total > 0).then(|| {
        let Report { send_errors, receive_errors, other_errors, .. } = report;
        format!(
            "{total} error(s): {send_errors} at sending, {receive_errors} at receiving, \
             {other_errors} elsewhere"
        )
    })
}

fn retransmission(report: &Report) -> Option<String> {
    let links = &report.links;
    let repeats = links.total_observed_retransmission_sends;
    let losses = links.total_observed_loss_signals;
    let in_flight = links
        .peak_retransmitted_segments_in_flight
        .max(links.total_retransmitted_segments_in_flight);
    (repeats > 0 || losses > 0 || in_flight > 0).then(|| {
        format!(
            "{repeats} segment(s) sent again, {losses} loss(es) concluded, at most {in_flight} \
             repeated segment(s) in flight"
        )
    })
}

fn backlog(report: &Report) -> Option<String> {
    let peak = report.links.peak_wait_send_count;
    let waiting = report.links.total_wait_send_count;
    (peak >= WAIT_SEND_BACKLOG_LEN)
        .then(|| format!("up to {peak} segments waited on one link, {waiting} wait on all now"))
}

fn latency(report: &Report) -> Option<String> {
    let average = report.links.average_smoothed_rtt_ms;
    let peak = report.links.peak_smoothed_rtt_ms;
    let is_high = average.is_some_and(|ms| ms >= RTT_AVERAGE_HIGH_MS)
        || peak.is_some_and(|ms| ms >= RTT_PEAK_HIGH_MS);
    is_high.then(|| {
        let (average, peak) = (average.unwrap_or_default(), peak.unwrap_or_default());
        format!("round trips of {average:.1} ms on average, {peak:.1} ms at peak")
    })
}

/// The peers with the most bytes both ways, busiest first.
pub(crate) fn busiest(report: &Report) -> Vec<&PeerReport> {
    let mut peers: Vec<_> = report.peer_summaries.iter().collect();
    // The sort is stable, so that equals stay in the order of their addresses.
    peers.sort_by_key(|peer| std::cmp::Reverse(bytes_moved(peer)));
    peers.truncate(PEERS_BUSIEST_MAX);
    peers
}

/// Datagram bytes hold the payload's, unless the transport cannot tell its datagrams.
fn bytes_moved(peer: &PeerReport) -> u64 {
    let traffic = &peer.traffic;
    let payload = traffic.payload_bytes_sent.saturating_add(traffic.payload_bytes_received);
    traffic.datagram_bytes_sent.saturating_add(traffic.datagram_bytes_received).max(payload)
}

/// One peer on one line.
pub(crate) fn peer_line(peer: &PeerReport) -> String {
    let mut line = format!(
        "{}: {} both ways, {} opened, {} closed",
        Shown(&peer.remote_end_point),
        Bytes(bytes_moved(peer)),
        peer.session_opens,
        peer.session_closes,
    );
    if let Some(state) = &peer.session_lifecycle_state {
        line += &format!(", {}", Shown(state));
    }
    if let Some(ms) = peer.peak_smoothed_rtt_ms {
        line += &format!(", round trip {ms:.1} ms at peak");
    }
    if let Some(link) = &peer.session_diagnostics {
        line += &format!(", {} sent again", link.observed_retransmission_sends);
    }
    line
}
