//! What an owner of sessions can set, and what makes no sense.

use std::time::Duration;

use moorline_link::Delivery;

use crate::config_error::ConfigError;
use crate::liveness::LivenessPolicy;

/// Everything a stranger or a peer can grow, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in all, kept ones included. Default: 4,096; half a kilobyte each, with all indexes,
    /// and whatever the transport needs for a link. Tables grow by doubling, which takes the login
    /// that does it about 50 ms with 100,000 sessions.
    pub sessions_max: usize,
    /// Sessions of one IP address that have a link. Default: 64; more than a household behind one
    /// address, less than would fill a host. Raise it for load tests from one machine.
    pub sessions_per_address_max: usize,
    /// Kept sessions in all; to keep one more, the one that was kept for longest ends. Default:
    /// 2,048, so that those who left cannot keep out those who come. Of one address no more are
    /// kept than [`sessions_per_address_max`](Self::sessions_per_address_max).
    pub kept_max: usize,
    /// Time from the first packet to a login that was accepted. Default: 5 s; traffic does not
    /// extend it.
    pub login_time: Duration,
    /// Events that may wait for the application. Default: 65,536, of 120 bytes each beside the
    /// payload of a message; when it is reached, nothing more is read from the network until some
    /// were taken.
    pub events_max: usize,
    /// Observers at a time. Default: 64; each looks at every event.
    pub observers_max: usize,
    /// Events that an observer keeps until they are taken. Default: 256; the oldest go first.
    pub observed_len_max: usize,
    /// Events of all sessions, but heartbeats, that are remembered for observers who come later.
    /// Default: 1,024, which are about 150 KB; the oldest are forgotten first. 0 remembers none.
    pub history_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 4_096,
            sessions_per_address_max: 64,
            kept_max: 2_048,
            login_time: Duration::from_secs(5),
            events_max: 65_536,
            observers_max: 64,
            observed_len_max: 256,
            history_max: 1_024,
        }
    }
}

/// What to do when an identity logs in that has a living session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicatePolicy {
    /// The newer login is refused, with the time after which a dead session would be gone.
    #[default]
    Refuse,
    /// The newer login wins; the older session ends as superseded.
    Supersede,
    /// As many sessions of one identity as this may live side by side.
    Allow(usize),
}

impl DuplicatePolicy {
    /// How many sessions of one identity there may be.
    pub(crate) const fn allowed(self) -> usize {
        match self {
            Self::Refuse | Self::Supersede => 1,
            Self::Allow(most) => most,
        }
    }
}

/// How a host treats its sessions. Plain data, checked once when the host is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// When a peer counts as gone.
    pub liveness: LivenessPolicy,
    /// How long a logged-in session is kept for a peer that was lost. Default: 30 s, a tunnel or a
    /// lift; zero keeps nothing.
    pub keep_time: Duration,
    /// Who wins when one identity logs in twice. Default: the one who is there.
    pub duplicate: DuplicatePolicy,
    /// What strangers and peers can cost.
    pub limits: Limits,
    /// Which kinds of message exist, and their lanes.
    pub delivery: Delivery,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            liveness: LivenessPolicy::default(),
            keep_time: Duration::from_secs(30),
            duplicate: DuplicatePolicy::default(),
            limits: Limits::default(),
            delivery: Delivery::default(),
        }
    }
}

impl HostConfig {
    /// Whether these settings can work together.
    ///
    /// # Errors
    /// Names the first field that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let positive = "must be more than zero";
        self.liveness.check()?;
        let limits = &self.limits;
        ConfigError::unless(limits.sessions_max > 0, "limits.sessions_max", positive)?;
        ConfigError::unless(
            limits.sessions_per_address_max > 0,
            "limits.sessions_per_address_max",
            positive,
        )?;
        ConfigError::unless(!limits.login_time.is_zero(), "limits.login_time", positive)?;
        ConfigError::unless(limits.events_max > 0, "limits.events_max", positive)?;
        ConfigError::unless(
            self.duplicate != DuplicatePolicy::Allow(0),
            "duplicate",
            "must allow at least one session an identity",
        )
    }
}
