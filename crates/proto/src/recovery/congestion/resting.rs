//! What a window knows, while its link rests.

use std::time::Duration;

use super::{Congestion, CongestionStats, LossSample, Mode, Round};
use crate::notes::Notes;

impl Congestion {
    /// What it knows, while the link rests.
    pub(crate) fn note<N: Notes>(&mut self, notes: &mut N) {
        let Self { window, threshold, in_flight, packet_len, nature_permille, rate, .. } = self;
        // There is no threshold before the first loss: the largest number, which takes many bytes.
        let mut above = threshold.wrapping_add(1);
        for value in [window, &mut above, in_flight, packet_len, nature_permille, rate] {
            notes.number(value);
        }
        *threshold = above.wrapping_sub(1);
        notes.one_of(&mut self.mode, [Mode::SlowStart, Mode::Delay, Mode::Competitive]);
        let mut bucket_nanos = u64::try_from(self.standing.bucket().as_nanos()).unwrap_or(u64::MAX);
        notes.number(&mut bucket_nanos);
        self.standing.resize(Duration::from_nanos(bucket_nanos));
        self.standing.note(notes);
        self.round.note(notes);
        let LossSample { acked, lost } = &mut self.sample;
        notes.number(acked);
        notes.number(lost);
        for value in [&mut self.quiet_rounds, &mut self.policer_samples, &mut self.settling_rounds]
        {
            notes.small(value);
        }
        notes.option(&mut self.undrained_rounds, N::small);
        notes.flag(&mut self.is_marked);
        notes.time(&mut self.emptied_at);
        notes.option(&mut self.refill, N::number);
        notes.option(&mut self.sent_at, N::time);
        let CongestionStats { delay_backoffs, loss_backoffs, collapses, competitions, policers } =
            &mut self.stats;
        for value in [delay_backoffs, loss_backoffs, collapses, competitions, policers] {
            notes.number(value);
        }
    }
}

impl Round {
    fn note<N: Notes>(&mut self, notes: &mut N) {
        notes.time(&mut self.started);
        for value in [&mut self.end, &mut self.acked_bytes, &mut self.lost] {
            notes.number(value);
        }
        notes.option(&mut self.rtt_least, N::number);
        notes.flag(&mut self.is_limited);
    }
}
