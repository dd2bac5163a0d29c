//! Datagrams between clients and a host, under the conditions of a path, on a thread of its own.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Write};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use moorline::Time;
use moorline_link::rng::Rng;
use moorline_sim::network::{Conditions, ConditionsError, Direction, DirectionCounters};
use moorline_udp::{BufferSizes, Recv, Sent, Sockets, Waker};

use super::words::{self, DOWN, Setting, Shaping, UP};

/// A client that neither sent nor was sent anything for so long is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// How often is looked for such clients; also the longest sleep.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Datagrams that one socket may bring in one turn, so that no sender holds up what is due.
const RECEIVED_MAX: usize = 256;

/// The socket that clients send to; those after it are the clients' own, in the order of `clients`.
const LISTENER: usize = 0;

/// Where a relay listens, where it leads, and for how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) listen: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Each has a socket; what comes from more addresses than that is dropped.
    pub(crate) clients_max: usize,
}

/// A running relay. All clients share one path up and one path down.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    path: Mutex<Path>,
    stop: AtomicBool,
}

/// Both directions, and what happened beside them.
#[derive(Debug)]
struct Path {
    directions: [Direction<SocketAddr>; 2],
    clients: usize,
    /// Datagrams of clients that there was no room for.
    refused: u64,
    /// Datagrams to a client's socket that were not the host's.
    strangers: u64,
    /// Datagrams that arrived, and that the system would not send.
    unsent: u64,
    /// Which clients are cut off, if some are.
    outage: Option<Outage>,
    /// Datagrams of clients that were cut off, and to them.
    cut_off: u64,
}

/// Some clients are cut off, both ways: as many in a thousand, and which of them is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) permille: u64,
    pub(crate) seed: u64,
}

impl Outage {
    fn hits(self, client: SocketAddr) -> bool {
        Rng::new(self.seed ^ u64::from(client.port())).below(1_000) < self.permille
    }
}

impl Path {
    /// Whether what comes from this client, or goes to it, is lost. It is counted.
    fn swallows(&mut self, client: SocketAddr) -> bool {
        let is_cut = self.outage.is_some_and(|outage| outage.hits(client));
        self.cut_off += u64::from(is_cut);
        is_cut
    }
}

impl Shared {
    fn path(&self) -> MutexGuard<'_, Path> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    pub(crate) fn start(route: Route, shaping: &Shaping) -> Result<Self, Box<dyn Error>> {
        let Route { listen, to, .. } = route;
        let is_same =
            listen.ip() == to.ip() || (listen.ip().is_unspecified() && to.ip().is_loopback());
        if is_same && listen.port() == to.port() {
            return Err(format!("{to} is where the relay listens: lead it to a host").into());
        }
        let [up, down] = shaping.conditions()?;
        // Two seeds, or what is hit on the way there would be hit on the way back.
        let directions = [Direction::new(up, shaping.seed)?, Direction::new(down, !shaping.seed)?];
        let mut sockets = Sockets::bind(&[listen], BufferSizes::HOST)?;
        let (address, waker) = (sockets.local_addr(LISTENER), sockets.waker()?);
        let path = Path {
            directions,
            clients: 0,
            refused: 0,
            strangers: 0,
            unsent: 0,
            outage: None,
            cut_off: 0,
        };
        let shared = Arc::new(Shared { path: Mutex::new(path), stop: AtomicBool::new(false) });
        let engine = Engine::new(sockets, route);
        let for_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || engine.run(&for_thread));
        Ok(Self { address, shared, waker, thread })
    }

    /// Changes what the path does to what comes from now on; all of it, or nothing.
    pub(super) fn set(
        &self,
        directions: &[usize],
        settings: &[Setting],
    ) -> Result<(), ConditionsError> {
        let mut path = self.shared.path();
        let changed = directions.iter().map(|direction| {
            let mut conditions = *path.directions[*direction].conditions();
            settings.iter().for_each(|setting| setting.apply(&mut conditions));
            conditions.check()?;
            Ok((*direction, conditions))
        });
        let changed: Vec<(usize, Conditions)> = changed.collect::<Result<_, _>>()?;
        changed
            .into_iter()
            .try_for_each(|(direction, conditions)| path.directions[direction].set(conditions))
    }

    /// Cuts some clients off from now on, or none any more.
    pub(crate) fn set_outage(&self, outage: Option<Outage>) {
        self.shared.path().outage = outage;
    }

    pub(crate) fn status(&self) -> Status {
        self.shared.path().status()
    }

    /// Whether it goes on; only trouble with the system ends it early.
    pub(super) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends it; what it did.
    pub(crate) fn stop(self) -> Result<Status, Box<dyn Error>> {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Without a wake it stops at its next look.
        self.waker.wake().ok();
        self.thread.join().map_err(|_| "the relay's thread panicked")??;
        Ok(self.shared.path().status())
    }
}

