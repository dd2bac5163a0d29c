//! Which addresses are one party's.

use std::net::{IpAddr, Ipv6Addr};

/// What counts as one address: of IPv6, whoever has one has all of its /64; and an IPv4 address is
/// the same where it is written as one of IPv6.
pub fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> IpAddr {
        prefix(text.parse().expect("an address"))
    }

    #[test]
    fn one_network_is_one_party_and_a_mapped_address_is_the_one_that_it_maps() {
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
