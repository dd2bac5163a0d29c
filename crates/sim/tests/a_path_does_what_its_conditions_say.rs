//! One direction of a path: what it does to datagrams is what its conditions say, no more, and the
//! same again with the same seed.

use std::time::Duration;

use moorline_link::rng::Rng;
use moorline_link::{Ecn, Time};
use moorline_sim::network::{
    Conditions, ConditionsError, Direction, DirectionCounters, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX,
    Loss, Routers, SPLICED_BYTES_MAX,
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn path(conditions: Conditions, seed: u64) -> Direction<u64> {
    Direction::new(conditions, seed).expect("possible conditions")
}

/// Sends numbered datagrams, one a millisecond, and gives when each that arrived did so.
fn run(path: &mut Direction<u64>, count: u64) -> Vec<(Time, u64, Vec<u8>)> {
    let mut arrived = Vec::new();
    for number in 0..count {
        let now = Time::from_millis(number);
        take(path, now, &mut arrived);
        path.send(now, number, &number.to_be_bytes());
    }
    take(path, Time::from_micros(u64::MAX), &mut arrived);
    assert_accounted(path);
    arrived
}

/// Takes everything that arrives up to `now`, each at its own time.
fn take(path: &mut Direction<u64>, now: Time, arrived: &mut Vec<(Time, u64, Vec<u8>)>) {
    while let Some(at) = path.poll_timeout().filter(|at| *at <= now) {
        if at > Time::ZERO {
            let early = Time::from_micros(at.as_micros() - 1);
            assert_eq!(path.receive(early), None, "nothing arrives before its time");
        }
        let (number, datagram) = path.receive(at).expect("what was announced");
        arrived.push((at, number, datagram));
    }
    assert_eq!(path.receive(now), None, "all that arrives was announced");
}

fn assert_accounted(path: &Direction<u64>) {
    let DirectionCounters {
        sent,
        delivered,
        lost,
        cut,
        too_large,
        queue_dropped,
        mark_dropped,
        overflowed,
        duplicated,
        ..
    } = path.counters();
    let ended = delivered + lost + cut + too_large + queue_dropped + mark_dropped + overflowed;
    assert_eq!(sent + duplicated, ended + path.in_flight() as u64, "{:?}", path.counters());
}

fn numbers(arrived: &[(Time, u64, Vec<u8>)]) -> Vec<u64> {
    arrived.iter().map(|(_, number, _)| *number).collect()
}

/// The lengths of the gaps in numbers that count up.
fn bursts(arrived: &[u64], count: u64) -> Vec<u64> {
    let ends = arrived.iter().copied().chain([count]);
    let mut next = 0;
    let gaps = ends.map(|number| {
        let gap = number - next;
        next = number + 1;
        gap
    });
    gaps.filter(|gap| *gap > 0).collect()
}

#[test]
fn the_default_passes_everything_on_at_once_and_unchanged() {
    let mut path = path(Conditions::default(), 1);
    for (number, (at, tag, datagram)) in (0..).zip(run(&mut path, 1_000)) {
        assert_eq!((at, tag), (Time::from_millis(number), number));
        assert_eq!(datagram, number.to_be_bytes());
    }
    let all = DirectionCounters { sent: 1_000, delivered: 1_000, ..DirectionCounters::default() };
    assert_eq!(path.counters(), all);
}

#[test]
fn delay_is_exact_and_jitter_stays_within_its_bounds_and_reaches_both() {
    let (delay, jitter) = (20 * MILLISECOND, 10 * MILLISECOND);
    let arrived = run(&mut path(Conditions { delay, ..Conditions::default() }, 1), 100);
    for (at, number, _) in arrived {
        assert_eq!(at, Time::from_millis(number) + delay);
    }
    let arrived = run(&mut path(Conditions { delay, jitter, ..Conditions::default() }, 1), 2_000);
    let delays: Vec<Duration> =
        arrived.iter().map(|(at, number, _)| at.since(Time::from_millis(*number))).collect();
    let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!(delay <= *least && *least < delay + MILLISECOND / 10, "{least:?}");
    assert!(delay + jitter - MILLISECOND / 10 < *most && *most <= delay + jitter, "{most:?}");
    assert!(!numbers(&arrived).is_sorted(), "jitter lets some overtake others");
}

#[test]
fn without_jitter_and_detours_nothing_overtakes_whatever_else_happens_and_changes() {
    let mut dice = Rng::new(5);
    let mut path = path(Conditions::default(), 5);
    let mut arrived = Vec::new();
    for number in 0..5_000 {
        let now = Time::from_millis(number);
        if number % 10 == 0 {
            let conditions = Conditions {
                delay: dice.up_to(100 * MILLISECOND),
                loss: Loss::Bursts { permille: 100, burst_len: 3 },
                duplicate_permille: 100,
                corrupt_permille: 100,
                rate_bytes_per_second: (dice.below(2) == 0).then_some(10_000),
                ..Conditions::default()
            };
            path.set(conditions).expect("possible conditions");
        }
        take(&mut path, now, &mut arrived);
        path.send(now, number, &number.to_be_bytes());
    }
    take(&mut path, Time::from_micros(u64::MAX), &mut arrived);
    assert!(numbers(&arrived).is_sorted() && arrived.len() > 4_000, "{}", arrived.len());
    assert_accounted(&path);
}

#[test]
fn even_loss_is_as_much_as_was_asked_for_and_comes_one_at_a_time() {
    const COUNT: u64 = 100_000;
    for (seed, permille) in [(1, 10), (2, 50), (3, 300), (4, 900)] {
        let loss = Loss::Even { permille };
        let mut path = path(Conditions { loss, ..Conditions::default() }, seed);
        let arrived = numbers(&run(&mut path, COUNT));
        let lost = path.counters().lost as f64 / COUNT as f64;
        let asked = f64::from(permille) / 1_000.0;
        // Five standard deviations of a fair draw.
        let tolerance = 5.0 * (asked * (1.0 - asked) / COUNT as f64).sqrt();
        assert!((lost - asked).abs() < tolerance, "{permille}: {lost}");
        let bursts = bursts(&arrived, COUNT);
        let mean = bursts.iter().sum::<u64>() as f64 / bursts.len() as f64;
        let fair = 1.0 / (1.0 - asked);
        assert!((mean - fair).abs() < 0.05 * fair, "{permille}: {mean} in a row");
    }
}

#[test]
fn bursts_lose_as_much_as_was_asked_for_in_rows_of_the_mean_length() {
    const COUNT: u64 = 400_000;
    for (seed, permille, burst_len) in [(1, 50, 1), (2, 50, 5), (3, 200, 20), (4, 500, 1)] {
        let loss = Loss::Bursts { permille, burst_len };
        let mut path = path(Conditions { loss, ..Conditions::default() }, seed);
        let bursts = bursts(&numbers(&run(&mut path, COUNT)), COUNT);
        let asked = f64::from(permille) / 1_000.0;
        let lost = path.counters().lost as f64 / COUNT as f64;
        assert!((lost - asked).abs() < 0.05 * asked, "{permille}/{burst_len}: {lost}");
        let mean = bursts.iter().sum::<u64>() as f64 / bursts.len() as f64;
        let asked = f64::from(burst_len);
        assert!((mean - asked).abs() < 0.05 * asked, "{permille}/{burst_len}: {mean} in a row");
        let longest = *bursts.iter().max().expect("bursts");
        assert_eq!(longest == 1, burst_len == 1, "{permille}/{burst_len}: {longest} at most");
    }
}

#[test]
fn all_is_lost_at_a_thousand_permille_and_nothing_at_zero() {
    for (permille, arrived) in [(1_000, 0), (0, 500)] {
        let loss = Loss::Even { permille };
        let mut path = path(Conditions { loss, ..Conditions::default() }, 1);
        assert_eq!(run(&mut path, 500).len(), arrived);
    }
}

#[test]
fn copies_and_detours_are_as_many_as_was_asked_for() {
    const COUNT: u64 = 20_000;
    let conditions = Conditions { duplicate_permille: 100, ..Conditions::default() };
    let mut twice = path(conditions, 1);
    let arrived = run(&mut twice, COUNT);
    let copies = twice.counters().duplicated;
    assert_eq!(arrived.len() as u64, COUNT + copies);
    assert!((1_800..2_200).contains(&copies), "{copies}");
    assert!(numbers(&arrived).is_sorted(), "a copy follows what it is a copy of");

    let conditions = Conditions { reorder_permille: 100, ..Conditions::default() };
    let mut detour = path(conditions, 2);
    let arrived = run(&mut detour, COUNT);
    let late = arrived.iter().filter(|(at, number, _)| *at > Time::from_millis(*number)).count();
    assert_eq!(late as u64, detour.counters().reordered);
    assert!((1_800..2_200).contains(&late), "{late}");
    assert!(arrived.iter().all(|(at, number, _)| {
        let delay = at.since(Time::from_millis(*number));
        delay.is_zero() || delay == conditions.reorder_by
    }));
    let mut sorted = numbers(&arrived);
    assert!(!sorted.is_sorted());
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..COUNT), "each arrives once");
}

