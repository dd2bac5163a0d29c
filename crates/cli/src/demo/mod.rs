//! `moorline demo`: a host and many clients on this machine, each with its own scripted life.

mod clients;
mod host;
mod script;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use moorline::State;
use serde::Serialize;

use crate::Outcome;
use crate::args::Demo;
use crate::load::{Account, Percentiles};
use crate::output::{self, Screen};
use clients::Clients;
use host::Host;
use script::{Cue, Role};

/// How often every client looks at its socket.
const ROUND: Duration = Duration::from_millis(5);

/// How long the demo waits beyond its time for what a busy machine is late with.
const GRACE: Duration = Duration::from_secs(15);

/// The result, as `--json` writes it. Names are kept stable.
#[derive(Debug, Serialize)]
struct Result {
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
        output::check_writable(path)?;
    }
    let files = u64::from(args.sessions) + 64;
    if moorline_udp::raise_open_files_limit(files) < files {
        return Err(format!("{} clients need {files} open files", args.sessions).into());
    }
    let host = Host::start(args.sessions)?;
    output::line(format!("host on {} (kcp, plaintext); {} clients", host.address, args.sessions));
    let started = Instant::now();
    let clients = play(args, &host, started)?;
    let story = host.stop()?;
    let seconds = started.elapsed().as_secs_f64();
    let result = judge(args, clients, &story, seconds);
    finish(args, &result)
}

/// Lets every session live its script, and shows it.
fn play(
    args: &Demo,
    host: &Host,
    started: Instant,
) -> std::result::Result<Clients, Box<dyn std::error::Error>> {
    let mut clients = Clients::start(host.address, args.sessions)?;
    let mut screen = Screen::new();
    let length = Duration::from_secs(args.seconds.into());
    let mut drawn_at = started;
    let mut cues = Cue::timetable(length).into_iter().peekable();
    let quiet_from = length.saturating_sub(Duration::from_millis(500));
    loop {
        let round = Instant::now();
        let elapsed = started.elapsed();
        while let Some((_, cue)) = cues.next_if(|(at, _)| *at <= elapsed) {
            clients.on_cue(cue)?;
            host.on_cue(cue);
        }
        clients.turn(elapsed < quiet_from)?;
        clients.bring_back(&host.timed_out())?;
        if drawn_at.elapsed() >= Duration::from_secs(1) {
            drawn_at = round;
            screen.draw(&picture(elapsed, host, &mut clients));
        }
        let is_over = elapsed >= length && clients.are_done() && host.is_done();
        if is_over || elapsed >= length + GRACE {
            screen.draw(&picture(elapsed, host, &mut clients));
            return Ok(clients);
        }
        std::thread::sleep(ROUND.saturating_sub(round.elapsed()));
    }
}

/// The live table: the first line says it all, the rest is for a terminal.
fn picture(elapsed: Duration, host: &Host, clients: &mut Clients) -> Vec<String> {
    let board = host.board();
    let rtt = clients.round_trips().percentiles();
    let counts = State::ALL.iter().zip(board.counts).filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(state, count)| format!("{state} {count}")).collect();
    let mut lines = vec![format!(
        "{:>4} s  {}  {:.0} messages/s  rtt p50 {:.1} ms p99 {:.1} ms",
        elapsed.as_secs(),
        counts.join(", "),
        board.messages_per_second,
        rtt.p50,
        rtt.p99
    )];
    lines.push(String::new());
    lines.push(format!("      {:<20} {:>8}", "state", "sessions"));
    for (state, count) in State::ALL.iter().zip(board.counts) {
        lines.push(format!("      {state:<20} {count:>8}"));
    }
    lines.push(String::new());
    lines.push(format!("      {:<14} latest event", "session"));
    for role in Role::ALL {
        let example = role.example();
        let latest = board.latest.get(&example).map_or("-", String::as_str);
        lines.push(format!("      {example:<14} {latest:.90}"));
    }
    lines
}

fn judge(args: &Demo, mut clients: Clients, story: &host::Story, seconds: f64) -> Result {
    let mut roles: BTreeMap<&'static str, Scripted> = BTreeMap::new();
    let mut failures = clients.failures();
    for number in 0..args.sessions {
        let role = Role::of(number);
        let scripted = roles.entry(role.name()).or_default();
        scripted.sessions += 1;
        let name = role.session_name(number);
        let troubles = [
            script::compare("host", &name, &role.host_life(), story.life(&name)),
            script::compare("client", &name, &role.client_life(), clients.life(number)),
            clients.check_end(number),
        ];
        let troubles: Vec<String> =
            troubles.into_iter().filter_map(std::result::Result::err).collect();
        if troubles.is_empty() {
            scripted.as_scripted += 1;
        }
        failures.extend(troubles);
    }
    let states = State::ALL.iter().zip(story.counts).filter(|(_, count)| *count > 0);
    Result {
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

fn finish(args: &Demo, result: &Result) -> Outcome {
    output::line("");
    output::line(format!("{:<12} {:>8} {:>12}", "role", "sessions", "as scripted"));
    for (role, Scripted { sessions, as_scripted }) in &result.roles {
        output::line(format!("{role:<12} {sessions:>8} {as_scripted:>12}"));
    }
    let Account { sent, received, lost, duplicated, out_of_order, corrupted } = result.messages;
    output::line(format!(
        "reliable messages of sessions that stayed: {sent} sent, {received} received, {lost} lost, \
         {duplicated} duplicated, {out_of_order} out of order, {corrupted} corrupted"
    ));
    for failure in result.failures.iter().take(20) {
        output::line(format!("not as scripted: {failure}"));
    }
    if result.failures.len() > 20 {
        output::line(format!("... and {} more", result.failures.len() - 20));
    }
    if let Some(path) = &args.json {
        output::json_file(path, result)?;
    }
    if result.failures.is_empty() {
        output::line(format!("all {} sessions ended as scripted", result.sessions));
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}
