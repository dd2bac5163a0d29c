//! The host's side of the demo, on a thread of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use moorline::{
    Carrier, Event, EventKind, HostConfig, KcpConfig, Limits, Reason, Refusal, RefusalCode, Server,
    ServerConfig, ServerEvent, Session, SessionId, StartError, State, Time, Waker, Watch, host_key,
};

use super::script::{self, Cue, Role};
use crate::echo::{self, Score};

/// How often the board is written.
const BOARD_INTERVAL: Duration = Duration::from_millis(100);

/// Events that are remembered for each session, enough for every script.
const HISTORY_PER_SESSION: usize = 16;

/// Whose events are asked for in the end.
const REMEMBERED: Role = Role::Vanishes;

/// What the host shows while it runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    pub(super) counts: [usize; 8],
    pub(super) messages_per_second: f64,
    /// The latest event of each role's first session.
    pub(super) latest: BTreeMap<String, String>,
    timed_out: Vec<String>,
    messages: u64,
}

/// What the host saw of each session, by the name that it logged in under.
#[derive(Debug, Default)]
pub(super) struct Story {
    lives: BTreeMap<SessionId, Vec<EventKind>>,
    by_name: BTreeMap<String, SessionId>,
    pub(super) counts: [usize; 8],
    pub(super) messages: u64,
    /// All that the server remembers in the end of one session, which is gone by then.
    pub(super) remembered: Vec<String>,
}

impl Story {
    /// The life of the first session that had this name.
    pub(super) fn life(&self, name: &str) -> &[EventKind] {
        let life = self.by_name.get(name).and_then(|id| self.lives.get(id));
        life.map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, event: &Event) {
        if script::is_scripted(event.kind) {
            self.lives.entry(event.session).or_default().push(event.kind);
        }
    }
}

/// The running host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: SocketAddr,
    /// How clients speak to it.
    pub(super) carrier: Carrier,
    shared: Arc<Shared>,
    waker: Waker,
    thread: JoinHandle<Story>,
}

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    evict: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    pub(super) fn start(sessions: u32, is_kcp: bool) -> Result<Self, StartError> {
        let sessions_max = sessions as usize * 2;
        let limits = Limits {
            sessions_max,
            sessions_per_address_max: sessions_max,
            history_max: sessions_max * HISTORY_PER_SESSION,
            ..Limits::default()
        };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let (mut config, carrier) = if is_kcp {
            let carrier = Carrier::KcpPlaintextUnauthenticated { kcp: KcpConfig::default() };
            (ServerConfig::kcp_plaintext_unauthenticated(any_port), carrier)
        } else {
            let key = host_key::generate().map_err(StartError::Io)?;
            let carrier = Carrier::Native { host: key.public(), native: Box::default() };
            (ServerConfig::native(any_port, key), carrier)
        };
        config.host = HostConfig {
            liveness: script::liveness(),
            keep_time: script::KEEP,
            limits,
            delivery: echo::delivery(),
            ..HostConfig::default()
        };
        let server = Server::bind(config)?;
        let address = server.local_addresses()[0];
        let waker = server.waker();
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || run(server, &for_thread));
        Ok(Self { address, carrier, shared, waker, thread })
    }

    pub(super) fn on_cue(&self, cue: Cue) {
        if cue == Cue::Evict {
            self.shared.evict.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn board(&self) -> Board {
        self.shared.board().clone()
    }

    /// Names whose sessions were found to be silent since this was last asked.
    pub(super) fn timed_out(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.board().timed_out)
    }

    /// Whether nobody is on the way in, out or back.
    pub(super) fn is_done(&self) -> bool {
        let board = self.shared.board();
        State::ALL.iter().zip(board.counts).all(|(state, count)| {
            matches!(state, State::LoggedIn | State::Disconnected) || count == 0
        })
    }

    pub(super) fn stop(self) -> Result<Story, &'static str> {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Without a wake it stops at its next look.
        self.waker.wake().ok();
        self.thread.join().map_err(|_| "the host's thread panicked")
    }
}

fn run(mut server: Server, shared: &Shared) -> Story {
    let mut story = Story::default();
    let mut score = Score::default();
    let mut board_at = Instant::now();
    let mut has_evicted = false;
    while !shared.stop.load(Ordering::SeqCst) {
        match server.poll_for(BOARD_INTERVAL / 2) {
            Some(ServerEvent::Session(event)) => {
                story.add(&event);
                show(shared, &event);
            }
            Some(ServerEvent::Login(request)) => {
                let name = request.identity.to_string();
                story.by_name.entry(name.clone()).or_insert(request.session);
                if name.starts_with(Role::Intruder.name()) {
                    request.refuse(Refusal::new(RefusalCode::BadCredentials, "not on the list"));
                } else {
                    request.accept();
                }
            }
            Some(ServerEvent::Message { session, message }) => {
                score.answer(&mut server, session, message);
            }
            _ => {}
        }
        if !has_evicted && shared.evict.load(Ordering::SeqCst) {
            has_evicted = true;
            evict(&mut server);
        }
        if board_at.elapsed() >= BOARD_INTERVAL {
            write_board(shared, &server, &score, board_at.elapsed());
            board_at = Instant::now();
        }
    }
    story.counts = State::ALL.map(|state| server.sessions().count(state));
    story.messages = score.messages;
    story.remembered = remembered(&mut server, &story);
    server.stop();
    story
}

fn remembered(server: &mut Server, story: &Story) -> Vec<String> {
    let Some(id) = story.by_name.get(&REMEMBERED.example()) else { return Vec::new() };
    let Some(observer) = server.observe(Watch::One(*id), Time::ZERO) else { return Vec::new() };
    let events = std::iter::from_fn(|| server.poll_observed(observer));
    events.map(|event| event.to_string()).collect()
}

fn show(shared: &Shared, event: &Event) {
    let Some(identity) = &event.identity else { return };
    let name = identity.to_string();
    if event.kind == EventKind::TimedOut {
        shared.board().timed_out.push(name.clone());
    }
    if script::is_scripted(event.kind) && Role::ALL.iter().any(|role| role.example() == name) {
        let reason = event.reason.as_ref().map(|reason| format!(" ({reason})"));
        let latest = format!("{:>8}  {:?}{}", event.at, event.kind, reason.unwrap_or_default());
        shared.board().latest.insert(name, latest);
    }
}

fn evict(server: &mut Server) {
    let is_to_go = |session: &&Session| {
        let name = session.identity().map(ToString::to_string).unwrap_or_default();
        name.starts_with(Role::Evicted.name())
    };
    let ids: Vec<SessionId> = server.sessions().iter().filter(is_to_go).map(Session::id).collect();
    for id in ids {
        // Whoever is gone already shows in its life.
        server.close(id, Reason::Evicted("the script says so".into())).ok();
    }
}

fn write_board(shared: &Shared, server: &Server, score: &Score, since: Duration) {
    let mut board = shared.board();
    board.counts = State::ALL.map(|state| server.sessions().count(state));
    let new = score.messages - board.messages;
    board.messages = score.messages;
    board.messages_per_second = new as f64 / since.as_secs_f64();
}
