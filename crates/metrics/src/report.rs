//! The JSON document: names and order are a contract, so each struct is written down in that order.
//!
//! Durations are milliseconds with three decimals, times are ISO 8601 in UTC with milliseconds, and
//! what is not known is `null`. New fields go to the end.

use std::collections::BTreeMap;

use moorline_session::lifecycle::State;
use serde::{Deserialize, Serialize};

/// The report of a run. [`Report::new`] makes one, [`Report::read`] gets one back from a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// The run's name.
    pub run_id: String,
    /// What the transport calls itself.
    pub transport_name: String,
    /// What the program was in this run.
    pub mode: String,
    /// Where a client dialled unless told otherwise.
    pub default_remote_end_point: Option<String>,
    /// When the run began.
    pub started_at_utc: String,
    /// When it ended; `None` in a report of the moment.
    pub completed_at_utc: Option<String>,
    /// From the start to the end, or to the moment.
    pub duration_ms: u64,
    /// The file that this is in.
    pub report_path: Option<String>,
    /// The file that has the readable summary.
    pub summary_path: Option<String>,
    /// What follows, in sentences.
    pub readable_summary: ReadableSummary,
    /// Sessions that there were at that moment.
    pub active_sessions: u64,
    /// The most there were at one time.
    pub peak_active_sessions: u64,
    /// Sessions that began.
    pub sessions_created: u64,
    /// Sessions that ended.
    pub sessions_closed: u64,
    /// What went over the wire.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Sends that failed.
    pub send_errors: u64,
    /// Receives that failed.
    pub receive_errors: u64,
    /// Everything else that failed.
    pub other_errors: u64,
    /// The figures of all links together.
    #[serde(flatten)]
    pub links: LinkFigures,
    /// Sessions of the table by state.
    pub session_state_counts: StateCounts,
    /// How many sessions the application saw.
    pub application_sessions_tracked: u64,
    /// These by state.
    pub application_session_state_counts: StateCounts,
    /// These one by one.
    pub application_session_summaries: Vec<SessionReport>,
    /// How often something failed, by the step at which it did.
    pub error_counts_by_stage: BTreeMap<String, u64>,
    /// What is remembered of remote addresses.
    pub peer_summaries: Vec<PeerReport>,
    /// [`Report::SCHEMA_VERSION`] of the program that wrote this.
    pub schema_version: u64,
    /// When all this was so.
    pub observed_at_utc: String,
    /// The file that has the diagnosis.
    pub diagnosis_path: Option<String>,
    /// What transports and tables counted.
    pub counters: BTreeMap<String, u64>,
}

impl Report {
    /// Grows when a field changes its meaning or goes away, not when one is added.
    pub const SCHEMA_VERSION: u64 = 1;

    /// Failures of every sort together.
    pub const fn errors_total(&self) -> u64 {
        self.send_errors.saturating_add(self.receive_errors).saturating_add(self.other_errors)
    }
}

/// The run in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReadableSummary {
    /// The run in one sentence.
    pub headline: String,
    /// How many sessions came and went.
    pub session_summary: String,
    /// How much was sent and received.
    pub traffic_summary: String,
    /// What failed.
    pub error_summary: String,
    /// Where the sessions stood.
    pub lifecycle_summary: String,
    /// How the links did, and the verdict.
    pub health_summary: String,
    /// The busiest peers, one each.
    pub top_peer_highlights: Vec<String>,
}

/// Messages and datagrams, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Traffic {
    /// Messages of the application that were sent.
    pub payload_messages_sent: u64,
    /// Their bytes.
    pub payload_bytes_sent: u64,
    /// Messages of the application that arrived.
    pub payload_messages_received: u64,
    /// Their bytes.
    pub payload_bytes_received: u64,
    /// Datagrams that were sent.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub datagram_bytes_sent: u64,
    /// Datagrams that arrived.
    pub datagrams_received: u64,
    /// Their bytes.
    pub datagram_bytes_received: u64,
}

/// The figures of all links together. A total is of the links that are up, a peak of the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LinkFigures {
    /// How many links there are figures of.
    pub sessions_with_diagnostics: u64,
    /// The mean of their smoothed round trips.
    pub average_smoothed_rtt_ms: Option<f64>,
    /// The longest smoothed round trip.
    pub peak_smoothed_rtt_ms: Option<f64>,
    /// The mean of their waits before a repetition.
    pub average_retransmission_timeout_ms: Option<f64>,
    /// The longest wait before a repetition.
    pub peak_retransmission_timeout_ms: Option<f64>,
    /// Segments that are unsent or unacknowledged.
    pub total_wait_send_count: u64,
    /// The most of these on one link.
    pub peak_wait_send_count: u64,
    /// Segments that are unsent.
    pub total_send_queue_count: u64,
    /// Segments that are sent and unacknowledged.
    pub total_send_buffer_count: u64,
    /// Messages that wait to be read.
    pub total_receive_queue_count: u64,
    /// Segments that wait for an earlier one.
    pub total_receive_buffer_count: u64,
    /// Segments in flight that were sent more than once.
    pub total_retransmitted_segments_in_flight: u64,
    /// The most of these on one link.
    pub peak_retransmitted_segments_in_flight: u64,
    /// Segments sent again, since the start.
    pub total_observed_retransmission_sends: u64,
    /// Losses that were concluded, since the start.
    pub total_observed_loss_signals: u64,
}