#[test]
fn each_kind_of_damage_does_what_it_says_and_as_often() {
    let sent = |number: u64| [number.to_be_bytes(); 8].concat();
    let damaged = |conditions| {
        let mut path = path(conditions, 3);
        let mut arrived = Vec::new();
        for number in 1..=10_000 {
            path.send(Time::ZERO, number, &sent(number));
            let (number, datagram) = path.receive(Time::ZERO).expect("it arrives");
            if datagram != sent(number) {
                arrived.push((number, datagram));
            }
        }
        (arrived, path.counters())
    };

    let (arrived, counters) = damaged(Conditions { corrupt_permille: 50, ..Default::default() });
    assert_eq!(arrived.len() as u64, counters.corrupted, "what is corrupted differs");
    assert!((400..600).contains(&arrived.len()), "{}", arrived.len());
    for (number, datagram) in arrived {
        let sent = sent(number);
        assert_eq!(datagram.len(), sent.len());
        let differ: Vec<usize> = (0..sent.len()).filter(|&at| sent[at] != datagram[at]).collect();
        assert!(differ.len() <= 4 && differ[differ.len() - 1] - differ[0] < 4, "{differ:?}");
    }

    let (arrived, counters) = damaged(Conditions { truncate_permille: 50, ..Default::default() });
    assert_eq!(arrived.len() as u64, counters.truncated, "what is truncated differs");
    assert!((400..600).contains(&arrived.len()), "{}", arrived.len());
    assert!(arrived.iter().all(|(number, datagram)| sent(*number).starts_with(datagram)));

    let (arrived, counters) = damaged(Conditions { splice_permille: 50, ..Default::default() });
    assert!((400..600).contains(&counters.spliced), "{counters:?}");
    assert!(arrived.iter().any(|(number, datagram)| datagram.len() > sent(*number).len()));
    for (number, datagram) in arrived {
        let (own, previous) = (sent(number), sent(number - 1));
        let is_spliced =
            |head| own.starts_with(&datagram[..head]) && previous.ends_with(&datagram[head..]);
        assert!((0..=datagram.len()).any(is_spliced), "{number}: {datagram:?}");
    }
}

