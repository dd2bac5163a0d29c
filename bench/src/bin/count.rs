//! Runs each measured act once with as many sessions as the first argument says, for callgrind to
//! count. `hold` runs it; by hand, to see where the instructions of the third act go:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='*measured_region*' --dump-before='*announce*' \
//!     --callgrind-out-file=part target/release/count 100000
//! callgrind_annotate --auto=no --threshold=100 part.3
//! ```
//!
//! It prints the acts in their order, which is that of callgrind's parts: a name, and how many
//! times the act was done in that part.

#![expect(clippy::print_stdout, reason = "`hold` reads it")]

use std::hint::black_box;
use std::time::Duration;

use moorline_bench::{Crowd, INPUT, NativeCrowd, STATE, WORD, address, identity};
use moorline_link::{Identity, Time};
use moorline_session::{LivenessPolicy, Session, SessionId, State};

/// Sessions that come due in one tick.
const DUE: u32 = 100;
/// How often a cheap act is done, for a mean.
const TIMES: u32 = 1_000;
/// Heartbeats for a mean; there are hardly more sessions than this in the smallest crowd.
const BEATS: u32 = 500;

/// Clients on the native protocol, for each thousand sessions of the other crowd up to ten.
const NATIVE_USERS: u32 = 100;
/// Clients whose handshakes are counted.
const NEWCOMERS: u32 = 20;
/// What a game sends each way, 30 times a second.
const INPUT_LEN: usize = 64;
const STATE_LEN: usize = 200;

const MS: Duration = Duration::from_millis(1);

fn main() {
    let sessions = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(1_000_u32);
    assert!(sessions >= TIMES, "at least {TIMES} sessions");

    // With the default policy: who was last heard at 1.0 s is degraded at 5.0 s; whose timer waits
    // for 5.5 s was heard at 3.0 s and is only moved on; all others come later.
    let mut crowd = Crowd::new(LivenessPolicy::default());
    crowd.log_in(Time::from_millis(1_000), 0..DUE);
    crowd.log_in(Time::from_millis(1_500), DUE..2 * DUE);
    crowd.log_in(Time::from_millis(3_000), 2 * DUE..sessions);
    crowd.beat(Time::from_millis(3_000), DUE..2 * DUE);

    ticks(&mut crowd, Time::from_millis(3_001));
    look_ups(&crowd, sessions);

    let now = Time::from_millis(4_100);
    let beating = 2 * DUE..2 * DUE + BEATS;
    // Once uncounted, so that no queue grows while it is counted, here and below.
    crowd.beat(now, beating.clone());
    counted("beat_answered", BEATS, || assert_eq!(crowd.beat(now, beating), BEATS as usize));

    let now = crowd.host.poll_timeout().expect("the first sessions wait");
    counted("tick_with_100_degraded", 1, || crowd.host.handle_timeout(now));
    assert_eq!(crowd.drain(now), DUE as usize, "degraded at {now}");

    let now = crowd.host.poll_timeout().expect("the second sessions wait");
    counted("tick_with_100_moved_on", 1, || crowd.host.handle_timeout(now));
    assert_eq!(crowd.drain(now), 0, "moved on at {now}");
    let next = crowd.host.poll_timeout().expect("all sessions wait");
    assert!(next > now + 100 * MS, "{next} is soon after {now}: not all were moved on");

    native(NATIVE_USERS * (sessions / TIMES).min(10));
}

