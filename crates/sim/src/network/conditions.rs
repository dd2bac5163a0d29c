//! What a path does to what it carries.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// All of a thousand: what a permille can be at most.
pub const PERMILLE_MAX: u32 = 1_000;

/// What one direction of a path does to datagrams. The default does nothing at all.
///
/// Chances are per thousand and independent of each other; a datagram can be hit by several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// How long a datagram is under way. Default: none.
    pub delay: Duration,
    /// How much longer it may be, evenly from nothing up to this; later ones may overtake it.
    /// Default: none.
    pub jitter: Duration,
    /// What never arrives. Default: nothing.
    pub loss: Loss,
    /// How many arrive twice. A copy has a jitter, damage and detour of its own. Default: none.
    pub duplicate_permille: u32,
    /// How many make a detour, so that later ones overtake them. Default: none.
    pub reorder_permille: u32,
    /// How much longer the detour is. Shorter than the pause between datagrams, it reorders
    /// nothing. Default: 10 ms.
    pub reorder_by: Duration,
    /// How many have one to four neighbouring bytes changed. Default: none.
    pub corrupt_permille: u32,
    /// How many lose their end. Default: none.
    pub truncate_permille: u32,
    /// How many go on with a part of the datagram before them, so that they may be longer than
    /// they were. Default: none.
    pub splice_permille: u32,
    /// How many bytes a second fit through; the rest wait their turn. Default: no limit.
    pub rate_bytes_per_second: Option<u64>,
    /// How many bytes may wait for their turn; what comes to a full queue is dropped, but an empty
    /// one takes any datagram. The longest wait is this by the rate. Default: 256 KiB.
    pub queue_bytes_max: usize,
    /// Datagrams of more bytes vanish without a word. Default: no limit.
    pub mtu: Option<usize>,
    /// What becomes of datagrams that routers may mark. Default: nothing.
    pub routers: Routers,
    /// Whether nothing gets in any more; what is under way still arrives. Default: no.
    pub is_cut: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::None,
            duplicate_permille: 0,
            reorder_permille: 0,
            reorder_by: Duration::from_millis(10),
            corrupt_permille: 0,
            truncate_permille: 0,
            splice_permille: 0,
            rate_bytes_per_second: None,
            queue_bytes_max: 256 * 1024,
            mtu: None,
            routers: Routers::Idle,
            is_cut: false,
        }
    }
}

impl Conditions {
    /// Whether a path can be like this.
    ///
    /// # Errors
    /// The first thing that is impossible.
    pub const fn check(&self) -> Result<(), ConditionsError> {
        let loss = match self.loss {
            Loss::None => 0,
            Loss::Even { permille } | Loss::Bursts { permille, .. } => permille,
        };
        if loss > PERMILLE_MAX
            || self.duplicate_permille > PERMILLE_MAX
            || self.reorder_permille > PERMILLE_MAX
            || self.corrupt_permille > PERMILLE_MAX
            || self.truncate_permille > PERMILLE_MAX
            || self.splice_permille > PERMILLE_MAX
        {
            return Err(ConditionsError::MoreThanAll);
        }
        if let Loss::Bursts { permille, burst_len } = self.loss {
            let permille_max = Loss::bursts_permille_max(burst_len);
            if permille > permille_max {
                return Err(ConditionsError::BurstsTooDense { burst_len, permille_max });
            }
        }
        if self.reorder_permille > 0 && self.reorder_by.is_zero() {
            return Err(ConditionsError::NoDetour);
        }
        if matches!(self.rate_bytes_per_second, Some(0)) {
            return Err(ConditionsError::NoRate);
        }
        Ok(())
    }
}

/// Which datagrams never arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// None of them.
    #[default]
    None,
    /// Each with the same chance, whatever became of the one before it.
    Even {
        /// How many are lost.
        permille: u32,
    },
    /// Several in a row, then none for a while (a Gilbert-Elliott chain whose good state loses
    /// nothing and whose bad state loses everything).
    Bursts {
        /// How many are lost in the long run.
        permille: u32,
        /// How many in a row, on average; each burst is followed by at least one that arrives.
        burst_len: u32,
    },
}

impl Loss {
    /// The most that bursts of this mean length can lose, with one datagram between them.
    #[must_use]
    pub const fn bursts_permille_max(burst_len: u32) -> u32 {
        let len = burst_len as u64;
        (PERMILLE_MAX as u64 * len / (len + 1)) as u32
    }
}

/// What routers do to datagrams that they may mark (RFC 3168); the others are left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routers {
    /// Nothing.
    #[default]
    Idle,
    /// They mark what comes to a queue that is longer.
    MarkQueue {
        /// How long, in bytes.
        bytes: usize,
    },
    /// They mark each of them.
    MarkAll,
    /// They take the permission away.
    Bleach,
    /// They drop them.
    Drop,
}

/// Why a path cannot be like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionsError {
    /// A chance is above a thousand permille.
    MoreThanAll,
    /// Bursts of this mean length, with something between them, lose less than that.
    BurstsTooDense {
        /// The mean length that was asked for.
        burst_len: u32,
        /// The most that it can lose.
        permille_max: u32,
    },
    /// Something is to make a detour that takes no time.
    NoDetour,
    /// The rate is zero; a path that carries nothing is cut.
    NoRate,
}

impl fmt::Display for ConditionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreThanAll => f.write_str("a chance cannot be more than 100 %"),
            Self::BurstsTooDense { burst_len, permille_max } => {
                let (whole, tenth) = (permille_max / 10, permille_max % 10);
                write!(f, "bursts of {burst_len} can lose at most {whole}.{tenth} %")
            }
            Self::NoDetour => f.write_str("to reorder, the detour must take some time"),
            Self::NoRate => f.write_str("a rate of zero carries nothing: cut the path instead"),
        }
    }
}

impl Error for ConditionsError {}