#[test]
fn damage_bears_datagrams_of_any_length() {
    let conditions = Conditions {
        corrupt_permille: 1_000,
        truncate_permille: 500,
        splice_permille: 1_000,
        ..Conditions::default()
    };
    let mut path = path(conditions, 1);
    for len in [0, 0, 1, 0, 65_507, 65_507, 65_507, 0, 65_507, 1] {
        for _ in 0..20 {
            path.send(Time::ZERO, 0, &vec![7; len]);
            let (_, datagram) = path.receive(Time::ZERO).expect("it arrives");
            assert!(datagram.len() <= SPLICED_BYTES_MAX);
        }
    }
}

#[test]
fn a_rate_spaces_datagrams_without_rounding_and_a_full_queue_drops_the_last() {
    let conditions = Conditions {
        rate_bytes_per_second: Some(30_000),
        queue_bytes_max: 1_000,
        delay: 5 * MILLISECOND,
        ..Conditions::default()
    };
    let mut path = path(conditions, 1);
    for number in 0..12 {
        path.send(Time::ZERO, number, &[0; 100]);
    }
    assert_eq!(path.counters().queue_dropped, 2);
    let mut arrived = Vec::new();
    take(&mut path, Time::from_millis(100), &mut arrived);
    assert_eq!(numbers(&arrived), (0..10).collect::<Vec<_>>(), "the last ones are dropped");
    let times: Vec<u64> = arrived.iter().map(|(at, ..)| at.as_micros() - 5_000).collect();
    assert_eq!(
        times,
        [3_334, 6_667, 10_000, 13_334, 16_667, 20_000, 23_334, 26_667, 30_000, 33_334]
    );

    let later = Time::from_millis(200);
    path.send(later, 0, &[0; 2_000]);
    path.send(later, 1, &[0; 1]);
    assert_eq!(path.counters().queue_dropped, 3, "an empty queue takes any, a full one nothing");
    let arrives = later + Duration::from_micros(66_667) + 5 * MILLISECOND;
    assert_eq!(path.poll_timeout(), Some(arrives));
}

