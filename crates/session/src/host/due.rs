//! What the timers bring.

use moorline_link::{Reason, Time, Transport};

use super::{Host, farewell};
use crate::event::SessionId;
use crate::lifecycle::{Input, State};
use crate::session::Due;

impl<T: Transport> Host<T> {
    /// A session's timer fired: does what is due, or only moves the timer on.
    pub(super) fn do_due(&mut self, now: Time, id: SessionId) {
        match self.next_due(id) {
            Some((at, due)) if at <= now => {
                self.on_due(now, id, due);
                self.arm(now, id);
            }
            later => self.table.arm(now, id, later.map(|(at, _)| at)),
        }
    }

    fn on_due(&mut self, now: Time, id: SessionId, due: Due) {
        self.cause = due.cause();
        match due {
            Due::Degrade => {
                self.step(now, id, Input::Degrade, None).ok();
            }
            Due::Silence => self.on_silence(now, id),
            Due::LoginDeadline => {
                self.remove(now, id, Reason::LoginDeadline(self.config.limits.login_time));
            }
            Due::ReauthDeadline => self.on_reauth_deadline(now, id),
            Due::HandOver => self.hand_over(now, id),
            Due::SendAway => self.send_away(now, id),
            Due::KeepExpired => self.remove(now, id, Reason::KeepExpired(self.config.keep_time)),
            Due::Beat | Due::AttemptStart | Due::AttemptTimeout => {
                debug_assert!(false, "{due:?} is the client's");
            }
        }
    }

    fn on_silence(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.table.by_id(id) else { return };
        let was_logged_in = session.state == State::LoggedIn;
        let reason = Reason::Silence(session.timeout(&self.config.liveness));
        self.counters.timed_out += 1;
        self.step(now, id, Input::Silence, Some(reason.clone())).ok();
        if was_logged_in {
            self.keep(now, id, reason);
        } else {
            self.drop_link(now, id, farewell(&reason).as_ref());
            self.remove(now, id, reason);
        }
    }
}
