//! How strings, amounts and times are written.

use std::fmt;
use std::time::{Duration, SystemTime};

use moorline_link::identity::Printable;

/// A string on one line. Names and reasons come from peers, and a report file from anyone.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(self.0.as_bytes()).fmt(f)
    }
}

/// An amount of bytes in the unit that suits it.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        let mut amount = self.0 as f64 / 1000.0;
        let mut unit = 0;
        // 999.95 would round to 1000.0.
        while amount >= 999.95 && unit + 1 < UNITS.len() {
            amount /= 1000.0;
            unit += 1;
        }
        write!(f, "{amount:.1} {}", UNITS[unit])
    }
}

/// ISO 8601 in UTC with milliseconds. A clock that is set before 1970 or after 9999 gives the
/// nearest time that can be written: a wrong clock is no reason to lose the report.
pub(crate) fn iso8601(at: SystemTime) -> String {
    const LAST: Duration = Duration::new(253_402_300_799, 999_000_000);
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch).to_string()
}

/// Milliseconds with three decimals.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_8601_whatever_the_clock_says() {
        let epoch = SystemTime::UNIX_EPOCH;
        let at = epoch + Duration::from_millis(1_700_000_000_123);
        assert_eq!(iso8601(at), "2023-11-14T22:13:20.123Z");
        assert_eq!(iso8601(epoch - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        let late = epoch + Duration::from_secs(400_000_000_000);
        assert_eq!(iso8601(late), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn bytes_have_the_unit_that_suits_them() {
        let shown = [0, 999, 1000, 999_949, 999_950, u64::MAX].map(|n| Bytes(n).to_string());
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "18446.7 PB"]);
    }
}