/// What a host does for a datagram, encrypted and all.
fn native(users: u32) {
    let mut now = Time::from_millis(1_000);
    let mut crowd = NativeCrowd::new();
    crowd.log_in(now, users);
    // Until queues have the length that they keep and paths are known.
    for tick in 0..100 {
        now = now + 33 * MS;
        play(&mut crowd, now, users, tick);
    }
    now = now + 33 * MS;
    for user in 0..users {
        crowd.say(now, user, INPUT, &[1; INPUT_LEN]);
    }
    let mut arrivals = crowd.arrivals(now, 0..users);
    let datagrams = arrivals.len() as u32;
    counted("native_receive_input", datagrams, || {
        assert_eq!(crowd.arrive(now, &mut arrivals), users);
    });
    crowd.host.handle_timeout(now);
    let mut states = Vec::with_capacity(STATE_LEN * 2 * users as usize);
    counted("native_send_state", users, || {
        for user in 0..users {
            crowd.tell(now, user, STATE, &[2; STATE_LEN]);
        }
        let sent = crowd.send(now, |_, datagram| states.extend_from_slice(datagram));
        assert_eq!(sent, users, "a datagram each");
    });
    counted("native_tick_with_nothing_due", 1, || crowd.host.handle_timeout(now));

    // What is on its way is acknowledged, then nobody says anything but that they are there.
    now = now + 3_000 * MS;
    crowd.exchange(now, 0..users);
    now = now + 1_000 * MS;
    crowd.exchange(now, 0..users);
    now = now + 2_000 * MS;
    for user in 0..users {
        crowd.beat(now, user);
    }
    let mut arrivals = crowd.arrivals(now, 0..users);
    counted("native_beat_answered", users, || {
        crowd.host.handle_timeout(now);
        assert_eq!(crowd.arrive(now, &mut arrivals), 0);
        assert_eq!(crowd.send(now, |_, _| {}), users, "an answer each");
    });

    let mut hellos = crowd.dial(now, NEWCOMERS);
    let mut answers = Vec::with_capacity(1 << 16);
    counted("native_handshake_first_half", NEWCOMERS, || {
        crowd.arrive(now, &mut hellos);
        assert_eq!(crowd.send(now, |to, answer| answers.push((to, answer.to_vec()))), NEWCOMERS);
    });
    for (to, answer) in answers {
        crowd.reach(now, to, &answer);
    }
    let mut logins = crowd.arrivals(now, users..users + NEWCOMERS);
    counted("native_handshake_second_half", NEWCOMERS, || {
        crowd.arrive(now, &mut logins);
        crowd.send(now, |_, _| {});
    });
    assert_eq!(crowd.host.sessions().count(State::LoggedIn), (users + NEWCOMERS) as usize);
}

/// One tick of a game: input from everybody, a state to everybody, and a word now and then.
fn play(crowd: &mut NativeCrowd, now: Time, users: u32, tick: u32) {
    for user in 0..users {
        crowd.say(now, user, INPUT, &[1; INPUT_LEN]);
        if (user + tick).is_multiple_of(30) {
            crowd.say(now, user, WORD, &[3; INPUT_LEN]);
            crowd.tell(now, user, WORD, &[4; INPUT_LEN]);
        }
        crowd.tell(now, user, STATE, &[2; STATE_LEN]);
    }
    crowd.exchange(now, 0..users);
}

fn ticks(crowd: &mut Crowd, start: Time) {
    let mut now = start;
    counted("tick_with_nothing_due", 1, || crowd.host.handle_timeout(now));
    counted("tick_with_nothing_due_mean_of_1000", TIMES, || {
        for _ in 0..TIMES {
            now = now + MS;
            crowd.host.handle_timeout(now);
        }
    });
    assert_eq!(crowd.drain(now), 0, "nothing was due until {now}");
}

fn look_ups(crowd: &Crowd, sessions: u32) {
    let table = crowd.host.sessions();
    let users: Vec<u32> = (0..TIMES).map(|n| n * (sessions / TIMES)).collect();
    let addresses: Vec<_> = users.iter().map(|user| address(*user)).collect();
    let identities: Vec<Identity> = users.iter().map(|user| identity(*user)).collect();
    let by_address = addresses.iter().filter_map(|address| table.by_address(*address));
    let ids: Vec<SessionId> = by_address.map(Session::id).collect();
    counted("look_up_by_id", TIMES, || {
        assert!(ids.iter().all(|id| black_box(table.by_id(*id)).is_some()));
    });
    counted("look_up_by_address", TIMES, || {
        assert!(addresses.iter().all(|address| black_box(table.by_address(*address)).is_some()));
    });
    counted("look_up_by_identity", TIMES, || {
        assert!(identities.iter().all(|who| black_box(table.by_identity(who).next()).is_some()));
    });
}

/// Does the act where callgrind counts it, then names it.
fn counted(act: &str, times: u32, work: impl FnOnce()) {
    measured_region(work);
    announce(act, times);
}

/// Callgrind, which is told this name, counts between its beginning and its end only.
#[inline(never)]
fn measured_region(work: impl FnOnce()) {
    work();
}

/// Callgrind writes a part before this.
#[inline(never)]
fn announce(act: &str, times: u32) {
    println!("{act} {times}");
}
