//! What carries a run, and what it promises.

use std::fmt;
use std::time::Duration;

use moorline_kcp::{KcpConfig, KcpEndpoint, SyncPort};
use moorline_link::Transport;
use moorline_link::memory::Memory;
use moorline_link::rng::Rng;
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{EndpointConfig, Sibling};

use crate::keys::{End, KeyRing};
use crate::siblings::Siblings;

/// What a transport promises, so that the oracles ask for no more, and for no less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// It notices damage by itself. For others the world does what the kernel does: a datagram
    /// whose UDP checksum is wrong never arrives, and goes to a stranger's account instead.
    pub notices_damage: bool,
    /// What is sent reliably arrives once and in order while the link lives, and of what is
    /// replaced none arrives after a newer one.
    pub delivers: bool,
    /// Of what is replaced the newest arrives, if the link lives. KCP drops it with a sync lane
    /// that it gives up.
    pub newest_arrives: bool,
    /// Nothing of a link that ended is taken for one that lives. KCP has nothing to tell by: the
    /// first datagram of a link, repeated to a host that was started anew or gave the link up, or
    /// from another address, begins one there in whose middle the client already is; and on the
    /// sync lane a name and an IP address are all there is. Of links that were so mixed up nothing
    /// is asked.
    pub tells_links_apart: bool,
    /// It knows a peer by its keys and not by its address: a whole copy of a datagram counts once,
    /// whoever brings it first, and a client that is seen at a new address is followed there once
    /// it answered from there.
    pub knows_peers_by_key: bool,
    /// Before a login is answered, an address gets no more bytes than it sent.
    pub never_amplifies: bool,
    /// A session whose link died goes on with the next one where it stopped, or says that it does
    /// not.
    pub continues: bool,
}

/// What one endpoint is to be like.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What is random in it.
    pub seed: u64,
    /// The host's second port, if the run has one.
    pub sync_port: Option<u16>,
    /// The most links it may have.
    pub links_max: usize,
    /// The most links of one address it may have.
    pub links_per_address_max: usize,
    /// The most bytes that may wait on links that were lost, where links are kept.
    pub keep_bytes_max: usize,
    /// Who is told the keys of its links, where links have keys.
    pub keys: KeyRing,
}

/// A transport to run sessions over: a new one is a new implementation of this.
pub trait Carrier: fmt::Debug {
    /// What `moorline sim --transport` calls it.
    fn name(&self) -> &'static str;

    /// What it promises.
    fn promises(&self) -> Promises;

    /// An endpoint that is dialed.
    fn host(&self, endpoint: Endpoint) -> Box<dyn Transport>;

    /// An endpoint that dials.
    fn client(&self, endpoint: Endpoint) -> Box<dyn Transport>;
}

/// Links of the native protocol.
#[derive(Clone, Copy, Debug)]
pub struct Native;

impl Carrier for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn promises(&self) -> Promises {
        Promises {
            notices_damage: true,
            delivers: true,
            newest_arrives: true,
            tells_links_apart: true,
            knows_peers_by_key: true,
            never_amplifies: true,
            continues: true,
        }
    }

    fn host(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        let key_log = endpoint.keys.listener(End::Host);
        let config = EndpointConfig { key_log: Some(key_log), ..native(&endpoint) };
        let host = |config, entropy| {
            let host = moorline_proto::Endpoint::host(config, &host_key(), entropy);
            host.expect("the settings can work")
        };
        // A third of the hosts are several that serve their address together.
        let count = match (endpoint.seed >> 16) % 9 {
            several @ 2..=4 => several as u8,
            _ => return Box::new(host(config, secret(endpoint.seed))),
        };
        let family = Sibling::family(count, secret(endpoint.seed));
        let endpoints = family.into_iter().zip(1..).map(|(sibling, number)| {
            let config = EndpointConfig { sibling: Some(sibling), ..config.clone() };
            host(config, secret(endpoint.seed.wrapping_add(number)))
        });
        Box::new(Siblings::new(endpoints.collect()))
    }

    fn client(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        let (entropy, key_log) = (secret(endpoint.seed), endpoint.keys.listener(End::Client));
        let config = EndpointConfig { key_log: Some(key_log), ..native(&endpoint) };
        let client = moorline_proto::Endpoint::client(config, host_key().public(), entropy);
        Box::new(client.expect("the settings can work"))
    }
}

/// The key of every host: one that is started anew has it still.
fn host_key() -> HostKey {
    HostKey::new(secret(0x6d6f_6f72))
}

fn secret(seed: u64) -> Secret {
    let mut rng = Rng::new(seed);
    let mut bytes = [0; Secret::LEN];
    for eight in bytes.as_chunks_mut::<8>().0 {
        *eight = rng.next_u64().to_le_bytes();
    }
    Secret::new(bytes)
}

fn native(endpoint: &Endpoint) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    // Half of them go on to new keys all the time, so that whatever happens meets that as well.
    if endpoint.seed.is_multiple_of(2) {
        config.key_packets_max = 16 + (endpoint.seed >> 1) as u32 % 200;
    }
    // And half of the hosts write their links down whenever nothing is on its way.
    if (endpoint.seed >> 32).is_multiple_of(2) {
        config.rest_after = Duration::ZERO;
    }
    EndpointConfig {
        links_max: endpoint.links_max,
        links_per_address_max: endpoint.links_per_address_max,
        keep_bytes_max: endpoint.keep_bytes_max,
        ..config
    }
}

/// Links of existing KCP peers.
#[derive(Clone, Copy, Debug)]
pub struct Kcp;

impl Carrier for Kcp {
    fn name(&self) -> &'static str {
        "kcp"
    }

    fn promises(&self) -> Promises {
        Promises {
            notices_damage: false,
            delivers: true,
            newest_arrives: false,
            tells_links_apart: false,
            knows_peers_by_key: false,
            never_amplifies: true,
            continues: false,
        }
    }

    fn host(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        let host = KcpEndpoint::host_plaintext_unauthenticated(config(&endpoint), endpoint.seed);
        Box::new(host.expect("the settings can work"))
    }

    fn client(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        let client =
            KcpEndpoint::client_plaintext_unauthenticated(config(&endpoint), endpoint.seed);
        Box::new(client.expect("the settings can work"))
    }
}

fn config(endpoint: &Endpoint) -> KcpConfig {
    KcpConfig {
        sync: endpoint.sync_port.map(SyncPort),
        links_max: endpoint.links_max,
        links_per_address_max: endpoint.links_per_address_max,
        ..KcpConfig::default()
    }
}

/// A transport without a protocol: what it is given is lost, doubled and overtaken as the network
/// pleases, so that the sessions above it are tried harder than a real one would.
#[derive(Clone, Copy, Debug)]
pub struct InMemory;

impl Carrier for InMemory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn promises(&self) -> Promises {
        Promises {
            notices_damage: false,
            delivers: false,
            newest_arrives: false,
            tells_links_apart: false,
            knows_peers_by_key: false,
            never_amplifies: false,
            continues: false,
        }
    }

    fn host(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        Box::new(Memory::new(endpoint.seed))
    }

    fn client(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        Box::new(Memory::new(endpoint.seed))
    }
}
