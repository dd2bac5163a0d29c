use super::*;

const ON: Repetition = Repetition::DEFAULT;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn patience() -> Duration {
    Duration::from_millis(70)
}

fn conditions(estimate: &Estimate, gate: Gate) -> Conditions<'_> {
    let rtt_smoothed = Duration::from_millis(50);
    Conditions { gate, rtt_smoothed, patience: patience(), estimate }
}

/// An estimate of five percent loss, which asks for three copies.
fn lossy() -> Estimate {
    let mut estimate = Estimate::new();
    for packet in 0..2_000 {
        if packet % 20 == 0 { estimate.on_lost() } else { estimate.on_ack() }
    }
    assert_eq!(estimate.copies(Urgency::Interactive), 3);
    estimate
}

fn send(early: &mut Early, now: Time, frames: &[FrameId]) {
    early.on_sent(now, (Occasion::Regular, 1_000), (patience(), 50_000), frames);
}

/// Follows a frame of 30 bytes and sends it.
fn sent(early: &mut Early, now: Time, tag: u64) -> FrameId {
    let id = early.track(tag, 30, Urgency::Interactive).expect("room");
    send(early, now, &[id]);
    id
}

fn offered(early: &Early, now: Time, room: usize) -> Vec<u64> {
    offered_under(early, now, room, Gate::Open)
}

fn offered_under(early: &Early, now: Time, room: usize, gate: Gate) -> Vec<u64> {
    let (estimate, mut out) = (lossy(), Vec::new());
    early.repeats(now, (Occasion::Regular, room), &conditions(&estimate, gate), &mut out);
    out.iter().map(|repeat| repeat.tag).collect()
}

#[test]
fn a_frame_is_lost_only_when_no_copy_of_it_is_on_its_way() {
    let mut early = Early::new(ON);
    let id = sent(&mut early, at(0), 7);
    send(&mut early, at(16), &[id]);
    early.on_lost(id);
    assert!(!early.has_lost());
    early.on_lost(id);
    assert_eq!(early.take_lost(1_000, 1_000).map(|lost| lost.tag), Some(7));
    assert_eq!(early.take_lost(1_000, 1_000), None);
    early.put_back(id);
    assert_eq!(early.take_lost(29, 1_000), None);
    assert_eq!(early.take_lost(30, 1_000).map(|lost| lost.id), Some(id));
    send(&mut early, at(80), &[id]);
    assert!(early.has_live() && !early.has_lost());
}

/// Packets carry less than before, and more frames of the old length than are looked at turn out to
/// be lost: they are given out all the same, and what is behind them.
#[test]
fn what_is_too_long_for_any_packet_does_not_hide_the_rest() {
    let mut early = Early::new(ON);
    for tag in 0..200 {
        let len = if tag < 150 { 1_400 } else { 1_000 };
        let id = early.track(tag, len, Urgency::Bulk).expect("room");
        send(&mut early, at(0), &[id]);
        early.on_lost(id);
    }
    for tag in 0..200 {
        let lost = early.take_lost(1_100, 1_150).expect("there are more");
        assert_eq!(lost.tag, tag);
        if lost.len > 1_150 {
            early.forget(lost.id);
        }
    }
    assert!(!early.has_lost());
}

#[test]
fn any_copy_completes_a_frame_once_even_when_it_was_lost() {
    let mut early = Early::new(ON);
    let id = sent(&mut early, at(0), 7);
    early.on_lost(id);
    assert_eq!(early.on_ack(id), Some(7));
    assert_eq!(early.on_ack(id), None);
    assert!(early.is_empty() && !early.has_lost());
    early.on_lost(id);
    assert!(!early.has_lost());
}

#[test]
fn a_frame_is_not_mistaken_for_the_next_in_its_place() {
    let mut early = Early::new(ON);
    let old = sent(&mut early, at(0), 1);
    early.on_ack(old);
    let new = sent(&mut early, at(1), 2);
    assert_eq!(old.index, new.index);
    assert_eq!(early.on_ack(old), None);
    early.on_lost(old);
    assert!(!early.has_lost());
    assert_eq!(early.on_ack(new), Some(2));
}

#[test]
fn first_copies_come_first_then_overdue_frames_then_those_repeated_least() {
    let mut early = Early::new(ON);
    let overdue = sent(&mut early, at(0), 1);
    send(&mut early, at(5), &[overdue]);
    let twice = sent(&mut early, at(40), 2);
    send(&mut early, at(45), &[twice]);
    sent(&mut early, at(50), 3);
    sent(&mut early, at(55), 4);
    assert_eq!(offered(&early, at(80), 1_000), [4, 3, 1, 2]);
    assert_eq!(offered(&early, at(80), 60), [4, 3]);
    assert_eq!(offered(&early, at(58), 1_000), [3, 2, 1], "no copy within four milliseconds");
    assert_eq!(offered(&early, at(80), 29), []);
}

#[test]
fn copies_end_when_enough_were_sent_until_the_frame_is_overdue() {
    let mut early = Early::new(ON);
    let id = sent(&mut early, at(0), 1);
    for tick in 1..3 {
        assert_eq!(offered(&early, at(tick * 10), 1_000), [1]);
        send(&mut early, at(tick * 10), &[id]);
    }
    assert_eq!(offered(&early, at(40), 1_000), []);
    assert_eq!(offered(&early, at(71), 1_000), [1]);
}

