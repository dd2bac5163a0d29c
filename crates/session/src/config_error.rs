//! The one way to say that a setting makes no sense.

use std::error::Error;
use std::fmt;

/// A setting that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    why: &'static str,
}

impl ConfigError {
    /// An error about `field`, unless `sensible`.
    ///
    /// # Errors
    /// When it is not sensible.
    pub const fn unless(
        sensible: bool,
        field: &'static str,
        why: &'static str,
    ) -> Result<(), Self> {
        if sensible { Ok(()) } else { Err(Self { field, why }) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.why)
    }
}

impl Error for ConfigError {}
