//! `moorline bots`: load on a host, with an account of every message.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use moorline::{
    Carrier, Client, ClientConfig, ClientEvent, Event, EventKind, Identity, Message, StartError,
    State,
};
use moorline_link::rng::Rng;
use serde::Serialize;

use crate::Outcome;
use crate::args::Bots;
use crate::echo::{self, Echo, Sync};
use crate::interrupt::Interrupt;
use crate::load::{Account, Latencies, Percentiles, Stream};
use crate::output;
use crate::relay::{Outage, Relay, Route, Shaping};

/// How often every bot looks at its socket.
const ROUND: Duration = Duration::from_millis(4);

/// How long the bots have to log in, and how long the last answers have to come in.
const LOGIN_TIME: Duration = Duration::from_secs(15);
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Repeats of the last answers would come in this time.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// A new bot starts this long after the one before it, so that a thousand do not log in at once.
const STAGGER: Duration = Duration::from_millis(1);

/// Under `--chaos`, how often other clients are cut off, and how many of a thousand. Longer than a
/// silence is borne.
const OUTAGE_TIME: Duration = Duration::from_secs(8);
const OUTAGE_PERMILLE: u64 = 300;

/// How long the last answers may take then: a loss has to be noticed first.
const CHAOS_DRAIN_TIME: Duration = Duration::from_secs(30);

struct Bot {
    client: Client,
    reliable: Stream,
    sync: Stream,
    next_send: Instant,
    /// When its link was lost.
    lost_at: Option<Instant>,
}

/// The result, as `--json` writes it. Names are kept stable.
#[derive(Debug, Serialize)]
struct Figures {
    sessions: BTreeMap<String, u64>,
    messages: Account,
    sync: Account,
    latency_ms: Percentiles,
    sync_latency_ms: Percentiles,
    refused_sends: u64,
    reconnects: u64,
    resumes: u64,
    gaps: u64,
    resume_ms: Percentiles,
    seconds: f64,
}

#[derive(Default)]
struct Tally {
    latencies: Latencies,
    sync_latencies: Latencies,
    refused_sends: u64,
    reconnects: u64,
    /// How often a session went on without a login, and how often it could not.
    resumes: u64,
    gaps: u64,
    resume_times: Latencies,
    payload: Vec<u8>,
}

