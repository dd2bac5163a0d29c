//! What the run report is made of, read off a living server or client.

use std::time::SystemTime;

use moorline_link::transport::LinkStats;
use moorline_link::{Time, Transport};
use moorline_metrics::ledger::PeerObservation;
use moorline_metrics::snapshot::LinkPeaks;
use moorline_metrics::{RunSnapshot, SessionSnapshot};
use moorline_session::{Event, EventKind, Session, State};

use crate::clock::Clock;
use crate::pipe::Traffic;
use crate::shard::Shard;
use crate::{Client, Server};

impl Server {
    /// The run so far. Take the last one before [`stop`](Self::stop): afterwards the sessions are
    /// gone, and nobody knows which of them were in trouble.
    pub fn snapshot(&mut self, run_id: impl Into<String>) -> RunSnapshot {
        let now = self.clock.now();
        let counters = self.host.counters();
        let mut run = start(&self.clock, now, run_id, &transport_names(self.host.transports()));
        run.mode = "host".to_owned();
        run.sessions =
            self.sessions().iter().map(|session| self.session_snapshot(session)).collect();
        for (number, state) in State::ALL.into_iter().enumerate() {
            run.state_counts[number] = self.sessions().count(state) as u64;
        }
        run.active_sessions = self.sessions().len() as u64;
        run.peak_active_sessions = counters.sessions_peak;
        run.sessions_created = counters.sessions_created;
        run.sessions_closed = counters.sessions_closed;
        run.payload_sent = counters.sent;
        run.payload_received = counters.received;
        for session in &run.sessions {
            let Some(remote) = session.remote else { continue };
            let seen = PeerObservation {
                state: Some(session.state),
                last_activity: session.liveness_at,
                payload_sent: session.payload_sent,
                payload_received: session.payload_received,
                link: session.link.clone(),
            };
            self.peers.observe(remote, &seen);
        }
        run.peers = self.peers.snapshots();
        run.peaks = self.peers.peaks();
        run.counters = self.host.transport_counters();
        run.counters.extend(self.peers.counters());
        run.counters.extend(counters.named());
        run.counters.extend(self.host.ended());
        let shards = self.shards.iter().map(Shard::traffic);
        add_traffic(&mut run, shards.fold(self.pipe.traffic(), Traffic::plus));
        run
    }

    fn session_snapshot(&self, session: &Session) -> SessionSnapshot {
        let link = session.link().and_then(|link| {
            self.host.transports().get(usize::from(link.transport))?.stats(link.link)
        });
        session_snapshot("host", &self.clock, session, link)
    }

    /// Keeps the history of addresses as links come and go.
    pub(crate) fn note_peer(&mut self, event: &Event) {
        let Some(address) = event.address else { return };
        let at = self.clock.wall(event.at);
        if let Some(totals) = &event.totals {
            let seen = PeerObservation {
                state: Some(event.to),
                last_activity: None,
                payload_sent: totals.sent,
                payload_received: totals.received,
                link: totals.link.clone(),
            };
            self.peers.observe(address, &seen);
        }
        match event.kind {
            EventKind::TransportConnected => self.peers.opened(address, at),
            EventKind::LoginFailed => self.peers.failed(address, "login"),
            EventKind::TimedOut => {
                self.peers.failed(address, "liveness");
                self.peers.closed(address, at);
            }
            EventKind::Disconnected | EventKind::ReconnectScheduled
                if event.from.is_connected() =>
            {
                self.peers.closed(address, at);
            }
            _ => {}
        }
    }
}

impl Client {
    /// The run so far.
    pub fn snapshot(&self, run_id: impl Into<String>) -> RunSnapshot {
        let now = self.clock.now();
        let session = self.dialer.session();
        let name = self.dialer.transport().name();
        let link = session.link().and_then(|link| self.dialer.transport().stats(link.link));
        let mut run = start(&self.clock, now, run_id, name);
        run.mode = "client".to_owned();
        run.default_remote = Some(self.remote().to_string());
        if let Some(link) = &link {
            run.peaks = LinkPeaks::default();
            run.peaks.note(link);
        }
        let mut shown = session_snapshot("client", &self.clock, session, link);
        shown.rtt_last = self.dialer.round_trip().last();
        shown.server_tick = self.dialer.clock().newest_tick();
        run.sessions = vec![shown];
        for (number, state) in State::ALL.into_iter().enumerate() {
            run.state_counts[number] = u64::from(session.state() == state);
        }
        run.active_sessions = u64::from(session.state().is_connected());
        run.peak_active_sessions = 1;
        run.sessions_created = self.dialer.counters().dials;
        run.payload_sent = session.sent();
        run.payload_received = session.received();
        run.counters = self.dialer.transport().counters();
        add_traffic(&mut run, self.pipe.traffic());
        run
    }
}

fn start(clock: &Clock, now: Time, run_id: impl Into<String>, transport: &str) -> RunSnapshot {
    RunSnapshot::new(run_id, transport, "", clock.wall(Time::ZERO), clock.wall(now))
}

fn transport_names(transports: &[impl Transport]) -> String {
    let mut names: Vec<_> = transports.iter().map(Transport::name).collect();
    names.dedup();
    names.join("+")
}

fn add_traffic(run: &mut RunSnapshot, traffic: Traffic) {
    run.datagrams_sent = traffic.sent;
    run.datagrams_received = traffic.received;
    run.send_errors = traffic.send_errors;
    run.receive_errors = traffic.receive_errors;
    run.other_errors = traffic.other_errors;
    run.errors_by_stage = [
        ("receive", traffic.receive_errors),
        ("send", traffic.send_errors),
        ("wait", traffic.other_errors),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .collect();
}

fn session_snapshot(
    scope: &'static str,
    clock: &Clock,
    session: &Session,
    link: Option<LinkStats>,
) -> SessionSnapshot {
    let wall = |time: Time| -> SystemTime { clock.wall(time) };
    let mut shown =
        SessionSnapshot::new(scope, session.id().to_string(), session.state(), wall(clock.now()));
    shown.identity = session.identity().map(ToString::to_string);
    shown.remote = session.address();
    shown.can_send_heartbeat = session.can_send_beat();
    shown.failure = session.failure().map(ToString::to_string);
    shown.liveness_at = Some(wall(session.heard_at()));
    shown.beat_sent_at = session.beat_sent_at().map(wall);
    shown.next_reconnect_at = session.reconnect_at().map(wall);
    shown.link = link;
    shown.payload_sent = session.sent();
    shown.payload_received = session.received();
    shown
}
