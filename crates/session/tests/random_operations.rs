//! Random logins, closes, restarts, sleeps and network faults beside a small reference.
//!
//! The world checks after every round that counts, indexes and event paths are true. The reference
//! only remembers which users want to be logged in: once the network is healed, exactly they are,
//! and both sides agree. A failing seed is printed and repeats the run.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use moorline_link::rng::Rng;
use moorline_link::{Reason, Refusal, RefusalCode};
use moorline_session::{
    DialerConfig, DuplicatePolicy, HostConfig, Jitter, Limits, ReconnectPolicy, Session, State,
};
use support::{Answers, KNOWN, UNKNOWN, Who, World, client_config, host_config, ms, secs};

/// More of them with the environment variable of this name.
const MOORLINE_SEEDS: u64 = 200;
const OPERATIONS: u64 = 40;

struct Run {
    world: World,
    rng: Rng,
    /// The reference: who wants to be logged in.
    wants: BTreeSet<usize>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config = HostConfig {
            duplicate: [DuplicatePolicy::Refuse, DuplicatePolicy::Supersede][rng.below(2) as usize],
            keep_time: secs([0, 5, 30][rng.below(3) as usize]),
            limits: Limits {
                events_max: [2, 65_536][rng.below(2) as usize],
                sessions_max: 64,
                ..Limits::default()
            },
            ..host_config()
        };
        let mut world = World::new(seed, config);
        for name in 0..3 + rng.below(4) {
            world.add_client(DialerConfig {
                reconnect: ReconnectPolicy { jitter: Jitter::Full, ..ReconnectPolicy::default() },
                ..client_config(&format!("user {name}"))
            });
        }
        Self { world, rng, wants: BTreeSet::new() }
    }

    fn operate(&mut self) {
        let clients = self.world.clients.len() as u64;
        let client = self.rng.below(clients) as usize;
        let (now, at) = (self.world.now, self.world.clients[client].at);
        match self.rng.below(20) {
            0..=4 => self.want(client),
            5 => {
                self.world.client(client).close(now);
                self.wants.remove(&client);
            }
            6 => {
                self.world.restart_client(client);
                self.wants.insert(client);
            }
            7 => {
                self.world.kill_host();
                self.world.start_host();
            }
            8 => self.evict(),
            9 => self.world.net.cut(at),
            10 => self.world.net.cut_from(at),
            11 => self.world.net.cut_to(at),
            12 => self.world.net.mend(),
            13 => self.disturb(),
            14 => {
                let time = ms(self.rng.below(20_000));
                self.world.sleep(Who::Host, time);
            }
            15 => {
                let time = ms(self.rng.below(20_000));
                self.world.sleep(Who::Client(client), time);
            }
            16 => self.answer_otherwise(),
            17 => {
                if self.world.client(client).reconnect(now).is_ok() {
                    self.wants.insert(client);
                }
            }
            _ => {
                let kind = if self.rng.below(2) == 0 { KNOWN } else { UNKNOWN };
                self.world.client(client).send(now, support::message(kind)).ok();
            }
        }
        let pause = [50, 500, 3_000, 9_000][self.rng.below(4) as usize];
        let pause = ms(self.rng.below(pause));
        self.world.drive(pause);
    }

    fn want(&mut self, client: usize) {
        let (now, host_at) = (self.world.now, self.world.host_at);
        self.wants.insert(client);
        self.world.client(client).connect(now, host_at).ok();
    }

    /// The host's application throws someone out; they still want in, and ask again after healing.
    fn evict(&mut self) {
        let ids: Vec<_> = self.world.host().sessions().iter().map(Session::id).collect();
        let Some(id) = ids.get(self.rng.below(ids.len().max(1) as u64) as usize) else { return };
        let now = self.world.now;
        let reason = Reason::Evicted("at random".into());
        self.world.host_mut().close(now, *id, reason).expect("there");
    }

    fn disturb(&mut self) {
        self.world.net.loss_permille = self.rng.below(400);
        self.world.net.duplicate_permille = self.rng.below(200);
        self.world.net.jitter = ms(self.rng.below(200));
    }

    fn answer_otherwise(&mut self) {
        let no = Refusal::new(RefusalCode::BadCredentials, "at random");
        self.world.answers = match self.rng.below(3) {
            0 => Answers::No(no),
            1 => Answers::Later,
            _ => Answers::Yes,
        };
    }

    /// The network is well again, the application says yes, and who was sent away asks again.
    fn heal(&mut self) {
        self.world.net.heal();
        self.world.answers = Answers::Yes;
        // Whoever slept wakes, and who is silently gone is found out.
        self.world.drive(secs(60));
        for client in self.wants.clone() {
            let (now, host_at) = (self.world.now, self.world.host_at);
            let dialer = self.world.client(client);
            match dialer.session().state() {
                State::Disconnected => {
                    dialer.connect(now, host_at).ok();
                }
                // The last answer was a no and its host has gone: the application goes on.
                State::LoginFailed => {
                    dialer.close(now);
                    dialer.connect(now, host_at).expect("closed");
                }
                _ => {}
            }
        }
        self.world.drive(secs(60));
    }

    fn check_agreement(&self) {
        let inside: BTreeSet<usize> = (0..self.world.clients.len())
            .filter(|client| self.world.state(*client) == State::LoggedIn)
            .collect();
        assert_eq!(inside, self.wants, "exactly those who want to are logged in");
        let table = self.world.host().sessions();
        for client in &self.wants {
            let name = format!("user {client}");
            let name = moorline_link::Identity::new(name).expect("a name");
            let sessions: Vec<_> = table.by_identity(&name).collect();
            assert_eq!(sessions.len(), 1, "one session a user");
            assert_eq!(sessions[0].state(), State::LoggedIn);
            assert_eq!(sessions[0].address(), Some(self.world.clients[*client].at));
        }
        assert_eq!(table.len(), self.wants.len(), "and nobody else is there");
        let counters = self.world.host().counters();
        let there = counters.sessions_created - counters.sessions_closed;
        assert_eq!(there, table.len() as u64);
    }

    /// Everything that anyone was told, in words.
    fn log(&self) -> BTreeMap<usize, Vec<String>> {
        let clients = self.world.clients.iter().map(|client| &client.events);
        let lists = std::iter::once(&self.world.host_events).chain(clients);
        lists.map(|list| list.iter().map(ToString::to_string).collect()).enumerate().collect()
    }
}

fn run(seed: u64) -> Run {
    let mut run = Run::new(seed);
    for _ in 0..OPERATIONS {
        run.operate();
    }
    run.heal();
    run
}

#[test]
fn after_any_trouble_both_sides_agree_on_who_is_logged_in() {
    let more = std::env::var("MOORLINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..more.unwrap_or(MOORLINE_SEEDS) {
        // Shown only when the run fails.
        eprintln!("seed {seed}");
        run(seed).check_agreement();
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    for seed in 0..20 {
        assert_eq!(run(seed).log(), run(seed).log(), "seed {seed}");
    }
}