#[test]
fn large_frames_and_bulk_are_not_repeated_and_lost_all_the_same() {
    let mut early = Early::new(ON);
    let large = early.track(1, REPEAT_LEN_MAX + 1, Urgency::Critical).expect("room");
    let bulk = early.track(2, 100, Urgency::Bulk).expect("room");
    send(&mut early, at(0), &[large, bulk]);
    assert_eq!(offered(&early, at(500), 1_000), []);
    early.on_lost(large);
    early.on_lost(bulk);
    assert_eq!(early.take_lost(1_000, 1_000).map(|lost| lost.tag), Some(1));
    assert_eq!(early.take_lost(1_000, 1_000).map(|lost| lost.tag), Some(2));
}

#[test]
fn a_closed_gate_offers_nothing() {
    let mut early = Early::new(ON);
    sent(&mut early, at(0), 1);
    assert_eq!(offered_under(&early, at(500), 1_000, Gate::Closed), []);
    let estimate = lossy();
    assert_eq!(early.poll_timeout(&conditions(&estimate, Gate::Closed)), None);
}

#[test]
fn with_repetition_switched_off_a_frame_is_offered_when_it_is_overdue_and_then_anew_each_time() {
    let mut early = Early::new(Repetition::Off);
    let estimate = lossy();
    let id = sent(&mut early, at(0), 1);
    assert_eq!(offered(&early, at(69), 1_000), []);
    assert_eq!(early.poll_timeout(&conditions(&estimate, Gate::Open)), Some(at(70)));
    assert_eq!(offered(&early, at(70), 1_000), [1]);
    send(&mut early, at(70), &[id]);
    assert_eq!(offered(&early, at(139), 1_000), []);
    assert_eq!(offered(&early, at(140), 1_000), [1]);
    early.on_ack(id);
    assert_eq!(early.poll_timeout(&conditions(&estimate, Gate::Open)), None);
}

#[test]
fn copies_spend_what_other_bytes_filled_and_borrow_no_more_than_a_packet() {
    let mut early = Early::new(Repetition::On { budget_permille: 0 });
    let mut now = 0;
    let mut spent = 0;
    loop {
        let id = sent(&mut early, at(now), now);
        now += 10;
        if offered(&early, at(now), 1_000).is_empty() {
            break;
        }
        send(&mut early, at(now), &[id]);
        spent += 30;
        early.on_ack(id);
    }
    assert_eq!(spent, BUDGET_MAX / 30 * 30);
    early.budget = 0;
    let mut borrowed = 0;
    let id = sent(&mut early, at(now), 0);
    loop {
        now += 500;
        if offered(&early, at(now), 1_000).is_empty() {
            break;
        }
        send(&mut early, at(now), &[id]);
        early.rounds_unanswered = 0;
        early.slab.get_mut(id).expect("live").outstanding = 1;
        borrowed += 30;
    }
    assert!(borrowed <= BORROW_MAX, "{borrowed}");
    assert!(borrowed > BORROW_MAX / 2);
}

#[test]
fn in_an_outage_overdue_copies_come_ever_more_slowly_down_to_four_a_second() {
    let mut early = Early::new(ON);
    let id = sent(&mut early, at(0), 1);
    let mut sent_at = Vec::new();
    for millis in 71..3_000 {
        if !offered(&early, at(millis), 1_000).is_empty() {
            send(&mut early, at(millis), &[id]);
            sent_at.push(millis);
        }
    }
    let gaps: Vec<_> = sent_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.is_sorted() && gaps.last() == Some(&250), "{gaps:?}");
    assert!(sent_at.len() < 30, "{}", sent_at.len());
}

#[test]
fn a_lone_frame_gets_a_packet_of_its_own_when_nothing_else_is_sent_soon() {
    let mut early = Early::new(ON);
    let mut estimate = lossy();
    let tail_at = |early: &Early, estimate: &Estimate| {
        early.poll_timeout(&conditions(estimate, Gate::Open)).map(Time::as_micros)
    };
    let id = sent(&mut early, at(1_000), 1);
    assert_eq!(tail_at(&early, &estimate), Some(1_006_250));
    estimate.on_flush(at(984));
    estimate.on_flush(at(1_000));
    assert_eq!(tail_at(&early, &estimate), Some(1_024_000), "a tick and a half");
    for millis in [1_024, 1_031] {
        early.on_sent(at(millis), (Occasion::Tail, 60), (patience(), 50_000), &[id]);
    }
    assert_eq!(tail_at(&early, &estimate), None, "three copies are enough");
    assert_eq!((early.stats().tail_bytes, early.stats().copy_bytes), (120, 0));
}

#[test]
fn more_frames_than_there_is_room_for_are_refused_and_counted() {
    let mut early = Early::new(ON);
    let first = early.track(0, 10, Urgency::Bulk).expect("room");
    assert!((1..FRAMES_MAX).all(|tag| early.track(tag as u64, 10, Urgency::Bulk).is_some()));
    assert_eq!(early.track(9, 10, Urgency::Bulk), None);
    assert_eq!(early.stats().frames_refused, 1);
    early.forget(first);
    assert!(early.track(9, 10, Urgency::Bulk).is_some());
}

#[test]
fn a_path_that_loses_much_may_be_paid_more_copies() {
    assert_eq!(ON.budget_permille(0), 960);
    assert_eq!(ON.budget_permille(80_000), 960);
    assert_eq!(ON.budget_permille(200_000), 1_351);
    assert_eq!(Repetition::On { budget_permille: 500 }.budget_permille(200_000), 704);
    assert_eq!(Repetition::Off.budget_permille(1_000_000), 0);
}
