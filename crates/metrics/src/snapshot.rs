//! What the front door knows of a run at one moment, as plain data.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use moorline_link::transport::{Counter, LinkStats, Volume};
use moorline_session::lifecycle::State;

/// A run at one moment. To report on its end, take it before the sessions are closed: afterwards
/// nobody knows which of them were in trouble.
#[derive(Clone, Debug)]
pub struct RunSnapshot {
    /// The run's name; file names are made of it, so two runs with the same one share their files.
    pub run_id: String,
    /// What the transport calls itself.
    pub transport_name: String,
    /// What the program is in this run, such as `host` or `client`.
    pub mode: String,
    /// Where a client dials unless told otherwise.
    pub default_remote: Option<String>,
    /// When the run began.
    pub started_at: SystemTime,
    /// When this snapshot was taken.
    pub observed_at: SystemTime,
    /// When the run ended; `None` while it goes on.
    pub completed_at: Option<SystemTime>,
    /// Sessions that there are now.
    pub active_sessions: u64,
    /// The most there were at one time.
    pub peak_active_sessions: u64,
    /// Sessions that began, since the start.
    pub sessions_created: u64,
    /// Sessions that ended, since the start.
    pub sessions_closed: u64,
    /// Messages of the application that were sent.
    pub payload_sent: Volume,
    /// Messages of the application that arrived.
    pub payload_received: Volume,
    /// Datagrams that were sent, those of no session among them.
    pub datagrams_sent: Volume,
    /// Datagrams that arrived, those of no session among them.
    pub datagrams_received: Volume,
    /// Sends that failed.
    pub send_errors: u64,
    /// Receives that failed.
    pub receive_errors: u64,
    /// Everything else that failed.
    pub other_errors: u64,
    /// How many sessions of the table are in each state, in the order of [`State::ALL`].
    pub state_counts: [u64; State::ALL.len()],
    /// The sessions that the application sees.
    pub sessions: Vec<SessionSnapshot>,
    /// What is remembered of remote addresses; see [`PeerLedger`](crate::PeerLedger).
    pub peers: Vec<PeerSnapshot>,
    /// The worst of all links since the start, those of forgotten peers among them.
    pub peaks: LinkPeaks,
    /// How often something failed, by the step at which it did.
    pub errors_by_stage: Vec<(&'static str, u64)>,
    /// What transports and tables counted. Those of the same name are added up.
    pub counters: Vec<Counter>,
}

impl RunSnapshot {
    /// A run in which nothing happened yet.
    pub fn new(
        run_id: impl Into<String>,
        transport_name: impl Into<String>,
        mode: impl Into<String>,
        started_at: SystemTime,
        observed_at: SystemTime,
    ) -> Self {
        Self {
            run_id: run_id.into(),
            transport_name: transport_name.into(),
            mode: mode.into(),
            default_remote: None,
            started_at,
            observed_at,
            completed_at: None,
            active_sessions: 0,
            peak_active_sessions: 0,
            sessions_created: 0,
            sessions_closed: 0,
            payload_sent: Volume::default(),
            payload_received: Volume::default(),
            datagrams_sent: Volume::default(),
            datagrams_received: Volume::default(),
            send_errors: 0,
            receive_errors: 0,
            other_errors: 0,
            state_counts: [0; State::ALL.len()],
            sessions: Vec::new(),
            peers: Vec::new(),
            peaks: LinkPeaks::default(),
            errors_by_stage: Vec::new(),
            counters: Vec::new(),
        }
    }
}

/// One session at one moment.
#[derive(Clone, Debug)]
pub struct SessionSnapshot {
    /// Which side of it this is, such as `host` or `client`.
    pub scope: &'static str,
    /// The session's own number, as the application knows it.
    pub session_id: String,
    /// Who it belongs to, once somebody logged in.
    pub identity: Option<String>,
    /// Where the peer is, if a link is up.
    pub remote: Option<SocketAddr>,
    /// Where it stands in its life.
    pub state: State,
    /// Whether a heartbeat could be sent now.
    pub can_send_heartbeat: bool,
    /// The round trip of the last heartbeat that was answered.
    pub rtt_last: Option<Duration>,
    /// Why it last failed, in words.
    pub failure: Option<String>,
    /// When something that counts was last heard of the peer.
    pub liveness_at: Option<SystemTime>,
    /// When a heartbeat last left.
    pub beat_sent_at: Option<SystemTime>,
    /// When the next attempt to come back begins.
    pub next_reconnect_at: Option<SystemTime>,
    /// The newest tick that the host told of.
    pub server_tick: Option<i64>,
    /// When all this was so.
    pub observed_at: SystemTime,
    /// Figures of its link, if the transport has some.
    pub link: Option<LinkStats>,
    /// Messages that were sent, since the session began.
    pub payload_sent: Volume,
    /// Messages that arrived, since the session began.
    pub payload_received: Volume,
}

impl SessionSnapshot {
    /// A session of which nothing but its state is known.
    pub fn new(
        scope: &'static str,
        session_id: impl Into<String>,
        state: State,
        observed_at: SystemTime,
    ) -> Self {
        Self {
            scope,
            session_id: session_id.into(),
            identity: None,
            remote: None,
            state,
            can_send_heartbeat: false,
            rtt_last: None,
            failure: None,
            liveness_at: None,
            beat_sent_at: None,
            next_reconnect_at: None,
            server_tick: None,
            observed_at,
            link: None,
            payload_sent: Volume::default(),
            payload_received: Volume::default(),
        }
    }
}

/// What is remembered of one remote address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSnapshot {
    /// The address.
    pub remote: SocketAddr,
    /// When it first opened a session.
    pub first_seen: SystemTime,
    /// When it was last known to do something.
    pub last_activity: SystemTime,
    /// Sessions or links that it opened.
    pub opens: u64,
    /// Of these, how many ended.
    pub closes: u64,
    /// Messages to it.
    pub payload_sent: Volume,
    /// Messages from it.
    pub payload_received: Volume,
    /// Datagrams to it.
    pub datagrams_sent: Volume,
    /// Datagrams from it.
    pub datagrams_received: Volume,
    /// Where its session stood when it was last looked at.
    pub state: Option<State>,
    /// Figures of its link; of its last one, with empty queues, when none is up.
    pub link: Option<LinkStats>,
    /// Segments sent again on links before that one.
    pub repeats_earlier: u64,
    /// Losses on links before that one.
    pub losses_earlier: u64,
    /// The worst that was seen of its links.
    pub peaks: LinkPeaks,
    /// How often something failed with this peer, by the step at which it did.
    pub errors_by_stage: Vec<(&'static str, u64)>,
}

impl PeerSnapshot {
    /// A peer that has just opened nothing yet.
    pub fn new(remote: SocketAddr, first_seen: SystemTime) -> Self {
        Self {
            remote,
            first_seen,
            last_activity: first_seen,
            opens: 0,
            closes: 0,
            payload_sent: Volume::default(),
            payload_received: Volume::default(),
            datagrams_sent: Volume::default(),
            datagrams_received: Volume::default(),
            state: None,
            link: None,
            repeats_earlier: 0,
            losses_earlier: 0,
            peaks: LinkPeaks::default(),
            errors_by_stage: Vec::new(),
        }
    }
}

/// The worst figures of one link or of several. They are taken whenever somebody looks, so what
/// comes and goes between two snapshots is not in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkPeaks {
    /// The longest smoothed round trip.
    pub rtt_smoothed_max: Option<Duration>,
    /// The longest wait before a repetition.
    pub retransmission_timeout_max: Option<Duration>,
    /// The most segments that were unsent or unacknowledged; see [`wait_send_len`].
    pub wait_send_len_max: u64,
    /// The most segments that were in flight for more than the first time.
    pub in_flight_repeated_len_max: u64,
}

impl LinkPeaks {
    /// Takes the figures of a link into account.
    pub fn note(&mut self, link: &LinkStats) {
        self.merge(&Self {
            rtt_smoothed_max: link.rtt_smoothed,
            retransmission_timeout_max: link.retransmission_timeout,
            wait_send_len_max: wait_send_len(link),
            in_flight_repeated_len_max: link.in_flight_repeated_len,
        });
    }

    /// Takes the peaks of other links into account.
    pub fn merge(&mut self, other: &Self) {
        // `None` orders before every `Some`, so a figure beats none.
        self.rtt_smoothed_max = self.rtt_smoothed_max.max(other.rtt_smoothed_max);
        self.retransmission_timeout_max =
            self.retransmission_timeout_max.max(other.retransmission_timeout_max);
        self.wait_send_len_max = self.wait_send_len_max.max(other.wait_send_len_max);
        self.in_flight_repeated_len_max =
            self.in_flight_repeated_len_max.max(other.in_flight_repeated_len_max);
    }
}

/// What a link still has to get across: never sent, or sent and not acknowledged.
pub const fn wait_send_len(link: &LinkStats) -> u64 {
    link.send_queue_len.saturating_add(link.in_flight_len)
}
