//! What each lane promises holds in any weather.

use super::*;

/// What each side sent on each lane, and what came.
#[derive(Default)]
struct Ledger {
    next: u64,
    ordered: BTreeMap<u8, VecDeque<u64>>,
    unordered: BTreeSet<u64>,
    newest: BTreeMap<u64, u64>,
    seen_latest: BTreeMap<u64, u64>,
    place: BTreeMap<u64, Place>,
    unreliable: BTreeSet<u64>,
}

impl Ledger {
    fn came(&mut self, payload: &[u8], len: impl Fn(u64) -> usize) {
        let number = number_of(payload);
        assert_eq!(payload, message(number, len(number)), "nothing else than what was sent");
        match self.place[&number] {
            Place::Ordered(channel) => {
                let first = self.ordered.get_mut(&channel).and_then(VecDeque::pop_front);
                assert_eq!(first, Some(number), "once and in order");
            }
            Place::Unordered => assert!(self.unordered.remove(&number), "once"),
            Place::Latest(key) => {
                let before = self.seen_latest.insert(key, number);
                assert!(before < Some(number), "never older than before");
            }
            Place::Unreliable => assert!(self.unreliable.remove(&number), "once or never"),
            Place::Control => {}
        }
    }

    fn is_settled(&self) -> bool {
        self.ordered.values().all(VecDeque::is_empty)
            && self.unordered.is_empty()
            && self.newest == self.seen_latest
    }
}

/// Mostly short, sometimes long, so that messages are of one part and of many.
pub(super) fn len_of(number: u64) -> usize {
    match number % 37 {
        0 => 20_000,
        1..4 => 1_300,
        rest => 8 + rest as usize * 7,
    }
}

/// Both sides send on every lane for a while, and all of it is held to what its lane promises.
pub(super) fn exchange(seed: u64, weather: Weather, change: impl Fn(&mut Pair, u64)) {
    let mut pair = Pair::new(seed, weather);
    let mut rng = Rng::new(seed + 1_000);
    let mut ledgers = [Ledger::default(), Ledger::default()];
    pair.run(Duration::from_millis(500));
    let collect = |pair: &mut Pair, ledgers: &mut [Ledger; 2]| {
        for side in [CLIENT, HOST] {
            for payload in pair.messages(side) {
                ledgers[1 - side].came(&payload, len_of);
            }
        }
    };
    for round in 0..400 {
        change(&mut pair, round);
        for side in [CLIENT, HOST] {
            for _ in 0..rng.below(4) {
                let place = match rng.below(6) {
                    0 | 1 => Place::Ordered(rng.below(3) as u8),
                    2 => Place::Unordered,
                    3 => Place::Unreliable,
                    _ => Place::Latest(rng.below(3) << (rng.below(2) * 62)),
                };
                let ledger = &mut ledgers[side];
                let number = ledger.next;
                let payload = message(number, len_of(number));
                if pair.push(side, place, &payload).is_err() {
                    continue;
                }
                ledger.next += 1;
                ledger.place.insert(number, place);
                match place {
                    Place::Ordered(channel) => {
                        ledger.ordered.entry(channel).or_default().push_back(number);
                    }
                    Place::Unordered => drop(ledger.unordered.insert(number)),
                    Place::Latest(key) => drop(ledger.newest.insert(key, number)),
                    _ => drop(ledger.unreliable.insert(number)),
                }
            }
        }
        pair.run(Duration::from_millis(16));
        collect(&mut pair, &mut ledgers);
    }
    for _ in 0..600 {
        pair.run(Duration::from_millis(50));
        collect(&mut pair, &mut ledgers);
        if ledgers.iter().all(Ledger::is_settled) {
            break;
        }
    }
    assert_eq!(pair.lost, [None, None], "seed {seed}");
    for (side, ledger) in ledgers.iter().enumerate() {
        assert!(ledger.is_settled(), "seed {seed}, side {side}: {:?}", ledger.ordered);
        assert!(ledger.next > 400, "messages were sent");
    }
    pair.run(Duration::from_secs(5));
    for link in &pair.links {
        assert!(link.outbox.is_settled());
        assert_eq!((link.outbox.bytes(), link.inbox.held()), (0, 0), "nothing is left");
    }
}

#[test]
fn every_lane_keeps_its_promise_in_fair_weather() {
    for seed in 0..4 {
        exchange(seed, Weather::FAIR, |_, _| {});
    }
}

#[test]
fn every_lane_keeps_its_promise_in_foul_weather() {
    for seed in 0..12 {
        exchange(seed, Weather::FOUL, |_, _| {});
    }
}

#[test]
fn every_lane_keeps_its_promise_when_the_path_carries_less_and_less() {
    for seed in 0..6 {
        exchange(seed, Weather { mtu: 1_500, ..Weather::FOUL }, |pair, round| {
            pair.weather.mtu = if round < 150 { 1_500 } else { 1_210 };
        });
    }
}

#[test]
fn every_lane_keeps_its_promise_across_outages_and_new_addresses() {
    for seed in 0..6 {
        exchange(seed, Weather::FOUL, |pair, round| {
            pair.weather.loss_permille = if round % 100 < 30 { 1_000 } else { 50 };
            if round % 70 == 69 {
                pair.client_address = address(&format!("10.0.{}.9:{}", round % 7, 1_000 + round));
            }
        });
    }
}
