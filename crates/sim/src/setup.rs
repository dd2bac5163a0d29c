//! What a run begins with: who takes part, how they are configured, and what will go wrong.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use moorline_link::{Delivery, Lane, Time};
use moorline_session::{
    DialerConfig, DuplicatePolicy, HostConfig, Limits, LivenessPolicy, Login, ReconnectMode,
    ReconnectPolicy,
};

use crate::dice::Dice;
use crate::fault::{Fault, Faults, Schedule, Scope};
use crate::oracle::ledger::{LATEST, RELIABLE};

/// No clock starts at zero.
const BEGIN: Time = Time::from_millis(1_000_000);
/// The port of the host's sync lane, in the runs that have one.
const SYNC_PORT: u16 = 8_081;
/// For how long sessions are kept where links die all the time.
const KEEP_TIME: Duration = Duration::from_secs(60);
/// Clients that take the names of others, where that is one of the faults.
const DOUBLES: usize = 2;

/// Everything that the seed decides before the run begins.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) faults: Faults,
    pub(crate) schedule: Schedule,
    pub(crate) begin: Time,
    /// When the last fault is over.
    pub(crate) calm_from: Time,
    pub(crate) host: HostConfig,
    /// The clients that want in, and after them those that only take their names at times.
    pub(crate) clients: Vec<Start>,
    pub(crate) wanting: usize,
    pub(crate) sync_port: Option<u16>,
    /// How often each side sends.
    pub(crate) send_gap: Duration,
}

/// One client at the beginning.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) user: usize,
    pub(crate) ip: IpAddr,
    pub(crate) config: DialerConfig,
}

impl Setup {
    pub(crate) fn draw(dice: &mut Dice, minutes: u32, scope: Scope) -> Self {
        let faults = Faults::draw(dice, scope);
        let wanting = match dice.between(0, 99) {
            0 => dice.between(80, 200),
            1..4 => dice.between(20, 60),
            _ => dice.between(1, 6),
        } as usize;
        let doubles = if faults.has(Fault::DuplicateLogin) { DOUBLES } else { 0 };
        let per_ip = if faults.has(Fault::SharedAddress) { dice.between(2, 8) as usize } else { 1 };
        let policy = reconnect(dice);
        let liveness = liveness(dice);
        let clients = (0..wanting + doubles).map(|number| {
            // Who takes a name does it from elsewhere: behind one address nobody could tell them
            // apart on KCP's sync lane.
            let place = if number < wanting { number / per_ip } else { 250 + number - wanting };
            let user = number % wanting;
            let reconnect = policy.clone();
            let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 1, place as u8));
            Start { user, ip, config: client(user, reconnect, liveness.clone()) }
        });
        let clients = clients.collect();
        let begin = BEGIN + Duration::from_micros(dice.between(0, 999));
        let calm_from = begin + Duration::from_secs(60) * minutes;
        let mut host = host(dice, faults, (wanting + doubles, per_ip), liveness);
        if scope == Scope::Links {
            host.keep_time = KEEP_TIME;
        }
        // KCP's sync lane knows a user by name, and so cannot tell two sessions of one apart.
        let may_sync = !matches!(host.duplicate, DuplicatePolicy::Allow(_));
        // A crowd says less each, so that a run stays short.
        let gap = dice.pick(&[100, 300, 1_000]) * (1 + wanting as u64 / 8);
        Self {
            faults,
            schedule: Schedule::draw(dice, faults, wanting, (begin, calm_from)),
            begin,
            calm_from,
            host,
            clients,
            wanting,
            sync_port: (may_sync && dice.permille(600)).then_some(SYNC_PORT),
            send_gap: Duration::from_millis(gap),
        }
    }
}

/// What the name of a user is.
pub(crate) fn name(user: usize) -> String {
    format!("user {user}")
}

/// The user of a name.
pub(crate) fn user(name: &[u8]) -> Option<usize> {
    str::from_utf8(name).ok()?.strip_prefix("user ")?.parse().ok()
}

fn delivery() -> Delivery {
    Delivery::new().with(RELIABLE, Lane::ReliableOrdered).with(LATEST, Lane::Latest)
}

fn host(
    dice: &mut Dice,
    faults: Faults,
    (clients, per_ip): (usize, usize),
    liveness: LivenessPolicy,
) -> HostConfig {
    let is_tight = faults.has(Fault::TightLimits);
    let room = if is_tight { dice.between(0, 2) as usize } else { 64 };
    let events_max =
        if faults.has(Fault::SlowApplication) { dice.pick(&[2, 64, 4_096]) } else { 65_536 };
    HostConfig {
        liveness,
        keep_time: Duration::from_secs(dice.pick(&[0, 5, 30])),
        duplicate: dice.pick(&[
            DuplicatePolicy::Refuse,
            DuplicatePolicy::Supersede,
            DuplicatePolicy::Allow(2),
        ]),
        limits: Limits {
            sessions_max: clients + room,
            sessions_per_address_max: per_ip + room,
            kept_max: if is_tight { dice.between(0, 2) as usize } else { 2_048 },
            events_max,
            ..Limits::default()
        },
        delivery: delivery(),
    }
}

fn client(user: usize, reconnect: ReconnectPolicy, liveness: LivenessPolicy) -> DialerConfig {
    let login = Login { identity: name(user).into_bytes(), payload: b"let me in".to_vec() };
    DialerConfig { liveness, reconnect, delivery: delivery(), login: Some(login) }
}

fn liveness(dice: &mut Dice) -> LivenessPolicy {
    if dice.permille(700) {
        return LivenessPolicy::default();
    }
    let (beat, timeout) = (Duration::from_secs(1), Duration::from_secs(dice.between(3, 12)));
    if dice.permille(500) {
        return LivenessPolicy::adaptive(beat, Duration::from_secs(2), timeout);
    }
    LivenessPolicy::new(beat, timeout)
}

fn reconnect(dice: &mut Dice) -> ReconnectPolicy {
    ReconnectPolicy {
        mode: if dice.permille(100) { ReconnectMode::Manual } else { ReconnectMode::Automatic },
        first_delay: dice.pick(&[Duration::ZERO, Duration::from_secs(1)]),
        attempts_max: dice.permille(100).then_some(3),
        ..ReconnectPolicy::default()
    }
}
