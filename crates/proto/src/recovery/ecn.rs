//! Whether routers may mark the packets of a path where their queues grow (RFC 3168), and what the
//! peer counts of their marks.
//!
//! Some paths drop what may be marked, some mark everything, and some peers count wrongly. So each
//! path is tested with a few packets (after RFC 9000, 13.4.2 and A.4), and in doubt nothing is
//! marked on it: then only loss and the round trip tell of a queue. Whatever the peer counts, it
//! slows nobody but this sender, and only while packets leave that may be marked.

use std::time::Duration;

use moorline_link::Time;

use crate::notes::Notes;

/// How many packets a path is tested with. So many in a row that are lost later on test it again.
const TESTS: u8 = 10;
/// When so many of them are lost and none arrived, no more are risked.
const TESTS_LOST_MAX: u8 = 3;
/// How many marks may be told of later than the packets that had them, as acknowledgements are
/// lost and tell only of the latest packets.
const UNTOLD_MAX: u32 = 64;
/// The bits of the peer's count that travel.
const COUNT_MASK: u32 = 0xff_ffff;

/// What is known of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcnState {
    /// Its first packets show whether it carries what may be marked.
    Testing,
    /// It does.
    Capable,
    /// It does not, or its marks mean nothing.
    Failed,
    /// Nothing is ever marked, as this side was told.
    Off,
}

/// What is known and was counted of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcnStats {
    /// Whether the path carries them.
    pub state: EcnState,
    /// How many of this side's packets the peer counted with a router's mark.
    pub marks: u64,
}

/// The marks of one link's packets.
#[derive(Clone, Debug)]
pub struct Marking {
    state: EcnState,
    /// The number of the first packet that tests this path; those before went over another.
    tests_from: Option<u64>,
    tests_sent: u8,
    tests_acked: u8,
    /// How many marks were told of since the test began, as far as there are tests.
    tests_marked: u8,
    /// Tests that were lost; on a path that passed, those that were lost in a row.
    lost: u8,
    /// Packets that may be marked and arrived, of which no mark was told.
    untold: u32,
    /// The peer's count when it was told last.
    count: u32,
    /// When the first packet left that may be marked and is waited for, since one such arrived or
    /// was lost.
    waiting_since: Option<Time>,
    marks: u64,
}

impl Marking {
    /// A path of which nothing is known; or one on which nothing is marked.
    pub const fn new(is_on: bool) -> Self {
        Self {
            state: if is_on { EcnState::Testing } else { EcnState::Off },
            tests_from: None,
            tests_sent: 0,
            tests_acked: 0,
            tests_marked: 0,
            lost: 0,
            untold: 0,
            count: 0,
            waiting_since: None,
            marks: 0,
        }
    }

    /// Another path begins, of which nothing is known.
    pub const fn begin_path(&mut self) {
        if !matches!(self.state, EcnState::Off) {
            self.enter(EcnState::Testing);
        }
    }

    const fn enter(&mut self, state: EcnState) {
        let Self { untold, count, marks, .. } = *self;
        *self = Self { state, untold, count, marks, ..Self::new(true) };
    }

    /// Whether the next packet may be marked. One that nobody waits for says nothing of the path
    /// for long, so it tests none.
    pub const fn may_mark(&self, is_awaited: bool) -> bool {
        match self.state {
            EcnState::Testing => {
                let is_hopeless = self.lost >= TESTS_LOST_MAX && self.tests_acked == 0;
                is_awaited && self.tests_sent < TESTS && !is_hopeless
            }
            EcnState::Capable => true,
            EcnState::Failed | EcnState::Off => false,
        }
    }

    /// Whether so much time is over since a packet left that may be marked, and none arrived: then
    /// others leave unmarked, until it is known what became of it. Somebody who sends all the time
    /// would wait for ever on a path that began to drop what may be marked.
    pub fn is_silent(&self, now: Time, patience: Duration) -> bool {
        self.waiting_since.is_some_and(|since| now.since(since) > patience)
    }

    /// Tells that a packet left that may be marked, and whether the peer must acknowledge it.
    pub fn on_sent(&mut self, now: Time, number: u64, is_eliciting: bool) {
        if is_eliciting {
            self.waiting_since.get_or_insert(now);
        }
        if self.state == EcnState::Testing {
            self.tests_from.get_or_insert(number);
            self.tests_sent += 1;
        }
    }

    /// Tells that such a packet arrived, and whether it was taken for lost before. What the
    /// acknowledgement says of marks is told [afterwards](Self::on_told).
    pub fn on_ack(&mut self, number: u64, was_lost: bool) {
        self.untold += 1;
        self.waiting_since = None;
        match self.state {
            EcnState::Testing if self.is_test(number) => {
                self.tests_acked += 1;
                self.lost -= u8::from(was_lost && self.lost > 0);
            }
            EcnState::Capable => self.lost = 0,
            _ => {}
        }
    }

