//! What a server listens with: the transports of its listeners, and sockets and threads for them.

use std::net::SocketAddr;

use moorline_kcp::{KcpConfig, KcpEndpoint, SyncPort, check_ports};
use moorline_link::{Port, Transport};
use moorline_proto::crypto::{HostKey, Secret};
use moorline_proto::{Endpoint, EndpointConfig, Sibling};
use moorline_session::{HostConfig, SavedSession};
use moorline_udp::{BufferSizes, Sockets};

use crate::clock::{Clock, random_bytes, random_seed};
use crate::config::{Listener, StartError};
use crate::shard::Shard;
use crate::waker::Doorbell;

/// The most threads of a listener.
const SHARDS_MAX: usize = 64;

/// All of a server's listeners.
pub(crate) struct Listeners {
    pub(crate) transports: Vec<Box<dyn Transport + Send>>,
    /// Those that are used on the server's own thread.
    pub(crate) sockets: Sockets,
    /// For each of these, the transport and port that it serves.
    pub(crate) routes: Vec<(u8, Port)>,
    pub(crate) shards: Vec<Shard>,
    pub(crate) bell: Doorbell,
    /// Where the server can be reached, in the order of the listeners, each with its sync port
    /// after it.
    pub(crate) addresses: Vec<SocketAddr>,
    /// For each transport, its listener.
    pub(crate) owners: Owners,
}

/// Which listener a transport is of: what is saved of a session names it, as the next run may have
/// another number of shards.
#[derive(Debug, Default)]
pub(crate) struct Owners(Vec<u8>);

impl Owners {
    /// A session as it is saved.
    pub(crate) fn saved(&self, mut saved: SavedSession) -> SavedSession {
        saved.transport = self.0.get(usize::from(saved.transport)).copied().unwrap_or(u8::MAX);
        saved
    }

    /// The same when it is taken back, as the session of this number: shards of its listener take
    /// turns.
    pub(crate) fn restored(&self, number: usize, mut saved: SavedSession) -> SavedSession {
        let owned = |(place, owner): (usize, &u8)| (*owner == saved.transport).then_some(place);
        let places: Vec<usize> = self.0.iter().enumerate().filter_map(owned).collect();
        let place = number.checked_rem(places.len()).map_or(u8::MAX, |turn| places[turn] as u8);
        saved.transport = place;
        saved
    }
}

/// Opens all of them, or none.
pub(crate) fn open(
    listeners: Vec<Listener>,
    host: &HostConfig,
    (buffers, shards): (BufferSizes, usize),
    clock: Clock,
) -> Result<Listeners, StartError> {
    if listeners.is_empty() {
        return Err(StartError::NoListener);
    }
    if !(1..=SHARDS_MAX).contains(&shards) {
        return Err(StartError::Shards { len: shards });
    }
    let is_native = |listener: &&Listener| matches!(listener, Listener::Native { .. });
    let len = listeners.len() + listeners.iter().filter(is_native).count() * (shards - 1);
    if len > usize::from(u8::MAX) {
        return Err(StartError::TooManyListeners { len });
    }
    let mut opening = Opening::new(host, buffers, clock);
    for (listener, owner) in listeners.into_iter().zip(0..) {
        match listener {
            Listener::Native { address, key, native } if shards > 1 => {
                opening.add_shards(owner, address, &key, (*native, shards))?;
            }
            Listener::Native { address, key, native } => {
                opening.add_native(owner, address, &key, *native)?;
            }
            Listener::KcpPlaintextUnauthenticated { reliable, sync, kcp } => {
                opening.add_kcp(owner, (reliable, sync), kcp)?;
            }
        }
    }
    opening.finish()
}

/// What is known of the listeners before all of them are up.
struct Opening<'h> {
    host: &'h HostConfig,
    buffers: BufferSizes,
    clock: Clock,
    /// None for those that threads will have.
    transports: Vec<Option<Box<dyn Transport + Send>>>,
    owners: Owners,
    places: Vec<Place>,
    /// Sockets for the server's own thread: where, and for which transport and port.
    wanted: Vec<(SocketAddr, (u8, Port))>,
    /// Which of them forbid fragments.
    natives: Vec<usize>,
    /// What threads are started for, with the number of the first one's transport.
    families: Vec<(usize, Vec<Endpoint>, Vec<Sockets>)>,
}

/// A place in the list of addresses.
enum Place {
    Own,
    Shards(SocketAddr),
}

impl<'h> Opening<'h> {
    fn new(host: &'h HostConfig, buffers: BufferSizes, clock: Clock) -> Self {
        Self {
            host,
            buffers,
            clock,
            transports: Vec::new(),
            owners: Owners::default(),
            places: Vec::new(),
            wanted: Vec::new(),
            natives: Vec::new(),
            families: Vec::new(),
        }
    }

    fn want(&mut self, address: SocketAddr, port: u8) {
        let transport = self.transports.len() as u8;
        self.wanted.push((address, (transport, Port(port))));
        self.places.push(Place::Own);
    }

    fn add_native(
        &mut self,
        owner: u8,
        address: SocketAddr,
        key: &HostKey,
        native: EndpointConfig,
    ) -> Result<(), StartError> {
        self.natives.push(self.wanted.len());
        self.want(address, 0);
        let native = sized_native(native, self.host, self.clock);
        self.owners.0.push(owner);
        self.transports.push(Some(Box::new(Endpoint::host(native, key, entropy()?)?)));
        Ok(())
    }

