//! `moorline serve`: a host that echoes and relays until it is told to stop.

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use moorline::{
    Event, EventKind, HostConfig, HostPublicKey, KcpConfig, Limits, Listener, LivenessPolicy,
    Redirect, Refusal, Server, ServerConfig, ServerEvent, SessionId, host_key,
};
use moorline_metrics::{ReportOptions, ReportWriter};
use serde::Serialize;

use crate::Outcome;
use crate::args::Serve;
use crate::echo::{self, Score};
use crate::interrupt::Interrupt;
use crate::output;

/// How long the last ones have whom a host sends away: a second until nothing of theirs is on its
/// way, and some for those who missed it.
const DRAIN_LINGER: Duration = Duration::from_secs(2);

/// How long the host may wait for something to happen before it looks around.
const TURN: Duration = Duration::from_secs(1);

/// How long a user who is asked to log in again has for it.
const LOGIN_AGAIN_TIME: Duration = Duration::from_secs(30);

/// What one address may have where strangers can reach the host.
const PER_ADDRESS_MAX: usize = 64;

pub(crate) fn run(args: &Serve) -> Outcome {
    if let Some(to) = args.drain_to.filter(|to| [args.bind, args.kcp].contains(&Some(*to))) {
        return Err(format!("--drain-to {to} is this host itself: name another one").into());
    }
    if args.timeout_min.is_some_and(|least| least > args.timeout) {
        return Err("--timeout-min is longer than --timeout: lower it, or raise that".into());
    }
    let (config, host_key) = config(args)?;
    let mut server = Server::bind(config)?;
    if let Some(folder) = &args.report_dir {
        output::check_folder(folder)?;
    }
    let interrupt = Interrupt::listen(Some(server.waker()))?;
    let mut score = Score::default();
    announce(args, &server, host_key);
    let mut logins = VecDeque::new();
    while !interrupt.is_set() {
        let wait = args.login_again.map_or(TURN, |after| after.min(TURN));
        match server.poll_for(wait) {
            Some(ServerEvent::Session(event)) => {
                if matches!(event.kind, EventKind::LoginSucceeded | EventKind::Reauthenticated) {
                    logins.push_back((Instant::now(), event.session));
                }
                tell(args, &event);
            }
            Some(ServerEvent::Login(request)) => request.accept(),
            Some(ServerEvent::Message { session, message }) => {
                score.answer(&mut server, session, message);
            }
            _ => {}
        }
        ask_again(args, &mut server, &mut logins);
    }
    if let Some(to) = args.drain_to {
        drain(args, &mut server, to, &mut score);
    }
    stop(args, server, &score)
}

/// Asks those to log in again whose last login is too long ago; `logins` are all, the oldest first.
fn ask_again(args: &Serve, server: &mut Server, logins: &mut VecDeque<(Instant, SessionId)>) {
    let is_old = |(at, _): &mut (Instant, SessionId)| match args.login_again {
        Some(after) => at.elapsed() >= after,
        None => true,
    };
    while let Some((_, session)) = logins.pop_front_if(is_old) {
        if args.login_again.is_some() {
            // Who is gone need not.
            server.ask_login(session, LOGIN_AGAIN_TIME).ok();
        }
    }
}

/// Sends everyone to another host, and for a while whoever still comes.
fn drain(args: &Serve, server: &mut Server, to: SocketAddr, score: &mut Score) {
    let within = args.drain_within;
    server.drain(Redirect { to, within });
    let end = Instant::now() + within + DRAIN_LINGER;
    while Instant::now() < end {
        match server.poll_until(end) {
            Some(ServerEvent::Session(event)) => tell(args, &event),
            Some(ServerEvent::Login(request)) => request.refuse(Refusal::moved(to)),
            Some(ServerEvent::Message { session, message }) => {
                score.answer(server, session, message);
            }
            _ => {}
        }
    }
}

