//! Which addresses are one party's.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use crate::rng::{KeyedState, Rng};

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

/// Something small of each address, of which most have none: they have the default. Those of IPv4
/// lie apart, as they take a third of the bytes.
#[derive(Clone, Debug)]
pub struct PerIp<T> {
    four: HashMap<[u8; 4], T, KeyedState>,
    six: HashMap<[u8; 16], T, KeyedState>,
}

impl<T: Copy + Default + PartialEq> PerIp<T> {
    /// No address has anything.
    pub fn new(rng: &mut Rng) -> Self {
        let hashing = KeyedState::new(rng);
        Self { four: HashMap::with_hasher(hashing), six: HashMap::with_hasher(hashing) }
    }

    /// Whether no address has anything.
    pub fn is_empty(&self) -> bool {
        self.four.is_empty() && self.six.is_empty()
    }

    /// What an address has.
    pub fn get(&self, ip: IpAddr) -> T {
        let found = match ip {
            IpAddr::V4(ip) => self.four.get(&ip.octets()),
            IpAddr::V6(ip) => self.six.get(&ip.octets()),
        };
        found.copied().unwrap_or_default()
    }

    /// Changes what an address has.
    pub fn change(&mut self, ip: IpAddr, change: impl FnOnce(&mut T)) {
        match ip {
            IpAddr::V4(ip) => change_in(&mut self.four, ip.octets(), change),
            IpAddr::V6(ip) => change_in(&mut self.six, ip.octets(), change),
        }
    }
}

fn change_in<K: Eq + Hash, T: Copy + Default + PartialEq>(
    map: &mut HashMap<K, T, KeyedState>,
    key: K,
    change: impl FnOnce(&mut T),
) {
    let mut value = map.get(&key).copied().unwrap_or_default();
    change(&mut value);
    if value != T::default() {
        map.insert(key, value);
    } else if map.remove(&key).is_some() && map.len() < map.capacity() / 4 {
        // A burst of strangers does not keep its memory.
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn of(text: &str) -> IpAddr {
        prefix(text.parse().expect("an address"))
    }

    #[test]
    fn what_is_the_default_again_is_forgotten_and_its_memory_given_back() {
        let mut counts = PerIp::<u32>::new(&mut Rng::new(1));
        let ips: Vec<IpAddr> = (0..1_000_u32)
            .flat_map(|ip| {
                let four = Ipv4Addr::from_bits(ip);
                [IpAddr::V4(four), IpAddr::V6(four.to_ipv6_mapped())]
            })
            .collect();
        ips.iter().for_each(|ip| counts.change(*ip, |count| *count += 2));
        ips.iter().for_each(|ip| counts.change(*ip, |count| *count -= 1));
        assert!(ips.iter().all(|ip| counts.get(*ip) == 1));
        ips.iter().for_each(|ip| counts.change(*ip, |count| *count -= 1));
        assert!(counts.is_empty() && counts.get(ips[0]) == 0);
        assert!(counts.four.capacity() < 16 && counts.six.capacity() < 16);
    }

    #[test]
    fn one_network_is_one_party_and_a_mapped_address_is_the_one_that_it_maps() {
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
