//! A run in which everything happened, and a directory of one's own.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs, process};

use moorline_link::transport::{Counter, LinkStats, Volume};
use moorline_metrics::snapshot::LinkPeaks;
use moorline_metrics::{PeerSnapshot, RunSnapshot, SessionSnapshot};
use moorline_session::lifecycle::State;

pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

pub(crate) fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

pub(crate) const fn volume(count: u64, bytes: u64) -> Volume {
    Volume { count, bytes }
}

pub(crate) const fn millis(count: u64) -> Option<Duration> {
    Some(Duration::from_millis(count))
}

/// A run of a minute in which nothing happened.
pub(crate) fn empty_run() -> RunSnapshot {
    RunSnapshot::new("test", "memory", "host", at(0), at(60))
}

/// A run with one session and traffic, and nothing wrong.
pub(crate) fn calm_run() -> RunSnapshot {
    let mut run = empty_run();
    run.active_sessions = 1;
    run.sessions_created = 1;
    run.payload_sent = volume(10, 1000);
    run.payload_received = volume(20, 2000);
    run.datagrams_sent = volume(11, 1500);
    run.datagrams_received = volume(21, 2500);
    run.state_counts[State::LoggedIn as usize] = 1;
    let mut session = SessionSnapshot::new("host", "0.1", State::LoggedIn, at(60));
    session.remote = Some(address(1));
    session.link = Some(LinkStats { rtt_smoothed: millis(20), ..LinkStats::default() });
    run.sessions.push(session);
    run
}

/// A run in which every field of every part has a value.
pub(crate) fn full_run() -> RunSnapshot {
    let mut run = calm_run();
    run.default_remote = Some("game.example:8080".to_owned());
    run.completed_at = Some(at(61));
    run.peak_active_sessions = 2;
    run.sessions_closed = 1;
    (run.send_errors, run.receive_errors, run.other_errors) = (1, 2, 3);
    run.errors_by_stage = vec![("send", 1), ("decode", 2)];
    run.counters = vec![Counter { name: "too_short", value: 4 }];
    let link = LinkStats {
        rtt_smoothed: millis(30),
        retransmission_timeout: millis(60),
        send_queue_len: 1,
        in_flight_len: 2,
        in_flight_repeated_len: 1,
        receive_queue_len: 3,
        receive_buffer_len: 4,
        repeats: 5,
        losses: 6,
        received: volume(7, 700),
        sent: volume(8, 800),
    };
    let session = &mut run.sessions[0];
    session.identity = Some("zoë".to_owned());
    session.can_send_heartbeat = true;
    session.rtt_last = Some(Duration::from_micros(20_125));
    session.failure = Some("bad credentials".to_owned());
    session.liveness_at = Some(at(59));
    session.beat_sent_at = Some(at(58));
    session.next_reconnect_at = Some(at(70));
    session.server_tick = Some(-1);
    session.link = Some(link.clone());
    let mut peer = PeerSnapshot::new(address(1), at(1));
    (peer.opens, peer.closes) = (2, 1);
    peer.state = Some(State::LoggedIn);
    peer.datagrams_sent = volume(8, 800);
    peer.peaks = LinkPeaks::default();
    peer.peaks.note(&link);
    peer.link = Some(link);
    peer.errors_by_stage = vec![("send", 1)];
    run.peers.push(peer);
    run
}

/// A directory that is there while this is.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("moorline-metrics-{name}-{}", process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file_names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the test's directory");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
