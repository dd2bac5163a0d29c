//! What happened on the sockets, for the operator.

use std::io;

use crate::os;

/// What the sockets of one [`Sockets`](crate::Sockets) did since they were opened. Every number
/// only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received, the empty ones among them.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Errors on receiving, most of them what the network said of earlier datagrams.
    pub receive_errors: ErrorCounts,
    /// Datagrams that the system took for sending.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// How often the system could not take a datagram for the moment.
    pub send_would_block: u64,
    /// Datagrams that the system refused, which are lost.
    pub send_errors: ErrorCounts,
}

/// Errors by cause. The causes are few and fixed, so that a peer cannot grow a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    /// The peer's machine says that nobody listens on the port.
    pub refused: u64,
    /// There is no route, or a machine on it says that it ends there.
    pub unreachable: u64,
    /// The datagram is larger than the path takes.
    pub too_large: u64,
    /// A firewall or a missing right forbids it.
    pub denied: u64,
    /// Anything else.
    pub other: u64,
}

impl ErrorCounts {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { refused, unreachable, too_large, denied, other } = self;
        refused + unreachable + too_large + denied + other
    }

    pub(crate) fn count(&mut self, error: &io::Error) {
        let counter = match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => &mut self.refused,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => &mut self.unreachable,
            io::ErrorKind::PermissionDenied => &mut self.denied,
            _ if os::is_too_large(error) => &mut self.too_large,
            _ => &mut self.other,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_counted_once_under_its_cause() {
        let mut counts = ErrorCounts::default();
        counts.count(&io::ErrorKind::ConnectionRefused.into());
        counts.count(&io::ErrorKind::ConnectionReset.into());
        counts.count(&io::ErrorKind::NetworkUnreachable.into());
        counts.count(&io::ErrorKind::PermissionDenied.into());
        counts.count(&io::ErrorKind::OutOfMemory.into());
        let expected =
            ErrorCounts { refused: 2, unreachable: 1, too_large: 0, denied: 1, other: 1 };
        assert_eq!(counts, expected);
        assert_eq!(counts.total(), 5);
    }

    #[cfg(unix)]
    #[test]
    fn a_datagram_over_the_paths_limit_is_counted_as_too_large() {
        let mut counts = ErrorCounts::default();
        counts.count(&rustix::io::Errno::MSGSIZE.into());
        assert_eq!(counts, ErrorCounts { too_large: 1, ..ErrorCounts::default() });
    }
}
