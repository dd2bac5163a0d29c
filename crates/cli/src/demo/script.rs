//! Who does what, and what both sides have to see of it.

use std::time::Duration;

use moorline::{EventKind, LivenessPolicy};

/// Heartbeats are quicker than by default, or a short demo could not show a timeout.
pub(super) fn liveness() -> LivenessPolicy {
    LivenessPolicy {
        sleep_tolerance: Duration::from_millis(300),
        ..LivenessPolicy::new(Duration::from_millis(400), Duration::from_millis(1_600))
    }
}

/// How long the host keeps the session of a client that vanished.
pub(super) const KEEP: Duration = Duration::from_millis(1_500);

/// The life that a session is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Stays to the end.
    Steady,
    /// Stops without a word; its session is kept for a while, then it ends.
    Vanishes,
    /// Stops without a word, and is back before its session ends.
    Returns,
    /// Says good-bye.
    LogsOut,
    /// Is not let in.
    Intruder,
    /// Is thrown out.
    Evicted,
}

/// A moment of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    Vanish,
    LogOut,
    Evict,
}

impl Cue {
    /// When each cue comes in a demo of this length.
    pub(super) fn timetable(length: Duration) -> [(Duration, Self); 3] {
        [
            (length.mul_f64(0.18), Self::Vanish),
            (length.mul_f64(0.36), Self::LogOut),
            (length.mul_f64(0.54), Self::Evict),
        ]
    }
}

impl Role {
    pub(super) const ALL: [Self; 6] =
        [Self::Steady, Self::Vanishes, Self::Returns, Self::LogsOut, Self::Intruder, Self::Evicted];

    /// One in twenty of each role that does something; the rest are steady.
    pub(super) const fn of(number: u32) -> Self {
        match number % 20 {
            1 => Self::Vanishes,
            2 => Self::Returns,
            3 => Self::LogsOut,
            4 => Self::Intruder,
            5 => Self::Evicted,
            _ => Self::Steady,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Vanishes => "vanishes",
            Self::Returns => "returns",
            Self::LogsOut => "logs-out",
            Self::Intruder => "intruder",
            Self::Evicted => "evicted",
        }
    }

    pub(super) fn session_name(self, number: u32) -> String {
        format!("{}-{number}", self.name())
    }

    /// The first session of this role.
    pub(super) fn example(self) -> String {
        let number = (0..20).find(|number| Self::of(*number) == self).unwrap_or(0);
        self.session_name(number)
    }

    /// What the host tells of the session, heartbeats and early warnings left out. Over KCP nothing
    /// is kept of a link that was lost, so nothing is told of it.
    pub(super) fn host_life(self, is_kcp: bool) -> Vec<EventKind> {
        use EventKind as E;
        let logged_in = [E::TransportConnected, E::LoginStarted, E::LoginSucceeded];
        let rest: &[EventKind] = match self {
            Self::Steady => &[],
            Self::Vanishes => &[E::TimedOut, E::ReconnectScheduled, E::Disconnected],
            // Its user comes in a new process, which knows nothing of the old one's link.
            Self::Returns => {
                let lost = [E::TimedOut, E::ReconnectScheduled, E::ReconnectStarted];
                let back = [E::TransportConnected, E::ContinuityLost, E::LoginStarted];
                let back = back.iter().filter(|kind| !is_kcp || **kind != E::ContinuityLost);
                let all = logged_in.iter().chain(&lost).chain(back);
                return all.copied().chain([E::LoginSucceeded]).collect();
            }
            Self::LogsOut | Self::Evicted => &[E::Disconnected],
            Self::Intruder => return self.refused_life(),
        };
        [&logged_in[..], rest].concat()
    }

    /// What the client tells of the session; of one that came back, what its second life tells.
    pub(super) fn client_life(self) -> Vec<EventKind> {
        use EventKind as E;
        let logged_in = [E::TransportConnected, E::LoginStarted, E::LoginSucceeded];
        let rest: &[EventKind] = match self {
            Self::Steady | Self::Vanishes | Self::Returns => &[],
            Self::LogsOut | Self::Evicted => &[E::Disconnected],
            Self::Intruder => return self.refused_life(),
        };
        [&logged_in[..], rest].concat()
    }

    fn refused_life(self) -> Vec<EventKind> {
        use EventKind as E;
        vec![E::TransportConnected, E::LoginStarted, E::LoginFailed, E::Disconnected]
    }
}

/// Whether an event belongs to the script: heartbeats come as they come, and on a busy machine an
/// early warning may come with them.
pub(super) const fn is_scripted(kind: EventKind) -> bool {
    !matches!(
        kind,
        EventKind::HeartbeatSent
            | EventKind::HeartbeatReceived
            | EventKind::Degraded
            | EventKind::Recovered
    )
}

/// Holds what was seen against what should have been.
pub(super) fn compare(
    side: &str,
    name: &str,
    expected: &[EventKind],
    seen: &[EventKind],
) -> Result<(), String> {
    if expected == seen {
        return Ok(());
    }
    Err(format!("{name}, {side}: expected {expected:?}, saw {seen:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_sessions_have_every_role() {
        for role in Role::ALL {
            assert!((0..10).any(|number| Role::of(number) == role), "{role:?}");
        }
    }

    #[test]
    fn a_life_that_differs_is_told_with_both_sides_of_it() {
        let expected = Role::Evicted.host_life(false);
        assert!(compare("host", "a", &expected, &expected).is_ok());
        let told = compare("host", "a", &expected, &[]).expect_err("differs");
        assert!(told.contains("expected [TransportConnected") && told.ends_with("saw []"));
    }

    #[test]
    fn in_the_shortest_demo_a_kept_session_still_expires_before_the_end() {
        let length = Duration::from_secs(5);
        let [(vanish, _), ..] = Cue::timetable(length);
        assert!(vanish + liveness().timeout + KEEP < length);
    }
}
