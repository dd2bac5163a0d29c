//! The way of one session through the lifecycle table, as its events tell it.

use moorline_session::lifecycle::{Answer, answer};
use moorline_session::{Event, Input, State};

use super::{Verdict, holds};

/// Where a session stands, by its events alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Path(State);

impl Path {
    pub(crate) fn walk(&mut self, event: &Event) -> Verdict {
        holds(event.from == self.0, || format!("after {} came: {event}", self.0))?;
        let is_legal = Input::ALL.into_iter().any(|input| match answer(event.from, input) {
            Answer::Go(to, kind) => (to, kind) == (event.to, event.kind),
            Answer::Tell(kind) => (event.from, kind) == (event.to, event.kind),
            Answer::Ignore | Answer::Refuse(_) => false,
        });
        self.0 = event.to;
        holds(is_legal, || format!("not in the table: {event}"))
    }
}

#[cfg(test)]
mod tests {
    use moorline_link::Time;
    use moorline_session::{EventKind, SessionId};

    use super::*;

    fn event(from: State, to: State, kind: EventKind) -> Event {
        Event {
            session: SessionId(1),
            kind,
            from,
            to,
            at: Time::ZERO,
            reason: None,
            identity: None,
            address: None,
            cause: moorline_session::Cause::Connect,
            totals: None,
            gap: None,
        }
    }

    #[test]
    fn a_way_through_the_table_is_legal_and_a_leap_or_a_gap_is_not() {
        let up =
            event(State::Disconnected, State::TransportConnected, EventKind::TransportConnected);
        let asks = event(State::TransportConnected, State::LoginPending, EventKind::LoginStarted);
        let leap = event(State::TransportConnected, State::LoggedIn, EventKind::LoginSucceeded);
        let mut path = Path::default();
        assert!(path.walk(&up).is_ok() && path.walk(&asks).is_ok());
        assert!(path.walk(&asks).is_err(), "it stands elsewhere");
        let mut path = Path::default();
        assert!(path.walk(&up).is_ok() && path.walk(&leap).is_err(), "not in the table");
    }
}