    /// Tells what an acknowledgement says that brought news: how many packets came with a mark.
    /// Whether some of them are new, so that the path is congested.
    pub fn on_told(&mut self, count: Option<u32>) -> bool {
        let count = count.unwrap_or(self.count);
        let grown = count.wrapping_sub(self.count) & COUNT_MASK;
        // An acknowledgement that was overtaken tells of less.
        let grown = if grown > COUNT_MASK / 2 { 0 } else { grown };
        self.count = self.count.wrapping_add(grown) & COUNT_MASK;
        let is_true = grown <= self.untold;
        self.untold = self.untold.saturating_sub(grown).min(UNTOLD_MAX);
        if matches!(self.state, EcnState::Failed | EcnState::Off) {
            return false;
        }
        if !is_true {
            self.enter(EcnState::Failed);
            return false;
        }
        self.marks += u64::from(grown);
        if self.state == EcnState::Testing {
            let marked = u32::from(self.tests_marked).saturating_add(grown);
            self.tests_marked = marked.min(TESTS.into()) as u8;
            self.judge();
        }
        grown > 0
    }

    /// Tells that a packet that may be marked is lost. How many losses the path is to blame for
    /// with that, as it drops such packets, and no congestion.
    pub fn on_lost(&mut self, number: u64) -> u8 {
        self.waiting_since = None;
        match self.state {
            EcnState::Testing if self.is_test(number) => {
                self.lost += 1;
                let lost = self.lost;
                let has_none = self.tests_acked == 0;
                self.judge();
                if has_none && self.state == EcnState::Failed { lost } else { 0 }
            }
            EcnState::Capable => {
                self.lost += 1;
                if self.lost >= TESTS {
                    self.enter(EcnState::Testing);
                }
                0
            }
            _ => 0,
        }
    }

    fn is_test(&self, number: u64) -> bool {
        self.tests_from.is_some_and(|from| number >= from)
    }

    /// One test that arrived as it left is enough; without one, all that are sent are waited for.
    fn judge(&mut self) {
        let is_settled = self.tests_acked + self.lost >= self.tests_sent;
        if self.tests_acked > self.tests_marked {
            self.enter(EcnState::Capable);
        } else if is_settled && !self.may_mark(true) {
            self.enter(EcnState::Failed);
        }
    }

    /// What it knows, while the link rests and no acknowledgement is waited for.
    pub(super) fn note<N: Notes>(&mut self, notes: &mut N) {
        let states = [EcnState::Testing, EcnState::Capable, EcnState::Failed, EcnState::Off];
        notes.one_of(&mut self.state, states);
        if self.state == EcnState::Testing {
            notes.option(&mut self.tests_from, N::number);
            let Self { tests_sent, tests_acked, tests_marked, .. } = self;
            for value in [tests_sent, tests_acked, tests_marked] {
                notes.small(value);
            }
        }
        notes.small(&mut self.lost);
        for value in [&mut self.untold, &mut self.count] {
            notes.small(value);
        }
        notes.number(&mut self.marks);
    }

