//! `moorline demo`: a host and many clients on this machine, each with its own scripted life.

mod clients;
mod host;
mod script;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use moorline::State;
use serde::Serialize;

use crate::Outcome;
use crate::args::Demo;
use crate::interrupt::Interrupt;
use crate::load::{Account, Percentiles};
use crate::output::{self, Screen};
use crate::relay::{Relay, Route};
use clients::Clients;
use host::{Board, Host};
use script::{Cue, Role};

/// How often every client looks at its socket.
const ROUND: Duration = Duration::from_millis(5);

/// How often the table is drawn on a terminal, and a line printed elsewhere.
const DRAW_INTERVAL: Duration = Duration::from_millis(250);
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Nobody sends in the last of the time, so that everything has come back at its end.
const QUIET: Duration = Duration::from_millis(500);

/// The bar of all sessions, in columns.
const BAR_LEN: usize = 48;

/// Failures that are printed; the JSON has all.
const FAILURES_SHOWN: usize = 20;

/// How long the demo waits beyond its time for what a busy machine is late with.
const GRACE: Duration = Duration::from_secs(15);

/// The result, as `--json` writes it. Names are kept stable.
#[derive(Debug, Serialize)]
struct Verdict {
    sessions: u32,
    seconds: f64,
    roles: BTreeMap<&'static str, Scripted>,
    states: BTreeMap<String, usize>,
    messages: Account,
    host_messages: u64,
    rtt_ms: Percentiles,
    /// What did not go as scripted, a line each.
    failures: Vec<String>,
}

/// How many sessions had a role, and how many of them ended as it says.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Scripted {
    sessions: u32,
    as_scripted: u32,
}

pub(crate) fn run(args: &Demo) -> Outcome {
    if let Some(path) = &args.json {
        output::check_file(path)?;
    }
    let is_relayed = args.shaping.is_given();
    let files = u64::from(args.sessions) * if is_relayed { 3 } else { 1 } + 64;
    if moorline_udp::raise_open_files_limit(files) < files {
        let clients = args.sessions;
        return Err(format!("{clients} clients need {files} open files: raise ulimit -n").into());
    }
    let interrupt = Interrupt::listen(None)?;
    let host = Host::start(args.sessions, args.kcp)?;
    let spoken = if args.kcp { "kcp, plaintext" } else { "native, encrypted" };
    output::line(format!("host on {} ({spoken}), {} clients", host.address, args.sessions));
    let relay = is_relayed.then(|| relay(args, &host)).transpose()?;
    let way_in = relay.as_ref().map_or(host.address, |relay| relay.address);
    let started = Instant::now();
    let mut clients = Clients::start(way_in, host.carrier.clone(), args.sessions)?;
    play(args, &host, &mut clients, started, &interrupt)?;
    let story = host.stop()?;
    let relayed = relay.map(Relay::stop).transpose()?;
    if interrupt.is_set() {
        output::line("interrupted: the script was not played to its end");
        return Ok(ExitCode::FAILURE);
    }
    if let Some(relayed) = relayed {
        output::line("");
        relayed.lines().iter().for_each(output::line);
    }
    let verdict = judge(args, clients, &story, started.elapsed().as_secs_f64());
    if !story.remembered.is_empty() {
        output::line("");
        output::line("what the host remembers of one session, asked in the end:");
        story.remembered.iter().for_each(|line| output::line(format!("  {line}")));
    }
    if let Some(path) = &args.json {
        output::json_file(path, &verdict)?;
    }
    show(&verdict);
    Ok(if verdict.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts a relay in front of the host. Who comes back does so from a new address, so there are up to
/// two of each client.
fn relay(args: &Demo, host: &Host) -> Result<Relay, Box<dyn Error>> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let route = Route { listen, to: host.address, clients_max: args.sessions as usize * 2 };
    let relay = Relay::start(route, &args.shaping)?;
    output::line(format!("through a relay on {}: {}", relay.address, relay.status().conditions()));
    Ok(relay)
}

/// Lets every session live its script, and shows it.
fn play(
    args: &Demo,
    host: &Host,
    clients: &mut Clients,
    started: Instant,
    interrupt: &Interrupt,
) -> Result<(), Box<dyn Error>> {
    let mut screen = Screen::new();
    let length = Duration::from_secs(args.seconds.into());
    let mut draw_at = started;
    let mut cues = Cue::timetable(length).into_iter().peekable();
    let quiet_from = length.saturating_sub(QUIET);
    loop {
        let round = Instant::now();
        let elapsed = started.elapsed();
        while let Some((_, cue)) = cues.next_if(|(at, _)| *at <= elapsed) {
            clients.on_cue(cue)?;
            host.on_cue(cue);
        }
        clients.turn(elapsed < quiet_from)?;
        clients.bring_back(&host.timed_out())?;
        let is_over = elapsed >= length && clients.are_done() && host.is_done();
        let is_last = is_over || elapsed >= length + GRACE || interrupt.is_set();
        if screen.is_terminal() && (draw_at <= round || is_last) {
            draw_at = round + DRAW_INTERVAL;
            screen.draw(&picture(args, elapsed, host, clients));
        } else if draw_at <= round {
            draw_at = round + TELL_INTERVAL;
            output::line(summary(elapsed, host, clients));
        }
        if is_last {
            return Ok(());
        }
        std::thread::sleep(ROUND.saturating_sub(round.elapsed()));
    }
}

/// One line that says it all.
fn summary(elapsed: Duration, host: &Host, clients: &mut Clients) -> String {
    let board = host.board();
    let counts = State::ALL.iter().zip(board.counts).filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(state, count)| format!("{count} {state}")).collect();
    format!("{}  {}", traffic(elapsed, &board, clients), counts.join(", "))
}