#[test]
fn in_the_long_run_as_much_passes_as_the_rate_says() {
    let rate = 100_000;
    let conditions = Conditions {
        rate_bytes_per_second: Some(rate),
        queue_bytes_max: 10_000,
        ..Conditions::default()
    };
    let mut path = path(conditions, 1);
    let mut arrived = Vec::new();
    for number in 0..10_000 {
        let now = Time::from_millis(number);
        take(&mut path, now, &mut arrived);
        path.send(now, number, &[0; 300]);
    }
    let passed = arrived.len() as u64 * 300;
    assert!(passed.abs_diff(rate * 10) < 1_000, "{passed} bytes in ten seconds");
    let waits = arrived.iter().map(|(at, number, _)| at.since(Time::from_millis(*number)));
    assert!(waits.max().unwrap() <= 100 * MILLISECOND, "no wait is longer than the queue");
}

#[test]
fn what_is_longer_than_the_path_allows_vanishes() {
    let mut path = path(Conditions { mtu: Some(100), ..Conditions::default() }, 1);
    path.send(Time::ZERO, 1, &[0; 100]);
    path.send(Time::ZERO, 2, &[0; 101]);
    assert_eq!(path.receive(Time::ZERO), Some((1, vec![0; 100])));
    assert_eq!(path.receive(Time::ZERO), None);
    assert_eq!(path.counters().too_large, 1);
}

#[test]
fn a_cut_lets_nothing_in_what_is_under_way_arrives_and_healing_helps() {
    let open = Conditions { delay: 10 * MILLISECOND, ..Conditions::default() };
    let mut path = path(open, 1);
    path.send(Time::ZERO, 1, b"before");
    path.set(Conditions { is_cut: true, ..open }).expect("possible");
    path.send(Time::ZERO, 2, b"while");
    path.set(open).expect("possible");
    path.send(Time::ZERO, 3, b"after");
    let at = Time::from_millis(10);
    assert_eq!(path.receive(at), Some((1, b"before".to_vec())));
    assert_eq!(path.receive(at), Some((3, b"after".to_vec())));
    assert_eq!((path.receive(at), path.counters().cut), (None, 1));
}

#[test]
fn the_same_seed_gives_the_same_fates_and_another_seed_others() {
    let conditions = Conditions {
        delay: 10 * MILLISECOND,
        jitter: 30 * MILLISECOND,
        loss: Loss::Bursts { permille: 100, burst_len: 4 },
        duplicate_permille: 50,
        reorder_permille: 50,
        corrupt_permille: 50,
        truncate_permille: 50,
        splice_permille: 50,
        rate_bytes_per_second: Some(7_000),
        ..Conditions::default()
    };
    let story = |seed| run(&mut path(conditions, seed), 2_000);
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}

#[test]
fn what_happens_to_one_datagram_shifts_no_others_loss() {
    let calm = Conditions { loss: Loss::Even { permille: 100 }, ..Conditions::default() };
    let rough = Conditions { corrupt_permille: 500, reorder_permille: 500, ..calm };
    let mut both = [calm, rough].map(|conditions| numbers(&run(&mut path(conditions, 9), 2_000)));
    both.iter_mut().for_each(|numbers| numbers.sort_unstable());
    assert_eq!(both[0], both[1]);
}

#[test]
fn what_is_under_way_is_bounded_in_number_and_in_bytes() {
    let late = Conditions { delay: Duration::from_secs(3_600), ..Conditions::default() };
    let mut many = path(late, 1);
    for _ in 0..IN_FLIGHT_MAX + 10 {
        many.send(Time::ZERO, 0, b"");
    }
    assert_eq!((many.in_flight(), many.counters().overflowed), (IN_FLIGHT_MAX, 10));

    let mut large = path(late, 1);
    let datagram = vec![0; 65_000];
    let fit = IN_FLIGHT_BYTES_MAX / datagram.len();
    for _ in 0..fit + 10 {
        large.send(Time::ZERO, 0, &datagram);
    }
    assert_eq!((large.in_flight(), large.counters().overflowed), (fit, 10));
    let hour = Time::ZERO + late.delay;
    while large.receive(hour).is_some() {}
    large.send(hour, 0, &datagram);
    assert_eq!((large.in_flight(), large.counters().overflowed), (1, 10), "there is room again");
}

