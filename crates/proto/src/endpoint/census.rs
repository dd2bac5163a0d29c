//! How many links there are of each address, and how many of them wait for their client.

use std::net::IpAddr;
use std::time::Duration;

use moorline_link::Time;
use moorline_link::network::{PerIp, prefix};
use moorline_link::rng::Rng;

use super::config::EndpointConfig;

/// Over how long first packets are counted.
const RATE_TIME: Duration = Duration::from_secs(1);

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Links,
    Address,
    HalfOpen,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct OfPrefix {
    links: u32,
    half_open: u32,
}

/// Counts what a host admitted.
#[derive(Debug)]
pub(super) struct Census {
    links: usize,
    half_open: usize,
    prefixes: PerIp<OfPrefix>,
    /// Since when first packets are counted, and how many came.
    since: Time,
    hellos: u32,
    hellos_before: u32,
}

impl Census {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            links: 0,
            half_open: 0,
            prefixes: PerIp::new(rng),
            since: Time::ZERO,
            hellos: 0,
            hellos_before: 0,
        }
    }

    /// Counts a first packet. Whether there are so many that clients must show where they are.
    pub(super) fn is_loaded(&mut self, now: Time, config: &EndpointConfig) -> bool {
        let elapsed = now.since(self.since);
        if elapsed >= RATE_TIME {
            self.hellos_before = if elapsed < RATE_TIME * 2 { self.hellos } else { 0 };
            (self.hellos, self.since) = (0, now);
        }
        self.hellos = self.hellos.saturating_add(1);
        let rate = self.hellos.max(self.hellos_before);
        rate > config.hello_rate_max || self.half_open >= config.half_open_max / 8
    }

    /// Whether a link of this address may begin.
    pub(super) fn check(&self, config: &EndpointConfig, ip: IpAddr) -> Result<(), Limit> {
        let of = self.prefixes.get(prefix(ip));
        if self.links >= config.links_max {
            Err(Limit::Links)
        } else if of.links as usize >= config.links_per_address_max {
            Err(Limit::Address)
        } else if of.half_open as usize >= config.half_open_per_address_max {
            Err(Limit::HalfOpen)
        } else {
            Ok(())
        }
    }

    pub(super) const fn half_open(&self) -> usize {
        self.half_open
    }

    /// A link begins.
    pub(super) fn begin(&mut self, ip: IpAddr) {
        self.prefixes.change(prefix(ip), |of| {
            of.links += 1;
            of.half_open += 1;
        });
        self.links += 1;
        self.half_open += 1;
    }

    /// A link's client answered.
    pub(super) fn confirm(&mut self, ip: IpAddr) {
        self.prefixes.change(prefix(ip), |of| of.half_open = of.half_open.saturating_sub(1));
        self.half_open = self.half_open.saturating_sub(1);
    }

    /// A client answered from another address than it asked from, or went on to one.
    pub(super) fn moved(&mut self, from: IpAddr, to: IpAddr) {
        self.prefixes.change(prefix(to), |of| of.links += 1);
        self.links += 1;
        self.end(from, false);
    }

    /// A link is gone.
    pub(super) fn end(&mut self, ip: IpAddr, is_half_open: bool) {
        if is_half_open {
            self.confirm(ip);
        }
        self.links = self.links.saturating_sub(1);
        self.prefixes.change(prefix(ip), |of| of.links = of.links.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_limit_is_kept_and_given_back() {
        let config = EndpointConfig {
            links_max: 3,
            links_per_address_max: 2,
            half_open_per_address_max: 1,
            ..EndpointConfig::default()
        };
        let mut census = Census::new(&mut Rng::new(1));
        let (one, two, net) = (ip("192.0.2.1"), ip("192.0.2.2"), ip("2001:db8::1"));
        census.begin(one);
        assert_eq!(census.check(&config, one), Err(Limit::HalfOpen));
        assert_eq!(census.check(&config, ip("::ffff:192.0.2.1")), Err(Limit::HalfOpen));
        census.confirm(one);
        assert_eq!(census.check(&config, one), Ok(()));
        census.begin(one);
        census.confirm(one);
        assert_eq!(census.check(&config, one), Err(Limit::Address));
        census.begin(net);
        assert_eq!(census.check(&config, two), Err(Limit::Links));
        census.end(net, true);
        assert_eq!((census.check(&config, two), census.half_open()), (Ok(()), 0));
        census.begin(net);
        census.end(one, false);
        assert_eq!(census.check(&config, ip("2001:db8::2")), Err(Limit::HalfOpen), "one /64");
        assert_eq!(census.check(&config, ip("2001:db8:0:1::2")), Ok(()));
    }

    #[test]
    fn many_first_packets_are_a_load_and_a_quiet_second_ends_it() {
        let config = EndpointConfig { hello_rate_max: 3, ..EndpointConfig::default() };
        let mut census = Census::new(&mut Rng::new(1));
        let mut loaded = |millis| census.is_loaded(Time::from_millis(millis), &config);
        assert_eq!([10, 20, 30, 40].map(&mut loaded), [false, false, false, true]);
        assert!(loaded(1_050), "as the second before");
        assert!(!loaded(3_100));
    }
}
