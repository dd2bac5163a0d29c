//! How many conversations there are, in all, of each IP address and before their login.

use std::collections::HashMap;
use std::net::IpAddr;

use moorline_link::rng::{KeyedState, Rng};

use crate::config::KcpConfig;

/// How a conversation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A host's, of a link that is not logged in or a sync endpoint that belongs to nobody.
    Pending,
    /// A host's, otherwise.
    Settled,
    /// A client's own; not counted here.
    Own,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Links,
    Address,
    Pending,
}

/// The count of one UDP port.
#[derive(Debug)]
pub(crate) struct Census {
    all: usize,
    pending: usize,
    by_address: HashMap<IpAddr, usize, KeyedState>,
}

impl Census {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { all: 0, pending: 0, by_address: HashMap::with_hasher(KeyedState::new(rng)) }
    }

    /// Counts a pending conversation of `address` in, if the limits allow it.
    pub(crate) fn admit(&mut self, config: &KcpConfig, address: IpAddr) -> Result<(), Limit> {
        if self.all >= config.links_max {
            return Err(Limit::Links);
        }
        if self.pending >= config.pending_links_max {
            return Err(Limit::Pending);
        }
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= config.links_per_address_max {
            return Err(Limit::Address);
        }
        self.by_address.insert(address, of_address.saturating_add(1));
        self.all = self.all.saturating_add(1);
        self.pending = self.pending.saturating_add(1);
        Ok(())
    }

    /// A pending conversation is settled.
    pub(crate) const fn settle(&mut self, standing: &mut Standing) {
        if matches!(*standing, Standing::Pending) {
            *standing = Standing::Settled;
            self.pending = self.pending.saturating_sub(1);
        }
    }

    /// A conversation is gone.
    pub(crate) fn release(&mut self, mut standing: Standing, address: IpAddr) {
        if standing == Standing::Own {
            return;
        }
        self.settle(&mut standing);
        self.all = self.all.saturating_sub(1);
        if let Some(of_address) = self.by_address.get_mut(&address) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_holds_and_a_place_that_is_free_again_is_given_again() {
        let config = KcpConfig {
            links_max: 3,
            links_per_address_max: 2,
            pending_links_max: 2,
            ..KcpConfig::default()
        };
        let mut census = Census::new(&mut Rng::new(1));
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let mut standing = Standing::Pending;
        assert_eq!(census.admit(&config, address(1)), Ok(()));
        assert_eq!(census.admit(&config, address(1)), Ok(()));
        assert_eq!(census.admit(&config, address(2)), Err(Limit::Pending));
        census.settle(&mut standing);
        assert_eq!(census.admit(&config, address(1)), Err(Limit::Address));
        assert_eq!(census.admit(&config, address(2)), Ok(()));
        assert_eq!(census.admit(&config, address(3)), Err(Limit::Links));
        census.release(standing, address(1));
        census.release(Standing::Pending, address(1));
        census.release(Standing::Pending, address(2));
        assert_eq!((census.all, census.pending, census.by_address.len()), (0, 0, 0));
    }
}