#[test]
fn a_clock_that_goes_back_or_ends_disturbs_nothing() {
    let conditions = Conditions {
        delay: Duration::MAX,
        rate_bytes_per_second: Some(u64::MAX),
        ..Conditions::default()
    };
    let mut path = path(conditions, 1);
    for micros in [u64::MAX, 0, 5, u64::MAX, 1] {
        path.send(Time::from_micros(micros), micros, b"when");
    }
    let end = Time::from_micros(u64::MAX);
    assert_eq!(path.poll_timeout(), Some(end));
    assert_eq!(std::iter::from_fn(|| path.receive(end)).count(), 5);
}

#[test]
fn impossible_conditions_are_refused_and_change_nothing() {
    let base = Conditions::default();
    let bursts = |permille, burst_len| Loss::Bursts { permille, burst_len };
    let table = [
        (Conditions { loss: Loss::Even { permille: 1_001 }, ..base }, "100 %"),
        (Conditions { loss: bursts(1_001, 5), ..base }, "100 %"),
        (Conditions { duplicate_permille: 1_001, ..base }, "100 %"),
        (Conditions { reorder_permille: 1_001, ..base }, "100 %"),
        (Conditions { corrupt_permille: 1_001, ..base }, "100 %"),
        (Conditions { truncate_permille: 1_001, ..base }, "100 %"),
        (Conditions { splice_permille: 1_001, ..base }, "100 %"),
        (Conditions { loss: bursts(834, 5), ..base }, "bursts of 5 can lose at most 83.3 %"),
        (Conditions { loss: bursts(1, 0), ..base }, "bursts of 0 can lose at most 0.0 %"),
        (
            Conditions { reorder_permille: 1, reorder_by: Duration::ZERO, ..base },
            "the detour must take some time",
        ),
        (Conditions { rate_bytes_per_second: Some(0), ..base }, "cut the path instead"),
    ];
    let mut path = path(base, 1);
    for (conditions, expected) in table {
        let error: ConditionsError = path.set(conditions).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(Direction::<u64>::new(conditions, 1).err(), Some(error));
        assert_eq!(*path.conditions(), base);
    }
    assert_eq!(Conditions { loss: bursts(833, 5), ..base }.check(), Ok(()));
}

/// What becomes of a datagram that routers may mark, and of one that they may not.
fn routed(conditions: Conditions) -> [Option<Ecn>; 2] {
    let mut path = path(conditions, 1);
    let routed = [Ecn::Capable, Ecn::NotCapable].map(|ecn| {
        path.send_with(Time::ZERO, (1, ecn), b"datagram");
        path.receive_with(Time::from_millis(1_000)).map(|(_, ecn, _)| ecn)
    });
    assert_accounted(&path);
    routed
}

#[test]
fn routers_do_what_they_are_told_to_what_they_may_mark_and_nothing_to_the_rest() {
    let expected = [
        (Routers::Idle, Some(Ecn::Capable)),
        (Routers::MarkAll, Some(Ecn::Congested)),
        (Routers::Bleach, Some(Ecn::NotCapable)),
        (Routers::Drop, None),
        (Routers::MarkQueue { bytes: 100 }, Some(Ecn::Capable)),
    ];
    for (routers, mark) in expected {
        let conditions = Conditions { routers, ..Conditions::default() };
        assert_eq!(routed(conditions), [mark, Some(Ecn::NotCapable)], "{routers:?}");
    }
}

#[test]
fn a_queue_marks_what_comes_when_it_is_long_and_nothing_before() {
    let routers = Routers::MarkQueue { bytes: 500 };
    let rate_bytes_per_second = Some(100_000);
    let mut path = path(Conditions { routers, rate_bytes_per_second, ..Conditions::default() }, 1);
    for number in 0..8 {
        path.send_with(Time::ZERO, (number, Ecn::Capable), &[0; 100]);
    }
    let marks = std::iter::from_fn(|| path.receive_with(Time::from_millis(100)));
    let marked: Vec<u64> =
        marks.filter(|(_, ecn, _)| *ecn == Ecn::Congested).map(|(number, ..)| number).collect();
    assert_eq!((marked, path.counters().marked), (vec![5, 6, 7], 3));
}