/// How many sessions are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "each field is the state of the same name")]
pub struct StateCounts {
    pub disconnected: u64,
    pub transport_connected: u64,
    pub login_pending: u64,
    pub logged_in: u64,
    pub login_failed: u64,
    pub timed_out: u64,
    pub reconnect_pending: u64,
    pub reconnecting: u64,
}

impl StateCounts {
    /// The counts with the names of their states, in the order of [`State::ALL`].
    pub const fn named(&self) -> [(State, u64); State::ALL.len()] {
        [
            (State::Disconnected, self.disconnected),
            (State::TransportConnected, self.transport_connected),
            (State::LoginPending, self.login_pending),
            (State::LoggedIn, self.logged_in),
            (State::LoginFailed, self.login_failed),
            (State::TimedOut, self.timed_out),
            (State::ReconnectPending, self.reconnect_pending),
            (State::Reconnecting, self.reconnecting),
        ]
    }

    /// Sessions that lost their peer and are not back: timed out, waiting, or trying.
    pub const fn lost(&self) -> u64 {
        self.timed_out.saturating_add(self.reconnect_pending).saturating_add(self.reconnecting)
    }

    /// One more in `state`.
    pub const fn add(&mut self, state: State) {
        let count = self.count_mut(state);
        *count = count.saturating_add(1);
    }

    const fn count_mut(&mut self, state: State) -> &mut u64 {
        match state {
            State::Disconnected => &mut self.disconnected,
            State::TransportConnected => &mut self.transport_connected,
            State::LoginPending => &mut self.login_pending,
            State::LoggedIn => &mut self.logged_in,
            State::LoginFailed => &mut self.login_failed,
            State::TimedOut => &mut self.timed_out,
            State::ReconnectPending => &mut self.reconnect_pending,
            State::Reconnecting => &mut self.reconnecting,
        }
    }
}

impl From<[u64; State::ALL.len()]> for StateCounts {
    /// Counts in the order of [`State::ALL`].
    fn from(counts: [u64; State::ALL.len()]) -> Self {
        let mut named = Self::default();
        for (state, count) in State::ALL.into_iter().zip(counts) {
            *named.count_mut(state) = count;
        }
        named
    }
}

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionReport {
    /// Which side of it this was.
    pub scope: String,
    /// Where the peer was.
    pub remote_end_point: Option<String>,
    /// The name of its [`State`].
    pub connection_state: String,
    /// Whether a heartbeat could be sent.
    pub can_send_heartbeat: bool,
    /// The round trip of the last heartbeat that was answered.
    pub last_round_trip_time_ms: Option<f64>,
    /// Why it last failed.
    pub last_failure_reason: Option<String>,
    /// When something that counts was last heard of the peer.
    pub last_liveness_utc: Option<String>,
    /// When a heartbeat last left.
    pub last_heartbeat_sent_utc: Option<String>,
    /// When the next attempt to come back was to begin.
    pub next_reconnect_at_utc: Option<String>,
    /// The newest tick that the host told of.
    pub current_server_tick: Option<i64>,
    /// When all this was so.
    pub observed_at_utc: String,
    /// The session's own number.
    pub session_id: String,
    /// Who it belonged to, as the peer wrote it: escape it before a person sees it.
    pub identity: Option<String>,
    /// Messages to the peer.
    pub payload_messages_sent: u64,
    /// Their bytes.
    pub payload_bytes_sent: u64,
    /// Messages from the peer.
    pub payload_messages_received: u64,
    /// Their bytes.
    pub payload_bytes_received: u64,
    /// Figures of its link.
    pub session_diagnostics: Option<LinkReport>,
}

/// One remote address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PeerReport {
    /// The address.
    pub remote_end_point: String,
    /// When it first opened a session.
    pub first_seen_utc: String,
    /// When it was last known to do something.
    pub last_activity_utc: String,
    /// Sessions or links that it opened.
    pub session_opens: u64,
    /// Of these, how many ended.
    pub session_closes: u64,
    /// What went to and fro.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// The name of its session's [`State`].
    pub session_lifecycle_state: Option<String>,
    /// Figures of its present or last link.
    pub session_diagnostics: Option<LinkReport>,
    /// The longest smoothed round trip.
    pub peak_smoothed_rtt_ms: Option<f64>,
    /// The longest wait before a repetition.
    pub peak_retransmission_timeout_ms: Option<f64>,
    /// The most segments that were unsent or unacknowledged.
    pub peak_wait_send_count: u64,
    /// The most segments in flight that were sent more than once.
    pub peak_retransmitted_segments_in_flight: u64,
    /// How often something failed with it, by the step at which it did.
    pub error_counts_by_stage: BTreeMap<String, u64>,
}

/// The figures of one link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LinkReport {
    /// The smoothed round trip.
    pub smoothed_rtt_ms: Option<f64>,
    /// The wait before a repetition.
    pub retransmission_timeout_ms: Option<f64>,
    /// Segments that were unsent or unacknowledged.
    pub wait_send_count: u64,
    /// Segments that were unsent.
    pub send_queue_count: u64,
    /// Segments that were sent and unacknowledged.
    pub send_buffer_count: u64,
    /// Messages that waited to be read.
    pub receive_queue_count: u64,
    /// Segments that waited for an earlier one.
    pub receive_buffer_count: u64,
    /// Segments in flight that were sent more than once.
    pub retransmitted_segments_in_flight: u64,
    /// Segments sent again, since the link began.
    pub observed_retransmission_sends: u64,
    /// Losses that were concluded, since the link began.
    pub observed_loss_signals: u64,
}
