//! Looks into every packet of the native protocol as it leaves, with the keys that its endpoint
//! told: no key is that of two links, and no number is used twice with one key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use moorline_proto::crypto::{LinkSecrets, OpenError, PacketKeys};
use moorline_proto::endpoint::KeyLog;
use moorline_proto::wire::{ConnectionId, Datagram, Direction, ShortHeader, Suite};

/// All keys of a run. A clone is the same ring.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(Arc<Mutex<Ring>>);

/// What one end of a link tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Client,
    Host,
}

#[derive(Debug, Default)]
struct Ring {
    /// Secrets of directions, by the end that told them.
    told: BTreeSet<(End, [u8; 32])>,
    links: Vec<Watched>,
    /// The link whose packets went to an address last.
    by_address: BTreeMap<SocketAddr, usize>,
    by_connection: BTreeMap<[u8; 8], Vec<usize>>,
    checked: u64,
    broken: Option<String>,
}

/// A receiver at the mouth of each sender: it misses nothing and gets everything in order.
#[derive(Debug)]
struct Watched {
    to_host: PacketKeys,
    to_client: PacketKeys,
}

#[derive(Debug)]
struct Listener {
    ring: KeyRing,
    end: End,
}

impl KeyRing {
    /// What an endpoint is given to tell its keys to.
    pub(crate) fn listener(&self, end: End) -> Arc<dyn KeyLog> {
        Arc::new(Listener { ring: self.clone(), end })
    }

    /// A datagram leaves. What cannot be opened is none of the links'.
    pub(crate) fn see(&self, direction: Direction, to: SocketAddr, datagram: &[u8]) {
        if let Ok(Datagram::Short(header)) = Datagram::parse(direction, datagram) {
            self.with(|ring| ring.see(direction, to, (&header, datagram)));
        }
    }

    /// What was found so far.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        self.with(|ring| ring.broken.clone().map_or(Ok(()), Err))
    }

    /// How many packets were looked into.
    pub(crate) fn checked(&self) -> u64 {
        self.with(|ring| ring.checked)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Ring) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyLog for Listener {
    fn on_link(&self, connection: ConnectionId, suite: Suite, secrets: &LinkSecrets) {
        self.ring.with(|ring| ring.add(self.end, connection, suite, secrets));
    }
}

impl Ring {
    fn add(&mut self, end: End, connection: ConnectionId, suite: Suite, secrets: &LinkSecrets) {
        let other = if end == End::Client { End::Host } else { End::Client };
        let mut is_known = false;
        for secret in [&secrets.to_host, &secrets.to_client] {
            let is_new = self.told.insert((end, *secret.as_bytes()));
            if !is_new {
                self.note(Err(format!("a {end:?} has a key of another link")));
            }
            is_known = self.told.contains(&(other, *secret.as_bytes()));
        }
        if !is_known {
            self.by_connection.entry(connection.0).or_default().push(self.links.len());
            self.links.push(Watched {
                to_host: PacketKeys::host(suite, secrets),
                to_client: PacketKeys::client(suite, secrets),
            });
        }
    }

    fn see(&mut self, direction: Direction, to: SocketAddr, packet: (&ShortHeader, &[u8])) {
        let likely = match (direction, packet.0.connection) {
            (Direction::ToHost, Some(id)) => {
                self.by_connection.get(&id.0).cloned().unwrap_or_default()
            }
            // A link is the one at that address, or one that moved there, most likely lately.
            _ => {
                let here = self.by_address.get(&to).copied();
                here.into_iter().chain((0..self.links.len()).rev()).collect()
            }
        };
        for index in likely {
            let Some(link) = self.links.get_mut(index) else { continue };
            match link.see(direction, packet) {
                None => {}
                Some(verdict) => {
                    if direction == Direction::ToClient {
                        self.by_address.insert(to, index);
                    }
                    self.checked += 1;
                    self.note(verdict);
                    return;
                }
            }
        }
    }

    fn note(&mut self, verdict: Result<(), String>) {
        if let (None, Err(what)) = (&self.broken, verdict) {
            self.broken = Some(what);
        }
    }
}

impl Watched {
    /// Whether a packet of this link has a number of its own; `None` if it is not of this link.
    fn see(
        &mut self,
        direction: Direction,
        (header, packet): (&ShortHeader, &[u8]),
    ) -> Option<Result<(), String>> {
        let keys = match direction {
            Direction::ToHost => &mut self.to_host,
            Direction::ToClient => &mut self.to_client,
        };
        match keys.opener.open(header, &mut packet.to_vec()) {
            Ok((opened, _)) => {
                let committed = keys.commit(opened);
                // Packets leave in the order of their numbers.
                let what = || format!("packet {:?} left late", committed.number);
                Some(if committed.is_newest { Ok(()) } else { Err(what()) })
            }
            Err(OpenError::Seen | OpenError::TooOld) => {
                let (number, _) = keys.opener.reopen(header, &mut packet.to_vec()).ok()?;
                Some(Err(format!("packet {number:?} left twice")))
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_proto::crypto::Secret;

    use super::*;

    const CONNECTION: ConnectionId = ConnectionId([9; 8]);

    fn secrets(byte: u8) -> LinkSecrets {
        let [to_host, to_client, resume, exporter] =
            [0, 1, 2, 3].map(|one| Secret::new([byte + one; Secret::LEN]));
        LinkSecrets { to_host, to_client, resume, exporter }
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// Two links that both ends told of, and the hosts' ends of them.
    fn two() -> (KeyRing, [PacketKeys; 2]) {
        let ring = KeyRing::default();
        for end in [End::Host, End::Client] {
            for byte in [10, 20] {
                ring.listener(end).on_link(CONNECTION, Suite::ChaCha, &secrets(byte));
            }
        }
        (ring, [10, 20].map(|byte| PacketKeys::host(Suite::ChaCha, &secrets(byte))))
    }

    fn packet(keys: &mut PacketKeys) -> Vec<u8> {
        let mut packet = Vec::new();
        let header = keys.sealer.begin(None, None, &mut packet).expect("fresh keys");
        packet.push(3);
        keys.sealer.seal(&header, &mut packet).expect("fresh keys");
        packet
    }

    #[test]
    fn packets_of_several_links_are_told_apart_and_a_number_that_is_used_twice_is_found() {
        let (ring, mut hosts) = two();
        let mut first = Vec::new();
        for _ in 0..5 {
            for (number, keys) in hosts.iter_mut().enumerate() {
                let packet = packet(keys);
                ring.see(Direction::ToClient, at(number as u16), &packet);
                first.push(packet);
            }
        }
        assert_eq!((ring.checked(), ring.verdict()), (10, Ok(())));
        // Not what was sealed with any of the keys.
        ring.see(Direction::ToClient, at(0), &[0x40; 40]);
        assert_eq!((ring.checked(), ring.verdict()), (10, Ok(())));
        ring.see(Direction::ToClient, at(1), &first[0]);
        assert!(ring.verdict().is_err());
    }

    #[test]
    fn a_key_that_is_told_twice_by_one_end_is_found() {
        let (ring, _) = two();
        assert_eq!(ring.verdict(), Ok(()));
        ring.listener(End::Host).on_link(ConnectionId([1; 8]), Suite::Aes, &secrets(20));
        assert!(ring.verdict().is_err());
    }
}