impl Path {
    fn status(&self) -> Status {
        Status {
            directions: self.directions.each_ref().map(|direction| {
                let in_flight = direction.in_flight();
                (*direction.conditions(), direction.counters(), in_flight)
            }),
            clients: self.clients,
            refused: self.refused,
            strangers: self.strangers,
            unsent: self.unsent,
            cut_off: self.cut_off,
        }
    }
}

/// What a relay does and did. Printed, it is one line; [`lines`](Self::lines) are easier to read.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    directions: [(Conditions, DirectionCounters, usize); 2],
    clients: usize,
    refused: u64,
    strangers: u64,
    unsent: u64,
    cut_off: u64,
}

impl Status {
    /// One direction a line, and one about the rest if there is something to tell.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.direction("up", UP), self.direction("down", DOWN)];
        let mut rest = match self.clients {
            1 => "1 client".to_owned(),
            clients => format!("{clients} clients"),
        };
        let troubles = [
            (self.refused, "of clients above the limit dropped"),
            (self.strangers, "not from the host dropped"),
            (self.unsent, "could not be sent on"),
            (self.cut_off, "of clients cut off dropped"),
        ];
        for (count, what) in troubles.into_iter().filter(|(count, _)| *count > 0) {
            // A string takes everything.
            write!(rest, ", {count} {what}").ok();
        }
        lines.push(rest);
        lines
    }

    /// What both directions are like, in the words that set them.
    pub(crate) fn conditions(&self) -> String {
        let [up, down] = self.directions.each_ref().map(|(told, ..)| words::describe(told));
        format!("up {up}; down {down}")
    }

    fn direction(&self, name: &str, direction: usize) -> String {
        let (conditions, counters, in_flight) = &self.directions[direction];
        let DirectionCounters { sent, delivered, .. } = counters;
        let mut told =
            format!("{name} ({}): {sent} in, {delivered} out", words::describe(conditions));
        let others = [
            (*in_flight as u64, "under way"),
            (counters.lost, "lost"),
            (counters.cut, "cut"),
            (counters.too_large, "too large"),
            (counters.queue_dropped, "dropped at a full queue"),
            (counters.mark_dropped, "dropped for their marks"),
            (counters.overflowed, "above what may be under way"),
            (counters.marked, "marked"),
            (counters.duplicated, "duplicated"),
            (counters.reordered, "reordered"),
            (counters.corrupted, "corrupted"),
            (counters.truncated, "truncated"),
            (counters.spliced, "spliced"),
        ];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            // A string takes everything.
            write!(told, ", {count} {what}").ok();
        }
        told
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("; "))
    }
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    used_at: Time,
}

/// The sockets of a relay and who they are for.
#[derive(Debug)]
struct Engine {
    sockets: Sockets,
    route: Route,
    clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    started: Instant,
    look_at: Time,
    buffer: Vec<u8>,
}

impl Engine {
    fn new(sockets: Sockets, route: Route) -> Self {
        Self {
            sockets,
            route,
            clients: Vec::new(),
            by_address: HashMap::new(),
            started: Instant::now(),
            look_at: Time::ZERO,
            buffer: Vec::new(),
        }
    }

