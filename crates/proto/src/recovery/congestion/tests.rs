use super::*;

/// A window whose rounds are driven by hand: all that it allows is sent, and answered after a
/// round trip of the given length.
struct Path {
    congestion: Congestion,
    rtt: Rtt,
    now: Time,
    next: u64,
}

impl Path {
    fn new() -> Self {
        let mut rtt = Rtt::new();
        rtt.on_ack(Time::ZERO, Duration::from_millis(50), Duration::ZERO);
        Self { congestion: Congestion::new(1_200), rtt, now: Time::ZERO, next: 0 }
    }

    /// The same after slow start, with room for a hundred packets.
    fn steady() -> Self {
        let mut path = Self::new();
        path.congestion.mode = Mode::Delay;
        path.congestion.window = 120_000;
        path
    }

    /// One round of as many packets as fit, or of `count` at most. Of a hundred, `lost_percent`
    /// are lost.
    fn round(&mut self, rtt_millis: u64, lost_percent: u64, count: u64) -> u64 {
        let mut sent = 0;
        while sent < count && self.congestion.in_flight + 1_200 <= self.congestion.window {
            self.congestion.on_sent(self.now, 1_200);
            sent += 1;
        }
        self.next += sent;
        self.now = self.now + Duration::from_millis(rtt_millis);
        self.rtt.on_ack(self.now, Duration::from_millis(rtt_millis), Duration::ZERO);
        for packet in 0..sent {
            let is_lost = packet * lost_percent / 100 != (packet + 1) * lost_percent / 100;
            if is_lost { self.congestion.on_lost(1_200) } else { self.congestion.on_ack(1_200) }
        }
        let largest = self.next - 1;
        let summary = AckSummary { largest, sent_end: self.next, is_measured: true };
        self.congestion.on_acks_told(self.now, summary, &self.rtt);
        self.congestion.window
    }

    fn full_round(&mut self, rtt_millis: u64, lost_percent: u64) -> u64 {
        self.round(rtt_millis, lost_percent, u64::MAX)
    }
}

#[test]
fn the_window_doubles_until_a_queue_stands() {
    let mut path = Path::new();
    assert_eq!(path.congestion.window_bytes(), 52_800);
    assert_eq!([path.full_round(50, 0), path.full_round(50, 0)], [105_600, 211_200]);
    path.full_round(70, 0);
    assert_eq!(path.congestion.mode(), Mode::Delay);
    assert!(path.congestion.window_bytes() <= 211_200);
}

#[test]
fn an_empty_queue_lets_it_grow_and_a_short_one_only_if_it_is_small() {
    let mut path = Path::steady();
    assert_eq!(path.full_round(50, 0), 123_600 + 123_600 / 64);
    let before = path.full_round(51, 0);
    assert!(before > 125_000, "{before}");
    assert!(path.full_round(57, 0) < before, "it gives way to smaller ones");
    path.congestion.window = 24_000;
    assert!(path.full_round(57, 0) > 24_000);
}

#[test]
fn a_standing_queue_shrinks_it_to_what_the_path_holds() {
    let mut path = Path::steady();
    let after = path.full_round(75, 0);
    assert!((75_000..=80_000).contains(&after), "{after}");
    assert!(!path.congestion.has_room_for_waste());
}

#[test]
fn a_queue_of_its_own_is_emptied_every_four_seconds() {
    let mut path = Path::steady();
    let mut least = u64::MAX;
    for _ in 0..90 {
        least = least.min(path.full_round(59, 0));
    }
    assert!(least < 102_000, "{least}");
}

#[test]
fn light_loss_without_a_queue_changes_nothing() {
    let mut path = Path::steady();
    for _ in 0..50 {
        let before = path.congestion.window_bytes();
        assert!(path.full_round(50, 5) >= before);
    }
    assert_eq!(path.congestion.stats().loss_backoffs, 0);
}

#[test]
fn loss_with_a_queue_shrinks_it_once_a_round_and_stops_copies_for_two() {
    let mut path = Path::steady();
    path.full_round(60, 0);
    let before = path.congestion.window_bytes();
    assert_eq!(path.full_round(60, 4), before * 70 / 100);
    assert!(!path.congestion.has_room_for_waste());
    path.full_round(50, 0);
    assert!(!path.congestion.has_room_for_waste());
    path.full_round(50, 0);
    assert!(path.congestion.has_room_for_waste());
}

#[test]
fn heavy_loss_and_marks_shrink_it_without_a_queue() {
    let mut path = Path::steady();
    path.full_round(50, 20);
    path.full_round(50, 20);
    let before = path.congestion.window_bytes();
    assert_eq!(path.full_round(50, 20), before * 70 / 100);
    path.congestion.on_marked();
    let before = path.congestion.window_bytes();
    assert_eq!(path.full_round(50, 0), before * 70 / 100);
}

#[test]
fn a_policer_is_given_what_it_lets_through() {
    let mut path = Path::steady();
    for _ in 0..30 {
        path.full_round(50, 30);
    }
    assert!(path.congestion.stats().policers > 0);
    assert!(path.congestion.window_bytes() < 60_000);
}

#[test]
fn a_queue_that_others_hold_is_competed_for_until_it_is_seen_empty() {
    let mut path = Path::steady();
    for _ in 0..8 {
        path.full_round(90, 0);
    }
    assert_eq!(path.congestion.mode(), Mode::Competitive);
    let before = path.congestion.window_bytes();
    assert_eq!(path.full_round(90, 0), before + 1_200);
    assert_eq!(path.full_round(90, 20), (before + 1_200) * 70 / 100);
    path.full_round(50, 0);
    path.full_round(50, 0);
    assert_eq!(path.congestion.mode(), Mode::Delay);
}

#[test]
fn a_window_that_is_not_used_does_not_grow_and_is_not_blamed_for_loss() {
    let mut path = Path::steady();
    for _ in 0..100 {
        path.round(50, 25, 4);
    }
    assert_eq!(path.congestion.window_bytes(), 120_000);
    assert!(path.congestion.has_room_for_waste());
}

#[test]
fn silence_leaves_four_packets_and_one_every_quarter_second() {
    let mut path = Path::steady();
    path.full_round(50, 0);
    path.congestion.on_collapse();
    assert_eq!(path.congestion.window_bytes(), 4_800);
    for _ in 0..4 {
        assert!(path.congestion.may_send(path.now, 1_200));
        path.congestion.on_sent(path.now, 1_200);
    }
    assert!(!path.congestion.may_send(path.now + Duration::from_millis(249), 1_200));
    assert!(path.congestion.may_send(path.now + FLOOR_INTERVAL, 1_200));
}

#[test]
fn nothing_brings_it_below_four_packets() {
    let mut path = Path::steady();
    for _ in 0..200 {
        path.congestion.on_marked();
        path.full_round(500, 40);
        assert!(path.congestion.window_bytes() >= 4_800);
    }
}

#[test]
fn another_path_begins_anew_and_what_is_on_its_way_stays_counted() {
    let mut path = Path::steady();
    path.congestion.on_sent(path.now, 1_200);
    path.congestion.on_migration(1_200);
    assert_eq!(path.congestion.mode(), Mode::SlowStart);
    assert_eq!(path.congestion.window_bytes(), 52_800);
    assert_eq!(path.congestion.in_flight_bytes(), 1_200);
}