    /// What is known and was counted.
    pub const fn stats(&self) -> EcnStats {
        EcnStats { state: self.state, marks: self.marks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000);

    /// Sends as many tests as may be, with numbers from `from` on.
    fn test(ecn: &mut Marking, from: u64) -> Vec<u64> {
        let sent: Vec<u64> = (from..).take_while(|number| send(ecn, *number)).take(100).collect();
        sent
    }

    fn send(ecn: &mut Marking, number: u64) -> bool {
        let is_marked = ecn.may_mark(true);
        if is_marked {
            ecn.on_sent(NOW, number, true);
        }
        is_marked
    }

    fn passed() -> Marking {
        let mut ecn = Marking::new(true);
        ecn.on_sent(NOW, 0, true);
        ecn.on_ack(0, false);
        assert!(!ecn.on_told(None));
        assert_eq!(ecn.stats().state, EcnState::Capable);
        ecn
    }

    #[test]
    fn a_path_is_tested_with_ten_packets_and_passes_with_the_first_that_arrives() {
        let mut ecn = Marking::new(true);
        assert!(!ecn.may_mark(false), "a packet that nobody waits for tests nothing");
        assert_eq!(test(&mut ecn, 3), (3..13).collect::<Vec<_>>());
        for number in 3..8 {
            assert_eq!(ecn.on_lost(number), 0);
        }
        assert_eq!(ecn.stats().state, EcnState::Testing);
        ecn.on_ack(12, false);
        assert!(!ecn.on_told(None));
        assert_eq!(ecn.stats().state, EcnState::Capable);
        assert!(ecn.may_mark(false) && ecn.may_mark(true));
    }

    #[test]
    fn a_path_that_loses_three_tests_and_carries_none_fails_and_is_to_blame_for_them() {
        let mut ecn = Marking::new(true);
        for number in [0, 5] {
            assert!(send(&mut ecn, number));
            assert_eq!(ecn.on_lost(number), 0);
        }
        assert!(send(&mut ecn, 9));
        assert_eq!(ecn.on_lost(9), 3);
        assert_eq!((ecn.stats().state, send(&mut ecn, 10)), (EcnState::Failed, false));
        ecn.begin_path();
        assert_eq!(test(&mut ecn, 11).len(), 10);
        let blamed: Vec<u8> = (11..21).map(|number| ecn.on_lost(number)).collect();
        assert_eq!(blamed, [0, 0, 0, 0, 0, 0, 0, 0, 0, 10], "all that were sent are waited for");
    }

    #[test]
    fn a_path_that_marks_every_test_fails_and_one_that_marks_some_does_not() {
        for marked in [9, 10] {
            let mut ecn = Marking::new(true);
            for number in test(&mut ecn, 0) {
                ecn.on_ack(number, false);
                assert_eq!(
                    ecn.on_told(Some((number as u32 + 1).min(marked))),
                    number < 9 || marked == 10
                );
            }
            let expected = if marked == 9 { EcnState::Capable } else { EcnState::Failed };
            assert_eq!(ecn.stats(), EcnStats { state: expected, marks: marked.into() });
        }
    }

    #[test]
    fn more_marks_than_packets_fail_the_path_and_slow_nobody() {
        let mut ecn = passed();
        ecn.on_sent(NOW, 1, true);
        ecn.on_ack(1, false);
        assert!(ecn.on_told(Some(1)));
        assert!(ecn.on_told(Some(2)), "two arrived, and one is told of late");
        assert!(!ecn.on_told(Some(3)));
        assert_eq!(ecn.stats(), EcnStats { state: EcnState::Failed, marks: 2 });
        let mut ecn = passed();
        for number in 1..1_000 {
            ecn.on_ack(number, false);
            ecn.on_told(None);
        }
        assert!(!ecn.on_told(Some(UNTOLD_MAX + 1)), "what is not told for so long never was");
        assert_eq!(ecn.stats().state, EcnState::Failed);
    }

    #[test]
    fn a_count_that_was_overtaken_or_wraps_is_no_false_one() {
        let mut ecn = passed();
        ecn.count = COUNT_MASK - 1;
        for number in 1..20 {
            ecn.on_ack(number, false);
        }
        assert!(ecn.on_told(Some(1)), "three more");
        assert!(!ecn.on_told(Some(COUNT_MASK)) && !ecn.on_told(None));
        assert!(ecn.on_told(Some(2)), "one more");
        assert_eq!(ecn.stats(), EcnStats { state: EcnState::Capable, marks: 4 });
    }

    #[test]
    fn another_path_is_tested_anew_and_what_is_left_of_the_last_one_is_no_test_of_it() {
        let mut ecn = passed();
        assert!(send(&mut ecn, 7));
        ecn.begin_path();
        ecn.on_ack(7, false);
        assert!(ecn.on_told(Some(1)), "its mark counts");
        assert_eq!(ecn.on_lost(6), 0);
        assert_eq!(ecn.stats().state, EcnState::Testing);
        assert_eq!(test(&mut ecn, 8).len(), 10);
    }

    #[test]
    fn a_path_that_passed_and_drops_ten_in_a_row_is_tested_again() {
        let mut ecn = passed();
        for number in 0..9 {
            ecn.on_lost(number);
        }
        ecn.on_ack(9, false);
        for number in 10..19 {
            ecn.on_lost(number);
        }
        assert_eq!(ecn.stats().state, EcnState::Capable);
        ecn.on_lost(19);
        assert_eq!(ecn.stats().state, EcnState::Testing);
    }

    #[test]
    fn what_may_be_marked_is_not_sent_on_and_on_into_silence() {
        let mut ecn = passed();
        let patience = Duration::from_millis(100);
        ecn.on_sent(NOW, 1, false);
        assert!(!ecn.is_silent(NOW + patience * 9, patience), "nobody waits for it");
        for number in 2..20 {
            ecn.on_sent(NOW + Duration::from_millis(number), number, true);
        }
        assert!(!ecn.is_silent(NOW + patience, patience));
        assert!(ecn.is_silent(NOW + patience + Duration::from_millis(3), patience));
        ecn.on_lost(2);
        assert!(!ecn.is_silent(NOW + patience * 9, patience), "another may try");
    }

    #[test]
    fn who_was_told_to_mark_nothing_never_does() {
        let mut ecn = Marking::new(false);
        ecn.begin_path();
        ecn.on_ack(3, false);
        assert!(!ecn.on_told(Some(1)));
        assert_eq!((ecn.stats().state, ecn.may_mark(true)), (EcnState::Off, false));
    }
}
