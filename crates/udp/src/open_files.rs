//! How many files, and so sockets, this process may have open.

/// Raises the number of files that this process may have open to `wanted`, or as near to it as the
/// system lets it, and returns the number now in force. Never lowers it.
///
/// A program with one socket a client needs this before it opens a thousand of them. Where there is
/// no such limit (Windows), `wanted` is returned.
#[cfg(unix)]
#[must_use]
pub fn raise_open_files_limit(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let before = getrlimit(Resource::Nofile);
    let reachable = before.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    // A privileged process may raise its maximum as well; everyone else gets as far as that.
    let attempts =
        [(wanted, before.maximum.map(|maximum| maximum.max(wanted))), (reachable, before.maximum)];
    for (current, maximum) in attempts {
        if before.current.is_none_or(|before| before >= current) {
            break;
        }
        if setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Returns `wanted`: this system has no limit to raise.
#[cfg(not(unix))]
#[must_use]
pub fn raise_open_files_limit(wanted: u64) -> u64 {
    wanted
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::raise_open_files_limit;

    #[test]
    fn the_limit_is_never_lowered() {
        let before = raise_open_files_limit(0);
        assert!(before > 0);
        assert_eq!(raise_open_files_limit(1), before);
        assert!(raise_open_files_limit(before) >= before);
    }
}
