//! What carries a run, and what it promises.

use std::fmt;

use moorline_kcp::{KcpConfig, KcpEndpoint, SyncPort};
use moorline_link::Transport;
use moorline_link::memory::Memory;

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
    /// Before a login is answered, an address gets no more bytes than it sent.
    pub never_amplifies: bool,
}

/// What one endpoint is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What is random in it.
    pub seed: u64,
    /// The host's second port, if the run has one.
    pub sync_port: Option<u16>,
    /// The most links it may have.
    pub links_max: usize,
    /// The most links of one address it may have.
    pub links_per_address_max: usize,
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
            never_amplifies: true,
        }
    }

    fn host(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        let host = KcpEndpoint::host_plaintext_unauthenticated(config(endpoint), endpoint.seed);
        Box::new(host.expect("the settings can work"))
    }

    fn client(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        let client = KcpEndpoint::client_plaintext_unauthenticated(config(endpoint), endpoint.seed);
        Box::new(client.expect("the settings can work"))
    }
}

fn config(endpoint: Endpoint) -> KcpConfig {
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
            never_amplifies: false,
        }
    }

    fn host(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        Box::new(Memory::new(endpoint.seed))
    }

    fn client(&self, endpoint: Endpoint) -> Box<dyn Transport> {
        Box::new(Memory::new(endpoint.seed))
    }
}
