//! How a link says good-bye.
//!
//! What was taken for sending goes out first, for a while. Then the good-bye is sent three times,
//! as nobody acknowledges it, and said again to whoever still speaks; and then all is forgotten.

use std::time::Duration;

use moorline_link::{Refusal, Time};

/// How often the good-bye is sent unasked.
const COPIES: u8 = 3;
/// How often it is sent in all.
const COPIES_MAX: u8 = 10;

#[derive(Debug)]
pub(super) enum Ending {
    /// The link lives.
    No,
    /// The last messages are on their way, until then.
    Lingering { farewell: Option<Refusal>, until: Time },
    /// The good-bye is said.
    Leaving(Leaving),
    /// Nothing is left to do.
    Over,
}

#[derive(Debug)]
pub(super) struct Leaving {
    farewell: Option<Refusal>,
    /// When to say it next.
    next_at: Time,
    interval: Duration,
    copies: u8,
    /// Packets that came since, which are answered ever more seldom.
    heard: u32,
}

impl Ending {
    pub(super) const fn is_no(&self) -> bool {
        matches!(self, Self::No)
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    pub(super) const fn leave(now: Time, farewell: Option<Refusal>, interval: Duration) -> Self {
        Self::Leaving(Leaving { farewell, next_at: now, interval, copies: 0, heard: 0 })
    }

    /// Ends the wait for the last messages when it is time.
    pub(super) fn on_settled(&mut self, now: Time, is_settled: bool, interval: Duration) {
        if let Self::Lingering { farewell, until } = self
            && (is_settled || now >= *until)
        {
            *self = Self::leave(now, farewell.take(), interval);
        }
    }

    /// The good-bye, if it is to be said now.
    pub(super) fn poll_farewell(&self, now: Time) -> Option<Option<&Refusal>> {
        match self {
            Self::Leaving(leaving) if now >= leaving.next_at && leaving.copies < COPIES_MAX => {
                Some(leaving.farewell.as_ref())
            }
            _ => None,
        }
    }

    pub(super) fn on_said(&mut self, now: Time) {
        if let Self::Leaving(leaving) = self {
            leaving.copies += 1;
            leaving.next_at = now + leaving.interval;
        }
    }

    /// The peer still speaks: it missed the good-bye.
    pub(super) fn on_packet(&mut self, now: Time) {
        if let Self::Leaving(leaving) = self {
            leaving.heard += 1;
            if leaving.heard.is_power_of_two() {
                leaving.next_at = now;
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        if let Self::Leaving(leaving) = self
            && leaving.copies >= COPIES
            && now >= leaving.next_at
        {
            *self = Self::Over;
        }
    }

    pub(super) const fn linger_until(&self) -> Option<Time> {
        match self {
            Self::Lingering { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// When the good-bye is said again, or all is over. Nothing else counts then.
    pub(super) const fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Leaving(leaving) => Some(leaving.next_at),
            _ => None,
        }
    }
}