pub(crate) fn run(args: &Bots) -> Outcome {
    Identity::from_peer(args.name(args.count).as_bytes())?;
    if let Some(path) = &args.json {
        output::check_file(path)?;
    }
    let carrier = args.way.carrier()?;
    let per_bot = if args.way.sync_port.is_some() { 2 } else { 1 };
    let files = u64::from(args.count) * per_bot + 64;
    if moorline_udp::raise_open_files_limit(files) < files {
        return Err(format!("{} bots need {files} open files: raise ulimit -n", args.count).into());
    }
    let interrupt = Interrupt::listen(None)?;
    let mut tally = Tally::default();
    let chaos = if args.chaos { Some(Chaos::start(args)?) } else { None };
    let way_in = chaos.as_ref().map_or(args.host, |chaos| chaos.relay.address);
    let mut bots = log_in((args, way_in), &carrier, &mut tally, &interrupt)?;
    let started = Instant::now();
    let chaos = send_for(args, (&mut bots, chaos), &mut tally, &interrupt);
    let seconds = started.elapsed().as_secs_f64();
    if let Some(chaos) = &chaos {
        chaos.relay.set_outage(None);
    }
    drain(&mut bots, &mut tally, if args.chaos { CHAOS_DRAIN_TIME } else { DRAIN_TIME });
    let figures = figures(&bots, tally, seconds);
    log_out(&mut bots);
    if let Some(chaos) = chaos {
        chaos.relay.stop()?.lines().iter().for_each(output::line);
    }
    if let Some(path) = &args.json {
        output::json_file(path, &figures)?;
    }
    show(&figures);
    let logged_in = figures.sessions.get("LoggedIn").copied().unwrap_or(0);
    let is_good = logged_in == u64::from(args.count) && figures.messages.is_clean();
    if interrupt.is_set() {
        output::line("interrupted: the figures are those of a shorter run");
    }
    Ok(if is_good && !interrupt.is_set() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the bots one after the other, and waits until all are logged in or the time is over.
fn log_in(
    (args, way_in): (&Bots, SocketAddr),
    carrier: &Carrier,
    tally: &mut Tally,
    interrupt: &Interrupt,
) -> Result<Vec<Bot>, Box<dyn Error>> {
    let mut bots: Vec<Bot> = Vec::with_capacity(args.count as usize);
    let end = Instant::now() + LOGIN_TIME + STAGGER * args.count;
    let mut next_start = Instant::now();
    let mut told = Instant::now();
    while Instant::now() < end && !interrupt.is_set() {
        let round = Instant::now();
        while bots.len() < args.count as usize && next_start <= round {
            bots.push(start((args, way_in), carrier, bots.len() as u32)?);
            next_start += STAGGER;
        }
        bots.iter_mut().for_each(|bot| bot.receive(tally));
        if count_logged_in(&bots) == args.count as usize {
            break;
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            tell_logged_in(args, &bots);
        }
        std::thread::sleep(ROUND.saturating_sub(round.elapsed()));
    }
    if count_logged_in(&bots) == 0 && !interrupt.is_set() {
        let why = trouble(&bots).unwrap_or_else(|| "no answer".to_owned());
        let host = args.host;
        return Err(
            format!("no bot could log in at {host}: {why}; is a host running there?").into()
        );
    }
    tell_logged_in(args, &bots);
    Ok(bots)
}

fn tell_logged_in(args: &Bots, bots: &[Bot]) {
    let why = trouble(bots).map(|why| format!("; of the others one says: {why}"));
    let logged_in = count_logged_in(bots);
    output::line(format!("{logged_in} of {} logged in{}", args.count, why.unwrap_or_default()));
}

/// Why the first of those who are not logged in is not, as far as it knows.
fn trouble(bots: &[Bot]) -> Option<String> {
    let mut waiting = bots.iter().filter(|bot| bot.client.state() != State::LoggedIn);
    waiting.find_map(|bot| bot.client.session().failure()).map(ToString::to_string)
}

fn start(
    (args, way_in): (&Bots, SocketAddr),
    carrier: &Carrier,
    number: u32,
) -> Result<Bot, StartError> {
    let config = ClientConfig::new(args.name(number), carrier.clone());
    let config = config.with_delivery(echo::delivery());
    let (size, id) = (args.size as usize, u64::from(number) * 2);
    Ok(Bot {
        client: Client::connect(way_in, config)?,
        reliable: Stream::new(id, size),
        sync: Stream::new(id + 1, size),
        next_send: Instant::now(),
        lost_at: None,
    })
}

/// A relay of the bots' own, which cuts some of them off, and then others.
struct Chaos {
    relay: Relay,
    rng: Rng,
    next_at: Instant,
}

impl Chaos {
    fn start(args: &Bots) -> Result<Self, Box<dyn Error>> {
        let any: IpAddr = match args.host {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        // Who comes back does so from a new port, and old ones are forgotten after a minute.
        let clients_max = args.count as usize * 16;
        let route = Route { listen: SocketAddr::new(any, 0), to: args.host, clients_max };
        let relay = Relay::start(route, &Shaping::default())?;
        output::line(format!("through a relay on {}", relay.address));
        Ok(Self { relay, rng: Rng::new(1), next_at: Instant::now() + OUTAGE_TIME })
    }

    fn disturb(&mut self, now: Instant) {
        if now >= self.next_at {
            self.next_at = now + OUTAGE_TIME;
            let (permille, seed) = (OUTAGE_PERMILLE, self.rng.next_u64());
            self.relay.set_outage(Some(Outage { permille, seed }));
        }
    }
}

fn send_for(
    args: &Bots,
    (bots, mut chaos): (&mut [Bot], Option<Chaos>),
    tally: &mut Tally,
    interrupt: &Interrupt,
) -> Option<Chaos> {
    let period = Duration::from_secs(1) / args.rate;
    let started = Instant::now();
    // Spread over a period, or every bot's message comes in the same instant.
    for (number, bot) in bots.iter_mut().enumerate() {
        bot.next_send = started + period.mul_f64(number as f64 / f64::from(args.count));
    }
    let end = started + Duration::from_secs(args.seconds.into());
    let mut told = started;
    while Instant::now() < end && !interrupt.is_set() {
        let round = Instant::now();
        if let Some(chaos) = &mut chaos {
            chaos.disturb(round);
        }
        for bot in bots.iter_mut() {
            bot.receive(tally);
            // Bounded: a bot that is late catches up by at most one second's messages.
            for _ in 0..args.rate {
                if bot.next_send > round {
                    break;
                }
                bot.next_send += period;
                bot.send(tally);
            }
            // What was just sent should not wait for the next look at the socket.
            bot.client.flush();
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            progress(bots, started.elapsed());
        }
        std::thread::sleep(ROUND.saturating_sub(round.elapsed()));
    }
    chaos
}

/// Waits for what is still on its way. A late repeat of something that was received comes in this
/// time as well.
fn drain(bots: &mut [Bot], tally: &mut Tally, most: Duration) {
    let started = Instant::now();
    let mut told = started;
    while started.elapsed() < most {
        bots.iter_mut().for_each(|bot| bot.receive(tally));
        let is_complete = bots.iter().all(|bot| bot.reliable.is_complete());
        if is_complete && started.elapsed() >= SETTLE_TIME {
            return;
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            let missing: u64 = bots.iter().map(|bot| bot.reliable.account().lost).sum();
            output::line(format!("waiting for what is still out: {missing}"));
        }
        std::thread::sleep(ROUND);
    }
}

fn log_out(bots: &mut [Bot]) {
    bots.iter_mut().for_each(|bot| bot.client.close());
    let end = Instant::now() + Duration::from_millis(100);
    while Instant::now() < end {
        for bot in bots.iter_mut() {
            while bot.client.poll().is_some() {}
        }
        std::thread::sleep(ROUND);
    }
}

impl Bot {
    fn receive(&mut self, tally: &mut Tally) {
        while let Some(event) = self.client.poll() {
            let message = match event {
                ClientEvent::Message(message) => message,
                ClientEvent::Session(event) => {
                    self.note(&event, tally);
                    continue;
                }
                _ => continue,
            };
            let now = self.client.now();
            if message.kind == Echo::KIND {
                if let Some(latency) = self.reliable.on_received(now, &message.payload) {
                    tally.latencies.add(latency);
                }
            } else if message.kind == Sync::KIND
                && let Some(latency) = self.sync.on_received(now, &message.payload)
            {
                tally.sync_latencies.add(latency);
            }
        }
    }

    fn note(&mut self, event: &Event, tally: &mut Tally) {
        let Event { kind, from, .. } = *event;
        tally.gaps += u64::from(event.gap.is_some());
        if from == State::LoggedIn
            && matches!(kind, EventKind::TimedOut | EventKind::ReconnectScheduled)
        {
            self.lost_at = Some(Instant::now());
        }
        match kind {
            EventKind::ReconnectStarted => tally.reconnects += 1,
            EventKind::Resumed => {
                tally.resumes += 1;
                let lost_at = self.lost_at.take();
                lost_at.into_iter().for_each(|at| tally.resume_times.add(at.elapsed()));
            }
            _ => {}
        }
    }

    /// Sends the next message of each lane. One that is not taken is counted, and its number is
    /// used for the next one, so that a refusal is not mistaken for a loss.
    fn send(&mut self, tally: &mut Tally) {
        for (kind, stream) in [(Echo::KIND, &mut self.reliable), (Sync::KIND, &mut self.sync)] {
            stream.write(self.client.now(), &mut tally.payload);
            match self.client.send_bytes(kind, 0, &tally.payload) {
                Ok(()) => stream.on_sent(),
                Err(_) => tally.refused_sends += 1,
            }
        }
    }
}

fn count_logged_in(bots: &[Bot]) -> usize {
    bots.iter().filter(|bot| bot.client.state() == State::LoggedIn).count()
}

fn progress(bots: &[Bot], elapsed: Duration) {
    let mut account = Account::default();
    bots.iter().for_each(|bot| account.add(&bot.reliable.account()));
    let Account { sent, received, .. } = account;
    let (seconds, logged_in) = (elapsed.as_secs(), count_logged_in(bots));
    output::line(format!("{seconds:>4} s  {logged_in} logged in  {sent} sent  {received} back"));
}

fn figures(bots: &[Bot], mut tally: Tally, seconds: f64) -> Figures {
    let mut sessions = BTreeMap::new();
    let (mut messages, mut sync) = (Account::default(), Account::default());
    for bot in bots {
        *sessions.entry(bot.client.state().to_string()).or_insert(0) += 1;
        messages.add(&bot.reliable.account());
        sync.add(&bot.sync.account());
    }
    Figures {
        sessions,
        messages,
        sync,
        latency_ms: tally.latencies.percentiles(),
        sync_latency_ms: tally.sync_latencies.percentiles(),
        refused_sends: tally.refused_sends,
        reconnects: tally.reconnects,
        resumes: tally.resumes,
        gaps: tally.gaps,
        resume_ms: tally.resume_times.percentiles(),
        seconds,
    }
}

fn show(figures: &Figures) {
    let states: Vec<String> =
        figures.sessions.iter().map(|(state, count)| format!("{count} {state}")).collect();
    output::line(format!("sessions   {}", states.join(", ")));
    output::line(format!("reliable   {}", figures.messages));
    output::line(format!("latest     {}", figures.sync));
    let Percentiles { p50, p99, max } = figures.latency_ms;
    output::line(format!("latency    p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"));
    let Figures { refused_sends: refused, reconnects, .. } = figures;
    if *refused > 0 || *reconnects > 0 {
        output::line(format!("trouble    {refused} sends refused, {reconnects} reconnects"));
    }
    let Figures { resumes, gaps, resume_ms, .. } = figures;
    if *resumes > 0 || *gaps > 0 {
        let Percentiles { p50, p99, max } = resume_ms;
        output::line(format!(
            "continuity {resumes} resumes, {gaps} gaps; without a link p50 {p50:.0} ms, \
             p99 {p99:.0} ms, max {max:.0} ms"
        ));
    }
}