/// What the server is told, and the key by which clients know it.
fn config(args: &Serve) -> Result<(ServerConfig, Option<HostPublicKey>), Box<dyn Error>> {
    // Nobody but this machine can reach a loopback address.
    let is_local = [args.bind, args.kcp].into_iter().flatten().all(|it| it.ip().is_loopback());
    let per_address = if is_local { args.max_sessions } else { PER_ADDRESS_MAX };
    let limits = Limits {
        sessions_max: args.max_sessions,
        sessions_per_address_max: args.max_per_address.unwrap_or(per_address),
        ..Limits::default()
    };
    let beat_interval = LivenessPolicy::default().beat_interval;
    let liveness = match args.timeout_min {
        Some(least) => LivenessPolicy::adaptive(beat_interval, least, args.timeout),
        None => LivenessPolicy::new(beat_interval, args.timeout),
    };
    let host = HostConfig {
        liveness,
        duplicate: args.duplicate,
        keep_time: args.keep,
        limits,
        delivery: echo::delivery(),
    };
    let (mut listeners, mut host_key) = (Vec::new(), None);
    if let Some(address) = args.bind {
        let key = Arc::new(host_key::load_or_create(&args.key)?);
        host_key = Some(key.public());
        listeners.push(Listener::Native { address, key, native: Box::default() });
    }
    if let Some(reliable) = args.kcp {
        let (sync, kcp) = (args.kcp_sync, KcpConfig::default());
        listeners.push(Listener::KcpPlaintextUnauthenticated { reliable, sync, kcp });
    }
    let buffers = moorline::BufferSizes::HOST;
    let state_file = args.state.clone();
    let shards = args.shards;
    Ok((ServerConfig { host, listeners, buffers, shards, state_file }, host_key))
}

/// A line that a person reads, or an object that a program does.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Listening {
        native: Option<SocketAddr>,
        host_key: Option<String>,
        kcp: Option<SocketAddr>,
        kcp_sync: Option<SocketAddr>,
    },
    Warning {
        text: &'a str,
    },
    Session(SessionLine),
    Stopped {
        sessions: u64,
        messages: u64,
        answers_refused: u64,
        malformed: u64,
    },
}

#[derive(Serialize)]
struct SessionLine {
    at_ms: u64,
    session: String,
    kind: String,
    from: String,
    to: String,
    identity: Option<String>,
    address: Option<SocketAddr>,
    cause: String,
    reason: Option<String>,
    gap: Option<String>,
}

fn announce(args: &Serve, server: &Server, host_key: Option<HostPublicKey>) {
    let mut addresses = server.local_addresses().into_iter();
    let native = args.bind.and_then(|_| addresses.next());
    let (kcp, kcp_sync) = (addresses.next(), addresses.next());
    if args.json {
        let host_key = host_key.map(|key| key.to_string());
        output::json_line(&Line::Listening { native, host_key, kcp, kcp_sync });
    } else {
        if let (Some(address), Some(key)) = (native, host_key) {
            output::line(format!("listening on {address} (native, encrypted)"));
            output::line(format!("host key {key}"));
        }
        for (name, address) in [("kcp", kcp), ("kcp sync", kcp_sync)] {
            if let Some(address) = address {
                output::line(format!("listening on {address} ({name}, plaintext)"));
            }
        }
    }
    for warning in server.warnings() {
        if args.json {
            output::json_line(&Line::Warning { text: &warning });
        } else {
            output::warning(warning);
        }
    }
}

fn tell(args: &Serve, event: &Event) {
    if !args.json {
        output::line(event.to_string());
        return;
    }
    output::json_line(&Line::Session(SessionLine {
        at_ms: event.at.as_millis(),
        session: event.session.to_string(),
        kind: format!("{:?}", event.kind),
        from: event.from.to_string(),
        to: event.to.to_string(),
        identity: event.identity.as_ref().map(ToString::to_string),
        address: event.address,
        cause: event.cause.to_string(),
        reason: event.reason.as_ref().map(ToString::to_string),
        gap: event.gap.as_ref().map(ToString::to_string),
    }));
}

/// Stops in order: the report's figures are taken while the sessions are there, then each session
/// ends, unless the next run of this host goes on with it, then the report is written.
fn stop(args: &Serve, mut server: Server, score: &Score) -> Outcome {
    let mut run = server.snapshot(run_id());
    if args.state.is_none() {
        server.stop();
    }
    while let Some(event) = server.poll() {
        if let ServerEvent::Session(event) = event {
            tell(args, &event);
        }
    }
    drop(server);
    run.completed_at = Some(SystemTime::now());
    let (sessions, messages) = (run.sessions_created, score.messages);
    if args.json {
        let (answers_refused, malformed) = (score.refused, score.malformed);
        output::json_line(&Line::Stopped { sessions, messages, answers_refused, malformed });
    } else {
        let refused = match score.refused {
            0 => String::new(),
            refused => format!(", {refused} of their copies had no room"),
        };
        output::line(format!("stopped: {sessions} sessions, {messages} messages{refused}"));
    }
    let Some(directory) = &args.report_dir else { return Ok(ExitCode::SUCCESS) };
    let options =
        ReportOptions { directory: directory.clone(), console: !args.json, ..Default::default() };
    let mut writer = ReportWriter::new(options);
    let finished = writer.finish(&run);
    if let Some(block) = &finished.console {
        output::line(block.trim_end());
    }
    for error in &finished.errors {
        output::error(error);
    }
    Ok(if finished.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A name for this run's files: when it was, and which process.
fn run_id() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", since.as_secs(), std::process::id())
}