    fn run(mut self, shared: &Shared) -> io::Result<()> {
        while !shared.stop.load(Ordering::SeqCst) {
            let due = {
                let mut path = shared.path();
                self.receive(&mut path);
                self.forget_idle(&mut path)?;
                self.send(&mut path);
                path.directions.iter().filter_map(Direction::poll_timeout).min()
            };
            let sleep = due.map_or(LOOK_INTERVAL, |due| due.since(self.now()));
            self.sockets.wait(Some(sleep.min(LOOK_INTERVAL)))?;
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    fn receive(&mut self, path: &mut Path) {
        let unread: Vec<usize> = self.sockets.unread().collect();
        for socket in unread {
            for _ in 0..RECEIVED_MAX {
                let now = self.now();
                let Recv::Datagram { from, datagram, .. } = self.sockets.recv(socket) else {
                    // Trouble is tried again later.
                    break;
                };
                self.buffer.clear();
                self.buffer.extend_from_slice(datagram);
                if socket == LISTENER {
                    match self.client(now, from) {
                        Some(client) => client.used_at = now,
                        None => {
                            path.refused += 1;
                            continue;
                        }
                    }
                    if !path.swallows(from) {
                        path.directions[UP].send(now, from, &self.buffer);
                    }
                } else if from == self.route.to {
                    let client = &mut self.clients[socket - 1];
                    client.used_at = now;
                    let to = client.address;
                    if !path.swallows(to) {
                        path.directions[DOWN].send(now, to, &self.buffer);
                    }
                } else {
                    path.strangers += 1;
                }
            }
        }
        path.clients = self.clients.len();
    }

    /// The client of this address, who gets a socket if this is the first that is heard of it.
    fn client(&mut self, now: Time, address: SocketAddr) -> Option<&mut Client> {
        if let Some(index) = self.by_address.get(&address) {
            return self.clients.get_mut(*index);
        }
        if self.clients.len() >= self.route.clients_max {
            return None;
        }
        let any = match self.route.to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        self.sockets.open(any, BufferSizes::SYSTEM).ok()?;
        self.by_address.insert(address, self.clients.len());
        self.clients.push(Client { address, used_at: now });
        self.clients.last_mut()
    }

    fn forget_idle(&mut self, path: &mut Path) -> io::Result<()> {
        let now = self.now();
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + LOOK_INTERVAL;
        // From the end, as the last one takes the place of the one that goes.
        for index in (0..self.clients.len()).rev() {
            if now.since(self.clients[index].used_at) < IDLE {
                continue;
            }
            self.sockets.close(LISTENER + 1 + index)?;
            let gone = self.clients.swap_remove(index);
            self.by_address.remove(&gone.address);
            if let Some(moved) = self.clients.get(index) {
                self.by_address.insert(moved.address, index);
            }
        }
        path.clients = self.clients.len();
        Ok(())
    }

    /// Sends on what has arrived by now.
    fn send(&mut self, path: &mut Path) {
        let now = self.now();
        while let Some((from, datagram)) = path.directions[UP].receive(now) {
            // A client that was forgotten meanwhile has no socket any more.
            let sent = self
                .by_address
                .get(&from)
                .map(|client| self.sockets.send(LISTENER + 1 + client, self.route.to, &datagram));
            path.unsent += u64::from(sent != Some(Sent::Yes));
        }
        while let Some((to, datagram)) = path.directions[DOWN].receive(now) {
            let sent = self.sockets.send(LISTENER, to, &datagram);
            path.unsent += u64::from(sent != Sent::Yes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket
    }

    fn route(host: &UdpSocket, clients_max: usize) -> Route {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Route { listen, to: host.local_addr().expect("bound"), clients_max }
    }

    fn clear() -> Shaping {
        super::words::testing::shaping("")
    }

    fn heard(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 100];
        let (len, from) = socket.recv_from(&mut buffer).expect("a datagram");
        (buffer[..len].to_vec(), from)
    }

    #[test]
    fn each_client_has_a_way_of_its_own_there_and_back() {
        let (host, ann, bob) = (socket(), socket(), socket());
        let relay = Relay::start(route(&host, 2), &clear()).expect("a relay");
        ann.send_to(b"ann", relay.address).expect("sent");
        let (said, way_to_ann) = heard(&host);
        assert_eq!(said, b"ann");
        bob.send_to(b"bob", relay.address).expect("sent");
        let (said, way_to_bob) = heard(&host);
        assert_eq!(said, b"bob");
        assert_ne!(way_to_ann, way_to_bob);
        host.send_to(b"for bob", way_to_bob).expect("sent");
        host.send_to(b"for ann", way_to_ann).expect("sent");
        assert_eq!(heard(&bob), (b"for bob".to_vec(), relay.address));
        assert_eq!(heard(&ann), (b"for ann".to_vec(), relay.address));
        ann.send_to(b"again", relay.address).expect("sent");
        assert_eq!(heard(&host), (b"again".to_vec(), way_to_ann));
        let told = relay.stop().expect("it stops").to_string();
        assert_eq!(told, "up (clear): 3 in, 3 out; down (clear): 2 in, 2 out; 2 clients");
    }

    #[test]
    fn more_clients_than_there_may_be_and_strangers_are_dropped_and_counted() {
        let (host, ann, bob) = (socket(), socket(), socket());
        let relay = Relay::start(route(&host, 1), &clear()).expect("a relay");
        ann.send_to(b"ann", relay.address).expect("sent");
        let (_, way_to_ann) = heard(&host);
        bob.send_to(b"bob", relay.address).expect("sent");
        bob.send_to(b"I am the host", way_to_ann).expect("sent");
        let end = Instant::now() + PATIENCE;
        loop {
            let Status { clients, refused, strangers, .. } = relay.status();
            if (clients, refused, strangers) == (1, 1, 1) {
                break;
            }
            assert!(Instant::now() < end, "{}", relay.status());
            thread::sleep(Duration::from_millis(5));
        }
        let told = relay.stop().expect("it stops").to_string();
        assert!(told.contains("1 in, 1 out; down (clear): 0 in, 0 out; 1 client, 1 of"), "{told}");
    }

    #[test]
    fn idle_clients_are_forgotten_and_the_others_stay_reachable() {
        let (host, ann, bob) = (socket(), socket(), socket());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets = Sockets::bind(&[listen], BufferSizes::SYSTEM).expect("a port");
        let mut engine = Engine::new(sockets, route(&host, 9));
        let [ann, bob] = [ann, bob].map(|socket| socket.local_addr().expect("bound"));
        let directions = [1, 2].map(|seed| Direction::new(Conditions::default(), seed));
        let directions = directions.map(|direction| direction.expect("possible"));
        let mut path = Path {
            directions,
            clients: 0,
            refused: 0,
            strangers: 0,
            unsent: 0,
            outage: None,
            cut_off: 0,
        };
        // As if the relay had been running for two minutes.
        engine.started -= 2 * IDLE;
        engine.client(Time::ZERO, ann).expect("room");
        let now = engine.now();
        engine.client(now, bob).expect("room");
        engine.forget_idle(&mut path).expect("it can wait");
        assert_eq!((engine.clients.len(), engine.sockets.socket_count()), (1, 2));
        assert_eq!(engine.by_address, HashMap::from([(bob, 0)]));

        path.directions[UP].send(now, ann, b"gone");
        path.directions[UP].send(now, bob, b"there");
        engine.send(&mut path);
        assert_eq!(heard(&host).0, b"there");
        assert_eq!(path.unsent, 1);
    }

    #[test]
    fn a_relay_does_not_lead_to_itself() {
        let shaping = clear();
        for listen in ["127.0.0.1:7000", "0.0.0.0:7000"] {
            let (listen, to) =
                (listen.parse().expect("one"), "127.0.0.1:7000".parse().expect("one"));
            let route = Route { listen, to, clients_max: 1 };
            let error = Relay::start(route, &shaping).expect_err("a circle");
            assert!(error.to_string().contains("lead it to a host"), "{error}");
        }
    }
}
