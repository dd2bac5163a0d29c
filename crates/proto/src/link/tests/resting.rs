//! A host's link that rests and wakes is the link that it was.

use super::*;
use crate::notes::Paper;
use crate::recovery::ecn::EcnState;

const AFTER: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    let Setup { repetition, bytes_max, ack_delay_max, idle, linger, key_packets_max, .. } =
        setup(HOST, Suite::Aes);
    Terms { repetition, bytes_max, ack_delay_max, idle, linger, key_packets_max }
}

/// Writes the host's link down, looks at it, and makes it anew.
fn rest(pair: &mut Pair, look: impl FnOnce(&Rested)) {
    let placeholder = Link::new(pair.now, setup(HOST, Suite::Aes));
    let mut link = std::mem::replace(&mut pair.links[HOST], placeholder);
    let address = link.address();
    let rested = link.rest(&mut Paper::default());
    look(&rested);
    pair.links[HOST] = rested.wake(address, &terms(), &mut Paper::default()).into_inner();
}

/// All lanes are used both ways, in bad weather, and then nothing but beats for a while.
fn played(seed: u64) -> Pair {
    let routers = if seed.is_multiple_of(2) { Routers::MarkSome(5) } else { Routers::Idle };
    let mut pair = Pair::new(seed, Weather { routers, ..Weather::FOUL });
    while !pair.links[HOST].is_up() {
        pair.run(Duration::from_millis(100));
    }
    for tick in 0..300 {
        for side in [CLIENT, HOST] {
            let len = 8 + pair.rng.below(if tick % 20 == 0 { 3_000 } else { 200 }) as usize;
            for place in [
                Place::Ordered((tick % 3) as u8),
                Place::Unordered,
                Place::Latest(tick % 4),
                Place::Unreliable,
            ] {
                pair.push(side, place, &message(tick, len)).expect("there is room");
            }
        }
        pair.run(Duration::from_millis(16));
    }
    pair.weather = Weather::FAIR;
    for beat in 0..3 {
        pair.run(Duration::from_secs(2));
        beat_once(&mut pair, beat);
    }
    pair
}

fn beat_once(pair: &mut Pair, beat: u32) {
    pair.links[CLIENT].control(pair.now, &Control::Beat { beat }).expect("it is up");
    pair.run(Duration::from_millis(40));
    let answer = Control::BeatAnswer { beat, server_tick: 5 };
    pair.links[HOST].control(pair.now, &answer).expect("it is up");
    pair.run(Duration::from_millis(200));
}

#[test]
fn a_link_that_rested_is_what_it_was_to_the_last_number() {
    for seed in 0..20 {
        let mut pair = played(seed);
        let link = &mut pair.links[HOST];
        assert!(link.may_rest(pair.now, AFTER), "{link:?}");
        // Once before, as what arrived long ago is forgotten with it.
        let mut paper = Paper::default();
        let mut notes = crate::notes::Writer::new(&mut paper);
        link.acks.note(&mut notes);
        link.sender.note(&mut notes);
        link.inbox.note(&mut notes);
        let before = format!("{link:#?}");
        let stats = format!("{:?} {:?}", link.stats(), link.link_stats());
        let positions = link.inbox().positions();
        rest(&mut pair, |rested| {
            assert_eq!(format!("{:?} {:?}", rested.stats(), rested.link_stats()), stats);
            assert_eq!(rested.inbox().positions(), positions);
        });
        let after = format!("{:#?}", pair.links[HOST]);
        assert_eq!(before.lines().count(), after.lines().count());
        for (before, after) in before.lines().zip(after.lines()) {
            assert_eq!(before, after);
        }
    }
}

#[test]
fn a_link_goes_on_after_it_rested_as_if_it_had_not() {
    for seed in 0..20 {
        let mut pair = played(seed);
        for round in 0..3 {
            for side in [CLIENT, HOST] {
                pair.messages(side);
            }
            assert!(pair.links[HOST].may_rest(pair.now, AFTER));
            rest(&mut pair, |_| ());
            for number in 0..20 {
                for (side, place) in [(CLIENT, Place::Ordered(1)), (HOST, Place::Unordered)] {
                    pair.push(side, place, &message(number, 300)).expect("there is room");
                }
            }
            assert!(!pair.links[HOST].may_rest(pair.now, AFTER), "something waits");
            pair.run(Duration::from_millis(500));
            assert!(!pair.links[HOST].may_rest(pair.now, AFTER), "somebody plays");
            pair.run(Duration::from_secs(1));
            beat_once(&mut pair, round);
            for side in [CLIENT, HOST] {
                let numbers: Vec<u64> =
                    pair.messages(side).iter().map(|message| number_of(message)).collect();
                assert_eq!(numbers, (0..20).collect::<Vec<_>>());
                assert_eq!(pair.lost[side], None);
            }
        }
    }
}

#[test]
fn a_link_that_rests_knows_how_many_marks_came_and_what_its_path_carries() {
    let mut pair = played(2);
    let known = |pair: &Pair| {
        let stats = pair.links[HOST].stats();
        (stats.marks_in, stats.sending.ecn)
    };
    let before = known(&pair);
    assert!(before.0 > 10 && before.1.marks > 10, "{before:?}");
    assert_eq!(before.1.state, EcnState::Capable);
    rest(&mut pair, |_| ());
    assert_eq!(known(&pair), before);
    // Had it begun to count anew, the client would take the next count for a false one.
    pair.weather.routers = Routers::MarkSome(2);
    for number in 0..20 {
        pair.push(CLIENT, Place::Ordered(1), &message(number, 30)).expect("there is room");
        pair.run(Duration::from_millis(100));
    }
    let client = pair.links[CLIENT].stats().sending.ecn;
    assert_eq!((client.state, client.marks), (EcnState::Capable, known(&pair).0));
    assert!(client.marks > before.0);
}

#[test]
fn a4_a_packet_that_came_before_a_link_rested_is_not_taken_again_after_it() {
    let mut pair = played(1);
    let mut packet = Vec::new();
    pair.links[CLIENT].control(pair.now, &Control::Beat { beat: 9 }).expect("it is up");
    let sent = pair.links[CLIENT].poll_transmit(pair.now, &mut pair.bench, &mut packet);
    assert!(sent.expect("not exhausted").is_some());
    let header = match Datagram::parse(Direction::ToHost, &packet) {
        Ok(Datagram::Short(header)) => header,
        other => panic!("{other:?}"),
    };
    for is_first in [true, false, false] {
        let (mut events, mut copy) = (VecDeque::new(), packet.clone());
        let link = LinkId(SlotKey { index: 0, generation: 0 });
        let ready = &mut pair.ready;
        let mut sink = Sink { link, resumes: None, events: &mut events, ready };
        let from = pair.client_address;
        let taken =
            pair.links[HOST].receive(pair.now, from.into(), (&header, &mut copy), &mut sink);
        assert_eq!(taken.is_ok(), is_first);
        assert_eq!(events.len(), usize::from(is_first));
        if is_first {
            let answer = Control::BeatAnswer { beat: 9, server_tick: 5 };
            pair.links[HOST].control(pair.now, &answer).expect("it is up");
        }
        pair.run(Duration::from_millis(200));
        assert!(pair.links[HOST].may_rest(pair.now, AFTER));
        rest(&mut pair, |_| ());
    }
}