    fn add_shards(
        &mut self,
        owner: u8,
        address: SocketAddr,
        key: &HostKey,
        (native, shards): (EndpointConfig, usize),
    ) -> Result<(), StartError> {
        let sockets = Sockets::bind_shared(address, self.buffers, shards)?;
        sockets.iter().for_each(|socket| drop(socket.forbid_fragments(0)));
        self.places.push(Place::Shards(sockets[0].local_addr(0)));
        let native = sized_native(native, self.host, self.clock);
        let endpoints = siblings(&native, key, shards as u8)?;
        self.families.push((self.transports.len(), endpoints, sockets));
        self.owners.0.extend(std::iter::repeat_n(owner, shards));
        self.transports.extend((0..shards).map(|_| None));
        Ok(())
    }

    fn add_kcp(
        &mut self,
        owner: u8,
        (reliable, sync): (SocketAddr, Option<SocketAddr>),
        kcp: KcpConfig,
    ) -> Result<(), StartError> {
        if let Some(sync) = sync {
            check_ports(reliable.port(), sync.port())?;
        }
        for (address, port) in std::iter::once(reliable).chain(sync).zip(0..) {
            self.want(address, port);
        }
        let kcp = sized(kcp, sync, self.host);
        let endpoint = KcpEndpoint::host_plaintext_unauthenticated(kcp, random_seed())?;
        self.owners.0.push(owner);
        self.transports.push(Some(Box::new(endpoint)));
        Ok(())
    }

    /// Opens the other sockets, and starts the threads.
    fn finish(mut self) -> Result<Listeners, StartError> {
        let (wanted, routes): (Vec<_>, _) = self.wanted.into_iter().unzip();
        let mut sockets = Sockets::bind(&wanted, self.buffers)?;
        // Where it cannot be had, long datagrams may come in fragments: slower, but not wrong.
        self.natives.into_iter().for_each(|index| drop(sockets.forbid_fragments(index)));
        let bell = Doorbell::new(sockets.waker().map_err(StartError::Io)?);
        let mut shards = Vec::new();
        for (first, endpoints, sockets) in self.families {
            let server = (&bell, self.host.limits.events_max);
            let started = Shard::start(self.clock, endpoints, sockets, server);
            let started = started.map_err(StartError::Io)?;
            for (place, (shard, transport)) in self.transports[first..].iter_mut().zip(started) {
                shards.push(shard);
                *place = Some(Box::new(transport));
            }
        }
        let mut own = (0..sockets.socket_count()).map(|index| sockets.local_addr(index));
        let addresses = self.places.into_iter().filter_map(|place| match place {
            Place::Own => own.next(),
            Place::Shards(address) => Some(address),
        });
        let addresses = addresses.collect();
        let transports = self.transports.into_iter().flatten().collect();
        let owners = self.owners;
        Ok(Listeners { transports, sockets, routes, shards, bell, addresses, owners })
    }
}

fn entropy() -> Result<Secret, StartError> {
    Ok(Secret::new(random_bytes().map_err(StartError::Io)?))
}

/// Endpoints that serve one address together; what is counted over all of them is a part for each.
fn siblings(whole: &EndpointConfig, key: &HostKey, count: u8) -> Result<Vec<Endpoint>, StartError> {
    let part = usize::from(count);
    let mut endpoints = Vec::new();
    for sibling in Sibling::family(count, entropy()?) {
        let config = EndpointConfig {
            sibling: Some(sibling),
            half_open_max: (whole.half_open_max / part).max(8),
            hello_rate_max: whole.hello_rate_max.div_ceil(u32::from(count)),
            keep_bytes_max: whole.keep_bytes_max / part,
            ..whole.clone()
        };
        endpoints.push(Endpoint::host(config, key, entropy()?)?);
    }
    Ok(endpoints)
}

/// As [`sized`], for the native protocol.
fn sized_native(native: EndpointConfig, host: &HostConfig, clock: Clock) -> EndpointConfig {
    let limits = &host.limits;
    // Where many are let in from one address, many may come at once.
    let at_once = limits.sessions_per_address_max.min(native.half_open_max / 4);
    EndpointConfig {
        links_max: limits.sessions_max.saturating_mul(2),
        links_per_address_max: limits.sessions_per_address_max.saturating_mul(2),
        half_open_per_address_max: native.half_open_per_address_max.max(at_once),
        unix_at_zero: clock.unix_at_zero(),
        ..native
    }
}

/// The transport's limits, made from the host's: a ghost and its successor have a link each, so
/// there may be twice as many links as sessions, and the host counts sessions exactly.
fn sized(kcp: KcpConfig, sync: Option<SocketAddr>, host: &HostConfig) -> KcpConfig {
    let limits = &host.limits;
    // The host's own deadline comes first; after a sleep of this process it is put off.
    let login_time = limits.login_time + host.liveness.timeout;
    KcpConfig {
        sync: sync.map(|sync| SyncPort(sync.port())),
        links_max: limits.sessions_max.saturating_mul(2),
        links_per_address_max: limits.sessions_per_address_max.saturating_mul(2),
        pending_links_max: kcp.pending_links_max.max(limits.sessions_per_address_max),
        pending_time: kcp.pending_time.max(login_time),
        ..kcp
    }
}
