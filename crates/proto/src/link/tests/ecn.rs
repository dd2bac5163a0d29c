//! What routers mark slows a sender down before anything is lost, and what else they do to marks
//! does no harm.

use super::promises::exchange;
use super::*;
use crate::recovery::ecn::EcnState;

/// A link over which messages went for a second, both ways, one each tick.
fn played(weather: Weather) -> Pair {
    let mut pair = Pair::new(1, weather);
    pair.run(Duration::from_millis(500));
    play(&mut pair, 60);
    pair
}

/// Both sides send a message a tick, and get all of them.
fn play(pair: &mut Pair, ticks: u64) {
    for side in [CLIENT, HOST] {
        pair.messages(side);
    }
    for number in 0..ticks {
        for side in [CLIENT, HOST] {
            pair.push(side, Place::Ordered(0), &message(number, 100)).expect("up");
        }
        pair.run(Duration::from_millis(16));
    }
    pair.run(Duration::from_millis(1_000));
    for side in [CLIENT, HOST] {
        let came: Vec<u64> = pair.messages(side).iter().map(|message| number_of(message)).collect();
        assert_eq!(came, (0..ticks).collect::<Vec<_>>());
    }
}

fn states(pair: &Pair) -> [EcnState; 2] {
    [CLIENT, HOST].map(|side| pair.links[side].stats().sending.ecn.state)
}

/// Sends for a while as much as the window lets.
fn transfer(pair: &mut Pair) {
    for number in 0..200 {
        pair.push(CLIENT, Place::Ordered(0), &message(number, 5_000)).ok();
        pair.run(Duration::from_millis(10));
    }
}

#[test]
fn marks_shrink_the_window_though_nothing_is_lost() {
    let mut free = played(Weather::FAIR);
    transfer(&mut free);
    let mut marked = played(Weather::FAIR);
    marked.weather.routers = Routers::MarkSome(20);
    transfer(&mut marked);
    let [free, marked_too] = [&free, &marked].map(|pair| pair.links[CLIENT].stats().sending);
    assert_eq!((free.loss.lost, marked_too.loss.lost), (0, 0));
    assert_eq!((free.ecn.marks, free.congestion.loss_backoffs), (0, 0));
    assert!(marked_too.congestion.loss_backoffs > 5, "{marked_too:?}");
    assert!(marked_too.window_bytes * 3 < free.window_bytes, "{marked_too:?} {free:?}");
    assert_eq!(marked_too.ecn.state, EcnState::Capable);
    let counted = marked.links[HOST].stats().marks_in;
    assert!(counted > 10 && marked_too.ecn.marks + 5 > counted, "{counted} {marked_too:?}");
}

#[test]
fn a_mark_is_told_at_once() {
    let mut pair = played(Weather::FAIR);
    let told_after = |pair: &mut Pair, ecn| {
        let mut out = Vec::new();
        pair.push(CLIENT, Place::Ordered(0), b"a message").expect("up");
        let sent = pair.links[CLIENT].poll_transmit(pair.now, &mut pair.bench, &mut out);
        assert_eq!(sent.expect("not exhausted").map(|(_, ecn)| ecn), Some(Ecn::Capable));
        let from = pair.client_address;
        pair.arrive(true, Origin { from, ecn }, out);
        let due = pair.links[HOST].acks.due_at().expect("it is to be acknowledged");
        let after = due.since(pair.now);
        pair.run(Duration::from_secs(1));
        after
    };
    assert_eq!(told_after(&mut pair, Ecn::Capable), Duration::from_millis(20));
    assert_eq!(told_after(&mut pair, Ecn::Congested), Duration::ZERO);
    assert_eq!(pair.links[CLIENT].stats().sending.ecn.marks, 1);
}

#[test]
fn marks_of_copies_and_of_forged_packets_count_nothing() {
    let mut pair = played(Weather::FAIR);
    let mut out = Vec::new();
    pair.push(CLIENT, Place::Ordered(0), b"a message").expect("up");
    let sent = pair.links[CLIENT].poll_transmit(pair.now, &mut pair.bench, &mut out);
    assert!(sent.expect("not exhausted").is_some());
    let marked = Origin { from: pair.client_address, ecn: Ecn::Congested };
    let mut forged = out.clone();
    *forged.last_mut().expect("a tag") ^= 1;
    pair.arrive(true, marked, forged);
    assert_eq!(pair.links[HOST].stats().marks_in, 0);
    pair.arrive(true, marked, out.clone());
    for _ in 0..5 {
        pair.arrive(true, marked, out.clone());
    }
    assert_eq!(pair.links[HOST].stats().marks_in, 1);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.links[CLIENT].stats().sending.ecn.marks, 1);
}

