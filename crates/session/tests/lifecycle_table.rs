//! The lifecycle table answers everything, and `lifecycle_table.txt` is what it answers.
//!
//! After a change that is meant, write the file anew with
//! `MOORLINE_WRITE_DOCS=1 cargo test -p moorline-session --test lifecycle_table`.

use std::collections::BTreeSet;
use std::{env, fs};

use moorline_session::lifecycle::{Answer, answer};
use moorline_session::{EventKind, Input, State};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lifecycle_table.txt");

fn cells() -> impl Iterator<Item = (State, Input, Answer)> {
    let row = |state| Input::ALL.into_iter().map(move |input| (state, input, answer(state, input)));
    State::ALL.into_iter().flat_map(row)
}

#[test]
fn every_state_answers_every_input_as_written_down() {
    let line = |(state, input, answer): (State, Input, Answer)| {
        format!("{state:<18} {:<13} {answer:?}\n", format!("{input:?}"))
    };
    let table: String = cells().map(line).collect();
    if env::var_os("MOORLINE_WRITE_DOCS").is_some() {
        fs::write(GOLDEN, &table).expect("the golden table can be written");
    }
    let golden = fs::read_to_string(GOLDEN).unwrap_or_default();
    let differs = table.lines().zip(golden.lines()).find(|(code, file)| code != file);
    assert!(
        table == golden,
        "the table differs from {GOLDEN}, first at (code, file) {differs:?}; if that is meant: \
         MOORLINE_WRITE_DOCS=1 cargo test -p moorline-session --test lifecycle_table"
    );
    assert_eq!(table.lines().count(), State::ALL.len() * Input::ALL.len());
}

#[test]
fn every_state_can_be_closed_and_is_then_disconnected() {
    for state in State::ALL {
        let end = match answer(state, Input::Close) {
            Answer::Go(to, EventKind::Disconnected) => to,
            Answer::Tell(EventKind::Disconnected) => state,
            other => panic!("{state}: {other:?}"),
        };
        assert_eq!(end, State::Disconnected);
    }
}

#[test]
fn every_state_is_reached_from_disconnected() {
    let mut reached = BTreeSet::from([State::Disconnected]);
    for _ in State::ALL {
        for (from, _, answer) in cells() {
            if let (true, Answer::Go(to, _)) = (reached.contains(&from), answer) {
                reached.insert(to);
            }
        }
    }
    assert_eq!(reached, BTreeSet::from(State::ALL));
}

#[test]
fn every_event_is_told_somewhere() {
    let told: BTreeSet<EventKind> = cells()
        .filter_map(|(_, _, answer)| match answer {
            Answer::Go(_, event) | Answer::Tell(event) => Some(event),
            Answer::Ignore | Answer::Refuse(_) => None,
        })
        .collect();
    let seed = [
        EventKind::TransportConnected,
        EventKind::LoginStarted,
        EventKind::LoginSucceeded,
        EventKind::LoginFailed,
        EventKind::HeartbeatSent,
        EventKind::HeartbeatReceived,
        EventKind::TimedOut,
        EventKind::ReconnectScheduled,
        EventKind::ReconnectStarted,
        EventKind::Disconnected,
    ];
    let ours = [
        EventKind::Degraded,
        EventKind::Recovered,
        EventKind::ReauthAsked,
        EventKind::ReauthStarted,
        EventKind::Reauthenticated,
        EventKind::ReauthFailed,
        EventKind::Backlogged,
        EventKind::Relieved,
        EventKind::AddressChanged,
        EventKind::Resumed,
        EventKind::ContinuityLost,
    ];
    assert_eq!(told, seed.into_iter().chain(ours).collect());
}

#[test]
fn a_transition_goes_somewhere_else() {
    for (from, input, answer) in cells() {
        if let Answer::Go(to, _) = answer {
            assert_ne!(from, to, "{from} {input:?}: what stays is told, not gone to");
        }
    }
}

#[test]
fn heartbeats_and_warnings_never_change_the_state() {
    use Input::{AddressChange, Backlog, BeatHeard, BeatSent, Degrade, Recover, Relief};
    let quiet = [BeatSent, BeatHeard, Degrade, Recover, Backlog, Relief, AddressChange];
    for (state, input, answer) in cells().filter(|(_, input, _)| quiet.contains(input)) {
        assert!(!matches!(answer, Answer::Go(..)), "{state} {input:?}: {answer:?}");
    }
}

#[test]
fn only_a_pending_login_can_succeed_or_fail() {
    for (state, input, answer) in cells() {
        if matches!(input, Input::LoginOk | Input::LoginFail) {
            let is_taken = matches!(answer, Answer::Go(..));
            assert_eq!(is_taken, state == State::LoginPending, "{state} {input:?}: {answer:?}");
        }
    }
}
