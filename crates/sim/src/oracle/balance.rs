//! Bytes in and out of each address that is nobody yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use moorline_link::Port;

use super::{Verdict, holds};

/// What went to and came from each address since the host began.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    accounts: BTreeMap<(Port, SocketAddr), Account>,
    /// Where someone's login was answered: a second lane comes from another port there, and is
    /// known by the name that it says.
    answered: BTreeSet<IpAddr>,
    /// The most that was sent for what was received, in thousandths.
    pub(crate) worst_permille: u64,
}

#[derive(Debug, Default)]
struct Account {
    received: u64,
    sent: u64,
    /// Its login was answered: from there on it may be told more than it said.
    is_answered: bool,
    /// It said something after it was sent something.
    said_since_asked: bool,
}

impl Balance {
    /// Another host begins at the same addresses.
    pub(crate) fn forget_all(&mut self) {
        self.accounts.clear();
        self.answered.clear();
    }

    pub(crate) fn receive(&mut self, port: Port, from: SocketAddr, bytes: usize) {
        let account = self.accounts.entry((port, from)).or_default();
        account.received += bytes as u64;
        account.said_since_asked |= account.sent > 0;
    }

    pub(crate) fn answer(&mut self, to: SocketAddr) {
        self.accounts.entry((Port(0), to)).or_default().is_answered = true;
        self.answered.insert(to.ip());
    }

    /// Somebody who can read what is sent may be at an address. It counts if the address was asked
    /// and said something since.
    pub(crate) fn follow(&mut self, to: SocketAddr) {
        let account = self.accounts.entry((Port(0), to)).or_default();
        account.is_answered |= account.said_since_asked;
    }

    pub(crate) fn send(&mut self, port: Port, to: SocketAddr, bytes: usize) -> Verdict {
        let account = self.accounts.entry((port, to)).or_default();
        account.sent += bytes as u64;
        if account.is_answered || (port != Port(0) && self.answered.contains(&to.ip())) {
            return Ok(());
        }
        let Account { received, sent, .. } = *account;
        self.worst_permille = self.worst_permille.max(sent * 1_000 / received.max(1));
        holds(sent <= received, || format!("{to} sent {received} bytes and got {sent}"))
    }
}