#[test]
fn a_path_that_drops_what_may_be_marked_is_used_without_and_its_losses_are_no_congestion() {
    let mut pair = played(Weather { routers: Routers::Drop, ..Weather::FAIR });
    assert_eq!(states(&pair), [EcnState::Failed; 2]);
    let dropped = pair.markable;
    assert!(dropped.iter().all(|count| *count <= 10), "{dropped:?}");
    play(&mut pair, 60);
    assert_eq!(pair.markable, dropped);
    for link in &pair.links {
        let sending = link.stats().sending;
        assert_eq!((sending.congestion.loss_backoffs, sending.congestion.collapses), (0, 0));
        assert!(sending.loss_ppm < 20_000, "{sending:?}");
    }
}

#[test]
fn a_path_that_takes_the_permission_away_is_as_one_that_never_marks() {
    let mut pair = played(Weather { routers: Routers::Bleach, ..Weather::FAIR });
    play(&mut pair, 60);
    assert_eq!(states(&pair), [EcnState::Capable; 2]);
    assert_eq!(pair.links[HOST].stats().marks_in, 0);
}

#[test]
fn a_path_that_marks_everything_is_not_believed() {
    let mut pair = played(Weather { routers: Routers::Mark, ..Weather::FAIR });
    assert_eq!(states(&pair), [EcnState::Failed; 2]);
    assert!(pair.markable.iter().all(|count| *count == 10), "{:?}", pair.markable);
    transfer(&mut pair);
    let sending = pair.links[CLIENT].stats().sending;
    assert!(sending.congestion.loss_backoffs <= 5 && sending.ecn.marks == 10, "{sending:?}");
}

#[test]
fn a_new_address_is_tested_anew_by_both_sides_and_may_drop_what_the_old_one_carried() {
    let mut pair = played(Weather::FAIR);
    assert_eq!(states(&pair), [EcnState::Capable; 2]);
    pair.client_address = address("10.0.0.9:9");
    pair.weather.routers = Routers::Drop;
    let before = pair.markable;
    play(&mut pair, 120);
    assert_eq!(states(&pair), [EcnState::Failed; 2]);
    assert_eq!(pair.links[HOST].address(), pair.client_address);
    let dropped = [CLIENT, HOST].map(|side| pair.markable[side] - before[side]);
    assert!(dropped.iter().all(|count| *count < 60), "{dropped:?}");
    // Home again, where marks are carried.
    pair.client_address = address("10.0.0.2:2");
    pair.weather.routers = Routers::Idle;
    play(&mut pair, 60);
    assert_eq!(states(&pair), [EcnState::Capable; 2]);
}

#[test]
fn an_address_that_only_changes_its_port_is_tested_anew() {
    let mut pair = played(Weather::FAIR);
    pair.weather.routers = Routers::Drop;
    pair.client_address = address("10.0.0.2:3");
    play(&mut pair, 60);
    assert_eq!(states(&pair), [EcnState::Failed; 2]);
}

#[test]
fn who_is_told_to_mark_nothing_does_not_and_counts_the_marks_of_others() {
    let mut pair = Pair::with(1, Weather::FAIR, |setup| setup.ecn = setup.connection.is_none());
    pair.run(Duration::from_millis(500));
    play(&mut pair, 20);
    pair.weather.routers = Routers::Mark;
    play(&mut pair, 20);
    assert_eq!(pair.markable[CLIENT], 0);
    assert!(pair.links[CLIENT].stats().marks_in > 10);
    assert_eq!(states(&pair), [EcnState::Off, EcnState::Capable]);
}

#[test]
fn a_peer_that_counts_too_many_marks_is_not_believed_and_the_link_goes_on() {
    let mut pair = played(Weather::FAIR);
    pair.links[HOST].acks.marks = 1_000;
    play(&mut pair, 20);
    assert_eq!(states(&pair), [EcnState::Failed, EcnState::Capable]);
    let sending = pair.links[CLIENT].stats().sending;
    assert_eq!((sending.congestion.loss_backoffs, sending.ecn.marks), (0, 0));
    assert_eq!(pair.lost, [None, None]);
}

#[test]
fn every_lane_keeps_its_promise_whatever_routers_do_to_marks() {
    for seed in 0..6 {
        exchange(seed, Weather::FOUL, |pair, round| {
            let routers = [
                Routers::MarkSome(7),
                Routers::Drop,
                Routers::Idle,
                Routers::Mark,
                Routers::Bleach,
            ];
            pair.weather.routers = routers[round as usize / 40 % 5];
            if round % 70 == 69 {
                pair.client_address = address(&format!("10.0.{}.9:{}", round % 7, 1_000 + round));
            }
        });
    }
}