/// The live table.
fn picture(args: &Demo, elapsed: Duration, host: &Host, clients: &mut Clients) -> Vec<String> {
    let board = host.board();
    let mut lines = vec![traffic(elapsed, &board, clients), String::new()];
    for (state, count) in State::ALL.iter().zip(board.counts) {
        let bar = "█".repeat((count * BAR_LEN).div_ceil(args.sessions as usize).min(BAR_LEN));
        lines.push(format!("  {state:<18} {count:>6}  {bar}"));
    }
    lines.push(String::new());
    for role in Role::ALL {
        let example = role.example();
        let latest = board.latest.get(&example).map_or("", String::as_str);
        lines.push(format!("  {example:<11} {latest}"));
    }
    lines
}

fn traffic(elapsed: Duration, board: &Board, clients: &mut Clients) -> String {
    let Percentiles { p50, p99, .. } = clients.round_trips().percentiles();
    let (seconds, rate) = (elapsed.as_secs(), board.messages_per_second);
    format!("{seconds:>4} s  {rate:>6.0} messages/s  rtt p50 {p50:.1} ms p99 {p99:.1} ms")
}

fn judge(args: &Demo, mut clients: Clients, story: &host::Story, seconds: f64) -> Verdict {
    let mut roles: BTreeMap<&'static str, Scripted> = BTreeMap::new();
    let mut failures = clients.failures();
    for number in 0..args.sessions {
        let role = Role::of(number);
        let scripted = roles.entry(role.name()).or_default();
        scripted.sessions += 1;
        let name = role.session_name(number);
        let troubles = [
            script::compare("host", &name, &role.host_life(args.kcp), story.life(&name)),
            script::compare("client", &name, &role.client_life(), clients.life(number)),
            clients.check_end(number),
        ];
        let troubles: Vec<String> = troubles.into_iter().filter_map(Result::err).collect();
        if troubles.is_empty() {
            scripted.as_scripted += 1;
        }
        failures.extend(troubles);
    }
    let states = State::ALL.iter().zip(story.counts).filter(|(_, count)| *count > 0);
    Verdict {
        sessions: args.sessions,
        seconds,
        roles,
        states: states.map(|(state, count)| (state.to_string(), count)).collect(),
        messages: clients.account(),
        host_messages: story.messages,
        rtt_ms: clients.round_trips().percentiles(),
        failures,
    }
}

fn show(verdict: &Verdict) {
    output::line("");
    output::line(format!("{:<12} {:>8} {:>12}", "role", "sessions", "as scripted"));
    for (role, Scripted { sessions, as_scripted }) in &verdict.roles {
        output::line(format!("{role:<12} {sessions:>8} {as_scripted:>12}"));
    }
    output::line("");
    output::line("reliable messages of the sessions that stayed:");
    output::line(format!("  {}", verdict.messages));
    for failure in verdict.failures.iter().take(FAILURES_SHOWN) {
        output::line(format!("not as scripted: {failure}"));
    }
    match verdict.failures.len().saturating_sub(FAILURES_SHOWN) {
        0 => {}
        more => output::line(format!("... and {more} more")),
    }
    if verdict.failures.is_empty() {
        output::line(format!("all {} sessions ended as scripted", verdict.sessions));
    }
}
